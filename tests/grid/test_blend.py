import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geoseg.grid.blend import (
    SCORE_ONE,
    BlockScores,
    ClassMap,
    Strip,
    decide,
    finish,
    reflect_indices,
    unscored,
)
from geoseg.grid.decision import Decision
from geoseg.grid.tiling import Lattice, Tiling
from geoseg.grid.window import Window


@given(st.integers(2, 9), st.integers(1, 60))
def test_reflection_equals_numpy_pad(size: int, length: int) -> None:
    length = max(length, size)
    expected = np.pad(np.arange(size), (0, length - size), mode="reflect")
    np.testing.assert_array_equal(reflect_indices(size, length), expected)


def test_a_single_pixel_reflects_into_itself() -> None:
    np.testing.assert_array_equal(reflect_indices(1, 5), np.zeros(5))


@given(st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_the_decision_is_numpys_argmax_with_the_lowest_class_on_ties(classes: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = (rng.integers(0, 4, (classes, 7, 9)) * (SCORE_ONE // 3)).astype(np.int32)
    valid = rng.random((7, 9)) < 0.8
    ids, confidence = decide(scores, valid)
    np.testing.assert_array_equal(ids, np.where(valid, scores.argmax(0), 255))
    expected = np.clip(np.floor(scores.max(0) / SCORE_ONE * 255 + 0.5), 1, 255)
    np.testing.assert_array_equal(confidence, np.where(valid, expected, 0))


def test_the_rounding_of_four_patches_does_not_overflow_the_confidence() -> None:
    _, confidence = decide(np.full((1, 1, 1), SCORE_ONE + 4, np.int32), np.ones((1, 1), bool))
    assert confidence == 255


def block_scores(open_value: int) -> tuple[BlockScores, tuple[Window, ...]]:
    """A 6x6 core at (6, 6) that waits for spill in its north and west bands, 2 px wide."""
    core = Window(6, 6, 6, 6)
    bands = (Window(6, 6, 2, 6), Window(8, 6, 4, 2))
    own = tuple(Strip(band, np.full((2, *band.shape), open_value, np.int32)) for band in bands)
    return BlockScores(ClassMap(core, np.zeros((6, 6), np.uint8), np.full((6, 6), 9, np.uint8)), own), bands


def test_spill_changes_only_the_pixels_it_covers() -> None:
    own, bands = block_scores(open_value=10)
    spill = np.zeros((2, 2, 2), np.int32)
    spill[1] = SCORE_ONE // 2
    done = finish(own, bands, [Strip(Window(6, 6, 2, 2), spill)], Decision(2))
    expected = np.zeros((6, 6), np.uint8)
    expected[:2, :2] = 1
    np.testing.assert_array_equal(done.classes, expected)
    assert done.confidence[0, 0] == 128
    assert (done.confidence[2:, 2:] == 9).all(), "the interior does not change"


def test_the_result_does_not_depend_on_the_order_of_spill() -> None:
    own, bands = block_scores(open_value=3)
    rng = np.random.default_rng(1)
    windows = [Window(6, 6, 2, 6), Window(6, 6, 6, 2), Window(6, 6, 2, 2)]
    strips = [Strip(w, rng.integers(0, SCORE_ONE // 4, (2, *w.shape)).astype(np.int32)) for w in windows]
    first = finish(own, bands, strips, Decision(2))
    second = finish(own, bands, strips[::-1], Decision(2))
    np.testing.assert_array_equal(first.classes, second.classes)
    np.testing.assert_array_equal(first.confidence, second.confidence)


def test_spill_beyond_the_bands_is_refused() -> None:
    own, bands = block_scores(open_value=0)
    with pytest.raises(ValueError, match="reaches outside"):
        finish(own, bands, [Strip(Window(6, 6, 3, 3), np.zeros((2, 3, 3), np.int32))], Decision(2))


def test_an_unscored_block_takes_its_classes_from_spill_alone() -> None:
    tiling = Tiling(Lattice.of((7, 7), 4, 1), 6)  # the last block is one pixel and owns no patch
    block = tiling.block(1, 1)
    assert block.patch_count == 0
    own = unscored(block, np.ones((1, 1), bool))
    spill = Strip(Window(6, 6, 1, 1), np.array([0, SCORE_ONE], np.int32).reshape(2, 1, 1))
    done = finish(own, (Window(6, 6, 1, 1),), [spill], Decision(2))
    assert done.classes.item() == 1
    assert done.confidence.item() == 255
    assert finish(unscored(block, np.zeros((1, 1), bool)), (), [], Decision(2)).classes.item() == 255
