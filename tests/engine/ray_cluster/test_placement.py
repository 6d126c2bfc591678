"""Which worker gets a unit, on one node and on several, of which some have no predictor."""

from collections import Counter

import pytest

from geoseg.engine.ray_cluster.placement import BLOCKS_PER_PREDICTOR, Placement
from geoseg.engine.ray_cluster.worker_pool import CPU_WORKER, PREDICTOR, Assignment, Worker
from geoseg.stages.stage import FINISH, PREDICT, PUBLISH_POLYGONS, READ, TRACE, Stage

MOST = 4


def placed(*nodes: tuple[int, int]) -> tuple[Placement, dict[str, list[Worker]]]:
    """Nodes n0, n1 ... with so many predictors and CPU workers; and all workers by node and kind: "n0 predictor"."""
    found, workers = Placement(), dict[str, list[Worker]]()
    for number, counts in enumerate(nodes):
        for kind, count in zip((PREDICTOR, CPU_WORKER), counts, strict=True):
            members = [Worker(kind, f"n{number}", None, None, 0.0) for _ in range(count)]
            workers[f"n{number} {kind}"] = members
            for member in members:
                found.join(member)
    return found, workers


def give(worker: Worker | None, stage: Stage, times: int = 1) -> None:
    assert worker is not None
    worker.assignments += [Assignment(object(), stage, 1.0, 0.0)] * times


def where(worker: Worker | None) -> str | None:
    return None if worker is None else worker.node_id


def test_blocks_are_read_where_the_predictors_have_least_to_do() -> None:
    placement, _ = placed((1, 9), (2, 9), (1, 9))
    seen = []
    for _ in range(8):
        worker = placement.choose(READ, None, MOST)
        give(worker, READ)
        seen.append(where(worker))
    assert Counter(seen) == {"n0": 2, "n1": 4, "n2": 2}
    assert sorted(seen[:3]) == ["n0", "n1", "n2"]


def test_no_node_reads_more_than_its_predictors_may_have() -> None:
    placement, _ = placed((1, 9))
    for _ in range(MOST):
        give(placement.choose(READ, None, MOST), READ)
    assert placement.choose(READ, None, MOST) is None


def test_a_block_is_read_elsewhere_rather_than_leave_predictors_without_work() -> None:
    placement, workers = placed((1, 1), (1, 1), (0, 1))
    give(workers["n0 cpu worker"][0], TRACE)
    give(workers["n1 predictor"][0], PREDICT, MOST)
    worker = placement.choose(READ, None, MOST)
    assert where(worker) == "n1", "a node that has predictors comes first"
    give(worker, READ)
    assert where(placement.choose(READ, None, MOST)) == "n2"
    give(workers["n0 predictor"][0], PREDICT, MOST)
    assert placement.choose(READ, None, MOST) is None, "all predictors have enough"


def test_a_block_is_predicted_where_it_was_read() -> None:
    placement, workers = placed((2, 1), (2, 1))
    for _ in range(2 * BLOCKS_PER_PREDICTOR):
        worker = placement.choose(PREDICT, "n1", MOST)
        give(worker, PREDICT)
        assert where(worker) == "n1"
    assert {len(worker.assignments) for worker in workers["n1 predictor"]} == {BLOCKS_PER_PREDICTOR}
    assert where(placement.choose(PREDICT, "n1", MOST)) == "n0", "its predictors are full while another idles"
    for worker in workers["n0 predictor"]:
        give(worker, PREDICT)
    assert placement.choose(PREDICT, "n1", MOST) is None, "none idles"


@pytest.mark.parametrize("home", ["n1", "gone"])
def test_pixels_of_a_node_without_a_predictor_go_to_any_with_room(home: str) -> None:
    placement, workers = placed((1, 1), (0, 1))
    give(workers["n0 predictor"][0], PREDICT)
    assert where(placement.choose(PREDICT, home, MOST)) == "n0"
    give(workers["n0 predictor"][0], PREDICT)
    assert placement.choose(PREDICT, home, MOST) is None


def test_a_block_is_finished_where_its_scores_lie() -> None:
    placement, workers = placed((1, 2), (1, 1))
    for _ in range(2):
        worker = placement.choose(FINISH, "n0", MOST)
        give(worker, FINISH)
        assert where(worker) == "n0"
    assert placement.choose(FINISH, "n0", MOST) is None
    for worker in workers["n0 cpu worker"]:
        worker.assignments = []
        give(worker, PUBLISH_POLYGONS)
    assert where(placement.choose(FINISH, "n0", MOST)) == "n1", "a scene may take an hour"


def test_other_work_goes_where_cpu_workers_are_free_and_no_predictor_needs_them() -> None:
    placement, _ = placed((1, 3), (0, 1), (1, 2))
    seen = []
    for _ in range(6):
        worker = placement.choose(TRACE, None, MOST)
        give(worker, TRACE)
        seen.append(where(worker))
    assert seen[:2] == ["n1", "n0"]
    assert Counter(seen) == {"n0": 3, "n1": 1, "n2": 2}
    assert placement.choose(TRACE, None, MOST) is None
    assert not placement.has_idle_cpu_worker()


def test_a_removed_worker_gets_no_unit() -> None:
    placement, workers = placed((1, 1))
    placement.leave(workers["n0 predictor"][0])
    placement.leave(workers["n0 predictor"][0])
    assert placement.choose(PREDICT, "n0", MOST) is None
    assert placement.choose(READ, None, MOST) is None, "nobody needs pixels"
