"""The benchmark for CUDA machines imports few packages, and runs on a CPU too."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NOT_NEEDED = {
    "ray",
    "rasterio",
    "shapely",
    "pyarrow",
    "pydantic",
    "onnxruntime",
    "safetensors",
    "geopandas",
    "obstore",
    "rich",
    "typer",
}


def test_it_needs_torch_numpy_and_numba_alone() -> None:
    code = "import sys; import tests.benchmarks.cuda; print(' '.join({name.partition('.')[0] for name in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert not NOT_NEEDED & set(loaded.split())
    assert {"torch", "numpy", "numba"} <= set(loaded.split())


@pytest.mark.slow
def test_it_measures_both_networks(tmp_path: Path) -> None:
    target = tmp_path / "figures.json"
    command = [sys.executable, "-m", "tests.benchmarks.cuda", "--device", "cpu", "--seconds", "0.3", "--blocks", "3"]
    command += ["--block-strides", "1", "--no-compile", "--json", str(target)]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    assert "end to end" in done.stdout
    results = json.loads(target.read_text())["results"]
    assert [row["name"] for row in results] == ["built-in U-Net, width 16", "ResNet-34 U-Net"]
    assert all(0 < row["forward_share"] <= row["device_share"] <= 1 for row in results)
    assert all(row["end_to_end"] > 0 and row["alone"]["bf16"] > 0 for row in results)
