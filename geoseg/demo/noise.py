"""Deterministic noise: a function of position and seed only, so that windows can be computed independently."""

from collections.abc import Callable
from math import floor
from typing import Any, TypeVar, cast

import numba
import numpy as np

Function = TypeVar("Function", bound=Callable[..., Any])

_SEED, _ROW, _COL = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD1B54A32D192ED03), np.uint64(0x8CB92BA72F3D8DD7)
_MIX_1, _MIX_2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_S30, _S27, _S31 = np.uint64(30), np.uint64(27), np.uint64(31)


def compiled(function: Function) -> Function:
    """Compile with numba and keep the type for type checkers.

    Not cached, since an installed package may be in a read-only folder. Without `fastmath`, with which rounding could
    differ at the end of a row.
    """
    return cast("Function", numba.njit(nogil=True, error_model="numpy")(function))


@compiled
def hash_point(key: int, row: int, col: int) -> np.uint64:
    """Hash a lattice point to 64 pseudo-random bits: the finalizer of SplitMix64 (Steele et al., 2014)."""
    bits = np.uint64(key) * _SEED + np.uint64(row) * _ROW + np.uint64(col) * _COL
    bits = (bits ^ (bits >> _S30)) * _MIX_1
    bits = (bits ^ (bits >> _S27)) * _MIX_2
    return bits ^ (bits >> _S31)


@compiled
def uniform(bits: np.uint64, index: int) -> float:
    """Uniform number in [0, 1) from 16 of the 64 bits; ``index`` 0..3 selects which."""
    return np.float64((bits >> np.uint64(16 * index)) & np.uint64(0xFFFF)) / 65536.0


@compiled
def noise(key: int, y: float, x: float) -> float:
    """Gradient noise (Perlin, 2002) with lattice constant 1: smooth, mean 0, about -0.7..0.7."""
    row, col = floor(y), floor(x)
    dy, dx = y - row, x - col
    north = _blend(_slope(key, row, col, dy, dx), _slope(key, row, col + 1, dy, dx - 1.0), dx)
    south = _blend(_slope(key, row + 1, col, dy - 1.0, dx), _slope(key, row + 1, col + 1, dy - 1.0, dx - 1.0), dx)
    return _blend(north, south, dy)


@compiled
def fractal(key: int, y: float, x: float, octaves: int) -> float:
    """Fractional Brownian motion: octaves of noise with halved wavelength and amplitude, about -1..1."""
    total, amplitude, frequency = 0.0, 1.0, 1.0
    for octave in range(octaves):
        total += amplitude * noise(key + octave * 101, y * frequency, x * frequency)
        amplitude *= 0.5
        frequency *= 2.0
    return total


@compiled
def _slope(key: int, row: int, col: int, dy: float, dx: float) -> float:
    bits = hash_point(key, row, col)
    return (2.0 * uniform(bits, 1) - 1.0) * dy * 1.4 + (2.0 * uniform(bits, 2) - 1.0) * dx * 1.4


@compiled
def _blend(a: float, b: float, at: float) -> float:
    return a + (b - a) * at * at * at * (at * (at * 6.0 - 15.0) + 10.0)
