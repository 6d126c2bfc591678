"""What lies at a place of the synthetic landscape: pure functions of the position and the seed, compiled.

Every place is a class and a mixture of two materials, ``brightness * ((1 - mix) * first + mix * second)``, tinted by a
key that the places of one field share. Lengths are pixels of 10 m.
"""

from math import floor

import numpy as np
from numpy.typing import NDArray

from geoseg.demo.noise import compiled, fractal, noise, part, scramble

WATER, FOREST, CROPS, GRASS, BUILT_UP, BARE = range(6)

_SPECTRA = np.array(
    [
        (420, 470, 280, 160),  # 0 clear water
        (640, 800, 620, 340),  # 1 turbid water
        (250, 400, 270, 2000),  # 2 conifers
        (290, 560, 330, 3300),  # 3 broadleaves
        (340, 660, 390, 3900),  # 4 dense green crop
        (560, 850, 780, 2700),  # 5 young crop on soil
        (820, 1180, 1480, 2650),  # 6 ripe cereals
        (470, 1080, 760, 3700),  # 7 rapeseed
        (390, 720, 480, 3500),  # 8 fresh grass
        (600, 880, 880, 2700),  # 9 dry grass
        (700, 930, 1220, 1800),  # 10 dark soil
        (1050, 1350, 1800, 2500),  # 11 light soil
        (1750, 2050, 2350, 2800),  # 12 rock and gravel
        (830, 880, 930, 1250),  # 13 asphalt
        (1700, 1820, 1950, 2300),  # 14 pale roofs
        (900, 1080, 1550, 2150),  # 15 tiled roofs
        (400, 680, 560, 2700),  # 16 gardens
    ],
    np.float64,
)
"""Reflectance * 10000 in blue, green, red and near infrared."""

_TOWN_CELL_PX, _REGION_CELL_PX, _QUARRY_CELL_PX = 430.0, 360.0, 700.0
_RIVER_PX, _BROOK_PX = 1900.0, 760.0

Place = tuple[int, int, int, float, float, int]
"""Class, first material, second material, mix, brightness, key of the tint (0: none)."""


@compiled
def paint(
    seed: int,
    row: int,
    col: int,
    reflectance: NDArray[np.float32],
    height: NDArray[np.float32],
    truth: NDArray[np.uint8],
) -> None:
    """Fill the arrays with the places from pixel ``(row, col)`` on.

    Args:
        seed: The landscape.
        row: First row.
        col: First column.
        reflectance: Filled with reflectance * 10000 as an ideal sensor sees it, shape (4, H, W).
        height: Filled with the elevation in arbitrary units, about -1..1, shape (H, W).
        truth: Filled with the class ids, shape (H, W).
    """
    for i in range(truth.shape[0]):
        for j in range(truth.shape[1]):
            y, x = float(row + i), float(col + j)
            elevation = fractal(seed + 1, y / 900.0, x / 900.0, 5)
            kind, first, second, mix, brightness, tint = _place(seed, y, x, elevation)
            truth[i, j], height[i, j] = kind, elevation
            for band in range(4):
                value = brightness * ((1.0 - mix) * _SPECTRA[first, band] + mix * _SPECTRA[second, band])
                if tint != 0:
                    value *= 0.94 + 0.12 * part(scramble(seed + 2, tint, 0), band)
                reflectance[band, i, j] = value


@compiled
def _place(seed: int, y: float, x: float, elevation: float) -> Place:  # noqa: PLR0911 a ladder of ranks
    """Decide by rank: lakes, roads, rivers, towns, quarries, woods, meadows, and fields on what is left."""
    bent_y = y + 34.0 * noise(seed + 10, y / 190.0, x / 190.0) + 7.0 * noise(seed + 11, y / 45.0, x / 45.0)
    bent_x = x + 34.0 * noise(seed + 12, y / 190.0, x / 190.0) + 7.0 * noise(seed + 13, y / 45.0, x / 45.0)
    fine = noise(seed + 14, y / 2.6, x / 2.6)
    patchy = noise(seed + 15, y / 9.0, x / 9.0)
    if elevation < -0.42:
        return WATER, 0, 1, max(0.0, 0.55 + 6.0 * (elevation + 0.42)), 1.0 + 0.03 * fine, 0
    road, town, angle, tone = _settlement(seed, bent_y, bent_x)
    if road < 1.5:
        return BUILT_UP, 13, 14, 0.12 + 0.1 * patchy, 1.0 + 0.1 * fine, 0
    shore, along = _river(seed, bent_y, bent_x)
    if shore < 0.0:
        return WATER, 1, 0, 0.3 + 0.4 * noise(seed + 16, y / 80.0, x / 80.0), 1.0 + 0.04 * fine, 0
    if shore < 7.0 and noise(seed + 17, along / 60.0, 0.4) > 0.16 + 0.03 * shore:
        return BARE, 12, 11, 0.4 + 0.4 * patchy, 0.95 + 0.08 * fine, 0
    edge = 0.5 * noise(seed + 18, y / 38.0, x / 38.0) + 0.22 * noise(seed + 19, y / 13.0, x / 13.0)
    if town + edge < 1.0:
        if noise(seed + 20, y / 42.0, x / 42.0) > 0.36:
            return GRASS, 8, 9, 0.35 + 0.5 * patchy, 1.0 + 0.06 * fine, 0
        return _urban(seed, bent_y, bent_x, town, angle, tone, fine)
    pit, face = _quarry(seed, bent_y, bent_x)
    if pit + 0.5 * edge < 1.0:
        return BARE, 12, 11, 0.5 + 0.7 * patchy, face + 0.08 * fine, 0
    wood = fractal(seed + 21, y / 270.0, x / 270.0, 5) + 0.35 * elevation - max(0.0, 0.9 - 0.35 * (town + edge))
    if wood > 0.13 or (shore < 16.0 and noise(seed + 22, along / 90.0, 0.7) > 0.2 + 0.02 * shore):
        return _wood(seed, y, x, fine, patchy)
    if noise(seed + 24, y / 210.0, x / 210.0) + 0.25 * edge > 0.34 or shore < 30.0 + 40.0 * edge:
        dry = 0.4 + 0.9 * noise(seed + 25, y / 70.0, x / 70.0)
        return GRASS, 8, 9, min(1.0, max(0.0, dry + 0.4 * patchy)), 1.0 + 0.07 * fine, 0
    return _field(seed, bent_y, bent_x, y, x, shore, fine, patchy)


@compiled
def _settlement(seed: int, y: float, x: float) -> tuple[float, float, float, float]:
    """Distance to the nearest road, distance to the nearest town in its radii, the town's angle and its tone 0..1."""
    cell_row, cell_col = floor(y / _TOWN_CELL_PX), floor(x / _TOWN_CELL_PX)
    road, nearest, angle, tone = 1e9, 1e9, 0.0, 0.0
    for i in range(cell_row - 1, cell_row + 2):
        for j in range(cell_col - 1, cell_col + 2):
            ty, tx, radius = _town(seed, i, j)
            if radius == 0.0:
                continue
            away = np.sqrt((y - ty) ** 2 + (x - tx) ** 2) / radius
            if away < nearest:
                nearest = away
                bits = scramble(seed + 31, i, j)
                angle, tone = 1.57 * part(bits, 0), part(bits, 1)
            links = scramble(seed + 32, i, j)
            for side in range(3):
                if part(links, side) < (0.85 if side < 2 else 0.3):
                    oy, ox, other = _town(seed, i + (side != 0), j + (side != 1))
                    if other > 0.0:
                        road = min(road, _to_segment(y, x, ty, tx, oy, ox))
    return road, nearest, angle, tone


@compiled
def _town(seed: int, i: int, j: int) -> tuple[float, float, float]:
    """Centre and radius of the town of a cell; radius 0: none."""
    bits = scramble(seed + 30, i, j)
    size = part(bits, 2)
    radius = 12.0 + 24.0 * size + 110.0 * size**6 if part(bits, 3) < 0.8 else 0.0
    return (i + 0.2 + 0.6 * part(bits, 0)) * _TOWN_CELL_PX, (j + 0.2 + 0.6 * part(bits, 1)) * _TOWN_CELL_PX, radius


@compiled
def _to_segment(y: float, x: float, y0: float, x0: float, y1: float, x1: float) -> float:
    """Distance of a point to a line segment."""
    dy, dx = y1 - y0, x1 - x0
    at = min(1.0, max(0.0, ((y - y0) * dy + (x - x0) * dx) / (dy * dy + dx * dx)))
    return np.sqrt((y - y0 - at * dy) ** 2 + (x - x0 - at * dx) ** 2)  # type: ignore[no-any-return]


@compiled
def _urban(seed: int, y: float, x: float, town: float, angle: float, tone: float, fine: float) -> Place:
    """Streets on a turned grid, houses between gardens, halls where the town is loose."""
    along, across = np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x
    block_row, block_col = floor(across / 11.0), floor(along / (13.0 + 4.0 * tone))
    if across - block_row * 11.0 < 1.3 or along - block_col * (13.0 + 4.0 * tone) < 1.3:
        return BUILT_UP, 13, 14, 0.15, 1.0 + 0.12 * fine, 0
    quarter = part(scramble(seed + 40, block_row, block_col), 0)
    if quarter < 0.13:
        return BUILT_UP, 14, 13, 0.25 * quarter, 1.0 + 0.12 * fine, 0
    house = scramble(seed + 41, floor(across / 2.2), floor(along / 2.2))
    green = min(1.0, max(0.0, 0.15 + 0.4 * town + 1.1 * (part(house, 0) - 0.5)))
    roof = 15 if part(house, 1) < 0.3 + 0.5 * tone else 14 if part(house, 1) < 0.85 else 13
    return BUILT_UP, roof, 16, green, 0.95 + 0.25 * (part(house, 2) - 0.5), 0


@compiled
def _river(seed: int, y: float, x: float) -> tuple[float, float]:
    """Distance to the nearest bank, negative in the water, and the position along the river.

    Rivers run south-east side by side, each in a lane that neither its bends nor its brooks leave.
    """
    u, v = 0.8 * x - 0.6 * y, 0.6 * x + 0.8 * y
    k, j = floor(u / _RIVER_PX), floor(v / _BROOK_PX)
    bend = 330.0 * noise(seed + 50, v / 1300.0, k * 7.3) + 120.0 * noise(seed + 51, v / 330.0, k * 7.3)
    offset = u - (k + 0.35 + 0.3 * part(scramble(seed + 52, k, 0), 0)) * _RIVER_PX - bend
    shore = abs(offset) - 6.0 - 6.0 * noise(seed + 53, v / 240.0, k * 7.3)
    # Brooks join the river on one of its banks and thin out upstream.
    bits = scramble(seed + 54, k, j)
    upstream = offset if part(bits, 0) < 0.5 else -offset
    reach = 1.0 - upstream / (280.0 + 220.0 * part(bits, 1))
    if upstream > 0.0 and reach > 0.4:
        line = (j + 0.3 + 0.4 * part(bits, 2)) * _BROOK_PX
        line += 150.0 * noise(seed + 55, u / 330.0, j * 5.7) + 60.0 * noise(seed + 56, u / 90.0, j * 5.7)
        shore = min(shore, abs(v - line) - 3.6 * reach)
    return shore, v


@compiled
def _quarry(seed: int, y: float, x: float) -> tuple[float, float]:
    """Distance to the quarry of the cell in its radii, and the brightness of its terraces."""
    i, j = floor(y / _QUARRY_CELL_PX), floor(x / _QUARRY_CELL_PX)
    bits = scramble(seed + 60, i, j)
    qy, qx = (i + 0.2 + 0.6 * part(bits, 0)) * _QUARRY_CELL_PX, (j + 0.2 + 0.6 * part(bits, 1)) * _QUARRY_CELL_PX
    away = np.sqrt((y - qy) ** 2 + (0.7 * (x - qx)) ** 2) / (8.0 + 26.0 * part(bits, 2))
    return away, 0.8 + 0.3 * (away * 3.0 - floor(away * 3.0))


@compiled
def _wood(seed: int, y: float, x: float, fine: float, patchy: float) -> Place:
    """Stands of conifers and broadleaves under a rough canopy."""
    stand = 0.5 + 1.6 * noise(seed + 70, y / 75.0, x / 75.0) + 0.4 * patchy
    return FOREST, 2, 3, min(1.0, max(0.0, stand)), 0.95 + 0.3 * fine + 0.1 * patchy, 0


@compiled
def _field(
    seed: int, y: float, x: float, true_y: float, true_x: float, shore: float, fine: float, patchy: float
) -> Place:
    """Parcels: strips cut into fields, each region of the country in its own direction and size."""
    region, angle, size = _region(seed, y, x)
    along, across = np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x
    strip, left, right = _strip(seed + 80, region, across, size)
    parcel, front, back = _strip(seed + 81, region * 8191 + strip, along, size * (1.6 + size / 40.0))
    key = region * 1000003 + strip * 1009 + parcel
    bits, more = scramble(seed + 82, key, 0), scramble(seed + 83, key, 0)
    if left < 3.0 and part(scramble(seed + 84, region * 8191 + strip, floor(along / 45.0)), 0) < 0.13:
        return FOREST, 3, 2, 0.3 + 0.5 * patchy, 0.9 + 0.25 * fine, 0
    rows = np.sin((across + 3.0 * part(more, 0)) * 6.2832 / (2.9 + 1.8 * part(more, 1)))
    growth = 0.5 + 0.8 * (part(more, 2) - 0.5) + 0.5 * noise(seed + 85, true_y / 28.0, true_x / 28.0)
    growth = min(1.0, max(0.0, growth))
    worn = 0.9 if min(left, right, front, back) < 0.8 else 1.0
    choice = part(bits, 0)
    if choice < (0.55 if shore < 110.0 else 0.2):
        return GRASS, 8, 9, min(1.0, max(0.0, growth + 0.45 * patchy)), worn * (1.0 + 0.07 * fine), key
    if part(bits, 1) < 0.12:
        return BARE, 10, 11, min(1.0, max(0.0, growth + 0.25 * patchy)), worn * (1.0 + 0.04 * fine), key
    brightness = worn * (1.0 + (0.05 + 0.09 * part(more, 3)) * rows + 0.02 * fine)
    kind = part(bits, 2)
    if kind < 0.4:
        return CROPS, 4, 5, 0.7 * growth, brightness, key
    if kind < 0.75:
        return CROPS, 5, 4 if part(bits, 3) < 0.6 else 10, 0.5 * growth, brightness, key
    return CROPS, 6 if kind < 0.92 else 7, 5, 0.5 * growth, brightness, key


@compiled
def _region(seed: int, y: float, x: float) -> tuple[int, float, float]:
    """Key, direction and width of strips of the nearest of the scattered centres of regions (Voronoi cells)."""
    cell_row, cell_col = floor(y / _REGION_CELL_PX), floor(x / _REGION_CELL_PX)
    best, key, angle, size = 1e18, 0, 0.0, 0.0
    for i in range(cell_row - 1, cell_row + 2):
        for j in range(cell_col - 1, cell_col + 2):
            bits = scramble(seed + 90, i, j)
            ry, rx = (i + part(bits, 0)) * _REGION_CELL_PX, (j + part(bits, 1)) * _REGION_CELL_PX
            away = (y - ry) ** 2 + (x - rx) ** 2
            if away < best:
                best, key = away, i * 4099 + j
                angle, size = 3.14159 * part(bits, 2), 15.0 + 20.0 * part(bits, 3)
    return key, angle, size


@compiled
def _strip(seed: int, key: int, at: float, size: float) -> tuple[int, float, float]:
    """Index of the interval of uneven length about ``size`` that holds ``at``, and the distances to its two ends."""
    index = floor(at / size)
    start = (index + 0.5 * part(scramble(seed, key, index), 0)) * size
    if at < start:
        index -= 1
        stop, start = start, (index + 0.5 * part(scramble(seed, key, index), 0)) * size
    else:
        stop = (index + 1 + 0.5 * part(scramble(seed, key, index + 1), 0)) * size
    return index, at - start, stop - at
