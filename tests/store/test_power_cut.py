"""A power failure: data not yet on the disk is truncated or zero, in any file under .work."""

import random
from pathlib import Path

import pytest

from geoseg.config import FAULT_VARIABLE
from tests.support.scenes import digests, run

SCENE_PX = 150, 150
TILING = {"block_px": 48}
POLYGONS = {"min_area_px": 4}
CUTS = ["trace:start:r0003c0001:*:enospc", "seams:start:*:*:enospc", "publish:start:*:*:enospc"]


@pytest.fixture(scope="module")
def reference(inputs: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    output = tmp_path_factory.mktemp("reference")
    run(*inputs, output, tiling=TILING, polygons=POLYGONS)
    return digests(output)


def spoil(file: Path, chance: random.Random) -> None:
    """Leave a file as a journalling file system does: shorter, empty, or with zeros from some byte on."""
    content = file.read_bytes()
    kept = chance.choice([0, len(content) // 2, chance.randrange(len(content) + 1)])
    file.write_bytes(content[:kept] + b"\0" * chance.choice([0, len(content) - kept]))


@pytest.mark.parametrize("cut", [CUTS[0], *(pytest.param(cut, marks=pytest.mark.slow) for cut in CUTS[1:])])
@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 8))])
def test_damaged_parts_are_computed_again(
    inputs: tuple[Path, Path],
    reference: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    cut: str,
    seed: int,
) -> None:
    monkeypatch.setenv(FAULT_VARIABLE, cut)
    run(*inputs, tmp_path, tiling=TILING, polygons=POLYGONS)
    monkeypatch.delenv(FAULT_VARIABLE)
    chance = random.Random(seed)
    files = sorted(path for path in tmp_path.glob(".work/scene/**/*") if path.is_file() and path.name != "plan.json")
    spoiled = chance.sample(files, max(1, len(files) // 5))
    for file in spoiled:
        spoil(file, chance)
    reports = []
    while not reports or reports[-1].exit_code:
        assert digests(tmp_path) == {}
        assert len(reports) <= len(spoiled), "each run mends at least what it stumbles over"
        reports.append(run(*inputs, tmp_path, tiling=TILING, polygons=POLYGONS))
    assert all("is lost or damaged" in report.failed[0]["error"] for report in reports[:-1])
    assert digests(tmp_path) == reference
    assert not (tmp_path / ".work").exists()
