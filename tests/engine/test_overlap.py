"""Two attempts at one unit of work at the same time: one result, the same bytes, and no record is removed."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from geoseg.config import FAULT_VARIABLE, Settings
from geoseg.errors import StoreError
from geoseg.model.bundle.trust import read_trusted_bundle
from geoseg.model.hardware import find_hardware
from geoseg.model.inference import Inference, choose_precision
from geoseg.model.load import start_predictor
from geoseg.plan.resume import begin_scene
from geoseg.plan.run_plan import make_plan
from geoseg.plan.scene_plan import ScenePlan
from geoseg.plan.survey import survey
from geoseg.stages.outputs import commit_scene, publish_classes, publish_polygons, publish_raster, seal_scene
from geoseg.stages.reading import Scored, read_block
from geoseg.stages.scoring import finish_block, predict_block
from geoseg.stages.tracing import trace_polygons
from geoseg.store.scene_store import BLOCKS, TRACED
from tests.support.bundles import unet_bundle
from tests.support.scenes import digests, run, textured, write_scene

TILING = {"block_px": 48}
PUBLISH = (publish_classes, partial(publish_raster, name="confidence"), publish_polygons)


class Scene:
    """One scene whose units the test runs itself, and the digests of what a run publishes of it."""

    def __init__(self, folder: Path) -> None:
        self.path, self.bundle = (
            write_scene(folder / "scene.tif", textured(90, 90), nodata=0),
            unet_bundle(folder / "b"),
        )
        run(self.path, self.bundle, folder / "whole", tiling=TILING)
        self.expected = digests(folder / "whole")
        bundle = read_trusted_bundle(self.bundle)
        precision = choose_precision("auto", bundle, find_hardware("cpu"))
        self.predictor = start_predictor(bundle, Inference("cpu", 32, precision=precision))

    def plan(self, output: Path) -> ScenePlan:
        """A plan without finished work."""
        settings = Settings.model_validate(
            {"scenes": [str(self.path)], "model": str(self.bundle), "output": str(output), "tiling": TILING}
        )
        plan = make_plan(survey(settings, read_trusted_bundle(settings.model)), "run", find_hardware("cpu"), 1).scenes[
            0
        ]
        begin_scene(plan.store, plan.tiling, plan.fingerprint)
        return plan

    def scored(self, plan: ScenePlan) -> list[Scored]:
        """All blocks after prediction."""
        blocks = plan.tiling.blocks()
        return [predict_block(self.predictor, plan, block, read_block(plan, block)[1])[1] for block in blocks]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return Scene(tmp_path_factory.mktemp("scene"))


def at_once(unit: Callable[[], Any]) -> list[Any]:
    """The values of two attempts that start together."""
    barrier = Barrier(2)

    def attempt(_: int) -> Any:
        barrier.wait()
        return unit()

    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(attempt, range(2)))


def files(plan: ScenePlan, kind: str) -> dict[str, bytes]:
    folder = Path(plan.store.url, plan.store.records.prefix, kind)
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_two_attempts_at_every_unit_give_one_result(scene: Scene, tmp_path: Path) -> None:
    twice, once = scene.plan(tmp_path / "twice"), scene.plan(tmp_path / "once")
    scored = scene.scored(twice)
    for block, own in zip(twice.tiling.blocks(), scored, strict=True):
        costs = at_once(lambda block=block, own=own: finish_block(twice, block, own))
        assert costs[0].components == costs[1].components == finish_block(once, block, own).components
    assert files(twice, BLOCKS) == files(once, BLOCKS)
    for block in twice.tiling.blocks():
        at_once(lambda block=block: trace_polygons(twice, block))
        trace_polygons(once, block)
    assert files(twice, TRACED) == files(once, TRACED)
    parts = [at_once(lambda unit=unit: unit(twice)) for unit in PUBLISH]
    for one, other in parts:
        assert (one.files, one.results) == (other.files, other.results)
    at_once(lambda: seal_scene(twice, [one for one, _ in parts]))
    results = at_once(lambda: commit_scene(twice))
    assert results[0][1] == results[1][1]
    assert digests(tmp_path / "twice") == scene.expected
    assert not (tmp_path / "twice/.work").exists()
    again = run(scene.path, scene.bundle, tmp_path / "twice", tiling=TILING)
    assert [found["status"] for found in again.scenes] == ["up to date"]


def test_a_late_attempt_invalidates_no_record(scene: Scene, tmp_path: Path) -> None:
    plan = scene.plan(tmp_path)
    blocks = list(plan.tiling.blocks())
    for block, own in zip(blocks, scene.scored(plan), strict=True):
        finish_block(plan, block, own)
    before = files(plan, BLOCKS)
    finish_block(plan, blocks[3], scene.scored(plan)[3])
    assert files(plan, BLOCKS) == before
    assert len(plan.store.find(BLOCKS, [block.name for block in blocks])) == len(blocks)


def test_a_commit_whose_result_was_lost_is_found(scene: Scene, tmp_path: Path) -> None:
    plan = scene.plan(tmp_path)
    for block, own in zip(plan.tiling.blocks(), scene.scored(plan), strict=True):
        finish_block(plan, block, own)
    for block in plan.tiling.blocks():
        trace_polygons(plan, block)
    seal_scene(plan, [unit(plan) for unit in PUBLISH])
    first = commit_scene(plan)[1]
    (tmp_path / plan.store.work / "left").mkdir(parents=True)  # its process died while it removed the work
    assert commit_scene(plan)[1] == first
    assert digests(tmp_path) == scene.expected
    assert not (tmp_path / ".work").exists()
    (tmp_path / "scenes/scene.json").unlink()
    with pytest.raises(StoreError, match=r"commit\.json in .* is lost"):
        commit_scene(plan)


def test_a_commit_that_is_cut_short_is_completed_by_its_next_attempt(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FAULT_VARIABLE, "commit:end:*:1:oom")
    report = run(scene.path, scene.bundle, tmp_path, tiling=TILING)
    assert report.exit_code == 0
    assert report.retries == 1
    assert digests(tmp_path) == scene.expected
