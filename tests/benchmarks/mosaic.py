"""Scenes of several files beside the same pixels in one: throughput, memory, and the time to plan.

The model costs nothing, so that what is measured is reading and the pipeline.
"""

import json
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
from rasterio.transform import Affine

from geoseg.config import Settings
from geoseg.plan.forecast import forecast
from tests.benchmarks.commands import read_report, segment_command, warm_up
from tests.benchmarks.figure import Figure
from tests.benchmarks.processes import measure
from tests.benchmarks.scenes import SHRINK, TILE_PX
from tests.support.bundles import constant_bundle
from tests.support.scenes import TRANSFORM, write_scene
from tests.support.stac import write_item

FILES_A_SIDE, FILE_PX = 10, 2 * TILE_PX
SIDES = {"band1": 1, "band2": 1.5, "band3": 2, "band4": 3, "band5": 6}
"""Side of a pixel of each band of the Item, in those of the finest."""
ITEM_PX = 9216
"""Side of the Item in pixels of the finest band, a multiple of all sides."""
FEW, MANY = 10, 1000
"""Items whose memory is compared."""
PLANNED, PLAN_S = 10_000, 10.0
ROUNDS = 3
LEAST_ALIGNED, LEAST_ITEM, MOST_GROWTH = 0.9, 0.7, 1.2
INLINE = {"run.address": "inline", "run.device": "cpu", "run.workers": 1, "run.threads": 1}
PROFILE = {"tiled": True, "blockxsize": TILE_PX, "blockysize": TILE_PX, "compress": "zstd", "zstd_level": 1}


def run(folder: Path) -> Iterator[Figure]:
    """Measure mosaics and Items."""
    warm_up(folder)
    yield from _aligned(folder / "aligned")
    yield from _item(folder / "item")
    yield from _memory(folder / "memory")
    yield from _planning(folder / "planning")


def _aligned(folder: Path) -> Iterator[Figure]:
    """A mosaic of files on one grid beside one file."""
    (folder / "files").mkdir(parents=True)
    count = max(2, FILES_A_SIDE // SHRINK)
    pixels = _noise(4, FILE_PX)
    for place in range(count * count):
        row, col = divmod(place, count)
        moved = TRANSFORM @ Affine.translation(col * FILE_PX, row * FILE_PX)
        write_scene(folder / f"files/{place:03}.tif", pixels, transform=moved, nodata=0, **PROFILE)
    whole = write_scene(folder / "whole.tif", np.tile(pixels, (1, count, count)), nodata=0, **PROFILE)
    bundle = constant_bundle(folder / "bundle", 4, 5, patch_px=512, overlap_px=64)
    found = _alternately(
        folder,
        [
            [*segment_command(folder / "files/*.tif", bundle, folder / "mosaic", INLINE), "--mosaic", "region"],
            segment_command(whole, bundle, folder / "one", INLINE),
        ],
    )
    yield Figure(
        "mosaic", f"{count * count} aligned files of {FILE_PX} px as one scene, without a model", found[0], "Mpx/s",
        found[1], "the same pixels in one file", least=LEAST_ALIGNED,
    )  # fmt: skip


def _item(folder: Path) -> Iterator[Figure]:
    """An Item whose bands have five resolutions beside one file of its finest."""
    folder.mkdir()
    side_px = max(24, ITEM_PX // SHRINK // 24 * 24)
    assets, pixels = {}, np.resize(_noise(1, TILE_PX), (1, side_px, side_px))
    for name, side in SIDES.items():
        size = round(side_px / side)
        write_scene(
            folder / f"{name}.tif", pixels[:, :size, :size], transform=TRANSFORM @ Affine.scale(side), nodata=0,
            **PROFILE,
        )  # fmt: skip
        assets[name] = {"href": f"{name}.tif", "bands": [{"name": name}]}
    item = write_item(folder / "item.json", assets)
    whole = write_scene(folder / "whole.tif", np.repeat(pixels, len(SIDES), axis=0), nodata=0, **PROFILE)
    bundle = constant_bundle(folder / "bundle", len(SIDES), 5, patch_px=512, overlap_px=64)
    commands = [segment_command(path, bundle, folder / path.stem, INLINE) for path in (item, whole)]
    found = _alternately(folder, commands)
    yield Figure(
        "mosaic", f"an Item of {side_px} px with bands of five resolutions", found[0], "Mpx/s",
        found[1], "all bands in one file of the finest", least=LEAST_ITEM,
    )  # fmt: skip


def _memory(folder: Path) -> Iterator[Figure]:
    """Peak memory of a run on few and on many files."""
    bundle = constant_bundle(folder / "bundle", 1, 2, patch_px=256, overlap_px=64)
    peaks = []
    for count in (FEW, max(2 * FEW, MANY // SHRINK)):
        files, output = folder / f"{count}", folder / f"out{count}"
        files.mkdir()
        for place in range(count):
            row, col = divmod(place, FEW)
            moved = TRANSFORM @ Affine.translation(col * TILE_PX, row * TILE_PX)
            write_scene(files / f"{place:04}.tif", _noise(1, TILE_PX), transform=moved, nodata=0, **PROFILE)
        command = [
            *segment_command(files / "*.tif", bundle, output, {**INLINE, "tiling.block_px": 960}),
            "--mosaic",
            "region",
        ]
        peaks.append(measure(command, output.with_suffix(".log")).peak_bytes / 2**20)
    yield Figure("mosaic", f"peak memory, {FEW} items", peaks[0], "MiB")
    yield Figure("mosaic", f"peak memory, {count} items", peaks[1], "MiB", peaks[0], f"{FEW} items", limit=MOST_GROWTH)


def _planning(folder: Path) -> Iterator[Figure]:
    """Time to plan a run on many Items, and on as many local files."""
    (folder / "files").mkdir(parents=True)
    count, pixels, items = PLANNED // SHRINK, _noise(1, 16), []
    for place in range(count):
        file = folder / f"files/{place:05}.tif"
        row, col = divmod(place, 100)
        moved = TRANSFORM @ Affine.translation(16 * col, 16 * row)
        write_scene(file, pixels, transform=moved, nodata=0)
        asset = {
            "href": str(file), "bands": [{"name": "band1", "data_type": "uint16"}], "proj:code": "EPSG:32632",
            "proj:shape": [16, 16], "proj:transform": list(moved)[:6],
        }  # fmt: skip
        properties = {"datetime": "2024-06-21T10:30:00Z"}
        items.append({"type": "Feature", "id": f"{place}", "properties": properties, "assets": {"red": asset}})
    collection = folder / "items.json"
    collection.write_text(json.dumps({"type": "FeatureCollection", "features": items}))
    bundle = constant_bundle(folder / "bundle", 1, 2, patch_px=64, overlap_px=16)
    goal = {"baseline": PLAN_S * count / PLANNED, "compared_with": "the goal", "limit": 1}
    for what, entry, judged in (("Items", collection, goal), ("local files", folder / "files", {})):
        mosaic = {"id": "m", "items": [str(entry)]}
        more = {"model": str(bundle), "output": str(folder / "out"), "run": {"address": "inline"}}
        started = perf_counter()
        planned = forecast(Settings.model_validate({"mosaics": [mosaic], **more}))
        taken_s = perf_counter() - started
        if planned.failed:
            raise RuntimeError(planned.failed[0][1])
        yield Figure("mosaic", f"planning of {count:,} {what}, with all checks", taken_s, "s", **judged)


def _alternately(folder: Path, commands: Sequence[list[str]]) -> list[float]:
    """Median throughput of each command, in Mpx/s; they take turns, so that a busy moment meets all."""
    found: list[list[float]] = [[] for _ in commands]
    for number in range(ROUNDS):
        for rates, command in zip(found, commands, strict=True):
            output = folder / f"out{number}-{len(rates)}-{id(rates)}"
            at = command.index("--output") + 1
            with output.with_suffix(".log").open("w") as log:
                subprocess.run([*command[:at], str(output), *command[at + 1 :]], check=True, stdout=log, stderr=log)
            rates.append(read_report(output)["px_per_s"] / 1e6)
    return [median(rates) for rates in found]


def _noise(bands: int, side_px: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).integers(1, 4000, (bands, side_px, side_px)).astype(np.uint16)
