"""What `describe` says of a plain raster, and which names a scene may have."""

import pickle
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st

from geoseg.errors import SceneError
from geoseg.grid.window import Grid
from geoseg.raster.source.scene import describe, safe_id
from geoseg.raster.source.version import Version

Make = Callable[..., Path]


def test_describes_a_plain_raster(make: Make) -> None:
    path = make(np.ones((2, 30, 40), np.int16), nodata=-1, tiled=True, blockxsize=32, blockysize=16)
    with rasterio.open(path, "r+") as dataset:
        dataset.set_band_description(2, "nir")
    scene = describe(path)
    with rasterio.open(path) as dataset:
        crs = dataset.crs.to_wkt(version="WKT2_2019")
    assert scene.scene_id == "scene"
    assert scene.grid == Grid(30, 40, (2, 0, 500_000, 0, -2, 5_000_000), crs)
    assert scene.grid.crs.startswith("PROJCRS[")
    assert (scene.driver, scene.bands, scene.dtypes, scene.nodata) == ("GTiff", 2, ("int16", "int16"), (-1, -1))
    assert scene.descriptions == (None, "nir")
    assert scene.roles == ("gray", "undefined")
    assert scene.alpha_band is None
    assert not scene.has_mask
    assert not scene.one_bit
    assert scene.block_shape == (16, 32)
    assert scene.files == (str(path),)
    assert scene.versions == (Version(path.name, path.stat().st_size, modified=path.stat().st_mtime_ns),)
    assert pickle.loads(pickle.dumps(scene)) == scene  # noqa: S301


def test_a_pixel_size_without_a_place_is_no_transform(make: Make) -> None:
    path = make(np.ones((1, 8, 8), np.uint8))
    tie_point = (33922).to_bytes(2, "little")
    path.write_bytes(path.read_bytes().replace(tie_point + b"\x0c\0", (33923).to_bytes(2, "little") + b"\x0c\0"))
    with pytest.raises(SceneError, match="has a CRS but no transform"):
        describe(path)


def test_band_names_in_an_unknown_encoding_are_left_out(make: Make) -> None:
    path = make(np.ones((1, 8, 8), np.uint8))
    with rasterio.open(path, "r+") as dataset:
        dataset.set_band_description(1, "nah xx")
    path.write_bytes(path.read_bytes().replace(b"nah xx", b"n\xe4he x"))
    assert describe(path).descriptions == (None,)


@pytest.mark.parametrize(
    ("name", "scene_id"),
    [
        ("..", "scene"),
        ("../../etc", "_.._etc"),
        ("", "scene"),
        ("a/b\\c", "a_b_c"),
        (".hidden", "hidden"),
        ("a\x00\x1f\u202eb", "a___b"),
    ],
)
def test_safe_id(name: str, scene_id: str) -> None:
    assert safe_id(name) == scene_id


@given(st.text(st.characters(), max_size=300))
def test_any_text_becomes_one_file_name(name: str) -> None:
    scene_id = safe_id(name)
    assert 1 <= len(f"scene={scene_id}".encode()) <= 255
    assert PurePosixPath(scene_id).parts == (scene_id,)
    assert scene_id not in {".", ".."}
    assert scene_id.isprintable()
    assert safe_id(scene_id) == scene_id


def test_long_names_that_begin_alike_differ() -> None:
    assert safe_id("é" * 200 + "a") != safe_id("é" * 200 + "b")
