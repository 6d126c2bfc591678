"""Fault injection for tests: a process dies, hangs, runs out of memory or finds a full disk.

``GEOSEG_FAULT`` holds rules ``stage:point:block:attempt:action``, separated by commas; ``*`` matches anything.
An action is ``raise``, ``kill`` (SIGKILL of this process), ``hang``, ``enospc``, ``oom``, or ``note=FILE``, which only
appends a line to the file. Without the variable nothing happens. The points:

=========  =======================  ==================================================================
stage      point                    where
=========  =======================  ==================================================================
read       start, end               a block's pixels
predict    start, end               a block's patches
finish     start, end               a block is finished; at the end its record is stored
put        before-rename            just before an object of the store, named by its key, is created
smooth     start, end               a block's classes are smoothed
graph      start, end               a block's part of the graph, for the minimum area
absorb     start, end               small components of the scene get the class of a neighbour
relabel    start, end               a block's small components take their new class
trace      start, end               a block is polygonized
seams      start                    polygons that span blocks are joined
publish    start                    classes, confidence or polygons are written
upload     start, end               a file is uploaded to its storage
seal       start                    all files of a scene are staged; the journal is written
commit     start, middle, end       staged files are published
commit     before-removal           just before an earlier manifest, or a file that is not replaced, is removed
commit     cleared                  all is published, and the scene's work is removed
=========  =======================  ==================================================================
"""

import errno
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from fnmatch import fnmatchcase
from pathlib import Path

from geoseg.config import FAULT_VARIABLE

_attempt = ContextVar("attempt", default=1)


@contextmanager
def attempt(number: int) -> Iterator[None]:
    """Set the attempt of this thread's unit, for rules that name one."""
    token = _attempt.set(number)
    try:
        yield
    finally:
        _attempt.reset(token)


def hit(stage: str, point: str, block: str = "-") -> None:
    """Apply the rules that match this point; ``block`` is the name of the block, or another name for what is processed.

    Raises:
        RuntimeError: If a matching rule has the action ``raise``.
        OSError: If one has ``enospc``.
        MemoryError: If one has ``oom``.
    """
    rules = os.environ.get(FAULT_VARIABLE)
    if rules:
        here = (stage, point, block, str(_attempt.get()))
        for rule in rules.split(","):
            *pattern, action = rule.split(":", 4)
            if len(pattern) == len(here) and all(map(fnmatchcase, here, pattern)):
                _act(action, ":".join(here))


def _act(action: str, here: str) -> None:
    name, _, argument = action.partition("=")
    match name:
        case "raise":
            raise RuntimeError(f"fault asked for by {FAULT_VARIABLE} at {here}")
        case "enospc":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), here)
        case "oom":
            raise MemoryError(f"fault asked for by {FAULT_VARIABLE} at {here}")
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "hang":
            while True:
                time.sleep(60)
        case "note":
            with Path(argument).open("a", encoding="utf-8") as file:
                file.write(f"{here}\n")
        case _:
            raise ValueError(
                f"{FAULT_VARIABLE} names the action {action!r}, which is none of raise, kill, hang, enospc, oom, note."
            )
