"""Let threads change together what a process has but once."""

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from threading import Lock


class Shared:
    """A change to the whole process that several threads want at a time: the first makes it, the last takes it back.

    Python keeps warning filters and hooks for all threads at once. If each put back what it had found, one would put
    back what another had made.
    """

    def __init__(self, change: Callable[[], AbstractContextManager[None]]) -> None:
        """Take what makes the change and takes it back."""
        self._change, self._lock, self._inside = change, Lock(), 0
        self._made = ExitStack()

    def __enter__(self) -> None:
        """Make the change, unless another thread has."""
        with self._lock:
            if not self._inside:
                self._made.enter_context(self._change())
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        """Take it back, unless another thread is still at it."""
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._made.close()
