"""Layers against scipy and float64, and torch against numpy."""

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given
from hypothesis import strategies as st

from geoseg.grid.blend import NO_SCORE, decide
from geoseg.grid.decision import LAYERS, SCORE_ONE, Decision, compute_layer, summed_planes
from geoseg.model.patchwork.scores import decide as decide_on_device


def random_scores(classes: int, seed: int) -> np.ndarray:
    """Scores of shape (C, 9, 12) that add up to nearly one, as the rounding of four patches leaves them."""
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.full(classes, 10.0 ** rng.uniform(-2, 1)), (9, 12)).transpose(2, 0, 1)
    return (np.rint(probabilities * SCORE_ONE) + rng.integers(0, 3, probabilities.shape)).astype(np.int32)


@given(st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_layers_are_those_of_the_probabilities(classes: int, seed: int) -> None:
    scores = random_scores(classes, seed)
    valid = np.random.default_rng(seed).random((9, 12)) < 0.8
    found = {name: compute_layer(name, scores, valid, np).astype(int) for name in LAYERS}
    probabilities = scores / SCORE_ONE
    ordered = np.sort(np.concatenate([np.zeros((1, 9, 12)), probabilities]), 0)
    relative = scipy.stats.entropy(probabilities, axis=0) / np.log(max(2, classes))
    for name, values, error in (
        ("probabilities", probabilities, 0.5),
        ("margin", ordered[-1] - ordered[-2], 0.5),
        ("entropy", relative, 1.0),
    ):
        expected = np.clip(values * 255, 1, 255) * valid
        assert np.abs(found[name] - expected).max() <= error + 1e-9, name
        assert ((found[name] == 0) == ~np.broadcast_to(valid, found[name].shape)).all()
    np.testing.assert_array_equal(found["probabilities"].max(0), decide(scores, valid)[1])


def test_an_entropy_does_not_need_probabilities_that_add_up_to_one() -> None:
    equal = np.full((4, 1, 1), SCORE_ONE, np.int32)  # four independent probabilities of a sigmoid
    assert compute_layer("entropy", equal, np.ones((1, 1), bool), np).item() == 255
    nothing = np.zeros((4, 1, 1), np.int32)
    assert compute_layer("entropy", nothing, np.ones((1, 1), bool), np).item() == 1


@pytest.mark.parametrize("classes", [1, 2, 7, 200])
def test_torch_decides_as_numpy(classes: int) -> None:
    scores = random_scores(classes, 3)
    scores[:, 2:4] = 4 * NO_SCORE  # no patch has a result there
    valid = np.random.default_rng(1).random((9, 12)) < 0.8
    limits = tuple(int(limit) for limit in np.random.default_rng(2).integers(0, SCORE_ONE, classes))
    decision = Decision(classes, LAYERS, limits)
    ids, confidence, layers = decide_on_device(torch.from_numpy(scores), torch.from_numpy(valid), decision)
    expected = decide(scores, valid, decision)
    winner = scores.argmax(0)
    sure = scores.max(0) >= np.array(limits)[winner]
    known = valid & (scores.max(0) >= 0)
    np.testing.assert_array_equal(ids.numpy(), np.where(known, np.where(sure, winner, classes), 255))
    np.testing.assert_array_equal(ids.numpy(), expected[0])
    np.testing.assert_array_equal(confidence.numpy(), expected[1])
    for name, layer in zip(LAYERS, layers, strict=True):
        np.testing.assert_array_equal(layer.numpy(), compute_layer(name, scores, expected[0] != 255, np))
        assert layer.shape == decision.shape(name, (9, 12))


def test_sums_are_of_the_probabilities_and_then_of_the_margin() -> None:
    layers = {name: np.full(Decision(3).shape(name, (2, 5)), place, np.uint8) for place, name in enumerate(LAYERS)}
    planes = summed_planes(layers)
    assert planes is not None
    assert planes[:, 0, 0].tolist() == [0, 0, 0, 1]
    assert summed_planes({"entropy": layers["entropy"]}) is None
