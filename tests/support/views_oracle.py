"""Views of a patch in plain numpy and Pillow, and scenes that are blended at once, without blocks."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Floats = NDArray[np.float64]
Predict = Callable[[Floats], Floats]
"""From the scaled pixels of a patch, shape (B, P, P), to probabilities, (C, P, P)."""


def symmetries(kind: str) -> list[Callable[[Floats], Floats]]:
    """Functions on arrays of shape (..., P, P)."""
    flips: list[Callable[[Floats], Floats]] = [
        lambda x: x,
        lambda x: x[..., ::-1],
        lambda x: x[..., ::-1, :],
        lambda x: x[..., ::-1, ::-1],
    ]
    turned = [lambda x, flip=flip: flip(np.swapaxes(x, -1, -2)) for flip in flips]
    return {"none": flips[:1], "flips": flips, "flips-and-turns": flips + turned}[kind]


def averaged(predict: Predict, kind: str = "none", scales: Sequence[float] = (1.0,)) -> Predict:
    """The mean over all views and sizes of a patch; what a view shows is put back by the places of its pixels."""

    def mean(patch: Floats) -> Floats:
        side, found = patch.shape[-1], []
        places = np.arange(side * side).reshape(side, side)
        for scale in scales:
            for symmetry in symmetries(kind):
                seen = resized(predict(symmetry(resized(patch, round(scale * side)))), side)
                back = np.empty_like(seen).reshape(len(seen), -1)
                back[:, symmetry(places).ravel()] = seen.reshape(len(seen), -1)
                found.append(back.reshape(seen.shape))
        return np.mean(found, axis=0)

    return mean


def resized(maps: Floats, side: int) -> Floats:
    """Pillow's bilinear filter, which averages when it makes an image smaller."""
    if maps.shape[-1] == side:
        return maps
    images = [Image.fromarray(one.astype(np.float32)).resize((side, side), Image.Resampling.BILINEAR) for one in maps]
    return np.stack([np.asarray(image, np.float64) for image in images])


def blended(predict: Predict, pixels: Floats, patch: int, overlap: int) -> Floats:
    """Probabilities of a whole scene of scaled pixels: numpy.pad, float64 sums, one division by the sum of weights."""
    stride = patch - overlap
    rows, cols = (max(1, -(-(n - overlap) // stride)) for n in pixels.shape[1:])
    ramp = np.sin(np.pi / 2 * (np.arange(overlap) + 0.5) / overlap) ** 2
    taper = np.concatenate([ramp, np.ones(patch - 2 * overlap), ramp[::-1]])
    shape = (rows - 1) * stride + patch, (cols - 1) * stride + patch
    total, weight = np.zeros((1, *shape)), np.zeros(shape)
    for i, j, at in _patches(rows, cols, patch, stride):
        cut = pixels[(slice(None), *at)]
        pad = ((0, 0), (0, patch - cut.shape[1]), (0, patch - cut.shape[2]))
        found = predict(np.pad(cut, pad, mode="reflect"))
        if i == j == 0:
            total = np.zeros((len(found), *shape))
        total[(slice(None), *at)] += found * np.outer(taper, taper)
        weight[at] += np.outer(taper, taper)
    return (total / weight)[:, : pixels.shape[1], : pixels.shape[2]]


def _patches(rows: int, cols: int, patch: int, stride: int) -> Iterator[tuple[int, int, tuple[slice, slice]]]:
    for i in range(rows):
        for j in range(cols):
            yield i, j, (slice(i * stride, i * stride + patch), slice(j * stride, j * stride + patch))
