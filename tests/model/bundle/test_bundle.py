import json
from pathlib import Path
from typing import Any

import pytest

from geoseg.errors import SettingsError
from geoseg.model.bundle.bundle import read_bundle
from tests.support.bundles import describe_model, unet_bundle


def edit(bundle: Path, change: dict[str, Any]) -> Path:
    model = json.loads((bundle / "model.json").read_text())
    for key, value in change.items():
        if value is None:
            del model[key]
        else:
            model[key] = value
    (bundle / "model.json").write_text(json.dumps(model))
    return bundle


def test_a_bundle_describes_the_model(tmp_path: Path) -> None:
    bundle = read_bundle(unet_bundle(tmp_path, bands=["red", "nir"], classes=["land", "water"], patch_px=64))
    assert bundle.bands == ("red", "nir")
    assert bundle.legend.names == ("land", "water")
    assert bundle.legend.classes[0].color == (0x3A, 0x7B, 0xD5)
    assert (bundle.patch_px, bundle.overlap_px) == (64, 8)


def test_overlap_is_a_quarter_of_a_patch_by_default(tmp_path: Path) -> None:
    assert read_bundle(unet_bundle(tmp_path, patch_px=64, overlap_px=None)).overlap_px == 16


def test_a_model_of_any_size_gets_patches_of_256_or_the_multiple_below(tmp_path: Path) -> None:
    assert read_bundle(unet_bundle(tmp_path / "a", patch_px=-1, size_multiple=4)).patch_px == 256
    assert read_bundle(unet_bundle(tmp_path / "b", patch_px=-1, size_multiple=48)).patch_px == 240


def test_the_sha256_covers_weights_and_description(tmp_path: Path) -> None:
    bundles = [unet_bundle(tmp_path / "a"), unet_bundle(tmp_path / "b"), unet_bundle(tmp_path / "c", seed=1)]
    same, again, other_weights = (read_bundle(bundle).sha256 for bundle in bundles)
    assert same == again != other_weights
    edit(bundles[0], {"mlm:name": "renamed"})
    assert read_bundle(bundles[0]).sha256 != same


def test_descriptive_properties_are_allowed(tmp_path: Path) -> None:
    assert read_bundle(edit(unet_bundle(tmp_path), {"mlm:memory_size": 5, "license": "MIT"})).name == "test-model"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"geoseg:activation": None}, "geoseg:activation: Field required"),
        ({"geoseg:activation": "relu"}, "geoseg:activation"),
        ({"geoseg:artefact": "model.onnx"}, r"geoseg:artefact is unknown\. Did you mean geoseg:artifact\?"),
        ({"geoseg:window": 3}, r"geoseg:window is unknown\. configs/BUNDLE\.md lists"),
        ({"scaling": [{"type": "log1p"}]}, r"scaling is not read\. Write geoseg:scaling"),
        ({"geoseg:artifact": "model.pkl"}, "geoseg:artifact"),
        ({"geoseg:artifact": "model.onnx"}, "model.onnx, which is missing"),
        ({"geoseg:scaling": [{"type": "affine", "scale": [1, 2]}]}, "2 numbers for 4 bands"),
        (
            {"geoseg:nodata_fill": 1e300},
            r"geoseg:nodata_fill: .*1e\+300 is not a finite number between -1e",
        ),
        ({"geoseg:nodata_fill": float("nan")}, "NaN is not a number of JSON"),
        ({"geoseg:nodata_fill": float("-inf")}, "-Infinity is not a number of JSON"),
        ({"geoseg:size_multiple": 10**9}, "geoseg:size_multiple: .* less than or equal to 8192"),
        ({"geoseg:overlap_px": 10**9}, "geoseg:overlap_px: .* less than or equal to 8192"),
    ],
)
def test_an_inconsistent_model_file_is_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    edit(unet_bundle(tmp_path), change)
    with pytest.raises(SettingsError, match=message) as caught:
        read_bundle(tmp_path)
    assert str(tmp_path / "model.json") in str(caught.value)


def test_an_oversized_patch_is_refused(tmp_path: Path) -> None:
    model = json.loads((unet_bundle(tmp_path) / "model.json").read_text())
    model["mlm:input"][0]["input"]["shape"][2:] = [10**9, 10**9]
    edit(tmp_path, model)
    with pytest.raises(SettingsError, match=r"input\.shape\.2: 1000000000 is not a size: 1 to 8192, or -1 for any"):
        read_bundle(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[" * 100_000, "its brackets are nested more than 64 deep"),
        (b'{"a": ' + b"[" * 70 + b"]" * 70 + b"}", "its brackets are nested more than 64 deep"),
        (b'{"mlm:name": "\xff"}', "it is not UTF-8 text at byte 14. Save it as UTF-8"),
        (rb'{"a": "x\ud800"}', r"it holds \\ud800, half of a character"),
        (b'{"a": 1, "b": 2, "a": 3}', r"it has the keys \['a'\] twice"),
        (b"[1]", "it holds a list, not an object"),
        (b"{} {}", "it is not JSON: Extra data: line 1 column 4"),
        (b"", "it is not JSON: Expecting value"),
    ],
)
def test_a_model_file_that_is_no_object_of_json_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "model.json").write_bytes(content)
    with pytest.raises(SettingsError, match=message) as caught:
        read_bundle(tmp_path)
    assert str(tmp_path / "model.json") in str(caught.value)


@pytest.mark.parametrize("name", ["model.json", "weights.safetensors"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    """The memory of a process at address 0 cannot be read by root either."""
    (unet_bundle(tmp_path) / name).unlink()
    (tmp_path / name).symlink_to("/proc/self/mem")
    with pytest.raises(
        SettingsError, match=rf"{name} cannot be read: Input/output error\. Give the user that runs geo"
    ):
        read_bundle(tmp_path)


def test_a_folder_in_place_of_a_file_is_no_bundle(tmp_path: Path) -> None:
    unet_bundle(tmp_path)
    (tmp_path / "weights.safetensors").unlink()
    (tmp_path / "weights.safetensors").mkdir()
    with pytest.raises(SettingsError, match=r"weights\.safetensors, which is missing"):
        read_bundle(tmp_path)


def test_an_oversized_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    with (unet_bundle(tmp_path) / "weights.safetensors").open("r+b") as file:
        file.truncate(17 << 30)  # sparse: it takes no room
    with pytest.raises(SettingsError, match=r"weights\.safetensors has 18253611008 bytes, and at most \d+ are read"):
        read_bundle(tmp_path)


def test_band_names_and_input_shape_must_agree(tmp_path: Path) -> None:
    model = json.loads((unet_bundle(tmp_path) / "model.json").read_text())
    model["mlm:input"][0]["input"]["shape"][1] = 3
    edit(tmp_path, model)
    with pytest.raises(SettingsError, match="4 bands, but input shape"):
        read_bundle(tmp_path)


@pytest.mark.parametrize(
    ("part", "shape", "message"),
    [
        ("input", [-1, 4, 64, 128], r"shape \[-1, 4, 64, 128\] is 64 x 128, but patches and maps are square"),
        ("input", [-1, 4, 64, -1], "is 64 x -1, but"),
        ("output", [-1, 5, 32, 16], "is 32 x 16, but"),
        ("output", [-1, 9, 32, 32], r"5 classification:classes, but output shape \[-1, 9, 32, 32\] has 9 channels"),
        ("output", [-1, 1, 32, 32], "has 1 channels"),
    ],
)
def test_shapes_must_be_consistent(tmp_path: Path, part: str, shape: list[int], message: str) -> None:
    model = describe_model(4, 5)
    tensor = model[f"mlm:{part}"][0]["input" if part == "input" else "result"]
    tensor["shape"] = shape
    (tmp_path / "model.json").write_text(json.dumps(model))
    (tmp_path / "weights.safetensors").touch()
    with pytest.raises(SettingsError, match=message):
        read_bundle(tmp_path)


def test_a_folder_without_a_model_file_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"is not a model bundle: it has no model\.json"):
        read_bundle(tmp_path)


def test_a_model_file_that_is_no_json_is_named(tmp_path: Path) -> None:
    (tmp_path / "model.json").write_text("{")
    with pytest.raises(SettingsError, match="does not describe a model"):
        read_bundle(tmp_path)


ZSCORE = [{"type": "z-score", "mean": mean, "stddev": 50.0} for mean in (100.0, 110.0, 120.0, 130.0)]
AS_VALUE_SCALING = r'mlm:input\.0\.value_scaling \[{"type": "z-score", "mean": 100.0, "stddev": 50.0}, {"type"'


def with_properties(folder: Path, place: str, properties: dict[str, Any]) -> Path:
    """A bundle with more properties at one of the places where MLM has had scaling."""
    model = describe_model(4, 5)
    match place:
        case "top":
            model.update(properties)
        case "item":
            model["properties"] = {"mlm:input": [properties]}
        case "input":
            model["mlm:input"][0].update(properties)
        case "tensor":
            model["mlm:input"][0]["input"].update(properties)
        case "band":
            model["mlm:input"][0]["bands"][0] = {"name": "band1", **properties}
        case "output":
            model["mlm:output"][0].update(properties)
    (folder / "model.json").write_text(json.dumps(model))
    (folder / "weights.safetensors").touch()  # nothing is loaded
    return folder


@pytest.mark.parametrize("place", ["top", "item", "input", "tensor"])
@pytest.mark.parametrize(
    ("properties", "words"),
    [
        (
            {"norm_type": "z-score", "statistics": ZSCORE},
            rf"norm_type is not read.*{AS_VALUE_SCALING}.*statistics is not read",
        ),
        (
            {"norm_type": "min-max", "statistics": [{"min": 0, "max": 9}]},
            r'\[{"type": "min-max", "minimum": 0, "maximum": 9}\]',
        ),
        ({"norm_type": "l2"}, "norm_type is not read.*BUNDLE.md explains both"),
        ({"statistics": [{"mean": 1}]}, "statistics is not read"),
        ({"norm_clip": [0, 1]}, "norm_clip is not read"),
        ({"pre_processing_function": {"format": "python", "expression": "a:b"}}, "pre_processing_function is not read"),
        ({"resize_type": "crop"}, "resize_type is not read"),
    ],
)
def test_unsupported_scaling_is_refused_with_a_replacement(
    tmp_path: Path, place: str, properties: dict[str, Any], words: str
) -> None:
    with pytest.raises(SettingsError, match=words) as caught:
        read_bundle(with_properties(tmp_path, place, properties))
    assert str(tmp_path / "model.json") in str(caught.value)


@pytest.mark.parametrize(
    ("place", "properties", "words"),
    [
        ("band", {"expression": "(B8-B4)/(B8+B4)"}, r"mlm:input\.0\.bands\.0\.expression is not read"),
        ("band", {"raster:scale": 0.0001}, r"mlm:input\.0\.bands\.0\.raster:scale is not read"),
        ("output", {"post_processing_function": "argmax"}, r"mlm:output\.0\.post_processing_function is not read"),
        ("top", {"value_scaling": ZSCORE}, r"value_scaling is not read there\. Move it to mlm:input\.0\.value_scaling"),
        ("band", {"value_scaling": ZSCORE[:1]}, r"bands\.0\.value_scaling is not read there"),
        ("tensor", {"value_scaling": ZSCORE}, r"mlm:input\.0\.input\.value_scaling is not read there"),
        ("output", {"value_scaling": ZSCORE}, r"mlm:output\.0\.value_scaling is not read there"),
        (
            "top",
            {"geoseg:scaling": [{"type": "scale", "value": 0.1}]},
            r'multiplied .* Write {"type": "affine", "scale": 0\.1}',
        ),
        (
            "top",
            {"geoseg:scaling": [{"type": "offset", "value": -1}]},
            r'added .* Write {"type": "affine", "offset": -1}',
        ),
        ("top", {"geoseg:scaling": [{"type": []}]}, r"geoseg:scaling\.0"),
        ("input", {"geoseg:scaling": []}, r"mlm:input\.0\.geoseg:scaling is not read there\. Move it to the top"),
        ("input", {"normalise": "imagenet"}, r"mlm:input\.0\.normalise is unknown.*whether it changes pixels"),
        ("tensor", {"value_range": [0, 1]}, r"mlm:input\.0\.input\.value_range is unknown"),
    ],
)
def test_other_properties_that_would_change_a_pixel_are_refused(
    tmp_path: Path, place: str, properties: dict[str, Any], words: str
) -> None:
    with pytest.raises(SettingsError, match=words):
        read_bundle(with_properties(tmp_path, place, properties))


@pytest.mark.parametrize("place", ["top", "item", "input", "band", "output"])
def test_properties_without_effect_are_allowed_everywhere(tmp_path: Path, place: str) -> None:
    properties = {"value_scaling": None, "norm_type": None, "resize_type": None, "description": "a", "statistics": []}
    assert read_bundle(with_properties(tmp_path, place, properties)).name == "test-model"


def test_statistics_of_a_band_are_a_description(tmp_path: Path) -> None:
    assert read_bundle(with_properties(tmp_path, "band", {"statistics": {"mean": 3}})).bands[0] == "band1"


@pytest.mark.parametrize("place", ["top", "properties"])
def test_a_stac_item_is_read(tmp_path: Path, place: str) -> None:
    properties = describe_model(4, 5)
    own = {key: properties.pop(key) for key in list(properties) if key.startswith("geoseg:")}
    item = {
        "type": "Feature",
        "id": "landuse",
        "properties": {**properties, "datetime": None},
        "links": [],
        "assets": {},
    }
    (item if place == "top" else item["properties"]).update(own)  # type: ignore[attr-defined]
    (tmp_path / "model.json").write_text(json.dumps(item))
    (tmp_path / "weights.safetensors").touch()
    assert read_bundle(tmp_path).bands == ("band1", "band2", "band3", "band4")


@pytest.mark.parametrize(
    ("top", "message"),
    [
        ({"norm_type": "z-score"}, "norm_type is not read"),
        ({"mlm:input": []}, "mlm:input stands at the top and in the properties of the Item, and differs. Remove one"),
        ({"geoseg:activation": "sigmoid"}, "geoseg:activation stands at the top and in the properties"),
    ],
)
def test_nothing_at_the_top_of_an_item_is_ignored(tmp_path: Path, top: dict[str, Any], message: str) -> None:
    item = {"type": "Feature", "id": "landuse", "properties": describe_model(4, 5), **top}
    (tmp_path / "model.json").write_text(json.dumps(item))
    (tmp_path / "weights.safetensors").touch()
    with pytest.raises(SettingsError, match=message):
        read_bundle(tmp_path)


def test_lines_that_begin_with_two_slashes_are_comments(tmp_path: Path) -> None:
    bundle = unet_bundle(tmp_path / "bundle", **{"mlm:name": "a // name"})
    path = bundle / "model.json"
    text = json.dumps(json.loads(path.read_text()), indent=2)
    path.write_text("// first\n" + text.replace("\n", "\n  // a comment, {\n"))
    assert read_bundle(bundle).name == "a // name"
    path.write_text(text.replace('"geoseg:overlap_px": 8', '// old\n"geoseg:overlap_px": 8 // not a comment'))
    line = text.splitlines().index('  "geoseg:overlap_px": 8,') + 2
    with pytest.raises(SettingsError, match=f"it is not JSON: .*line {line} column"):
        read_bundle(bundle)
