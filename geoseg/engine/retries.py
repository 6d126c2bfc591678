"""How often and how long a unit of work is tried, and what is said when it cannot be done."""

import errno

from geoseg.engine.executor import LostError
from geoseg.errors import SceneError, StoreError, UnreachableError
from geoseg.plan.scene_plan import ScenePlan
from geoseg.redact import redact
from geoseg.stages.stage import Stage

LOST_TRIES, MEMORY_TRIES = 4, 3
"""A process may die by no fault of its unit, so that is tried again; what is wrong with the data is not."""
DEADLINE_PIXELS = 1 << 30
"""Units that work on a whole scene may take as much longer as the scene is larger."""


def may_try_again(error: Exception, attempt: int) -> bool:
    """Tell whether a unit that failed for this reason deserves another attempt."""
    if isinstance(error, LostError | UnreachableError):
        return attempt < LOST_TRIES
    return _is_memory(error) and attempt < MEMORY_TRIES


def is_resumable(error: Exception) -> bool:
    """Tell whether the blocks that are done are of use: not if the scene itself is at fault, for it must change."""
    return not isinstance(error, SceneError) or isinstance(error, StoreError | UnreachableError)


def deadline_s(plan: ScenePlan, stage: Stage) -> float:
    """Seconds that a unit may take."""
    share = plan.tiling.lattice.scene.pixels / DEADLINE_PIXELS if stage.scope == "scene" else 0.0
    return plan.unit_timeout_s * max(1.0, share)


def describe_failure(plan: ScenePlan, error: Exception) -> str:
    """Why a scene failed, and what to do about it; without secrets."""
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
    """Tell whether memory ran out; torch has an error of its own for its device's."""
    return isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
