"""The import rules of ARCHITECTURE.md."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "geoseg"
ORDER = [
    "grid",
    "raster.mosaic",
    "raster.source",
    "raster.validity",
    "raster",
    "raster.maps",
    "raster.rim",
    "stac",
    "catalog",
    "model.bundle",
    "model.zoo",
    "model.fusion",
    "model.patchwork",
    "model",
    "vector.labels",
    "vector.lines",
    "vector",
    "publish.geodesy",
    "area",
    "publish.styles",
    "publish",
    "store.storages",
    "store",
    "reuse",
    "polygonizer",
    "plan",
    "stages",
    "engine",
    "engine.ray_cluster",
    "run",
    "evaluate",
    "trial",
    "importer.facts",
    "importer.sources",
    "importer",
    "exporter",
    "importer.draft",
    "verify",
    "train.data",
    "train.publish",
    "train",
    "gis_export",
    "labels",
    "demo",
]
"""Packages from the bottom up: each imports only packages that stand before it."""
NEVER = {
    "grid": {"raster", "model", "vector"},
    "raster": {"model", "vector"},
    "raster.mosaic": {"model", "vector"},
    "raster.source": {"model", "vector"},
    "stac": {"model", "vector"},
    "catalog": {"model", "vector"},
    "raster.validity": {"model", "vector"},
    "raster.rim": {"model", "vector"},
    "raster.maps": {"model", "vector"},
    "model": {"raster", "vector"},
    "model.bundle": {"raster", "vector"},
    "model.zoo": {"raster", "vector"},
    "model.fusion": {"raster", "vector"},
    "model.patchwork": {"raster", "vector"},
    "vector": {"raster", "model"},
    "vector.labels": {"raster", "model"},
    "vector.lines": {"raster", "model"},
}
"""Packages that must not import each other."""
MAX_FILES, MAX_LINES, MAX_FILE_LINES = 16, 1600, 350


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
        ("geoseg.model.inference", ["ray", "torch", "rasterio"]),
        ("geoseg.stages.reading", ["ray", "torch", "pyproj", "geopandas"]),
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


def package_of(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE).parts[:-1])


def imported_packages(path: Path) -> set[str]:
    """Packages of geoseg that a module imports, also inside functions."""
    found = set()
    for name in imported(path):
        if name.startswith("geoseg."):
            place = PACKAGE.joinpath(*name.split(".")[1:])
            found.add(package_of(place / "x" if place.is_dir() else place))
    return found - {""}


def test_imports_point_down() -> None:
    rank = {package: place for place, package in enumerate(ORDER)}
    for path in modules():
        package = package_of(path)
        if package:
            for other in imported_packages(path):
                assert rank[other] <= rank[package], f"{path} imports {other}"
                assert other.split(".")[0] not in NEVER.get(package, set()), f"{path} imports {other}"


def test_no_modules_import_each_other() -> None:
    names = {".".join(("geoseg", *path.relative_to(PACKAGE).with_suffix("").parts)): path for path in modules()}
    needs = {name: {other for other in imported(path) if other in names} for name, path in names.items()}
    while leaves := {name for name, others in needs.items() if not others}:
        needs = {name: others - leaves for name, others in needs.items() if name not in leaves}
    assert needs == {}


def test_only_the_ray_cluster_imports_ray() -> None:
    users = {
        package_of(path)
        for path in modules()
        if any(name == "ray" or name.startswith("ray.") for name in imported(path))
    }
    assert users == {"engine.ray_cluster", "train"}


def test_packages_and_files_stay_small() -> None:
    lines = {path: len(path.read_text().splitlines()) for path in modules()}
    assert [str(path) for path, count in lines.items() if count > MAX_FILE_LINES] == []
    for package in ORDER:
        sizes = [count for path, count in lines.items() if package_of(path) == package]
        assert len(sizes) <= MAX_FILES, package
        assert sum(sizes) <= MAX_LINES, package
