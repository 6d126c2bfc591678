"""Warnings of a trial: bundles of the demo's trained network, each made wrong in one way, on the demo's landscape."""

import json
import shutil
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from geoseg.demo.command import BUNDLE
from geoseg.demo.landscape import write_landscape
from tests.support.bundles import trained_network
from tests.support.cli import CommandLine

BANDS = 4


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("landscape")
    write_landscape(folder / "scene.tif", folder / "truth.tif", size=1024)
    return folder / "scene.tif"


@pytest.fixture
def geoseg(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> CommandLine:
    monkeypatch.chdir(tmp_path)
    return CommandLine(monkeypatch, capsys)


def changed(folder: Path, **properties: Any) -> Path:
    """The demo's bundle with other properties."""
    shutil.copytree(BUNDLE, folder)
    model = json.loads((folder / "model.json").read_text()) | properties
    (folder / "model.json").write_text(json.dumps(model))
    return folder


def statistics() -> dict[str, Any]:
    return json.loads((BUNDLE / "model.json").read_text())["geoseg:scaling"][0]


def reordered(folder: Path, order: Sequence[int]) -> Path:
    """The same network with its bands in another order, of which ``mlm:input`` does not know."""
    given = statistics()
    step = {"type": "z-score", **{name: [given[name][band] for band in order] for name in ("mean", "stddev")}}
    changed(folder, **{"geoseg:scaling": [step]})
    weights = safetensors.torch.load_file(folder / "weights.safetensors")
    first = next(name for name, tensor in weights.items() if tensor.ndim == 4 and tensor.shape[1] == BANDS)
    weights[first] = weights[first][:, list(order)].contiguous()
    safetensors.torch.save_file(weights, folder / "weights.safetensors")
    return folder


class Wrapped(nn.Module):
    """The demo's network with its scaling inside, perhaps for bands in another order, and with softmaxes behind."""

    def __init__(self, order: Sequence[int], softmaxes: int) -> None:
        super().__init__()
        self.network, self.order, self.softmaxes = trained_network(BUNDLE), list(order), softmaxes
        given = statistics()
        for name in ("mean", "stddev"):
            self.register_buffer(name, torch.tensor(given[name])[None, :, None, None])

    def forward(self, pixels: Tensor) -> Tensor:
        output = self.network((pixels[:, self.order] - self.mean) / self.stddev)
        for _ in range(self.softmaxes):
            output = output.softmax(1)
        return output


def exported(folder: Path, order: Sequence[int] = range(BANDS), softmaxes: int = 0, **properties: Any) -> Path:
    """The demo's network in ONNX, which scales by itself."""
    own = {"geoseg:artifact": "model.onnx", "geoseg:arguments": {}, "geoseg:scaling": [{"type": "affine"}]}
    changed(folder, **{**own, **properties})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Wrapped(order, softmaxes).eval(), (torch.zeros(1, BANDS, 256, 256),), str(folder / "model.onnx"),
            dynamo=False, input_names=["pixels"], output_names=["classes"],
            dynamic_axes={"pixels": {0: "n"}, "classes": {0: "n"}},
        )  # fmt: skip
    return folder


def warned(geoseg: CommandLine, bundle: Path, scene: Path) -> list[str]:
    printed = geoseg("models", "check", bundle, "--scene", scene)
    assert printed.code == 0, printed.err
    assert Path("scene-check.png").stat().st_size > 10_000
    return [line.removeprefix("warning: ") for line in printed.out.splitlines() if line.startswith("warning: ")]


def test_the_right_bundle_gives_no_warning(geoseg: CommandLine, scene: Path) -> None:
    assert warned(geoseg, BUNDLE, scene) == []


def test_a_network_that_scales_by_itself_gives_no_warning(geoseg: CommandLine, scene: Path, tmp_path: Path) -> None:
    assert warned(geoseg, exported(tmp_path / "bundle"), scene) == []


def test_a_network_with_its_own_softmax_gives_no_warning(geoseg: CommandLine, scene: Path, tmp_path: Path) -> None:
    bundle = exported(tmp_path / "bundle", softmaxes=1, **{"geoseg:activation": "none"})
    assert warned(geoseg, bundle, scene) == []


@pytest.mark.parametrize(("factor", "says"), [(1e-4, "far from what the model was trained on"), (1e4, "hardly differ")])
def test_statistics_of_another_unit(geoseg: CommandLine, scene: Path, tmp_path: Path, factor: float, says: str) -> None:
    given = statistics()
    step = {"type": "z-score", **{name: [value * factor for value in given[name]] for name in ("mean", "stddev")}}
    found = warned(geoseg, changed(tmp_path / "bundle", **{"geoseg:scaling": [step]}), scene)
    assert len(found) == BANDS, "one for each band, and nothing that follows from it"
    assert all(says in text for text in found)


@pytest.mark.parametrize("order", [(3, 2, 1, 0), (1, 2, 3, 0), (0, 1, 3, 2)])
def test_bands_that_fit_other_statistics(
    geoseg: CommandLine, scene: Path, tmp_path: Path, order: tuple[int, ...]
) -> None:
    found = warned(geoseg, reordered(tmp_path / "bundle", order), scene)
    assert "fit the statistics of geoseg:scaling better in another order" in found[0]
    assert f"--set scene.bands={','.join(str(band + 1) for band in order)};" in found[0]


@pytest.mark.parametrize("with_statistics", [True, False])
def test_red_and_blue_exchanged(geoseg: CommandLine, scene: Path, tmp_path: Path, with_statistics: bool) -> None:
    make = reordered if with_statistics else exported
    (found,) = warned(geoseg, make(tmp_path / "bundle", (2, 1, 0, 3)), scene)
    assert "the network is surer with red as blue, blue as red" in found
    assert "--set scene.bands=3,2,1,4;" in found


def test_the_order_that_is_advised_gives_no_warning_of_order(geoseg: CommandLine, scene: Path, tmp_path: Path) -> None:
    bundle = reordered(tmp_path / "bundle", (3, 2, 1, 0))
    printed = geoseg("models", "check", bundle, "--scene", scene, "--set", "scene.bands=4,3,2,1")
    assert "another order" not in printed.out
    assert "name the bands differently" in printed.out


def test_an_activation_twice_inside(geoseg: CommandLine, scene: Path, tmp_path: Path) -> None:
    bundle = exported(tmp_path / "inside", softmaxes=2, **{"geoseg:activation": "none"})
    (found,) = warned(geoseg, bundle, scene)
    assert "reaches at most 0.35: softmax looks applied twice" in found  # e / (e + 5)


def test_an_activation_inside_and_outside(geoseg: CommandLine, scene: Path, tmp_path: Path) -> None:
    (found,) = warned(geoseg, exported(tmp_path / "bundle", softmaxes=1), scene)
    assert "Set geoseg:activation to none" in found


def test_one_class_everywhere(geoseg: CommandLine, scene: Path, tmp_path: Path) -> None:
    # Trained on z-scores: reflectances of 0 to 1 are all alike for it.
    bundle = changed(tmp_path / "bundle", **{"geoseg:scaling": [{"type": "divide", "value": 10_000}]})
    (found,) = warned(geoseg, bundle, scene)
    assert "of the pixels are" in found
    assert "compare geoseg:scaling" in found


def test_certain_everywhere(geoseg: CommandLine, scene: Path, tmp_path: Path) -> None:
    # Trained on z-scores, fed with numbers in the thousands.
    (found,) = warned(geoseg, changed(tmp_path / "bundle", **{"geoseg:scaling": [{"type": "affine"}]}), scene)
    assert "the confidence is 1 in 9" in found
    assert "compare geoseg:scaling" in found


def test_pixels_of_another_size(geoseg: CommandLine, scene: Path, tmp_path: Path) -> None:
    (found,) = warned(geoseg, changed(tmp_path / "bundle", gsd=0.5), scene)
    assert "pixels of 10 m, while geoseg-demo-landscape was trained on 0.5 m" in found
