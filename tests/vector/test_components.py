import numpy as np
from hypothesis import given, settings
from scipy import ndimage

from geoseg.grid.window import Window
from geoseg.vector.labels.components import Components, concatenate_components, find_components, merge_sums
from tests.vector.class_maps import HARD, NODATA, landscape_like, random_maps

CORE, WIDTH = (30, 20), 1000


def assert_as_scipy(classes):
    confidence = np.random.default_rng(1).integers(0, 256, classes.shape, dtype=np.uint8)
    core = Window(*CORE, *classes.shape)
    runs, components = find_components(classes, confidence, core, WIDTH)
    labels = runs.spread(runs.values, core.width)
    assert (labels.dtype, len(components)) == (np.int32, labels.max() + 1)
    assert np.array_equal(labels == -1, classes == NODATA)
    expected = []
    for value in set(np.unique(classes).tolist()) - {NODATA}:
        found, count = ndimage.label(classes == value)
        for label in range(1, count + 1):
            row, col = np.nonzero(found == label)
            assert len(set(labels[row, col])) == 1
            name = (CORE[0] + row[0]) * WIDTH + CORE[1] + col[0]
            expected.append((name, value, len(row), confidence[row, col].sum(dtype=int)))
    columns = (components.first_pixel, components.class_id, components.pixels, components.confidence_sum)
    assert list(zip(*(column.tolist() for column in columns), strict=True)) == sorted(expected)
    values, firsts = np.unique(labels[labels >= 0], return_index=True)
    assert np.array_equal(values, np.arange(len(components)))
    assert (np.diff(firsts) > 0).all()


@settings(max_examples=200)
@given(random_maps)
def test_components_are_those_of_scipy(classes):
    assert_as_scipy(classes)


def test_hard_and_larger_maps():
    for classes in (*HARD.values(), landscape_like(0, (90, 70)), landscape_like(1, (70, 90), classes=2)):
        assert_as_scipy(classes)


def test_sums_of_parts():
    table = Components(*(np.array(column) for column in ([5, 2, 9], [7, 7, 3], [1, 10, 100], [4, 40, 400])))
    merged = merge_sums(
        concatenate_components([table.take(np.array([0])), table.take(np.array([1, 2]))]), np.array([2, 2, 9])
    )
    assert merged.first_pixel.tolist() == [2, 9]
    assert merged.class_id.tolist() == [7, 3]
    assert merged.pixels.tolist() == [11, 100]
    assert merged.confidence_sum.tolist() == [44, 400]
