"""Items of the shapes that the examples of the MLM extension have: what each one is read as, or why it is refused.

The examples are those of https://github.com/stac-extensions/mlm, folder ``examples``; a row has the name of one.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from geoseg.errors import SettingsError
from geoseg.importer.sources.mlm_facts import mlm_facts
from geoseg.importer.sources.recognise import read_source
from geoseg.importer.sources.source import Request

SENTINEL2 = ["B01", "B02", "B03"]
Z_SCORES = [{"type": "z-score", "mean": 1354.4, "stddev": 245.7}, {"type": "z-score", "mean": 1118.2, "stddev": 333.0},
            {"type": "z-score", "mean": 1042.9, "stddev": 395.1}]  # fmt: skip
STEPS = [{"type": "z-score", "mean": [1354.4, 1118.2, 1042.9], "stddev": [245.7, 333.0, 395.1]}]
FUNCTION = {"format": "python", "expression": "torchgeo.datamodules.eurosat.EuroSATDataModule.collate_fn"}
CROPS = [{"value": 0, "name": "Annual Crop", "color_hint": None}, {"value": 1, "name": "Forest", "color_hint": None}]


def item(*inputs: dict[str, Any], output: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """An Item; each input also has a shape, which geoseg does not trust."""
    shaped = [{"input": {"shape": [-1, 3, 64, 64], "data_type": "float32"}, **one} for one in inputs]
    given = {"tasks": ["classification"], "result": {"shape": [-1, 10]}, **(output or {})}
    return {"type": "Feature", "properties": {"mlm:name": "model", "mlm:input": shaped, "mlm:output": [given]}, **more}


def facts(document: dict[str, Any], *, scaling_given: bool = False) -> dict[str, Any]:
    found = mlm_facts(document, "item.json", scaling_given)
    return {name: fact.value for name, fact in vars(found).items() if fact is not None and name != "name"}


READ = {
    "item_basic": (
        item(
            {"bands": []},
            output={
                "classification_classes": [
                    {"value": 0, "name": "BACKGROUND", "color_hint": [0, 0, 0]},
                    {"value": 1, "name": "CITY", "color_hint": [0, 0, 255]},
                ]
            },
        ),
        {"classes": ["BACKGROUND", "CITY"], "colors": [(0, 0, 0), (0, 0, 255)]},
    ),
    "item_pytorch_geo_unet": (
        item(
            {
                "bands": ["B4", "B3", "B2", "B8", "B4", "B3", "B2", "B8"],
                "value_scaling": [{"type": "z-score", "mean": 0, "stddev": 3000}],
                "pre_processing_function": None,
            },
            output={"classification:classes": [{"value": 0, "name": "class_0"}, {"value": 1, "name": "class_1"}]},
        ),
        {
            "bands": ("B4", "B3", "B2", "B8", "B4@2", "B3@2", "B2@2", "B8@2"),
            "scaling": [{"type": "z-score", "mean": 0, "stddev": 3000}],
            "classes": ["class_0", "class_1"],
        },
    ),
    "item_eo_bands without its function": (
        item({"bands": SENTINEL2, "value_scaling": Z_SCORES}, output={"classification_classes": CROPS}),
        {"bands": tuple(SENTINEL2), "scaling": STEPS, "classes": ["Annual Crop", "Forest"]},
    ),
    "item_raster_bands without its function": (
        item({"bands": SENTINEL2, "value_scaling": None}, output={"classification_classes": CROPS}),
        {"bands": tuple(SENTINEL2), "classes": ["Annual Crop", "Forest"]},
    ),
}


@pytest.mark.parametrize("name", READ)
def test_examples_that_are_read(name: str) -> None:
    document, expected = READ[name]
    found = facts(document)
    legend = found.pop("legend")
    assert list(legend.names) == expected["classes"]
    if "colors" in expected:
        assert [one.color for one in legend.classes] == expected["colors"]
    assert found == {key: value for key, value in expected.items() if key not in ("classes", "colors")}


REFUSED = {
    "item_bands_expression": (
        item({"bands": [{"name": "B04"}, {"name": "NDVI", "expression": "(B08 - B04) / (B08 + B04)"}]}),
        r"computes the band NDVI as \(B08 - B04\).*Put it into the scenes",
    ),
    "item_eo_bands": (
        item({"bands": SENTINEL2, "value_scaling": Z_SCORES, "pre_processing_function": FUNCTION}),
        "pre_processing_function.*EuroSATDataModule.*Give the scaling as --scaling",
    ),
    "item_raster_bands": (
        item({"bands": SENTINEL2, "value_scaling": None, "pre_processing_function": FUNCTION}),
        "pre_processing_function.*Give the scaling as --scaling",
    ),
    "item_datacube_variables": (
        item({"pre_processing_function": {"format": "uri", "expression": {"href": "https://example.com/a.py"}}}),
        "pre_processing_function.*Give the scaling as --scaling",
    ),
    "item_multi_io": (
        item({"bands": ["B04", "B03", "B02"]}, {"bands": ["B04", "B08"]}, {"bands": []}),
        "has 3 entries in mlm:input, and geoseg takes one",
    ),
}
REFUSED["item_eo_bands_summarized"] = REFUSED["item_eo_and_raster_bands"] = REFUSED["item_eo_bands"]


@pytest.mark.parametrize("name", REFUSED)
def test_examples_that_are_refused(name: str) -> None:
    document, message = REFUSED[name]
    with pytest.raises(SettingsError, match=f"(?s)item.json.*{message}"):
        facts(document)


def test_a_scaling_of_the_user_stands_in_for_a_function() -> None:
    document, _ = REFUSED["item_eo_bands"]
    assert "scaling" not in facts(document, scaling_given=True)


def test_the_models_of_the_examples_are_not_downloaded(tmp_path: Path) -> None:
    asset = {"href": "https://example.com/resnet18.pth", "roles": ["mlm:model", "mlm:weights"]}
    file = tmp_path / "item.json"
    file.write_text(json.dumps(item({"bands": SENTINEL2}, assets={"weights": asset})))
    with pytest.raises(SettingsError, match=r"geoseg downloads nothing\. Download it"):
        read_source(Request(file))
