"""COGs from pieces: the same bytes for any pieces, written atomically, readable by other software."""

import hashlib
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray
from rasterio.crs import CRS
from rio_cogeo.cogeo import cog_validate

from geoseg.errors import SceneError
from geoseg.grid.window import Grid, Window
from geoseg.raster.maps.cog import CogBand, write_cog

UTM = CRS.from_epsg(32633).to_wkt(version="WKT2_2019")
GRID = Grid(1300, 1500, (2.0, 0.0, 500_000.0, 0.0, -2.0, 5_000_000.0), UTM)
COLORS = {0: (10, 20, 30), 1: (200, 0, 0), 2: (0, 200, 0), 3: (0, 0, 200)}
Pieces = Iterator[tuple[Window, NDArray[np.uint8]]]


def landscape(grid: Grid) -> NDArray[np.uint8]:
    """Blobs of four classes with a border of nodata."""
    rows, cols = np.indices((grid.height, grid.width))
    classes = ((rows // 37 + cols // 53) % 4).astype(np.uint8)
    classes[:40] = 255
    return classes


def cut(pixels: NDArray[np.uint8], side: int, *, shuffled: int | None = None) -> Pieces:
    height, width = pixels.shape
    places = [(row, col) for row in range(0, height, side) for col in range(0, width, side)]
    if shuffled is not None:
        np.random.default_rng(shuffled).shuffle(places)
    for row, col in places:
        values = pixels[row : row + side, col : col + side]
        yield Window(int(row), int(col), *values.shape), values


def classes_cog(path: Path, pieces: Pieces, grid: Grid = GRID, **options: Any) -> Path:
    write_cog(
        path, grid, pieces, replace(CogBand(("class",), 255, "mode", COLORS, {"legend": "water, wood"}), **options)
    )
    return path


def test_round_trip(tmp_path: Path) -> None:
    pixels = landscape(GRID)
    path = classes_cog(tmp_path / "classes.tif", cut(pixels, 400))
    with rasterio.open(path) as dataset:
        np.testing.assert_array_equal(dataset.read(1), pixels)
        assert dataset.nodata == 255
        assert dataset.descriptions == ("class",)
        assert dataset.tags()["legend"] == "water, wood"
        colors = dataset.colormap(1)
        assert {value: colors[value] for value in COLORS} == {value: (*rgb, 255) for value, rgb in COLORS.items()}
        assert colors[255] == (0, 0, 0, 0)
        assert dataset.block_shapes == [(512, 512)]
        assert tuple(dataset.transform)[:6] == GRID.transform
        assert dataset.crs.to_epsg() == 32633
        assert set(np.unique(dataset.read(1, out_shape=(325, 375)))) <= {0, 1, 2, 3, 255}
    assert cog_validate(path, strict=True) == (True, [], [])
    assert list(tmp_path.iterdir()) == [path]


def test_bytes_do_not_depend_on_pieces_or_order(tmp_path: Path) -> None:
    pixels = landscape(GRID)
    cuts = [cut(pixels, 2000), cut(pixels, 512), cut(pixels, 300, shuffled=1), cut(pixels, 217, shuffled=2)]
    written = {hashlib.sha256(classes_cog(tmp_path / "c.tif", pieces).read_bytes()).hexdigest() for pieces in cuts}
    assert len(written) == 1


@pytest.mark.parametrize("resampling", ["mode", "average"])
@pytest.mark.parametrize("nodata", [255, 0])
def test_pieces_of_nodata_change_nothing_and_are_not_stored(
    tmp_path: Path, resampling: Literal["mode", "average"], nodata: int
) -> None:
    pixels = np.full((GRID.height, GRID.width), nodata, np.uint8)
    pixels[600:700, 800:810] = np.arange(10)
    pixels[1299, 1499], pixels[1024:, :100] = 3, 255 - nodata
    band = CogBand(("class",), nodata, resampling)
    written = set()
    for number, side in enumerate((64, 512, 700)):
        pieces = list(cut(pixels, side, shuffled=number))
        filled = [piece for piece in pieces if (piece[1] != nodata).any()]
        assert len(filled) < len(pieces)
        for chosen in (pieces, filled):
            write_cog(tmp_path / "c.tif", GRID, iter(chosen), band)
            written.add((tmp_path / "c.tif").read_bytes())
    assert len(written) == 1
    assert cog_validate(tmp_path / "c.tif", strict=True) == (True, [], [])
    for level, stored in (("NONE", {(1, 1), (2, 0), (2, 2)}), (0, {(0, 0), (1, 0), (1, 1)})):
        with rasterio.open(tmp_path / "c.tif", OVERVIEW_LEVEL=level) as dataset:
            tiles = [(row, col) for row in range(3) for col in range(3)]
            found = {
                (row, col) for row, col in tiles
                if dataset.get_tag_item(f"BLOCK_OFFSET_{col}_{row}", "TIFF", bidx=1) is not None
            }  # fmt: skip
            assert found - stored == set()
            assert level != "NONE" or found == stored
            assert (dataset.read(1)[-1, 0], dataset.read(1)[0, 0]) == (255 - nodata, nodata)
    with rasterio.open(tmp_path / "c.tif") as dataset:
        np.testing.assert_array_equal(dataset.read(1), pixels)


def test_a_tile_of_class_zero_is_stored(tmp_path: Path) -> None:
    pixels = np.zeros((GRID.height, GRID.width), np.uint8)
    path = classes_cog(tmp_path / "c.tif", cut(pixels, 512))
    for level in ("NONE", 0):
        with rasterio.open(path, OVERVIEW_LEVEL=level) as dataset:
            assert not dataset.read(1).any()
            assert dataset.read_masks(1).all()


def test_confidence_overviews_average_without_nodata(tmp_path: Path) -> None:
    pixels = np.full((GRID.height, GRID.width), 100, np.uint8)
    pixels[::2] = 200
    pixels[:, ::2] = 0
    path = tmp_path / "confidence.tif"
    write_cog(path, GRID, cut(pixels, 512), CogBand(("confidence",), 0, "average"))
    with rasterio.open(path, OVERVIEW_LEVEL=0) as dataset:
        assert np.unique(dataset.read(1)).tolist() == [150]
    assert cog_validate(path, strict=True)[0]


@pytest.mark.parametrize(
    "grid",
    [
        Grid(20, 30, (2.0, 0.5, 5e5, 0.5, -2.0, 5e6), UTM),
        Grid(20, 30, (2.0, 0.0, 5e5, 0.0, 2.0, 5e6), UTM),
        Grid(20, 30, (1.0, 0.0, 0.0, 0.0, 1.0, 0.0), ""),
        Grid(1, 1, (2.0, 0.0, 5e5, 0.0, -2.0, 5e6), UTM),
    ],
    ids=["rotated", "south-up", "ungeoreferenced", "one pixel"],
)
def test_odd_grids(tmp_path: Path, grid: Grid) -> None:
    pixels = landscape(grid)
    path = classes_cog(tmp_path / "classes.tif", cut(pixels, 7), grid)
    with rasterio.open(path) as dataset:
        np.testing.assert_array_equal(dataset.read(1), pixels)
        assert tuple(dataset.transform)[:6] == grid.transform
        assert (dataset.crs.to_epsg() if dataset.crs else None) == (32633 if grid.crs else None)


def test_point_rasters_keep_their_place(tmp_path: Path) -> None:
    path = classes_cog(tmp_path / "c.tif", cut(landscape(GRID), 700), tags={"AREA_OR_POINT": "Point"})
    with rasterio.open(path) as dataset:
        assert dataset.tags()["AREA_OR_POINT"] == "Point"
        assert tuple(dataset.transform)[:6] == GRID.transform


def test_pixels_of_no_piece_are_nodata(tmp_path: Path) -> None:
    path = classes_cog(tmp_path / "c.tif", iter([(Window(600, 600, 2, 3), np.ones((2, 3), np.uint8))]))
    expected = np.full((GRID.height, GRID.width), 255, np.uint8)
    expected[600:602, 600:603] = 1
    with rasterio.open(path) as dataset:
        np.testing.assert_array_equal(dataset.read(1), expected)


def test_failure_leaves_the_former_file_and_nothing_else(tmp_path: Path) -> None:
    def failing() -> Pieces:
        yield from cut(landscape(GRID), 700)
        raise SceneError("a block is missing")

    path = tmp_path / "classes.tif"
    with pytest.raises(SceneError, match="a block is missing"):
        classes_cog(path, failing())
    assert list(tmp_path.iterdir()) == []

    before = classes_cog(path, cut(landscape(GRID), 700)).read_bytes()
    with pytest.raises(SceneError, match="a block is missing"):
        classes_cog(path, failing())
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("window", "values", "message"),
    [
        (Window(1299, 0, 2, 2), np.zeros((2, 2), np.uint8), "reaches outside the scene"),
        (Window(0, 0, 2, 2), np.zeros((2, 3), np.uint8), r"uint8 of shape \(2, 2\), got uint8 \(2, 3\)"),
        (Window(0, 0, 2, 2), np.zeros((2, 2), np.int16), r"got int16"),
    ],
)
def test_wrong_pieces_are_refused(tmp_path: Path, window: Window, values: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        classes_cog(tmp_path / "c.tif", iter([(window, values)]))
    assert list(tmp_path.iterdir()) == []


def test_pieces_that_overlap_and_differ_are_found(tmp_path: Path) -> None:
    pieces = [(Window(0, 0, 2, 2), np.zeros((2, 2), np.uint8)), (Window(1, 1, 2, 2), np.ones((2, 2), np.uint8))]
    with pytest.raises(SceneError, match=r"classes.tif does not hold at rows 0:2, columns 0:2 what was written"):
        classes_cog(tmp_path / "classes.tif", iter(pieces))
    assert list(tmp_path.iterdir()) == []


LIMITED = """
import resource, signal, sys
from pathlib import Path
import numpy as np
from geoseg.grid.window import Grid, Window
from geoseg.raster.maps.cog import CogBand, write_cog

path, side, limit = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

def pieces():
    rng = np.random.default_rng(0)
    for row in range(0, side, 1000):
        for col in range(0, side, 1000):
            window = Window(row, col, min(1000, side - row), min(1000, side - col))
            yield window, np.repeat(rng.integers(0, 9, (window.height, 1), np.uint8), window.width, 1)

grid = Grid(side, side, (2.0, 0.0, 5e5, 0.0, -2.0, 5e6), "")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    write_cog(path, grid, pieces(), CogBand(("class",), 255, "mode"))
except OSError as error:
    sys.exit(str(error))
sys.stdout.write(str((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024))
"""


def limited(path: Path, side: int, limit_bytes: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", LIMITED, str(path), str(side), str(limit_bytes)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("limit_bytes", [2_000, 5_000, 20_000, 40_000, 70_000])
def test_full_disk_is_an_error_and_leaves_nothing(tmp_path: Path, limit_bytes: int) -> None:
    """A limit on the size of files fails as a full disk does, at the intermediate or at the result."""
    done = limited(tmp_path / "classes.tif", 3000, limit_bytes)
    assert done.returncode == 1, done
    assert "cannot be written: " in done.stderr
    assert "classes.tif" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_memory_is_flat(tmp_path: Path) -> None:
    """16384 x 16384 pixels are 256 MiB; GDAL's cache is 64 MiB and its overviews buffer some rows."""
    done = limited(tmp_path / "classes.tif", 16_384, 10**9)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 190
