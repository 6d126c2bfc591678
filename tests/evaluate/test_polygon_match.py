"""Matches of polygons against a search through all pairs."""

from itertools import permutations

import numpy as np
import pytest
import shapely

from geoseg.evaluate.polygon_match import PolygonMetrics, match_polygons, sum_matches


def boxes(*corners: tuple[float, float, float, float]) -> np.ndarray:
    return np.array([shapely.box(*each) for each in corners])


def test_numbers_of_an_example() -> None:
    labels = boxes((0, 0, 10, 10), (20, 0, 30, 10), (40, 0, 50, 10))
    # Half and a bit, a third, exactly one half, and a false alarm.
    predicted = boxes((0, 0, 10, 6), (25, 0, 35, 10), (40, 0, 50, 20), (100, 0, 110, 10))
    found = match_polygons("house", predicted, labels)
    assert found == PolygonMetrics("house", labels=3, predicted=4, matched=2)
    assert (found.precision, found.recall) == (0.5, pytest.approx(2 / 3))
    assert found.f1 == pytest.approx(2 * 0.5 * (2 / 3) / (0.5 + 2 / 3))


@pytest.mark.parametrize("seed", range(10))
def test_overlapping_polygons_are_paired_as_often_as_possible(seed: int) -> None:
    rng = np.random.default_rng(seed)
    low = rng.uniform(0, 3, (2, 5, 2))
    high = low + rng.uniform(2, 6, (2, 5, 2))
    predicted, labels = (shapely.box(*low[side].T, *high[side].T) for side in (0, 1))
    common = shapely.area(shapely.intersection(predicted[:, None], labels))
    fits = common / (shapely.area(predicted)[:, None] + shapely.area(labels) - common) >= 0.5
    best = max(sum(fits[row, col] for row, col in enumerate(order)) for order in permutations(range(5)))
    assert match_polygons("house", predicted, labels).matched == best


def test_nothing_gives_no_rates() -> None:
    none = match_polygons("house", boxes(), boxes())
    assert np.isnan([none.precision, none.recall, none.f1]).all()
    missed = match_polygons("house", boxes(), boxes((0, 0, 1, 1)))
    assert (missed.recall, missed.f1) == (0, 0)


def test_sums_are_of_scenes_with_polygons() -> None:
    scenes = [(PolygonMetrics("house", 3, 4, 2),), (), (PolygonMetrics("house", 1, 1, 1),)]
    assert sum_matches(scenes) == (PolygonMetrics("house", 4, 5, 3),)
