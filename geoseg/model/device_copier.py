"""Copy to and from a CUDA device concurrently with its computations, and measure them; trivial on a CPU.

A tensor that one stream fills and another reads is registered with the allocator (`Tensor.record_stream`). Otherwise
its memory could be reused while it is still read: https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-streams
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
    """Copies to and from a device, on separate streams."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._cuda = device.type == "cuda"

    def upload(self, arrays: Sequence[NDArray[np.generic]]) -> tuple[list[Tensor], torch.cuda.Event | None]:
        """Copy arrays to the device in their own dtype; returns the tensors and an event for `join`."""
        if not self._cuda:
            return [self._stage(array) for array in arrays], None
        with torch.cuda.stream(torch.cuda.Stream(self._device)):  # type: ignore[no-untyped-call]
            tensors = [self._stage(array).to(self._device, non_blocking=True) for array in arrays]
            return tensors, torch.cuda.current_stream(self._device).record_event()

    def join(self, tensors: Sequence[Tensor], event: torch.cuda.Event | None) -> None:
        """Make the current stream wait until the tensors are copied."""
        if event is not None:
            stream = torch.cuda.current_stream(self._device)
            stream.wait_event(event)
            for tensor in tensors:
                tensor.record_stream(stream)

    def mark(self) -> torch.cuda.Event | None:
        """Event that marks the end of all work queued on the current stream."""
        return torch.cuda.current_stream(self._device).record_event() if self._cuda else None

    def download(self, tensors: Sequence[Tensor], event: torch.cuda.Event | None) -> list[NDArray[Any]]:
        """Copy tensors to arrays after the event."""
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
        """Copy in native byte order; page-locked for CUDA, so that the transfer is asynchronous."""
        dtype = array.dtype.newbyteorder("=")
        staged = torch.empty(array.shape, dtype=torch.from_numpy(np.empty(0, dtype)).dtype, pin_memory=self._cuda)
        staged.numpy()[...] = array
        return staged


class Stopwatch:
    """Sums the seconds of work on the device, without synchronising."""

    def __init__(self, device: torch.device) -> None:
        self._cuda = device.type == "cuda"
        self._seconds = 0.0
        self._spans: list[tuple[torch.cuda.Event, torch.cuda.Event]] = []

    @contextmanager
    def running(self) -> Iterator[None]:
        """Measure the work inside the context."""
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
        """The sum in seconds; all measured work must be complete."""
        return self._seconds + sum(float(start.elapsed_time(end)) for start, end in self._spans) / 1000
