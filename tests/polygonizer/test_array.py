"""`geoseg.polygonize` against GDAL, for all types of integers."""

import numpy as np
import pandas as pd
import pytest
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from rasterio import features

import geoseg
from geoseg.vector import polygonize as pixel_polygons
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


@settings(max_examples=200)
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


def test_columns_coordinates_and_crs():
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


def test_simplification_and_minimum_area_as_in_a_run():
    classes = landscape_like(0, (90, 80))
    frame = geoseg.polygonize(classes.astype(np.int32) * 1000 - 5, nodata=255_000 - 5, simplify_px=1, min_area_px=5)
    assert frame["pixels"].min() >= 5
    assert frame.area.sum() == (classes != 255).sum()
    assert shapely.coverage_is_valid(frame.geometry.to_numpy())
    assert frame.count_coordinates().sum() < geoseg.polygonize(classes, nodata=255).count_coordinates().sum()


@pytest.mark.parametrize("step", [1, 10**6])
def test_255_values_are_accepted_and_256_refused(step):
    array = (np.arange(16 * 16).reshape(16, 16) * step).astype(np.int64)
    assert len(geoseg.polygonize(array, nodata=0)) == 255
    assert len(geoseg.polygonize(array, values=[step, 255 * step])) == 2
    with pytest.raises(ValueError, match=r"at least 256 different values.* 255\. Name those you want with values"):
        geoseg.polygonize(array)


def test_all_256_values_of_uint8_need_one_as_nodata():
    array = np.arange(256, dtype=np.uint8).reshape(16, 16)
    assert geoseg.polygonize(array, nodata=7)["value"].tolist() == [*range(7), *range(8, 256)]
    with pytest.raises(ValueError, match="256 different"):
        geoseg.polygonize(array)


def test_nothing_but_nodata_is_an_empty_frame():
    frame = geoseg.polygonize(np.zeros((3, 3), np.int32), nodata=0, crs="EPSG:4326", transform=MIRRORED)
    assert len(frame) == 0
    assert frame.crs == "EPSG:4326"


def gdal_polygons_of(array):
    """(value, polygon) of the unmasked components, by GDAL."""
    valid = ~np.ma.getmaskarray(array)
    found = features.shapes(np.ma.getdata(array), mask=valid, connectivity=4)
    return sorted((int(value), canonical(shapely.geometry.shape(shape))) for shape, value in found)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int32"])
def test_masked_pixels_are_nodata(dtype):
    classes = landscape_like(3, (40, 50)).astype(dtype)
    array = np.ma.masked_array(classes, (classes == 2) | (np.random.default_rng(0).random(classes.shape) < 0.1))
    assert ours(geoseg.polygonize(array)) == gdal_polygons_of(array)
    frame = geoseg.polygonize(array, nodata=1, min_area_px=4)
    assert frame["pixels"].sum() == (array != 1).sum()
    assert not set(frame["value"]) & {1, 2}
    assert geoseg.polygonize(array, values=[2]).empty
    assert ours(geoseg.polygonize(np.ma.masked_array(classes))) == oracle(classes)
    # What is masked need not be polygonized, so it does not count as a value either.
    many = np.ma.masked_greater_equal(np.arange(400, dtype=np.int32).reshape(20, 20), 200)
    assert len(geoseg.polygonize(many)) == 200
    flags = np.ma.masked_array([[True, False, True]], [[False, False, True]])
    assert geoseg.polygonize(flags)["value"].tolist() == [True, False]


class Lazy:
    """As a dask array does, gives its pixels when asked, and no mask when converted."""

    def __init__(self, pixels):
        self.pixels = pixels

    def compute(self):
        return self.pixels

    def __array__(self, dtype=None, copy=None):
        return np.ma.getdata(self.pixels)


class Labelled:
    """As an xarray array does, wraps pixels and says which value is nodata."""

    dims = ("y", "x")

    def __init__(self, data, **attrs):
        self.data, self.attrs, self.encoding = data, attrs, {}

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.data)


def test_masks_inside_other_arrays_are_nodata():
    array = np.ma.masked_equal(np.array([[1, 1, 7], [3, 3, 7]], np.uint8), 7)
    for wrapped in (Lazy(array), Labelled(array), Labelled(Lazy(array)), Labelled(np.ma.getdata(array), _FillValue=7)):
        assert geoseg.polygonize(wrapped)["value"].tolist() == [1, 3]
    assert geoseg.polygonize(Labelled(np.ma.getdata(array), _FillValue=7), nodata=1)["value"].tolist() == [7, 3]
    table = pd.DataFrame({"a": [1, 2], "b": [1, 1]})
    assert geoseg.polygonize(table)["value"].tolist() == [1, 2]
    with pytest.raises(ValueError, match=r"fill missing pixels \(NaN, NA\) with a value and name it as nodata"):
        geoseg.polygonize(pd.DataFrame({"a": pd.array([1, None], "Int64")}))
    other = Lazy(np.zeros((2, 2), np.uint8).view(type("Odd", (np.ndarray,), {"mask": np.ones((2, 2), bool)})))
    with pytest.raises(ValueError, match=r"Odd has a mask that geoseg does not support\. Give a numpy\.ma"):
        geoseg.polygonize(other)


def test_more_pixels_than_a_block_may_hold(monkeypatch):
    array = landscape_like(0, (700, 1400))
    expected = geoseg.polygonize(array, nodata=255, simplify_px=1)
    monkeypatch.setattr(pixel_polygons, "MAX_BLOCK_PIXELS", 512 * 1024 - 1)
    found = geoseg.polygonize(array, nodata=255, simplify_px=1)
    assert found.equals(expected)


@pytest.mark.parametrize(
    ("array", "options", "message"),
    [
        (np.zeros((2, 2)), {}, "float64"),
        (np.zeros((1, 2, 2), np.uint8), {}, r"\(1, 2, 2\)"),
        (np.zeros((0, 2), np.uint8), {}, r"\(0, 2\)"),
        (np.zeros((2, 2), np.uint8), {"values": [1, 256, -1]}, r"\[-1, 256\] cannot occur in uint8"),
        (np.zeros((2, 2), np.uint8), {"transform": (0, 0, 0, 0, 0, 0)}, "area of zero"),
        (np.zeros((2, 2), np.uint8), {"simplify_px": -1}, "simplify_px=-1"),
    ],
)
def test_unsupported_arrays_and_options_are_refused(array, options, message):
    with pytest.raises(ValueError, match=message):
        geoseg.polygonize(array, **options)
