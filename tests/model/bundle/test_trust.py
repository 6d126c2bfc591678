"""Artifacts that can run code need permission, pinned bundles their digest, wherever they are loaded."""

import json
import logging
import pickle
import zipfile
from pathlib import Path

import pytest
import torch

from geoseg.errors import SettingsError
from geoseg.model.bundle.bundle import CODE_BEARING, read_bundle
from geoseg.model.bundle.trust import read_trusted_bundle
from geoseg.model.inference import Inference
from geoseg.model.load import start_predictor
from geoseg.model.network import load_network
from tests.support.bundles import describe_model, unet_bundle
from tests.support.programs import with_code

CPU = torch.device("cpu")
BATCH = torch.randn(3, 4, 32, 32, generator=torch.Generator().manual_seed(1))


class Witness:
    """Pickled, it writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("artifact", CODE_BEARING)
def test_a_program_gives_the_output_of_the_network(tmp_path: Path, artifact: str) -> None:
    expected = load_network(read_bundle(unet_bundle(tmp_path / "eager")), CPU, 1)(BATCH)
    bundle = read_trusted_bundle(with_code(unet_bundle(tmp_path / "code"), artifact), trust_code=True)
    network = load_network(bundle, CPU, 1)
    assert network.fixed_batch is None
    first = network(BATCH)
    torch.testing.assert_close(first, expected, rtol=0, atol=1e-6)
    for _ in range(4):  # TorchScript optimises after its first calls
        assert torch.equal(network(BATCH), first)


@pytest.mark.parametrize("artifact", CODE_BEARING)
def test_a_program_passes_the_dry_run(tmp_path: Path, artifact: str) -> None:
    bundle = with_code(unet_bundle(tmp_path), artifact)
    assert start_predictor(read_trusted_bundle(bundle, trust_code=True), Inference("cpu", 32, 4)).task.batch_size in (
        1,
        4,
    )
    model = json.loads((bundle / "model.json").read_text())
    model["mlm:output"][0]["classification:classes"].pop()
    model["mlm:output"][0]["result"]["shape"][1] = 4
    (bundle / "model.json").write_text(json.dumps(model))
    with pytest.raises(SettingsError, match=r"returns shape \(4, 5, 32, 32\).* names 4 classes"):
        start_predictor(read_trusted_bundle(bundle, trust_code=True), Inference("cpu", 32, 4))


def test_a_batch_fixed_at_export_is_respected(tmp_path: Path) -> None:
    bundle = read_trusted_bundle(with_code(unet_bundle(tmp_path), "model.pt2", batch=2), trust_code=True)
    assert start_predictor(bundle, Inference("cpu", 32, 8)).task.batch_size == 2


@pytest.mark.parametrize("artifact", CODE_BEARING)
@pytest.mark.parametrize("damage", [b"", b"not a model", b"\x08" * 400])
def test_a_damaged_program_is_named(tmp_path: Path, artifact: str, damage: bytes) -> None:
    (with_code(unet_bundle(tmp_path), artifact) / artifact).write_bytes(damage)
    with pytest.raises(SettingsError, match=f"{artifact} cannot be loaded"):
        start_predictor(read_trusted_bundle(tmp_path, trust_code=True), Inference("cpu", 32))


def poisoned(folder: Path, artifact: str, witness: Path) -> Path:
    """A bundle whose artifact touches the witness when something unpickles it."""
    folder.mkdir()
    payload = pickle.dumps(Witness(witness))
    if artifact == "model.pt2":
        with_code(unet_bundle(folder), artifact)
        with zipfile.ZipFile(folder / artifact) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        inputs = next(name for name in members if "sample_inputs" in name)
        torch.save(Witness(witness), folder / "payload")
        members[inputs] = (folder / "payload").read_bytes()
        with zipfile.ZipFile(folder / artifact, "w", zipfile.ZIP_STORED) as archive:
            for name, content in members.items():
                archive.writestr(name, content)
        return folder
    (folder / "model.json").write_text(json.dumps(describe_model(4, 5, **{"geoseg:artifact": artifact})))
    (folder / artifact).write_bytes(payload)
    return folder


@pytest.mark.parametrize("artifact", ["weights.safetensors", "model.onnx", *CODE_BEARING])
def test_a_poisoned_artifact_runs_nothing(tmp_path: Path, artifact: str) -> None:
    witness = tmp_path / "witness"
    bundle = poisoned(tmp_path / "bundle", artifact, witness)
    with pytest.raises(SettingsError) as caught:
        start_predictor(read_bundle(bundle), Inference("cpu", 32))
    assert not witness.exists()
    assert str(bundle / artifact) in str(caught.value)


def test_the_poisoned_artifact_would_run_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With permission, the loader of torch.export runs the code that the test above prevents."""
    monkeypatch.setattr(logging, "raiseExceptions", False)  # torch warns of it with a broken format string
    witness = tmp_path / "witness"
    bundle = poisoned(tmp_path / "bundle", "model.pt2", witness)
    with pytest.raises(SettingsError, match=r"model\.pt2 cannot be loaded"):
        load_network(read_trusted_bundle(bundle, trust_code=True), CPU, 1)
    assert witness.exists()


@pytest.mark.parametrize("artifact", CODE_BEARING)
def test_code_is_refused_with_reason_and_remedy(tmp_path: Path, artifact: str) -> None:
    bundle = with_code(unet_bundle(tmp_path), artifact)
    for load in (lambda: read_trusted_bundle(bundle), lambda: load_network(read_bundle(bundle), CPU, 1)):
        with pytest.raises(SettingsError, match="can run code that the file holds") as caught:
            load()
        for word in (str(bundle / artifact), "--trust-model-code", "export the model to ONNX"):
            assert word in str(caught.value)


def test_a_pinned_bundle_is_the_only_one(tmp_path: Path) -> None:
    bundle = unet_bundle(tmp_path)
    digest = read_bundle(bundle).sha256
    assert read_trusted_bundle(bundle, sha256=digest).sha256 == digest
    with pytest.raises(SettingsError, match=r"Restore the bundle, or set model_sha256") as caught:
        read_trusted_bundle(bundle, sha256="0" * 64)
    assert digest in str(caught.value)
    assert "0" * 64 in str(caught.value)


def test_a_bundle_that_changes_after_it_was_read_is_not_loaded(tmp_path: Path) -> None:
    bundle = read_bundle(unet_bundle(tmp_path))
    unet_bundle(tmp_path, seed=1)
    with pytest.raises(SettingsError, match="has changed since the run began, or differs on this node"):
        load_network(bundle, CPU, 1)
