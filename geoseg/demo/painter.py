"""Procedural generation of the synthetic landscape: compiled pure functions of position and seed.

Each pixel has a class and a linear mixture of two spectra, ``brightness * ((1 - mix) * first + mix * second)``, and a
key of its tint, which all pixels of an agricultural field share. Lengths are pixels of 10 m.
"""

from math import floor

import numpy as np
from numpy.typing import NDArray

from geoseg.demo.noise import compiled, fractal, hash_point, noise, uniform

WATER, FOREST, CROPS, GRASS, BUILT_UP, BARE = range(6)

(
    CLEAR_WATER, TURBID_WATER, CONIFERS, BROADLEAVES, DENSE_CROP, YOUNG_CROP, CEREALS, RAPESEED, FRESH_GRASS,
    DRY_GRASS, DARK_SOIL, LIGHT_SOIL, GRAVEL, ASPHALT, PALE_ROOFS, TILED_ROOFS, GARDENS,
) = range(17)  # fmt: skip
_SPECTRA = np.array(
    [
        (420, 470, 280, 160),  # clear water
        (640, 800, 620, 340),  # turbid water
        (250, 400, 270, 2000),  # conifers
        (290, 560, 330, 3300),  # broadleaves
        (340, 660, 390, 3900),  # dense green crop
        (560, 850, 780, 2700),  # young crop on soil
        (820, 1180, 1480, 2650),  # ripe cereals
        (470, 1080, 760, 3700),  # rapeseed
        (390, 720, 480, 3500),  # fresh grass
        (600, 880, 880, 2700),  # dry grass
        (700, 930, 1220, 1800),  # dark soil
        (1050, 1350, 1800, 2500),  # light soil
        (1750, 2050, 2350, 2800),  # rock and gravel
        (830, 880, 930, 1250),  # asphalt
        (1700, 1820, 1950, 2300),  # pale roofs
        (900, 1080, 1550, 2150),  # tiled roofs
        (400, 680, 560, 2700),  # gardens
    ],
    np.float64,
)
"""Reflectance * 10000 in blue, green, red and near infrared of each material."""

_TOWN_CELL_PX, _REGION_CELL_PX, _QUARRY_CELL_PX = 430.0, 360.0, 700.0
_RIVER_PX, _TRIBUTARY_PX = 1900.0, 760.0

Surface = tuple[int, int, int, float, float, int]
"""Class id, index of the first and of the second spectrum, mix 0..1, brightness, key of the tint (0: none)."""


@compiled
def paint(
    seed: int, row: int, col: int, height: int, width: int
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.uint8]]:
    """Compute a window of the landscape before the simulation of the sensor.

    Args:
        seed: Seed of the landscape.
        row: First row.
        col: First column.
        height: Number of rows, H.
        width: Number of columns, W.

    Returns:
        Reflectance * 10000, shape (4, H, W); elevation in arbitrary units, about -1..1, shape (H, W); class ids, shape
        (H, W).
    """
    reflectance, relief = np.empty((4, height, width), np.float32), np.empty((height, width), np.float32)
    truth = np.empty((height, width), np.uint8)
    for i in range(height):
        for j in range(width):
            y, x = float(row + i), float(col + j)
            elevation = fractal(seed + 1, y / 900.0, x / 900.0, 5)
            kind, first, second, mix, brightness, tint = _surface(seed, y, x, elevation)
            truth[i, j], relief[i, j] = kind, elevation
            for band in range(4):
                value = brightness * ((1.0 - mix) * _SPECTRA[first, band] + mix * _SPECTRA[second, band])
                if tint != 0:
                    value *= 0.94 + 0.12 * uniform(hash_point(seed + 2, tint, 0), band)
                reflectance[band, i, j] = value
    return reflectance, relief, truth


@compiled
def _surface(seed: int, y: float, x: float, elevation: float) -> Surface:  # noqa: PLR0911  one return per land use
    """Apply rules in order of priority: lake, road, river, town, quarry, forest, grass, and fields elsewhere."""
    warped_y = y + 34.0 * noise(seed + 10, y / 190.0, x / 190.0) + 7.0 * noise(seed + 11, y / 45.0, x / 45.0)
    warped_x = x + 34.0 * noise(seed + 12, y / 190.0, x / 190.0) + 7.0 * noise(seed + 13, y / 45.0, x / 45.0)
    fine = noise(seed + 14, y / 2.6, x / 2.6)
    coarse = noise(seed + 15, y / 9.0, x / 9.0)
    if elevation < -0.42:
        return WATER, CLEAR_WATER, TURBID_WATER, max(0.0, 0.55 + 6.0 * (elevation + 0.42)), 1.0 + 0.03 * fine, 0
    road, town, angle, tone = _settlement(seed, warped_y, warped_x)
    if road < 1.5:
        return BUILT_UP, ASPHALT, PALE_ROOFS, 0.12 + 0.1 * coarse, 1.0 + 0.1 * fine, 0
    shore, along = _river(seed, warped_y, warped_x)
    if shore < 0.0:
        return WATER, TURBID_WATER, CLEAR_WATER, 0.3 + 0.4 * noise(seed + 16, y / 80.0, x / 80.0), 1.0 + 0.04 * fine, 0
    if shore < 7.0 and noise(seed + 17, along / 60.0, 0.4) > 0.16 + 0.03 * shore:
        return BARE, GRAVEL, LIGHT_SOIL, 0.4 + 0.4 * coarse, 0.95 + 0.08 * fine, 0
    edge = 0.5 * noise(seed + 18, y / 38.0, x / 38.0) + 0.22 * noise(seed + 19, y / 13.0, x / 13.0)
    if town + edge < 1.0:
        if noise(seed + 20, y / 42.0, x / 42.0) > 0.36:
            return GRASS, FRESH_GRASS, DRY_GRASS, 0.35 + 0.5 * coarse, 1.0 + 0.06 * fine, 0
        return _urban(seed, warped_y, warped_x, town, angle, tone, fine)
    pit, face = _quarry(seed, warped_y, warped_x)
    if pit + 0.5 * edge < 1.0:
        return BARE, GRAVEL, LIGHT_SOIL, 0.5 + 0.7 * coarse, face + 0.08 * fine, 0
    forest = fractal(seed + 21, y / 270.0, x / 270.0, 5) + 0.35 * elevation - max(0.0, 0.9 - 0.35 * (town + edge))
    if forest > 0.13 or (shore < 16.0 and noise(seed + 22, along / 90.0, 0.7) > 0.2 + 0.02 * shore):
        return _forest(seed, y, x, fine, coarse)
    if noise(seed + 24, y / 210.0, x / 210.0) + 0.25 * edge > 0.34 or shore < 30.0 + 40.0 * edge:
        dry = 0.4 + 0.9 * noise(seed + 25, y / 70.0, x / 70.0)
        return GRASS, FRESH_GRASS, DRY_GRASS, min(1.0, max(0.0, dry + 0.4 * coarse)), 1.0 + 0.07 * fine, 0
    return _field(seed, warped_y, warped_x, y, x, shore, fine, coarse)


@compiled
def _settlement(seed: int, y: float, x: float) -> tuple[float, float, float, float]:
    """Distance to the nearest road, and of the nearest town: distance in radii, angle of the streets, tone 0..1."""
    cell_row, cell_col = floor(y / _TOWN_CELL_PX), floor(x / _TOWN_CELL_PX)
    road, nearest, angle, tone = 1e9, 1e9, 0.0, 0.0
    for i in range(cell_row - 1, cell_row + 2):
        for j in range(cell_col - 1, cell_col + 2):
            ty, tx, radius = _town(seed, i, j)
            if radius == 0.0:
                continue
            distance = np.sqrt((y - ty) ** 2 + (x - tx) ** 2) / radius
            if distance < nearest:
                nearest = distance
                bits = hash_point(seed + 31, i, j)
                angle, tone = 1.57 * uniform(bits, 0), uniform(bits, 1)
            links = hash_point(seed + 32, i, j)
            for side in range(3):
                if uniform(links, side) < (0.85 if side < 2 else 0.3):
                    oy, ox, other = _town(seed, i + (side != 0), j + (side != 1))
                    if other > 0.0:
                        road = min(road, _to_segment(y, x, ty, tx, oy, ox))
    return road, nearest, angle, tone


@compiled
def _town(seed: int, i: int, j: int) -> tuple[float, float, float]:
    """Row and column of the centre of the town of a lattice cell, and its radius; radius 0 means no town."""
    bits = hash_point(seed + 30, i, j)
    size = uniform(bits, 2)
    radius = 12.0 + 24.0 * size + 110.0 * size**6 if uniform(bits, 3) < 0.8 else 0.0
    y, x = i + 0.2 + 0.6 * uniform(bits, 0), j + 0.2 + 0.6 * uniform(bits, 1)
    return y * _TOWN_CELL_PX, x * _TOWN_CELL_PX, radius


@compiled
def _to_segment(y: float, x: float, y0: float, x0: float, y1: float, x1: float) -> float:
    """Distance of a point to a line segment."""
    dy, dx = y1 - y0, x1 - x0
    at = min(1.0, max(0.0, ((y - y0) * dy + (x - x0) * dx) / (dy * dy + dx * dx)))
    return np.sqrt((y - y0 - at * dy) ** 2 + (x - x0 - at * dx) ** 2)  # type: ignore[no-any-return]


@compiled
def _urban(seed: int, y: float, x: float, town: float, angle: float, tone: float, fine: float) -> Surface:
    """Streets on a rotated grid, houses with gardens, and large buildings."""
    along, across = np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x
    block_row, block_col = floor(across / 11.0), floor(along / (13.0 + 4.0 * tone))
    if across - block_row * 11.0 < 1.3 or along - block_col * (13.0 + 4.0 * tone) < 1.3:
        return BUILT_UP, ASPHALT, PALE_ROOFS, 0.15, 1.0 + 0.12 * fine, 0
    quarter = uniform(hash_point(seed + 40, block_row, block_col), 0)
    if quarter < 0.13:
        return BUILT_UP, PALE_ROOFS, ASPHALT, 0.25 * quarter, 1.0 + 0.12 * fine, 0
    house = hash_point(seed + 41, floor(across / 2.2), floor(along / 2.2))
    green = min(1.0, max(0.0, 0.15 + 0.4 * town + 1.1 * (uniform(house, 0) - 0.5)))
    roof = TILED_ROOFS if uniform(house, 1) < 0.3 + 0.5 * tone else PALE_ROOFS if uniform(house, 1) < 0.85 else ASPHALT
    return BUILT_UP, roof, GARDENS, green, 0.95 + 0.25 * (uniform(house, 2) - 0.5), 0


@compiled
def _river(seed: int, y: float, x: float) -> tuple[float, float]:
    """Distance to the nearest bank, negative in the water, and the position along the river.

    Parallel rivers flow south-east. Each stays, with its bends and tributaries, in a strip of `_RIVER_PX`.
    """
    u, v = 0.8 * x - 0.6 * y, 0.6 * x + 0.8 * y
    k, j = floor(u / _RIVER_PX), floor(v / _TRIBUTARY_PX)
    bend = 330.0 * noise(seed + 50, v / 1300.0, k * 7.3) + 120.0 * noise(seed + 51, v / 330.0, k * 7.3)
    offset = u - (k + 0.35 + 0.3 * uniform(hash_point(seed + 52, k, 0), 0)) * _RIVER_PX - bend
    shore = abs(offset) - 6.0 - 6.0 * noise(seed + 53, v / 240.0, k * 7.3)
    # A tributary joins the river on one bank; its width decreases upstream.
    bits = hash_point(seed + 54, k, j)
    upstream = offset if uniform(bits, 0) < 0.5 else -offset
    reach = 1.0 - upstream / (280.0 + 220.0 * uniform(bits, 1))
    if upstream > 0.0 and reach > 0.4:
        line = (j + 0.3 + 0.4 * uniform(bits, 2)) * _TRIBUTARY_PX
        line += 150.0 * noise(seed + 55, u / 330.0, j * 5.7) + 60.0 * noise(seed + 56, u / 90.0, j * 5.7)
        shore = min(shore, abs(v - line) - 3.6 * reach)
    return shore, v


@compiled
def _quarry(seed: int, y: float, x: float) -> tuple[float, float]:
    """Distance to the quarry of the lattice cell in units of its radius, and the brightness of its terraces."""
    i, j = floor(y / _QUARRY_CELL_PX), floor(x / _QUARRY_CELL_PX)
    bits = hash_point(seed + 60, i, j)
    qy, qx = (i + 0.2 + 0.6 * uniform(bits, 0)) * _QUARRY_CELL_PX, (j + 0.2 + 0.6 * uniform(bits, 1)) * _QUARRY_CELL_PX
    distance = np.sqrt((y - qy) ** 2 + (0.7 * (x - qx)) ** 2) / (8.0 + 26.0 * uniform(bits, 2))
    return distance, 0.8 + 0.3 * (distance * 3.0 - floor(distance * 3.0))


@compiled
def _forest(seed: int, y: float, x: float, fine: float, coarse: float) -> Surface:
    """Forest: stands of conifers and broadleaves."""
    stand = 0.5 + 1.6 * noise(seed + 70, y / 75.0, x / 75.0) + 0.4 * coarse
    return FOREST, CONIFERS, BROADLEAVES, min(1.0, max(0.0, stand)), 0.95 + 0.3 * fine + 0.1 * coarse, 0


@compiled
def _field(
    seed: int, y: float, x: float, true_y: float, true_x: float, shore: float, fine: float, coarse: float
) -> Surface:
    """Agricultural fields: strips cut into parcels; each region has its own direction and size of strips."""
    region, angle, size = _region(seed, y, x)
    along, across = np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x
    strip, left, right = _strip(seed + 80, region, across, size)
    parcel, front, back = _strip(seed + 81, region * 8191 + strip, along, size * (1.6 + size / 40.0))
    key = region * 1000003 + strip * 1009 + parcel
    bits, more = hash_point(seed + 82, key, 0), hash_point(seed + 83, key, 0)
    if left < 3.0 and uniform(hash_point(seed + 84, region * 8191 + strip, floor(along / 45.0)), 0) < 0.13:
        return FOREST, BROADLEAVES, CONIFERS, 0.3 + 0.5 * coarse, 0.9 + 0.25 * fine, 0
    rows = np.sin((across + 3.0 * uniform(more, 0)) * 6.2832 / (2.9 + 1.8 * uniform(more, 1)))
    growth = 0.5 + 0.8 * (uniform(more, 2) - 0.5) + 0.5 * noise(seed + 85, true_y / 28.0, true_x / 28.0)
    growth = min(1.0, max(0.0, growth))
    edge_shade = 0.9 if min(left, right, front, back) < 0.8 else 1.0
    choice = uniform(bits, 0)
    if choice < (0.55 if shore < 110.0 else 0.2):
        return (
            GRASS,
            FRESH_GRASS,
            DRY_GRASS,
            min(1.0, max(0.0, growth + 0.45 * coarse)),
            edge_shade * (1.0 + 0.07 * fine),
            key,
        )
    if uniform(bits, 1) < 0.12:
        return (
            BARE,
            DARK_SOIL,
            LIGHT_SOIL,
            min(1.0, max(0.0, growth + 0.25 * coarse)),
            edge_shade * (1.0 + 0.04 * fine),
            key,
        )
    brightness = edge_shade * (1.0 + (0.05 + 0.09 * uniform(more, 3)) * rows + 0.02 * fine)
    kind = uniform(bits, 2)
    if kind < 0.4:
        return CROPS, DENSE_CROP, YOUNG_CROP, 0.7 * growth, brightness, key
    if kind < 0.75:
        return CROPS, YOUNG_CROP, DENSE_CROP if uniform(bits, 3) < 0.6 else DARK_SOIL, 0.5 * growth, brightness, key
    return CROPS, CEREALS if kind < 0.92 else RAPESEED, YOUNG_CROP, 0.5 * growth, brightness, key


@compiled
def _region(seed: int, y: float, x: float) -> tuple[int, float, float]:
    """Key, direction and width of strips of the region, a Voronoi cell of one random point per lattice cell."""
    cell_row, cell_col = floor(y / _REGION_CELL_PX), floor(x / _REGION_CELL_PX)
    best, key, angle, size = 1e18, 0, 0.0, 0.0
    for i in range(cell_row - 1, cell_row + 2):
        for j in range(cell_col - 1, cell_col + 2):
            bits = hash_point(seed + 90, i, j)
            ry, rx = (i + uniform(bits, 0)) * _REGION_CELL_PX, (j + uniform(bits, 1)) * _REGION_CELL_PX
            distance = (y - ry) ** 2 + (x - rx) ** 2
            if distance < best:
                best, key = distance, i * 4099 + j
                angle, size = 3.14159 * uniform(bits, 2), 15.0 + 20.0 * uniform(bits, 3)
    return key, angle, size


@compiled
def _strip(seed: int, key: int, at: float, size: float) -> tuple[int, float, float]:
    """Index of the interval, of irregular length around ``size``, that contains ``at``; distances to its two ends."""
    index = floor(at / size)
    start = (index + 0.5 * uniform(hash_point(seed, key, index), 0)) * size
    if at < start:
        index -= 1
        stop, start = start, (index + 0.5 * uniform(hash_point(seed, key, index), 0)) * size
    else:
        stop = (index + 1 + 0.5 * uniform(hash_point(seed, key, index + 1), 0)) * size
    return index, at - start, stop - at
