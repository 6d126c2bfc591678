"""Handling of SIGINT and SIGTERM: a run stops between two units of work and can be resumed."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from geoseg.errors import Interrupted


class Stop:
    """Remembers the first signal that arrives."""

    def __init__(self) -> None:
        self._signum: int | None = None

    def record(self, signum: int, frame: FrameType | None) -> None:  # noqa: ARG002
        """Handle a signal. The second one ends the process at once."""
        if self._signum is not None:
            raise KeyboardInterrupt
        self._signum = signum

    def check(self) -> None:
        """Raise if a signal was received.

        Raises:
            Interrupted: With the name of the signal.
        """
        if self._signum is not None:
            name = signal.Signals(self._signum).name
            raise Interrupted(f"{name}. What is done is kept: the same command goes on from there.", self._signum)


@contextmanager
def stop_on_signals() -> Iterator[Stop]:
    """Record SIGINT and SIGTERM instead of ending the process; only in the main thread, where signals arrive."""
    stop = Stop()
    with _handled_by(stop.record):
        yield stop


@contextmanager
def end_on_signals(left: str) -> Iterator[None]:
    """Let SIGINT and SIGTERM raise `Interrupted` in the main thread, so that unfinished files are removed.

    Args:
        left: A sentence on the state that the user finds.
    """
    caught: list[Interrupted] = []

    def end(signum: int, frame: FrameType | None) -> None:  # noqa: ARG001
        if caught:
            raise KeyboardInterrupt
        caught.append(Interrupted(f"{signal.Signals(signum).name}. {left}", signum))
        raise caught[0]

    try:
        with _handled_by(end):
            yield
    except Exception as error:
        if caught and error is not caught[0]:  # a library has converted it to an error of its own
            raise caught[0] from error
        raise


@contextmanager
def _handled_by(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Handle SIGINT and SIGTERM; without effect in another thread than the main one."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {signum: signal.signal(signum, handler) for signum in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for signum, former in before.items():
            signal.signal(signum, former)


@contextmanager
def keep_sigterm() -> Iterator[None]:
    """Restore the SIGTERM handler that Ray replaces at its start: Ray's ends the process silently, or crashes."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)
