"""The scheduler on an executor that refuses units at times."""

from pathlib import Path
from typing import Any

import pytest

from geoseg.config import Settings
from geoseg.engine.executor import Ref
from geoseg.engine.inline import InlineExecutor
from geoseg.engine.scheduler import Scheduler
from geoseg.model.bundle.trust import read_trusted_bundle
from geoseg.model.hardware import find_hardware
from geoseg.plan.run_plan import make_plan
from geoseg.plan.survey import survey
from geoseg.stages.stage import PREDICT, READ, Stage
from tests.support.bundles import unet_bundle
from tests.support.scenes import digests, run, textured, write_scene

TILING = {"block_px": 48}


class Replacing(InlineExecutor):
    """Refuses units of some stages after every third unit until the next wait, as while workers are replaced."""

    def __init__(self, stages: set[Stage], settings: Settings) -> None:
        super().__init__(settings.run)
        self._stages, self._units, self._down = stages, 0, False
        self.most_read, self._read = 0, 0

    def submit(self, unit: Any) -> tuple[Ref, ...] | None:
        if self._ended or (self._down and unit.stage in self._stages):
            return None
        self._units += 1
        self._down |= self._units % 3 == 0
        self._read += {READ: 1, PREDICT: -1}.get(unit.stage, 0)
        self.most_read = max(self.most_read, self._read)
        return super().submit(unit)

    def wait(self, timeout_s: float) -> list[Ref]:
        ended = super().wait(timeout_s)
        self._down &= bool(ended)
        return ended


@pytest.mark.parametrize("stages", [{PREDICT}, {READ}, {READ, PREDICT}])
def test_a_run_waits_while_processes_are_replaced(stages: set[Stage], tmp_path: Path) -> None:
    scene, bundle = write_scene(tmp_path / "s.tif", textured(130, 180), nodata=0), unet_bundle(tmp_path / "b")
    run(scene, bundle, tmp_path / "whole", tiling=TILING)
    where = {"scenes": [str(scene)], "model": str(bundle), "output": str(tmp_path / "out")}
    settings = Settings.model_validate({**where, "tiling": TILING, "run": {"address": "inline", "device": "cpu"}})
    plan = make_plan(survey(settings, read_trusted_bundle(settings.model)), "run", find_hardware("cpu"), 1)
    executor = Replacing(stages, settings)
    executor.start(plan.network, 0)
    outcomes = Scheduler(executor, lambda *_: None).run(plan.scenes)
    assert [outcome.error for outcome in outcomes] == [None]
    assert digests(tmp_path / "out") == digests(tmp_path / "whole")
    assert executor.most_read <= executor.max_blocks + 1, "blocks that wait for a model are not read without end"
