"""Scenes cut into overlapping files, for tests of mosaics."""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rasterio.transform import Affine

from tests.support.scenes import TRANSFORM, write_scene

PIECES_A_SIDE = 3


def cut(
    folder: Path, pixels: np.ndarray, overlap_px: int = 20, transform: Affine = TRANSFORM, **profile: Any
) -> list[Path]:
    """Write (C, H, W) pixels as 3 x 3 files that overlap; where they do, they hold the same pixels."""
    folder.mkdir(exist_ok=True)
    files = []
    for rows in _parts(pixels.shape[1], overlap_px):
        for cols in _parts(pixels.shape[2], overlap_px):
            file = folder / f"piece_{rows.start:04}_{cols.start:04}.tif"
            moved = transform @ Affine.translation(cols.start, rows.start)
            files.append(write_scene(file, pixels[:, rows, cols], transform=moved, **profile))
    return files


def _parts(size: int, overlap_px: int) -> Sequence[slice]:
    edges = np.linspace(0, size, PIECES_A_SIDE + 1).astype(int).tolist()
    return [
        slice(max(0, start - overlap_px // 2), min(size, stop + overlap_px - overlap_px // 2))
        for start, stop in itertools.pairwise(edges)
    ]
