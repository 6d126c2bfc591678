"""What a scene's units of work leave for each other and for the next run: finished blocks, their strips, polygons.

Everything lies under ``.work/<scene>/<fingerprint>/<layout>/`` of the output, as records (`geoseg.run.records`).
`geoseg.run.commit` moves results to their place.
"""

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from geoseg.errors import StoreError
from geoseg.grid.blend import ClassMap, Spill, Strip
from geoseg.grid.legend import NODATA_CLASS, NODATA_CONFIDENCE
from geoseg.grid.tiling import Block
from geoseg.grid.window import Window
from geoseg.publish.sorting import write_table
from geoseg.run.pack import pack, unpack
from geoseg.run.records import Record, Records
from geoseg.run.storage import Storage
from geoseg.vector.blocks import Unfinished
from geoseg.vector.components import Components
from geoseg.vector.minimum_area import Boundaries, Changes
from geoseg.vector.seams import Place, Rim, blank_rim

WORK = ".work"
"""Folder of the output that holds what is not committed yet."""
BLOCKS, MERGED, GRAPHS, CHANGES, TRACED = "blocks", "merged", "graphs", "changes", "traced"
"""Kinds of records: finished blocks; their classes after the minimum area; graph; changes of class; polygons."""
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
class Rest:
    """What a traced block leaves for the scene."""

    unfinished: Unfinished
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
        return self.records.storage

    def put_finished(
        self, block: Block, class_map: ClassMap, spill: Spill, rim: Rim | None, facts: Mapping[str, Any]
    ) -> int:
        """Keep a finished block, its rim, and the strips that its neighbours need; the bytes it takes."""
        planes = np.stack([class_map.classes, class_map.confidence])
        parts = {"classes": planes.tobytes()}
        if rim is not None:
            parts["rim"] = pack(rim)
        if spill != Spill(None, None, None):
            parts["strips"] = pack(spill)
        return self.records.put(BLOCKS, block.name, facts, **parts)

    def put_blank(self, block: Block, facts: Mapping[str, Any]) -> int:
        """Keep a block without a valid pixel, which takes no room."""
        return self.records.put(BLOCKS, block.name, facts)

    def take_spill(self, block: Block, before: Mapping[Place, Block]) -> list[Strip]:
        """The strips that reach into a block, of its west, north and north-west neighbours by their step to it.

        None of them if another attempt has finished the block meanwhile, for it also removes strips.
        """
        strips = []
        for (down, right), neighbour in before.items():
            try:
                data = self.records.get(BLOCKS, neighbour.name, "strips", withdraw=False)
            except StoreError:
                if self.records.find(BLOCKS, block.name) is not None:
                    return []
                self.records.withdraw(BLOCKS, neighbour.name)
                raise
            spill = Spill(None, None, None) if data is None else unpack(Spill, data)
            strips.append({(0, -1): spill.east, (-1, 0): spill.south, (-1, -1): spill.south_east}[down, right])
        return [strip for strip in strips if strip is not None]

    def drop_spill(self, block: Block) -> None:
        """Remove the strips of a block all of whose neighbours are finished."""
        self.records.drop(BLOCKS, block.name, "strips")

    def class_map(self, block: Block, *, merged: bool = False) -> ClassMap:
        """A finished block; with ``merged`` after the minimum area."""
        return _class_map(self.records.get(MERGED if merged else BLOCKS, block.name, "classes"), block.core)

    def put_merged(self, block: Block, class_map: ClassMap, rim: Rim) -> int:
        """Keep a block after the minimum area; the bytes it takes."""
        planes = np.stack([class_map.classes, class_map.confidence])
        return self.records.put(MERGED, block.name, {}, classes=planes.tobytes(), rim=pack(rim))

    def rims(self, around: Mapping[Place, Block], *, merged: bool = False) -> dict[Place, Rim]:
        """Rims of a block's neighbours by their step from it."""
        rims = {}
        for step, block in around.items():
            data = self.records.get(MERGED if merged else BLOCKS, block.name, "rim")
            rims[step] = blank_rim(block.core.shape) if data is None else unpack(Rim, data)
        return rims

    def put_graph(self, block: Block, graph: Graph) -> int:
        """Keep a block's part of the graph; the bytes it takes."""
        return self.records.put(GRAPHS, block.name, {}, graph=pack(graph))

    def graphs(self, blocks: Iterable[Block]) -> list[Graph]:
        """The parts of the graph."""
        found = (self.records.get(GRAPHS, block.name, "graph") for block in blocks)
        return [unpack(Graph, data) for data in found if data is not None]

    def put_changes(self, changes: Changes) -> int:
        """Keep the scene's changes of class; the bytes they take."""
        return self.records.put(CHANGES, SCENE, {}, changes=pack(changes))

    def changes(self) -> Changes:
        """The scene's changes of class."""
        return unpack(Changes, self.records.get(CHANGES, SCENE, "changes") or b"")

    def put_traced(self, block: Block, polygons: pa.Table, rest: Rest) -> int:
        """Keep the polygons inside a block, and what goes on in others; the bytes they take."""
        parts = {"rest": pack(rest)}
        if len(polygons):
            parts["polygons"] = write_table(polygons)
        return self.records.put(TRACED, block.name, {"polygons": len(polygons)}, **parts)

    def rests(self, blocks: Iterable[Block]) -> list[Rest]:
        """What traced blocks have left for the scene."""
        found = (self.records.get(TRACED, block.name, "rest") for block in blocks)
        return [unpack(Rest, data) for data in found if data is not None]

    def polygon_files(self, blocks: Iterable[Block], folder: Path) -> list[Path]:
        """Arrow files of the polygons inside blocks, brought into ``folder`` unless they are local."""
        found = (self.records.fetch(TRACED, block.name, "polygons", folder) for block in blocks)
        return [file for file in found if file is not None]

    def find(self, kind: str, names: Iterable[str]) -> dict[str, Record]:
        """The records of a kind that exist."""
        folder = f"{self.records.prefix}/{kind}"
        # The listing only spares asking for what was never begun: the records are read.
        listed = {key.removeprefix(f"{folder}/") for key in self.storage.keys(folder)}
        likely = [name for name in names if f"{name}.json" in listed]
        with ThreadPoolExecutor(READERS) as pool:
            found = dict(zip(likely, pool.map(lambda name: self.records.find(kind, name), likely), strict=True))
        return {name: record for name, record in found.items() if record is not None}


def _class_map(data: bytes | None, window: Window) -> ClassMap:
    if data is None:
        nothing = np.full(window.shape, NODATA_CLASS, np.uint8), np.full(window.shape, NODATA_CONFIDENCE, np.uint8)
        return ClassMap(window, *nothing)
    # A copy can be written to: compiled functions would be compiled once more for arrays that cannot.
    classes, confidence = np.frombuffer(data, np.uint8).reshape(2, *window.shape).copy()
    return ClassMap(window, classes, confidence)
