"""Copy beside the work of a CUDA device, and time it; on a CPU all of this is nothing or a clock.

A tensor that one stream fills and another reads is told to the allocator (`Tensor.record_stream`), else its memory
could be given away while it is still read: https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-streams
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from time import perf_counter
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class DeviceCopier:
    """Copies to and from a device, on streams of their own."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._cuda = device.type == "cuda"

    def upload(self, arrays: Sequence[NDArray[np.generic]]) -> tuple[list[Tensor], torch.cuda.Event | None]:
        """Copy arrays to the device in their own dtype; what to wait for before they are read, see `join`."""
        if not self._cuda:
            return [self._stage(array) for array in arrays], None
        with torch.cuda.stream(torch.cuda.Stream(self._device)):  # type: ignore[no-untyped-call]
            tensors = [self._stage(array).to(self._device, non_blocking=True) for array in arrays]
            return tensors, torch.cuda.current_stream(self._device).record_event()

    def join(self, tensors: Sequence[Tensor], event: torch.cuda.Event | None) -> None:
        """Let the current stream go on once they are there."""
        if event is not None:
            stream = torch.cuda.current_stream(self._device)
            stream.wait_event(event)
            for tensor in tensors:
                tensor.record_stream(stream)

    def mark(self) -> torch.cuda.Event | None:
        """What to wait for until all that the current stream was given is done."""
        return torch.cuda.current_stream(self._device).record_event() if self._cuda else None

    def download(self, tensors: Sequence[Tensor], event: torch.cuda.Event | None) -> list[NDArray[Any]]:
        """Copy tensors to arrays once the event has happened."""
        if event is None:
            return [tensor.numpy() for tensor in tensors]
        stream = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
        stream.wait_event(event)
        arrays = []
        with torch.cuda.stream(stream):
            for tensor in tensors:
                tensor.record_stream(stream)
                arrays.append(torch.empty_like(tensor, device="cpu", pin_memory=True))
                arrays[-1].copy_(tensor, non_blocking=True)
        stream.synchronize()
        return [array.numpy() for array in arrays]

    def _stage(self, array: NDArray[np.generic]) -> Tensor:
        """A copy in the machine's byte order; page-locked for CUDA, so that the device fetches it by itself."""
        dtype = array.dtype.newbyteorder("=")
        staged = torch.empty(array.shape, dtype=torch.from_numpy(np.empty(0, dtype)).dtype, pin_memory=self._cuda)
        staged.numpy()[...] = array
        return staged


class Stopwatch:
    """Adds up the seconds that parts of the work take on the device, without waiting for it."""

    def __init__(self, device: torch.device) -> None:
        self._cuda = device.type == "cuda"
        self._seconds = 0.0
        self._spans: list[tuple[torch.cuda.Event, torch.cuda.Event]] = []

    @contextmanager
    def running(self) -> Iterator[None]:
        """Count what is done inside."""
        if not self._cuda:
            started = perf_counter()
            yield
            self._seconds += perf_counter() - started
            return
        span = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        span[0].record()
        yield
        span[1].record()
        self._spans.append(span)

    def seconds(self) -> float:
        """The sum; the device has done all of it."""
        return self._seconds + sum(float(start.elapsed_time(end)) for start, end in self._spans) / 1000
