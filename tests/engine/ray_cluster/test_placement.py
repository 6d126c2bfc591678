"""Which process gets a unit: on one node, on several, and where some have nothing to offer."""

from collections import Counter

import pytest

from geoseg.engine.ray_cluster.placement import BLOCKS_PER_MODEL, Placement
from geoseg.engine.ray_cluster.worker_pool import CPU_WORKER, PREDICTOR, Job, Worker
from geoseg.stages.outputs import publish_polygons
from geoseg.stages.scoring import finish_block, predict_block, read_block
from geoseg.stages.tracing import trace_polygons

MOST = 4


def teams(*nodes: tuple[int, int]) -> tuple[Placement, dict[str, list[Worker]]]:
    """Nodes n0, n1 ... with so many models and hands; the teams, and all workers by node and kind: "n0 model"."""
    found, workers = Placement(), dict[str, list[Worker]]()
    for number, counts in enumerate(nodes):
        for kind, count in zip((PREDICTOR, CPU_WORKER), counts, strict=True):
            members = [Worker(kind, f"n{number}", None, None, 0.0) for _ in range(count)]
            workers[f"n{number} {kind}"] = members
            for member in members:
                found.join(member)
    return found, workers


def give(worker: Worker | None, stage: object, times: int = 1) -> None:
    assert worker is not None
    worker.jobs += [Job(object(), stage, 1.0, 0.0)] * times


def where(worker: Worker | None) -> str | None:
    return None if worker is None else worker.node_id


def test_blocks_are_read_where_the_models_have_least_to_do() -> None:
    crew, _ = teams((1, 9), (2, 9), (1, 9))
    seen = []
    for _ in range(8):
        worker = crew.choose(read_block, None, MOST)
        give(worker, read_block)
        seen.append(where(worker))
    assert Counter(seen) == {"n0": 2, "n1": 4, "n2": 2}
    assert sorted(seen[:3]) == ["n0", "n1", "n2"]


def test_no_node_reads_more_than_its_models_may_have() -> None:
    crew, _ = teams((1, 9))
    for _ in range(MOST):
        give(crew.choose(read_block, None, MOST), read_block)
    assert crew.choose(read_block, None, MOST) is None


def test_a_busy_hand_is_waited_for_rather_than_read_elsewhere() -> None:
    crew, workers = teams((1, 1), (1, 1))
    give(workers["n0 hand"][0], trace_polygons)
    give(workers["n1 model"][0], predict_block, MOST)
    assert crew.choose(read_block, None, MOST) is None


@pytest.mark.parametrize(("held_by", "reader"), [(trace_polygons, None), (publish_polygons, "n1")])
def test_a_hand_that_is_busy_with_a_scene_is_not_waited_for(held_by: object, reader: str | None) -> None:
    crew, workers = teams((1, 1), (1, 1))
    give(workers["n0 hand"][0], held_by)
    give(workers["n1 model"][0], predict_block, MOST)
    assert where(crew.choose(read_block, None, MOST)) == reader


def test_a_node_without_a_model_helps_models_that_would_go_without() -> None:
    crew, workers = teams((1, 1), (0, 1))
    give(workers["n0 hand"][0], trace_polygons)
    assert where(crew.choose(read_block, None, MOST)) == "n1"
    give(workers["n0 model"][0], predict_block, BLOCKS_PER_MODEL)
    assert crew.choose(read_block, None, MOST) is None


def test_a_block_is_predicted_where_it_was_read() -> None:
    crew, workers = teams((2, 1), (2, 1))
    for _ in range(2 * BLOCKS_PER_MODEL):
        worker = crew.choose(predict_block, "n1", MOST)
        give(worker, predict_block)
        assert where(worker) == "n1"
    assert {len(worker.jobs) for worker in workers["n1 model"]} == {BLOCKS_PER_MODEL}
    assert where(crew.choose(predict_block, "n1", MOST)) == "n0", "its models are full while another idles"
    for worker in workers["n0 model"]:
        give(worker, predict_block)
    assert crew.choose(predict_block, "n1", MOST) is None, "none idles"


@pytest.mark.parametrize("home", ["n1", "gone"])
def test_pixels_of_a_node_without_a_model_go_to_whoever_has_room(home: str) -> None:
    crew, workers = teams((1, 1), (0, 1))
    give(workers["n0 model"][0], predict_block)
    assert where(crew.choose(predict_block, home, MOST)) == "n0"
    give(workers["n0 model"][0], predict_block)
    assert crew.choose(predict_block, home, MOST) is None


def test_a_block_is_finished_where_its_scores_lie() -> None:
    crew, workers = teams((1, 2), (1, 1))
    for _ in range(2):
        worker = crew.choose(finish_block, "n0", MOST)
        give(worker, finish_block)
        assert where(worker) == "n0"
    assert crew.choose(finish_block, "n0", MOST) is None
    for worker in workers["n0 hand"]:
        worker.jobs = []
        give(worker, publish_polygons)
    assert where(crew.choose(finish_block, "n0", MOST)) == "n1", "a scene may take an hour"


def test_other_work_goes_where_hands_are_free_and_no_model_needs_them() -> None:
    crew, _ = teams((1, 3), (0, 1), (1, 2))
    seen = []
    for _ in range(6):
        worker = crew.choose(trace_polygons, None, MOST)
        give(worker, trace_polygons)
        seen.append(where(worker))
    assert seen[:2] == ["n1", "n0"]
    assert Counter(seen) == {"n0": 3, "n1": 1, "n2": 2}
    assert crew.choose(trace_polygons, None, MOST) is None
    assert not crew.has_idle_cpu_worker()


def test_a_process_that_left_gets_nothing() -> None:
    crew, workers = teams((1, 1))
    crew.leave(workers["n0 model"][0])
    crew.leave(workers["n0 model"][0])
    assert crew.choose(predict_block, "n0", MOST) is None
    assert crew.choose(read_block, None, MOST) is None, "nobody needs pixels"
