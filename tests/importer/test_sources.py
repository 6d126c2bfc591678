"""Every kind of source: saved by its library, imported, and segmented to the original's own class map."""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import torch
from typer.testing import CliRunner

from geoseg.cli import app
from geoseg.model.bundle.bundle import read_bundle
from geoseg.model.scale import scale_pixels
from tests.support import networks
from tests.support.networks import Saved
from tests.support.scenes import run, write_scene
from tests.support.transformers_networks import TRANSFORMERS, segformer

PATCH_PX, LEAST_SAME = 64, 0.999
SOURCES = (*networks.SOURCES, *TRANSFORMERS)
QUICK = {"smp_folder", "flair", "deepness", "mlm_item", "segformer"}
NAIP = Path(__file__).parents[2].parent / "shared" / "data" / "naip_nd_20180716.tif"


def import_(saved: Saved, output: Path, without: str | None = None, **more: str) -> tuple[int, str]:
    """Exit code and screen of `geoseg models import`."""
    options = {name: value for name, value in {**saved.options, **more}.items() if name != without}
    given = itertools.chain.from_iterable([f"--{name}", *([value] if value else [])] for name, value in options.items())
    result = CliRunner().invoke(app, ["models", "import", str(saved.path), "--output", str(output), *given])
    return result.exit_code, result.output + (str(result.exception) if result.exception else "")


def assert_same_map(saved: Saved, bundle: Path, pixels: np.ndarray, folder: Path, **more: Any) -> None:
    """The class map of a run is that of the original network's forward passes on whole patches."""
    content = read_bundle(bundle)
    side = content.patch_px
    rows, cols = pixels.shape[1] // side, pixels.shape[2] // side
    scene = write_scene(folder / "scene.tif", pixels[:, : rows * side, : cols * side])
    # Without overlap each pixel has the scores of one patch.
    settings = {"run": {"address": "inline", "precision": "fp32"}, "tiling": {"overlap_px": 0}, **more}
    report = run(scene, bundle, folder / "results", **settings)
    assert report.exit_code == 0, report.scenes
    with rasterio.open(next((folder / "results").rglob("classes.tif"))) as dataset:
        found = dataset.read(1)
    scaled = scale_pixels(torch.from_numpy(pixels.astype(np.float32)), content.file.scaling)
    expected = np.empty_like(found)
    for row, col in itertools.product(range(rows), range(cols)):
        at = slice(row * side, (row + 1) * side), slice(col * side, (col + 1) * side)
        with torch.inference_mode():
            expected[at] = saved.original(scaled[None, :, *at])[0].argmax(0).numpy()
    assert len(np.unique(expected)) > 1, "a constant map shows nothing"
    assert (found == expected).mean() > LEAST_SAME


@pytest.mark.parametrize(
    "save",
    [save if save.__name__ in QUICK else pytest.param(save, marks=pytest.mark.slow) for save in SOURCES],
    ids=lambda save: save.__name__,
)
def test_the_class_map_is_that_of_the_original(save: Callable[[Path], Saved], tmp_path: Path) -> None:
    saved, bundle = save(tmp_path), tmp_path / "bundle"
    code, screen = import_(saved, bundle)
    assert code == 0, screen
    assert "compared with the original on random pixels" in screen
    bands = len(read_bundle(bundle).bands)
    pixels = np.random.default_rng(1).integers(1, 256, (bands, 2 * PATCH_PX, 2 * PATCH_PX)).astype(np.uint8)
    assert_same_map(saved, bundle, pixels, tmp_path)


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.parametrize("save", SOURCES, ids=lambda save: save.__name__)
def test_a_real_scene(save: Callable[[Path], Saved], tmp_path: Path) -> None:
    if not NAIP.exists():
        pytest.skip(f"{NAIP} is absent")
    saved, bundle = save(tmp_path), tmp_path / "bundle"
    code, screen = import_(saved, bundle)
    assert code == 0, screen
    with rasterio.open(NAIP) as dataset:
        pixels = dataset.read()
    bands = [index % len(pixels) for index in range(len(read_bundle(bundle).bands))]
    assert_same_map(saved, bundle, pixels[bands], tmp_path)


@pytest.mark.parametrize("save", SOURCES, ids=lambda save: save.__name__)
def test_a_missing_fact_is_named(save: Callable[[Path], Saved], tmp_path: Path) -> None:
    saved = save(tmp_path)
    needed = [name for name in saved.options if name != "patch-px"]
    for name in needed:
        code, screen = import_(saved, tmp_path / "bundle", without=name)
        assert code != 0
        for option in {"preset": ("--scaling",)}.get(name, (f"--{name}",)):
            assert option in screen, screen
    assert not (tmp_path / "bundle").exists()


def test_all_missing_facts_are_named_at_once(tmp_path: Path) -> None:
    saved = networks.smp_folder(tmp_path)
    code, screen = import_(saved._replace(options={}), tmp_path / "bundle")
    assert code != 0
    assert all(option in screen for option in ("--bands  names of the 4", "--classes  names of the 3", "--scaling"))


def test_safetensors_keep_the_network_of_the_zoo(tmp_path: Path) -> None:
    saved, bundle = networks.smp_folder(tmp_path), tmp_path / "bundle"
    code, screen = import_(saved, bundle, format="safetensors")
    assert code == 0, screen
    assert read_bundle(bundle).file.architecture == "smp-unet"
    pixels = np.random.default_rng(1).integers(1, 256, (4, PATCH_PX, PATCH_PX)).astype(np.uint8)
    assert_same_map(saved, bundle, pixels, tmp_path)


def test_a_processor_scales_and_names_the_classes(tmp_path: Path) -> None:
    saved, bundle = segformer(tmp_path), tmp_path / "bundle"
    assert import_(saved, bundle)[0] == 0
    content = read_bundle(bundle)
    assert content.legend.names == networks.CLASSES
    assert content.bands == ("red", "green", "blue")
    assert content.patch_px == PATCH_PX
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    transformers = networks.import_extra("transformers")
    processor = transformers.SegformerImageProcessor.from_pretrained(saved.path)
    expected = processor(pixels, return_tensors="pt")["pixel_values"][0]
    scaled = scale_pixels(torch.from_numpy(pixels).movedim(2, 0).float(), content.file.scaling)
    assert torch.allclose(scaled, expected, atol=1e-5)
