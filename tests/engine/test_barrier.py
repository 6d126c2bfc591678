"""Barriers against the definition: a barrier opens for a block once, when all blocks that it waits for have arrived."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geoseg.engine.barrier import Countdown, NeighbourBarrier
from geoseg.grid.neighbours import NEIGHBOUR_STEPS, SPILL_STEPS, blocks_at
from geoseg.grid.tiling import Lattice, Tiling

STEPS = [SPILL_STEPS, NEIGHBOUR_STEPS, ((0, 0), *NEIGHBOUR_STEPS)]


@given(st.integers(1, 6), st.integers(1, 6), st.sampled_from(STEPS), st.randoms(use_true_random=False))
def test_a_barrier_opens_once_when_all_blocks_that_it_waits_for_have_arrived(
    rows: int, cols: int, steps: tuple[tuple[int, int], ...], order: random.Random
) -> None:
    tiling = Tiling(Lattice.of((rows * 8, cols * 8), 10, 2), 8)
    barrier, places = NeighbourBarrier(tiling, steps), [(row, col) for row in range(rows) for col in range(cols)]
    needs = {p: {(p[0] + down, p[1] + right) for down, right in steps} & set(places) for p in places}
    passed: list[tuple[int, int]] = []
    for place in places:
        barrier.when_open(lambda place=place: passed.append(place), tiling.block(*place))
    assert passed == [place for place in places if not needs[place]]
    order.shuffle(places)
    arrived = set()
    for place in places:
        arrived.add(place)
        barrier.arrive(tiling.block(*place))
        assert sorted(passed) == sorted(p for p in places if needs[p] <= arrived)
    barrier.when_open(lambda: passed.append((-1, -1)), tiling.block(0, 0))
    assert passed[-1] == (-1, -1), "an open barrier wakes immediately"


def test_a_countdown_opens_once_all_have_arrived() -> None:
    countdown, passed = Countdown(2), list[str]()
    countdown.when_open(lambda: passed.append("early"))
    countdown.arrive()
    assert not countdown.is_open
    countdown.arrive()
    countdown.when_open(lambda: passed.append("late"))
    assert passed == ["early", "late"]


def test_waiting_flows_are_dropped_when_a_scene_ends() -> None:
    tiling = Tiling(Lattice.of((16, 16), 10, 2), 8)
    barrier, countdown = NeighbourBarrier(tiling, [(0, 0)]), Countdown(1)
    for held in (barrier, countdown):
        held.when_open(lambda: pytest.fail("it was forgotten"), tiling.block(0, 0))
        held.clear()
    barrier.arrive(tiling.block(0, 0))
    countdown.arrive()


def test_neighbours_end_where_the_scene_does() -> None:
    tiling = Tiling(Lattice.of((20, 30), 12, 2), 10)
    corner = blocks_at(tiling, tiling.block(0, 2), NEIGHBOUR_STEPS)
    places = {step: (block.row, block.col) for step, block in corner.items()}
    assert places == {(0, -1): (0, 1), (1, -1): (1, 1), (1, 0): (1, 2)}
    assert {step: block.name for step, block in blocks_at(tiling, tiling.block(1, 0), SPILL_STEPS).items()} == {
        (-1, 0): "r0000c0000"
    }
