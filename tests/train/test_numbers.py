"""Statistics, losses, learning rates, temperature and first layers, each against a reference."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy

from geoseg.evaluate.counts import near_boundary
from geoseg.grid.window import Window
from geoseg.model.zoo.extra import import_extra
from geoseg.model.zoo.unet import UNet
from geoseg.train.augment import make_augment
from geoseg.train.data.statistics import band_statistics
from geoseg.train.data.windows import Batch, Place
from geoseg.train.losses import class_weights, make_loss, near_other_class
from geoseg.train.optimizer import make_optimizer, rate_factor
from geoseg.train.publish.calibrate import divide_logits, find_temperature
from geoseg.train.start import adapt_bands
from geoseg.train_settings import AugmentSettings, LossSettings, OptimizerSettings

PLACE = Place(0, Window(0, 0, 1, 1))


@settings(max_examples=30)
@given(seed=st.integers(0, 999), sizes=st.lists(st.integers(1, 5), min_size=1, max_size=4))
def test_statistics_are_those_of_all_valid_pixels(seed: int, sizes: list[int]) -> None:
    rng = np.random.default_rng(seed)
    batches = []
    for size in sizes:
        pixels = rng.integers(0, 60_000, (size, 3, 4, 4)).astype(np.uint16)
        valid = rng.random((size, 4, 4)) < 0.8
        batches.append(Batch((PLACE,) * size, pixels, valid, np.zeros((size, 4, 4), np.uint8)))
    values = np.concatenate([np.moveaxis(one.pixels, 1, 0)[:, one.valid] for one in batches], axis=1).astype(float)
    if values.size:
        mean, deviation = band_statistics(batches)
        np.testing.assert_allclose(mean, values.mean(axis=1), rtol=1e-5)
        expected = values.std(axis=1)
        np.testing.assert_allclose(deviation, np.where(expected > 0, expected, 1), rtol=1e-5)


def labels_and_logits(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 4, (2, 12, 12), generator=generator)
    labels[0, :4] = 255
    return labels, torch.randn((2, 4, 12, 12), generator=generator, requires_grad=True)


def test_the_sum_of_losses_is_their_weighted_sum() -> None:
    labels, logits = labels_and_logits()
    single = {
        name: make_loss(LossSettings(terms={name: 1.0}), None)(logits, labels)
        for name in ("cross-entropy", "dice", "focal", "lovasz", "boundary")
    }
    both = make_loss(LossSettings(terms={"cross-entropy": 2.0, "dice": 0.5}), None)(logits, labels)
    torch.testing.assert_close(both, 2 * single["cross-entropy"] + 0.5 * single["dice"])
    known = labels != 255
    torch.testing.assert_close(single["cross-entropy"], cross_entropy(logits.movedim(1, -1)[known], labels[known]))
    assert all(torch.isfinite(value) and value > 0 for value in single.values())


@pytest.mark.parametrize("term", ["cross-entropy", "dice", "focal", "lovasz", "boundary"])
def test_pixels_without_a_label_have_no_gradient(term: str) -> None:
    labels, logits = labels_and_logits()
    make_loss(LossSettings(terms={term: 1.0}), None)(logits, labels).backward()
    assert not logits.grad[:, :, :4][0].any()
    assert logits.grad[1].any()


@pytest.mark.parametrize("term", ["cross-entropy", "dice", "focal", "lovasz", "boundary"])
def test_a_batch_without_a_label_changes_nothing(term: str) -> None:
    labels, logits = labels_and_logits()
    loss = make_loss(LossSettings(terms={term: 1.0}), None)(logits, torch.full_like(labels, 255))
    loss.backward()
    assert loss == 0
    assert not logits.grad.any()


@pytest.mark.parametrize("width_px", [1, 3])
def test_boundaries_are_those_of_evaluate(width_px: int) -> None:
    labels, _ = labels_and_logits()
    labels = labels.repeat_interleave(5, 1).repeat_interleave(5, 2)
    for one, near in zip(labels.numpy(), near_other_class(labels, width_px).numpy(), strict=True):
        np.testing.assert_array_equal(near, near_boundary(one.astype(np.uint8), width_px))


def test_class_weights_have_a_mean_of_one_over_the_pixels() -> None:
    pixels = {"a": 900, "b": 100}
    assert class_weights(LossSettings(), pixels) is None
    for wanted in ("balanced", {"b": 3.0}):
        weights = class_weights(LossSettings(class_weights=wanted), pixels)
        assert weights is not None
        assert weights[1] / weights[0] == pytest.approx(3.0)
        assert np.dot(weights, [0.9, 0.1]) == pytest.approx(1.0)


def test_learning_rates() -> None:
    steps = 100
    cosine = [rate_factor("cosine", 0.0, step, steps) for step in range(steps)]
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], 1.0)
    judge = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for step in range(steps):
        assert cosine[step] == pytest.approx(optimizer.param_groups[0]["lr"])
        optimizer.step()
        judge.step()
    cycle = [rate_factor("one-cycle", 0.1, step, steps) for step in range(steps)]
    assert max(cycle) == cycle[9] == cycle[10] == pytest.approx(1.0)
    assert cycle == [*sorted(cycle[:10]), *sorted(cycle[10:], reverse=True)]
    assert cycle[-1] < 1e-3
    assert {rate_factor("constant", 0.1, step, steps) for step in range(10, steps)} == {1.0}
    assert rate_factor("constant", 0.1, 0, steps) == pytest.approx(0.1)


def test_norms_and_biases_do_not_decay() -> None:
    network = UNet(in_channels=3, classes=2, width=4, depth=1)
    decay, plain = make_optimizer(network, OptimizerSettings(weight_decay=0.1)).param_groups
    assert decay["weight_decay"] == 0.1
    assert plain["weight_decay"] == 0
    assert all(one.ndim > 1 for one in decay["params"])
    assert len(decay["params"]) + len(plain["params"]) == len(list(network.parameters()))


@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.5])
def test_the_temperature_is_found(temperature: float) -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (3, 5, 64, 64))
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = (rng.random((3, 1, 64, 64)) > shares.cumsum(1)).sum(1).clip(0, 4).astype(np.uint8)
    labels[:, :8] = 255
    stretched = torch.from_numpy(logits * temperature).float()
    assert find_temperature([(labels, stretched)], 3) == pytest.approx(temperature, rel=0.05)


def test_the_temperature_becomes_part_of_the_weights() -> None:
    torch.manual_seed(0)
    network = UNet(in_channels=3, classes=4, width=4, depth=1).eval()
    pixels = torch.randn(1, 3, 16, 16)
    with torch.inference_mode():
        before = network(pixels)
        assert divide_logits(network, 1.7, pixels)
        torch.testing.assert_close(network(pixels), before / 1.7, rtol=1e-5, atol=1e-5)


def test_a_network_that_does_not_end_in_a_linear_layer_is_left_as_it_is() -> None:
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1), torch.nn.Tanh()).eval()
    pixels = torch.randn(1, 3, 8, 8)
    with torch.inference_mode():
        before = network(pixels)
        assert not divide_logits(network, 1.7, pixels)
        torch.testing.assert_close(network(pixels), before)


@pytest.mark.parametrize("bands", [1, 2, 3, 4, 7])
def test_first_layers_are_adapted_as_timm_does(bands: int) -> None:
    weight = torch.randn(8, 3, 5, 5)
    judge = import_extra("timm.models").adapt_input_conv(bands, weight)
    torch.testing.assert_close(adapt_bands(weight, bands), judge)


@pytest.mark.parametrize("changes", [{"flips": True, "zoom": 0.0}, {"flips": True, "zoom": 0.3, "rotation_deg": 20.0}])
def test_labels_move_with_the_pixels(changes: dict[str, float]) -> None:
    quiet = AugmentSettings(brightness=0.0, contrast=0.0, **changes)
    labels = torch.randint(0, 3, (6, 6, 6)).repeat_interleave(8, 1).repeat_interleave(8, 2)
    labels[:, :5] = 255
    pixels = torch.where(labels == 255, 0, labels + 1).float()[:, None].repeat(1, 2, 1, 1)
    torch.manual_seed(1)
    moved, moved_labels = make_augment(quiet)(pixels, labels)
    expected = torch.where(moved_labels == 255, 0, moved_labels + 1).float()
    # A bilinear pixel between two classes may be nearest to a third.
    wrong = (moved[:, 0].round() != expected).float().mean()
    assert wrong < (0.1 if changes["zoom"] else 1e-9)
    assert (moved_labels != labels).any()
    torch.manual_seed(1)
    assert torch.equal(make_augment(quiet)(pixels, labels)[0], moved)


def test_radiometry_changes_pixels_and_no_label() -> None:
    strong = AugmentSettings(flips=False, zoom=0.0, noise=0.2, band_dropout=0.5, shadows=1.0)
    pixels, labels = torch.ones(4, 3, 32, 32), torch.randint(0, 3, (4, 32, 32))
    torch.manual_seed(0)
    changed, same = make_augment(strong)(pixels, labels)
    assert torch.equal(same, labels)
    dropped = (changed == 0).all(dim=(2, 3))
    assert dropped.any()
    assert not dropped.all()
    assert changed.std() > 0.1
    torch.testing.assert_close(pixels, torch.ones(4, 3, 32, 32))
