"""Quality bands that are assets of STAC Items: each source of a mosaic is masked by its own."""

from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from rasterio.transform import Affine
from scipy.ndimage import maximum_filter

from geoseg.catalog.mosaic import describe_mosaic
from geoseg.config import SceneSettings
from geoseg.mosaic_settings import MosaicSettings
from geoseg.raster.bands import select_bands
from geoseg.raster.read import read_window
from geoseg.verify.validate import validate
from tests.run.test_items import run_entry
from tests.run.test_mosaics import run_mosaic
from tests.support.bundles import unet_bundle
from tests.support.scenes import TRANSFORM, digests, read_band, run, textured, write_scene
from tests.support.stac import write_item

HEIGHT, WIDTH, STRIDE = 120, 160, 24
BANDS = ("blue", "green", "red", "nir")
SCL = {"asset": "scl", "preset": "s2-scl"}
FP32 = {"address": "inline", "precision": "fp32"}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unet_bundle(tmp_path_factory.mktemp("bundle") / "bundle", bands=list(BANDS))


def clouds(seed: int) -> np.ndarray:
    """A scene classification at half the resolution: blobs of cloud and shadow among vegetation."""
    rng = np.random.default_rng(seed)
    rows, cols = np.mgrid[: HEIGHT // 2, : WIDTH // 2]
    classes = np.full(rows.shape, 4, np.uint8)
    for value in (3, 8, 9, 10):
        row, col = rng.integers(0, HEIGHT // 2), rng.integers(0, WIDTH // 2)
        classes[np.hypot(rows - row, cols - col) < 9] = value
    return classes


def is_cloud(classes: np.ndarray) -> np.ndarray:
    return np.isin(classes, [0, 1, 3, 8, 9, 10]).repeat(2, 0).repeat(2, 1)


def make_item(folder: Path, name: str, seed: int, col: int = 0, quality: str = "scl") -> Path:
    """An Item of four bands in a file and a scene classification in another one, ``col`` pixels to the east."""
    moved = TRANSFORM @ Affine.translation(col, 0)
    write_scene(folder / f"{name}_data.tif", textured(HEIGHT, WIDTH, seed=seed), nodata=0, transform=moved)
    write_scene(folder / f"{name}_scl.tif", clouds(seed)[None], transform=moved @ Affine.scale(2))
    assets = {
        "data": {"href": f"{name}_data.tif", "bands": [{"name": band} for band in BANDS]},
        quality: {"href": f"{name}_scl.tif"},
    }
    return write_item(folder / f"{name}.json", assets)


def test_an_item_is_masked_as_a_file_is(bundle: Path, tmp_path: Path) -> None:
    item = make_item(tmp_path, "region", seed=0)
    (tmp_path / "region.tif").symlink_to(tmp_path / "region_data.tif")
    as_file = {"file": str(tmp_path / "region_scl.tif"), "preset": "s2-scl", "grow_px": 2}
    wanted = {"quality": as_file, "observed_at": "2024-06-21T10:30:00Z"}
    assert run(tmp_path / "region.tif", bundle, tmp_path / "file", scene=wanted).exit_code == 0
    how = {"scene": {"quality": {**SCL, "grow_px": 2}}}
    assert run_entry(str(item), bundle, tmp_path / "item", **how).exit_code == 0
    assert digests(tmp_path / "item") == digests(tmp_path / "file")
    refused = run_entry(str(item), bundle, tmp_path / "item", scene={"quality": SCL}).scenes[0]
    assert "scene.quality was " in refused["error"]
    with rasterio.open(tmp_path / "region_scl.tif", "r+") as dataset:
        dataset.write(np.full((1, 5, 5), 9, np.uint8), window=((30, 35), (5, 10)))
    assert (
        "region_scl.tif has changed since" in run_entry(str(item), bundle, tmp_path / "item", **how).scenes[0]["error"]
    )


@pytest.mark.parametrize("pick", ["first", "median", "fuse"])
def test_clouds_of_one_date_are_filled_from_the_others(bundle: Path, tmp_path: Path, pick: str) -> None:
    items = [make_item(tmp_path, f"date{seed}", seed) for seed in range(2)]
    valid = [(textured(HEIGHT, WIDTH, seed=seed)[0] > 0) & ~is_cloud(clouds(seed)) for seed in range(2)]
    found = []
    for strides in (2, 14):
        output = tmp_path / f"{strides}"
        report = run_mosaic(
            items, bundle, output, mosaic={"pick": pick}, scene={"quality": SCL}, run=FP32,
            tiling={"block_px": strides * STRIDE}, polygons={"simplify_px": 0},
        )  # fmt: skip
        assert report.exit_code == 0, report.failed
        found.append(digests(output))
    assert found[0] == found[1]
    classes = read_band(output / "rasters/region/classes.tif")
    np.testing.assert_array_equal(classes != 255, valid[0] | valid[1])
    assert (valid[0] | valid[1]).sum() > valid[0].sum() + 500
    assert [check.finding for check in validate(output) if not check.finding.ok] == []
    rows, cols = np.nonzero(is_cloud(clouds(0)) & is_cloud(clouds(1)))
    centres = shapely.points(*(TRANSFORM * (cols + 0.5, rows + 0.5)))
    assert len(rows) > 50
    assert not len(gpd.read_parquet(output / "polygons").sindex.query(centres, predicate="intersects")[0])


def read(items: list[Path], **quality: Any) -> tuple[np.ndarray, np.ndarray]:
    settings = SceneSettings.model_validate({"quality": {**SCL, **quality}})
    scene = describe_mosaic(MosaicSettings(id="m", items=tuple(map(str, items))), settings, BANDS)
    return read_window(scene, select_bands(scene, 4, settings), scene.grid.window)


def test_clouds_grow_and_rims_do_not(tmp_path: Path) -> None:
    """The second Item begins where the first one ends: nothing is lost between them."""
    items = [make_item(tmp_path, "west", 0), make_item(tmp_path, "east", 1, col=WIDTH)]
    _, valid = read(items, grow_px=3)
    expected = np.concatenate(
        [
            (textured(HEIGHT, WIDTH, seed=seed)[0] > 0) & ~maximum_filter(is_cloud(clouds(seed)), 7, mode="constant")
            for seed in range(2)
        ],
        axis=1,
    )
    np.testing.assert_array_equal(valid, expected)
    assert valid[:, WIDTH - 2 : WIDTH + 2].any()


def test_bits_and_other_names_of_the_band(tmp_path: Path) -> None:
    """QA_PIXEL of Landsat: bit 3 is cloud, bit 7 water."""
    item = make_item(tmp_path, "landsat", 0, quality="qa_pixel")
    flags = np.where(clouds(0) == 4, 1 << 7, 1 << 3).astype(np.uint16)
    write_scene(tmp_path / "landsat_scl.tif", flags[None], transform=TRANSFORM @ Affine.scale(2))
    _, valid = read([item], asset="QA_PIXEL", preset="landsat-qa")
    np.testing.assert_array_equal(
        valid, (textured(HEIGHT, WIDTH, seed=0)[0] > 0) & (flags == 1 << 7).repeat(2, 0).repeat(2, 1)
    )


def test_what_cannot_be_a_quality_asset(bundle: Path, tmp_path: Path) -> None:
    item = make_item(tmp_path, "region", 0)

    def error(entry: Path, **quality: Any) -> str:
        return str(
            run_entry(str(entry), bundle, tmp_path / "out", scene={"quality": {**SCL, **quality}}).failed[0]["error"]
        )

    assert "no band is named clouds. There are: data (blue), " in error(item, asset="clouds")
    plain = error(tmp_path / "region_data.tif")
    assert "is no STAC Item, so it has no asset scl (scene.quality.asset). Name its quality band with" in plain
    assert "holds uint8, and QA_PIXEL of Landsat (landsat-qa) is uint16" in error(item, preset="landsat-qa")
    write_scene(tmp_path / "region_scl.tif", clouds(0)[None] + np.uint8(90), transform=TRANSFORM @ Affine.scale(2))
    assert "a scene classification (s2-scl) holds 0 to 11" in error(item)
    (tmp_path / "region_scl.tif").unlink()
    assert "Item region, asset scl: " in error(item)
