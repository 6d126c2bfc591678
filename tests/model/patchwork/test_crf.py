"""The field of a patch against dense kernels in float64: every pair of pixels, as the equations state them."""

from pathlib import Path

import numpy as np
import pytest
import torch

from geoseg.model.bundle.bundle import read_bundle
from geoseg.model.inference import Inference
from geoseg.model.load import start_predictor
from geoseg.model.patchwork.crf import refine
from geoseg.model.patchwork.options import Crf, PatchOptions
from geoseg.model.patchwork.views import Views
from tests.support.bundles import unet_bundle

CRF = Crf(radius_px=3, iterations=5, appearance=10, appearance_sd=0.25, smoothness=3, smoothness_px=3)
FIELDS = {
    "default": CRF,
    "large window": Crf(radius_px=15, iterations=3, appearance=4, appearance_sd=0.5, smoothness=1, smoothness_px=2),
    "smoothness alone": Crf(
        radius_px=1, iterations=1, appearance=0, appearance_sd=1, smoothness=2.5, smoothness_px=0.7
    ),
    "appearance alone": Crf(
        radius_px=2, iterations=2, appearance=7, appearance_sd=0.1, smoothness=0, smoothness_px=1
    ),
}  # fmt: skip


def dense(probabilities: np.ndarray, pixels: np.ndarray, crf: Crf) -> np.ndarray:
    """Kernels between all pixels, zero outside the window."""
    classes, height, width = probabilities.shape
    place = np.stack(np.unravel_index(np.arange(height * width), (height, width)), 1).astype(float)
    steps = place[:, None] - place[None]
    near = (np.abs(steps).max(2) <= crf.radius_px) & ~np.eye(height * width, dtype=bool)
    values = pixels.reshape(len(pixels), -1).T
    difference = ((values[:, None] - values[None]) ** 2).mean(2)
    kernels = (
        (crf.appearance, np.exp(-difference / (2 * crf.appearance_sd**2)) * near),
        (crf.smoothness, np.exp(-(steps**2).sum(2) / (2 * crf.smoothness_px**2)) * near),
    )
    unary = probabilities.reshape(classes, -1).T.astype(float)
    mean = unary / unary.sum(1, keepdims=True)
    for _ in range(crf.iterations):
        message = sum(weight * kernel @ mean / kernel.sum(1, keepdims=True) for weight, kernel in kernels)
        mean = unary * np.exp(message)
        mean /= mean.sum(1, keepdims=True)
    return mean.T.reshape(probabilities.shape)


def patch(classes: int, height: int, width: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities and pixels of two bands with a few fields."""
    rng = np.random.default_rng(seed)
    fields = np.kron(rng.normal(size=(2, 4, 4)), np.ones((1, 4, 5)))[:, :height, :width]
    logits = rng.normal(size=(classes, height, width))
    probabilities = np.exp(logits) / np.exp(logits).sum(0)
    return probabilities.astype(np.float32), (fields + rng.normal(0, 0.1, fields.shape)).astype(np.float32)


@pytest.mark.parametrize("crf", FIELDS.values(), ids=FIELDS)
def test_the_field_is_that_of_the_equations(crf: Crf) -> None:
    probabilities, pixels = patch(4, 13, 17)
    found = refine(torch.from_numpy(probabilities), torch.from_numpy(pixels), crf).numpy()
    np.testing.assert_allclose(found, dense(probabilities, pixels, crf), atol=2e-5)


def test_a_speck_in_a_field_takes_its_class_and_the_edge_of_the_field_stays() -> None:
    pixels = np.zeros((1, 16, 16), np.float32)
    pixels[:, :, 8:] = 3
    second = np.where(pixels[0] > 0, 0.8, 0.2).astype(np.float32)
    second[4, 3], second[10, 12] = 0.7, 0.3
    found = refine(torch.from_numpy(np.stack([1 - second, second])), torch.from_numpy(pixels), CRF).argmax(0)
    np.testing.assert_array_equal(found.numpy(), pixels[0] > 0)


def test_a_pixel_without_probabilities_has_none_afterwards_and_spoils_no_other() -> None:
    probabilities, pixels = (torch.from_numpy(part) for part in patch(3, 9, 9))
    probabilities[:, 4, 4] = torch.nan
    found = refine(probabilities, pixels, CRF)
    assert torch.isnan(found[:, 4, 4]).all()
    assert torch.isfinite(found).sum() == 3 * (81 - 1)


def test_pixels_unlike_all_others_exchange_nothing_by_appearance() -> None:
    probabilities, _ = patch(3, 9, 9)
    pixels = np.arange(81, dtype=np.float32).reshape(1, 9, 9) * 100
    alone = Crf(radius_px=2, iterations=3, appearance=10, appearance_sd=0.25, smoothness=0, smoothness_px=1)
    found = refine(torch.from_numpy(probabilities), torch.from_numpy(pixels), alone)
    np.testing.assert_allclose(found, probabilities, atol=1e-6)


def test_certain_probabilities_stay_finite() -> None:
    certain = torch.zeros(3, 8, 8)
    certain[0], certain[0, 2, 2], certain[1, 2, 2] = 1, 0, 1
    found = refine(certain, torch.zeros(1, 8, 8), CRF)
    assert torch.isfinite(found).all()
    torch.testing.assert_close(found.sum(0), torch.ones(8, 8))


def test_the_field_sees_the_scaled_pixels_and_the_mean_of_the_views(tmp_path: Path) -> None:
    bundle = read_bundle(unet_bundle(tmp_path))
    batch = torch.randn(2, 4, 32, 32, generator=torch.Generator().manual_seed(0))
    found = {}
    for crf in (None, CRF):
        options = PatchOptions("flips", crf=crf)
        network = start_predictor(bundle, Inference("cpu", 32, batch_size=2, options=options))._network
        assert isinstance(network, Views)
        found[crf] = network(batch)
    for place in range(2):
        assert torch.equal(found[CRF][place], refine(found[None][place], batch[place], CRF))
    assert not torch.equal(found[CRF], found[None])
