"""Polygons that touch block borders, joined in batches."""

import numpy as np
import pytest
import shapely

from geoseg.grid.window import Window
from geoseg.vector.blocks import label_block, trace_block
from geoseg.vector.joining import join_blocks
from geoseg.vector.seams import find_seams, neighbours
from tests.vector.class_maps import HARD, landscape_like

SIDE = 16
MAPS = HARD | {"landscape": landscape_like(2, (5 * SIDE, 4 * SIDE))}


class Counted(list):
    """Blocks that count how often each is asked for."""

    def __init__(self, blocks):
        super().__init__(blocks)
        self.asked = [0] * len(blocks)

    def __getitem__(self, at):
        self.asked[at] += 1
        return super().__getitem__(at)


def unfinished(classes):
    cores = {
        (row, col): Window(row * SIDE, col * SIDE, *classes[row * SIDE :, col * SIDE :][:SIDE, :SIDE].shape)
        for row in range(-(-classes.shape[0] // SIDE))
        for col in range(-(-classes.shape[1] // SIDE))
    }
    scene = Window(0, 0, *classes.shape)
    blocks = {
        place: label_block(classes[core.slices(scene)], classes[core.slices(scene)], core, classes.shape[1])
        for place, core in cores.items()
    }
    borders = {place: block.border for place, block in blocks.items()}
    return [
        trace_block(block, neighbours(borders, place), classes.shape, cut_px=SIDE, simplify_px=1)[1]
        for place, block in blocks.items()
    ], find_seams(borders)


@pytest.mark.parametrize("name", MAPS)
@pytest.mark.parametrize("batch_vertices", [1, 300])
def test_batches_cannot_change_the_polygons(name, batch_vertices):
    blocks, seams = unfinished(MAPS[name])
    (whole,) = join_blocks(blocks, seams, simplify_px=1)
    batches = list(join_blocks(blocks, seams, simplify_px=1, batch_vertices=batch_vertices))
    for column in ("class_id", "first_pixel", "pixels", "confidence_sum"):
        assert np.concatenate([getattr(batch, column) for batch in batches]).tolist() == getattr(whole, column).tolist()
    geometry = np.concatenate([batch.geometry for batch in batches])
    assert shapely.to_wkb(geometry).tolist() == shapely.to_wkb(whole.geometry).tolist()


def test_a_batch_asks_only_the_blocks_that_it_needs():
    blocks, seams = unfinished(MAPS["landscape"])
    counted = Counted(blocks)
    batches = list(join_blocks(counted, seams, simplify_px=1, batch_vertices=1))
    assert len(batches) > 20
    assert max(counted.asked) < len(batches)
