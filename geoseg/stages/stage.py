"""The stages of a run as values: the function, what it works on, and which process can run it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from geoseg.stages.fusing import finish_dates, predict_date
from geoseg.stages.outputs import (
    carry_rasters,
    commit_scene,
    publish_classes,
    publish_polygons,
    publish_raster,
    seal_scene,
)
from geoseg.stages.reading import read_block
from geoseg.stages.scoring import finish_block, predict_block, reuse_block, smooth_block
from geoseg.stages.tracing import absorb_small, find_graph, relabel_block, trace_polygons


@dataclass(frozen=True, slots=True)
class Stage:
    """One kind of unit of work."""

    name: str
    function: Callable[..., Any]
    """A plain function ``function(plan, *args, *inputs)``; the predictor comes first if the model is needed."""
    scope: Literal["block", "scene"]
    """What one unit works on. The deadline of a unit on a scene grows with the scene's pixels."""
    needs_model: bool = False
    """Whether it must run in a process with a predictor."""
    in_memory: bool = False
    """Whether its input or output exists in memory only; if that is lost, the block is read again."""
    outputs: int = 1
    """2 if it returns a pair: a small value for the driver, and a large value that goes to the next unit only."""


READ = Stage("read", read_block, "block", in_memory=True, outputs=2)
PREDICT = Stage("predict", predict_block, "block", needs_model=True, in_memory=True, outputs=2)
FINISH = Stage("finish", finish_block, "block", in_memory=True)
PREDICT_DATE = Stage("predict_date", predict_date, "block", needs_model=True, in_memory=True, outputs=2)
FINISH_DATES = Stage("finish_dates", finish_dates, "block", in_memory=True)
REUSE = Stage("reuse", reuse_block, "block")
SMOOTH = Stage("smooth", smooth_block, "block")
GRAPH = Stage("graph", find_graph, "block")
ABSORB = Stage("absorb", absorb_small, "scene")
RELABEL = Stage("relabel", relabel_block, "block")
TRACE = Stage("trace", trace_polygons, "block")
CARRY = Stage("carry", carry_rasters, "scene")
PUBLISH_CLASSES = Stage("publish_classes", publish_classes, "scene")
PUBLISH_RASTER = Stage("publish_raster", publish_raster, "scene")
PUBLISH_POLYGONS = Stage("publish_polygons", publish_polygons, "scene")
SEAL = Stage("seal", seal_scene, "scene")
COMMIT = Stage("commit", commit_scene, "scene")

STAGES = {
    stage.name: stage
    for stage in (
        *(READ, PREDICT, FINISH, PREDICT_DATE, FINISH_DATES, REUSE, SMOOTH, GRAPH, ABSORB, RELABEL, TRACE),
        *(CARRY, PUBLISH_CLASSES, PUBLISH_RASTER, PUBLISH_POLYGONS, SEAL, COMMIT),
    )
}
"""All stages by name; units are sent to other processes with the name of their stage."""
