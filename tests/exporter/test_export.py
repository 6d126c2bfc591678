"""`geoseg models export`: what other programs read gives the bundle's own classes, and so does a second import."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import yaml
from torch.export.pt2_archive._package import load_pt2
from typer.testing import CliRunner

from geoseg.cli import app
from geoseg.errors import SettingsError
from geoseg.model.bundle.bundle import Bundle, read_bundle
from geoseg.model.network import load_network
from geoseg.model.patchwork.scores import activate, enlarge
from geoseg.model.scale import scale_pixels
from tests.support.bundles import unet_bundle
from tests.support.onnx_models import linear_onnx
from tests.support.programs import with_code
from tests.support.scenes import read_band, run, textured, write_scene

BANDS, CLASSES, PATCH_PX = 4, 5, 32
MATRIX = np.random.default_rng(0).normal(size=(CLASSES, BANDS)).astype(np.float32)
PLAIN = [{"type": "z-score", "mean": [1500, 1400, 1300, 1700], "stddev": 80}]
CLIPPED = [
    {"type": "clip", "minimum": 0, "maximum": 2500},
    {"type": "log1p"},
    {"type": "z-score", "mean": 7, "stddev": 0.05},
]


class Case(NamedTuple):
    """A form of a bundle and a format."""

    make: Callable[[Path], Path]
    target: str


CASES = {
    "safetensors to onnx": Case(lambda folder: unet_bundle(folder, scaling=PLAIN), "onnx"),
    "safetensors to pt2": Case(lambda folder: unet_bundle(folder, scaling=PLAIN), "pt2"),
    "clipped to onnx": Case(lambda folder: unet_bundle(folder, scaling=CLIPPED), "onnx"),
    "clipped to pt2": Case(lambda folder: unet_bundle(folder, scaling=CLIPPED), "pt2"),
    "onnx to onnx": Case(lambda folder: linear_onnx(folder, MATRIX, scaling=PLAIN), "onnx"),
    "onnx with one batch size": Case(lambda folder: linear_onnx(folder, MATRIX, scaling=PLAIN, batch=1), "onnx"),
    "NHWC": Case(lambda folder: linear_onnx(folder, MATRIX, scaling=PLAIN, channels_last=True), "onnx"),
    "smaller map": Case(lambda folder: linear_onnx(folder, MATRIX, scaling=CLIPPED, shrink=4), "onnx"),
    "one channel": Case(
        lambda folder: linear_onnx(folder, MATRIX[:1], scaling=PLAIN, class_count=2, activation="sigmoid"), "onnx"
    ),
    "pt2 to onnx": Case(lambda folder: with_code(unet_bundle(folder, scaling=PLAIN), "model.pt2"), "onnx"),
    "pt2 to pt2": Case(lambda folder: with_code(unet_bundle(folder, scaling=PLAIN), "model.pt2"), "pt2"),
    "TorchScript to onnx": Case(
        lambda folder: with_code(unet_bundle(folder, scaling=PLAIN), "model.torchscript.pt"), "onnx"
    ),
}
SCALED_IN_GRAPH = {"clipped to onnx", "smaller map"}
"""There nodata cannot be filled after scaling, so the scene has none."""
QUICK = {"safetensors to onnx", "safetensors to pt2"}
"""The others run a scene, too, with `pytest -m slow`."""


def call(*words: object) -> str:
    """The screen of `geoseg models`."""
    result = CliRunner().invoke(app, ["models", *map(str, words)])
    if result.exception is not None:
        raise result.exception
    return result.output


def export(bundle: Path, target: str, folder: Path, *more: object) -> Path:
    file = folder / f"exported.{target}"
    assert "compared with the bundle" in call("export", bundle, "--to", target, "--output", file, *more)
    assert [one for one in folder.iterdir() if one.name.startswith(".")] == []
    return file


def probabilities(bundle: Bundle, pixels: np.ndarray) -> np.ndarray:
    """The bundle's own, of raw pixels (N, C, P, P), one patch at a time."""
    network = load_network(bundle, torch.device("cpu"), 1)
    batch = scale_pixels(torch.from_numpy(pixels.astype(np.float32)), bundle.file.scaling)
    output = enlarge(torch.cat([network(one[None]) for one in batch]), bundle.patch_px)
    return activate(output, bundle.file.activation, len(bundle.legend)).numpy()


def raw_patches(count: int = 3) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 3000, (count, BANDS, PATCH_PX, PATCH_PX)).astype(np.uint16)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in CASES]
)
def test_an_exported_file_is_imported_without_a_question_and_gives_the_same_map(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    bundle = case.make(tmp_path / "bundle")
    file = export(bundle, case.target, tmp_path, "--trust-model-code")
    call("import", file, "--output", tmp_path / "again", "--trust-model-code")
    first, second = read_bundle(bundle), read_bundle(tmp_path / "again")
    assert second.bands == first.bands
    assert second.legend == first.legend
    assert (second.patch_px, second.overlap_px) == (first.patch_px, first.overlap_px)
    pixels = textured(60, 70)
    nodata = None if name in SCALED_IN_GRAPH else 0
    scene = write_scene(tmp_path / "scene.tif", pixels if nodata == 0 else pixels.clip(500), nodata=nodata)
    maps = []
    for model in (bundle, tmp_path / "again"):
        settings = {"address": "inline", "precision": "fp32"}
        report = run(scene, model, tmp_path / f"of-{model.name}", run=settings, trust_model_code=True)
        assert report.exit_code == 0, report.failed
        maps.append(read_band(tmp_path / f"of-{model.name}" / "rasters" / "scene" / "classes.tif"))
    assert len(np.unique(maps[0])) > 2
    assert (maps[0] == maps[1]).mean() > 0.999


def of_deepness(file: Path, pixels: np.ndarray) -> np.ndarray:
    """Classes of raw pixels (N, C, H, W), computed as deepness 0.6.5 does from what it reads in the file."""
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    found = {key: json.loads(text) for key, text in session.get_modelmeta().custom_metadata_map.items()}
    batch, channels, height, width = session.get_inputs()[0].shape
    assert isinstance(batch, str) or batch == 1
    assert (channels, height, width) == (BANDS, found["tile_size"], found["tile_size"])
    assert sorted(found["class_names"], key=int) == [str(index) for index in range(len(found["class_names"]))]
    assert session.get_outputs()[0].shape[1] == len(found["class_names"])
    mean = np.float32(found.get("standardization_mean", [0] * channels))
    deviation = np.float32(found.get("standardization_std", [1] * channels))
    maps = []
    for tile in np.moveaxis(pixels, 1, 3):
        scaled = (np.float32(tile * 1.0 / 255.0) - mean) / deviation
        (output,) = session.run(None, {session.get_inputs()[0].name: np.moveaxis(scaled, 2, 0)[None]})
        assert np.allclose(output.sum(1), 1, atol=1e-5)
        output[output < found["seg_thresh"]] = 0
        maps.append(output[0].argmax(0))
    assert found["model_type"] == "Segmentor"
    assert found["seg_small_segment"] == 0
    return np.stack(maps)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.target == "onnx"])
def test_deepness_gets_the_bundles_classes(name: str, tmp_path: Path) -> None:
    bundle = CASES[name].make(tmp_path / "bundle")
    file = export(bundle, "onnx", tmp_path, "--trust-model-code")
    own = read_bundle(bundle).model_copy(update={"trusts_code": True})
    expected = probabilities(own, raw_patches()).argmax(1)
    assert len(np.unique(expected)) > 1
    assert (of_deepness(file, raw_patches()) == expected).mean() > 0.999


def test_properties_of_deepness(tmp_path: Path) -> None:
    bundle = unet_bundle(tmp_path / "bundle", scaling=[{"type": "divide", "value": 255}, *PLAIN], gsd=0.25)
    file = export(bundle, "onnx", tmp_path)
    found = {one.key: json.loads(one.value) for one in onnx.load(file).metadata_props}
    assert found.pop("mlm-metadata")["properties"]["input"][0]["bands"] == ["band1", "band2", "band3", "band4"]
    assert np.allclose(found.pop("standardization_mean"), [1500, 1400, 1300, 1700])
    assert np.allclose(found.pop("standardization_std"), 80)
    assert found == {
        "model_type": "Segmentor",
        "class_names": {str(index): f"class{index}" for index in range(CLASSES)},
        "resolution": 25.0,
        "tiles_size": PATCH_PX,
        "tile_size": PATCH_PX,
        "tiles_overlap": 25,
        "seg_thresh": 0.0,
        "seg_small_segment": 0,
    }


@pytest.mark.parametrize("scaling", [PLAIN, CLIPPED], ids=["plain", "clipped"])
def test_an_archive_holds_programs_for_any_batch_and_the_metadata(scaling: Any, tmp_path: Path) -> None:
    bundle = unet_bundle(tmp_path / "bundle", scaling=scaling, license="MIT")
    file = export(bundle, "pt2", tmp_path)
    programs = load_pt2(str(file)).exported_programs
    transforms, model = (programs[name].module() for name in ("transforms", "model"))
    alone = torch.export.load(file).module()
    expected = probabilities(read_bundle(bundle), raw_patches(5))
    for patches in (raw_patches(1), raw_patches(5)):
        with torch.no_grad():
            scaled = transforms(torch.from_numpy(patches.astype(np.float32)))
            found = model(scaled).softmax(1).numpy()
            assert np.array_equal(alone(scaled).softmax(1).numpy(), found)
        assert np.allclose(found, expected[: len(patches)] if len(patches) > 1 else found, atol=1e-5)
    with zipfile.ZipFile(file) as archive:
        (member,) = [name for name in archive.namelist() if name.endswith("/extra/mlm-metadata")]
        properties = yaml.safe_load(archive.read(member))["properties"]
    assert properties["artifact_type"] == "torch.export.save"
    assert properties["license"] == "MIT"
    assert properties["total_parameters"] > 0
    (taken,) = properties["input"]
    assert taken["input"]["shape"] == [-1, BANDS, PATCH_PX, PATCH_PX]
    if scaling is PLAIN:
        assert taken["value_scaling"][1] == {"type": "z-score", "mean": 1400, "stddev": 80}
    else:
        assert taken["pre_processing_function"]["expression"]["name"] == "transforms"


def test_one_channel_becomes_two_whose_softmax_is_the_sigmoid(tmp_path: Path) -> None:
    bundle = unet_bundle(tmp_path / "bundle", classes=1, scaling=PLAIN)
    document = json.loads((bundle / "model.json").read_text())
    entry = document["mlm:output"][0]["classification:classes"][0]
    document["mlm:output"][0]["classification:classes"] = [
        {**entry, "name": "other"},
        {**entry, "value": 1, "name": "water", "color_hint": "0000FF"},
    ]
    (bundle / "model.json").write_text(json.dumps({**document, "geoseg:activation": "sigmoid"}))
    file = export(bundle, "pt2", tmp_path)
    programs = load_pt2(str(file)).exported_programs
    pixels = torch.from_numpy(raw_patches().astype(np.float32))
    with torch.no_grad():
        found = programs["model"].module()(programs["transforms"].module()(pixels)).softmax(1)
    assert np.allclose(found.numpy(), probabilities(read_bundle(bundle), raw_patches()), atol=1e-5)


def refusal(*words: object) -> str:
    with pytest.raises(SettingsError) as raised:
        call("export", *words)
    return str(raised.value)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda folder: linear_onnx(folder, MATRIX), "torch does not read ONNX"),
        (lambda folder: with_code(unet_bundle(folder), "model.torchscript.pt"), "does not take TorchScript"),
    ],
    ids=["onnx", "TorchScript"],
)
def test_what_cannot_become_pt2(make: Callable[[Path], Path], reason: str, tmp_path: Path) -> None:
    file = tmp_path / "exported.pt2"
    message = refusal(make(tmp_path / "bundle"), "--to", "pt2", "--output", file, "--trust-model-code")
    assert reason in message
    assert "Give --to onnx" in message
    assert not file.exists()


def test_code_needs_permission(tmp_path: Path) -> None:
    bundle = with_code(unet_bundle(tmp_path / "bundle"), "model.pt2")
    assert "--trust-model-code" in refusal(bundle, "--to", "onnx", "--output", tmp_path / "a.onnx")


def test_the_name_of_the_file(tmp_path: Path) -> None:
    bundle, file = unet_bundle(tmp_path / "bundle"), tmp_path / "a.onnx"
    assert "must end in .pt2" in refusal(bundle, "--to", "pt2", "--output", file)
    file.write_text("mine")
    assert "Give --overwrite" in refusal(bundle, "--to", "onnx", "--output", file)
    assert file.read_text() == "mine"
    call("export", bundle, "--to", "onnx", "--output", file, "--overwrite")
    onnx.checker.check_model(str(file))


def test_a_file_that_disagrees_is_not_kept(tmp_path: Path) -> None:
    # Pixels around a million that differ by thousandths: divided by 255 in float32, as deepness does, they are others.
    bundle = linear_onnx(tmp_path / "bundle", MATRIX, scaling=[{"type": "z-score", "mean": 1e6, "stddev": 1e-3}])
    message = refusal(bundle, "--to", "onnx", "--output", tmp_path / "a.onnx")
    assert "was not kept" in message
    assert "on random pixels" in message
    assert [one.name for one in tmp_path.iterdir()] == ["bundle"]


def test_a_network_that_returns_nan_is_not_exported(tmp_path: Path) -> None:
    scaling = [{"type": "affine", "scale": -1, "offset": -5}, {"type": "log1p"}]  # no logarithm of any pixel
    bundle = unet_bundle(tmp_path / "bundle", scaling=scaling)
    assert "returns NaN or infinity for all pixels" in refusal(bundle, "--to", "pt2", "--output", tmp_path / "a.pt2")
