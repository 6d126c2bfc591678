"""SIGINT and SIGTERM ask a run to stop; it does so between two units of work, and can be resumed."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from geoseg.errors import Interrupted


class Stop:
    """Whether the run was told to stop."""

    def __init__(self) -> None:
        self._signum: int | None = None

    def note(self, signum: int, frame: FrameType | None) -> None:  # noqa: ARG002
        """Handle a signal. The second one ends the process at once."""
        if self._signum is not None:
            raise KeyboardInterrupt
        self._signum = signum

    def check(self) -> None:
        """Go on, or raise.

        Raises:
            Interrupted: If the run was told to stop.
        """
        if self._signum is not None:
            name = signal.Signals(self._signum).name
            raise Interrupted(f"{name}. What is done is kept: the same command goes on from there.", self._signum)


@contextmanager
def stop_on_signals() -> Iterator[Stop]:
    """Take note of SIGINT and SIGTERM instead of dying of them; in the main thread, where signals arrive."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {signum: signal.signal(signum, stop.note) for signum in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


@contextmanager
def end_on_signals(left: str) -> Iterator[None]:
    """Let SIGINT and SIGTERM raise `Interrupted` where the main thread is, so that what was begun is cleaned up.

    Args:
        left: A sentence on what the user finds then.
    """
    caught: list[Interrupted] = []

    def end(signum: int, frame: FrameType | None) -> None:  # noqa: ARG001
        if caught:
            raise KeyboardInterrupt
        caught.append(Interrupted(f"{signal.Signals(signum).name}. {left}", signum))
        raise caught[0]

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {signum: signal.signal(signum, end) for signum in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    except Exception as error:
        if caught and error is not caught[0]:  # a library took it for a failure of its own
            raise caught[0] from error
        raise
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


@contextmanager
def keep_sigterm() -> Iterator[None]:
    """Put the handler back that Ray replaces as it starts: with Ray's the process ends without a word, or crashes."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)
