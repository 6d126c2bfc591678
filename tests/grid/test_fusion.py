"""Sums of scores of several dates: exact, in any order, up to the limit of int32."""

import itertools
from functools import reduce
from operator import add

import numpy as np
import pytest

from geoseg.grid.blend import Strip, decide
from geoseg.grid.decision import SCORE_ONE, Decision
from geoseg.grid.fusion import DATES, MAX_DATES, Fused, finish_fused, mean_scores, no_date
from geoseg.grid.tiling import Lattice, Tiling

TILING = Tiling(Lattice.of((20, 30), 16, 4), 12)
BLOCK = TILING.block(1, 1)


def fused(seed: int) -> Fused:
    """A date on which half of the pixels are valid."""
    rng = np.random.default_rng(seed)
    valid = rng.random(BLOCK.read.shape) < 0.5
    scores = rng.integers(0, SCORE_ONE, (3, *valid.shape)).astype(np.int32) * valid
    at = BLOCK.core.slices(BLOCK.read)
    return Fused(valid[at].astype(np.uint16), scores, {"pixels": valid.size}, (f"{seed}",))


def test_the_order_of_the_dates_changes_nothing() -> None:
    dates = [*map(fused, range(3)), Fused(np.ones(BLOCK.core.shape, np.uint16))]
    maps = [
        finish_fused(reduce(add, order, no_date(BLOCK.core)), BLOCK, [], Decision(3))
        for order in itertools.permutations(dates)
    ]
    for one in maps[1:]:
        np.testing.assert_array_equal(one.classes, maps[0].classes)
        np.testing.assert_array_equal(one.confidence, maps[0].confidence)
        np.testing.assert_array_equal(one.layers[DATES], maps[0].layers[DATES])


def test_spill_of_neighbours_is_added() -> None:
    date, core = fused(4), BLOCK.core
    assert date.scores is not None
    whole = finish_fused(date, BLOCK, [], Decision(3))
    at = core.slices(BLOCK.read)
    moved = date.scores.copy()
    moved[:, *at] = 0
    strip = Strip(core, date.scores[:, *at])
    for own in (Fused(date.count, moved), Fused(date.count)):
        np.testing.assert_array_equal(finish_fused(own, BLOCK, [strip], Decision(3)).classes, whole.classes)


def test_one_date_is_decided_as_always() -> None:
    date = fused(5)
    assert date.scores is not None
    found = finish_fused(date, BLOCK, [], Decision(3))
    classes, confidence = decide(date.scores[:, *BLOCK.core.slices(BLOCK.read)], date.count > 0)
    np.testing.assert_array_equal(found.classes, classes)
    np.testing.assert_array_equal(found.confidence, confidence)


@pytest.mark.parametrize("count", [1, 2, 1000, MAX_DATES])
def test_the_largest_sums_fit(count: int) -> None:
    """A date may give 2 more than `SCORE_ONE`, by rounding of four patches."""
    assert MAX_DATES == 2047
    number = np.full((1, 1), count, np.uint16)
    sums = np.array([[[count * (SCORE_ONE + 2)]]], np.int64)
    assert sums.max() + count // 2 <= np.iinfo(np.int32).max
    assert mean_scores(sums.astype(np.int32), number)[0, 0, 0] == SCORE_ONE + 2


def test_the_class_is_that_of_the_largest_sum_though_the_means_are_equal() -> None:
    shape = BLOCK.core.shape
    scores = np.zeros((2, *BLOCK.read.shape), np.int32)
    scores[0], scores[1] = 3 * SCORE_ONE // 2 - 1, 3 * SCORE_ONE // 2
    found = finish_fused(Fused(np.full(shape, 3, np.uint16), scores), BLOCK, [], Decision(2, ("margin",), (0, 0)))
    assert (found.classes == 1).all()
    assert (found.confidence == 128).all()
    assert (found.layers["margin"] == 1).all()
