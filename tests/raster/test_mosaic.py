"""Reading a mosaic against numpy, on files whose pixels and masks are known."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from pyproj import Transformer
from rasterio.transform import Affine, from_origin

from geoseg.catalog.mosaic import describe_mosaic
from geoseg.config import SceneSettings, Settings
from geoseg.errors import SceneError, SettingsError
from geoseg.grid.window import Window
from geoseg.raster.bands import BandSelection, select_bands
from geoseg.raster.decode_errors import read_around_holes
from geoseg.raster.read import read_window
from geoseg.raster.source.scene import Scene
from geoseg.raster.sparse import has_data
from tests.support.scenes import TRANSFORM, write_scene


def mosaic(items: Sequence[Path | str], settings: SceneSettings = SceneSettings(), **options: Any) -> Scene:
    entry = {"id": "m", "items": list(map(str, items)), **options}
    chosen = Settings.model_validate({"mosaics": [entry], "model": "-", "output": "-"})
    return describe_mosaic(chosen.mosaics[0], settings)


def read(scene: Scene, **settings: Any) -> tuple[np.ndarray, np.ndarray]:
    selection = select_bands(scene, settings.pop("wanted", scene.bands), SceneSettings(**settings))
    return read_window(scene, selection, scene.grid.window)


def place(folder: Path, name: str, pixels: np.ndarray, row: int, col: int, **profile: Any) -> Path:
    return write_scene(folder / f"{name}.tif", pixels, transform=TRANSFORM @ Affine.translation(col, row), **profile)


def random(*shape: int, seed: int = 0, dtype: str = "uint16") -> np.ndarray:
    return np.random.default_rng(seed).integers(1, 200, shape).astype(dtype)


def test_the_first_valid_pixel_counts_whole_with_all_its_bands(tmp_path: Path) -> None:
    """Files of other nodata values, a mask and an alpha band; some places are covered by none."""
    size, generator = (3, 40, 50), np.random.default_rng(1)
    layers = [random(*size, seed=seed) for seed in range(4)]
    valid = [generator.random(size[1:]) < 0.6 for _ in layers]
    places = [(0, 0), (20, 10), (15, 45), (90, 120)]
    # One band is nodata, the others hold values: no band of such a pixel may be used.
    for index, nodata in ((0, 0), (1, 999)):
        holes = np.argwhere(~valid[index])
        layers[index][generator.integers(0, 3, len(holes)), holes[:, 0], holes[:, 1]] = nodata
    files = [
        place(tmp_path, "a", layers[0], *places[0], nodata=0),
        place(tmp_path, "b", layers[1], *places[1], nodata=999),
        place(tmp_path, "c", layers[2], *places[2]),
        place(tmp_path, "d", layers[3], *places[3]),
    ]
    for file, mask in zip(files[2:], valid[2:], strict=True):
        with rasterio.open(file, "r+") as dataset:
            dataset.write_mask(mask)
    scene = mosaic(files)
    expected, found = np.zeros((3, 130, 170), np.uint16), np.zeros((130, 170), bool)
    for layer, mask, (row, col) in reversed(list(zip(layers, valid, places, strict=True))):
        at = np.s_[row : row + 40, col : col + 50]
        expected[:, *at] = np.where(mask, layer, expected[:, *at])
        found[at] |= mask
    pixels, mask = read(scene)
    np.testing.assert_array_equal(mask, found)
    np.testing.assert_array_equal(pixels, expected)
    assert scene.nodata == (None, None, None)


def test_an_alpha_band_is_a_mask_in_each_file(tmp_path: Path) -> None:
    pixels = random(4, 30, 30, dtype="uint8")
    pixels[3] = np.random.default_rng(5).integers(0, 2, (30, 30)) * 255
    over = random(4, 30, 30, seed=3, dtype="uint8")
    over[3] = 255
    first = place(tmp_path, "a", pixels, 0, 0, photometric="RGB", alpha="YES")
    second = place(tmp_path, "b", over, 0, 15, photometric="RGB", alpha="YES")
    values, mask = read(mosaic([first, second]), wanted=3)
    expected = np.zeros((3, 30, 45), np.uint8)
    expected[:, :, 15:] = over[:3]
    expected[:, :, :30] = np.where(pixels[3] > 0, pixels[:3], expected[:, :, :30])
    np.testing.assert_array_equal(values, expected)
    np.testing.assert_array_equal(mask[:, 30:], np.ones((30, 15), bool))
    np.testing.assert_array_equal(mask[:, :15], pixels[3, :, :15] > 0)


def test_bands_are_matched_by_name(tmp_path: Path) -> None:
    files = []
    for index, names in enumerate([("blue", "green", "red"), ("red", "green", "blue")]):
        files.append(place(tmp_path, f"{index}", random(3, 8, 8, seed=index), 0, 8 * index))
        with rasterio.open(files[-1], "r+") as dataset:
            dataset.descriptions = names
    pixels, _ = read(mosaic(files))
    np.testing.assert_array_equal(pixels[..., 8:], random(3, 8, 8, seed=1)[::-1])
    with rasterio.open(files[-1], "r+") as dataset:
        dataset.descriptions = ("red", "green", "nir")
    with pytest.raises(SceneError, match=r"1\.tif has the bands red, green, nir, and .*0\.tif has blue, green, red"):
        mosaic(files)


@pytest.mark.parametrize("settings", [{}, {"bounds": [480_050, 5_479_700, 480_455, 5_479_955]}])
@pytest.mark.parametrize("crs", ["EPSG:32632", "EPSG:32633"])
@pytest.mark.parametrize("resampling", ["nearest", "bilinear", "cubic"])
def test_a_pixel_does_not_depend_on_the_window(
    tmp_path: Path, settings: dict[str, Any], crs: str, resampling: Any
) -> None:
    """One file is copied; others of another resolution and, in half the cases, on another grid are warped."""
    pixels = random(2, 600, 330)
    pixels[:, np.random.default_rng(4).random((600, 330)) < 0.1] = 0
    files = [
        place(tmp_path, "a", pixels[:, :40], 0, 0, nodata=0),
        write_scene(tmp_path / "b.tif", pixels, transform=TRANSFORM @ Affine.scale(0.7), nodata=0),
        write_scene(tmp_path / "c.tif", pixels[:, ::3], transform=TRANSFORM @ Affine.scale(2.3), nodata=0),
    ]
    scene = mosaic(
        files, SceneSettings(resampling=resampling), grid={"crs": crs, **(settings if crs[-1] == "2" else {})}
    )
    assert scene.in_cells
    selection = BandSelection((1, 2))
    whole, valid = read_window(scene, selection, scene.grid.window)
    assert 0.4 < valid.mean() <= 1
    generator = np.random.default_rng(9)
    for _ in range(25):
        row, col = (int(generator.integers(0, size)) for size in valid.shape)
        window = Window(row, col, int(generator.integers(1, 300)), int(generator.integers(1, 300)))
        window = window.intersect(scene.grid.window) or window
        part, found = read_window(scene, selection, window)
        np.testing.assert_array_equal(found, valid[window.slices(scene.grid.window)])
        np.testing.assert_array_equal(part, whole[:, *window.slices(scene.grid.window)])


def test_bilinear_does_not_mix_in_nodata(tmp_path: Path) -> None:
    """Half a pixel to the east, each pixel is the mean of two, or the one of them that is valid."""
    pixels = random(1, 20, 21, dtype="int16")
    pixels[0, np.random.default_rng(2).random((20, 21)) < 0.3] = -9999
    file = write_scene(tmp_path / "a.tif", pixels, nodata=-9999)
    # The pixel to the east of a border between two is the nearest one.
    scene = mosaic(
        [file], grid={"crs": "EPSG:32632", "resolution_m": 10, "bounds": [480_000, 5_479_800, 480_200, 5_480_000]}
    )
    np.testing.assert_array_equal(read(scene)[0], np.where(pixels == -9999, 0, pixels)[:, :, :20])
    moved = write_scene(tmp_path / "b.tif", pixels, nodata=-9999, transform=TRANSFORM @ Affine.translation(-0.25, 0))
    scene = mosaic(
        [moved], grid={"crs": "EPSG:32632", "resolution_m": 10, "bounds": [480_000, 5_479_800, 480_190, 5_480_000]}
    )
    values, mask = read(scene)
    near, far = pixels[:, :, :19].astype(float), pixels[:, :, 1:20].astype(float)
    expected = np.where(far == -9999, near, np.floor(near * 0.75 + far * 0.25 + 0.5))
    np.testing.assert_array_equal(mask, near[0] != -9999)
    np.testing.assert_array_equal(values[:, mask], expected[:, mask])


def test_blocks_that_no_file_touches_are_not_read(tmp_path: Path) -> None:
    files = [place(tmp_path, name, random(1, 16, 16), at, at) for name, at in (("a", 0), ("b", 500))]
    scene = mosaic(files)
    selection = select_bands(scene, 1)
    assert has_data(scene, selection, Window(0, 0, 20, 20))
    assert not has_data(scene, selection, Window(0, 100, 300, 300))
    assert not read_window(scene, selection, Window(0, 100, 300, 300))[1].any()


def test_undecodable_parts_are_holes_of_whole_cells_or_an_error(tmp_path: Path) -> None:
    file = place(
        tmp_path, "a", random(1, 600, 600), 0, 0, tiled=True, blockxsize=256, blockysize=256, compress="deflate"
    )
    scene = mosaic([file, place(tmp_path, "b", random(1, 600, 600, seed=2), 0, 600)])
    file.write_bytes(file.read_bytes()[:-200_000])
    selection = select_bands(scene, 1)
    with pytest.raises(SceneError, match=r"a\.tif cannot be read at rows"):
        read_around_holes(scene, selection, scene.grid.window)
    lenient = select_bands(scene, 1, SceneSettings(on_read_error="nodata"))
    done = read_around_holes(scene, lenient, scene.grid.window)
    assert done.holes
    assert all(hole.row % 256 == 0 and hole.col % 256 == 0 for hole in done.holes)
    assert done.valid[:, 800:].all()


def test_data_types_are_joined(tmp_path: Path) -> None:
    low = place(tmp_path, "a", random(2, 8, 8, dtype="uint8"), 0, 0)
    high = place(tmp_path, "b", random(2, 8, 8, dtype="int16") - 150, 0, 8)
    pixels, _ = read(mosaic([low, high]))
    assert pixels.dtype == np.int16
    np.testing.assert_array_equal(pixels[..., 8:], random(2, 8, 8, dtype="int16") - 150)


def test_an_item_that_was_replaced_by_another_grid_fails(tmp_path: Path) -> None:
    file = place(tmp_path, "a", random(1, 8, 8), 0, 0)
    scene = mosaic([file])
    place(tmp_path, "a", random(1, 8, 8), 3, 0)
    with pytest.raises(SceneError, match=r"a\.tif is not what it was said to be: 8 x 8 pixels .*5479970\), not 8 x 8"):
        read(scene)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"items": ["{folder}/*.jp2"]}, r"\*\.jp2 is a pattern that matches no file here"),
        ({"items": ["{folder}/empty"]}, "empty is a directory without a raster"),
        ({"items": ["{folder}/none.txt"]}, "none.txt lists no file"),
        ({"items": ["{folder}/missing.tif"]}, "missing.tif does not exist"),
        ({"items": ["https://example.com/a.tif"]}, "scene.remote=false"),
        ({"items": ["{folder}/a.tif", "{folder}/two.tif"]}, "two.tif has 2 bands, and .*a.tif has 1\\. The items"),
        ({"items": ["{folder}/a.tif", "{folder}/far.tif"]}, "over [0-9,]+ x [0-9,]+ km, more than the earth"),
        ({"grid": {"bounds": [0, 0, 1000, 1000]}}, "none of its 1 items touches grid.bounds"),
        ({"grid": {"bounds": [5, 0, 5, 1000]}}, "xmin, ymin, xmax, ymax that holds an area"),
        ({"grid": {"crs": "EPSG:0"}}, "grid.crs='EPSG:0' is no CRS"),
        ({"grid": {"crs": "EPSG:4326", "resolution_m": 10}}, "needs a CRS in metres"),
    ],
)
def test_what_cannot_be_a_mosaic(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "none.txt").write_text("# nothing\n\n")
    place(tmp_path, "a", random(1, 8, 8), 0, 0)
    place(tmp_path, "two", random(2, 8, 8), 0, 0)
    place(tmp_path, "far", random(1, 8, 8), 9_000_000, 0)
    items = [item.format(folder=tmp_path) for item in options.get("items", ["{folder}/a.tif"])]
    with pytest.raises((SceneError, SettingsError), match=message):
        mosaic(items, **{key: value for key, value in options.items() if key != "items"})


@pytest.mark.parametrize("resampling", ["nearest", "bilinear", "cubic"])
def test_two_utm_zones_fit_together_without_a_shift(tmp_path: Path, resampling: Any) -> None:
    """Both files show one smooth surface: where they meet, values go on as the surface does."""
    to_west = Transformer.from_crs(32633, 32632, always_xy=True)
    x, y = to_west.transform(716_500, 5_480_500, direction="INVERSE")
    west, east = from_origin(715_000, 5_480_000, 10, 10), from_origin(x, y, 10, 10)

    def surface(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return 5000 + 1000 * np.sin((x - 715_000) / 300) + 1000 * np.cos((y - 5_480_000) / 250)

    def centres(height: int, width: int, transform: Affine) -> tuple[np.ndarray, np.ndarray]:
        rows, cols = np.mgrid[:height, :width] + 0.5
        return transform.a * cols + transform.c, transform.e * rows + transform.f

    first = surface(*centres(300, 200, west)).round().astype(np.uint16)[None]
    second = surface(*to_west.transform(*centres(500, 500, east))).round().astype(np.uint16)[None]
    files = [
        write_scene(tmp_path / "west.tif", first, transform=west),
        write_scene(tmp_path / "east.tif", second, transform=east, crs="EPSG:32633"),
    ]
    grid = {"crs": "EPSG:32632", "bounds": [715_000, 5_477_000, 718_500, 5_480_000]}
    pixels, valid = read(mosaic(files, SceneSettings(resampling=resampling), grid=grid))
    assert valid[:, 200:].mean() > 0.9
    expected = surface(*centres(300, 350, west))
    off = np.abs(pixels[0] - expected)[valid]
    # The surface rises by up to 40 a pixel: a shift of a tenth of a pixel would show. Nearest is up to 0.7 pixels off.
    assert off.max() < (40 if resampling == "nearest" else 2)
