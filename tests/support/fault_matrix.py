"""Breaks a run at a hook point of `geoseg.faults`, gives the same command again, and reports the outcome.

``python -m tests.support.fault_matrix`` plays every cell and prints the table in Markdown.
"""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from geoseg.config import FAULT_VARIABLE
from geoseg.engine.retries import LOST_TRIES
from tests.support.bundles import unet_bundle
from tests.support.scenes import digests, run, textured, write_scene

ROOT = Path(__file__).parents[2]
BLOCK_PX = 48
BLOCK = "r0001c0002"
"""The block at which the run breaks: in the middle, with pixels of all kinds."""
ACTIONS = ("raise", "enospc", "hang", "kill")
EXECUTORS: Mapping[str, Mapping[str, Any]] = {
    "inline": {"address": "inline"},
    "threads": {"address": "inline", "workers": 2},
    "ray": {"workers": 1},
}
"""Where a run works, and the settings for it."""
IN_FLIGHT = {"inline": 1, "threads": 3, "ray": 4}
"""Blocks under way at a time: with Ray two for its one worker, and two more that are read or finished."""
UNIT_TIMEOUT_S = {"inline": 2.0, "threads": 2.0, "ray": 8.0}
"""How long a unit may hang."""

SCENE_POINTS = {
    "read start": f"read:start:{BLOCK}",
    "read end": f"read:end:{BLOCK}",
    "predict start": f"predict:start:{BLOCK}",
    "predict end": f"predict:end:{BLOCK}",
    "finish start": f"finish:start:{BLOCK}",
    "finish end": f"finish:end:{BLOCK}",
    "put a block's pixels": f"put:before-rename:*/blocks/{BLOCK}.classes",
    "put a block's record": f"put:before-rename:*/blocks/{BLOCK}.json",
    "trace start": f"trace:start:{BLOCK}",
    "trace end": f"trace:end:{BLOCK}",
    "put a traced block's record": f"put:before-rename:*/traced/{BLOCK}.json",
    "publish start": "publish:start:classes",
    "publish the confidence": "publish:start:confidence",
    "publish the polygons": "publish:start:polygons",
    "seams start": "seams:start:*",
    "upload start": "upload:start:rasters/*/classes.tif",
    "put a published file": "put:before-rename:*/staged/rasters/*/classes.tif",
    "upload end": "upload:end:rasters/*/classes.tif",
    "seal start": "seal:start:*",
    "put the journal": "put:before-rename:*/commit.json",
    "commit start": "commit:start:*",
    "commit middle": "commit:middle:rasters/*/classes.tif",
    "put the manifest": "put:before-rename:scenes/*.json",
    "commit end": "commit:end:*",
    "commit cleared": "commit:cleared:*",
}
MERGING_POINTS = {
    "graph start": f"graph:start:{BLOCK}",
    "graph end": f"graph:end:{BLOCK}",
    "absorb start": "absorb:start:*",
    "put the changes of class": "put:before-rename:*/changes/*.json",
    "absorb end": "absorb:end:*",
    "relabel start": f"relabel:start:{BLOCK}",
    "relabel end": f"relabel:end:{BLOCK}",
}
SMOOTHING_POINTS = {
    "smooth start": f"smooth:start:{BLOCK}",
    "smooth end": f"smooth:end:{BLOCK}",
    "put a smoothed block's record": f"put:before-rename:*/smoothed/{BLOCK}.json",
}
POINTS = SCENE_POINTS | MERGING_POINTS | SMOOTHING_POINTS
"""Name in the table: stage, point and block of the rule. The last two exist with a minimum area or smoothing alone."""


@dataclass(frozen=True)
class Cell:
    """One way to break a run."""

    point: str
    """A key of `POINTS`."""
    action: str
    executor: str
    """A key of `EXECUTORS`."""
    attempt: str = "1"
    """The attempt at the unit that is broken; ``*`` for each."""

    @property
    def settings(self) -> dict[str, dict[str, Any]]:
        """Those with which the point exists, by section."""
        merging = {"polygons": {"min_area_px": 9}} if self.point in MERGING_POINTS else {}
        return merging | ({"inference": {"smoothing_radius_px": 2}} if self.point in SMOOTHING_POINTS else {})

    @property
    def heals(self) -> bool:
        """Whether the run should succeed in spite of the fault; it can if its own process survives."""
        lost = self.action == "hang" or (self.action == "kill" and self.executor == "ray")
        return lost and self.attempt == "1"

    @property
    def kills_the_run(self) -> bool:
        return self.action == "kill" and self.executor != "ray"


@dataclass(frozen=True)
class Played:
    """Outcome of a run with a fault, and of the same command after it."""

    word: str
    """healed; failed, resumed; or killed, resumed."""
    again: int
    """Blocks that were predicted twice."""
    complaints: Sequence[str] = ()
    """Violations of resumability."""
    error: str = ""
    """Why the scene failed the first time."""


@dataclass(frozen=True)
class Bench:
    """A scene, a model and the results of a run without faults."""

    folder: Path
    scene: Path
    model: Path
    expected: dict[str, tuple[Mapping[str, str], set[str]]] = field(default_factory=dict)
    """Digests of the published files, and the blocks with work; by the settings."""

    @classmethod
    def of(cls, folder: Path) -> "Bench":
        scene = write_scene(folder / "scene.tif", textured(203, 267), nodata=0)
        return cls(folder, scene, unet_bundle(folder / "bundle"))

    def expect(self, settings: dict[str, Any]) -> tuple[Mapping[str, str], set[str]]:
        key = json.dumps(settings)
        if key not in self.expected:
            output = self.folder / f"expected-{len(self.expected)}"
            notes = output.with_suffix(".notes")
            assert self._run("inline", settings, output, note_rule(notes)).exit_code == 0
            self.expected[key] = digests(output), set(predicted(notes))
        return self.expected[key]

    def play(self, cell: Cell, output: Path) -> Played:
        """Break a run, run again, and check everything that promise 4 states."""
        expected, blocks = self.expect(cell.settings)
        notes = output.with_suffix(".notes")
        rules = f"{note_rule(notes)},{POINTS[cell.point]}:{cell.attempt}:{cell.action}"
        complaints, error, retries = [], "", 0
        if cell.kills_the_run:
            code = self._run_to_death(cell, output, rules)
        else:
            timeout = {"unit_timeout_s": UNIT_TIMEOUT_S[cell.executor]} if cell.action == "hang" else {}
            first = self._run(cell.executor, cell.settings, output, rules, **timeout)
            code, retries = first.exit_code, first.retries
            error = first.failed[0]["error"] if first.failed else ""
        should = -9 if cell.kills_the_run else 0 if cell.heals else 3
        if code != should:
            complaints.append(f"the first run ended with {code}, not {should}: {error}")
        if cell.heals and not retries:
            complaints.append("nothing was tried again")
        complaints += half_published(output)
        if (most := most_at_a_time(notes)) > IN_FLIGHT[cell.executor]:
            complaints.append(f"{most} blocks were under way at a time")
        second = self._run(cell.executor, cell.settings, output, note_rule(notes))
        if second.exit_code:
            complaints.append(f"the second run failed: {second.failed[0]['error']}")
        if digests(output) != expected:
            complaints.append("the published files differ from those of an undisturbed run")
        if (output / ".work").exists():
            left = sorted(str(file.relative_to(output)) for file in (output / ".work").rglob("*"))
            complaints.append(f"left behind: {left}")
        done = predicted(notes)
        again = done.total() - len(done)
        if set(done) != blocks:
            complaints.append(f"blocks that were predicted: {set(done) ^ blocks} differ")
        if again > IN_FLIGHT[cell.executor] * (LOST_TRIES if cell.attempt == "*" else 1):
            complaints.append(f"{again} blocks were predicted twice, more than were in flight")
        return Played(_word(code), again, complaints, error)

    def _run(self, executor: str, settings: dict[str, Any], output: Path, rules: str, **more: Any) -> Any:
        os.environ[FAULT_VARIABLE] = rules
        try:
            tiling, where = {"block_px": BLOCK_PX}, {**EXECUTORS[executor], **more}
            return run(self.scene, self.model, output, tiling=tiling, run=where, **settings)
        finally:
            del os.environ[FAULT_VARIABLE]

    def _run_to_death(self, cell: Cell, output: Path, rules: str) -> int:
        workers = EXECUTORS[cell.executor].get("workers", "auto")
        command = segment_command(self.scene, self.model, output, "inline", cell.settings)
        command += ["--set", f"run.workers={workers}"]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), FAULT_VARIABLE: rules}
        return subprocess.run(command, env=environment, capture_output=True, check=False, timeout=120).returncode


def segment_command(
    scene: Path, model: Path, output: Path, address: str, settings: Mapping[str, Mapping[str, Any]] | None = None
) -> list[str]:
    """The command line of such a run."""
    sections = {"tiling": {"block_px": BLOCK_PX}, **(settings or {})}
    words = ["segment", scene, "--model", model, "--output", output, "--address", address]
    values = [f"{name}.{key}={value}" for name, section in sections.items() for key, value in section.items()]
    assignments = [word for value in values for word in ("--set", value)]
    return [sys.executable, "-m", "geoseg.cli", *map(str, words), *assignments]


def note_rule(notes: Path) -> str:
    """Rules that record each block when it is predicted and when it is finished."""
    return f"predict:start:*:*:note={notes},finish:end:*:*:note={notes}"


def predicted(notes: Path) -> Counter[str]:
    """How often each block was predicted."""
    lines = notes.read_text().splitlines() if notes.exists() else []
    return Counter(line.split(":")[2] for line in lines if line.startswith("predict:start:"))


def most_at_a_time(notes: Path) -> int:
    """The most blocks between prediction and the end of finishing at a time."""
    under_way: set[str] = set()
    finished: set[str] = set()
    most = 0
    for line in notes.read_text().splitlines() if notes.exists() else []:
        stage, _, block, _ = line.split(":")
        (under_way if stage == "predict" else finished).add(block)
        most = max(most, len(under_way - finished))
    return most


def half_published(output: Path) -> list[str]:
    """Published files that neither a manifest nor an unfinished commit accounts for."""
    found, manifests = digests(output), list(output.glob("scenes/*.json"))
    if manifests:
        files = json.loads(manifests[0].read_text())["files"]
        same = {key: facts["sha256"] for key, facts in files.items()} == found
        return [] if same else ["the manifest names other files than there are"]
    under_way = list(output.glob(".work/scene/*/commit.json"))
    return [f"half published: {sorted(found)}"] if found and not under_way else []


def table(played: Mapping[Cell, Played]) -> str:
    """All cells in Markdown: the outcome of the run, and the number of blocks that were predicted twice."""
    columns = list(product(EXECUTORS, ACTIONS))
    rows = [["hook point", *(f"{executor}: {action}" for executor, action in columns)], ["---"] * (1 + len(columns))]
    for point in POINTS:
        cells = [played.get(Cell(point, action, executor)) for executor, action in columns]
        rows.append([point, *("" if cell is None else _entry(cell) for cell in cells)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def main(executors: Iterable[str]) -> int:
    """Run every cell of these executors and print the table, then the violations of resumability."""
    os.environ.update(RAY_AUTH_MODE="disabled", RAY_USAGE_STATS_ENABLED="0", RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO="0")
    import ray  # noqa: PLC0415  what is set above is read when it is imported

    executors, played = list(executors), {}
    if "ray" in executors:
        ray.init("local", num_cpus=4, include_dashboard=False, _node_ip_address="127.0.0.1", log_to_driver=False)
    with TemporaryDirectory() as name:
        bench = Bench.of(Path(name))
        for number, (executor, point, action) in enumerate(product(executors, POINTS, ACTIONS)):
            cell = Cell(point, action, executor)
            played[cell] = bench.play(cell, Path(name, f"out-{number}"))
            sys.stderr.write(
                f"{executor} {point} {action}: {_entry(played[cell])} {'; '.join(played[cell].complaints)}\n"
            )
    ray.shutdown()
    sys.stdout.write(f"{table(played)}\n")
    return int(any(result.complaints for result in played.values()))


def _entry(result: Played) -> str:
    return f"{'BROKEN' if result.complaints else result.word}, {result.again}"


def _word(code: int) -> str:
    return {0: "healed", 3: "failed, resumed"}.get(code, "killed, resumed")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or EXECUTORS))
