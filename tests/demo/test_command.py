from pathlib import Path

import numpy as np
import rasterio
import torch
from PIL import Image
from rich.console import Console

from geoseg.demo.command import BUNDLE, run_demo
from geoseg.demo.landscape import LEGEND, write_landscape
from geoseg.model.bundle.bundle import read_bundle
from tests.support.bundles import trained_network
from tests.support.scenes import read_band, run


def test_the_demo_prints_and_writes_its_results(tmp_path: Path) -> None:
    console = Console(record=True, width=120)
    code = run_demo(size=512, seed=7, output=tmp_path, address="inline", console=console)
    printed = console.export_text()
    assert code == 0
    for word in ("patches", "Mpx/s", "polygons", "mIoU", "accuracy", "preview.png", "What to type next", *LEGEND.names):
        assert word in printed
    with Image.open(tmp_path / "preview.png") as picture:
        assert picture.width > 1000
    accuracy = float(printed.split("accuracy ")[1].split()[0])
    assert accuracy > 0.9


def test_results_match_a_float64_reference(tmp_path: Path) -> None:
    """The shipped bundle on a landscape it has not seen: float64 network, float64 sums, one division by the weights."""
    write_landscape(tmp_path / "scene.tif", tmp_path / "truth.tif", size=640, seed=11)
    exact = {"address": "inline", "precision": "fp32"}
    run(tmp_path / "scene.tif", BUNDLE, tmp_path / "out", run=exact, tiling={"block_px": 192})
    with rasterio.open(tmp_path / "scene.tif") as dataset:
        pixels = dataset.read().astype(np.float64)
    bundle = read_bundle(BUNDLE)
    step = bundle.file.scaling[0]
    scaled = (pixels - np.array(step.mean)[:, None, None]) / np.array(step.stddev)[:, None, None]
    valid = (pixels != 0).all(0)
    scaled[:, ~valid] = 0
    network = trained_network(BUNDLE).double()
    total, weight = np.zeros((6, 640, 640)), np.zeros((640, 640))
    ramp = np.sin(np.pi / 2 * (np.arange(64) + 0.5) / 64) ** 2
    taper = np.concatenate([ramp, np.ones(128), ramp[::-1]])
    for r in (0, 192, 384):  # 640 = 2 * 192 + 256: no patch reaches beyond the scene
        for c in (0, 192, 384):
            cut = torch.from_numpy(scaled[None, :, r : r + 256, c : c + 256].copy())
            with torch.no_grad():
                probabilities = torch.softmax(network(cut), 1)[0].numpy()
            total[:, r : r + 256, c : c + 256] += probabilities * np.outer(taper, taper)
            weight[r : r + 256, c : c + 256] += np.outer(taper, taper)
    blended = total / weight
    classes = read_band(tmp_path / "out/rasters/scene/classes.tif")
    confidence = read_band(tmp_path / "out/rasters/scene/confidence.tif")
    assert (classes[valid] == blended.argmax(0)[valid]).mean() > 0.999
    np.testing.assert_allclose(confidence[valid], blended.max(0)[valid] * 255, atol=0.51)
