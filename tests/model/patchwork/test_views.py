"""Views of patches against numpy and Pillow, blended over the whole scene at once."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from geoseg.errors import SceneError, SettingsError
from geoseg.grid.tiling import Lattice, Tiling
from geoseg.model.bundle.bundle import read_bundle
from geoseg.model.inference import Inference
from geoseg.model.load import start_predictor
from geoseg.model.patchwork.options import PatchOptions
from geoseg.model.patchwork.views import TURNS
from geoseg.model.predictor import Prediction
from tests.support.bundles import identity_bundle, trained_network, unet_bundle
from tests.support.onnx_models import linear_onnx
from tests.support.views_oracle import averaged, blended, symmetries

PATCH, OVERLAP = 32, 8


@pytest.fixture(scope="module")
def scene() -> np.ndarray:
    rng = np.random.default_rng(5)
    coarse = rng.integers(100, 3000, (4, 9, 11))
    return np.kron(coarse, np.ones((1, 7, 7))).astype(np.uint16) + rng.integers(0, 200, (4, 63, 77), np.uint16)


def predict(bundle: Path, pixels: np.ndarray, options: PatchOptions, **how: Any) -> Prediction:
    """Predict a scene in one block."""
    tiling = Tiling(Lattice.of(pixels.shape[1:], PATCH, OVERLAP), 4 * (PATCH - OVERLAP))
    predictor = start_predictor(read_bundle(bundle), Inference("cpu", PATCH, options=options, **how))
    return predictor.predict(tiling, tiling.block(0, 0), pixels, np.ones(pixels.shape[1:], bool), "scene.tif")


@pytest.mark.parametrize("kind", ["flips", "flips-and-turns"])
def test_the_views_are_the_symmetries_of_a_square(kind: Any) -> None:
    patch = torch.arange(2 * 5 * 5).reshape(2, 5, 5)
    views = {tuple(turn.see(patch).ravel().tolist()) for turn in TURNS[kind]}
    assert views == {tuple(symmetry(patch.numpy()).ravel().tolist()) for symmetry in symmetries(kind)}
    for turn in TURNS[kind]:
        assert torch.equal(turn.undo(turn.see(patch)), patch)


@pytest.mark.parametrize(
    "options",
    [
        PatchOptions("flips"),
        PatchOptions("flips-and-turns", temperature=2.5),
        PatchOptions(scales=(1.0, 0.5, 1.75)),
        PatchOptions("flips", temperature=0.5, scales=(0.5,)),
    ],
    ids=["flips", "turns and temperature", "scales", "all"],
)
@pytest.mark.parametrize("batch_size", [1, 3])
def test_views_are_averaged_as_in_float64(
    tmp_path: Path, scene: np.ndarray, options: PatchOptions, batch_size: int
) -> None:
    bundle = unet_bundle(tmp_path)
    network = trained_network(bundle).double()

    def softmax(patch: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            logits = network(torch.from_numpy(np.ascontiguousarray(patch))[None].double()) / options.temperature
            return torch.softmax(logits, 1)[0].numpy()

    whole = blended(
        averaged(softmax, options.augment, options.scales), (scene.astype(float) - 1500) / 80, PATCH, OVERLAP
    )
    done = predict(bundle, scene, options, batch_size=batch_size).scores.decided
    assert (done.classes == whole.argmax(0)).mean() > 0.999
    np.testing.assert_allclose(done.confidence, whole.max(0) * 255, atol=0.5 + 0.05)


def test_a_symmetric_network_is_not_changed_by_flips_and_turns(tmp_path: Path) -> None:
    classes = np.random.default_rng(0).integers(0, 6, (1, 63, 77)).astype(np.uint8)
    done = predict(identity_bundle(tmp_path), classes, PatchOptions("flips-and-turns")).scores.decided
    np.testing.assert_array_equal(done.classes, classes[0])
    assert (done.confidence == 255).all()


def test_a_smaller_map_is_enlarged_at_every_scale(tmp_path: Path) -> None:
    bundle = linear_onnx(tmp_path, np.eye(2), shrink=4)
    pixels = np.zeros((2, 32, 32), np.uint8)
    pixels[0, :, :16] = pixels[1, :, 16:] = 9
    done = predict(bundle, pixels, PatchOptions("flips", scales=(0.5, 1.0, 2.0))).scores.decided
    np.testing.assert_array_equal(done.classes, np.repeat([[0, 1]], 16, axis=1).repeat(32, axis=0))


def test_logits_that_are_not_finite_in_one_view_are_found(tmp_path: Path) -> None:
    # The logit overflows where the value is large, and only there.
    bundle = linear_onnx(tmp_path, np.array([[1e36], [0.0]]))
    pixels = np.ones((1, 63, 77), np.float32)
    pixels[0, 40, 50] = 9000
    with pytest.raises(SceneError, match="gives logits that are not finite"):
        predict(bundle, pixels, PatchOptions("flips"))
    result = predict(bundle, pixels, PatchOptions("flips"), on_nonfinite="nodata")
    expected = np.zeros((63, 77), np.uint8)
    expected[40, 50] = 255
    np.testing.assert_array_equal(result.scores.decided.classes, expected)
    # Resizing spreads it to the pixels around, whose probabilities would be wrong.
    result = predict(bundle, pixels, PatchOptions(scales=(1.0, 0.5)), on_nonfinite="nodata")
    rows, cols = np.nonzero(result.scores.decided.classes == 255)
    assert (rows.min(), rows.max(), cols.min(), cols.max()) == (37, 42, 47, 52)


@pytest.mark.parametrize(
    ("patch", "scale", "sides"), [(256, 0.333, "0.25 or 0.375"), (64, 0.2, "0.5 or 1"), (64, 1.75, "1.5 or 2")]
)
def test_a_scale_without_a_valid_side_is_refused_with_those_that_have_one(patch: int, scale: float, sides: str) -> None:
    with pytest.raises(SettingsError, match=rf"multiple of 32\. Use {sides}\."):
        PatchOptions(scales=(1.0, scale)).sides_px(patch, 32)


def test_a_third_may_be_rounded() -> None:
    assert PatchOptions(scales=(0.333333333, 1.0)).sides_px(96, 32) == (32, 96)


def test_a_network_of_one_size_refuses_other_scales(tmp_path: Path) -> None:
    model = onnx.load(linear_onnx(tmp_path, np.eye(2)) / "model.onnx")
    for side in model.graph.input[0].type.tensor_type.shape.dim[2:]:
        side.dim_value = 32
    onnx.save(model, tmp_path / "model.onnx")
    bundle = read_bundle(tmp_path)
    start_predictor(bundle, Inference("cpu", 32, options=PatchOptions("flips")))
    with pytest.raises(SettingsError, match=r"inference\.scales: at 0\.5, .*Or leave this scale out"):
        start_predictor(bundle, Inference("cpu", 32, options=PatchOptions(scales=(1.0, 0.5))))


def test_probabilities_have_no_temperature(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"inference\.temperature=2 divides logits, and test-model gives prob"):
        predict(identity_bundle(tmp_path), np.zeros((1, 32, 32), np.uint8), PatchOptions(temperature=2))
