"""The table of bad and odd inputs, continued: reading with settings that accept them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from numpy.typing import NDArray
from rasterio.vrt import WarpedVRT

from geoseg.config import SceneSettings
from geoseg.errors import SceneError
from geoseg.grid.window import Window
from geoseg.raster.bands import BandSelection, describe_warnings, select_bands
from geoseg.raster.decode_errors import describe_holes, read_around_holes
from geoseg.raster.read import read_window
from geoseg.raster.sample import sample_warnings, take_sample
from geoseg.raster.source.palette import apply_palette
from geoseg.raster.source.scene import Scene, describe

Make = Callable[..., Path]


def noise(*shape: int, dtype: str = "uint8") -> NDArray[Any]:
    return np.random.default_rng(4).integers(1, 100, shape).astype(dtype)


def warnings(scene: Scene, selection: BandSelection, share: float = 0.5) -> list[str]:
    return sample_warnings(scene, selection, take_sample(scene, selection), share)


@pytest.mark.parametrize("dtype", ["int32", "uint32", "float64"])
def test_row12_integers_beyond_float32_are_read_exactly_and_warned_of(make: Make, dtype: str) -> None:
    data = noise(1, 20, 20, dtype=dtype)
    data[0, 0, 0] = 2**24 + 1
    scene = describe(make(data))
    selection = select_bands(scene, 1)
    pixels, valid = read_window(scene, selection, scene.grid.window)
    assert (pixels[0, 0, 0], valid.all()) == (2**24 + 1, True)
    assert pixels.astype(np.float32)[0, 0, 0] == 2**24, "what the model gets"
    assert "integers above 16777216 are rounded" in describe_warnings(scene, selection)[0]


@pytest.fixture
def paletted(make: Make) -> tuple[Path, NDArray[Any], NDArray[Any]]:
    """A paletted file with a nodata value, its indices and its colours."""
    indices = np.random.default_rng(1).integers(0, 8, (30, 40)).astype(np.uint8)
    colours = np.random.default_rng(2).integers(0, 256, (256, 4)).astype(np.uint8)
    colours[:, 3] = 255
    path = make(indices[None], photometric="palette", nodata=3)
    with rasterio.open(path, "r+") as dataset:
        dataset.write_colormap(1, dict(enumerate(map(tuple, colours.tolist()))))
    return path, indices, colours


def test_row14_a_palette_becomes_colours(paletted: tuple[Path, NDArray[Any], NDArray[Any]]) -> None:
    path, indices, colours = paletted
    scene = describe(path, SceneSettings(expand_palette=True))
    assert (scene.bands, scene.roles) == (3, ("red", "green", "blue"))
    window = Window(3, 7, 20, 30)
    at = window.slices(scene.grid.window)
    for bands in ("auto", (3, 1, 2)):
        selection = select_bands(scene, 3, SceneSettings(bands=bands))
        pixels, valid = read_window(scene, selection, window)
        expected = colours[indices[at]].transpose(2, 0, 1)
        np.testing.assert_array_equal(pixels, expected[[band - 1 for band in selection.bands]])
        np.testing.assert_array_equal(valid, indices[at] != 3)


def test_row14_without_the_setting_it_is_refused_with_it(paletted: tuple[Path, NDArray[Any], NDArray[Any]]) -> None:
    with pytest.raises(SceneError, match=r"indices of a palette.*Set scene\.expand_palette, or expand it first"):
        select_bands(describe(paletted[0]), 3)
    with pytest.raises(SceneError, match=r"scene\.mask_band=2 with scene\.expand_palette"):
        select_bands(describe(paletted[0], SceneSettings(expand_palette=True)), 3, SceneSettings(mask_band=2))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_row14_transparent_colours_and_indices_beyond_the_palette_are_not_valid(dtype: type) -> None:
    pixels, valid = apply_palette(np.array([[0, 1, 2]], dtype), ((9, 8, 7, 255), (1, 2, 3, 0)))
    assert (pixels[:, 0].T.tolist(), valid.tolist()) == ([[9, 8, 7], [1, 2, 3], [0, 0, 0]], [[True, False, False]])


def test_row14_palettes_of_two_bytes(make: Make) -> None:
    path = make(np.array([[[0, 1, 65535]]], np.uint16), photometric="palette")
    with rasterio.open(path, "r+") as dataset:
        dataset.write_colormap(1, {0: (9, 8, 7, 255), 65535: (1, 2, 3, 255)})
    scene = describe(path, SceneSettings(expand_palette=True))
    pixels, valid = read_window(scene, select_bands(scene, 3), scene.grid.window)
    assert pixels[:, 0].T.tolist() == [[9, 8, 7], [0, 0, 0], [1, 2, 3]]
    assert valid.all()


def test_row14_other_scenes_stay_as_they_are(make: Make) -> None:
    path = make(noise(3, 8, 8))
    assert describe(path, SceneSettings(expand_palette=True)) == describe(path)


@pytest.fixture
def damaged(make: Make) -> tuple[Path, NDArray[Any], NDArray[np.bool_]]:
    """A file of 4 x 4 internal tiles one of which cannot be decoded, its pixels and the hole."""
    data = noise(2, 256, 256)
    path = make(data, tiled=True, blockxsize=64, blockysize=64, compress="deflate")
    with rasterio.open(path) as dataset:
        offset, size = (int(dataset.get_tag_item(f"BLOCK_{what}_1_2", "TIFF", bidx=1)) for what in ("OFFSET", "SIZE"))
    content = bytearray(path.read_bytes())
    content[offset : offset + size] = b"\xff" * size
    path.write_bytes(content)
    hole = np.zeros((256, 256), bool)
    hole[128:192, 64:128] = True
    return path, data, hole


WINDOWS = [Window(0, 0, 256, 256), Window(100, 100, 100, 100), Window(130, 70, 5, 5), Window(0, 0, 64, 64)]


@pytest.mark.parametrize("window", WINDOWS, ids=str)
def test_row23_holes_are_the_tiles_that_cannot_be_decoded(
    damaged: tuple[Path, NDArray[Any], NDArray[np.bool_]], window: Window
) -> None:
    path, data, hole = damaged
    scene = describe(path)
    selection = select_bands(scene, 2, SceneSettings(on_read_error="nodata"))
    pixels, valid, holes, _ = read_around_holes(scene, selection, window)
    at = window.slices(scene.grid.window)
    np.testing.assert_array_equal(valid, ~hole[at])
    np.testing.assert_array_equal(pixels, np.where(hole[at], 0, data[(slice(None), *at)]))
    assert sum(part.pixels for part in holes) == hole[at].sum()
    words = describe_holes(scene, holes)
    assert bool(words) == bool(hole[at].any())
    assert all(f"{path}: {hole[at].sum()} pixels cannot be decoded" in text for text in words)


def test_row23_by_default_the_scene_fails(damaged: tuple[Path, NDArray[Any], NDArray[np.bool_]]) -> None:
    scene = describe(damaged[0])
    with pytest.raises(SceneError, match=r"cannot be read at rows 0:256.*scene\.on_read_error=nodata"):
        read_around_holes(scene, select_bands(scene, 2), scene.grid.window)


def test_row23_a_missing_file_is_not_a_hole(make: Make) -> None:
    scene = describe(make(noise(1, 64, 64)))
    selection = select_bands(scene, 1, SceneSettings(on_read_error="nodata"))
    Path(scene.path).unlink()
    with pytest.raises(SceneError, match="can no longer be opened"):
        read_around_holes(scene, selection, scene.grid.window)


def read_whole(path: Path) -> NDArray[Any]:
    scene = describe(path)
    return read_window(scene, select_bands(scene, 1), scene.grid.window)[0]


def vrt_of(source: str, folder: Path, name: str) -> Path:
    """A VRT of 64 x 64 pixels over one source."""
    path = folder / name
    path.write_text(
        '<VRTDataset rasterXSize="64" rasterYSize="64"><SRS>EPSG:32633</SRS>'
        "<GeoTransform>500000, 2, 0, 5000000, 0, -2</GeoTransform>"
        '<VRTRasterBand dataType="Byte" band="1"><NoDataValue>0</NoDataValue><SimpleSource>'
        f'<SourceFilename relativeToVRT="1">{source}</SourceFilename></SimpleSource></VRTRasterBand></VRTDataset>'
    )
    return path


def test_row27_a_vrt_of_a_vrt_is_its_pixels(make: Make, tmp_path: Path) -> None:
    data = noise(1, 64, 64)
    source = make(data)
    vrt_of(source.name, tmp_path, "inner.vrt")
    scene = describe(vrt_of("inner.vrt", tmp_path, "outer.vrt"))
    assert {Path(file).name for file in scene.files} == {"outer.vrt", "inner.vrt", source.name}
    np.testing.assert_array_equal(read_window(scene, select_bands(scene, 1), scene.grid.window)[0], data)


@pytest.mark.parametrize("chain", [["a.vrt"], ["a.vrt", "b.vrt"], ["a.vrt", "b.vrt", "c.vrt"]])
def test_row27_a_vrt_that_reads_itself_fails_and_does_not_hang(tmp_path: Path, chain: list[str]) -> None:
    for name, source in zip(chain, [*chain[1:], chain[0]], strict=True):
        vrt_of(source, tmp_path, name)
    with pytest.raises(SceneError, match=r"a\.vrt"):
        read_whole(tmp_path / "a.vrt")


def test_row27_a_warped_vrt_is_read_and_its_source_is_one_of_its_files(make: Make, tmp_path: Path) -> None:
    source, path = make(noise(1, 64, 64), nodata=0), tmp_path / "warped.vrt"
    with rasterio.open(source) as dataset, WarpedVRT(dataset, crs="EPSG:4326") as warped:
        expected = warped.read()
        rasterio.shutil.copy(warped, path, driver="VRT")
    scene = describe(path)
    assert str(source) in scene.files
    np.testing.assert_array_equal(read_window(scene, select_bands(scene, 1), scene.grid.window)[0], expected)
    source.unlink()
    with pytest.raises(SceneError, match=r"warped\.vrt"):
        describe(path)


def with_not_finite(share: float) -> NDArray[Any]:
    data = noise(2, 100, 100, dtype="float32")
    data[1].flat[: round(share * 10_000)] = np.nan
    data[0, -1, -1] = np.inf
    return data


def test_row31_not_finite_pixels_are_counted_and_too_many_refused(make: Make) -> None:
    scene = describe(make(with_not_finite(0.25)))
    selection = select_bands(scene, 2)
    (text,) = warnings(scene, selection)
    assert text.startswith(f"{scene.path}: 25.0% of 10000 pixels of a sample are NaN or infinite")
    with pytest.raises(SceneError, match=r"25\.0% of 10000 .* at most 20\.0% .*scene\.max_nonfinite_share higher"):
        warnings(scene, selection, 0.2)


def test_row31_declared_nan_is_nodata_and_not_counted(make: Make) -> None:
    data = with_not_finite(0.9)
    data[0, -1, -1] = 7
    scene = describe(make(data, nodata=np.nan))
    assert warnings(scene, select_bands(scene, 2), 0.0) == []


def columns(value: int, share: float) -> NDArray[Any]:
    data = noise(1, 100, 100)
    data[0, :, : round(100 * share)] = value
    return data


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (columns(255, 0.4), ["band 1 is saturated: 40% of 10000 pixels"]),
        (columns(255, 0.1), []),
        (columns(9, 1), ["band 1 holds 9 everywhere"]),
        (columns(0, 0.4), []),
    ],
)
def test_row32_constant_and_saturated_bands_are_warnings(make: Make, data: NDArray[Any], words: list[str]) -> None:
    scene = describe(make(data))
    found = warnings(scene, select_bands(scene, 1))
    assert len(found) == len(words)
    assert all(word in text for word, text in zip(words, found, strict=True))


def test_row32_nodata_and_holes_are_left_out_of_the_sample(
    make: Make, damaged: tuple[Path, NDArray[Any], NDArray[np.bool_]]
) -> None:
    path, _, _ = damaged
    scene = describe(path)
    assert take_sample(scene, select_bands(scene, 2)).pixels == 0, "a small scene is one window"
    scene = describe(make(columns(0, 0.3), name="holes.tif", nodata=0))
    sample = take_sample(scene, select_bands(scene, 1))
    assert (sample.pixels, sample.values.shape) == (7000, (1, 7000))


@pytest.mark.parametrize(("height", "width", "most"), [(3000, 2000, 16), (50, 9000, 4), (385, 384, 16), (1, 1, 1)])
def test_row32_a_sample_is_small_and_spread(make: Make, height: int, width: int, most: int) -> None:
    rows = np.arange(height, dtype=np.uint16)[None, :, None] * np.ones((1, 1, width), np.uint16)
    scene = describe(make(rows, tiled=True, blockxsize=64, blockysize=64))
    sample = take_sample(scene, select_bands(scene, 1))
    assert 0 < sample.pixels <= most * 96 * 96
    if height > 384:
        assert sample.values.min() < height / 4
        assert sample.values.max() > height * 3 / 4


def scaled_file(make: Make) -> Path:
    data = noise(2, 20, 20, dtype="int16")
    data[:, 0, 0] = -9999
    path = make(data, nodata=-9999)
    with rasterio.open(path, "r+") as dataset:
        dataset.scales, dataset.offsets = (0.0001, 0.1), (-0.5, 0)
    return path


def test_row33_scale_and_offset_are_applied_when_asked_for(make: Make) -> None:
    scene = describe(scaled_file(make))
    stored, valid = read_window(scene, select_bands(scene, 2), scene.grid.window)
    assert stored.dtype == np.int16
    selection = select_bands(scene, 2, SceneSettings(bands=(2, 1), apply_scale=True))
    pixels, same = read_window(scene, selection, scene.grid.window)
    assert pixels.dtype == np.float32 == selection.dtype(scene)
    np.testing.assert_allclose(pixels[0], stored[1] * 0.1, rtol=1e-6)
    np.testing.assert_allclose(pixels[1], stored[0] * 0.0001 - 0.5, rtol=1e-6)
    np.testing.assert_array_equal(valid, same, "nodata is what is stored")
    assert not valid[0, 0]


def test_row33_scaling_is_a_warning(make: Make) -> None:
    scene = describe(scaled_file(make))
    assert "Set scene.apply_scale if" in describe_warnings(scene, select_bands(scene, 2))[0]
    applied = describe_warnings(scene, select_bands(scene, 2, SceneSettings(apply_scale=True)))
    assert applied == [
        f"{scene.path}: stored numbers are scaled as the file declares, by band: x 0.0001 + -0.5, x 0.1 + 0."
    ]
    plain = describe(make(noise(1, 8, 8)))
    assert describe_warnings(plain, select_bands(plain, 1, SceneSettings(apply_scale=True))) == []
    assert (
        read_window(plain, select_bands(plain, 1, SceneSettings(apply_scale=True)), plain.grid.window)[0].dtype
        == np.uint8
    )
