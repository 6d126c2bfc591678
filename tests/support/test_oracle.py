import warnings

import numpy as np
import pytest
import rasterio
import shapely
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from rasterio.transform import Affine
from scipy import ndimage

from geoseg.errors import SceneError
from tests.support import oracle as module
from tests.support.oracle import polygonize

ROTATED = Affine(8.7, 3.3, 500_000.123, 3.3, -8.7, 4_000_000.456)


def write(path, pixels, nodata, **profile):
    height, width = pixels.shape
    with rasterio.open(
        path, "w", driver="GTiff", height=height, width=width, count=1, dtype=pixels.dtype, nodata=nodata,
        crs="EPSG:32633", transform=ROTATED, **profile,
    ) as dataset:  # fmt: skip
        dataset.write(pixels, 1)
    return path


def run(folder, classes, confidence=None):
    confidence = np.where(classes == 255, 0, 200).astype(np.uint8) if confidence is None else confidence
    return polygonize(write(folder / "c.tif", classes, 255), write(folder / "p.tif", confidence, 0))


def components(classes, confidence):
    """The oracle: (first pixel, class, pixels, sum of confidence) of each 4-connected component, by scipy."""
    found = []
    for value in set(np.unique(classes).tolist()) - {255}:
        labels, count = ndimage.label(classes == value)
        for label in range(1, count + 1):
            (member,) = np.nonzero(labels.ravel() == label)
            found.append((member[0], value, len(member), confidence.ravel()[member].astype(int).sum()))
    return sorted(found)


def rows_of(polygons):
    columns = (polygons.first_pixel, polygons.class_id, polygons.pixels, polygons.confidence_sum)
    return list(zip(*(column.tolist() for column in columns), strict=True))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("polygonize")


class_maps = hnp.array_shapes(min_dims=2, max_dims=2, max_side=14).flatmap(
    lambda shape: hnp.arrays(np.uint8, shape, elements=st.sampled_from([0, 1, 2, 255]))
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    classes=class_maps,
    seed=st.integers(0, 9),
    strip=st.sampled_from([1, 30, 1 << 22]),
    batch=st.sampled_from([1, 3, 99]),
)
def test_polygons_are_the_components(folder, monkeypatch, classes, seed, strip, batch):
    monkeypatch.setattr(module, "STRIP_PIXELS", strip)
    monkeypatch.setattr(module, "BATCH", batch)
    confidence = np.random.default_rng(seed).integers(1, 256, classes.shape, dtype=np.uint8)
    polygons = run(folder, classes, confidence)
    assert rows_of(polygons) == components(classes, confidence)
    assert shapely.is_valid(polygons.geometry).all()
    assert np.array_equal(shapely.area(polygons.geometry), polygons.pixels)
    vertices = shapely.get_coordinates(polygons.geometry)
    assert np.array_equal(vertices, np.round(vertices))
    dtypes = [getattr(polygons, name).dtype for name in ("class_id", "first_pixel", "pixels", "confidence_sum")]
    assert dtypes == [np.uint8, np.int64, np.int64, np.int64]


def test_a_hole_and_a_nodata_island_by_hand(tmp_path):
    classes = np.zeros((4, 5), np.uint8)
    classes[1, 1], classes[2, 3] = 7, 255
    polygons = run(tmp_path, classes)
    assert rows_of(polygons) == [(0, 0, 18, 3600), (6, 7, 1, 200)]
    around, inside = polygons.geometry
    hole, island = shapely.box(1, 1, 2, 2), shapely.box(3, 2, 4, 3)
    assert around.equals(shapely.box(0, 0, 5, 4) - hole - island)
    assert inside.equals(hole)


def test_diagonal_pixels_are_two_polygons(tmp_path):
    polygons = run(tmp_path, np.array([[0, 255], [255, 0]], np.uint8))
    assert rows_of(polygons) == [(0, 0, 1, 200), (3, 0, 1, 200)]


def test_all_nodata_gives_none(tmp_path):
    polygons = run(tmp_path, np.full((3, 4), 255, np.uint8))
    assert len(polygons) == 0
    assert rows_of(polygons) == []


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_files_without_a_georeference(tmp_path):
    paths = [tmp_path / "c.tif", tmp_path / "p.tif"]
    for path in paths:
        with rasterio.open(path, "w", driver="GTiff", height=2, width=2, count=1, dtype="uint8") as dataset:
            dataset.write(np.ones((1, 2, 2), np.uint8))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert rows_of(polygonize(*paths)) == [(0, 1, 4, 4)]


def test_polygons_that_differ_from_the_class_map_are_refused(tmp_path):
    polygons = run(tmp_path, np.array([[0, 1], [1, 1]], np.uint8))
    geometry, class_id = polygons.geometry, polygons.class_id
    with module._open(tmp_path / "c.tif") as classes, module._open(tmp_path / "p.tif") as confidence:
        with pytest.raises(SceneError, match=r"c\.tif: the polygons of rows 0:2 differ"):
            module._sums(geometry[:-1], class_id[:-1], classes, confidence)
        with pytest.raises(SceneError, match=r"c\.tif: the polygons of rows 0:2 differ"):
            module._sums(geometry, class_id[::-1], classes, confidence)
        # A quarter of a pixel too large: it burns to the same pixels.
        grown = np.array([shapely.box(0, 0, 1.25, 1), geometry[1]])
        with pytest.raises(SceneError, match=r"c\.tif: the area of a polygon differs"):
            module._sums(grown, class_id, classes, confidence)


def test_what_is_no_class_map_is_refused(tmp_path):
    classes = np.zeros((4, 4), np.uint8)
    good = write(tmp_path / "good.tif", classes, 255)
    with pytest.raises(SceneError, match=r"\(4, 4\).*\(4, 3\)"):
        polygonize(good, write(tmp_path / "small.tif", classes[:, :3], 0))
    with pytest.raises(SceneError, match="int16"):
        polygonize(write(tmp_path / "wide.tif", classes.astype(np.int16), 255), good)
    with pytest.raises(SceneError, match=r"missing\.tif.*cannot be read"):
        polygonize(tmp_path / "missing.tif", good)


@pytest.mark.parametrize("which", [0, 1])
def test_a_truncated_file_is_refused(tmp_path, which):
    noise = np.random.default_rng(0).integers(1, 4, (300, 300), dtype=np.uint8)
    paths = [write(tmp_path / name, noise, 255, compress="deflate") for name in ("c.tif", "p.tif")]
    content = paths[which].read_bytes()
    paths[which].write_bytes(content[: len(content) * 2 // 3])
    with pytest.raises(SceneError, match="cannot be read"):
        polygonize(*paths)
