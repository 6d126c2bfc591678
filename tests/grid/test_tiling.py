from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geoseg.grid.blend import axis_weights, band_windows, spill_windows
from geoseg.grid.tiling import Axis, Lattice, Tiling, valid_patches
from geoseg.grid.window import Window


@st.composite
def tilings(draw: st.DrawFn) -> Tiling:
    patch = draw(st.integers(1, 12))
    lattice = Lattice.of((draw(st.integers(1, 60)), draw(st.integers(1, 60))), patch, draw(st.integers(0, patch // 2)))
    return Tiling(lattice, lattice.rows.stride_px * draw(st.integers(1, 6)))


@given(st.integers(1, 80), st.integers(1, 20), st.data())
def test_weights_of_every_pixel_add_to_one(size: int, patch: int, data: st.DataObject) -> None:
    axis = Axis(size, patch, data.draw(st.integers(0, patch // 2)))
    total, covering = np.zeros(size + patch), np.zeros(size + patch, int)
    for index in range(axis.count):
        at = slice(index * axis.stride_px, index * axis.stride_px + patch)
        weights = axis_weights(axis, index)
        assert (weights > 0).all()
        total[at] += weights
        covering[at] += 1
    np.testing.assert_allclose(total[:size], 1, rtol=0, atol=1e-15)
    assert covering[:size].min() >= 1
    assert covering.max() <= 2


@given(st.integers(1, 200), st.integers(1, 20), st.data())
def test_the_lattice_is_the_smallest_that_covers_the_axis(size: int, patch: int, data: st.DataObject) -> None:
    axis = Axis(size, patch, data.draw(st.integers(0, patch // 2)))
    covered = [(count - 1) * axis.stride_px + patch >= size for count in range(1, axis.count + 1)]
    assert covered == [False] * (axis.count - 1) + [True]


@given(tilings())
def test_cores_tile_the_scene_and_every_patch_has_one_owner(tiling: Tiling) -> None:
    seen = np.zeros(tiling.lattice.scene.shape, int)
    owners: Counter[tuple[int, int]] = Counter()
    blocks = list(tiling.blocks())
    assert len(blocks) == tiling.count
    for block in blocks:
        seen[block.core.slices(tiling.lattice.scene)] += 1
        owners.update(block.patches)
        for patch in block.patches:
            window = tiling.lattice.patch(*patch)
            assert block.core.intersect(Window(window.row, window.col, 1, 1)), "the origin lies in the core"
            inside = window.intersect(tiling.lattice.scene)
            assert inside is not None
            assert block.read.contains(inside)
            assert block.covered.contains(window)
    assert (seen == 1).all()
    assert set(owners.values()) == {1}
    assert len(owners) == tiling.lattice.count


@given(tilings())
def test_spill_and_bands_cover_all_patches_that_cross_block_borders(tiling: Tiling) -> None:
    """Pixels outside its core that a block's patches cover lie in its strips, and in the bands of its neighbours."""
    overlap = tiling.lattice.rows.overlap_px
    foreign = np.zeros(tiling.lattice.scene.shape, bool)
    for block in tiling.blocks():
        spilled = np.zeros(tiling.lattice.scene.shape, bool)
        for patch in block.patches:
            inside = tiling.lattice.patch(*patch).intersect(tiling.lattice.scene)
            assert inside is not None
            spilled[inside.slices(tiling.lattice.scene)] = True
        spilled[block.core.slices(tiling.lattice.scene)] = False
        foreign |= spilled
        for window in spill_windows(tiling, block):
            if window is not None:
                spilled[window.slices(tiling.lattice.scene)] = False
        assert not spilled.any(), "all spill lies in the three strips"
    for block in tiling.blocks():
        for window in band_windows(block, overlap):
            foreign[window.slices(tiling.lattice.scene)] = False
    assert not foreign.any(), "all foreign scores fall into bands"


def test_patches_without_a_valid_pixel_are_omitted() -> None:
    tiling = Tiling(Lattice.of((10, 10), 4, 1), 6)
    block = tiling.block(0, 0)
    valid = np.zeros(block.read.shape, bool)
    assert valid_patches(tiling.lattice, block, valid) == []
    valid[3, 3] = True  # the one pixel that four patches share
    assert valid_patches(tiling.lattice, block, valid) == [(0, 0), (0, 1), (1, 0), (1, 1)]
    valid[3, 3], valid[0, 0] = False, True
    assert valid_patches(tiling.lattice, block, valid) == [(0, 0)]


@given(tilings(), st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.02, 0.5, 1.0]))
def test_valid_patches_of_random_masks(tiling: Tiling, seed: int, share: float) -> None:
    valid = np.random.default_rng(seed).random(tiling.lattice.scene.shape) < share
    for block in tiling.blocks():
        patches = {patch: tiling.lattice.patch(*patch).intersect(tiling.lattice.scene) for patch in block.patches}
        expected = [patch for patch, at in patches.items() if at and valid[at.slices(tiling.lattice.scene)].any()]
        own = valid[block.read.slices(tiling.lattice.scene)]
        assert valid_patches(tiling.lattice, block, own) == expected


def test_a_scene_of_a_billion_patches_is_cut_without_counting_them() -> None:
    tiling = Tiling(Lattice.of((200_000, 200_000), 8, 2), 6)
    assert (tiling.lattice.count, tiling.count) == (33_333**2, 33_334**2)
    blocks = tiling.blocks()
    assert next(blocks).name == "r0000c0000"
    last = tiling.block(33_333, 33_333)
    assert (last.core, last.patch_count) == (Window(199_998, 199_998, 2, 2), 0)
    coarse = Tiling(tiling.lattice, 3000).block(66, 66)
    valid = np.zeros(coarse.read.shape, bool)
    valid[-1, -1] = True
    assert valid_patches(tiling.lattice, coarse, valid) == [(33_332, 33_332)]


def test_the_message_for_a_wrong_block_size_names_the_nearest_valid_ones() -> None:
    with pytest.raises(ValueError, match=r"block_px=4096 is not a multiple of stride=384\. Use 3840 or 4224"):
        Tiling(Lattice.of((9000, 9000), 512, 128), 4096)


def test_blocks_of_more_pixels_than_labels_are_refused() -> None:
    lattice = Lattice.of((200_000, 200_000), 512, 128)
    assert Tiling(lattice, 46_080).count == 25
    with pytest.raises(ValueError, match=r"at most 2147483647 can be numbered\. Use 46080 or less"):
        Tiling(lattice, 46_464)
    assert Tiling(Lattice.of((1000, 200_000), 512, 128), 384_000).count == 1


@pytest.mark.parametrize(("patch", "overlap"), [(4, 3), (4, -1), (0, 0)])
def test_an_overlap_of_more_than_half_a_patch_is_refused(patch: int, overlap: int) -> None:
    with pytest.raises(ValueError, match=f"overlap_px={overlap}"):
        Axis(10, patch, overlap)


def test_block_names_sort_like_the_blocks() -> None:
    tiling = Tiling(Lattice.of((30, 130), 10, 0), 10)
    names = [block.name for block in tiling.blocks()]
    assert names == sorted(names)
    assert names[-1] == "r0002c0012"
