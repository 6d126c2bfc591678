"""Compilation of the kernels (loops over arrays) with numba."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """Compile a kernel with numba, and cache the machine code on disk if a folder is writable.

    numba tries `NUMBA_CACHE_DIR`, the folder of the module and the user's cache folder. It compiles again when the file
    of the kernel has changed, and does not look at the files it imports. So a kernel must not call a kernel of another
    file, and may import only constants that never change.
    """
    try:
        return cast("Function", numba.njit(nogil=True, cache=True)(function))
    except RuntimeError:
        # Raised if none of the three is writable, e.g. in a container without a home folder.
        return cast("Function", numba.njit(nogil=True)(function))
