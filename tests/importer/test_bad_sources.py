"""Bad sources and options: one message each, no bundle, and no code of the source is run."""

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
import safetensors.torch
import torch
from typer.testing import CliRunner

from geoseg.cli import app
from geoseg.errors import SceneError, SettingsError
from tests.support.networks import smp_folder
from tests.support.scenes import write_scene


@pytest.fixture(scope="module")
def unet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return smp_folder(tmp_path_factory.mktemp("unet")).path


def refusal(source: Path, output: Path, *options: str) -> str:
    result = CliRunner().invoke(app, ["models", "import", str(source), "--output", str(output), *options])
    assert isinstance(result.exception, SettingsError), result.output
    assert not output.exists()
    return str(result.exception)


class _Command:
    """Creates a file when it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.file,)


def test_a_pickle_that_runs_code_is_refused_and_does_not_run(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    torch.save({"state_dict": {}, "hyper_parameters": {"model": _Command(mark)}}, tmp_path / "bad.ckpt")
    assert "loading the rest can run code" in refusal(tmp_path / "bad.ckpt", tmp_path / "bundle")
    assert not mark.exists()


def test_truncated_safetensors(tmp_path: Path) -> None:
    file = tmp_path / "cut.safetensors"
    safetensors.torch.save_file({"a": torch.zeros(100)}, file)
    file.write_bytes(file.read_bytes()[:200])
    assert "cannot be read as safetensors" in refusal(file, tmp_path / "bundle")


def test_an_unknown_network(unet: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(unet, tmp_path / "unet")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "_model_class": "SuperNet"}))
    message = refusal(folder, tmp_path / "bundle")
    assert "'SuperNet'" in message
    assert "UnetPlusPlus" in message


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--preset", "naip", "--classes", "a,b"), "--classes names 2 classes (a, b), and the network has 3 channels"),
        (("--bands", "red,red,green,blue"), "--bands names red twice"),
        (
            ("--preset", "imagenet-rgb", "--classes", "a,b,c"),
            "names 3 bands (red, green, blue), and the network takes 4",
        ),
        (
            (
                *("--bands", "r,g,b,n", "--classes", "a,b,c"),
                *("--scaling", '[{"type": "z-score", "mean": [1, 2, 3], "stddev": [1, 1, 1]}]'),
            ),
            "3 numbers for 4 bands",
        ),
        (("--scaling", "twice"), "--scaling twice is neither none, nor a division"),
        (("--preset", "naip", "--legend", "mars"), "--legend mars is unknown; known are corine"),
    ],
)
def test_options_that_contradict_the_network(
    unet: Path, options: tuple[str, ...], expected: str, tmp_path: Path
) -> None:
    assert expected in refusal(unet, tmp_path / "bundle", *options)


def test_weights_of_another_network_are_listed(unet: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(unet, tmp_path / "unet")
    weights = safetensors.torch.load_file(folder / "model.safetensors")
    weights["decoder.extra.weight"] = weights.pop("segmentation_head.0.bias")
    safetensors.torch.save_file(weights, folder / "model.safetensors")
    message = refusal(folder, tmp_path / "bundle")
    assert "segmentation_head.0.bias is missing" in message
    assert "decoder.extra.weight has no place" in message


def test_onnx_with_two_inputs(tmp_path: Path) -> None:
    pixels = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 4, 64, 64]) for name in "ab"]
    output = onnx.helper.make_tensor_value_info("c", onnx.TensorProto.FLOAT, [1, 4, 64, 64])
    graph = onnx.helper.make_graph([onnx.helper.make_node("Add", ["a", "b"], ["c"])], "two dates", pixels, [output])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, tmp_path / "two.onnx")
    assert "takes 2 inputs" in refusal(tmp_path / "two.onnx", tmp_path / "bundle")


def test_a_program_needs_permission(tmp_path: Path) -> None:
    (tmp_path / "network.pt2").write_bytes(b"")
    assert "--trust-model-code" in refusal(tmp_path / "network.pt2", tmp_path / "bundle")


def test_a_bundle_that_cannot_be_compared_is_not_kept(unet: Path, tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "two_bands.tif", np.ones((2, 96, 96), np.uint8))
    given = ("--bands", "blue,green,red,nir", "--classes", "a,b,c", "--scaling", "/255", "--patch-px", "64")
    result = CliRunner().invoke(
        app,
        ["models", "import", str(unet), "--output", str(tmp_path / "bundle"), *given, "--scene", str(scene)],
    )
    assert isinstance(result.exception, SceneError)
    assert "two_bands.tif" in str(result.exception)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["two_bands.tif"]
