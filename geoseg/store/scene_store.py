"""The store of a scene: finished blocks, strips, graph and polygons, for other units and for the next run.

All of it is under ``.work/<scene>/<fingerprint>/<layout>/`` of the output, as records (`geoseg.store.records`);
`geoseg.store.commit` publishes results. A change of the packed values needs a new `geoseg.plan.fingerprint.RECORDS`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from geoseg.grid.blend import ClassMap, Spill, Strip
from geoseg.grid.decision import Decision
from geoseg.grid.fusion import DATES
from geoseg.grid.legend import NODATA_CLASS, NODATA_CONFIDENCE
from geoseg.grid.neighbours import Place
from geoseg.grid.smoothing import Edges
from geoseg.grid.tiling import Block
from geoseg.publish.arrow_files import write_table
from geoseg.store.lock import require_lock
from geoseg.store.records import Record, Records
from geoseg.store.serialization import PackedFiles, pack, unpack
from geoseg.store.storages.base import Buffer, Storage, read_all
from geoseg.store.storages.opening import open_storage
from geoseg.vector.blocks import BlockLabels, OpenPolygons, blank_labels
from geoseg.vector.labels.components import Components
from geoseg.vector.minimum_area import Boundaries, Changes
from geoseg.vector.seams import BlockBorder, blank_border

WORK = ".work"
"""Folder of the output with unfinished work."""
BLOCKS, SMOOTHED, MERGED = "blocks", "smoothed", "merged"
GRAPHS, CHANGES, TRACED = "graphs", "changes", "traced"
"""Kinds of records: finished blocks; smoothed classes and their components; components after the minimum area; graph;
changes of class; polygons."""
STRIPS = {(0, -1): "east", (-1, 0): "south", (-1, -1): "south_east"}
"""The strip of a neighbour that reaches into a block, by the step to the neighbour."""
SCENE = "scene"
"""Name of the record of a unit that works on the whole scene."""


@dataclass(frozen=True, slots=True)
class Graph:
    """A block's part of the graph of components."""

    components: Components
    boundaries: Boundaries
    seams: np.ndarray
    """Pairs of components of this block and its east and south neighbours to be united, int64 of shape (P, 2)."""


@dataclass(frozen=True, slots=True)
class OpenBlock:
    """What joining needs of a traced block."""

    polygons: OpenPolygons
    seams: np.ndarray
    """As in `Graph`."""


@dataclass(frozen=True, slots=True)
class SceneStore:
    """Access to one scene's unfinished work. Is sent to workers."""

    url: str
    """URL of the output."""
    scene_id: str
    """Id of the scene."""
    fingerprint: str
    """Digest of the fingerprint."""
    layout: str
    """Name of block size, software and hardware; records of another layout cannot be used."""
    token: str | None = None
    """Token of the run's lock; None for a run without lock."""
    scratch_dir: str | None = None
    """``run.scratch_dir``."""
    smoothed: bool = False
    """Whether classes and components are those after smoothing."""

    def require_lock(self) -> None:
        """Check that this run still holds the lock of the output.

        Raises:
            LockLostError: If another run has taken it over.
        """
        if self.token is not None:
            require_lock(self.storage, self.token)

    @property
    def work(self) -> str:
        """Prefix of all that is removed when the scene is committed."""
        return f"{WORK}/{self.scene_id}/{self.fingerprint}"

    @property
    def records(self) -> Records:
        """The records of this layout."""
        return Records(self.url, f"{self.work}/{self.layout}")

    @property
    def storage(self) -> Storage:
        """The output's storage."""
        return open_storage(self.url, self.scratch_dir)

    def put_finished(
        self,
        block: Block,
        class_map: ClassMap,
        spill: Spill,
        after: BlockLabels | Edges | None,
        facts: Mapping[str, Any],
    ) -> int:
        """Store a finished block, its components or edges, and the strips for its neighbours.

        Returns:
            The bytes written.
        """
        parts: dict[str, Buffer] = {"classes": _bytes(class_map.classes), "confidence": _bytes(class_map.confidence)}
        parts |= {name: _bytes(layer) for name, layer in class_map.layers.items()}
        parts |= {"edges": pack(after)} if isinstance(after, Edges) else _labels(after)
        strips = {name: getattr(spill, name) for name in STRIPS.values()}
        parts |= {name: pack(strip) for name, strip in strips.items() if strip is not None}
        return self.records.put(BLOCKS, block.name, facts, **parts)

    def is_blank(self, *blocks: Block) -> bool:
        """Whether all these blocks are finished and none has a valid pixel."""
        records = (self.records.find(BLOCKS, block.name) for block in blocks)
        return all(record is not None and not record.facts["valid_pixels"] for record in records)

    def put_empty(self, kind: str, block: Block, **facts: Any) -> int:
        """Store that a block had no work at this stage: a record without parts; returns the bytes written."""
        return self.records.put(kind, block.name, facts)

    def take_spill(self, before: Mapping[Place, Block]) -> list[Strip]:
        """The strips that reach into a block, from its west, north and north-west neighbours, by the step to each."""
        parts = (self.records.get(BLOCKS, block.name, STRIPS[step]) for step, block in before.items())
        return [unpack(Strip, data) for data in parts if data is not None]

    def edges(self, around: Mapping[Place, Block]) -> dict[Place, Edges]:
        """Edges of a block's neighbours before smoothing, by the step from the block; without those that are blank."""
        parts = ((step, self.records.get(BLOCKS, block.name, "edges")) for step, block in around.items())
        return {step: unpack(Edges, data) for step, data in parts if data is not None}

    def put_smoothed(
        self, block: Block, classes: NDArray[np.uint8], labels: BlockLabels | None, facts: Mapping[str, Any]
    ) -> int:
        """Store the classes of a block after smoothing and its components; returns the bytes written."""
        return self.records.put(SMOOTHED, block.name, facts, classes=_bytes(classes), **_labels(labels))

    def classes(self, block: Block, *, smoothed: bool = True) -> NDArray[np.uint8]:
        """Class ids of a finished block, shape of its core; before or after smoothing, if there is any."""
        return self._plane(block, "classes", NODATA_CLASS, block.core.shape, self._kind if smoothed else BLOCKS)

    def confidence(self, block: Block) -> NDArray[np.uint8]:
        """Confidence of a finished block, shape of its core."""
        return self._plane(block, "confidence", NODATA_CONFIDENCE, block.core.shape)

    def layer(self, block: Block, name: str, decision: Decision) -> NDArray[Any]:
        """A layer of a finished block, see `geoseg.grid.decision.LAYERS`; the confidence and the dates too."""
        dtype = np.uint16 if name == DATES else np.uint8
        return self._plane(block, name, NODATA_CONFIDENCE, decision.shape(name, block.core.shape), dtype=dtype)

    def labels(self, block: Block, *, merged: bool = False) -> BlockLabels:
        """The components of a finished block; with ``merged`` after the minimum area."""
        data = self.records.get(MERGED if merged else self._kind, block.name, "labels")
        return blank_labels(block.core) if data is None else unpack(BlockLabels, data)

    def put_labels(self, kind: str, block: Block, labels: BlockLabels | None, **facts: Any) -> int:
        """Store the components of a block alone: after the minimum area, or of reused pixels; returns the bytes."""
        return self.records.put(kind, block.name, facts, **_labels(labels))

    def borders(self, around: Mapping[Place, Block], *, merged: bool = False) -> dict[Place, BlockBorder]:
        """Borders of a block's neighbours, by the step from the block."""
        borders = {}
        for step, block in around.items():
            data = self.records.get(MERGED if merged else self._kind, block.name, "border")
            borders[step] = blank_border(block.core.shape) if data is None else unpack(BlockBorder, data)
        return borders

    def put_graph(self, block: Block, graph: Graph) -> int:
        """Store a block's part of the graph; returns the bytes written."""
        return self.records.put(GRAPHS, block.name, {}, graph=pack(graph))

    def graphs(self, blocks: Iterable[Block]) -> list[Graph]:
        """The parts of the graph."""
        parts = read_all(lambda block: self.records.get(GRAPHS, block.name, "graph"), blocks)
        return [unpack(Graph, data) for data in parts if data is not None]

    def put_changes(self, changes: Changes) -> int:
        """Store the scene's changes of class; returns the bytes written."""
        return self.records.put(CHANGES, SCENE, {}, changes=pack(changes))

    def changes(self) -> Changes:
        """The scene's changes of class."""
        return unpack(Changes, self.records.get(CHANGES, SCENE, "changes") or b"")

    def put_traced(self, block: Block, polygons: pa.Table, open_block: OpenBlock) -> int:
        """Store the closed polygons of a block and its open ones; returns the bytes written."""
        parts: dict[str, Buffer] = {"open": pack(open_block)}
        if len(polygons):
            parts["polygons"] = write_table(polygons)
        return self.records.put(TRACED, block.name, {"polygons": len(polygons)}, **parts)

    def open_blocks(
        self, blocks: Iterable[Block], folder: Path
    ) -> tuple[PackedFiles[OpenPolygons], PackedFiles[np.ndarray]]:
        """Open polygons and seams of traced blocks; files that are not local are downloaded into ``folder``."""
        files = self._files("open", blocks, folder)
        return (
            PackedFiles(lambda data: unpack(OpenBlock, data).polygons, files),
            PackedFiles(lambda data: unpack(OpenBlock, data).seams, files),
        )

    def polygon_files(self, blocks: Iterable[Block], folder: Path) -> list[Path]:
        """Arrow files of the closed polygons of blocks; files that are not local are downloaded into ``folder``."""
        return self._files("polygons", blocks, folder)

    def find(self, kind: str, names: Iterable[str]) -> dict[str, Record]:
        """The complete records of a kind; a record with missing or shortened parts is invalidated."""
        folder = f"{self.records.prefix}/{kind}"
        # The listing avoids requests for records that do not exist, and shows lost parts.
        listed = {key.removeprefix(f"{folder}/"): size for key, size in self.storage.sizes(folder).items()}
        candidates = [name for name in names if f"{name}.json" in listed]
        records = read_all(lambda name: self.records.find(kind, name), candidates)
        complete = {}
        for name, record in zip(candidates, records, strict=True):
            parts = {} if record is None else record.parts
            if record is not None and all(listed.get(f"{name}.{p}") == parts[p]["bytes"] for p in parts):
                complete[name] = record
            else:
                self.records.invalidate(kind, name)
        return complete

    def _files(self, part: str, blocks: Iterable[Block], folder: Path) -> list[Path]:
        """Local files of one part of the records of traced blocks; blocks without this part are skipped."""
        files = read_all(lambda block: self.records.fetch(TRACED, block.name, part, folder), blocks)
        return [file for file in files if file is not None]

    @property
    def _kind(self) -> str:
        """Kind of the records with the classes that are published."""
        return SMOOTHED if self.smoothed else BLOCKS

    def _plane(
        self,
        block: Block,
        part: str,
        blank: int,
        shape: tuple[int, ...],
        kind: str = BLOCKS,
        dtype: type[np.uint8 | np.uint16] = np.uint8,
    ) -> NDArray[Any]:
        """Pixels of a block, read-only; ``blank`` everywhere if the record has none."""
        data = self.records.get(kind, block.name, part)
        pixels = np.broadcast_to(dtype(blank), shape)
        return pixels if data is None else np.frombuffer(data, dtype).reshape(pixels.shape)


def _labels(labels: BlockLabels | None) -> dict[str, Buffer]:
    """The parts for the components of a block: all of them, and its border for the neighbours."""
    return {} if labels is None else {"labels": pack(labels), "border": pack(labels.border)}


def _bytes(pixels: NDArray[Any]) -> Buffer:
    """The bytes of an array, without a copy if it is contiguous."""
    return np.ascontiguousarray(pixels).data.cast("B")
