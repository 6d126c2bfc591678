"""Two nodes share the work, most blocks stay on one of them, and the results are those of one process."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest
import ray

from geoseg.config import FAULT_VARIABLE
from geoseg.grid.tiling import Block
from geoseg.run.report import Report
from tests.support.nodes import cluster_of
from tests.support.scenes import digests, run

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(600)]

SCENE_PX = 500, 640
TILING = {"block_px": 48}
CHAIN = ("read", "predict", "finish")


class Diary:
    """Records which node ran which unit."""

    def __init__(self, folder: Path) -> None:
        self._files = [folder / "head", folder / "other"]

    def nodes(self, **offer: int) -> list[dict[str, object]]:
        """Arguments of two nodes that write the records."""
        return [{**offer, "env_vars": {FAULT_VARIABLE: f"*:end:r*:*:note={file}"}} for file in self._files]

    def places(self) -> dict[str, dict[str, str]]:
        """The node, by stage and block."""
        found: dict[str, dict[str, str]] = {stage: {} for stage in CHAIN}
        for file in self._files:
            for line in file.read_text().splitlines():
                stage, _, block, _ = line.split(":")
                found.setdefault(stage, {})[block] = file.name
        return found


def check(report: Report, output: Path, reference: dict[str, str], diary: Diary) -> None:
    """Both nodes predicted, most blocks stayed where it was read, and the bytes are those of one process."""
    assert report.exit_code == 0, report.failed
    assert report.workers == 2
    assert report.retries == 0
    assert digests(output) == reference
    places = diary.places()
    predicted = Counter(places["predict"].values())
    assert min(predicted["head"], predicted["other"]) >= predicted.total() / 4, predicted
    stayed = sum(len({places[stage][block] for stage in CHAIN}) == 1 for block in places["predict"])
    assert stayed >= 0.75 * predicted.total(), places


def test_nodes_share_the_work_and_blocks_stay(
    inputs: tuple[Path, Path], reference: dict[str, str], tmp_path: Path
) -> None:
    diary = Diary(tmp_path)
    with cluster_of(*diary.nodes(num_cpus=1)) as cluster:
        report = run(*inputs, tmp_path / "out", run={"address": cluster.address}, tiling=TILING)
    check(report, tmp_path / "out", reference, diary)


def test_every_gpu_gets_one_process(inputs: tuple[Path, Path], reference: dict[str, str], tmp_path: Path) -> None:
    diary = Diary(tmp_path)
    free: list[float] = []

    def look(blocks: Iterable[Block]) -> Iterable[Block]:
        free.append(ray.available_resources().get("GPU", 0.0))
        return blocks

    with cluster_of(*diary.nodes(num_cpus=2, num_gpus=1)) as cluster:
        pretend = {"worker_process_setup_hook": "tests.support.gpus.pretend"}
        ray.init(cluster.address, runtime_env=pretend, log_to_driver=False)
        report = run(*inputs, tmp_path / "out", order=look, run={"address": cluster.address}, tiling=TILING)
    assert report.device == "cuda"
    assert free == [0.0]
    check(report, tmp_path / "out", reference, diary)
