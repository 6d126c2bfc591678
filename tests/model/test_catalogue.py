"""`geoseg models list`: all networks, their true numbers of parameters, and a speed."""

import json
import sys

import pytest
from typer.testing import CliRunner

from geoseg.cli import app
from geoseg.errors import SettingsError
from geoseg.model.zoo.architectures import ARCHITECTURES, build


def printed(*words: str) -> str:
    result = CliRunner().invoke(app, ["models", "list", *words])
    if result.exception is not None:
        raise result.exception
    return result.stdout


def test_all_networks_without_the_packages_of_the_zoo(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("segmentation_models_pytorch", "timm"):
        monkeypatch.setitem(sys.modules, name, None)  # as if it were not installed
    entries = {one["name"]: one for one in json.loads(printed("--json"))["architectures"]}
    assert list(entries) == list(ARCHITECTURES)
    network = build("fcn8s", {"in_channels": 4, "classes": 8})
    assert entries["fcn8s"]["parameters"] == sum(tensor.numel() for tensor in network.parameters())
    for name, architecture in ARCHITECTURES.items():
        assert entries[name]["size_multiple"] == architecture.size_multiple
        assert entries[name]["paper"] == architecture.paper
        assert (entries[name]["parameters"] is None) == architecture.needs_extra
        assert entries[name]["px_per_s"] is None
    table = printed()
    assert "not installed" in table
    assert "pip install 'geoseg[zoo]'" in table


def test_speed_of_some() -> None:
    document = json.loads(printed("lenet", "unet", "--measure", "--json"))
    assert [one["name"] for one in document["architectures"]] == ["lenet", "unet"]
    assert all(one["px_per_s"] > 0 for one in document["architectures"])
    assert "batches of 1, patches of 256 px" in document["conditions"]
    assert "px/s" in printed("lenet", "--measure")


@pytest.mark.slow
def test_the_packages_of_the_zoo() -> None:
    pytest.importorskip("timm", reason="needs geoseg[zoo]")
    entries = json.loads(printed("--measure", "--json"))["architectures"]
    assert all(one["parameters"] > 0 and one["px_per_s"] > 0 for one in entries)


def test_an_unknown_name() -> None:
    with pytest.raises(SettingsError, match="transunet is no architecture of geoseg; there are unet"):
        printed("transunet")
