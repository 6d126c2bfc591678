"""Serialized values, and records of finished units of work."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geoseg.errors import StoreError
from geoseg.grid.blend import ClassMap, Spill, Strip
from geoseg.grid.tiling import Block, Lattice, Tiling
from geoseg.grid.window import Window
from geoseg.store.scene_store import BLOCKS, Graph, OpenBlock, SceneStore
from geoseg.store.serialization import pack, unpack
from geoseg.vector.blocks import BlockLabels, blank_labels, find_block_boundaries, label_block, trace_block
from geoseg.vector.minimum_area import Changes
from geoseg.vector.seams import BlockBorder, blank_border

TILING = Tiling(Lattice.of((40, 40), 16, 4), 24)
BLOCK = TILING.block(1, 1)


def same(one: object, other: object) -> bool:
    """Compare two packed values: equal bytes for equal values is what the store relies on."""
    return pack(one) == pack(other)


def labelled(seed: int = 0) -> tuple[ClassMap, BlockLabels, Graph, OpenBlock]:
    classes = np.random.default_rng(seed).integers(0, 3, BLOCK.core.shape).astype(np.uint8)
    class_map = ClassMap(BLOCK.core, classes, np.full_like(classes, 200))
    labels = label_block(classes, class_map.confidence, BLOCK.core, 40)
    around = {(0, -1): blank_border((16, 24))}
    boundaries = find_block_boundaries(labels, around, (40, 40), cut_px=12)
    _, open_polygons = trace_block(labels, around, (40, 40), cut_px=12, simplify_px=1.0)
    seams = np.array([[3, 7], [5, 9]])
    return class_map, labels, Graph(labels.components, boundaries, seams), OpenBlock(open_polygons, seams)


@pytest.fixture
def store(tmp_path: object) -> SceneStore:
    return SceneStore(str(tmp_path), "scene", "fingerprint", "24px-abc")


def strip(value: int, window: Window) -> Strip:
    return Strip(window, np.full((3, *window.shape), value, np.int32))


@given(st.integers(0, 50))
@settings(max_examples=30)
def test_packed_values_come_back(seed: int) -> None:
    _, labels, graph, open_block = labelled(seed)
    spill = Spill(strip(seed, Window(0, 24, 24, 4)), None, strip(-seed, Window(24, 24, 4, 4)))
    changes = Changes(np.arange(seed), np.full(seed, 7, np.uint8))
    for value in (labels, labels.border, graph, open_block, spill, changes):
        back = unpack(type(value), pack(value))
        assert isinstance(back, type(value))
        assert same(back, value)
    assert unpack(Spill, pack(spill)).south is None
    assert unpack(Spill, pack(spill)).east.window == Window(0, 24, 24, 4)


def test_values_of_another_kind_are_refused() -> None:
    with pytest.raises(KeyError):
        unpack(BlockBorder, pack(Changes(np.arange(3), np.zeros(3, np.uint8))))


def test_a_finished_block_comes_back(store: SceneStore) -> None:
    class_map, labels, _, _ = labelled()
    west, spill = TILING.block(1, 0), Spill(strip(5, Window(24, 24, 16, 4)), None, None)
    store.put_finished(west, class_map, spill, labels, {"valid_pixels": 12})
    assert store.find(BLOCKS, [west.name, BLOCK.name])[west.name].facts == {"valid_pixels": 12}
    assert [s.scores.max() for s in store.take_spill({(0, -1): west})] == [5]
    assert same(store.borders({(0, -1): west})[0, -1], labels.border)
    assert same(store.labels(west), labels)
    kept = Block(1, 0, BLOCK.core, BLOCK.covered, BLOCK.read, range(1), range(1))
    np.testing.assert_array_equal(store.classes(kept), class_map.classes)
    np.testing.assert_array_equal(store.confidence(kept), class_map.confidence)


def test_a_blank_block_takes_no_room_and_reads_as_nodata(store: SceneStore) -> None:
    assert store.put_empty(BLOCKS, BLOCK, valid_pixels=0) < 100
    assert (store.classes(BLOCK) == 255).all()
    assert (store.confidence(BLOCK) == 0).all()
    nothing = np.full(BLOCK.core.shape, 255, np.uint8)
    assert same(store.labels(BLOCK), label_block(nothing, nothing, BLOCK.core, 40))
    assert same(store.labels(BLOCK), blank_labels(BLOCK.core))
    assert store.take_spill({(0, -1): BLOCK}) == []
    assert (store.borders({(0, 1): BLOCK})[0, 1].west.names == -1).all()


def test_traced_blocks_and_graphs_come_back(store: SceneStore, tmp_path: object) -> None:
    _, _, graph, open_block = labelled()
    store.put_graph(BLOCK, graph)
    assert same(store.graphs([BLOCK])[0], graph)
    store.put_traced(BLOCK, pa.table({"polygon_id": [1, 2]}), open_block)
    open_polygons, seams = store.open_blocks([BLOCK], tmp_path)
    assert same(open_polygons[0], open_block.polygons)
    assert same(seams[0], open_block.seams)
    (file,) = store.polygon_files([BLOCK], tmp_path)
    assert pa.ipc.open_file(str(file)).read_all()["polygon_id"].to_pylist() == [1, 2]
    empty = TILING.block(0, 0)
    store.put_traced(empty, pa.table({"polygon_id": []}), open_block)
    assert store.polygon_files([empty], tmp_path) == []


@pytest.mark.parametrize("damage", ["flip", "cut", "lose"])
def test_damage_is_detected_and_the_record_is_invalidated(store: SceneStore, damage: str) -> None:
    class_map, labels, _, _ = labelled()
    store.put_finished(BLOCK, class_map, Spill(None, None, None), labels, {})
    key = f"{store.records.prefix}/{BLOCKS}/{BLOCK.name}.classes"
    content = store.storage.get(key)
    match damage:
        case "flip":
            store.storage.put(key, content[:100] + bytes([content[100] ^ 1]) + content[101:])
        case "cut":
            store.storage.put(key, content[:100])
        case "lose":
            store.storage.delete(key)
    with pytest.raises(StoreError, match=r"r0001c0001\.classes in .* is lost or damaged.*run the same command again"):
        store.classes(BLOCK)
    assert store.find(BLOCKS, [BLOCK.name]) == {}


def test_a_record_without_content_is_none(store: SceneStore) -> None:
    store.put_empty(BLOCKS, BLOCK)
    store.storage.put(f"{store.records.prefix}/{BLOCKS}/{BLOCK.name}.json", b"\0" * 40)
    assert store.find(BLOCKS, [BLOCK.name]) == {}
