"""What a scene's units of work leave for each other and for the next run: finished blocks, their strips, polygons.

Everything lies under ``.work/<scene>/<fingerprint>/<layout>/`` of the output, as records (`geoseg.store.records`).
`geoseg.store.commit` moves results to their place.
"""

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from geoseg.grid.blend import ClassMap, Spill, Strip
from geoseg.grid.legend import NODATA_CLASS, NODATA_CONFIDENCE
from geoseg.grid.neighbours import Place
from geoseg.grid.tiling import Block
from geoseg.publish.arrow_files import write_table
from geoseg.store.lock import require_lock
from geoseg.store.records import Record, Records
from geoseg.store.serialization import PackedFiles, pack, unpack
from geoseg.store.storages.base import Buffer, Storage
from geoseg.store.storages.opening import open_storage
from geoseg.vector.blocks import BlockLabels, OpenPolygons, blank_labels
from geoseg.vector.components import Components
from geoseg.vector.minimum_area import Boundaries, Changes
from geoseg.vector.seams import BlockBorder, blank_border

WORK = ".work"
"""Folder of the output that holds what is not committed yet."""
BLOCKS, MERGED, GRAPHS, CHANGES, TRACED = "blocks", "merged", "graphs", "changes", "traced"
"""Kinds of records: finished blocks; their classes after the minimum area; graph; changes of class; polygons."""
STRIPS = {(0, -1): "east", (-1, 0): "south", (-1, -1): "south_east"}
"""The strip of a neighbour that reaches into a block, by the step to the neighbour."""
READERS = 16
"""Records that are read at a time: each is small, and may come from far away."""
SCENE = "scene"
"""Name of the record of a unit that works on the whole scene."""


@dataclass(frozen=True, slots=True)
class Graph:
    """A block's part of the graph of components."""

    components: Components
    boundaries: Boundaries
    seams: np.ndarray
    """Pairs of components of this block and its east and south neighbours that are one, int64 of shape (P, 2)."""


@dataclass(frozen=True, slots=True)
class OpenBlock:
    """What joining needs of a traced block."""

    polygons: OpenPolygons
    seams: np.ndarray
    """As in `Graph`."""


@dataclass(frozen=True, slots=True)
class SceneStore:
    """Where one scene's unfinished work lies. Travels to workers."""

    url: str
    """The run's output."""
    scene_id: str
    """The scene."""
    fingerprint: str
    """Digest of all that can change a byte of the results."""
    layout: str
    """Names the blocks and the software: records of one layout mean nothing to another."""
    token: str | None = None
    """That of the run's lock; None for one that has none."""
    scratch_dir: str | None = None
    """``run.scratch_dir``."""

    def require_lock(self) -> None:
        """Make sure that the output is still this run's own.

        Raises:
            LockLostError: If another run has taken it over.
        """
        if self.token is not None:
            require_lock(self.storage, self.token)

    @property
    def work(self) -> str:
        """Prefix of all that is kept until the scene is committed."""
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
        self, block: Block, class_map: ClassMap, spill: Spill, labels: BlockLabels | None, facts: Mapping[str, Any]
    ) -> int:
        """Keep a finished block, its components, and the strips that its neighbours need; the bytes it takes."""
        parts: dict[str, Buffer] = {"classes": _bytes(class_map.classes), "confidence": _bytes(class_map.confidence)}
        if labels is not None:
            parts |= _labels(labels)
        strips = {name: getattr(spill, name) for name in STRIPS.values()}
        parts |= {name: pack(strip) for name, strip in strips.items() if strip is not None}
        return self.records.put(BLOCKS, block.name, facts, **parts)

    def put_blank(self, block: Block, facts: Mapping[str, Any]) -> int:
        """Keep a block without a valid pixel, which takes no room."""
        return self.records.put(BLOCKS, block.name, facts)

    def is_blank(self, *blocks: Block) -> bool:
        """Tell whether none of some finished blocks holds a valid pixel."""
        found = (self.records.find(BLOCKS, block.name) for block in blocks)
        return all(record is not None and not record.facts["valid_pixels"] for record in found)

    def put_empty(self, kind: str, block: Block) -> int:
        """Keep that there was nothing to do for a block; the bytes it takes."""
        return self.records.put(kind, block.name, {})

    def take_spill(self, before: Mapping[Place, Block]) -> list[Strip]:
        """The strips that reach into a block, of its west, north and north-west neighbours by their step to it."""
        found = (self.records.get(BLOCKS, block.name, STRIPS[step]) for step, block in before.items())
        return [unpack(Strip, data) for data in found if data is not None]

    def classes(self, block: Block) -> NDArray[np.uint8]:
        """Class ids of a finished block, shape of its core."""
        return self._plane(block, "classes", NODATA_CLASS)

    def confidence(self, block: Block) -> NDArray[np.uint8]:
        """Confidence of a finished block, shape of its core."""
        return self._plane(block, "confidence", NODATA_CONFIDENCE)

    def labels(self, block: Block, *, merged: bool = False) -> BlockLabels:
        """The components of a finished block; with ``merged`` after the minimum area."""
        data = self.records.get(MERGED if merged else BLOCKS, block.name, "labels")
        return blank_labels(block.core) if data is None else unpack(BlockLabels, data)

    def put_merged(self, block: Block, labels: BlockLabels) -> int:
        """Keep the components of a block after the minimum area; the bytes they take."""
        return self.records.put(MERGED, block.name, {}, **_labels(labels))

    def borders(self, around: Mapping[Place, Block], *, merged: bool = False) -> dict[Place, BlockBorder]:
        """Rims of a block's neighbours by their step from it."""
        borders = {}
        for step, block in around.items():
            data = self.records.get(MERGED if merged else BLOCKS, block.name, "border")
            borders[step] = blank_border(block.core.shape) if data is None else unpack(BlockBorder, data)
        return borders

    def put_graph(self, block: Block, graph: Graph) -> int:
        """Keep a block's part of the graph; the bytes it takes."""
        return self.records.put(GRAPHS, block.name, {}, graph=pack(graph))

    def graphs(self, blocks: Iterable[Block]) -> list[Graph]:
        """The parts of the graph."""
        return [unpack(Graph, data) for data in self._parts(GRAPHS, "graph", blocks)]

    def put_changes(self, changes: Changes) -> int:
        """Keep the scene's changes of class; the bytes they take."""
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
        """Arrow files of the polygons inside blocks, brought into ``folder`` unless they are local."""
        return self._files("polygons", blocks, folder)

    def find(self, kind: str, names: Iterable[str]) -> dict[str, Record]:
        """The records of a kind that exist; one whose parts are not there in full is withdrawn."""
        folder = f"{self.records.prefix}/{kind}"
        # The listing only spares asking for what was never begun and shows what is lost: the records are read.
        listed = {key.removeprefix(f"{folder}/"): size for key, size in self.storage.sizes(folder).items()}
        likely = [name for name in names if f"{name}.json" in listed]
        with ThreadPoolExecutor(READERS) as pool:
            found = dict(zip(likely, pool.map(lambda name: self.records.find(kind, name), likely), strict=True))
        done = {}
        for name, record in found.items():
            parts = {} if record is None else record.parts
            if record is not None and all(listed.get(f"{name}.{p}") == parts[p]["bytes"] for p in parts):
                done[name] = record
            else:
                self.records.withdraw(kind, name)
        return done

    def _files(self, part: str, blocks: Iterable[Block], folder: Path) -> list[Path]:
        """Local files of a part of what traced blocks left, of those that have it."""
        with ThreadPoolExecutor(READERS) as pool:
            found = pool.map(lambda block: self.records.fetch(TRACED, block.name, part, folder), blocks)
            return [file for file in found if file is not None]

    def _parts(self, kind: str, part: str, blocks: Iterable[Block]) -> list[bytes]:
        """A part of each block's record, of those that have it."""
        with ThreadPoolExecutor(READERS) as pool:
            found = pool.map(lambda block: self.records.get(kind, block.name, part), blocks)
            return [data for data in found if data is not None]

    def _plane(self, block: Block, part: str, nothing: int) -> NDArray[np.uint8]:
        """Pixels of a block, shape of its core, read-only; ``nothing`` everywhere in one that has none."""
        data = self.records.get(BLOCKS, block.name, part)
        pixels = np.broadcast_to(np.uint8(nothing), block.core.shape)
        return pixels if data is None else np.frombuffer(data, np.uint8).reshape(pixels.shape)


def _labels(labels: BlockLabels) -> dict[str, Buffer]:
    """The components of a block for itself, and what its neighbours need to know of them."""
    return {"labels": pack(labels), "border": pack(labels.border)}


def _bytes(pixels: NDArray[np.uint8]) -> Buffer:
    """The bytes of an array, without a copy if they lie in order."""
    return np.ascontiguousarray(pixels).data.cast("B")
