"""Attempts and deadlines of units of work, and the messages for scenes that fail."""

import errno

from geoseg.engine.executor import LostError
from geoseg.errors import SceneError, StoreError, UnreachableError
from geoseg.plan.scene_plan import ScenePlan
from geoseg.redact import redact
from geoseg.stages.stage import Stage

LOST_TRIES, MEMORY_TRIES = 4, 3
"""Attempts at a unit that was lost, or ran out of memory. Other errors, such as bad data, are not repeated."""
DEADLINE_PIXELS = 1 << 30
"""Units on a scene of more pixels, times the bands of its layers, get a longer deadline in proportion to them."""


def may_try_again(error: Exception, attempt: int) -> bool:
    """Whether a unit that failed with this error is repeated after this attempt."""
    if isinstance(error, LostError | UnreachableError):
        return attempt < LOST_TRIES
    return _is_memory(error) and attempt < MEMORY_TRIES


def is_resumable(error: Exception) -> bool:
    """Whether finished blocks can be used by the next run; not if the scene itself is faulty and must change."""
    return not isinstance(error, SceneError) or isinstance(error, StoreError | UnreachableError)


def deadline_s(plan: ScenePlan, stage: Stage) -> float:
    """Seconds that a unit may take."""
    # A raster of a band for each class takes as many times as long as one of a single band.
    values = plan.tiling.lattice.scene.pixels * max(1, plan.decision.planes)
    share = values / DEADLINE_PIXELS if stage.scope == "scene" else 0.0
    return plan.unit_timeout_s * max(1.0, share)


def describe_failure(plan: ScenePlan, error: Exception) -> str:
    """The message for a failed scene, with cause and remedy and without secrets."""
    return redact(_describe(plan, error))


def _describe(plan: ScenePlan, error: Exception) -> str:
    reason, path = " ".join(str(error).split()), plan.scene.path
    if isinstance(error, SceneError):
        return str(error) if path in reason else f"{path}: {error}"
    if isinstance(error, LostError):
        return (
            f"{path}: a unit of work was lost {LOST_TRIES} times, the last time because {reason}. If it needs longer, "
            "raise run.unit_timeout_s; if processes run out of memory, set tiling.block_px or run.workers lower. Then "
            "run the same command again."
        )
    if _is_memory(error):
        return (
            f"{path}: out of memory, {MEMORY_TRIES} times: {reason or 'no details'}. Set tiling.block_px or "
            "run.workers lower, then run the same command again; another run.batch_size would want --overwrite."
        )
    if isinstance(error, OSError):
        where = f" ({error.filename})" if error.filename else ""
        full = error.errno in {errno.ENOSPC, errno.EDQUOT}
        remedy = "Free some space" if full else "Repair the disk, the folder or the connection"
        return f"{path}: {error.strerror or reason}{where}. {remedy}, then run the same command again."
    return (
        f"{path}: unexpected {type(error).__name__}: {reason}. If the file opens elsewhere, this is a bug: please "
        "report it."
    )


def _is_memory(error: Exception) -> bool:
    """Whether memory ran out; torch has its own error for the memory of a device."""
    return isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
