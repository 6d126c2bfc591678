import re
from pathlib import Path

import pytest

from geoseg.config import Settings, _keys, load_settings
from geoseg.errors import SettingsError

CONFIGS = Path(__file__).parents[1] / "configs"
NEEDED = {"scenes": ["a.tif"], "model": "bundle", "output": "out"}


def load(**sources: object) -> Settings:
    return load_settings(**{"environment": {}, "flags": NEEDED, **sources})


def test_later_sources_win(tmp_path: Path) -> None:
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


def test_a_setting_of_python_needs_no_other_source() -> None:
    assert Settings(scenes=("a.tif",), model="m", output="o").tiling.patch_px == "auto"


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        ({"assignments": ["tilling.patch_px=3"]}, r"Unknown setting tilling\. Did you mean tiling\?"),
        ({"assignments": ["tiling.patch=3"]}, r"Unknown setting tiling\.patch\. Did you mean tiling\.patch_px\?"),
        ({"environment": {"GEOSEG_RUN__WORKERZ": "3"}}, r"Unknown setting run\.workerz\. Did you mean run\.workers\?"),
        ({"assignments": ["tiling.patch_px=0"]}, r"Setting tiling\.patch_px=0 is not allowed"),
        ({"assignments": ["run.device=tpu"]}, r"Setting run\.device='tpu' is not allowed: .*'cpu' or 'cuda'"),
        ({"assignments": ["tiling"]}, "not of the form key=value"),
        ({"assignments": ["tiling.patch_px=[1"]}, "not a valid YAML value"),
        ({"assignments": ["tiling.patch_px=true"]}, r"tiling\.patch_px=True is not allowed"),
        ({"assignments": ["scene.observed_at=2026-02-30"]}, "2026-02-30.* is not a valid YAML value"),
        ({"assignments": ["scene.observed_at=2026"]}, "write a date such as 2026-06-21"),
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
def test_what_is_wrong_is_named(sources: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        load(**sources)


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
    table = re.findall(r"^\| `([a-z0-9_.]+)` \|", (CONFIGS / "README.md").read_text(), re.MULTILINE)
    sections = {key.rpartition(".")[0] for key in _keys(Settings)}
    assert table == [key for key in _keys(Settings) if key not in sections]


def test_the_example_holds_the_defaults() -> None:
    example = load_settings(CONFIGS / "segment.yaml", environment={})
    plain = Settings(scenes=example.scenes, model=example.model, output=example.output)
    assert example == plain
