"""The import rule of ARCHITECTURE.md, asserted where it counts: in a process that imports one module."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "geoseg"
LAYERS = ["grid", "raster", "model", "vector", "publish", "train", "demo", "run", "verify"]
MAY_IMPORT = {
    "grid": {"grid"},
    "vector": {"grid", "vector"},
    "raster": {"grid", "raster", "vector"},
    "model": {"grid", "model"},
    "publish": {"grid", "raster", "vector", "publish"},
    "run": {"grid", "raster", "model", "vector", "publish", "run"},
    "demo": {"grid", "raster", "model", "vector", "publish", "run", "demo"},
    "verify": {"grid", "raster", "vector", "publish", "run", "verify"},
}
RAY_FILES = {"engine/ray_cluster/ray_executor.py", "engine/ray_cluster/connection.py", "train/loop.py"}


def modules() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py"))


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return names


@pytest.mark.parametrize(
    ("module", "forbidden"),
    [
        ("geoseg", ["ray", "torch", "rasterio", "numpy"]),
        ("geoseg.grid.blend", ["ray", "torch", "rasterio", "shapely"]),
        ("geoseg.grid.hilbert", ["ray", "torch", "rasterio", "shapely"]),
        ("geoseg.vector.polygons", ["ray", "torch", "rasterio"]),
        ("geoseg.raster.read", ["ray", "torch"]),
        ("geoseg.model.predictor", ["ray", "rasterio"]),
        ("geoseg.stages.scoring", ["ray", "torch"]),
        ("geoseg.stages.outputs", ["ray", "torch"]),
        ("geoseg.run.segment", ["ray"]),
        ("geoseg.verify.validate", ["ray", "torch"]),
        ("geoseg.cli", ["ray", "torch"]),
    ],
)
def test_a_module_loads_no_more_than_it_may(module: str, forbidden: list[str]) -> None:
    code = f"import sys, {module}; print(*[name for name in {forbidden} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == []


def test_imports_point_down() -> None:
    for path in modules():
        room = path.relative_to(PACKAGE).parts[0]
        if room in MAY_IMPORT:
            rooms = {name.split(".")[1] for name in imported(path) if name.startswith("geoseg.")}
            assert rooms & set(LAYERS) <= MAY_IMPORT[room], path


def test_only_the_cluster_imports_ray() -> None:
    users = {
        str(path.relative_to(PACKAGE))
        for path in modules()
        if any(name == "ray" or name.startswith("ray.") for name in imported(path))
    }
    assert users <= RAY_FILES


def test_files_stay_small() -> None:
    assert [str(path) for path in modules() if len(path.read_text().splitlines()) > 350] == []
