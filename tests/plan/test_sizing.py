import re
from itertools import accumulate
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.profiler import ProfilerActivity, profile

from geoseg.errors import SettingsError
from geoseg.grid.tiling import Lattice, Tiling
from geoseg.model.bundle.bundle import read_bundle
from geoseg.model.hardware import Hardware
from geoseg.model.inference import Inference
from geoseg.model.load import start_predictor
from geoseg.model.predictor import Predictor
from geoseg.plan.sizing import (
    BLOCKS_PER_WORKER,
    BlockMemory,
    default_block_bytes,
    project_batch_bytes,
)
from tests.support.bundles import unet_bundle


@given(
    side=st.integers(1, 20_000), patch=st.sampled_from([32, 256, 512]), memory=st.integers(2**20, 2**32),
    pixels=st.integers(1, 2**26), workers=st.integers(1, 64), classes=st.integers(1, 255),
)  # fmt: skip
def test_the_chosen_block_is_the_largest_that_all_limits_allow(
    side: int, patch: int, memory: int, pixels: int, workers: int, classes: int
) -> None:
    lattice = Lattice.of((side, side), patch, patch // 4)
    stride = lattice.rows.stride_px

    memory_of = BlockMemory(lattice, classes, 8)

    def choose(memory_bytes: int) -> int:
        return memory_of.choose_block_px(memory_bytes=memory_bytes, block_pixels=pixels, workers=workers)

    block = choose(memory)
    assert block % stride == 0
    if block > stride:
        assert memory_of.project(block) <= memory
        assert block**2 <= pixels
        assert block <= side
        assert block**2 * workers * BLOCKS_PER_WORKER <= side**2
    larger = block + stride
    over_memory = memory_of.project(larger) > memory
    assert over_memory or larger**2 > pixels or larger > side or larger**2 * workers * BLOCKS_PER_WORKER > side**2
    assert choose(memory * 2) >= block


def test_a_small_scene_is_projected_with_the_whole_patch_that_it_is_padded_to() -> None:
    lattice = Lattice.of((10, 10), 2048, 512)
    assert BlockMemory(lattice, 8, 8).project(1536) > 8 * 4 * 2048**2


def test_projected_bytes_hold_the_scores_and_the_pixels() -> None:
    lattice = Lattice.of((10_000, 10_000), 256, 64)
    projected = BlockMemory(lattice, 6, 8).project(1920)
    scores, pixels = 6 * 4 * 1984**2, 8 * 1984**2
    assert scores + pixels < projected < 1.5 * (scores + pixels)


GPU = Hardware("cuda", "NVIDIA T4", bf16=False, memory_bytes=16 << 30)


@given(side=st.integers(1, 200), memory=st.integers(2**20, 2**34), classes=st.integers(1, 255))
def test_the_largest_block_is_the_last_that_fits(side: int, memory: int, classes: int) -> None:
    lattice = Lattice.of((side * 192, side * 192), 256, 64)
    blocks = BlockMemory(lattice, classes, 8)
    largest = blocks.largest_block_px(memory)
    fitting = [n * 192 for n in range(1, side + 1) if blocks.project(n * 192) <= memory]
    assert largest == max(fitting, default=None)


def test_row66_a_block_that_cannot_fit_beside_the_network_is_refused_with_the_largest_that_can() -> None:
    lattice = Lattice.of((100_000, 100_000), 512, 64)

    def require(block_px: int, rest_bytes: int) -> None:
        BlockMemory(lattice, 6, 8).require_device(block_px, rest_bytes=rest_bytes, hardware=GPU)

    require(14_336, 2 << 30)
    with pytest.raises(SettingsError, match=r"block_px=26880 needs .* GiB on the GPU beside 8\.00 GiB") as error:
        require(26_880, 8 << 30)
    largest = int(re.search(r"Set tiling\.block_px=(\d+)\.", str(error.value))[1])
    require(largest, 8 << 30)
    with pytest.raises(SettingsError):
        require(largest + 448, 8 << 30)
    with pytest.raises(SettingsError, match=r"Set run\.batch_size or tiling\.patch_px lower"):
        require(448, 16 << 30)
    cpu = Hardware("cpu", "", bf16=False)
    BlockMemory(lattice, 6, 8).require_device(26_880, rest_bytes=64 << 30, hardware=cpu)


def test_a_block_takes_a_share_of_the_gpu_by_default() -> None:
    assert default_block_bytes(GPU) == 4 << 30
    assert default_block_bytes(Hardware("cuda", "NVIDIA H200", True, 141 << 30)) == 16 << 30


class ConstantNetwork:
    """The same logits for every pixel."""

    dtype, fixed_batch, free_bytes = torch.float32, None, None

    def __call__(self, batch: torch.Tensor) -> torch.Tensor:
        logits = torch.linspace(1, 0, 6).reshape(1, 6, 1, 1)
        return logits.expand(len(batch), -1, *batch.shape[2:])


@pytest.mark.parametrize("batch_size", [1, 4])
def test_projected_bytes_are_those_that_torch_allocates(tmp_path: Path, batch_size: int) -> None:
    """The peak of allocated memory while a block is predicted, with a network that takes almost none itself."""
    bundle = read_bundle(unet_bundle(tmp_path, bands=4, classes=6, patch_px=128, overlap_px=32))
    task = start_predictor(bundle, Inference("cpu", 128, batch_size)).task
    predictor = Predictor(ConstantNetwork(), task, torch.device("cpu"))
    lattice = Lattice.of((2000, 2000), 128, 32)
    tiling = Tiling(lattice, 960)
    block = tiling.block(0, 0)
    pixels, valid = np.ones((4, *block.read.shape), np.uint16), np.ones(block.read.shape, bool)
    valid[0, 0] = False
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as found:
        predictor.predict(tiling, block, pixels, valid, "")
    events = sorted(
        (e for e in found.profiler.kineto_results.events() if e.name() == "[memory]"), key=lambda e: e.start_ns()
    )
    peak = max(accumulate(event.nbytes() for event in events))
    projected = BlockMemory(lattice, 6, 8).project(960) + project_batch_bytes(batch_size, 128, 4, 6)
    assert peak <= projected < 1.5 * peak
