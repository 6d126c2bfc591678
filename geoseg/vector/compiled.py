"""Compile the loops of this package."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """Compile with numba, keeping the type, and keep the machine code on disk where any folder can be written.

    numba tries `NUMBA_CACHE_DIR`, the folder of the module and the user's cache folder. It compiles again when the file
    of a function has changed, no matter what that imports: so a kernel calls no kernel of another file, and takes from
    others only constants that never change.
    """
    try:
        return cast("Function", numba.njit(nogil=True, cache=True)(function))
    except RuntimeError:
        # Raised when none of the three can be written, as in a container without a home.
        return cast("Function", numba.njit(nogil=True)(function))
