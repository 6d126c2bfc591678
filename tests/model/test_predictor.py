"""The predictor against references that do not share its code: float64, onnxruntime, whole arrays."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import safetensors.torch
import torch
from onnx import numpy_helper

from geoseg.errors import SceneError, SettingsError
from geoseg.grid.blend import band_windows, decide, finish
from geoseg.grid.decision import Decision
from geoseg.grid.tiling import Lattice, Tiling
from geoseg.grid.window import Window
from geoseg.model.bundle.bundle import read_bundle
from geoseg.model.inference import Inference
from geoseg.model.load import start_predictor
from geoseg.model.patchwork.scores import decide as decide_on_device
from geoseg.model.predictor import Prediction
from tests.support.bundles import identity_bundle, save_onnx, trained_network, unet_bundle
from tests.support.onnx_models import linear_onnx
from tests.support.programs import with_code

Z_SCORE = {"type": "z-score", "mean": 0, "stddev": 1e-44}


def predict_whole(
    bundle: Path, pixels: np.ndarray, valid: np.ndarray | None = None, patch: int = 32, **how: Any
) -> Prediction:
    """Predict a scene in one block."""
    valid = np.ones(pixels.shape[1:], bool) if valid is None else valid
    lattice = Lattice.of(pixels.shape[1:], patch, 8)
    tiling = Tiling(lattice, lattice.rows.stride_px * max(lattice.rows.count, lattice.cols.count, 3))
    predictor = start_predictor(read_bundle(bundle), Inference("cpu", patch, **how))
    return predictor.predict(tiling, tiling.block(0, 0), pixels, valid, "scene.tif")


@pytest.fixture(scope="module")
def scene() -> np.ndarray:
    rng = np.random.default_rng(5)
    coarse = rng.integers(100, 3000, (4, 12, 15))
    return np.kron(coarse, np.ones((1, 7, 7))).astype(np.uint16) + rng.integers(0, 200, (4, 84, 105), np.uint16)


def test_identity_returns_the_input(tmp_path: Path) -> None:
    classes = np.random.default_rng(0).integers(0, 6, (1, 70, 45)).astype(np.uint8)
    done = predict_whole(identity_bundle(tmp_path), classes).scores.decided
    np.testing.assert_array_equal(done.classes, classes[0])
    assert (done.confidence == 255).all()


def test_invalid_pixels_get_no_class_and_do_not_leak(tmp_path: Path, scene: np.ndarray) -> None:
    valid = np.random.default_rng(1).random(scene.shape[1:]) < 0.7
    bundle = unet_bundle(tmp_path)
    one, other = scene.copy(), scene.copy()
    one[:, ~valid], other[:, ~valid] = 0, 65535
    first, second = predict_whole(bundle, one, valid), predict_whole(bundle, other, valid)
    np.testing.assert_array_equal(first.scores.decided.classes, second.scores.decided.classes)
    assert ((first.scores.decided.classes == 255) == ~valid).all()


def test_patches_without_a_valid_pixel_never_run(tmp_path: Path, scene: np.ndarray) -> None:
    valid = np.zeros(scene.shape[1:], bool)
    valid[0, 0] = True
    result = predict_whole(unet_bundle(tmp_path), scene, valid)
    assert result.patches == 1
    assert np.count_nonzero(result.scores.decided.classes != 255) == 1


def test_batches_change_no_score(tmp_path: Path, scene: np.ndarray) -> None:
    bundle = unet_bundle(tmp_path)
    one = predict_whole(bundle, scene, batch_size=1).scores.decided
    for batch_size in (3, 8):
        many = predict_whole(bundle, scene, batch_size=batch_size).scores.decided
        assert (one.classes == many.classes).mean() > 0.9999
        np.testing.assert_allclose(one.confidence.astype(int), many.confidence, atol=1)


def float64_scores(network: torch.nn.Module, pixels: np.ndarray, patch: int, overlap: int) -> np.ndarray:
    """Blended probabilities the plain way: numpy.pad, float64 sums, one division by the sum of weights."""
    rows, cols = (max(1, -(-(n - overlap) // (patch - overlap))) for n in pixels.shape[1:])
    height, width = ((n - 1) * (patch - overlap) + patch for n in (rows, cols))
    scaled = (pixels.astype(np.float64) - 1500) / 80
    ramp = np.sin(np.pi / 2 * (np.arange(overlap) + 0.5) / overlap) ** 2
    taper = np.concatenate([ramp, np.ones(patch - 2 * overlap), ramp[::-1]])
    total, weight = np.zeros((5, height, width)), np.zeros((height, width))
    for i in range(rows):
        for j in range(cols):
            r, c = i * (patch - overlap), j * (patch - overlap)
            cut = scaled[:, r : r + patch, c : c + patch]
            pad = ((0, 0), (0, patch - cut.shape[1]), (0, patch - cut.shape[2]))
            x = torch.from_numpy(np.pad(cut, pad, mode="reflect")[None])
            with torch.no_grad():
                p = torch.softmax(network(x), 1)[0].numpy()
            total[:, r : r + patch, c : c + patch] += p * np.outer(taper, taper)
            weight[r : r + patch, c : c + patch] += np.outer(taper, taper)
    return (total / weight)[:, : pixels.shape[1], : pixels.shape[2]]


def test_scores_agree_with_a_float64_reference(tmp_path: Path, scene: np.ndarray) -> None:
    bundle = unet_bundle(tmp_path)
    reference = float64_scores(trained_network(bundle).double(), scene, 32, 8)
    done = predict_whole(bundle, scene).scores.decided
    assert (done.classes == reference.argmax(0)).mean() > 0.9995
    # half a step of the 8-bit confidence, and what float32 and the quantisation may add to it
    np.testing.assert_allclose(done.confidence, reference.max(0) * 255, atol=0.5 + 0.01)


def test_blended_scores_are_within_the_quantisation_of_exact_probabilities(tmp_path: Path, scene: np.ndarray) -> None:
    """Four patches of at most half a unit each, and the float32 rounding of weight times probability."""
    bundle = unet_bundle(tmp_path)
    reference = float64_scores(trained_network(bundle).double(), scene, 32, 8)
    lattice = Lattice.of(scene.shape[1:], 32, 8)
    tiling = Tiling(lattice, 24)
    predictor = start_predictor(read_bundle(bundle), Inference("cpu", 32))
    block = tiling.block(1, 1)
    valid = np.ones(block.read.shape, bool)
    pixels = scene[(slice(None), *block.read.slices(lattice.scene))]
    strip = predictor.predict(tiling, block, pixels, valid, "scene.tif").spill.east
    assert strip is not None
    # The east strip plus what the east neighbour gives there is the whole score of rows that no other block touches.
    east = tiling.block(1, 2)
    neighbour = predictor.predict(
        tiling,
        east,
        scene[(slice(None), *east.read.slices(lattice.scene))],
        np.ones(east.read.shape, bool),
        "scene.tif",
    ).scores
    west_band = next(band for band in neighbour.bands if band.window.width == 8)
    common = west_band.window.intersect(strip.window)
    assert common is not None
    total = (
        strip.scores[(slice(None), *common.slices(strip.window))]
        + west_band.scores[(slice(None), *common.slices(west_band.window))]
    )
    expected = reference[(slice(None), *common.slices(lattice.scene))] * 2**20
    assert np.abs(total - expected).max() < 4 * 0.5 + 8  # 8 units are 8e-6: float32 logits of a small U-Net


def test_decide_on_the_device_equals_numpy() -> None:
    rng = np.random.default_rng(2)
    scores = (rng.integers(0, 5, (6, 40, 50)) * 2**17).astype(np.int32)
    classes, confidence = decide(scores, np.ones((40, 50), bool))
    on_device = decide_on_device(torch.from_numpy(scores), torch.ones(40, 50, dtype=torch.bool), Decision(6))
    np.testing.assert_array_equal(on_device[0].numpy(), classes)
    np.testing.assert_array_equal(on_device[1].numpy(), confidence)


@pytest.mark.parametrize("channels_last", [False, True])
def test_onnx_gives_the_output_of_onnxruntime(tmp_path: Path, channels_last: bool) -> None:
    rng = np.random.default_rng(3)
    bundle = linear_onnx(
        tmp_path, rng.normal(size=(3, 2)), channels_last=channels_last, scaling=[{"type": "affine", "scale": 0.1}]
    )
    pixels = rng.integers(0, 100, (2, 20, 27)).astype(np.uint8)
    x = pixels[None].astype(np.float32) * np.float32(0.1)
    session = onnxruntime.InferenceSession(bundle / "model.onnx", providers=["CPUExecutionProvider"])
    logits = session.run(None, {"pixels": x.transpose(0, 2, 3, 1) if channels_last else x})[0]
    expected = (logits.transpose(0, 3, 1, 2) if channels_last else logits)[0].argmax(0)
    np.testing.assert_array_equal(predict_whole(bundle, pixels).scores.decided.classes, expected)


def test_a_fixed_batch_is_respected(tmp_path: Path) -> None:
    bundle = linear_onnx(tmp_path, np.eye(2), batch=1)
    assert start_predictor(read_bundle(bundle), Inference("cpu", 32, batch_size=4)).task.batch_size == 1


def mixing_onnx(folder: Path, batch: int | str) -> Path:
    """A network that subtracts the batch's mean, so each patch depends on the others of its batch."""
    nodes = [
        onnx.helper.make_node("ReduceMean", ["pixels"], ["mean"], axes=[0]),
        onnx.helper.make_node("Sub", ["pixels", "mean"], ["classes"]),
    ]
    return save_onnx(folder, nodes, [], 2, 2, channels_last=False, batch=batch)


def test_a_network_that_mixes_patches_gets_batches_of_one(tmp_path: Path) -> None:
    assert (
        start_predictor(read_bundle(mixing_onnx(tmp_path, "n")), Inference("cpu", 32, batch_size=4)).task.batch_size
        == 1
    )


def test_a_network_that_mixes_patches_of_a_fixed_batch_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"takes batches of 4 alone .* Export it with a batch of any size or of 1"):
        start_predictor(read_bundle(mixing_onnx(tmp_path, 4)), Inference("cpu", 32))


def test_a_smaller_map_is_upsampled(tmp_path: Path) -> None:
    bundle = linear_onnx(tmp_path, np.eye(2), shrink=4)
    pixels = np.zeros((2, 32, 32), np.uint8)
    pixels[0, :, :16] = pixels[1, :, 16:] = 9
    classes = predict_whole(bundle, pixels).scores.decided.classes
    np.testing.assert_array_equal(classes, np.repeat([[0, 1]], 16, axis=1).repeat(32, axis=0))


@pytest.mark.parametrize(
    ("declared", "message"), [(None, "declares 32 x 32"), (-1, "declares 32 x 32"), (16, "16 x 16")]
)
def test_a_smaller_map_must_be_declared(tmp_path: Path, declared: int | None, message: str) -> None:
    bundle = linear_onnx(tmp_path, np.eye(2), shrink=4, output_px=declared)
    with pytest.raises(
        SettingsError, match=rf"returns maps of 8 x 8 px for patches of 32 px.*{message}.*result\.shape"
    ):
        start_predictor(read_bundle(bundle), Inference("cpu", 32))


def test_a_declared_map_scales_with_the_patch(tmp_path: Path) -> None:
    bundle = read_bundle(linear_onnx(tmp_path, np.eye(2), shrink=4))
    start_predictor(bundle, Inference("cpu", 64))
    with pytest.raises(SettingsError, match=r"returns maps of 7 x 7 px for patches of 30 px.*declares 7\.5 x 7\.5"):
        start_predictor(bundle, Inference("cpu", 30))


@pytest.mark.parametrize(
    ("operator", "activation", "words"),
    [
        (None, "none", r"gives values from -.* to .*no probabilities.*Set geoseg:activation to softmax or sigmoid in"),
        (None, "softmax", None),
        (None, "sigmoid", None),
        ("Softmax", "softmax", r"sum to 1, so a softmax was applied.*Set geoseg:activation to none in"),
        ("Softmax", "sigmoid", r"sum to 1, so a softmax was applied.*Set geoseg:activation to none in"),
        ("Softmax", "none", None),
        ("Sigmoid", "sigmoid", r"lie within 0 and 1.*Set geoseg:activation to none in"),
        ("Sigmoid", "none", None),
        ("LogSoftmax", "softmax", None),
        ("LogSoftmax", "none", r"no probabilities"),
    ],
)
def test_an_activation_that_contradicts_the_network_is_a_warning(
    tmp_path: Path, operator: str | None, activation: str, words: str | None
) -> None:
    kernel = numpy_helper.from_array(np.float32([[3, 1], [-2, 1], [1, -4]]).reshape(3, 2, 1, 1), "kernel")
    nodes = [onnx.helper.make_node("Conv", ["pixels", "kernel"], ["logits"])]
    over = {} if operator == "Sigmoid" else {"axis": 1}
    nodes.append(onnx.helper.make_node(operator or "Identity", ["logits"], ["classes"], **(over if operator else {})))
    bundle = save_onnx(tmp_path, nodes, [kernel], 2, 3, channels_last=False, batch="n", activation=activation)
    warnings = start_predictor(read_bundle(bundle), Inference("cpu", 32)).task.warnings
    assert len(warnings) == bool(words)
    assert all(re.search(words or "", text) and str(bundle / "model.onnx") in text for text in warnings)


@pytest.mark.parametrize(("activation", "threshold"), [("sigmoid", 0.0), ("none", 0.5)])
def test_one_channel_is_the_probability_of_the_second_class(tmp_path: Path, activation: str, threshold: float) -> None:
    bundle = linear_onnx(tmp_path, np.ones((1, 1)), class_count=2, activation=activation)
    values = np.linspace(-0.2, 1.2, 32 * 32).astype(np.float32).reshape(1, 32, 32)
    values[np.abs(values - threshold) < 1e-3] += 0.01
    done = predict_whole(bundle, values).scores.decided
    np.testing.assert_array_equal(done.classes, values[0] > threshold)


def overflowing_onnx(folder: Path, factor: float) -> Path:
    """Three layers of finite weights, two of them large, that give infinity and, after a ReLU, NaN."""
    large = onnx.numpy_helper.from_array(np.full((2, 2, 1, 1), factor, np.float32), "large")
    mixed = onnx.numpy_helper.from_array(np.eye(2, dtype=np.float32).reshape(2, 2, 1, 1), "mixed")
    make = onnx.helper.make_node
    nodes = [
        make("Conv", ["pixels", "large"], ["a"]), make("Relu", ["a"], ["b"]),
        make("Conv", ["b", "large"], ["c"]), make("Relu", ["c"], ["d"]),
        make("Conv", ["d", "mixed"], ["e"]), make("Relu", ["e"], ["classes"]),
    ]  # fmt: skip
    return save_onnx(folder, nodes, [large, mixed], 2, 2, channels_last=False, batch="n")


def overflowing_unet(folder: Path, factor: float) -> Path:
    """A U-Net with three such layers."""
    weights = safetensors.torch.load_file(unet_bundle(folder, bands=2, scaling=[]) / "weights.safetensors")
    for name in ("stem.0.weight", "stem.3.weight", "down.0.0.weight"):
        weights[name] *= factor
    safetensors.torch.save_file(weights, folder / "weights.safetensors")
    return folder


@pytest.mark.parametrize(("model", "factor"), [(overflowing_onnx, 1e15), (overflowing_unet, 1e10)])
def test_a_middle_layer_that_overflows_stops_the_scene(tmp_path: Path, model: Any, factor: float) -> None:
    pixels = np.zeros((2, 40, 40), np.float32)
    pixels[1, 33, 28] = 1e12
    with pytest.raises(SceneError, match=r"scene\.tif: test-model gives logits that are not finite .*rows"):
        predict_whole(model(tmp_path, factor), pixels)


@pytest.mark.parametrize("model", [overflowing_onnx, overflowing_unet])
def test_a_network_that_always_overflows_is_refused_before_any_work(tmp_path: Path, model: Any) -> None:
    with pytest.raises(
        SettingsError, match=r"logits that are not finite .* for random pixels around 0: its layers over"
    ):
        start_predictor(read_bundle(model(tmp_path, 1e25)), Inference("cpu", 32))


@pytest.mark.parametrize("model", [linear_onnx, unet_bundle])
@pytest.mark.parametrize(
    ("scaling", "value", "words"),
    [
        ([{"type": "log1p"}], -7, r"band band2 is not finite after step 1 of 1 .*\(log1p\), .*-7 becomes nan"),
        ([{"type": "affine", "scale": 2}, Z_SCORE], 1, r"band band2 .*step 2 of 2.*z-score.*inf"),
        ([], 1e300, r"band band2 is not finite in float32"),
    ],
)  # fmt: skip
def test_scaled_pixels_that_are_not_finite_stop_the_scene(
    tmp_path: Path, model: Any, scaling: list[dict[str, Any]], value: float, words: str
) -> None:
    """The scaled pixels are checked, since layers of the network can hide NaN."""
    first = {"matrix": np.eye(2)} if model is linear_onnx else {"bands": 2}
    bundle = model(tmp_path, **first, scaling=scaling)
    pixels = np.zeros((2, 40, 40))
    pixels[1, 33, 5] = value
    match = rf"scene\.tif: {words}.*rows 24:56, columns 0:32\. Check the scaling in .*model\.json"
    with pytest.raises(SceneError, match=match):
        predict_whole(bundle, pixels)


def test_invalid_pixels_may_scale_to_any_value(tmp_path: Path) -> None:
    bundle = unet_bundle(tmp_path, bands=2, scaling=[{"type": "log1p"}])
    pixels, valid = np.full((2, 40, 40), 5, np.int16), np.ones((40, 40), bool)
    pixels[:, 3, 4], valid[3, 4] = -9999, False
    assert np.count_nonzero(predict_whole(bundle, pixels, valid).scores.decided.classes == 255) == 1


def test_a_network_does_not_spread_pixels_that_are_not_finite(tmp_path: Path) -> None:
    bundle = unet_bundle(tmp_path, bands=2, scaling=[{"type": "log1p"}])
    pixels = np.full((2, 40, 40), 5, np.int16)
    pixels[1, 33, 5] = -7
    done = predict_whole(bundle, pixels, on_nonfinite="nodata")
    assert np.argwhere(done.scores.decided.classes == 255).tolist() == [[33, 5]]
    assert done.reasons == (
        "band band2 is not finite after step 1 of 1 of its scaling (log1p), where the value -7 becomes nan",
    )


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("artifact", ["weights.safetensors", "model.pt2", "model.torchscript.pt"])
def test_weights_that_are_not_finite_are_refused(tmp_path: Path, artifact: str, value: float) -> None:
    bundle = unet_bundle(tmp_path)
    weights = safetensors.torch.load_file(bundle / "weights.safetensors")
    weights["stem.0.weight"][1, 2, 0, 1] = value
    safetensors.torch.save_file(weights, bundle / "weights.safetensors")
    if artifact != "weights.safetensors":
        with_code(bundle, artifact)
    found = read_bundle(bundle).model_copy(update={"trusts_code": True})
    with pytest.raises(
        SettingsError, match=rf"{artifact} cannot be loaded: the weights stem\.0\.weight are not finite: .* of 288 are"
    ):
        start_predictor(found, Inference("cpu", 32))


def test_weights_that_overflow_when_folded_are_refused(tmp_path: Path) -> None:
    bundle = unet_bundle(tmp_path)
    weights = safetensors.torch.load_file(bundle / "weights.safetensors")
    weights["stem.1.running_var"][:] = -1
    safetensors.torch.save_file(weights, bundle / "weights.safetensors")
    with pytest.raises(SettingsError, match=r"stem\.0\.weight are not finite after its normalisation was worked in"):
        start_predictor(read_bundle(bundle), Inference("cpu", 32))


@pytest.mark.parametrize("strides", [1, 2, 4])
def test_row34_pixels_without_finite_logits_become_nodata_if_set(tmp_path: Path, strides: int) -> None:
    bundle = linear_onnx(tmp_path, np.eye(2), scaling=[{"type": "log1p"}])
    pixels = np.random.default_rng(0).integers(1, 9, (2, 90, 70)).astype(np.int16)
    bad = np.zeros((90, 70), bool)
    bad[[33, 50, 89, 24, 0], [5, 28, 69, 24, 0]] = True  # alone, where two and where four patches meet, at the rim
    good = pixels.copy()
    pixels[1, bad] = -7
    classes, confidence, not_finite = predict_in_blocks(bundle, pixels, strides, on_nonfinite="nodata")
    expected, expected_confidence, none = predict_in_blocks(bundle, good, strides)
    np.testing.assert_array_equal(classes, np.where(bad, 255, expected))
    np.testing.assert_array_equal(confidence, np.where(bad, 0, expected_confidence))
    rows, cols = np.nonzero(bad)
    lattice = Lattice.of(bad.shape, 32, 8)
    patches = {lattice.patch(i, j) for i in range(lattice.rows.count) for j in range(lattice.cols.count)}
    assert set(not_finite) == {
        patch
        for patch in patches
        if any(
            patch.row <= r < patch.row_stop and patch.col <= c < patch.col_stop for r, c in zip(rows, cols, strict=True)
        )
    }
    assert none == []


def test_row34_a_whole_map_may_be_unknown(tmp_path: Path) -> None:
    bundle = linear_onnx(tmp_path, np.eye(2), shrink=4, scaling=[{"type": "log1p"}])
    done = predict_whole(bundle, np.full((2, 40, 40), -7, np.int16), on_nonfinite="nodata").scores.decided
    assert (done.classes == 255).all()
    assert (done.confidence == 0).all()


def test_row36_an_output_of_another_rank_is_refused_before_any_work(tmp_path: Path) -> None:
    node = onnx.helper.make_node("ReduceMean", ["pixels"], ["classes"], axes=[2, 3], keepdims=0)
    bundle = save_onnx(tmp_path, [node], [], 2, 2, channels_last=False, batch="n")
    with pytest.raises(SettingsError, match=r"returns shape \(1, 2\) for 1 patches of 32 px.*model\.json"):
        start_predictor(read_bundle(bundle), Inference("cpu", 32))


@pytest.mark.parametrize("first", ["aux", "classes"])
def test_row36_the_named_output_of_several_is_used(tmp_path: Path, first: str) -> None:
    bundle = two_outputs(tmp_path, first)
    pixels = np.zeros((2, 32, 32), np.uint8)
    pixels[1] = 9
    assert (predict_whole(bundle, pixels).scores.decided.classes == 1).all()


def test_row36_several_outputs_none_of_which_is_named_are_refused_before_any_work(tmp_path: Path) -> None:
    bundle = two_outputs(tmp_path, "aux")
    model = (bundle / "model.json").read_text().replace('"name": "classes"', '"name": "logits"')
    (bundle / "model.json").write_text(model)
    with pytest.raises(SettingsError, match=r"model\.onnx cannot be loaded: it has the outputs aux, classes.*logits"):
        start_predictor(read_bundle(bundle), Inference("cpu", 32))


def two_outputs(folder: Path, first: str) -> Path:
    """A model of two bands whose output ``classes`` is its input and ``aux`` the contrary."""
    bundle = linear_onnx(folder, np.eye(2))
    model = onnx.load(bundle / "model.onnx")
    model.graph.node.append(onnx.helper.make_node("Neg", ["classes"], ["aux"]))
    model.graph.output.insert(0 if first == "aux" else 1, onnx.ValueInfoProto())
    model.graph.output[0 if first == "aux" else 1].CopyFrom(model.graph.output[1 if first == "aux" else 0])
    model.graph.output[0 if first == "aux" else 1].name = "aux"
    onnx.save(model, bundle / "model.onnx")
    return bundle


def test_a_model_with_other_classes_than_its_list_is_refused_before_any_work(tmp_path: Path) -> None:
    bundle = linear_onnx(tmp_path, np.ones((3, 2)), class_count=4)
    with pytest.raises(SettingsError, match=r"returns shape \(1, 3, 32, 32\).*names 4 classes"):
        start_predictor(read_bundle(bundle), Inference("cpu", 32))


def test_a_model_that_cannot_take_the_patch_is_refused_before_any_work(tmp_path: Path) -> None:
    bundle = unet_bundle(tmp_path, size_multiple=1)
    with pytest.raises(SettingsError, match=r"weights\.safetensors fails on patches of shape \(1, 4, 30, 30\): "):
        start_predictor(read_bundle(bundle), Inference("cpu", 30))


@pytest.mark.parametrize("damage", [b"", b"not a model", b"\x08" * 400])
@pytest.mark.parametrize("artifact", ["weights.safetensors", "model.onnx"])
def test_a_damaged_artifact_is_named(tmp_path: Path, artifact: str, damage: bytes) -> None:
    bundle = unet_bundle(tmp_path) if artifact == "weights.safetensors" else linear_onnx(tmp_path, np.eye(2))
    (bundle / artifact).write_bytes(damage)
    with pytest.raises(SettingsError, match=f"{artifact} cannot be loaded"):
        start_predictor(read_bundle(bundle), Inference("cpu", 32))


def test_weights_of_another_architecture_are_refused(tmp_path: Path) -> None:
    bundle, other = unet_bundle(tmp_path / "a"), unet_bundle(tmp_path / "b", classes=3)
    (bundle / "weights.safetensors").write_bytes((other / "weights.safetensors").read_bytes())
    with pytest.raises(SettingsError, match=r"weights\.safetensors cannot be loaded"):
        start_predictor(read_bundle(bundle), Inference("cpu", 32))


def test_blocks_give_the_bytes_of_a_single_block(tmp_path: Path, scene: np.ndarray) -> None:
    """Cut into blocks of one and two strides, spilled and finished in any order: the bytes of the single block."""
    bundle = unet_bundle(tmp_path)
    whole = predict_whole(bundle, scene)
    assert whole.patches == Lattice.of(scene.shape[1:], 32, 8).count
    for strides in (1, 2):
        classes, confidence, _ = predict_in_blocks(bundle, scene, strides)
        np.testing.assert_array_equal(classes, whole.scores.decided.classes)
        np.testing.assert_array_equal(confidence, whole.scores.decided.confidence)


def predict_in_blocks(
    bundle: Path, scene: np.ndarray, strides: int, **how: Any
) -> tuple[np.ndarray, np.ndarray, list[Window]]:
    """Classes, confidence and the patches whose logits were not finite, from blocks of so many strides."""
    lattice = Lattice.of(scene.shape[1:], 32, 8)
    predictor = start_predictor(read_bundle(bundle), Inference("cpu", 32, **how))
    tiling = Tiling(lattice, 24 * strides)
    classes, confidence = np.full(scene.shape[1:], 77, np.uint8), np.zeros(scene.shape[1:], np.uint8)
    done = {}
    for block in sorted(tiling.blocks(), key=lambda b: hash(b.name) % 97):
        at = block.read.slices(lattice.scene)
        valid = np.ones(block.read.shape, bool)
        done[block.row, block.col] = predictor.predict(tiling, block, scene[(slice(None), *at)], valid, "")
    assert sum(p.patches for p in done.values()) == lattice.count
    for block in tiling.blocks():
        r, c = block.row, block.col
        incoming = [
            strip
            for key, side in (((r, c - 1), "east"), ((r - 1, c), "south"), ((r - 1, c - 1), "south_east"))
            if key in done and (strip := getattr(done[key].spill, side)) is not None
        ]
        result = finish(done[r, c].scores, band_windows(block, 8), incoming, predictor.task.decision)
        at = block.core.slices(lattice.scene)
        classes[at], confidence[at] = result.classes, result.confidence
    return classes, confidence, [patch for p in done.values() for patch in p.not_finite]
