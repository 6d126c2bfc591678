"""Damaged files end in sound results or in a message: a sample always, all 5,000 when slow tests run."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from geoseg.config import SceneSettings
from geoseg.errors import SceneError
from geoseg.grid.window import Window
from geoseg.raster.bands import select_bands
from geoseg.raster.read import read_window
from geoseg.raster.source.scene import describe
from tests.support import fuzz_case, fuzz_damage, fuzzer
from tests.support.fuzz_bundles import sound_bundles
from tests.support.fuzz_case import run_case
from tests.support.fuzz_files import Base
from tests.support.mutations import TIFF, tiff_entries

MANY = 5000


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> list[Base]:
    return fuzz_damage.make_everything(tmp_path_factory.mktemp("bases"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hypothesis")


def check(folder: Path, seeds: Iterator[str]) -> None:
    results = list(fuzzer.run_cases(seeds, folder))
    assert not any(result.problems for result in results), fuzzer.table(results)
    assert {"published", "scene refused", "settings refused"} == {result.outcome for result in results}


def test_sample(tmp_path: Path) -> None:
    check(tmp_path, (f"sample:{number}" for number in range(100)))


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_many(tmp_path: Path) -> None:
    check(tmp_path, (f"1:{number}" for number in range(MANY)))


def test_mutated_bundles(tmp_path: Path) -> None:
    results = list(fuzzer.run_cases((f"bundles@sample:{number}" for number in range(40)), tmp_path))
    assert not any(result.problems for result in results), fuzzer.table(results)
    assert {"published", "settings refused"} <= {result.outcome for result in results}
    assert {"json", "onnx", "safetensors"} <= {re.split("[ ,]+", result.kind)[1] for result in results}


def test_a_result_of_another_model_is_detected(bases: list[Base], tmp_path: Path) -> None:
    case = next(
        case
        for number in range(1000)
        if (case := fuzzer.make_case(bases, f"bundles@other:{number}")).kind == "bundle: safetensors, numbers"
    )
    files = case.files | {"bundle/weights.safetensors": sound_bundles()["unet"]["weights.safetensors"]}
    assert run_case(replace(case, files=files), tmp_path).problems == []
    assert case.oracle is not None
    assert list(case.oracle(tmp_path)) == []
    weights = safetensors.torch.load_file(tmp_path / "bundle/weights.safetensors")
    weights["head.bias"] = weights["head.bias"].flip(0) + torch.arange(6)
    safetensors.torch.save_file(weights, tmp_path / "bundle/weights.safetensors")
    assert "of the pixels have the class that the bundle's network gives" in next(case.oracle(tmp_path))


def test_silent_worker_is_a_hang(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzzer, "LIMIT_S", 0.0)
    (result,) = fuzzer.run_cases(["1:0"], tmp_path)
    assert (result.outcome, result.problems) == ("hang", ["no end after 0 s"])


def test_leftover_files_are_detected(bases: list[Base], tmp_path: Path) -> None:
    base = bases[0]
    broken = fuzz_case.Case("", base.name, base.scene, "none", base.scene, base.files | {base.scene: b"II*\0"})
    assert fuzz_case.run_case(broken, tmp_path).problems == []
    (tmp_path / "out/rasters/scene").mkdir(parents=True)
    (tmp_path / "out/rasters/scene/classes.tif").touch()
    assert "partial output" in fuzz_case.run_case(broken, tmp_path).problems[0]


def test_a_seed_determines_a_case(bases: list[Base]) -> None:
    assert fuzzer.make_case(bases, "7:7") == fuzzer.make_case(bases, "7:7")
    cases = [fuzzer.make_case(bases, f"7:{number}") for number in range(200)]
    kinds, targets = {case.kind for case in cases}, {case.target for case in cases}
    assert set(TIFF) < kinds
    assert set(fuzz_damage.OTHER_TARGETS) < targets


@given(seed=st.integers(0, 2**32))
@settings(max_examples=300)
def test_describe_and_read_raise_scene_errors_only(bases: list[Base], folder: Path, seed: int) -> None:
    random = Random(seed)
    base = random.choice(bases)
    files = {name: content for name, content in base.files.items() if name.startswith("in/")}
    target = random.choice(sorted(files))
    for old in (folder / "in").glob("*"):
        old.unlink()
    for name, content in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(fuzz_damage.damage(content, random)[1] if name == target else content)
    look(folder / base.scene)


@given(
    content=st.binary(max_size=300),
    start=st.sampled_from([b"", b"II*\0\x08\0\0\0", b"<VRTDataset", b"\x89PNG\r\n\x1a\n"]),
)
@settings(max_examples=200)
def test_random_bytes_raise_scene_errors_only(folder: Path, content: bytes, start: bytes) -> None:
    (folder / "bytes.tif").write_bytes(start + content)
    look(folder / "bytes.tif")


def look(path: Path) -> None:
    """Describe a raster and read its edges."""
    try:
        scene = describe(path, SceneSettings(allow_ungeoreferenced=True))
        selection = select_bands(scene, 1, SceneSettings(bands=[1]))
        height, width = scene.grid.height, scene.grid.width
        for row, col in ((0, 0), (height - 1, width - 1)):
            pixels, valid = read_window(scene, selection, Window(row, col, 1, 1))
            assert pixels.shape == (1, *valid.shape)
    except SceneError as error:
        assert str(path) in str(error)  # noqa: PT017  either result is right


@pytest.mark.parametrize(("height", "width"), [(2**31 - 1, 100), (72, 2**31 - 1), (2**20, 2**20)])
def test_headers_of_impossible_rasters_are_refused_at_once(
    bases: list[Base], tmp_path: Path, height: int, width: int
) -> None:
    (base,) = [base for base in bases if base.name == "tiled none uint8"]
    content = base.files[base.scene]
    for tag, value in ((256, width), (257, height)):
        (entry,) = [entry for entry in tiff_entries(content) if entry.tag == tag]
        long = (4).to_bytes(2, "little") + (1).to_bytes(4, "little") + value.to_bytes(4, "little")
        content = content[: entry.at + 2] + long + content[entry.at + 12 :]
    path = tmp_path / "scene.tif"
    path.write_bytes(content)
    with pytest.raises(SceneError, match=f"{height} x {width} pixels in .* internal tiles.*damaged: fetch it again"):
        describe(path)
