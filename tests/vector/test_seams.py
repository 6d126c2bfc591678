import numpy as np

from geoseg.vector.labels.components import Components
from geoseg.vector.seams import add_halo, find_border, find_seams, neighbours
from tests.vector.class_maps import as_runs

SIDE = 3


def cut(scene, step=SIDE):
    """Blocks of a scene and their borders; every pixel is its own component."""
    names = np.arange(scene.size, dtype=np.int64)
    blocks, borders = {}, {}
    for row in range(0, scene.shape[0], step):
        for col in range(0, scene.shape[1], step):
            window = np.s_[row : row + step, col : col + step]
            blocks[row // step, col // step] = scene[window]
            labels = np.arange(scene.size, dtype=np.int32).reshape(scene.shape)[window]
            components = Components(names, scene.ravel(), names, names)
            labels = np.where(scene[window] == 255, -1, labels)
            borders[row // step, col // step] = find_border(as_runs(labels), components, labels.shape[1])
    return blocks, borders


def test_the_halo_of_a_block_holds_the_pixels_of_the_scene():
    scene = np.random.default_rng(0).integers(0, 200, (7, 8), dtype=np.uint8)
    wide = np.pad(scene, 1, constant_values=255)
    blocks, borders = cut(scene)
    for (row, col), block in blocks.items():
        height, width = block.shape
        surrounded = add_halo(as_runs(block), width, neighbours(borders, (row, col)))
        pixels = surrounded.spread(surrounded.values, width + 2)
        assert np.array_equal(pixels, wide[row * SIDE :, col * SIDE :][: height + 2, : width + 2])


def test_seams_are_the_pairs_of_equal_pixels_across_borders():
    scene = np.random.default_rng(1).integers(0, 2, (7, 8), dtype=np.uint8)
    scene[2, :4] = 255
    scene[3, 2] = 255
    expected = {
        (row * 8 + col, other_row * 8 + other_col)
        for row in range(7) for col in range(8)
        for other_row, other_col in ((row + 1, col), (row, col + 1))
        if other_row < 7 and other_col < 8 and scene[row, col] == scene[other_row, other_col] != 255
        and (row // SIDE, col // SIDE) != (other_row // SIDE, other_col // SIDE)
    }  # fmt: skip
    seams = find_seams(cut(scene)[1])
    assert len(seams) == len(expected) > 0
    assert set(map(tuple, seams.tolist())) == expected


def test_nodata_has_no_name_in_a_border():
    labels = np.array([[0, -1], [-1, -1]], np.int32)
    border = find_border(as_runs(labels), Components(np.array([77]), np.array([4], np.uint8), *[np.array([1])] * 2), 2)
    assert border.north.classes.tolist() == [4, 255]
    assert border.north.names.tolist() == [77, -1]
    assert border.west.names.tolist() == [77, -1]
    assert border.south.names.tolist() == border.east.names.tolist() == [-1, -1]
