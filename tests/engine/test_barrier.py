import random

from hypothesis import given
from hypothesis import strategies as st

from geoseg.engine.barrier import NeighbourBarrier
from geoseg.grid.neighbours import AROUND, BEFORE, blocks_at, steps_inside
from geoseg.grid.tiling import Lattice, Tiling

STEPS = [BEFORE, AROUND, ((0, 0), *AROUND)]


@given(st.integers(1, 6), st.integers(1, 6), st.sampled_from(STEPS), st.randoms(use_true_random=False))
def test_a_block_is_let_through_once_when_all_it_waits_for_are_there(
    rows: int, cols: int, steps: tuple[tuple[int, int], ...], order: random.Random
) -> None:
    tiling = Tiling(Lattice.of((rows * 8, cols * 8), 10, 2), 8)
    gate, places = NeighbourBarrier(tiling, steps), [(row, col) for row in range(rows) for col in range(cols)]
    needs = {p: {(p[0] + down, p[1] + right) for down, right in steps} & set(places) for p in places}
    free = [place for place in places if not needs[place]]
    assert all(gate.is_open(place) for place in free)
    order.shuffle(places)
    arrived, gone = set(), []
    for place in places:
        arrived.add(place)
        for through in gate.arrive(place):
            assert needs[through] <= arrived
            gone.append(through)
        assert all(gate.is_open(p) == (needs[p] <= arrived) for p in places)
    assert sorted(gone) == sorted(set(places) - set(free))


def test_neighbours_end_where_the_scene_does() -> None:
    tiling = Tiling(Lattice.of((20, 30), 12, 2), 10)
    assert steps_inside(tiling, (0, 2), AROUND) == {(0, -1): (0, 1), (1, -1): (1, 1), (1, 0): (1, 2)}
    assert {step: block.name for step, block in blocks_at(tiling, tiling.block(1, 0), BEFORE).items()} == {
        (-1, 0): "r0000c0000"
    }
