"""Which failures are repeated, the deadline of a unit, and the messages for scenes that fail."""

import errno
import os
from dataclasses import replace

import numpy as np
import pytest

from geoseg.config import Settings
from geoseg.engine.executor import LostError
from geoseg.engine.retries import LOST_TRIES, MEMORY_TRIES, deadline_s, describe_failure, is_resumable, may_try_again
from geoseg.errors import SceneError, StoreError, UnreachableError
from geoseg.model.bundle.trust import read_trusted_bundle
from geoseg.model.hardware import find_hardware
from geoseg.plan.run_plan import make_plan
from geoseg.plan.scene_plan import ScenePlan
from geoseg.plan.survey import survey
from geoseg.stages.stage import STAGES, Stage
from tests.support.bundles import identity_bundle
from tests.support.scenes import write_scene


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> ScenePlan:
    folder = tmp_path_factory.mktemp("plan")
    scene = write_scene(folder / "scene.tif", np.zeros((1, 40, 40), np.uint8))
    settings = Settings.model_validate(
        {"scenes": [str(scene)], "model": str(identity_bundle(folder / "bundle")), "output": str(folder / "out")}
    )
    return make_plan(survey(settings, read_trusted_bundle(settings.model)), "run", find_hardware("cpu"), 1).scenes[0]


def tries(error: Exception) -> int:
    """Number of attempts at a unit that always fails with this error."""
    attempt = 1
    while may_try_again(error, attempt):
        attempt += 1
    return attempt


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (LostError("its node is gone"), LOST_TRIES),
        (MemoryError(), MEMORY_TRIES),
        (np._core._exceptions._ArrayMemoryError((9, 9), np.dtype(np.int32)), MEMORY_TRIES),
        (SceneError("cannot be read"), 1),
        (StoreError("is lost"), 1),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), 1),
        (ValueError("a bug"), 1),
    ],
)
def test_only_lost_units_and_memory_errors_are_repeated(error: Exception, expected: int) -> None:
    assert tries(error) == expected


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (LostError("node a is gone"), ["lost 4 times", "because node a is gone", "raise run.unit_timeout_s"]),
        (
            MemoryError("Unable to allocate 3 GiB"),
            ["out of memory, 3 times: Unable to allocate 3 GiB", "run.batch_size"],
        ),
        (MemoryError(), ["out of memory, 3 times: no details"]),
        (
            OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/o"),
            ["No space left on device (/o)", "Free some space, then run the same command again"],
        ),
        (KeyError("x"), ["unexpected KeyError", "please report it"]),
    ],
)
def test_the_message_names_file_reason_and_remedy(plan: ScenePlan, error: Exception, words: list[str]) -> None:
    message = describe_failure(plan, error)
    assert message.startswith(f"{plan.scene.path}: ")
    for word in words:
        assert word in message


def test_what_geoseg_explains_itself_is_said_as_it_is(plan: ScenePlan) -> None:
    path = plan.scene.path
    assert describe_failure(plan, SceneError(f"{path} is odd.")) == f"{path} is odd."
    assert describe_failure(plan, SceneError("Its CRS is odd.")) == f"{path}: Its CRS is odd.", (
        "a message names its file"
    )


@pytest.mark.parametrize(
    ("error", "kept"),
    [
        (SceneError("truncated"), False),
        (UnreachableError("its disk is away"), True),
        (StoreError("a part is damaged"), True),
        (LostError("it died"), True),
        (OSError(errno.ENOSPC, "full"), True),
    ],
)
def test_finished_blocks_are_kept_unless_the_scene_is_at_fault(error: Exception, kept: bool) -> None:
    assert is_resumable(error) is kept
    assert may_try_again(error, 1) is isinstance(error, LostError | UnreachableError)


def test_no_message_holds_a_secret(plan: ScenePlan) -> None:
    scene = replace(plan.scene, path="https://host/a.tif?X-Amz-Signature=abcdef0123456789")
    assert "abcdef0123456789" not in describe_failure(replace(plan, scene=scene), LostError("it died"))


@pytest.mark.parametrize("stage", STAGES.values(), ids=STAGES)
def test_a_unit_of_a_small_scene_has_the_deadline_of_the_settings(plan: ScenePlan, stage: Stage) -> None:
    assert deadline_s(plan, stage) == plan.unit_timeout_s
