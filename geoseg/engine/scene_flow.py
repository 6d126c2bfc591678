"""The order of the work in one scene, from the first block to the commit.

Each flow is a generator that the scheduler runs: it yields a unit of work and receives its value, or yields a barrier
and continues when that is open. Units that an earlier run has recorded are skipped.
"""

from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from geoseg.engine.barrier import Barrier, Countdown
from geoseg.engine.executor import Ref
from geoseg.engine.scene_state import SceneState
from geoseg.grid.tiling import Block
from geoseg.stages.metrics import UnitMetrics, resumed_metrics
from geoseg.stages.reading import BLANK, TODO
from geoseg.stages.stage import (
    ABSORB,
    CARRY,
    COMMIT,
    FINISH,
    FINISH_DATES,
    GRAPH,
    PREDICT,
    PREDICT_DATE,
    PUBLISH_CLASSES,
    PUBLISH_POLYGONS,
    PUBLISH_RASTER,
    READ,
    RELABEL,
    REUSE,
    SEAL,
    SMOOTH,
    TRACE,
    Stage,
)
from geoseg.store.scene_store import BLOCKS, CHANGES, GRAPHS, MERGED, SMOOTHED, TRACED


@dataclass(frozen=True, slots=True)
class Work:
    """Requests a unit of work. The flow receives its value; from a stage of two outputs the value and a reference."""

    stage: Stage
    block: Block | None = None
    args: tuple[Any, ...] = ()
    """Small values after the block."""
    inputs: tuple[Ref, ...] = ()
    """Large values of earlier units of the block."""


@dataclass(frozen=True, slots=True)
class Until:
    """Requests to continue when a barrier is open."""

    barrier: Barrier
    block: Block | None = None


Flow = Generator[Work | Until, Any, Mapping[str, Any] | None]
"""Returns the results of the scene if the flow has committed it, else None."""


def scene_flows(scene: SceneState) -> Iterator[Callable[[], Flow]]:
    """The flows that work on the whole scene. Each begins with a barrier."""
    if scene.plan.reused is not None:
        yield partial(publish, scene, Work(CARRY), scene.finished)
    else:
        yield partial(publish, scene, Work(PUBLISH_CLASSES), scene.classified)
        for name in scene.plan.rasters:
            yield partial(publish, scene, Work(PUBLISH_RASTER, args=(name,)), scene.finished)
    if scene.plan.has_polygons:
        yield partial(publish, scene, Work(PUBLISH_POLYGONS), scene.traced)
    if scene.plan.has_polygons and scene.plan.polygons.has_min_area:
        yield partial(absorb, scene)
    yield partial(seal_and_commit, scene)


def process_block(scene: SceneState, block: Block) -> Flow:
    """Process a block from pixels to polygons."""
    yield from score(scene, block)
    if scene.plan.smoothing_px:
        yield from smooth(scene, block)
    if not scene.plan.has_polygons:
        return None
    yield Until(scene.labelled, block)
    if scene.plan.polygons.has_min_area:
        yield from record(scene, Work(GRAPH, block), GRAPHS)
        scene.graphed.arrive()
        yield Until(scene.absorbed)
        yield from record(scene, Work(RELABEL, block), MERGED)
        scene.relabelled.arrive(block)
        yield Until(scene.relabelled, block)
    yield from record(scene, Work(TRACE, block), TRACED)
    scene.traced.arrive()
    return None


def score(scene: SceneState, block: Block) -> Flow:
    """Read, predict and finish a block, or take over its published pixels.

    Pixels and scores exist in memory only: after a loss this starts again.
    """
    if scene.is_recorded(BLOCKS, block):
        scene.resumed += 1
        scene.finish(block, resumed_metrics(scene.records[BLOCKS][block.name].facts))
        return None
    if scene.plan.reused is not None:
        scene.finish(block, (yield Work(REUSE, block)))
        return None
    scene.blocks_in_work += 1
    try:
        if scene.plan.is_fused:
            scene.finish(block, (yield from fuse(scene, block)))
            return None
        (metrics, state), data = yield Work(READ, block)
        scene.add(metrics)
        if state == TODO:
            metrics, data = yield Work(PREDICT, block, inputs=(data,))
            scene.add(metrics)
        if state == BLANK:
            metrics = UnitMetrics("finish", losses=metrics.losses)
        else:
            yield Until(scene.spilled, block)
            metrics = yield Work(FINISH, block, inputs=(data,))
    finally:
        scene.blocks_in_work -= 1
    scene.finish(block, metrics)
    return None


def fuse(scene: SceneState, block: Block) -> Generator[Work | Until, Any, UnitMetrics]:
    """Read and predict each date of a block, and finish it from the sums; the metrics of the last unit."""
    composite, total = scene.plan.scene.composite, None
    unscored: list[Ref] = []
    losses, notes = Counter[str](), list[str]()
    for date in composite.dates_touching(block.read) if composite else ():
        (metrics, state), data = yield Work(READ, block, args=(date,))
        scene.add(replace(metrics, notes=(), losses={}))
        if state == TODO:
            metrics, total = yield Work(PREDICT_DATE, block, inputs=(data,) if total is None else (data, total))
            scene.add(metrics)
        elif state == BLANK:
            losses.update(metrics.losses)
            notes += metrics.notes
        else:
            unscored.append(data)
    yield Until(scene.spilled, block)
    inputs = (*unscored, *(() if total is None else (total,)))
    finished: UnitMetrics = yield Work(FINISH_DATES, block, args=(dict(losses), tuple(notes)), inputs=inputs)
    return finished


def smooth(scene: SceneState, block: Block) -> Flow:
    """Smooth the classes of a block."""
    yield Until(scene.surrounded, block)
    if scene.is_recorded(SMOOTHED, block):
        components = scene.records[SMOOTHED][block.name].facts["components"]
    else:
        metrics = yield Work(SMOOTH, block)
        scene.add(metrics)
        components = metrics.components
    scene.smooth(block, components)
    return None


def record(scene: SceneState, work: Work, kind: str) -> Flow:
    """Run a unit that writes a record of this kind, unless the record exists."""
    if not scene.is_recorded(kind, work.block):
        scene.add((yield work))
    return None


def absorb(scene: SceneState) -> Flow:
    """Find the components below the minimum area on the graph of the whole scene."""
    yield Until(scene.graphed)
    yield from record(scene, Work(ABSORB), CHANGES)
    scene.absorbed.arrive()
    return None


def publish(scene: SceneState, work: Work, ready: Countdown) -> Flow:
    """Write and stage one part of the results."""
    yield Until(ready)
    staged = yield work
    scene.add(staged.metrics)
    scene.staged.append(staged)
    scene.published.arrive()
    return None


def seal_and_commit(scene: SceneState) -> Flow:
    """Write the journal once all is staged, and commit."""
    yield Until(scene.published)
    notes = yield Work(SEAL, args=(tuple(scene.staged),))
    if notes:
        scene.add(UnitMetrics("seal", notes=notes))
    return (yield from commit(scene))


def commit(scene: SceneState) -> Flow:
    """Commit a scene whose journal exists."""
    metrics, results = yield Work(COMMIT)
    scene.add(metrics)
    return dict(results)
