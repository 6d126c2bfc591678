"""Quality bands: what they rule out, and which are refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.transform import Affine, from_origin
from scipy.ndimage import binary_dilation

from geoseg.config import SceneSettings
from geoseg.errors import SceneError
from geoseg.grid.window import Window
from geoseg.raster.bands import select_bands
from geoseg.raster.read import read_counted, read_window
from geoseg.raster.source.scene import Scene, describe
from geoseg.raster.sparse import has_data
from geoseg.raster.validity.quality import Quality
from geoseg.raster.validity.quality_file import find_quality
from tests.support.scenes import TRANSFORM, textured, write_scene
from tests.support.vrts import warp
from tests.support.web import serve

HEIGHT, WIDTH = 130, 170
COARSE = TRANSFORM * Affine.scale(2)
SCL = (np.random.default_rng(1).integers(0, 12, (13, 17)).repeat(5, 0).repeat(5, 1))[None].astype(np.uint8)
"""Classes of Sentinel-2, at twice the pixel size."""
FINE = np.ones((1, 20 * HEIGHT, 20 * WIDTH), np.uint8)
BAD = np.isin(SCL[0], [0, 1, 3, 8, 9, 10]).repeat(2, 0).repeat(2, 1)


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    return write_scene(tmp_path / "T32_B4.tif", textured(HEIGHT, WIDTH), nodata=0)


def find(path: Path, wanted: dict[str, Any], **more: Any) -> tuple[Quality, list[str], Scene]:
    how = SceneSettings.model_validate({"quality": wanted, **more})
    described = describe(path, how)
    return *find_quality(described, how, described.grid.window), described


@pytest.mark.parametrize("name", ["{stem}_SCL.tif", "{stem}_SCL.tif#1", "*_SCL.tif", "sub/../{stem}_SCL.tif"])
def test_a_file_beside_the_scene(tmp_path: Path, scene: Path, name: str) -> None:
    (tmp_path / "sub").mkdir()
    write_scene(tmp_path / "T32_B4_SCL.tif", SCL, transform=COARSE)
    quality, warnings, described = find(scene, {"file": name, "preset": "s2-scl"})
    assert warnings == []
    np.testing.assert_array_equal(quality.mask(described.grid.window), ~BAD)


def test_rules(tmp_path: Path, scene: Path) -> None:
    flags = np.random.default_rng(0).integers(0, 1 << 16, (1, HEIGHT, WIDTH)).astype(np.uint16)
    path = str(write_scene(tmp_path / "qa.tif", flags, nodata=int(flags[0, 0, 0])))
    known = flags[0] != flags[0, 0, 0]
    for wanted, good in (
        ({"preset": "landsat-qa"}, flags[0] & 0b11111 == 0),
        ({"bits": [3, 15]}, flags[0] & 0x8008 == 0),
        ({"invalid": [int(flags[0, 5, 5]), 7]}, ~np.isin(flags[0], [flags[0, 5, 5], 7])),
    ):
        quality, _, described = find(scene, {"file": path, **wanted})
        np.testing.assert_array_equal(quality.mask(described.grid.window), good & known)


@pytest.mark.parametrize("grow", [0, 1, 7, 40])
def test_growth_is_that_of_the_whole_scene(tmp_path: Path, scene: Path, grow: int) -> None:
    clear = np.full_like(SCL, 4)
    clear[0, 20:22, 30:33] = clear[0, 60, 80] = 9
    write_scene(tmp_path / "scl.tif", clear, transform=COARSE)
    quality, _, _ = find(scene, {"file": "scl.tif", "preset": "s2-scl", "grow_px": grow})
    bad = (clear[0] == 9).repeat(2, 0).repeat(2, 1)
    expected = ~binary_dilation(bad, np.ones((2 * grow + 1, 2 * grow + 1), bool))
    whole = Window(0, 0, HEIGHT, WIDTH)
    np.testing.assert_array_equal(quality.mask(whole), expected)

    @given(st.integers(0, 120), st.integers(0, 160), st.integers(1, 60), st.integers(1, 60))
    @settings(max_examples=30, deadline=None)
    def test(row: int, col: int, height: int, width: int) -> None:
        window = Window(row, col, height, width).intersect(whole)
        assert window is not None
        np.testing.assert_array_equal(quality.mask(window), expected[window.slices(whole)])

    test()


@pytest.mark.parametrize("warped", [False, True])
def test_a_quality_band_in_another_crs_does_not_depend_on_the_window(tmp_path: Path, scene: Path, warped: bool) -> None:
    classes = np.random.default_rng(0).integers(0, 12, (1, 400, 400)).astype(np.uint8)
    path = write_scene(
        tmp_path / "zone33.tif", classes, crs="EPSG:32633", transform=from_origin(42_000, 5_500_000, 20, 20)
    )
    if warped:  # GDAL computes the pixels of this VRT from the window that is read
        path = warp(tmp_path / "zone32.vrt", path, "nearest", crs="EPSG:32632")
    quality, _, described = find(scene, {"file": str(path), "preset": "s2-scl"})
    assert quality.source.in_cells == warped
    whole = quality.mask(described.grid.window)
    assert 0.3 < whole.mean() < 0.7
    for window in (Window(3, 5, 50, 60), Window(77, 100, 53, 70)):
        np.testing.assert_array_equal(quality.mask(window), whole[window.slices(described.grid.window)])


def test_reading_leaves_out_what_is_ruled_out(tmp_path: Path, scene: Path) -> None:
    write_scene(tmp_path / "scl.tif", SCL, transform=COARSE)
    quality, _, described = find(scene, {"file": "scl.tif", "preset": "s2-scl"})
    plain = select_bands(described, 4)
    pixels, valid = read_window(described, plain, described.grid.window)
    selection = type(plain)(plain.bands, quality=quality)
    same, fewer = read_window(described, selection, described.grid.window)
    np.testing.assert_array_equal(same, pixels)
    np.testing.assert_array_equal(fewer, valid & ~BAD)
    rows, cols = np.nonzero(BAD.reshape(13, 10, 17, 10).all((1, 3)))
    window = Window(10 * int(rows[0]), 10 * int(cols[0]), 10, 10)
    losses = read_counted(described, selection, window, window).losses
    assert losses["quality"] == valid[window.slices(described.grid.window)].sum()


def test_a_band_of_the_scene_itself(tmp_path: Path) -> None:
    stacked = np.concatenate([textured(HEIGHT, WIDTH), SCL.repeat(2, 1).repeat(2, 2).astype(np.uint16)])
    path = write_scene(tmp_path / "stack.tif", stacked)
    quality, _, described = find(path, {"file": "#5", "preset": "s2-scl"})
    np.testing.assert_array_equal(quality.mask(described.grid.window), ~BAD)
    how = SceneSettings.model_validate({"quality": {"file": "#5", "preset": "s2-scl"}})
    assert select_bands(described, 4, how).bands == (1, 2, 3, 4)
    with pytest.raises(SceneError, match=r"Band 5 .* cannot be both input and quality band"):
        select_bands(described, 5, how)


def test_absent_tiles_under_a_cloud_elsewhere_count_as_data(tmp_path: Path) -> None:
    """In a sparse file without nodata absent tiles are 0 and data, also if the first pixel lies under a cloud."""
    path = tmp_path / "sparse.tif"
    with rasterio.open(
        path, "w", driver="GTiff", height=64, width=64, count=1, dtype="uint8", crs="EPSG:32632", transform=TRANSFORM,
        tiled=True, blockxsize=32, blockysize=32, sparse_ok=True,
    ) as dataset:  # fmt: skip
        dataset.write(np.full((32, 32), 9, np.uint8), 1, window=((0, 32), (0, 32)))
    cloud = np.zeros((1, 64, 64), np.uint8)
    cloud[0, 32:40, 32:40] = 1
    write_scene(tmp_path / "cloud.tif", cloud)
    quality, _, described = find(path, {"file": "cloud.tif", "invalid": [1]})
    selection = type(select_bands(described, 1))((1,), quality=quality)
    assert has_data(described, selection, Window(32, 32, 32, 32))
    assert read_window(described, selection, Window(32, 32, 32, 32))[1].sum() == 32 * 32 - 64


@pytest.mark.parametrize(
    ("content", "transform", "wanted", "words"),
    [
        (SCL, COARSE, {"file": "absent.tif", "preset": "s2-scl"}, "absent.tif does not exist"),
        (SCL, COARSE, {"file": "n*.tif", "preset": "s2-scl"}, "matches no files. It must match one"),
        (SCL, COARSE, {"file": "*.tif", "preset": "s2-scl"}, "matches 2 files"),
        (SCL, COARSE, {"file": "https://example.com/a.tif", "preset": "s2-scl"}, "scene.remote=false"),
        (SCL, COARSE, {"file": "/vsizip/a.zip/a.tif", "preset": "s2-scl"}, "neither a file that exists here nor"),
        (SCL, COARSE, {"file": "scl.tif#2", "preset": "s2-scl"}, "has 1 bands, counted from 1, and no band 2"),
        (SCL.repeat(2, 0), COARSE, {"file": "scl.tif", "preset": "s2-scl"}, "has 2 bands. Write FILE#BAND"),
        (SCL * 20, COARSE, {"file": "scl.tif", "preset": "s2-scl"}, "holds 20, 40, 60, .* and a scene classification"),
        (SCL, COARSE, {"file": "scl.tif", "invalid": [300]}, "holds uint8, which is never 300"),
        (SCL, COARSE, {"file": "scl.tif", "invalid": [0.5]}, "holds uint8, which is never 0.5"),
        (SCL, COARSE, {"file": "scl.tif", "bits": [8]}, "holds uint8, which has no bit 8"),
        (SCL, COARSE, {"file": "scl.tif", "preset": "landsat-qa"}, "holds uint8, and QA_PIXEL of Landsat"),
        (SCL.astype(np.float32), COARSE, {"file": "scl.tif", "bits": [3]}, "holds float32, which has no bit 3"),
        (SCL, TRANSFORM, {"file": "scl.tif", "preset": "s2-scl"}, "covers 25% of the edge of the scene"),
        (SCL, from_origin(9e5, 4e6, 20, 20), {"file": "scl.tif", "preset": "s2-scl"}, "covers 0% of the edge"),
        (FINE, TRANSFORM * Affine.scale(1 / 20), {"file": "scl.tif", "invalid": [1]}, "more than 16 times finer"),
    ],
)  # fmt: skip
def test_what_is_refused(
    tmp_path: Path, scene: Path, content: Any, transform: Affine, wanted: dict[str, Any], words: str
) -> None:
    write_scene(tmp_path / "scl.tif", content, transform=transform)
    with pytest.raises(SceneError, match=words) as raised:
        find(scene, wanted)
    assert str(scene) in str(raised.value)


def test_a_rim_of_less_than_half_a_pixel_takes_the_nearest(tmp_path: Path, scene: Path) -> None:
    write_scene(tmp_path / "scl.tif", SCL[:, :-1], transform=COARSE @ Affine.translation(0.4, 0.49))
    quality, _, described = find(scene, {"file": "scl.tif", "preset": "s2-scl"})
    assert quality.mask(described.grid.window).any()
    write_scene(tmp_path / "scl.tif", SCL[:, :-3], transform=COARSE)
    with pytest.raises(SceneError, match="covers 70% of the edge"):
        find(scene, {"file": "scl.tif", "preset": "s2-scl"})


def test_a_rule_that_meets_nothing_is_a_warning(tmp_path: Path, scene: Path) -> None:
    write_scene(tmp_path / "mask.tif", np.where(BAD, 255, 0)[None].astype(np.uint8))
    _, warnings, _ = find(scene, {"file": "mask.tif", "invalid": [1]})
    (text,) = warnings
    assert text == (
        f"{scene}: none of 22,100 sampled pixels of its quality band {tmp_path / 'mask.tif'} has the values 1 of "
        "scene.quality; they hold 0, 255. Unless the scene is clear, correct the rule."
    )


def test_a_server(tmp_path: Path) -> None:
    (tmp_path / "web").mkdir()
    write_scene(tmp_path / "web/a.tif", textured(HEIGHT, WIDTH), nodata=0)
    write_scene(tmp_path / "web/a_SCL.tif", SCL, transform=COARSE)
    with serve(tmp_path / "web", tmp_path / "log") as web:
        more = {"remote": True, "allow_private_hosts": True}
        quality, _, described = find(f"{web.url}/a.tif", {"file": "{stem}_SCL.tif", "preset": "s2-scl"}, **more)
        np.testing.assert_array_equal(quality.mask(described.grid.window), ~BAD)
        assert quality.source.remote
        with pytest.raises(SceneError, match="its quality band"):
            find(f"{web.url}/a.tif", {"file": "{stem}_absent.tif", "preset": "s2-scl"}, **more)


def test_a_damaged_file_fails(tmp_path: Path, scene: Path) -> None:
    path = write_scene(tmp_path / "scl.tif", SCL, transform=COARSE, compress="deflate")
    quality, _, described = find(scene, {"file": "scl.tif", "preset": "s2-scl"})
    content = path.read_bytes()
    start = int(_offset(path))
    path.write_bytes(content[:start] + bytes(20) + content[start + 20 :])
    with pytest.raises(SceneError, match=r"The quality band .*scl\.tif cannot be read"):
        quality.mask(described.grid.window)


def _offset(path: Path) -> str:
    with rasterio.open(path) as dataset:
        return str(dataset.get_tag_item("BLOCK_OFFSET_0_0", "TIFF", bidx=1))
