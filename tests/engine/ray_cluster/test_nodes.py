from typing import Any

import pytest

from geoseg.engine.ray_cluster.nodes import Node, alive_nodes, node_info, require_resources, validate_nodes
from geoseg.errors import SettingsError
from geoseg.model.hardware import Hardware
from geoseg.store.lock import Lock
from geoseg.store.storages.opening import open_storage

SMALL = Node("a", "alpha (10.0.0.1:1)", cpus=2, gpus=0)
LARGE = Node("b", "beta (10.0.0.2:1)", cpus=8, gpus=2)


@pytest.mark.parametrize(("device", "workers", "threads"), [("cpu", 10, 1), ("cpu", 2, 4), ("cuda", 2, 1)])
def test_a_run_that_fits_is_accepted(device: str, workers: int, threads: int) -> None:
    require_resources([SMALL, LARGE], device, workers, threads)


@pytest.mark.parametrize(
    ("nodes", "device", "workers", "threads", "message"),
    [
        (
            [SMALL],
            "cuda",
            1,
            1,
            r"each worker needs a GPU, and only 0 fit .*alpha \(10\.0\.0\.1:1\) with 2 CPUs and 0 GPUs",
        ),
        ([SMALL, LARGE], "cuda", 3, 1, "run.workers=3 .* only 2 fit .*alpha.*beta.* Add GPU nodes"),
        ([SMALL, LARGE], "cpu", 11, 1, "run.workers=11 .* only 10 fit"),
        ([SMALL], "cpu", 1, 4, "each worker needs 4 CPUs on one node, and only 0 fit .* run.threads lower"),
        ([], "cpu", 1, 1, "no node with a CPU"),
    ],
)
def test_what_cannot_fit_is_refused_with_what_each_node_offers(
    nodes: list[Node], device: str, workers: int, threads: int, message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        require_resources(nodes, device, workers, threads)


def answer(**software: str) -> dict[str, Any]:
    return {"software": {"geoseg": "0.1.0", "torch": "2.13.0", **software}, "unseen": []}


def test_equal_nodes_are_accepted() -> None:
    validate_nodes(answer(), {"alpha": answer(), "beta": answer()})


def test_every_node_that_lacks_something_is_named_with_what_it_lacks() -> None:
    answers = {
        "alpha": answer(),
        "beta": answer(torch="2.12.0"),
        "gamma": {**answer(), "unseen": ["/data/a.tif"]},
        "delta": "gave no answer within run.start_timeout_s=5 s",
    }
    with pytest.raises(SettingsError) as caught:
        validate_nodes(answer(), answers)
    for words in (
        "node beta has torch 2.12.0, the driver has 2.13.0",
        "node gamma does not see /data/a.tif",
        "node delta gave no answer",
    ):
        assert words in str(caught.value)
    assert "alpha" not in str(caught.value)


def test_a_node_that_joins_must_compute_like_those_that_the_run_began_with() -> None:
    kinds = Hardware("cpu", "x86_64 avx2; x86_64 avx2 amx_bf16", bf16=False)
    alike, other = (Hardware("cpu", name, bf16=True) for name in ("x86_64 avx2 amx_bf16", "aarch64"))
    validate_nodes(answer(), {"alpha": {**answer(), "hardware": alike}}, kinds)
    validate_nodes(answer(), {"alpha": {**answer(), "hardware": None}}, kinds)  # it only reads and finishes
    with pytest.raises(SettingsError, match="node beta has aarch64, the run began with x86_64 avx2; x86_64 avx2 amx"):
        validate_nodes(answer(), {"beta": {**answer(), "hardware": other}}, kinds)


def test_nodes_that_are_dead_or_take_no_work_do_not_count() -> None:
    listed = [
        {
            "NodeID": name,
            "Alive": name != "dead",
            "NodeManagerHostname": name,
            "NodeManagerAddress": "10.0.0.1",
            "NodeManagerPort": 1,
            "Resources": {} if name == "head" else {"CPU": 2.0},
        }
        for name in ("head", "dead", "worker")
    ]
    assert alive_nodes(listed) == [Node("worker", "worker (10.0.0.1:1)", cpus=2, gpus=0)]


def test_what_the_driver_does_not_see_either_is_not_the_nodes_fault() -> None:
    away = {**answer(), "unseen": ["/vsis3/bucket/a.tif"]}
    validate_nodes(away, {"alpha": away})


def test_a_node_describes_its_software_and_files(tmp_path: Any) -> None:
    files = [str(tmp_path), str(tmp_path / "absent.tif")]
    assert node_info(files, str(tmp_path))["unseen"] == [files[1], str(tmp_path)], "a folder without the run's lock"
    with Lock(open_storage(str(tmp_path)), "run"):
        own = node_info(files, str(tmp_path))
    assert own["unseen"] == [files[1]]
    assert own["software"]["torch"].startswith("2.")
    assert own["software"]["geoseg"] != "missing"
