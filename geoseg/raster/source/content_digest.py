"""Digest of a local file at a bounded cost: the whole of a small file, evenly spread pieces of a large one.

A file that was touched or restored has another modification time and the same digest. A file that was replaced by
another one of the same size has another digest: the pieces include the beginning and the end, which hold the header
and the index of the internal tiles. A few bytes changed in place in a large file can lie between the pieces;
`is_sampled` tells for which files this is possible.
"""

import hashlib
from pathlib import Path

from geoseg.errors import SceneError

PIECE_BYTES = 1 << 16
MAX_PIECES = 256
"""Pieces read of a single file: 16 MiB."""
MIN_PIECES = 4
"""Pieces read of each file of a scene with thousands of files."""


def pieces_per_file(files: int) -> int:
    """Number of pieces to read of each file of a scene that has ``files`` files."""
    return max(MIN_PIECES, MAX_PIECES // max(1, files))


def is_sampled(size: int | None, pieces: int) -> bool:
    """Return whether the digest of a file of ``size`` bytes skips bytes."""
    return size is not None and size > pieces * PIECE_BYTES


def take_digest(file: str, pieces: int) -> str:
    """Compute the digest of a file: ``sha256:`` and 32 hexadecimal digits.

    Args:
        file: A local file.
        pieces: Number of evenly spread pieces of `PIECE_BYTES` to read if the file is larger than all of them.

    Raises:
        SceneError: If the file cannot be read.
    """
    sha256 = hashlib.sha256()
    try:
        with Path(file).open("rb", buffering=0) as stream:
            size = stream.seek(0, 2)
            spread = size - PIECE_BYTES if is_sampled(size, pieces) else (pieces - 1) * PIECE_BYTES
            for piece in range(pieces):
                stream.seek(piece * spread // (pieces - 1))
                sha256.update(stream.read(PIECE_BYTES))
    except OSError as error:
        reason = error.strerror or error
        raise SceneError(f"{file} cannot be read: {reason}. Check the file and its permissions.") from error
    return f"sha256:{sha256.hexdigest()[:32]}"
