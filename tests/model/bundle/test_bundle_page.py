"""`configs/BUNDLE.md`: its examples run unchanged, and it lists every key."""

import json
import re
import runpy
import warnings
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import TypeAdapter

from geoseg.model.bundle.bundle import ModelFile
from geoseg.model.bundle.properties import OF_INPUT, OF_TENSOR, OTHER_STEPS, SCALING
from geoseg.model.bundle.scaling import Step
from geoseg.model.bundle.value_scaling import NUMBERS, translate
from geoseg.model.zoo.architectures import ARCHITECTURES
from tests.support.cli import CommandLine

PAGE = (Path(__file__).parents[3] / "configs" / "BUNDLE.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(
    r"^### (.+?)\n.*?```python\n(.*?)```.*?```json\n(.*?)```",
    PAGE.partition("## Three whole examples")[2],
    re.DOTALL | re.MULTILINE,
)


@pytest.fixture
def geoseg(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(monkeypatch, capsys)


@pytest.mark.parametrize(("code", "model"), [example[1:] for example in EXAMPLES], ids=[e[0] for e in EXAMPLES])
def test_an_example_of_the_page_passes_the_check(
    geoseg: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, model: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "example.py").write_text(code)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of torch's exporter that needs no other package
        runpy.run_path("example.py")
    (tmp_path / "landuse/model.json").write_text(model)
    checked = geoseg("models", "check", "landuse")
    assert checked.code == 0, checked.err
    assert checked.out == "landuse runs on cpu with patches of 256 px and 3 classes.\n", "no warning"
    assert checked.out in PAGE


def test_there_are_three_whole_examples() -> None:
    assert [example[0].partition(",")[0] for example in EXAMPLES] == ["ONNX", "ONNX", "safetensors"]
    artifacts = [json.loads(model)["geoseg:artifact"] for *_, model in EXAMPLES]
    assert artifacts == ["model.onnx", "model.onnx", "weights.safetensors"]


def test_every_key_is_in_the_table() -> None:
    keys = re.findall(r"^\| (`.*?) \|", PAGE, re.MULTILINE)
    named = {word for key in keys for word in re.findall(r"`([^`]+)`", key)}
    wanted = {str(field.alias) for field in ModelFile.model_fields.values() if field.alias} | {
        "raster:spatial_resolution", "gsd", "input.shape", "input.dim_order", "result.shape", "result.dim_order",
        "classification:classes", "input.data_type", "bands", "name", "description", "norm_by_channel",
    }  # fmt: skip
    assert wanted <= named
    assert {"bands", "name", "description", "norm_by_channel", "input", "value_scaling"} == set(OF_INPUT)
    assert {"shape", "dim_order", "data_type", "description"} == set(OF_TENSOR)
    assert [key for key in (*SCALING, *OTHER_STEPS) if key not in PAGE] == []
    assert "unet" in ARCHITECTURES


def listed_under(heading: str) -> list[dict[str, Any]]:
    """The objects in the first column of the table under a heading, with numbers for letters."""
    section = PAGE.partition(heading)[2].partition("\n###")[0]
    rows = re.findall(r'^\| `(\{"type": .*?\})`', section, re.MULTILINE)
    return [
        json.loads(re.sub(r": ([a-z])([,}])", r": 1\2", row.replace('"maximum": b', '"maximum": 2'))) for row in rows
    ]


def test_every_type_of_value_scaling_is_on_the_page_and_valid() -> None:
    objects = listed_under("### value_scaling of MLM")
    assert {one["type"] for one in objects} | {"clip-min", "clip-max"} == set(NUMBERS)
    for one in objects:
        TypeAdapter(list[Step]).validate_python(translate([one], 3))


def test_every_step_of_scaling_is_in_the_table_and_valid() -> None:
    chains = TypeAdapter(list[Step])
    steps: list[Any] = chains.validate_python(listed_under("### Steps of geoseg:scaling"))
    known = get_args(get_args(Step)[0])
    assert {type(step) for step in steps} == set(known)
    for chain in re.findall(r'`(\[\{"type".*?\])`', PAGE):
        chains.validate_json(chain)
