"""`geoseg models new`: a draft of a bundle, completed as a user would with an editor, and used."""

import json
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
import yaml
from torch import Tensor, nn
from typer.testing import CliRunner

from geoseg.cli import app
from geoseg.errors import SettingsError
from geoseg.importer.draft import document
from geoseg.importer.sources.recognise import read_source
from geoseg.importer.sources.source import Request
from geoseg.model.bundle.bundle import read_bundle
from geoseg.model.zoo.architectures import build
from tests.importer.test_sources import assert_same_map
from tests.support import networks
from tests.support.networks import BANDS, CLASSES, Saved

PATCH_PX = 64
ROOT = Path(__file__).parents[2]


def new(source: Path, output: Path, *words: str) -> tuple[int, str]:
    """Exit code and screen of `geoseg models new`."""
    result = CliRunner().invoke(app, ["models", "new", str(source), "--output", str(output), *words])
    return result.exit_code, result.output + (str(result.exception) if result.exception else "")


def fill(bundle: Path, scaling: str = '{"type": "divide", "value": 255}') -> None:
    """Write into the gaps of a draft, in their order, and leave the comments."""
    path = bundle / "model.json"
    answers = [*(f'"{name}"' for name in (*BANDS, *CLASSES)), scaling]
    text = re.sub('"FILL IN"', lambda _: answers.pop(0), path.read_text())
    assert not answers
    path.write_text(text.replace('// "gsd": 10', '"gsd": 10'))


def plain(model: nn.Module | str, path: Path, **axes: dict[int, str]) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model, (torch.zeros(1, 4, 64, 64),), str(path), dynamo=False, input_names=["x"], output_names=["y"],
            dynamic_axes=axes,
        )  # fmt: skip
    return path


class Turned(nn.Module):
    """A network that takes and gives (batch, height, width, channels)."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> Tensor:
        return self.network(pixels.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


def small(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Conv2d(4, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 3, 1))
    networks.balance(network, network[2], 4)
    return network.eval()


def program_without_metadata(folder: Path) -> Saved:
    network = small()
    batch = {0: torch.export.Dim("batch", min=1, max=64)}
    exported = torch.export.export(network, (torch.zeros(2, 4, 64, 64),), dynamic_shapes=(batch,))
    torch.export.save(exported, folder / "small.pt2")
    return Saved(folder / "small.pt2", network, {"trust-model-code": ""})


def own_unet(folder: Path) -> Saved:
    """geoseg's own U-Net."""
    torch.manual_seed(0)
    network = networks.lively(build("unet", {"in_channels": 4, "classes": 3, "width": 8, "depth": 3}))
    networks.balance(network, network.head, 4)
    safetensors.torch.save_file(network.state_dict(), folder / "own.safetensors")
    return Saved(folder / "own.safetensors", network, {"arch": "unet"})


def small_patches(bundle: Path) -> None:
    """State a smaller patch, as a user may: the scene of the test is small."""
    path = bundle / "model.json"
    path.write_text(path.read_text().replace("256, 256]", "64, 64]").replace('overlap_px": 64', 'overlap_px": 16'))


@pytest.mark.parametrize(
    "save",
    [networks.onnx_file, networks.torchscript, program_without_metadata, networks.bare_weights, own_unet],
    ids=lambda save: save.__name__,
)
def test_a_completed_draft_is_the_original(save: Callable[[Path], Saved], tmp_path: Path) -> None:
    saved, bundle = save(tmp_path), tmp_path / "bundle"
    words = [f"--{name}={saved.options[name]}" for name in ("arch", "encoder") if name in saved.options]
    trust = ["--trust-model-code"] if "trust-model-code" in saved.options else []
    code, screen = new(saved.path, bundle, *words, *trust)
    assert code == 0, screen
    assert "NCHW, 4 bands, 3 channels" in screen
    assert "replace each FILL IN (bands, names of the classes, scaling)" in screen

    with pytest.raises(SettingsError, match="it is a draft, and FILL IN stands in mlm:input bands, mlm:output") as info:
        read_bundle(bundle)
    assert str(info.value).count("FILL IN") == 2

    fill(bundle)
    small_patches(bundle)
    content = read_bundle(bundle)
    assert content.bands == BANDS
    assert content.legend.names == CLASSES
    assert content.file.pixel_m == 10
    checked = CliRunner().invoke(app, ["models", "check", str(bundle), *trust])
    assert checked.exit_code == 0, checked.exception
    assert "warning" not in checked.output
    pixels = np.random.default_rng(1).integers(1, 256, (4, 2 * PATCH_PX, 2 * PATCH_PX)).astype(np.uint8)
    assert_same_map(saved, bundle, pixels, tmp_path, trust_model_code=bool(trust))


def test_the_layout_is_found_by_forward_passes(tmp_path: Path) -> None:
    free = {0: "n", 1: "a", 2: "b", 3: "c"}
    source = plain(small(), tmp_path / "nchw.onnx", x=free, y=free)
    code, screen = new(source, tmp_path / "nchw")
    assert code == 0, screen
    assert "NCHW, 4 bands, 3 channels, patches of multiples of 1 px" in screen

    turned = tmp_path / "turned.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.trace(Turned(small()), torch.zeros(1, 64, 64, 4), check_trace=False).save(turned)
    code, screen = new(turned, tmp_path / "nhwc", "--trust-model-code")
    assert code == 0, screen
    assert "NHWC, 4 bands, 3 channels" in screen
    fill(tmp_path / "nhwc")
    checked = CliRunner().invoke(app, ["models", "check", str(tmp_path / "nhwc"), "--trust-model-code"])
    assert checked.exit_code == 0, checked.exception


@pytest.mark.parametrize(("last", "activation"), [(nn.Identity(), "softmax"), (nn.Softmax(1), "none")])
def test_the_activation_is_guessed_and_marked(last: nn.Module, activation: str, tmp_path: Path) -> None:
    free = {0: "n"}
    source = plain(nn.Sequential(small(), last).eval(), tmp_path / "a.onnx", x=free, y=free)
    code, screen = new(source, tmp_path / "bundle")
    assert code == 0, screen
    text = (tmp_path / "bundle" / "model.json").read_text()
    before, _ = text.split(f'"geoseg:activation": "{activation}"')
    assert before.rstrip().splitlines()[-1].startswith("  // GUESSED: in a forward pass the values are ")
    assert '"geoseg:size_multiple": 64' in text, "sizes are fixed in this file"


def test_what_the_source_says_is_no_gap(tmp_path: Path) -> None:
    saved = networks.deepness(tmp_path)
    code, screen = new(saved.path, tmp_path / "bundle")
    assert code == 0, screen
    assert "replace each FILL IN (bands)" in screen
    text = (tmp_path / "bundle" / "model.json").read_text()
    assert '"name": "forest"' in text
    assert '"type": "z-score"' in text


def test_the_draft_is_json_but_for_its_comments(tmp_path: Path) -> None:
    new(networks.onnx_file(tmp_path).path, tmp_path / "bundle")
    lines = (tmp_path / "bundle" / "model.json").read_text().splitlines()
    assert max(map(len, lines)) <= 120
    without = json.loads("\n".join(line for line in lines if not line.lstrip().startswith("//")))
    assert without["mlm:input"][0]["input"]["shape"] == [-1, 4, 256, 256]


def test_the_comments_are_the_words_of_the_reference() -> None:
    plain_text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", (ROOT / "configs" / "BUNDLE.md").read_text()).replace("`", "")
    meanings: dict[str, Any] = yaml.safe_load(Path(document.__file__).with_name("meanings.yaml").read_text())
    for key, text in meanings.items():
        for sentence in re.split(r"(?<=\.) (?=[A-Z])", text):
            assert sentence.rstrip(".") in plain_text, (key, sentence)


@pytest.mark.parametrize(
    ("name", "others"),
    [
        ("unet", {"width": 5, "depth": 2}), ("fcn8s", {"width": 4}), ("segnet", {"width": 6}), ("lenet", {"width": 3}),
        ("deeplab-v1", {"width": 8}), ("fastfcn", {"width": 8}), ("fcn32s", {"width": 8}), ("fcn16s", {"width": 8}),
    ],
)  # fmt: skip
def test_arguments_of_own_networks_are_read_from_their_weights(
    name: str, others: dict[str, int], tmp_path: Path
) -> None:
    arguments = {"in_channels": 5, "classes": 7, **others}
    safetensors.torch.save_file(build(name, arguments).state_dict(), tmp_path / "own.safetensors")
    source = read_source(Request(tmp_path / "own.safetensors", name))
    assert source.zoo is not None
    assert source.zoo == (name, arguments)


def classifier() -> nn.Module:
    return nn.Sequential(nn.Conv2d(4, 3, 3, padding=1), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()


@pytest.mark.parametrize(
    ("prepare", "words", "says"),
    [
        (lambda folder: folder / "absent.onnx", (), "does not exist"),
        (lambda folder: plain(classifier(), folder / "c.onnx"), (), "no forward pass gives a map of classes"),
        (lambda folder: networks.bare_weights(folder).path, (), "Give both --arch"),
        (lambda folder: own_unet(folder).path, ("--arch", "segnet"), "its weights are those of no segnet"),
        (lambda folder: networks.torchscript(folder).path, (), "--trust-model-code"),
        (lambda _: ROOT / "README.md", (), "none of the sources that geoseg recognises"),
        (lambda folder: networks.bare_weights(folder).path, ("--arch", "Foo", "--encoder", "resnet18"), "'Foo'"),
    ],
)
def test_one_message(prepare: Callable[[Path], Path], words: tuple[str, ...], says: str, tmp_path: Path) -> None:
    code, screen = new(prepare(tmp_path), tmp_path / "bundle", *words)
    assert code != 0
    assert says in screen
    assert not (tmp_path / "bundle").exists()


def test_a_bundle_is_replaced_only_with_permission(tmp_path: Path) -> None:
    source = networks.onnx_file(tmp_path).path
    assert new(source, tmp_path / "bundle")[0] == 0
    code, screen = new(source, tmp_path / "bundle")
    assert code != 0
    assert "--overwrite" in screen
    assert new(source, tmp_path / "bundle", "--overwrite")[0] == 0
