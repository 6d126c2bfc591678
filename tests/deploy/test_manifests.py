"""The manifests agree with each other, with the repository and with KubeRay's schema. No cluster is needed."""

import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from geoseg.config import load_settings

ROOT = Path(__file__).resolve().parents[2]
KUBERAY = ROOT / "deploy" / "kuberay"
CRD = ROOT.parent / "shared" / "schemas" / "ray.io_rayjobs.yaml"
IMAGE_ROOT = Path("/opt/geoseg")

# Kubernetes' own documents, which the CRDs leave open.
METADATA = {"name", "generateName", "namespace", "labels", "annotations"}


def load(name: str) -> Any:
    return yaml.safe_load((KUBERAY / name).read_text())


def nightly() -> dict[str, Any]:
    documents = yaml.safe_load_all((KUBERAY / "nightly.yaml").read_text())
    return {document["kind"]: document for document in documents}


def pod_specs(rayjob: Any) -> dict[str, Any]:
    cluster = rayjob["spec"]["rayClusterSpec"]
    groups = {group["groupName"]: group for group in cluster["workerGroupSpecs"]} | {"head": cluster["headGroupSpec"]}
    return {name: group["template"]["spec"] for name, group in groups.items()}


def dockerfile() -> list[list[str]]:
    lines = (ROOT / "deploy" / "Dockerfile").read_text().splitlines()
    return [shlex.split(line) for line in lines if line.strip() and not line.startswith(("#", " "))]


def copied() -> dict[str, Path]:
    """Source in the repository -> where the image has it."""
    sources = {}
    for command, *words in dockerfile():
        if command == "COPY":
            *froms, to = words
            for source in froms:
                sources[source] = IMAGE_ROOT / (Path(to) / source if to.endswith("/") else to)
    return sources


@pytest.fixture(scope="module")
def rayjob_schema() -> dict[str, Any]:
    if not CRD.exists():
        pytest.skip(f"KubeRay's schema is not at {CRD}")
    versions = yaml.safe_load(CRD.read_text())["spec"]["versions"]
    schema = next(version["schema"]["openAPIV3Schema"] for version in versions if version["name"] == "v1")
    schema["properties"]["metadata"] = {"type": "object", "properties": {key: {} for key in METADATA}}
    schema["required"] = ["apiVersion", "kind", "metadata", "spec"]
    return strict(schema)


def strict(schema: Any) -> Any:
    """Plain JSON Schema of an OpenAPI v3 one: unknown fields are errors, as with the API server's strict validation."""
    if isinstance(schema, list):
        return [strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("x-kubernetes-int-or-string"):
        return {"type": ["integer", "string"]}
    result = {key: strict(value) for key, value in schema.items() if key not in ("properties", "default")}
    if "properties" in schema:
        result["properties"] = {name: strict(value) for name, value in schema["properties"].items()}
        if not schema.get("x-kubernetes-preserve-unknown-fields"):
            result.setdefault("additionalProperties", False)
    return result


def broken_rayjobs() -> list[Any]:
    """The RayJob with one mistake each that an API server refuses."""
    paths_and_values: list[tuple[list[str | int], Any]] = [
        (["spec", "shutdownAfterJobFinished"], True),
        (["spec", "backoffLimit"], "2"),
        (["spec", "rayClusterSpec", "headGroupSpec", "rayStartParams", "num-cpus"], 0),
        (["spec", "rayClusterSpec", "workerGroupSpecs", 0, "template", "spec", "container"], []),
        (["spec", "rayClusterSpec", "authOptions", "mode"], "basic"),
        (["metadata", "nam"], "geoseg"),
    ]
    documents = []
    for path, value in paths_and_values:
        document = load("rayjob.yaml")
        node = document
        for key in path[:-1]:
            node = node[key]
        node[path[-1]] = value
        documents.append(pytest.param(document, id=str(path[-1])))
    return documents


def test_rayjob_is_valid_for_kuberay(rayjob_schema: dict[str, Any]) -> None:
    jsonschema.Draft7Validator(rayjob_schema).validate(load("rayjob.yaml"))


@pytest.mark.parametrize("document", broken_rayjobs())
def test_schema_refuses_mistakes(rayjob_schema: dict[str, Any], document: Any) -> None:
    assert not jsonschema.Draft7Validator(rayjob_schema).is_valid(document)


def test_one_ray_version_everywhere() -> None:
    constraints = (ROOT / "constraints.txt").read_text().splitlines()
    (pinned,) = (line.removeprefix("ray==") for line in constraints if line.startswith("ray=="))
    (base,) = (words[1] for words in dockerfile() if words[0] == "ARG" and words[1].startswith("BASE="))
    assert base == f"BASE=rayproject/ray:{pinned}-py311-gpu"
    assert load("rayjob.yaml")["spec"]["rayClusterSpec"]["rayVersion"] == pinned


def test_dockerfile_copies_what_exists_and_the_builder_may_see() -> None:
    shown = (ROOT / ".dockerignore").read_text().splitlines()
    for source in copied():
        assert (ROOT / source).exists(), source
        assert f"!{source}" in shown


def test_entrypoint_runs_a_script_of_the_image() -> None:
    python, script, *arguments = shlex.split(load("rayjob.yaml")["spec"]["entrypoint"])
    (source,) = (source for source, target in copied().items() if Path(script).is_relative_to(target))
    assert python == "python"
    assert (ROOT / source / Path(script).relative_to(IMAGE_ROOT / source)).is_file()
    assert arguments == ["--config", "/etc/geoseg/segment.yaml"]


def test_the_settings_are_settings() -> None:
    settings = load_settings(KUBERAY / "segment.yaml", environment={})
    assert settings.run.device == "cuda"


def test_settings_are_mounted_where_the_entrypoint_reads_them() -> None:
    generated = {entry["name"]: entry["files"] for entry in load("kustomization.yaml")["configMapGenerator"]}
    head = pod_specs(load("rayjob.yaml"))["head"]
    (mount,) = (mount for mount in head["containers"][0]["volumeMounts"] if mount["mountPath"] == "/etc/geoseg")
    (volume,) = (volume for volume in head["volumes"] if volume["name"] == mount["name"])
    assert generated[volume["configMap"]["name"]] == ["segment.yaml"]
    assert all((KUBERAY / name).is_file() for files in generated.values() for name in files)


def test_every_pod_sees_the_same_data_with_the_same_image_and_rights() -> None:
    pods = pod_specs(load("rayjob.yaml"))
    assert set(pods) == {"head", "gpu", "cpu"}
    for pod in pods.values():
        (container,) = pod["containers"]
        assert {"name": "data", "mountPath": "/data"} in container["volumeMounts"]
        assert {"name": "data", "persistentVolumeClaim": {"claimName": "geoseg-data"}} in pod["volumes"]
        assert container["image"] == pods["head"]["containers"][0]["image"]
        assert pod["securityContext"] == {"runAsNonRoot": True, "runAsUser": 1000, "fsGroup": 100}
        assert {"name": "RAY_USAGE_STATS_ENABLED", "value": "0"} in container["env"]
    settings = load("segment.yaml")
    for path in (settings["model"], settings["output"], *settings["scenes"]):
        assert Path(path).is_relative_to("/data")


def test_head_takes_no_work_and_the_workers_have_their_gpus() -> None:
    rayjob = load("rayjob.yaml")
    cluster = rayjob["spec"]["rayClusterSpec"]
    gpus = 0
    for group in cluster["workerGroupSpecs"]:
        limits = group["template"]["spec"]["containers"][0]["resources"]["limits"]
        gpus += group["replicas"] * int(limits.get("nvidia.com/gpu", 0))
    assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    assert rayjob["spec"]["shutdownAfterJobFinishes"] is True
    assert load("segment.yaml")["run"]["workers"] <= gpus


def test_nightly_runs_the_rayjob_once_at_a_time() -> None:
    cron = nightly()["CronJob"]["spec"]
    job = cron["jobTemplate"]["spec"]
    rayjob = load("rayjob.yaml")
    generated = {entry["name"]: entry["files"] for entry in load("kustomization.yaml")["configMapGenerator"]}
    pod = job["template"]["spec"]
    assert cron["concurrencyPolicy"] == "Forbid"
    assert cron["timeZone"]
    assert (job["backoffLimit"], pod["restartPolicy"]) == (0, "Never")
    assert generated[pod["volumes"][0]["configMap"]["name"]] == ["rayjob.yaml"]
    assert "name" not in rayjob["metadata"], "a fixed name cannot be created a second night"
    attempts = rayjob["spec"]["backoffLimit"] + 1
    assert attempts * rayjob["spec"]["activeDeadlineSeconds"] <= job["activeDeadlineSeconds"] < 24 * 3600


def test_nightly_may_do_what_its_script_does() -> None:
    documents = nightly()
    account = documents["CronJob"]["spec"]["jobTemplate"]["spec"]["template"]["spec"]["serviceAccountName"]
    assert documents["ServiceAccount"]["metadata"]["name"] == account
    assert [subject["name"] for subject in documents["RoleBinding"]["subjects"]] == [account]
    assert documents["RoleBinding"]["roleRef"]["name"] == documents["Role"]["metadata"]["name"]
    assert documents["Role"]["rules"] == [
        {"apiGroups": ["ray.io"], "resources": ["rayjobs"], "verbs": ["create", "get", "delete"]}
    ]


FAKE_KUBECTL = """#!/bin/sh
echo "$1" >> calls
case $1 in
  create) echo rayjob.ray.io/geoseg-x7k2p ;;
  get) line=$(head -n 1 states); sed -i 1d states; test "$line" != ERROR || exit 1; printf %s "$line" ;;
esac
"""


@pytest.mark.parametrize(
    ("states", "code", "calls"),
    [
        ([" ", "Initializing ", "Running RUNNING", "Complete SUCCEEDED"], 0, "create get get get get delete"),
        (["ERROR", "Running RUNNING", "ERROR", "Complete SUCCEEDED"], 0, "create get get get get delete"),
        (["Retrying FAILED", "Running RUNNING", "Failed FAILED"], 1, "create get get get"),
        (["Complete STOPPED"], 1, "create get"),
        (["ValidationFailed "], 1, "create get"),
    ],
)
def test_nightly_pod_lives_as_long_as_its_rayjob(tmp_path: Path, states: list[str], code: int, calls: str) -> None:
    (container,) = nightly()["CronJob"]["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    kubectl = tmp_path / "kubectl"
    kubectl.write_text(FAKE_KUBECTL)
    kubectl.chmod(0o755)
    (tmp_path / "states").write_text("".join(f"{state}\n" for state in states))
    done = subprocess.run(
        [*container["command"], *container["args"]],
        cwd=tmp_path,
        env={"PATH": f"{tmp_path}:/usr/bin:/bin", "POLL_S": "0"},
        timeout=30,
        check=False,
        capture_output=True,
    )
    assert (done.returncode, (tmp_path / "calls").read_text().split()) == (code, calls.split()), done.stderr


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
def test_kustomize_carries_the_rayjob_unchanged() -> None:
    built = subprocess.run(["kubectl", "kustomize", KUBERAY], check=True, capture_output=True, text=True, timeout=60)
    documents = list(yaml.safe_load_all(built.stdout))
    maps = {document["metadata"]["name"]: document["data"] for document in documents if document["kind"] == "ConfigMap"}
    assert yaml.safe_load(maps["geoseg-rayjob"]["rayjob.yaml"]) == load("rayjob.yaml")
    assert yaml.safe_load(maps["geoseg-settings"]["segment.yaml"]) == load("segment.yaml")
    assert [document["kind"] for document in documents if document["kind"] == "CronJob"] == ["CronJob"]
