"""Sound files of many layouts for the fuzzer to damage: small georeferenced scenes of the classes 0 to 5."""

import itertools
import shutil
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import rasterio.shutil
from rasterio.errors import NotGeoreferencedWarning
from rasterio.windows import Window

from tests.support.scenes import TRANSFORM

HEIGHT, WIDTH = 72, 100
PAM = b'<PAMDataset><PAMRasterBand band="1"><NoDataValue>3</NoDataValue></PAMRasterBand></PAMDataset>'
TILED = {"tiled": True, "blockxsize": 32, "blockysize": 32}


@dataclass(frozen=True, slots=True)
class Base:
    """A scene and all that lies beside it."""

    name: str
    scene: str
    """Which of the files is the scene."""
    files: dict[str, bytes]


def make_bases(folder: Path) -> list[Base]:
    """Write every base into a folder of its own and read it back."""
    return [_base(folder / name, name, make) for name, make in _makers().items()]


def _base(folder: Path, name: str, make: Any) -> Base:
    folder.mkdir(parents=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        scene = make(folder)
    files = {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}
    return Base(name, scene.name, files)


def _makers() -> dict[str, Any]:
    def tiff(dtype: str = "uint8", **profile: Any) -> Any:
        return lambda folder: _write(folder / "scene.tif", _classes(dtype), **profile)

    layouts = {"tiled": TILED, "stripped": {"blockysize": 16}}
    codecs = ("none", "deflate", "lzw", "zstd", "packbits", "lerc_zstd")
    makers = {
        f"{layout} {codec} {dtype}": tiff(dtype, compress=codec, **layouts[layout])
        for layout, codec, dtype in itertools.product(layouts, codecs, ("uint8", "uint16", "float32"))
    }
    makers |= {
        "tiled jpeg": tiff(compress="jpeg", **TILED),
        "predictor": tiff("float32", compress="deflate", predictor=3, nodata=0, **TILED),
        "nodata": tiff("uint16", compress="deflate", nodata=0, **TILED),
        "big endian": tiff("uint16", endianness="BIG"),
        "BigTIFF": tiff("uint16", bigtiff="YES", compress="lzw", **TILED),
        "internal mask": lambda folder: _masked(folder, "YES"),
        "external mask": lambda folder: _masked(folder, "NO"),
        "aux.xml": _with_pam,
        "world file": _with_world_file,
        "overviews": lambda folder: _with_overviews(folder, "NO"),
        "external overviews": lambda folder: _with_overviews(folder, "YES"),
        "sparse": _sparse,
        "VRT": _vrt,
    }
    for driver in ("COG", "PNG", "JP2OpenJPEG", "HFA", "ENVI", "EHdr", "ERS", "NITF", "PCIDSK", "MRF", "BMP", "WEBP"):
        makers[driver] = lambda folder, driver=driver: _copied(folder, driver)
    return makers


def _classes(dtype: str = "uint8", bands: int = 1) -> Any:
    coarse = np.random.default_rng(7).integers(0, 6, (bands, -(-HEIGHT // 9), -(-WIDTH // 9)))
    return np.kron(coarse, np.ones((1, 9, 9), int))[:, :HEIGHT, :WIDTH].astype(dtype)


def _write(path: Path, pixels: Any, **profile: Any) -> Path:
    settings = {"driver": "GTiff", "crs": "EPSG:32632", "transform": TRANSFORM, "photometric": "minisblack"} | profile
    count, height, width = pixels.shape
    with rasterio.open(path, "w", count=count, height=height, width=width, dtype=pixels.dtype, **settings) as dataset:
        dataset.write(pixels)
    return path


def _masked(folder: Path, internal: str) -> Path:
    mask = np.ones((HEIGHT, WIDTH), bool)
    mask[10:30, 5:50] = False
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=internal):
        path = _write(folder / "scene.tif", _classes())
        with rasterio.open(path, "r+") as dataset:
            dataset.write_mask(mask)
    return path


def _with_pam(folder: Path) -> Path:
    path = _write(folder / "scene.tif", _classes())
    (folder / "scene.tif.aux.xml").write_bytes(PAM)
    return path


def _with_world_file(folder: Path) -> Path:
    path = _write(folder / "scene.tif", _classes(), transform=None)
    (folder / "scene.tfw").write_text("10\n0\n0\n-10\n480005\n5479995\n")
    return path


def _with_overviews(folder: Path, external: str) -> Path:
    path = _write(folder / "scene.tif", _classes(), compress="deflate", **TILED)
    with rasterio.Env(TIFF_USE_OVR=external), rasterio.open(path, "r+") as dataset:
        dataset.build_overviews([2])
    return path


def _sparse(folder: Path) -> Path:
    path = folder / "scene.tif"
    shape = {"count": 1, "height": HEIGHT, "width": WIDTH, "dtype": "uint8", "nodata": 255}
    with rasterio.open(
        path, "w", driver="GTiff", crs="EPSG:32632", transform=TRANSFORM, sparse_ok=True, **shape, **TILED
    ) as dataset:
        dataset.write(_classes()[0, :32, :32], 1, window=Window(0, 0, 32, 32))
    return path


def _vrt(folder: Path) -> Path:
    _write(folder / "west.tif", _classes())
    path = folder / "scene.vrt"
    with rasterio.open(folder / "west.tif") as source:
        rasterio.shutil.copy(source, path, driver="VRT")
    path.write_text(path.read_text().replace(f"{folder}/", ""))
    return path


def _copied(folder: Path, driver: str) -> Path:
    source = _write(folder.parent / f"{driver}.tif", _classes(bands=3 if driver == "WEBP" else 1))
    suffix = {"COG": "tif", "JP2OpenJPEG": "jp2", "HFA": "img", "ENVI": "dat", "EHdr": "bil", "PCIDSK": "pix"}
    path = folder / f"scene.{suffix.get(driver, driver.lower())}"
    options = {"QUALITY": "100", "REVERSIBLE": "YES"} if driver == "JP2OpenJPEG" else {}
    rasterio.shutil.copy(source, path, driver=driver, strict=False, **options)
    source.unlink()
    shutil.rmtree(folder / "__pycache__", ignore_errors=True)
    return path
