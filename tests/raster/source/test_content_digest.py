"""The digest of a local file at a bounded cost."""

from pathlib import Path

import numpy as np
import pytest

from geoseg.errors import SceneError
from geoseg.raster.source.content_digest import MAX_PIECES, PIECE_BYTES, is_sampled, pieces_per_file, take_digest

PIECES = 4


def test_the_digest_of_a_small_file_covers_every_byte(tmp_path: Path) -> None:
    file, content = tmp_path / "a", bytearray(PIECES * PIECE_BYTES)
    assert not is_sampled(len(content), PIECES)
    digests = set()
    for place in (None, 0, 1, PIECE_BYTES - 1, PIECE_BYTES, 2 * PIECE_BYTES + 7, len(content) - 1):
        changed = bytearray(content)
        if place is not None:
            changed[place] = 1
        file.write_bytes(changed)
        digests.add(take_digest(str(file), PIECES))
    assert len(digests) == 7


def test_the_digest_of_a_large_file_covers_pieces_including_both_ends(tmp_path: Path) -> None:
    file, size = tmp_path / "a", 100 * PIECE_BYTES + 11
    content = np.random.default_rng(0).integers(0, 256, size, np.uint8)
    content.tofile(file)
    before = take_digest(str(file), PIECES)
    assert is_sampled(size, PIECES)
    seen = []
    for place in (
        0,
        PIECE_BYTES - 1,
        PIECE_BYTES,
        size // 3,
        size // 2,
        size - PIECE_BYTES - 1,
        size - PIECE_BYTES,
        size - 1,
    ):
        changed = content.copy()
        changed[place] ^= 1
        changed.tofile(file)
        seen.append(take_digest(str(file), PIECES) != before)
    assert seen == [True, True, False, True, False, False, True, True]


def test_empty_and_missing_files(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    assert take_digest(str(tmp_path / "empty"), PIECES).startswith("sha256:e3b0c442")
    with pytest.raises(SceneError, match=r"gone cannot be read: No such file or directory\. Check the file"):
        take_digest(str(tmp_path / "gone"), PIECES)


def test_many_files_get_fewer_pieces_each() -> None:
    assert [pieces_per_file(files) for files in (0, 1, 2, 64, 5000)] == [MAX_PIECES, MAX_PIECES, MAX_PIECES // 2, 4, 4]
