"""The architectures of the zoo as a table, with the speed that each has here."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from time import perf_counter

import torch

from geoseg.errors import SettingsError
from geoseg.model.fusion.fast import make_fast
from geoseg.model.hardware import find_hardware
from geoseg.model.inference import Precision
from geoseg.model.network import DTYPES
from geoseg.model.zoo.architecture import Architecture
from geoseg.model.zoo.architectures import ARCHITECTURES, build

BANDS, CLASSES, SIDE_PX = 4, 8, 256
"""What parameters and speed are of."""
BATCH, THREADS = 1, 1
"""Those of a worker of a run on CPUs, by default."""
LEAST_RUNS, LEAST_S = 3, 0.5


@dataclass(frozen=True)
class Entry:
    """A row of the table."""

    name: str
    """The name in ``mlm:architecture``."""
    paper: str
    parameters: int | None
    """Number of parameters with the default arguments; None if its packages are not installed."""
    size_multiple: int
    """Sides of patches are multiples of it."""
    px_per_s: float | None
    """Pixels of a second in forward passes; None if that was not measured."""


def find_architectures(names: Sequence[str] = ()) -> list[Architecture]:
    """The architectures of these names, or all.

    Raises:
        SettingsError: If there is no such architecture.
    """
    if unknown := [name for name in names if name not in ARCHITECTURES]:
        raise SettingsError(f"{unknown[0]} is no architecture of geoseg; there are {', '.join(ARCHITECTURES)}.")
    return [ARCHITECTURES[name] for name in names or ARCHITECTURES]


def list_architectures(names: Sequence[str] = (), *, measure: bool) -> Iterator[Entry]:
    """Yield architectures with their default arguments.

    Args:
        names: Those to list; none lists all.
        measure: Run each one for about a second.

    Raises:
        SettingsError: If there is no such architecture.
    """
    for one in find_architectures(names):
        try:
            with torch.device("meta"):
                network = build(one.name, _arguments())
        except SettingsError:  # its packages are not installed
            yield Entry(one.name, one.paper, None, one.size_multiple, None)
            continue
        parameters = sum(tensor.numel() for tensor in network.parameters())
        yield Entry(one.name, one.paper, parameters, one.size_multiple, _speed(one) if measure else None)


def describe_network() -> str:
    """What parameters are of, in words."""
    return f"Networks with default arguments, {BANDS} bands and {CLASSES} classes."


def describe_speed() -> str:
    """What speed is of, in words."""
    return (
        f"Speed: forward passes on the CPU in {precision()}, batches of {BATCH}, patches of {SIDE_PX} px, "
        f"{THREADS} thread, as one worker of a run."
    )


def precision() -> Precision:
    """Number format of the forward passes, as of ``run.precision: auto``."""
    return "bf16" if find_hardware("cpu").bf16 else "fp32"


def forward_pass(architecture: Architecture) -> Callable[[], float]:
    """Prepare a forward pass of random weights as a run does.

    Returns:
        A function that runs it once and returns its seconds for each pixel.

    Raises:
        SettingsError: If its packages are not installed.
    """
    network, dtype = build(architecture.name, _arguments()).eval(), DTYPES[precision()]
    side_px = SIDE_PX // architecture.size_multiple * architecture.size_multiple
    pixels = torch.randn((BATCH, BANDS, side_px, side_px))
    fast = make_fast(network, architecture, pixels, dtype, torch.device("cpu"))
    given = pixels.to(dtype).contiguous(memory_format=torch.channels_last)

    def run() -> float:
        threads = torch.get_num_threads()
        torch.set_num_threads(THREADS)
        try:
            started = perf_counter()
            with torch.inference_mode():
                fast(given)
            return (perf_counter() - started) / (BATCH * side_px**2)
        finally:
            torch.set_num_threads(threads)

    return run


def _arguments() -> dict[str, int]:
    return {"in_channels": BANDS, "classes": CLASSES}


def _speed(architecture: Architecture) -> float:
    """Pixels of a second, from the median of several forward passes after a first one."""
    run, times, started = forward_pass(architecture), list[float](), perf_counter()
    run()
    while len(times) < LEAST_RUNS or perf_counter() - started < LEAST_S:
        times.append(run())
    return 1 / median(times)
