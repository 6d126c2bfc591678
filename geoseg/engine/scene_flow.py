"""What follows what in one scene: which unit is needed once another has ended.

A block is finished once it is predicted and its west, north and north-west neighbours are finished, and traced once its
eight neighbours are finished. Rasters are published once all blocks are finished, polygons once all are traced. Units
that an earlier run has done are passed over.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from geoseg.engine.executor import Ref
from geoseg.engine.scene_state import SceneState, Step, Then
from geoseg.grid.neighbours import Place
from geoseg.grid.tiling import Block
from geoseg.plan.scene_plan import ScenePlan
from geoseg.stages.metrics import UnitMetrics
from geoseg.stages.outputs import RASTERS, Staged, commit_scene, publish_polygons, seal_scene
from geoseg.stages.scoring import BLANK, TODO, finish_block, predict_block, read_block, resumed_metrics
from geoseg.stages.tracing import absorb_small, find_graph, relabel_block, trace_polygons
from geoseg.store.scene_store import BLOCKS, CHANGES, GRAPHS, MERGED, SCENE, TRACED

Watch = Callable[[ScenePlan, UnitMetrics], None]


class SceneFlow:
    """Asks for the units of one scene, each as soon as what it needs is there."""

    def __init__(
        self,
        scene: SceneState,
        need: Callable[[Step], None],
        watch: Watch,
        end: Callable[[SceneState, Mapping[str, Any]], None],
    ) -> None:
        """Prepare a scene.

        Args:
            scene: Where it stands: nothing of it is done yet, or what its records say.
            need: Lets a unit start as soon as there is room.
            watch: Told the cost of every unit as it ends.
            end: Told what lies in the output once the scene is committed.
        """
        self._scene, self._plan = scene, scene.plan
        self._need, self._watch, self._end = need, watch, end

    def begin(self, block: Block) -> None:
        """Take up a block: from its start, or from where an earlier run has left it."""
        record = self._scene.records[BLOCKS].get(block.name)
        if record is None:
            self._scene.under_way += 1
            self._read(block, 1)
        else:
            self._scene.resumed += 1
            self._finish(block, resumed_metrics(record.facts))

    def commit(self) -> None:
        """Publish what is sealed."""
        self._need(Step(self._scene, commit_scene, (), self._was_committed))

    def _need_unless_done(self, kind: str, stage: Callable[..., Any], block: Block | None, then: Then) -> None:
        """Let a stage work on a block, or on the scene, unless an earlier run has."""
        if (SCENE if block is None else block.name) in self._scene.records[kind]:
            then(None)
        else:
            self._need(Step(self._scene, stage, () if block is None else (block,), then))

    def _read(self, block: Block, attempt: int) -> None:
        """Read, predict and finish: pixels and scores exist in memory alone, so each attempt begins here."""
        self._chain(block, attempt, read_block, (), self._was_read)

    def _chain(
        self, block: Block, attempt: int, stage: Callable[..., Any], inputs: tuple[Ref, ...], then: Then
    ) -> None:
        returns = 1 if stage is finish_block else 2
        follow, restart = partial(then, block, attempt), partial(self._read, block)
        self._need(Step(self._scene, stage, (block,), follow, inputs, returns, attempt, restart))

    def _was_read(self, block: Block, attempt: int, facts: tuple[UnitMetrics, str], found: Ref) -> None:
        cost, state = facts
        self._watch(self._plan, cost)
        if state == BLANK:
            self._was_finished(block, attempt, UnitMetrics("finish", losses=cost.losses))
        elif state == TODO:
            self._chain(block, attempt, predict_block, (found,), self._was_predicted)
        else:
            self._scored(block, attempt, found)

    def _was_predicted(self, block: Block, attempt: int, cost: UnitMetrics, scored: Ref) -> None:
        self._watch(self._plan, cost)
        self._scored(block, attempt, scored)

    def _scored(self, block: Block, attempt: int, scored: Ref) -> None:
        place = block.row, block.col
        self._scene.scored[place] = scored, attempt
        if self._scene.spill.is_open(place):
            self._add_spill(place)

    def _add_spill(self, place: Place) -> None:
        if place in self._scene.scored:
            scored, attempt = self._scene.scored.pop(place)
            self._chain(self._plan.tiling.block(*place), attempt, finish_block, (scored,), self._was_finished)

    def _was_finished(self, block: Block, attempt: int, cost: UnitMetrics) -> None:  # noqa: ARG002
        self._scene.under_way -= 1
        self._finish(block, cost)

    def _finish(self, block: Block, cost: UnitMetrics) -> None:
        scene, place = self._scene, (block.row, block.col)
        scene.decided += 1
        scene.valid_pixels += cost.valid_pixels
        scene.losses.update(cost.losses)
        if scene.is_decided and (warning := scene.check_validity()):
            cost = replace(cost, notes=(*cost.notes, warning))
        self._watch(self._plan, cost)
        scene.components += cost.components
        self._plan.polygons.check_count(scene.components, self._plan.scene.path)
        for waiting in scene.spill.arrive(place):
            self._add_spill(waiting)
        if scene.is_decided:
            for part in RASTERS:
                self._publish(part)
        around = [self._plan.tiling.block(*ready) for ready in scene.finished.arrive(place)]
        if not self._plan.scene.grid.crs:
            return
        if self._plan.polygons.min_area_px > 1:
            for ready in around:
                self._need_unless_done(GRAPHS, find_graph, ready, self._has_graph)
        else:
            self._trace(around)

    def _has_graph(self, cost: UnitMetrics | None) -> None:
        self._note(cost)
        if self._is_last_to_pass():
            self._need_unless_done(CHANGES, absorb_small, None, self._was_absorbed)

    def _was_absorbed(self, cost: UnitMetrics | None) -> None:
        self._note(cost)
        for block in self._plan.tiling.blocks():
            self._need_unless_done(MERGED, relabel_block, block, partial(self._was_recoloured, block))

    def _was_recoloured(self, block: Block, cost: UnitMetrics | None) -> None:
        self._note(cost)
        around = self._scene.merged.arrive((block.row, block.col))
        self._trace([self._plan.tiling.block(*ready) for ready in around])

    def _trace(self, blocks: Iterable[Block]) -> None:
        for block in blocks:
            self._need_unless_done(TRACED, trace_polygons, block, self._was_traced)

    def _was_traced(self, cost: UnitMetrics | None) -> None:
        self._note(cost)
        if self._is_last_to_pass():
            self._publish(publish_polygons)

    def _note(self, cost: UnitMetrics | None) -> None:
        """Report what a unit took; None for one that an earlier run did."""
        if cost is not None:
            self._watch(self._plan, cost)

    def _is_last_to_pass(self) -> bool:
        """Count a block that is through the present pass; tell whether all are, and begin with the next."""
        self._scene.passed = (self._scene.passed + 1) % self._plan.tiling.count
        return self._scene.passed == 0

    def _publish(self, part: Callable[[ScenePlan], Staged]) -> None:
        self._need(Step(self._scene, part, (), self._was_staged))

    def _was_staged(self, part: Staged) -> None:
        self._watch(self._plan, part.cost)
        staged = self._scene.staged
        staged.append(part)
        if len(staged) == len(RASTERS) + bool(self._plan.scene.grid.crs):
            self._need(Step(self._scene, seal_scene, (tuple(staged),), self._was_sealed))

    def _was_sealed(self, notes: tuple[str, ...]) -> None:
        if notes:
            self._watch(self._plan, UnitMetrics("seal", notes=notes))
        self.commit()

    def _was_committed(self, value: tuple[UnitMetrics, Mapping[str, Any]]) -> None:
        self._watch(self._plan, value[0])
        self._end(self._scene, value[1])
