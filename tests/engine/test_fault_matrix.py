"""Promise 4, point by point: a run breaks at a hook point, and the same command goes on."""

from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest
import ray

from geoseg.config import FAULT_VARIABLE
from tests.support.fault_matrix import ACTIONS, EXECUTORS, POINTS, Bench, Cell
from tests.support.scenes import digests, run, textured, write_scene

SAMPLE = [
    Cell("predict end", "raise", "inline"),
    Cell("put a block's record", "enospc", "inline"),
    Cell("relabel start", "enospc", "inline"),
    Cell("smooth end", "kill", "inline"),
    Cell("commit middle", "raise", "inline"),
    Cell("commit cleared", "hang", "inline"),
    Cell("trace end", "hang", "inline"),
    Cell("finish end", "kill", "inline"),
    Cell("commit middle", "kill", "inline"),
    Cell("predict start", "hang", "threads"),
    Cell("finish end", "raise", "threads"),
    Cell("publish the polygons", "enospc", "threads"),
    Cell("put a block's pixels", "kill", "threads"),
    Cell("trace start", "hang", "ray"),
    Cell("put the journal", "enospc", "ray"),
]
REST = [cell for names in product(POINTS, ACTIONS, EXECUTORS) if (cell := Cell(*names)) not in SAMPLE]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench.of(tmp_path_factory.mktemp("bench"))


def name(cell: Cell) -> str:
    return f"{cell.executor} {cell.point} {cell.action}"


def of(cells: list[Cell], *executors: str) -> list[Cell]:
    return [cell for cell in cells if cell.executor in executors]


@pytest.mark.parametrize("cell", of(SAMPLE, "inline", "threads"), ids=name)
def test_a_sample_inline(bench: Bench, tmp_path: Path, cell: Cell) -> None:
    assert bench.play(cell, tmp_path / "out").complaints == []


@pytest.mark.ray
@pytest.mark.usefixtures("local_ray")
@pytest.mark.parametrize("cell", of(SAMPLE, "ray"), ids=name)
def test_a_sample_on_ray(bench: Bench, tmp_path: Path, cell: Cell) -> None:
    assert bench.play(cell, tmp_path / "out").complaints == []


@pytest.mark.slow
@pytest.mark.parametrize("cell", of(REST, "inline", "threads"), ids=name)
def test_every_point_inline(bench: Bench, tmp_path: Path, cell: Cell) -> None:
    assert bench.play(cell, tmp_path / "out").complaints == []


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.usefixtures("local_ray")
@pytest.mark.parametrize("cell", of(REST, "ray"), ids=name)
def test_every_point_on_ray(bench: Bench, tmp_path: Path, cell: Cell) -> None:
    assert bench.play(cell, tmp_path / "out").complaints == []


SLOWER = [pytest.param(name, marks=pytest.mark.slow) for name in ("read start", "publish start", "commit middle")]


@pytest.mark.ray
@pytest.mark.usefixtures("local_ray")
@pytest.mark.parametrize("point", ["predict start", *SLOWER])
def test_a_unit_that_kills_every_process_fails_its_scene_with_a_remedy(
    bench: Bench, tmp_path: Path, point: str
) -> None:
    played = bench.play(Cell(point, "kill", "ray", attempt="*"), tmp_path / "out")
    assert played.complaints == []
    assert "a unit of work was lost 4 times, the last time because" in played.error
    assert "set tiling.block_px or run.workers lower. Then run the same command again." in played.error


@pytest.fixture
def one_cpu() -> Iterator[None]:
    """A Ray with room for one process that predicts and one that does the rest."""
    ray.shutdown()
    ray.init("local", num_cpus=1, include_dashboard=False, _node_ip_address="127.0.0.1", log_to_driver=False)
    yield
    ray.shutdown()


@pytest.mark.ray
@pytest.mark.usefixtures("one_cpu")
def test_no_scene_is_forgotten_while_the_only_process_is_replaced(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenes = [write_scene(tmp_path / f"{name}.tif", textured(60, 60), nodata=0) for name in ("a", "b")]
    run(scenes, bench.model, tmp_path / "whole")
    monkeypatch.setenv(FAULT_VARIABLE, "commit:start:a:*:enospc")
    run(scenes[0], bench.model, tmp_path / "out")
    monkeypatch.setenv(FAULT_VARIABLE, "commit:start:a:*:kill,commit:start:b:1:kill")
    report = run(scenes, bench.model, tmp_path / "out", run={"workers": 1})
    assert [scene["scene_id"] for scene in report.failed] == ["a"]
    assert [scene["scene_id"] for scene in report.done] == ["b"]
    assert report.retries == 3 + 1
    monkeypatch.delenv(FAULT_VARIABLE)
    again = run(scenes, bench.model, tmp_path / "out")
    assert again.patches == 0
    assert digests(tmp_path / "out") == digests(tmp_path / "whole")
