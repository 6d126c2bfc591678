from hypothesis import given
from hypothesis import strategies as st

from geoseg.grid.tiling import Lattice
from geoseg.run.sizing import BLOCKS_PER_WORKER, choose_block_px, project_block_bytes


@given(
    side=st.integers(1, 20_000), patch=st.sampled_from([32, 256, 512]), memory=st.integers(2**20, 2**32),
    pixels=st.integers(1, 2**26), workers=st.integers(1, 64), classes=st.integers(1, 255),
)  # fmt: skip
def test_the_chosen_block_is_the_largest_that_all_limits_allow(
    side: int, patch: int, memory: int, pixels: int, workers: int, classes: int
) -> None:
    lattice = Lattice.of((side, side), patch, patch // 4)
    stride = lattice.rows.stride_px

    def choose(memory_bytes: int) -> int:
        return choose_block_px(lattice, classes, 8, memory_bytes=memory_bytes, block_pixels=pixels, workers=workers)

    block = choose(memory)
    assert block % stride == 0
    if block > stride:
        assert project_block_bytes(block, lattice, classes, 8) <= memory
        assert block**2 <= pixels
        assert block <= side
        assert block**2 * workers * BLOCKS_PER_WORKER <= side**2
    larger = block + stride
    over_memory = project_block_bytes(larger, lattice, classes, 8) > memory
    assert over_memory or larger**2 > pixels or larger > side or larger**2 * workers * BLOCKS_PER_WORKER > side**2
    assert choose(memory * 2) >= block


def test_a_small_scene_is_projected_with_the_whole_patch_that_it_is_padded_to() -> None:
    lattice = Lattice.of((10, 10), 2048, 512)
    assert project_block_bytes(1536, lattice, 8, 8) > 8 * 4 * 2048**2


def test_projected_bytes_hold_the_scores_and_the_pixels() -> None:
    lattice = Lattice.of((10_000, 10_000), 256, 64)
    projected = project_block_bytes(1920, lattice, 6, 8)
    scores, pixels = 6 * 4 * 1984**2, 8 * 1984**2
    assert scores + pixels < projected < 1.5 * (scores + pixels)
