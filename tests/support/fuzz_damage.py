"""Runs of the fuzzer of which one file is damaged: the scene, what lies beside it, the bundle or the settings."""

from collections.abc import Sequence
from pathlib import Path
from random import Random

from tests.support.bundles import identity_bundle, write_bundle
from tests.support.fuzz_case import Case
from tests.support.fuzz_files import Base, make_bases
from tests.support.mutations import mutations

OTHER_TARGETS = {"bundle/model.json": 3, "bundle/weights.safetensors": 2, "config.yaml": 2}
"""Percent of cases that damage these instead of the scene."""
CONFIG = """\
# What the fuzzer runs with; the flags give paths and executor.
scene: {bands: [1], nodata_rule: any, allow_ungeoreferenced: false, observed_at: 2026-06-21T10:30:00Z}
tiling:
  patch_px: 32
  overlap_px: 8
run: {batch_size: 1, threads: 1, memory_gib: 0.5}
polygons:
  crs: native
  simplify_px: 1.0
  min_area_px: 0
  not_dissolved: [class0]
"""


def make_everything(folder: Path) -> list[Base]:
    """Sound scenes, and beside each the bundles and the settings, in memory."""
    identity = identity_bundle(folder / "identity", patch_px=32)
    unet = write_bundle(folder / "unet", bands=1, classes=6, arguments={"width": 2, "depth": 1})
    shared = {f"{name}/{file.name}": file.read_bytes() for name, bundle in (("bundle", identity), ("unet", unet))
              for file in sorted(bundle.iterdir())}  # fmt: skip
    shared["config.yaml"] = CONFIG.encode()
    return [
        Base(base.name, f"in/{base.scene}", {**{f"in/{name}": data for name, data in base.files.items()}, **shared})
        for base in make_bases(folder / "bases")
    ]


def damage(data: bytes, random: Random) -> tuple[str, bytes]:
    """Change a file in one of the ways that mean something for it; the way's name and the bytes."""
    kinds = mutations(data)
    kind = random.choice(sorted(kinds))
    return kind, kinds[kind](data, random)


def damaged_case(bases: Sequence[Base], random: Random, seed: str) -> Case:
    """A run of which one file is damaged."""
    base = random.choice(bases)
    files = dict(base.files)
    target = random.choices(["scene", *OTHER_TARGETS], [100 - sum(OTHER_TARGETS.values()), *OTHER_TARGETS.values()])[0]
    if target.startswith("bundle/"):  # the identity's model.onnx is not among the targets
        files |= {name.replace("unet/", "bundle/"): data for name, data in files.items() if name.startswith("unet/")}
    if target == "scene":
        target = random.choice([base.scene, *(name for name in base.files if name.startswith("in/"))])
    kind, files[target] = damage(files[target], random)
    return Case(seed, base.name, target, kind, base.scene, files)
