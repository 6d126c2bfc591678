import json
from pathlib import Path
from typing import Any

import pytest

from geoseg.errors import SettingsError
from geoseg.model.bundle import read_bundle
from tests.support.bundles import unet_bundle


def edit(bundle: Path, change: dict[str, Any]) -> Path:
    model = json.loads((bundle / "model.json").read_text())
    for key, value in change.items():
        if value is None:
            del model[key]
        else:
            model[key] = value
    (bundle / "model.json").write_text(json.dumps(model))
    return bundle


def test_a_bundle_says_what_the_model_wants(tmp_path: Path) -> None:
    bundle = read_bundle(unet_bundle(tmp_path, bands=["red", "nir"], classes=["land", "water"], patch_px=64))
    assert bundle.bands == ("red", "nir")
    assert bundle.legend.names == ("land", "water")
    assert bundle.legend.classes[0].color == (0x3A, 0x7B, 0xD5)
    assert (bundle.patch_px, bundle.overlap_px) == (64, 8)


def test_overlap_is_a_quarter_of_a_patch_unless_the_bundle_says_otherwise(tmp_path: Path) -> None:
    assert read_bundle(unet_bundle(tmp_path, patch_px=64, overlap_px=None)).overlap_px == 16


def test_a_model_of_any_size_gets_patches_of_256_or_the_multiple_below(tmp_path: Path) -> None:
    assert read_bundle(unet_bundle(tmp_path / "a", patch_px=-1, size_multiple=4)).patch_px == 256
    assert read_bundle(unet_bundle(tmp_path / "b", patch_px=-1, size_multiple=48)).patch_px == 240


def test_the_sha256_names_weights_and_description(tmp_path: Path) -> None:
    bundles = [unet_bundle(tmp_path / "a"), unet_bundle(tmp_path / "b"), unet_bundle(tmp_path / "c", seed=1)]
    same, again, other_weights = (read_bundle(bundle).sha256 for bundle in bundles)
    assert same == again != other_weights
    edit(bundles[0], {"mlm:name": "renamed"})
    assert read_bundle(bundles[0]).sha256 != same


def test_properties_for_catalogues_are_welcome(tmp_path: Path) -> None:
    assert read_bundle(edit(unet_bundle(tmp_path), {"mlm:memory_size": 5, "license": "MIT"})).name == "test-model"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"geoseg:activation": None}, "geoseg:activation: Field required"),
        ({"geoseg:activation": "relu"}, "geoseg:activation"),
        ({"geoseg:artefact": "model.onnx"}, r"unknown properties \['geoseg:artefact'\]"),
        ({"geoseg:artifact": "model.pkl"}, "geoseg:artifact"),
        ({"geoseg:artifact": "model.onnx"}, "model.onnx, which is missing"),
        ({"geoseg:scaling": [{"type": "scale", "value": [1, 2]}]}, "2 numbers for 4 bands"),
    ],
)
def test_a_model_file_that_does_not_hold_together_is_refused(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    edit(unet_bundle(tmp_path), change)
    with pytest.raises(SettingsError, match=message) as caught:
        read_bundle(tmp_path)
    assert str(tmp_path / "model.json") in str(caught.value)


def test_band_names_and_input_shape_must_agree(tmp_path: Path) -> None:
    model = json.loads((unet_bundle(tmp_path) / "model.json").read_text())
    model["mlm:input"][0]["input"]["shape"][1] = 3
    edit(tmp_path, model)
    with pytest.raises(SettingsError, match="4 bands, but input shape"):
        read_bundle(tmp_path)


def test_a_folder_without_a_model_file_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"is not a model bundle: it has no model\.json"):
        read_bundle(tmp_path)


def test_a_model_file_that_is_no_json_is_named(tmp_path: Path) -> None:
    (tmp_path / "model.json").write_text("{")
    with pytest.raises(SettingsError, match="does not describe a model"):
        read_bundle(tmp_path)
