"""How much of a CUDA device the pipeline uses. Needs torch, numpy and numba alone, and under eight minutes.

    python -m tests.benchmarks.cuda [--device cuda] [--json FILE]

Measured in one run, for the built-in U-Net and a larger one: the network alone on batches that lie on the device (fp32,
bf16, and bf16 compiled), and end to end: raw blocks in the host's memory go through `geoseg.model.predictor` as in a
run, two at a time, and other threads finish them, label their components, trace and simplify their boundaries. Files,
the cluster and the store are left out. Weights are random, so boundaries are fewer than in a real class map. Pixels are
those of patches, which overlap, in all columns but the last.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from geoseg.grid.blend import band_windows, finish
from geoseg.grid.decision import Decision
from geoseg.grid.tiling import Block, Lattice, Tiling
from geoseg.model.fusion.fold_normalisation import fold_normalisation
from geoseg.model.predictor import Predictor, Task, fix_arithmetic
from geoseg.model.zoo.unet import UNet
from geoseg.plan.sizing import BLOCKS_ON_GPU, BlockMemory, project_batch_bytes
from geoseg.vector.labels.components import NO_COMPONENT, find_components
from geoseg.vector.lines.arcs import find_corners, trace_arcs
from geoseg.vector.lines.simplify import simplify_arcs
from geoseg.vector.seams import add_halo
from tests.benchmarks.resnet import ResNetUNet

BANDS, CLASSES = 4, 6
IN_FLIGHT = 2
GIB = 2**30


@dataclass(frozen=True, slots=True)
class Case:
    """A network and how it is fed."""

    name: str
    build: Callable[[], nn.Module]
    patch_px: int
    batch_size: int


@dataclass(slots=True)
class Result:
    """A row of the table; rates in pixels of patches a second."""

    name: str
    patch_px: int
    batch_size: int
    alone: dict[str, float | None] = field(default_factory=dict)
    """The network alone: fp32, bf16 and compiled; None if it could not be."""
    end_to_end: float = 0.0
    share: float = 0.0
    """End to end over the network alone in bf16."""
    forward_share: float = 0.0
    """Of the time, how much the device spent in the network."""
    device_share: float = 0.0
    """Of the time, how much the device worked."""
    peak_bytes: int = 0
    projected_bytes: int = 0
    """What the network alone takes, and what geoseg expects the blocks to add."""
    valid_px_per_s: float = 0.0
    """Pixels of the scene."""


@dataclass(slots=True)
class _Plain:
    """A module as the predictor wants it."""

    module: Callable[[Tensor], Tensor]
    dtype: torch.dtype
    fixed_batch: int | None = None

    def __call__(self, batch: Tensor) -> Tensor:
        with torch.inference_mode():
            return self.module(batch)


def main() -> None:
    """Measure all cases and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--json", type=Path, help="where the figures are written as well")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each measurement")
    parser.add_argument("--blocks", type=int, default=24, help="blocks of the end-to-end measurement")
    parser.add_argument("--block-strides", type=int, default=8, help="side of a block, in strides")
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    args = parser.parse_args()
    if args.device == "cuda" and not torch.cuda.is_available():
        sys.exit("torch sees no CUDA device here. --device cpu tries the script itself.")
    device = torch.device(args.device)
    fix_arithmetic(1)
    cases = [
        Case("built-in U-Net, width 16", partial(UNet, BANDS, CLASSES), 256, 64),
        Case("ResNet-34 U-Net", partial(ResNetUNet, BANDS, CLASSES, 34), 512, 16),
    ]
    if args.device == "cpu":
        cases = [Case(case.name, case.build, case.patch_px, 1) for case in cases]
    results = [measure(case, device, args) for case in cases]
    name = torch.cuda.get_device_name(device) if args.device == "cuda" else f"{os.cpu_count()} CPUs"
    print(f"{name}, torch {torch.__version__}, numpy {np.__version__}")
    print(table(results))
    if args.json:
        args.json.write_text(json.dumps({"device": name, "results": [asdict(row) for row in results]}, indent=2) + "\n")


def measure(case: Case, device: torch.device, args: argparse.Namespace) -> Result:
    """One row."""
    result = Result(case.name, case.patch_px, case.batch_size)
    torch.manual_seed(0)
    whole = (
        fold_normalisation(case.build().eval(), torch.zeros(1, BANDS, 64, 64))
        .to(device)
        .to(memory_format=torch.channels_last)
    )
    result.alone["fp32"] = rate(_Plain(whole, torch.float32), case, device, args.seconds)
    network = _Plain(whole.to(torch.bfloat16), torch.bfloat16)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    result.alone["bf16"] = rate(network, case, device, args.seconds)
    if device.type == "cuda":
        result.projected_bytes = torch.cuda.max_memory_allocated(device)
    if not args.no_compile:
        result.alone["compiled"] = _rate_compiled(network, case, device, args.seconds)
    _end_to_end(result, network, case, device, args)
    result.share = result.end_to_end / (result.alone["bf16"] or 1)
    return result


def rate(network: _Plain, case: Case, device: torch.device, seconds: float) -> float:
    """Pixels of patches a second that go through the network alone."""
    shape = case.batch_size, BANDS, case.patch_px, case.patch_px
    batch = torch.randn(shape, device=device).to(network.dtype).contiguous(memory_format=torch.channels_last)
    for _ in range(3):
        network(batch)
    _wait(device)
    started, batches = time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        for _ in range(4):
            network(batch)
        batches += 4
        _wait(device)
    return batches * case.batch_size * case.patch_px**2 / (time.perf_counter() - started)


def _rate_compiled(network: _Plain, case: Case, device: torch.device, seconds: float) -> float | None:
    try:
        return rate(_Plain(torch.compile(network.module), network.dtype), case, device, seconds)
    except Exception as error:  # noqa: BLE001  a compiler that is missing says so in many ways
        print(f"torch.compile cannot be measured here: {str(error).strip().splitlines()[0]}")
        return None


def _end_to_end(result: Result, network: _Plain, case: Case, device: torch.device, args: argparse.Namespace) -> None:
    overlap = case.patch_px // 8
    block_px = args.block_strides * (case.patch_px - overlap)
    lattice = Lattice.of((block_px * 3 + overlap, block_px * (-(-args.blocks // 3)) + overlap), case.patch_px, overlap)
    tiling = Tiling(lattice, block_px)
    blocks = [block for block in tiling.blocks() if block.core.pixels == block_px**2][: args.blocks]
    scale = partial(_normalise, mean=torch.full((BANDS, 1, 1), 2000.0, device=device))
    task = Task(
        "", "", Decision(CLASSES), "softmax", scale, "{} is not finite".format, 0.0, case.patch_px, case.batch_size
    )
    predictor = Predictor(network, task, device)
    pixels = [_landscape(seed, blocks[0].read.shape) for seed in range(3)]
    valid = np.ones(blocks[0].read.shape, np.bool_)
    _finish(tiling, blocks[0], predictor.predict(tiling, blocks[0], pixels[0], valid, ""))  # compiles, allocates
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)

    patches, forward_s, device_s = 0, 0.0, 0.0
    started = time.perf_counter()
    with ThreadPoolExecutor(IN_FLIGHT) as models, ThreadPoolExecutor(max(1, (os.cpu_count() or 1) - 2)) as hands:

        def work(place: int) -> None:
            nonlocal patches, forward_s, device_s
            found = predictor.predict(tiling, blocks[place], pixels[place % len(pixels)], valid, "")
            finished.append(hands.submit(_finish, tiling, blocks[place], found))
            patches += found.patches
            forward_s += found.forward_s
            device_s += found.device_s

        finished: list = []
        for one in [models.submit(work, place) for place in range(len(blocks))]:
            one.result()
        arcs = sum(one.result() for one in finished)
    seconds = time.perf_counter() - started

    result.end_to_end = patches * case.patch_px**2 / seconds
    result.forward_share, result.device_share = forward_s / seconds, device_s / seconds
    result.valid_px_per_s = sum(block.core.pixels for block in blocks) / seconds
    print(f"{case.name}: {len(blocks)} blocks of {block_px} px in {seconds:.1f} s, {arcs} boundary lines")
    if device.type == "cuda":
        result.peak_bytes = torch.cuda.max_memory_allocated(device)
        blocks_bytes = BLOCKS_ON_GPU * BlockMemory(lattice, CLASSES, 2 * BANDS).project(block_px)
        batch_bytes = project_batch_bytes(case.batch_size, case.patch_px, BANDS, CLASSES)
        result.projected_bytes += int(blocks_bytes) + batch_bytes


def _normalise(pixels: Tensor, mean: Tensor) -> Tensor:
    return pixels.sub(mean).div_(1000)


def _landscape(seed: int, shape: tuple[int, int]) -> np.ndarray:
    """Smooth hills with a little noise, uint16 of shape (BANDS, H, W)."""
    rng = np.random.default_rng(seed)
    coarse = torch.from_numpy(rng.uniform(200, 4000, (1, BANDS, shape[0] // 64 + 2, shape[1] // 64 + 2)))
    hills = nn.functional.interpolate(coarse, shape, mode="bicubic")[0].numpy()
    return (hills.clip(0, 8000) + rng.integers(0, 50, (BANDS, *shape))).astype(np.uint16)


def _finish(tiling: Tiling, block: Block, found: object) -> int:
    """All that a run does with a block after its prediction, but for polygons and files; the number of lines."""
    bands = band_windows(block, tiling.lattice.rows.overlap_px)
    done = finish(found.scores, bands, [], Decision(CLASSES))
    scene, stride = tiling.lattice.scene, tiling.lattice.rows.stride_px
    labels, components = find_components(done.classes, done.confidence, block.core, scene.width)
    # All pixels are valid here, so no run has the label -1.
    classes = replace(labels, values=components.class_id[labels.values])
    around = add_halo(classes, block.core.width, {})
    corners = find_corners(around, block.core, scene.shape, stride)
    north, west = np.full(block.core.width, NO_COMPONENT), np.full(block.core.height, NO_COMPONENT)
    arcs = trace_arcs(corners, block.core, labels, components.first_pixel, north, west)
    return len(simplify_arcs(arcs, corners, around, block.core, stride, 1.0).left)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def table(results: list[Result]) -> str:
    """The results in columns."""
    head = ["network", "patch", "batch", "fp32", "bf16", "compiled", "end to end", "of bf16", "in network", "busy"]
    rows = [[*head, "peak GiB", "projected", "scene Mpx/s"]]
    for row in results:
        rates = [row.alone.get(kind) for kind in ("fp32", "bf16", "compiled")] + [row.end_to_end]
        rows.append(
            [
                row.name,
                str(row.patch_px),
                str(row.batch_size),
                *("-" if value is None else f"{value / 1e6:.1f}" for value in rates),
                f"{row.share:.2f}",
                f"{row.forward_share:.2f}",
                f"{row.device_share:.2f}",
                f"{row.peak_bytes / GIB:.2f}",
                f"{row.projected_bytes / GIB:.2f}",
                f"{row.valid_px_per_s / 1e6:.1f}",
            ]
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)


if __name__ == "__main__":
    main()
