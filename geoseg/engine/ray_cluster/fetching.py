"""Fetch values of Ray calls, and translate the errors of Ray."""

import re
from collections.abc import Mapping
from typing import Any

import ray
import ray.exceptions

from geoseg.engine.executor import InputLostError, LostError, Ref
from geoseg.errors import GeosegError

OUT_OF_MEMORY = re.compile(r"out of memory|memory pressure|running low on memory", re.IGNORECASE)
FETCH_TIMEOUT_S = 60.0
"""The first value of a unit is a few numbers; if it does not arrive in this time, its node is lost."""


def fetch_node_info(ref: Ref) -> Mapping[str, Any] | str:
    """The answer of a node, or a sentence on why there is none."""
    try:
        return dict(ray.get(ref))
    except ray.exceptions.RayError as error:
        reason = error.cause if isinstance(error, ray.exceptions.RayTaskError) else error
        return f"cannot run geoseg: {' '.join(str(reason).split())[:300]}"


def fetch_value(ref: Ref) -> Any:
    """The first value of a unit, or the exception that stands for it: that of its stage, LostError or MemoryError."""
    try:
        return ray.get(ref, timeout=FETCH_TIMEOUT_S)
    except ray.exceptions.RayTaskError as error:
        return _translate(error.cause)
    except ray.exceptions.RayError as error:
        return _translate(error)


def _translate(error: Exception) -> Exception:
    if isinstance(error, GeosegError):
        return error  # also if its text mentions memory
    reason = " ".join(str(error).split())[:300]
    if "OutOfMemory" in type(error).__name__ or OUT_OF_MEMORY.search(reason):
        return MemoryError(reason)
    if isinstance(error, ray.exceptions.ObjectLostError):
        return InputLostError("a node that held its input is gone")
    # After an error of CUDA the process is in an undefined state.
    return LostError(reason) if isinstance(error, ray.exceptions.RayError) or "CUDA error" in reason else error
