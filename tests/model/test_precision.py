"""Effects of bfloat16 and of folded layers."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from geoseg.demo.command import BUNDLE
from geoseg.demo.landscape import write_landscape
from geoseg.grid.tiling import Lattice, Tiling
from geoseg.model.bundle.bundle import read_bundle
from geoseg.model.fusion.fold_normalisation import fold_normalisation
from geoseg.model.inference import Inference, Precision
from geoseg.model.load import start_predictor
from tests.support.bundles import random_unet, unet_bundle


def test_folded_layers_are_the_same_function() -> None:
    pixels = torch.rand(1, 4, 32, 48, dtype=torch.float64)
    with torch.inference_mode():
        expected = random_unet().double()(pixels)
        folded = fold_normalisation(random_unet().double(), pixels)
        assert not any(isinstance(layer, nn.BatchNorm2d) for layer in folded.modules())
        torch.testing.assert_close(folded(pixels), expected, rtol=1e-12, atol=1e-12)


def _classes(bundle: Path, precision: Precision, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    found = read_bundle(bundle)
    predictor = start_predictor(found, Inference("cpu", found.patch_px, precision=precision))
    lattice = Lattice.of(pixels.shape[1:], found.patch_px, found.overlap_px)
    tiling = Tiling(lattice, lattice.rows.stride_px * (lattice.rows.count + 1))
    done = predictor.predict(tiling, tiling.block(0, 0), pixels, np.ones(pixels.shape[1:], bool), "").scores.decided
    return done.classes, done.confidence


def test_bfloat16_changes_few_classes(tmp_path: Path) -> None:
    rasterio = pytest.importorskip("rasterio")
    write_landscape(tmp_path / "scene.tif", tmp_path / "truth.tif", size=640)
    with rasterio.open(tmp_path / "scene.tif") as scene, rasterio.open(tmp_path / "truth.tif") as file:
        pixels, truth = scene.read(), file.read(1)
    whole, halved = _classes(BUNDLE, "fp32", pixels), _classes(BUNDLE, "bf16", pixels)
    assert (whole[0] == halved[0]).mean() > 0.995
    assert np.abs(whole[1].astype(int) - halved[1]).mean() < 2
    right = [(classes == truth)[truth != 255].mean() for classes, _ in (whole, halved)]
    assert right[1] > right[0] - 0.001


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_patch_keeps_its_bits_in_any_block(tmp_path: Path, precision: Precision) -> None:
    """Promise 2 in both precisions: a scene in one block and its eastern half have equal bits in equal patches."""
    bundle = unet_bundle(tmp_path)
    pixels = np.random.default_rng(3).integers(0, 3000, (4, 56, 128)).astype(np.uint16)
    found = read_bundle(bundle)
    predictor = start_predictor(found, Inference("cpu", 32, precision=precision))
    lattice = Lattice.of((56, 128), 32, 8)
    whole, parts = Tiling(lattice, 144), Tiling(lattice, 48)
    valid = np.ones((56, 128), bool)
    expected = predictor.predict(whole, whole.block(0, 0), pixels, valid, "").scores.decided
    block = parts.block(0, 1)
    at = block.read.slices(lattice.scene)
    done = predictor.predict(parts, block, pixels[(slice(None), *at)], valid[at], "").scores.decided
    # West and north of its bands every patch that covers a pixel is the block's own.
    own = np.s_[0:48, 56:96]
    np.testing.assert_array_equal(done.classes[0:48, 8:48], expected.classes[own])
    np.testing.assert_array_equal(done.confidence[0:48, 8:48], expected.confidence[own])
