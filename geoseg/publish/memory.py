"""Give memory back to the system that this process no longer uses."""

import ctypes

import pyarrow as pa


def give_back_memory() -> None:
    """Let go of what Arrow and the C library keep for later.

    After millions of small geometries the C library holds their gigabytes as gaps too small for the next large array.
    """
    pa.default_memory_pool().release_unused()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:  # glibc alone has it
        trim(0)
