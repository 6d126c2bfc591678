"""Versions of the packages that can change a byte of the results."""

import platform
from importlib.metadata import PackageNotFoundError, version

PACKAGES = ("torch", "onnxruntime", "numpy", "rasterio", "shapely", "pyarrow")
"""Packages whose version can change a byte of the results, beside geoseg itself."""


def software() -> dict[str, str]:
    """Versions of everything whose version can change a byte of the results."""
    versions = {"python": platform.python_version()}
    for package in ("geoseg", *PACKAGES):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "missing"
    return versions
