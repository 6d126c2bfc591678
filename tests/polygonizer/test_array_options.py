"""Options of `geoseg.polygonize` that other polygonizers have."""

import numpy as np
import pytest
from geopandas.testing import assert_geodataframe_equal
from scipy import ndimage

import geoseg
from tests.vector.class_maps import landscape_like


@pytest.mark.parametrize("simplify_px", [0, 1])
def test_eight_connected_areas_are_those_of_scipy(simplify_px):
    classes = np.random.default_rng(5).integers(0, 4, (40, 50), dtype=np.uint8)
    found = geoseg.polygonize(classes, nodata=3, connectivity=8, simplify_px=simplify_px)
    expected = []
    for value in range(3):
        labels, count = ndimage.label(classes == value, np.ones((3, 3)))
        for label in range(1, count + 1):
            where = np.flatnonzero(labels == label)
            expected.append((int(where[0]), value, len(where)))
    assert list(zip(found["polygon_id"], found["value"], found["pixels"], strict=True)) == sorted(expected)
    assert found.geometry.is_valid.all()
    assert {"Polygon", "MultiPolygon"} == set(found.geom_type)
    assert found.area.sum() == (classes != 3).sum()
    if not simplify_px:
        assert (found.area == found["pixels"]).all()


def test_a_mask_hides_what_is_false():
    classes = landscape_like(3, (40, 30), nodata=0)
    shown = np.random.default_rng(2).random(classes.shape) < 0.9
    expected = geoseg.polygonize(np.where(shown, classes, 200).astype(np.uint8), nodata=200)
    assert_geodataframe_equal(geoseg.polygonize(classes, mask=shown), expected)
    hidden = np.ma.masked_equal(classes, 1)
    expected = geoseg.polygonize(classes, mask=shown & (classes != 1))
    assert_geodataframe_equal(geoseg.polygonize(hidden, mask=shown), expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int16, np.uint64])
def test_breaks_cut_any_numbers_into_classes(dtype):
    heights = (np.add.outer(np.arange(30) ** 2, np.arange(40)) / 3).astype(dtype)
    expected = geoseg.polygonize(np.digitize(heights, [50, 100, 200]).astype(np.uint8), column="zone")
    assert_geodataframe_equal(geoseg.polygonize(heights, breaks=[50, 100, 200], column="zone"), expected)


def test_missing_heights_are_nodata():
    heights = np.array([[1.0, np.nan, 7.0], [1.0, -9999.0, 7.0]])
    found = geoseg.polygonize(heights, nodata=-9999, breaks=[5])
    assert found["value"].tolist() == [0, 1]
    assert found["pixels"].tolist() == [2, 2]


@pytest.mark.parametrize(
    ("array", "options", "message"),
    [
        (np.zeros((2, 2)), {}, "Give breaks"),
        (np.zeros((2, 2)), {"breaks": []}, "ascending"),
        (np.zeros((2, 2)), {"breaks": [2, 1]}, "ascending"),
        (np.zeros((2, 2), int), {"connectivity": 6}, "4 or 8"),
        (np.zeros((2, 2), int), {"connectivity": 8, "min_area_px": 2}, "connectivity=4"),
        (np.zeros((2, 2), int), {"column": "pixels"}, "column='pixels'"),
        (np.zeros((2, 2), int), {"mask": np.ones((2, 3), bool)}, r"\(2, 3\)"),
        (np.zeros((2, 2), int), {"mask": np.ones((2, 2), int)}, "of bool"),
    ],
)
def test_options_that_do_not_fit_are_refused(array, options, message):
    with pytest.raises(ValueError, match=message):
        geoseg.polygonize(array, **options)
