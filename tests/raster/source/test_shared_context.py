"""Changes of process-wide state that threads share."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from geoseg.raster.source.shared_context import SharedContext


@contextmanager
def counting(state: list[int]) -> Iterator[None]:
    state.append(state[-1] + 1)
    try:
        yield
    finally:
        state.append(state[-1] - 1)


def test_the_first_applies_and_the_last_reverts_the_change() -> None:
    state = [0]
    change = SharedContext(lambda: counting(state))
    with change:
        with change:
            assert state == [0, 1]
        assert state == [0, 1]
    assert state == [0, 1, 0]
    with pytest.raises(ValueError, match="as it is"), change:
        raise ValueError("as it is")
    assert state == [0, 1, 0, 1, 0]


def test_the_change_stays_applied_while_any_thread_is_inside() -> None:
    state, lost, together = [0], list[int](), threading.Barrier(8)
    change = SharedContext(lambda: counting(state))

    def work() -> None:
        together.wait()
        for _ in range(500):
            with change:
                if state[-1] != 1:
                    lost.append(state[-1])

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert lost == []
    assert state[-1] == 0
