"""A change to process-wide state that several threads share."""

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from threading import Lock


class SharedContext:
    """Reentrant context manager for process-wide state: the first thread applies the change, the last one reverts it.

    Warning filters and hooks of Python belong to the process. If each thread saved and restored them by itself, one
    thread would restore the changed state of another.
    """

    def __init__(self, change: Callable[[], AbstractContextManager[None]]) -> None:
        """Take the factory of the context manager that applies and reverts the change."""
        self._change, self._lock, self._active = change, Lock(), 0
        self._applied = ExitStack()

    def __enter__(self) -> None:
        """Apply the change unless another thread has applied it."""
        with self._lock:
            if not self._active:
                self._applied.enter_context(self._change())
            self._active += 1

    def __exit__(self, *_: object) -> None:
        """Revert the change unless another thread is still inside."""
        with self._lock:
            self._active -= 1
            if not self._active:
                self._applied.close()
