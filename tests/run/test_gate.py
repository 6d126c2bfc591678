import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geoseg.run.gate import AROUND, BEFORE, Gate


@given(st.integers(1, 6), st.integers(1, 6), st.sampled_from([AROUND, BEFORE]), st.randoms(use_true_random=False))
def test_a_block_goes_once_all_it_needs_are_there(
    rows: int, cols: int, steps: tuple[tuple[int, int], ...], order: random.Random
) -> None:
    gate: Gate[str] = Gate(rows, cols, steps)
    places = [(r, c) for r in range(rows) for c in range(cols)]
    order.shuffle(places)
    arrived, gone = set(), []
    for place in places:
        arrived.add(place)
        for let_through, own, around in gate.arrive(place, f"value of {place}"):
            needed = {(s, (let_through[0] + s[0], let_through[1] + s[1])) for s in steps}
            inside = {(s, p) for s, p in needed if p in set(places)}
            assert {p for _, p in inside} | {let_through} <= arrived
            assert own == f"value of {let_through}"
            assert around == {s: f"value of {p}" for s, p in inside}
            gone.append(let_through)
    assert sorted(gone) == sorted(places)
    assert not gate._values, "every value was let go of"


@pytest.mark.parametrize("width", [3, 50])
def test_in_raster_order_about_two_rows_are_held(width: int) -> None:
    gate: Gate[int] = Gate(20, width, AROUND)
    most = 0
    for row in range(20):
        for col in range(width):
            list(gate.arrive((row, col), 0))
            most = max(most, len(gate._values))
    assert most <= 2 * width + 3
