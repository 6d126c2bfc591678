import numpy as np

from geoseg.vector.components import Components
from geoseg.vector.seams import find_border, find_seams, neighbours, surround, unite
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


def test_a_surrounded_block_is_the_window_of_the_scene():
    scene = np.random.default_rng(0).integers(0, 200, (7, 8), dtype=np.uint8)
    wide = np.pad(scene, 1, constant_values=255)
    blocks, borders = cut(scene)
    for (row, col), block in blocks.items():
        height, width = block.shape
        found = surround(as_runs(block), width, neighbours(borders, (row, col)))
        found = found.spread(found.values, width + 2)
        assert np.array_equal(found, wide[row * SIDE :, col * SIDE :][: height + 2, : width + 2])


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
    found = find_seams(cut(scene)[1])
    assert len(found) == len(expected) > 0
    assert set(map(tuple, found.tolist())) == expected


def test_names_of_nodata():
    labels = np.array([[0, -1], [-1, -1]], np.int32)
    rim = find_border(as_runs(labels), Components(np.array([77]), np.array([4], np.uint8), *[np.array([1])] * 2), 2)
    assert rim.north.classes.tolist() == [4, 255]
    assert rim.north.names.tolist() == [77, -1]
    assert rim.west.names.tolist() == [77, -1]
    assert rim.south.names.tolist() == rim.east.names.tolist() == [-1, -1]


def test_united_names():
    names, pairs = np.array([1, 4, 6, 8, 9, 30]), np.array([[9, 6], [30, 9], [8, 4]])
    assert unite(names, pairs).tolist() == [1, 4, 6, 4, 6, 6]
    assert unite(names, pairs[:0]).tolist() == names.tolist()
    assert unite(names[:0], pairs[:0]).tolist() == []


def test_a_long_chain_of_names():
    names = np.arange(2000)
    order = np.random.default_rng(2).permutation(1999)
    assert (unite(names, np.stack([order, order + 1], axis=1)) == 0).all()
