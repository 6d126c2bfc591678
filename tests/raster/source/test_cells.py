"""Scenes whose pixels GDAL computes or decodes for each window: a pixel is the same in any window."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.shutil

from geoseg.config import SceneSettings
from geoseg.grid.window import Window
from geoseg.raster.bands import select_bands
from geoseg.raster.decode_errors import read_around_holes
from geoseg.raster.read import read_window
from geoseg.raster.source.cells import CELL_PX, CellCache, Pixels, ReadCell, cells_of, cut_from_cells
from geoseg.raster.source.scene import Scene, describe
from tests.support.scenes import textured, write_scene
from tests.support.vrts import kernel, warp, write_vrt

HEIGHT, WIDTH = 300, 700
SIDES = (131, 300)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scene(
        tmp_path_factory.mktemp("source") / "source.tif", textured(HEIGHT, WIDTH, 2), nodata=0, tiled=True
    )


def differences(scene: Scene) -> dict[int, int]:
    """Number of pixels that differ between windows of each of `SIDES` and the whole scene, in values or mask."""
    selection = select_bands(scene, scene.bands)
    whole, all_valid = read_window(scene, selection, scene.grid.window)
    assert all_valid.any()
    found = {}
    for side in SIDES:
        wrong = 0
        for row in range(0, scene.grid.height, side):
            for col in range(0, scene.grid.width, side):
                window = Window(row, col, side, side).intersect(scene.grid.window)
                assert window is not None
                another = replace(scene, scene_id=str(window))  # another cache key
                pixels, valid = read_window(another, selection, window)
                at = window.slices(scene.grid.window)
                wrong += int(((pixels != whole[:, *at]).any(0) | (valid != all_valid[at])).sum())
        found[side] = wrong
    return found


COMPUTED: dict[str, Callable[[Path, Path], Path]] = {
    "warped nearest": lambda path, source: warp(path, source, "nearest"),
    "warped bilinear": lambda path, source: warp(path, source, "bilinear"),
    "warped cubic": lambda path, source: warp(path, source, "cubic"),
    "nested": lambda path, source: write_vrt(path, warp(path.with_name("inner.vrt"), source, "bilinear")),
    "enlarged bilinear": lambda path, source: write_vrt(path, source, resampling="bilinear", size=(411, 977)),
    "reduced average": lambda path, source: write_vrt(path, source, resampling="average", size=(251, 487)),
    "averaged": lambda path, source: write_vrt(path, source, kind="AveragedSource", size=(251, 487)),
    "shifted": lambda path, source: write_vrt(path, source, resampling="bilinear", place=(0.4, 0.2), size=(299, 699)),
    "kernel": lambda path, source: write_vrt(
        path, source, kind="KernelFilteredSource", resampling="bilinear", size=(251, 487), more=kernel()
    ),
    "kernel on its grid": lambda path, source: write_vrt(path, source, kind="KernelFilteredSource", more=kernel()),
    "derived": lambda path, source: write_vrt(
        path, source, band='subClass="VRTDerivedRasterBand"', function="<PixelFunctionType>sqrt</PixelFunctionType>"
    ),
}
"""VRTs that do more than copy pixels. With GDAL 3.10 most of them give other pixels in other windows."""


@pytest.mark.parametrize("make", COMPUTED.values(), ids=COMPUTED)
def test_a_pixel_of_a_vrt_does_not_depend_on_the_window(
    make: Callable[[Path, Path], Path], source: Path, tmp_path: Path
) -> None:
    scene = describe(make(tmp_path / "scene.vrt", source))
    assert scene.in_cells
    assert scene.block_shape == (CELL_PX, CELL_PX)
    assert differences(scene) == dict.fromkeys(SIDES, 0)


@pytest.mark.parametrize("resampling", ["nearest", "bilinear"])
@pytest.mark.parametrize("kind", ["SimpleSource", "ComplexSource"])
def test_a_vrt_that_only_copies_is_not_read_in_cells(source: Path, tmp_path: Path, kind: str, resampling: str) -> None:
    inner = write_vrt(tmp_path / "inner.vrt", source, kind=kind, resampling=resampling)
    scene = describe(write_vrt(tmp_path / "scene.vrt", inner, place=(-7, 16), more="<NODATA>0</NODATA>"))
    assert not scene.in_cells
    assert differences(scene) == dict.fromkeys(SIDES, 0)


def test_a_pansharpened_vrt_is_read_in_cells(tmp_path: Path) -> None:
    pixels = textured(HEIGHT, WIDTH, 2)
    fine = write_scene(tmp_path / "fine.tif", pixels[:1])
    coarse = rasterio.Affine(40, 0, 480_000, 0, -40, 5_480_000)
    write_scene(tmp_path / "coarse.tif", pixels[:, ::4, ::4], transform=coarse)
    bands = "".join(
        f'<SpectralBand dstBand="{band}"><SourceFilename>{tmp_path}/coarse.tif</SourceFilename>'
        f"<SourceBand>{band}</SourceBand></SpectralBand>"
        for band in (1, 2)
    )
    (tmp_path / "scene.vrt").write_text(
        '<VRTDataset subClass="VRTPansharpenedDataset"><PansharpeningOptions><PanchroBand>'
        f"<SourceFilename>{fine}</SourceFilename><SourceBand>1</SourceBand></PanchroBand>{bands}"
        "</PansharpeningOptions></VRTDataset>"
    )
    scene = describe(tmp_path / "scene.vrt")
    assert scene.in_cells
    assert differences(scene) == dict.fromkeys(SIDES, 0)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.jp2", {"driver": "JP2OpenJPEG", "QUALITY": 20, "REVERSIBLE": "NO", "BLOCKXSIZE": 2048, "BLOCKYSIZE": 2048}),
        ("b.jp2", {"driver": "JP2OpenJPEG", "QUALITY": 20, "REVERSIBLE": "NO", "BLOCKXSIZE": 97, "BLOCKYSIZE": 131}),
        ("a.jpg", {"driver": "JPEG", "PROGRESSIVE": "YES"}),
        ("a.webp", {"driver": "WEBP", "QUALITY": 40}),
        ("strips.tif", {"driver": "GTiff", "COMPRESS": "JPEG", "PHOTOMETRIC": "YCBCR", "BLOCKYSIZE": 48}),
        ("webp.tif", {"driver": "GTiff", "COMPRESS": "WEBP", "WEBP_LEVEL": 40, "BLOCKYSIZE": 37}),
        ("lerc.tif", {"driver": "GTiff", "COMPRESS": "LERC", "MAX_Z_ERROR": 3, "BLOCKYSIZE": 37}),
    ],
)
def test_lossy_formats_decode_alike_whatever_the_window(tmp_path: Path, name: str, options: dict[str, object]) -> None:
    source = write_scene(tmp_path / "source.tif", (textured(HEIGHT, WIDTH, 3) // 16).astype(np.uint8))
    rasterio.shutil.copy(source, tmp_path / name, **options)
    scene = describe(tmp_path / name)
    assert not scene.in_cells
    assert differences(scene) == dict.fromkeys(SIDES, 0)


def test_holes_of_a_vrt_do_not_depend_on_the_window(tmp_path: Path) -> None:
    pixels = textured(HEIGHT, WIDTH, 1)
    path = write_scene(tmp_path / "s.tif", pixels, tiled=True, blockxsize=64, blockysize=64, compress="deflate")
    with rasterio.open(path) as dataset:
        offset, size = (int(dataset.get_tag_item(f"BLOCK_{what}_6_1", "TIFF", bidx=1)) for what in ("OFFSET", "SIZE"))
    content = bytearray(path.read_bytes())
    content[offset : offset + size] = b"\xff" * size
    path.write_bytes(content)
    scene = describe(write_vrt(tmp_path / "scene.vrt", path))
    selection = select_bands(scene, 1, SceneSettings(on_read_error="nodata"))
    hole = np.zeros((HEIGHT, WIDTH), bool)
    hole[:CELL_PX, CELL_PX : 2 * CELL_PX] = True  # the damaged tile is rows 64:128, columns 384:448
    for window in (scene.grid.window, Window(0, 300, 70, 200), Window(130, 300, 70, 80), Window(0, 0, 300, 257)):
        found = read_around_holes(scene, selection, window)
        at = window.slices(scene.grid.window)
        np.testing.assert_array_equal(found.valid, ~hole[at])
        np.testing.assert_array_equal(found.pixels[0], np.where(hole[at], 0, pixels[0][at]))
        assert sum(part.pixels for part in found.holes) == hole[at].sum()


SHAPE = (600, 700)
PIXELS = np.arange(SHAPE[0] * SHAPE[1], dtype=np.uint32).reshape(1, *SHAPE)


class Counting:
    """Reads cells of `PIXELS` and counts the calls."""

    def __init__(self) -> None:
        self.opened, self.read = 0, list[Window]()

    @contextmanager
    def open(self, cells: Sequence[Window]) -> Iterator[ReadCell]:
        self.opened += 1
        before = len(self.read)
        yield self.cell
        assert self.read[before:] == list(cells)

    def cell(self, cell: Window) -> Pixels:
        self.read.append(cell)
        part = cell.slices(Window(0, 0, *SHAPE))
        return PIXELS[:, *part], PIXELS[:, *part] % 3 != 0


def test_cells_are_read_once_by_the_windows_that_share_them() -> None:
    counting, kept = Counting(), CellCache()
    windows = [Window(0, 0, 300, 400), Window(0, 250, 300, 450), Window(250, 0, 350, 700)]
    for window in windows:
        pixels, masks = cut_from_cells(window, SHAPE, "scene", counting.open, kept)
        np.testing.assert_array_equal(pixels, PIXELS[:, *window.slices(Window(0, 0, *SHAPE))])
        np.testing.assert_array_equal(masks, pixels % 3 != 0)
    assert sorted(counting.read) == cells_of(Window(0, 0, *SHAPE), SHAPE)
    assert counting.opened == 3
    cut_from_cells(windows[0], SHAPE, "scene", counting.open, kept)
    assert counting.opened == 3, "nothing was left to read"
    cut_from_cells(Window(0, 0, 1, 1), SHAPE, "another", counting.open, kept)
    assert counting.read[-1] == Window(0, 0, CELL_PX, CELL_PX)


def test_the_cache_evicts_the_least_recently_used_cells() -> None:
    cell = np.zeros((1, 10, 10), np.uint8), np.zeros((1, 10, 10), np.bool_)
    kept = CellCache(limit_bytes=500)
    for key in (0, 1, 2, 0, 3):  # each of 200 bytes
        if kept.get(key) is None:
            kept.put(key, cell)
    assert [kept.get(key) is not None for key in range(4)] == [True, False, False, True]
