import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from geoseg.config import Settings, load_settings
from geoseg.errors import SettingsError
from geoseg.explain import key_schemas

CONFIGS = Path(__file__).parents[1] / "configs"
NEEDED = {"scenes": ["a.tif"], "model": "bundle", "output": "out"}


def types(schema: dict[str, Any]) -> Iterator[str]:
    """The JSON types of a value and of what it may hold."""
    yield schema.get("type", "")
    for part in [*schema.get("anyOf", []), *([schema["items"]] if "items" in schema else [])]:
        yield from types(part)


KINDS = {key: set(types(schema)) for key, schema in key_schemas(Settings.model_json_schema()).items()}


def load(**sources: object) -> Settings:
    return load_settings(**{"environment": {}, "flags": NEEDED, **sources})


def test_later_sources_override_earlier_ones(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("tiling: {patch_px: 64, overlap_px: 8}\nrun: {threads: 2}\noutput: from-file\n")
    settings = load(
        file=file,
        environment={"GEOSEG_TILING__OVERLAP_PX": "16", "GEOSEG_RUN__THREADS": "3", "HOME": "x"},
        assignments=["run.threads=4"],
    )
    assert (settings.tiling.patch_px, settings.tiling.overlap_px, settings.run.threads) == (64, 16, 4)
    assert settings.output == "out"


def test_bands_may_be_given_without_brackets() -> None:
    assert load(assignments=["scene.bands=3,2,1"]).scene.bands == (3, 2, 1)
    assert load(assignments=["scene.bands=[3, 2]"]).scene.bands == (3, 2)
    assert load(assignments=["scene.bands=2"]).scene.bands == (2,)
    for refused in ("true", "0", "1.5", "red"):
        with pytest.raises(SettingsError, match=r"scene\.bands"):
            load(assignments=[f"scene.bands={refused}"])


def test_settings_in_python_need_no_other_source() -> None:
    assert Settings(scenes=("a.tif",), model="m", output="o").tiling.patch_px == "auto"


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        ({"assignments": ["tilling.patch_px=3"]}, r"Unknown setting tilling\. Did you mean tiling\?"),
        ({"assignments": ["tiling.patch=3"]}, r"Unknown setting tiling\.patch\. Did you mean tiling\.patch_px\?"),
        ({"environment": {"GEOSEG_RUN__WORKERZ": "3"}}, r"Unknown setting run\.workerz\. Did you mean run\.workers\?"),
        ({"assignments": ["tiling.patch_px=0"]}, r"Setting tiling\.patch_px=0 is not allowed"),
        (
            {"assignments": ["run.device=tpu"]},
            r"Setting run\.device='tpu' is not allowed: it must be auto or cpu or cuda",
        ),
        ({"assignments": ["tiling"]}, "not of the form key=value"),
        ({"assignments": ["tiling.patch_px=[1"]}, "not a valid YAML value"),
        ({"assignments": ["tiling.patch_px=true"]}, r"tiling\.patch_px=True is not allowed"),
        ({"assignments": ["scene.observed_at=2026-02-30"]}, "2026-02-30.* is not a valid YAML value"),
        ({"assignments": ["scene.observed_at=1e9"]}, "observed_at='1e9' .* it must be a date such as 2026-06-21"),
        ({"assignments": ["scene.observed_at='0001-01-01T00:00:00+14:00'"]}, "a date of the years 1 to 9999"),
        ({"assignments": ["scene.observed_at=true"]}, "observed_at=True is not allowed: it must be a date such as"),
        (
            {"assignments": ["run.workers=2026-06-21"]},
            r"run\.workers=2026-06-21 is not allowed: it must be a whole number",
        ),
        ({"assignments": ["run={2026-06-21: 1}"]}, r"Unknown setting run\.2026-06-21\."),
        (
            {"assignments": ["run.workers=100000"]},
            r"=100000 is not allowed: it must be a whole number from 1 to 10000 or",
        ),
        ({"assignments": ["run.batch_size=99999999"]}, "a whole number from 1 to 4096 or auto"),
        (
            {"assignments": ["run.unit_timeout_s=1e300"]},
            "'1e300' is not allowed: it must be a number from 1 to 604800",
        ),
        ({"assignments": ["scene.max_nonfinite_share=true"]}, "=True is not allowed: it must be a number from 0 to 1"),
        ({"assignments": ["scene.bands=[]"]}, r"a list \(a whole number from 1 to 65535 each\) or auto"),
        ({"assignments": ["scene.nodata=abc"]}, r"scene\.nodata='abc' is not allowed: it must be a number or a list"),
        ({"assignments": ["scene.bands=" + "[" * 5000]}, r"scene\.bands='\[.*nested more than 20 deep"),
        ({"assignments": ["run.workers=[&a [1], *a]"]}, "aliases .* are not read; write the value"),
        ({"assignments": ["run.workers=!!timestamp x"]}, "a tag does not fit its value"),
        ({"assignments": ["run={workers: 1, workers: 2}"]}, "the key 'workers' occurs twice"),
        ({"assignments": ["scene.bands=" + "9" * 5000]}, "a number in it has thousands of digits"),
        ({"assignments": ["model=a\udcffb"]}, "is not a valid YAML value: "),
        ({"flags": {**NEEDED, "output": "a\udcffb"}}, "output=.* is not allowed: it must be a name in UTF-8"),
        ({"flags": {**NEEDED, "model": "a\0b"}}, "model=.* is not allowed: it must be a text without zero bytes"),
        ({"assignments": ["scene.observed_at=2026"]}, "it must be a date such as 2026-06-21"),
        ({"assignments": ["run.memory_gib=.inf"]}, r"run\.memory_gib=inf is not allowed"),
        (
            {"assignments": ["output=gs://bucket/x"], "flags": {}},
            "it must be a directory that every node sees, or s3://",
        ),
        ({"assignments": ["output=''"], "flags": {}}, r"Setting output='' is not allowed"),
        ({"assignments": ["model.path=x"], "flags": {}}, r"Setting scenes is missing"),
        ({"flags": {}}, r"Setting scenes is missing.*\n.*model is missing.*\n.*output is missing"),
    ],
)
def test_messages_name_the_problem(sources: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        load(**sources)


@pytest.mark.parametrize(
    "name",
    [
        key
        for key, kinds in KINDS.items()
        if kinds & {"integer", "number"}
        and key not in ("scene.nodata", "scene.quality.invalid")
        and not key.startswith("mosaics.")
    ],
)
@pytest.mark.parametrize("value", ["9" * 40, "-1", "1.0e+300", ".nan"])
def test_every_number_is_bounded(name: str, value: str) -> None:
    with pytest.raises(
        SettingsError, match=rf"Setting {name}=.* is not allowed: it must be .*number (from|above) .* to "
    ):
        load(assignments=[f"{name}={value}"])


@pytest.mark.parametrize(
    ("quality", "message"),
    [
        ({"preset": "s2-scl"}, "it must be a section with a file or an asset, and one of preset, invalid and bits"),
        ({"file": "a.tif", "asset": "scl", "preset": "s2-scl"}, "it must be a section with a file or an asset, and"),
        ({"file": "a.tif"}, "it must be a section with a file or an asset, and one of preset, invalid and bits"),
        (
            {"file": "a.tif", "bits": [3], "invalid": [1]},
            "it must be a section with a file or an asset, and one of preset",
        ),
        ({"file": "a.tif", "preset": "s2"}, r"scene\.quality\.preset='s2' .* it must be s2-scl or landsat-qa or null"),
        ({"file": "a.tif", "bits": [64]}, r"scene\.quality\.bits=64 .* a list \(a whole number from 0 to 63 each\)"),
        ({"file": "a.tif", "invalid": [float("nan")]}, r"scene\.quality\.invalid=nan is not allowed"),
        ({"fil": "a.tif"}, r"Did you mean scene\.quality\.file\?"),
    ],
)
def test_messages_about_quality_bands(quality: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        load(flags={**NEEDED, "scene.quality": quality})


def test_rules_of_quality_bands_are_lists_with_commas() -> None:
    found = load(assignments=["scene.quality.file=a.tif", "scene.quality.invalid=3,8.5"]).scene.quality
    assert found is not None
    assert found.invalid == (3, 8.5)
    found = load(assignments=["scene.quality.file=a.tif", "scene.quality.bits=3,4"]).scene.quality
    assert found is not None
    assert found.bits == (3, 4)


@pytest.mark.parametrize(
    ("mosaic", "message"),
    [
        ({"items": ["a.tif"]}, r"Setting mosaics\.id is missing\. Give mosaics\.id: in"),
        ({"id": "m", "items": []}, r"mosaics\.items=\[\] is not allowed: it must be a list \(a text or a section"),
        ({"id": "m", "items": ["a.tif"], "pick": "best"}, r"mosaics\.pick='best' is not allowed: it must be first"),
        (
            {"id": "m", "items": ["a.tif"], "grid": {"bounds": [1, 2]}},
            r"mosaics\.grid\.bounds=\[1, 2\] .* a list of xmin, ymin",
        ),
        (
            {"id": "m", "items": ["a.tif"], "grid": {"resolution_m": 0}},
            r"resolution_m=0 .* a number above 0 to 1000000 or null",
        ),
        ({"id": "m", "items": ["a.tif"], "ordr": 1}, r"Unknown setting mosaics\.ordr\. Did you mean mosaics\.order\?"),
    ],
)
def test_a_wrong_mosaic_is_explained(mosaic: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        Settings(model="m", output="o", mosaics=[mosaic])


def test_a_run_needs_scenes_or_mosaics() -> None:
    assert Settings(model="m", output="o", mosaics=[{"id": "m", "items": ["a.tif"]}]).scenes == ()
    with pytest.raises(SettingsError, match=r"scenes=\[\] is not allowed"):
        Settings(scenes=[], model="m", output="o")


def test_one_sentence_for_one_setting() -> None:
    with pytest.raises(SettingsError) as caught:
        load(assignments=["tiling.patch_px=abc"])
    assert str(caught.value) == (
        "Setting tiling.patch_px='abc' is not allowed: it must be a whole number from 1 to 65536 or auto."
    )


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("2026-06-21", datetime(2026, 6, 21, tzinfo=UTC)),
        ("'2026-06-21'", datetime(2026, 6, 21, tzinfo=UTC)),
        ("2026-06-21 10:30:00", datetime(2026, 6, 21, 10, 30, tzinfo=UTC)),
        ("2026-06-21T10:30:00+02:00", datetime(2026, 6, 21, 8, 30, tzinfo=UTC)),
        ("'2026-06-21T10:30:00'", datetime(2026, 6, 21, 10, 30, tzinfo=UTC)),
    ],
)
def test_a_date_is_midnight_in_utc_however_it_is_given(tmp_path: Path, given: str, expected: datetime) -> None:
    (tmp_path / "s.yaml").write_text(f"scene: {{observed_at: {given}}}\n")
    for settings in (
        load(assignments=[f"scene.observed_at={given}"]),
        load(environment={"GEOSEG_SCENE__OBSERVED_AT": given}),
        load(file=tmp_path / "s.yaml"),
        Settings(**NEEDED, scene={"observed_at": yaml.safe_load(given)}),
    ):
        assert settings.scene.observed_at == expected
        assert settings.scene.observed_at.utcoffset() == timedelta(0)


def test_wrong_settings_in_python_are_explained() -> None:
    with pytest.raises(
        SettingsError, match=r"^Setting tiling\.patch_px='abc' is not allowed: it must be a whole number"
    ):
        Settings(**NEEDED, tiling={"patch_px": "abc"})
    with pytest.raises(SettingsError, match="holds no settings"):
        Settings.model_validate([])


def test_a_file_of_nested_aliases_is_refused(tmp_path: Path) -> None:
    levels = [f"l{n}: &l{n} {{{', '.join(f'<<: *l{n - 1}' for _ in range(9))}}}" for n in range(1, 9)]
    (tmp_path / "s.yaml").write_text("\n".join(["l0: &l0 {a: 1}", *levels]))
    with pytest.raises(SettingsError, match=r"s\.yaml is not valid YAML: aliases .* are not read"):
        load(file=tmp_path / "s.yaml")


@pytest.mark.parametrize(
    ("content", "message"), [("a: [", "not valid YAML"), ("- a", "holds a list"), ("polygons: 3", "polygons=3")]
)
def test_a_file_that_holds_no_settings_is_named(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "s.yaml").write_text(content)
    with pytest.raises(SettingsError, match=message) as caught:
        load(file=tmp_path / "s.yaml")
    assert "s.yaml" in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"absent\.yaml cannot be read: No such file"):
        load(file=tmp_path / "absent.yaml")


def test_the_table_of_settings_is_the_schema() -> None:
    page = (CONFIGS / "README.md").read_text().partition("## Scenes of several files")[0]
    table = re.findall(r"^\| `([a-z0-9_.]+)` \|", page, re.MULTILINE)
    sections = {key.rpartition(".")[0] for key in KINDS}
    assert table == [key for key in KINDS if key not in sections]


def test_the_example_holds_the_defaults() -> None:
    example = load_settings(CONFIGS / "segment.yaml", environment={})
    plain = Settings(scenes=example.scenes, model=example.model, output=example.output)
    assert example == plain
