"""Where a model is tried: whole patches, spread over the valid part of scenes of any size."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import rasterio

from geoseg.errors import SceneError
from geoseg.grid.window import Window
from geoseg.raster.bands import select_bands
from geoseg.raster.source.scene import describe
from geoseg.trial.sites import MAX_PLACES, MAX_SITES, Site, read_sites, spread
from tests.support.scenes import TRANSFORM, textured, write_scene

BANDS = 4


def sites(path: Path, patch_px: int) -> list[Site]:
    scene = describe(path)
    return list(read_sites(scene, select_bands(scene, BANDS), patch_px))


def sparse(path: Path, side: int, **profile: object) -> rasterio.io.DatasetWriter:
    """A file of which nothing is stored yet."""
    return rasterio.open(
        path, "w", driver="GTiff", height=side, width=side, count=BANDS, dtype="uint16", nodata=0, tiled=True,
        blockxsize=512, blockysize=512, sparse_ok=True, crs="EPSG:32632", transform=TRANSFORM, bigtiff="yes", **profile,
    )  # fmt: skip


@pytest.mark.parametrize("shape", [(1, 1), (40, 700), (256, 256), (511, 300), (1000, 2000), (200_000, 200_000)])
def test_places_lie_apart_inside_the_scene(shape: tuple[int, int]) -> None:
    scene = Window(0, 0, *shape)
    places = spread(scene, 256)
    assert len(places) == min(MAX_PLACES, max(1, shape[0] // 256) * max(1, shape[1] // 256))
    assert all(scene.contains(place) for place in places)
    assert {place.shape for place in places} == {(min(256, shape[0]), min(256, shape[1]))}
    few = places[:60]
    assert not any(a.intersect(b) for index, a in enumerate(few) for b in few[:index])


def test_the_first_places_lie_in_all_quarters() -> None:
    first = spread(Window(0, 0, 10_000, 10_000), 256)[:MAX_SITES]
    assert {(place.row < 5000, place.col < 5000) for place in first} == {
        (a, b) for a in (True, False) for b in (True, False)
    }


def test_pixels_are_those_of_the_file(tmp_path: Path) -> None:
    path = write_scene(tmp_path / "scene.tif", textured(600, 700), nodata=0)
    found = sites(path, 96)
    assert len(found) == 6
    with rasterio.open(path) as dataset:
        for site in found:
            expected = dataset.read(window=site.window.ranges)
            np.testing.assert_array_equal(site.pixels, expected)
            np.testing.assert_array_equal(site.valid, (expected != 0).all(0))
            assert site.window.shape == (192, 192), "two patches on a side"


def test_places_with_data_come_before_others(tmp_path: Path) -> None:
    pixels = np.zeros((BANDS, 1024, 1024), np.uint16)
    pixels[:, :300, 500:] = 7
    found = sites(write_scene(tmp_path / "scene.tif", pixels, nodata=0), 256)
    shares = [site.valid.mean() for site in found]
    assert shares[:2] == [1, 1]
    assert 0 < shares[2] < 0.5, "what is left at the edge of the data"
    assert all(site.valid.any() for site in found)


def test_a_scene_smaller_than_a_patch_is_one_place(tmp_path: Path) -> None:
    (site,) = sites(write_scene(tmp_path / "scene.tif", textured(30, 50)), 256)
    assert site.window == Window(0, 0, 30, 50)


def test_a_patch_of_any_size_is_whole(tmp_path: Path) -> None:
    path = write_scene(tmp_path / "scene.tif", textured(700, 700))
    assert [site.window.shape for site in sites(path, 600)] == [(600, 600)]


def test_a_corner_with_data_of_a_vast_scene_is_found_in_little_memory(tmp_path: Path) -> None:
    corner, side = (30_720, 10_240), 6144
    with sparse(tmp_path / "scene.tif", 50_000) as dataset:
        for row in range(corner[0], corner[0] + side, 512):
            window = Window(row, corner[1], 512, side)
            dataset.write(np.full((BANDS, *window.shape), 9, np.uint16), window=window.ranges)
    tracemalloc.start()
    scene = describe(tmp_path / "scene.tif")
    count = sum(site.valid.any() for site in read_sites(scene, select_bands(scene, BANDS), 256))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == MAX_SITES
    assert peak < 30e6


@pytest.mark.parametrize("stored", [False, True])
def test_a_scene_without_data_says_so(tmp_path: Path, stored: bool) -> None:
    path = tmp_path / "scene.tif"
    if stored:
        write_scene(path, np.zeros((BANDS, 300, 900), np.uint16), nodata=0)
    else:
        sparse(path, 2048).close()
    with pytest.raises(
        SceneError, match=r"scene\.tif: no pixel is valid at any of (3|64) places that were tried.*scene\.nodata"
    ):
        sites(path, 256)
