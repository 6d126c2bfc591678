"""Well-known binary against shapely's."""

import numpy as np
import pytest
import shapely

from geoseg.publish import wkb
from geoseg.vector.polygonize import polygonize
from tests.vector.class_maps import landscape_like


@pytest.mark.parametrize("array_bytes", [1 << 30, 3000, 1])
def test_polygons_with_holes_are_encoded_as_by_shapely(monkeypatch, array_bytes):
    monkeypatch.setattr(wkb, "ARRAY_BYTES", array_bytes)
    geometry = polygonize(landscape_like(1, (60, 70)), simplify_px=1.0, transform=(0.1, 0, 3e5, 0, -0.1, 5e6)).geometry
    assert shapely.get_num_interior_rings(geometry).max() > 3
    encoded = wkb.to_wkb(geometry)
    assert encoded.to_pylist() == shapely.to_wkb(geometry, byte_order=1).tolist()
    assert (encoded.num_chunks == 1) == (array_bytes == 1 << 30)


@pytest.mark.parametrize(
    "geometry",
    [
        shapely.Polygon(),
        # The first vertex comes again before the end, and twice at once.
        shapely.Polygon([(0, 0), (4, 0), (4, 4), (0, 0), (-4, 4), (-4, 0), (0, 0)]),
        shapely.Polygon([(0, 0), (4, 0), (4, 4), (0, 0), (0, 0)]),
    ],
)
def test_rings_that_pass_through_their_first_vertex(geometry):
    given = np.array([shapely.box(0, 0, 1, 1), geometry, shapely.box(2, 2, 3, 3)])
    assert wkb.to_wkb(given).to_pylist() == shapely.to_wkb(given, byte_order=1).tolist()


def test_no_polygons():
    assert wkb.to_wkb(np.empty(0, object)).to_pylist() == []
