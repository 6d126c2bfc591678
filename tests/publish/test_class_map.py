"""`geoseg.polygonize` against GDAL, for all types of integers."""

import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from rasterio import features

import geoseg
from tests.vector.class_maps import canonical, landscape_like

DTYPES = ("uint8", "int8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "bool", ">i2", ">i8")
# Close to each other, far apart, at both ends of the type.
VALUES = {
    "b": [False, True],
    "i": lambda info: [info.min, -1, 0, 1, 7, info.max],
    "u": lambda info: [0, 1, 2, 7, info.max - 1, info.max],
}
MIRRORED = Affine(10.0, 0.0, 5e5, 0.0, -10.0, 4e6)


def values_of(dtype):
    dtype = np.dtype(dtype)
    known = VALUES[dtype.kind]
    return known if dtype.kind == "b" else known(np.iinfo(dtype))


maps = st.sampled_from(DTYPES).flatmap(
    lambda dtype: hnp.arrays(
        dtype,
        hnp.array_shapes(min_dims=2, max_dims=2, max_side=12),
        elements=st.sampled_from(values_of(dtype)),
    )
)


def oracle(array, *, nodata=None, values=None):
    """(value, polygon in pixels) of each component, by GDAL on codes."""
    known = np.unique(array)
    codes = np.searchsorted(known, array).astype(np.int32)
    found = [(known[int(code)], shape) for shape, code in features.shapes(codes, connectivity=4)]
    kept = [(v, s) for v, s in found if (nodata is None or v != nodata) and (values is None or v in values)]
    return sorted((int(value), canonical(shapely.geometry.shape(shape))) for value, shape in kept)


def ours(frame):
    return sorted((int(v), canonical(p)) for v, p in zip(frame["value"], frame.geometry, strict=True))


@settings(max_examples=200, deadline=None)
@given(array=maps, choice=st.data())
def test_any_integers_give_the_polygons_of_gdal(array, choice):
    known = [int(value) for value in values_of(array.dtype)]
    nodata = choice.draw(st.sampled_from([None, *known, -9_999_999, 0.5, float("nan")]))
    values = choice.draw(st.none() | st.lists(st.sampled_from(known), unique=True))
    frame = geoseg.polygonize(array, nodata=nodata, values=values)
    assert ours(frame) == oracle(array, nodata=nodata, values=values)
    assert frame["value"].dtype == array.dtype.newbyteorder("=")
    assert np.array_equal(frame["value"], array.ravel()[frame["polygon_id"]])
    assert np.array_equal(frame["pixels"], frame.area)
    assert np.array_equal(np.sort(frame["polygon_id"]), frame["polygon_id"])


def test_the_columns_the_place_and_the_crs():
    array = np.array([[0, 0, 1], [0, 5, 5]], np.int16)
    frame = geoseg.polygonize(array, transform=MIRRORED, crs="EPSG:32633", nodata=0)
    assert [*frame.columns] == ["polygon_id", "value", "pixels", "geometry"]
    assert frame["polygon_id"].tolist() == [2, 4]
    assert frame["value"].tolist() == [1, 5]
    assert frame["pixels"].tolist() == [1, 2]
    assert frame.crs == "EPSG:32633"
    assert frame.geometry[1].equals(shapely.box(500_010, 3_999_980, 500_030, 3_999_990))
    assert shapely.is_ccw(shapely.get_exterior_ring(frame.geometry.to_numpy())).all()


def test_a_transform_turns_and_shears():
    transform = (3.0, 1.0, 10.0, -1.0, 2.0, 20.0)
    (square,) = geoseg.polygonize(np.ones((1, 2), np.uint8), transform=transform).geometry
    assert square.equals(shapely.Polygon([(10, 20), (16, 18), (17, 20), (11, 22)]))
    assert square.exterior.is_ccw


def test_simplified_and_absorbed_like_the_engine():
    classes = landscape_like(0, (90, 80))
    frame = geoseg.polygonize(classes.astype(np.int32) * 1000 - 5, nodata=255_000 - 5, simplify_px=1, min_area_px=5)
    assert frame["pixels"].min() >= 5
    assert frame.area.sum() == (classes != 255).sum()
    assert shapely.coverage_is_valid(frame.geometry.to_numpy())
    assert frame.count_coordinates().sum() < geoseg.polygonize(classes, nodata=255).count_coordinates().sum()


@pytest.mark.parametrize("step", [1, 10**6])
def test_255_values_will_do_and_256_are_too_many(step):
    array = (np.arange(16 * 16).reshape(16, 16) * step).astype(np.int64)
    assert len(geoseg.polygonize(array, nodata=0)) == 255
    assert len(geoseg.polygonize(array, values=[step, 255 * step])) == 2
    with pytest.raises(ValueError, match=r"at least 256 different values.* 255\. Name those you want with values"):
        geoseg.polygonize(array)


def test_all_256_bytes_are_too_many_but_one_may_be_nodata():
    array = np.arange(256, dtype=np.uint8).reshape(16, 16)
    assert geoseg.polygonize(array, nodata=7)["value"].tolist() == [*range(7), *range(8, 256)]
    with pytest.raises(ValueError, match="256 different"):
        geoseg.polygonize(array)


def test_nothing_but_nodata_is_an_empty_frame():
    frame = geoseg.polygonize(np.zeros((3, 3), np.int32), nodata=0, crs="EPSG:4326", transform=MIRRORED)
    assert len(frame) == 0
    assert frame.crs == "EPSG:4326"


@pytest.mark.parametrize(
    ("array", "options", "message"),
    [
        (np.zeros((2, 2)), {}, "float64"),
        (np.zeros((1, 2, 2), np.uint8), {}, r"\(1, 2, 2\)"),
        (np.zeros((0, 2), np.uint8), {}, r"\(0, 2\)"),
        (np.zeros((2, 2), np.uint8), {"values": [1, 256, -1]}, r"\[-1, 256\] cannot occur in uint8"),
        (np.zeros((2, 2), np.uint8), {"transform": (0, 0, 0, 0, 0, 0)}, "area of zero"),
        (np.zeros((2, 2), np.uint8), {"simplify_px": -1}, "tolerance_px=-1"),
    ],
)
def test_what_cannot_be_done_is_refused(array, options, message):
    with pytest.raises(ValueError, match=message):
        geoseg.polygonize(array, **options)
