"""geoseg never unpickles or evaluates a file, and never shows a secret."""

import ast
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import yaml

from geoseg.config import load_settings
from geoseg.errors import SceneError, SettingsError
from geoseg.raster.source.scene import describe
from geoseg.redact import redact, redact_values
from tests.support.bundles import unet_bundle
from tests.support.cli import CommandLine
from tests.support.programs import with_code
from tests.support.scenes import textured, write_scene

ROOT = Path(__file__).parents[1]
SOURCES = sorted([*(ROOT / "geoseg").rglob("*.py"), *(ROOT / "jobs").glob("*.py")])
FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "code", "runpy"}
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__", "os.system", "os.popen"}
FORBIDDEN_CALLS |= {"yaml.load", "yaml.load_all", "yaml.unsafe_load", "yaml.full_load", "np.fromfile"}
HARMLESS_NAMES = {"UnpicklingError"}
NEEDED = {"scenes": ["a.tif"], "model": "bundle", "output": "out"}


def dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def is_true(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Constant) and node.value is True


def offences(source: str) -> list[str]:
    """Imports and calls that can run the content of a file as code."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.partition(".")[0] in FORBIDDEN_MODULES]
        elif isinstance(node, ast.ImportFrom):
            forbidden = (node.module or "").partition(".")[0] in FORBIDDEN_MODULES
            found += [node.module] if forbidden and {alias.name for alias in node.names} - HARMLESS_NAMES else []
        elif isinstance(node, ast.Call):
            name, options = dotted(node.func), {word.arg: word.value for word in node.keywords}
            pickles = options.get("allow_pickle")
            shell = options.get("shell")
            if name in FORBIDDEN_CALLS or any(isinstance(o, ast.Constant) and o.value for o in (pickles, shell)):
                found.append(name)
            elif name in ("np.load", "numpy.load") and pickles is None:
                found.append(f"{name} without allow_pickle=False")
            elif name == "torch.load" and not is_true(options.get("weights_only")):
                found.append("torch.load without weights_only=True")
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_module_runs_a_file_as_code(path: Path) -> None:
    assert offences(path.read_text()) == []


@pytest.mark.parametrize(
    "source",
    [
        *("import pickle", "from joblib import load", "eval(x)", "torch.load(x)", "yaml.load(x)", "np.load(x)"),
        *("np.load(x, allow_pickle=True)", "subprocess.run(x, shell=True)", "import dill.source"),
        *(
            "torch.load(x, weights_only=False)",
            "torch.load(x, weights_only=y)",
            "from pickle import load, UnpicklingError",
        ),
    ],
)
def test_the_search_finds_unsafe_calls(source: str) -> None:
    assert offences(source)


def test_loaders_that_run_code_are_in_one_module() -> None:
    users = {
        path.name
        for path in SOURCES
        if any(
            isinstance(node, ast.Call) and dotted(node.func) in ("torch.jit.load", "torch.export.load", "load_pt2")
            for node in ast.walk(ast.parse(path.read_text()))
        )
    }
    assert users == {"network.py"}


class Witness:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("name", ["scene.npy", "scene.tif", "scene.vrt", "scene.pkl"])
def test_a_malicious_scene_runs_no_code(tmp_path: Path, name: str) -> None:
    witness = tmp_path / "witness"
    (tmp_path / name).write_bytes(pickle.dumps(Witness(witness)))
    if name == "scene.npy":
        np.save(tmp_path / name, np.array([Witness(witness)], dtype=object), allow_pickle=True)
    with pytest.raises(SceneError, match="cannot be opened as a raster"):
        describe(tmp_path / name)
    assert not witness.exists()
    pickle.loads(pickle.dumps(Witness(witness)))  # noqa: S301
    assert witness.exists(), "the payload works"


POISON = "!!python/object/apply:os.mkdir [{}]"


def test_yaml_builds_no_objects(tmp_path: Path) -> None:
    witness = tmp_path / "witness"
    poison = POISON.format(witness)
    (tmp_path / "s.yaml").write_text(f"output: {poison}\n")
    with pytest.raises(SettingsError, match="is not valid YAML: could not determine a constructor"):
        load_settings(tmp_path / "s.yaml", environment={}, flags=NEEDED)
    with pytest.raises(SettingsError, match="is not a valid YAML value"):
        load_settings(assignments=[f"output={poison}"], environment={}, flags=NEEDED)
    with pytest.raises(SettingsError, match="is not a valid YAML value"):
        load_settings(environment={"GEOSEG_OUTPUT": poison}, flags=NEEDED)
    assert not witness.exists()
    yaml.unsafe_load(poison)
    assert witness.exists(), "the payload works"


SECRET = "s3cr3t/Abc+9=="  # noqa: S105
TEXTS = [
    f"https://bucket.s3.amazonaws.com/a.tif?X-Amz-Algorithm=AWS4&X-Amz-Credential=AKIA&X-Amz-Signature={SECRET}",
    f"/vsicurl/https://host/a.tif?sp=r&sig={SECRET} cannot be read",
    f"https://host/a.tif?v=2&access_token={SECRET}",
    f"'https://host/a.tif?token={SECRET}'",
    f"https://user:{SECRET}@host/a.tif",
    f"s3://KEY:{SECRET}@bucket/a.tif",
    f"RAY_AUTH_TOKEN={SECRET}",
    f"aws_secret_access_key={SECRET}",
    f"Authorization: Bearer {SECRET}",
]


@pytest.mark.parametrize("text", TEXTS)
def test_secrets_are_redacted_everywhere(text: str) -> None:
    found = redact(text)
    assert SECRET not in found
    assert "s3cr3t" not in found
    assert "***" in found
    assert redact(found) == found
    assert "host" in found or "bucket" in found or "=" in found or "Bearer" in found
    assert "s3cr3t" not in str(SceneError(f"{text} failed"))
    assert "s3cr3t" not in json.dumps(redact_values({"scenes": [text, (text,)], "n": 1}))


@pytest.mark.parametrize(
    "text",
    [
        "scenes/a@2x.tif, block_px=4096 is not a multiple of stride=384. Use 3840.",
        "No Ray cluster answers at ray://127.0.0.1:6111: refused",
        "http://127.0.0.1:8080/a@2x.tif?version=2",
        "--set 'a' is not of the form key=value, such as tiling.patch_px=512.",
        "sha256 0123, but model_sha256=4567 is asked for",
    ],
)
def test_other_text_is_not_redacted(text: str) -> None:
    assert redact(text) == text


def test_an_output_with_credentials_is_refused_without_showing_them() -> None:
    for output in (f"s3://key:{SECRET}@bucket/x", f"https://host/x?sig={SECRET}"):
        with pytest.raises(SettingsError, match=r"it must be (a directory|free of credentials)") as caught:
            load_settings(assignments=[f"output={output}"], environment={}, flags={"scenes": ["a"], "model": "m"})
        assert "s3cr3t" not in str(caught.value)


@pytest.fixture
def geoseg(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(monkeypatch, capsys)


def test_a_run_writes_and_prints_no_secret(geoseg: CommandLine, tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "good.tif", textured(70, 90), nodata=0)
    url = f"https://127.0.0.1:9/a.tif?X-Amz-Signature={SECRET}"
    common = ["--model", unet_bundle(tmp_path / "bundle"), "--output", tmp_path / "out", "--address", "inline"]
    for more in ([], ["--remote"], ["--remote", "--set", "scene.allow_private_hosts=true"]):
        printed = geoseg("segment", scene, url, *common, *more, "--overwrite")
        assert printed.code == 3
        assert "X-Amz-Signature=***" in printed.err
        assert "s3cr3t" not in printed.out + printed.err
    written = [path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert written
    assert not any(b"s3cr3t" in content for content in written)


def test_a_bundle_with_code_needs_the_flag(geoseg: CommandLine, tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "good.tif", textured(70, 90), nodata=0)
    bundle = with_code(unet_bundle(tmp_path / "bundle"), "model.pt2")
    asked = ["segment", scene, "--model", bundle, "--output", tmp_path / "out", "--address", "inline"]
    for refused in (geoseg(*asked), geoseg(*asked, "--dry-run"), geoseg("models", "check", bundle)):
        assert refused.code == 2
        assert "model.pt2 was not loaded" in refused.err
    assert not (tmp_path / "out").exists()
    assert geoseg("models", "check", bundle, "--trust-model-code").code == 0
    assert geoseg(*asked, "--trust-model-code").code == 0


def test_the_printed_sha256_can_be_required(geoseg: CommandLine, tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "good.tif", textured(70, 90), nodata=0)
    bundle = unet_bundle(tmp_path / "bundle")
    digest = next(word for word in geoseg("models", "show", bundle).out.split() if len(word) == 64)
    asked = ["segment", scene, "--model", bundle, "--output", tmp_path / "out", "--address", "inline"]
    assert geoseg(*asked, "--set", f"model_sha256={'0' * 64}").code == 2
    assert geoseg(*asked, "--set", f"model_sha256={digest.upper()}").code == 0
