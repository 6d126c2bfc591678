"""A digest of a local file that is cheap for any size: of all of a small one, of pieces of a large one.

A file that was only touched, or copied back, has another time and the same digest. One that was replaced by another of
the same size has another digest: the pieces come from all over the file, also from its beginning and its end, where
headers and the index of internal tiles lie. A few bytes that were changed in place in a large file may lie between the
pieces: `is_sampled` says for which files that is possible.
"""

import hashlib
from pathlib import Path

from geoseg.errors import SceneError

PIECE_BYTES = 1 << 16
MOST_PIECES = 256
"""Of a file: 16 MiB."""
FEWEST_PIECES = 4
"""Of one of thousands that make a scene."""


def pieces_of(files: int) -> int:
    """How many pieces are read of each file of a scene that has so many."""
    return max(FEWEST_PIECES, MOST_PIECES // max(1, files))


def is_sampled(size: int | None, pieces: int) -> bool:
    """Tell whether the digest of a file of this size leaves bytes out."""
    return size is not None and size > pieces * PIECE_BYTES


def take_digest(file: str, pieces: int) -> str:
    """The digest of a file: ``sha256:`` and 32 hexadecimal digits.

    Args:
        file: A local file.
        pieces: Pieces of `PIECE_BYTES` that are read of it, evenly spread, if it is larger than all of them.

    Raises:
        SceneError: If it cannot be read.
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
