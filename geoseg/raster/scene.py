"""What a raster file says about itself, checked before any work."""

import hashlib
import math
import os
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath
from xml.etree import ElementTree as ET

import numpy as np
from rasterio.crs import CRS
from rasterio.errors import CRSError, NotGeoreferencedWarning, RasterioIOError
from rasterio.io import DatasetReader

from geoseg.errors import SceneError, SettingsError
from geoseg.grid.window import Grid
from geoseg.raster.env import DRIVERS, gdal_env, open_raster

_IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
_GDAL_IDENTITY = (0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
_MAX_ID_BYTES = 200
_INDEX_ENTRY_BYTES = 4
_MAX_INTERNAL_TILES = 1 << 24


@dataclass(frozen=True, slots=True)
class Scene:
    """One input raster with its georeference. Holds no open file, so it may travel to workers."""

    scene_id: str
    """Name of the scene in every output; safe as a file name and as a hive partition value."""
    path: str
    """What GDAL opens; absolute if it is a local file."""
    driver: str
    """GDAL's name of the format."""
    grid: Grid
    """Its pixels and where they lie."""
    bands: int
    """Number of bands."""
    dtypes: tuple[str, ...]
    """Data type of each band."""
    nodata: tuple[float | None, ...]
    """Nodata value that each band declares, though its data type may be unable to hold it."""
    descriptions: tuple[str | None, ...]
    """Name of each band, if it has one."""
    roles: tuple[str, ...]
    """GDAL's colour interpretation of each band, such as ``red``, ``alpha``, ``palette`` or ``undefined``."""
    one_bit: bool
    """The file stores a single bit a sample."""
    has_mask: bool
    """A validity mask comes with the raster, inside it or as a ``.msk`` file."""
    block_shape: tuple[int, int]
    """Height and width of the internal tiles or strips."""
    absent_blocks: int
    """Internal tiles that are not stored and therefore read as 0; only counted where no nodata value is declared."""
    area_or_point: str
    """``Area`` or ``Point``: what a sample stands for. ``grid`` speaks of pixel corners in both cases."""
    files: tuple[str, ...]
    """All files that are read: the raster, its sidecars and, for a VRT, its sources."""
    size_bytes: int
    """Sum of the local ones of ``files``."""

    @property
    def alpha_band(self) -> int | None:
        """The band tagged as alpha, counted from 1. Many a near infrared band is tagged so by mistake."""
        return self.roles.index("alpha") + 1 if "alpha" in self.roles else None


def describe(
    path: str | Path, *, scene_id: str | None = None, assume_crs: str | None = None, allow_ungeoreferenced: bool = False
) -> Scene:
    """Describe a raster and refuse what cannot be located or trusted.

    Args:
        path: A file of one of `DRIVERS`, or a ``/vsi`` path.
        scene_id: Name of the scene; the file's stem by default. What no file name may hold becomes ``_``.
        assume_crs: CRS of a raster that names none, as WKT, PROJ string or ``EPSG:nnnn``; no effect on others.
        allow_ungeoreferenced: Take a raster without CRS or transform as it is, in pixels.

    Raises:
        SceneError: If the file is missing, no raster, holds several rasters or complex numbers, lacks a georeference,
            or is a VRT that lacks a source.
        SettingsError: If ``assume_crs`` is no CRS.
    """
    # os.path also answers False for names that the file system refuses, such as overlong ones.
    known = os.path.exists(path)  # noqa: PTH110
    name = str(Path(path).absolute() if known else path)
    try:
        with open_raster(name) as dataset:
            return _scene(dataset, name, scene_id, assume_crs, allow_ungeoreferenced)
    except RasterioIOError as error:
        raise SceneError(_why_unreadable(name, error)) from error


def safe_id(name: str) -> str:
    """Turn any text into a scene id that names one file or folder on every system and in a hive partition.

    Separators, control and reserved characters become ``_``. Overlong names are cut and get a hash, so that two that
    begin alike still differ.
    """
    text = "".join("_" if c in '/\\:*?"<>|%=#' or not c.isprintable() else c for c in name).strip(". ") or "scene"
    if len(text.encode()) <= _MAX_ID_BYTES:
        return text
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    return f"{text.encode()[: _MAX_ID_BYTES - 13].decode(errors='ignore')}-{digest}"


def _scene(
    dataset: DatasetReader, path: str, scene_id: str | None, assume_crs: str | None, allow_ungeoreferenced: bool
) -> Scene:
    if dataset.subdatasets:
        listed = ", ".join(dataset.subdatasets)
        raise SceneError(f"{path} holds several rasters: {listed}. Give one of these names as the scene.")
    if not dataset.count:
        raise SceneError(f"{path} holds no raster band. Give the file that holds the pixels.")
    if any("complex" in dtype for dtype in dataset.dtypes):
        raise SceneError(
            f"{path} holds complex numbers ({dataset.dtypes[0]}). Write their amplitude or intensity to a file first."
        )
    _check_index(dataset, path)
    files = tuple(dict.fromkeys([*dataset.files, *(_sources(path) if dataset.driver == "VRT" else ())]))
    return Scene(
        scene_id=safe_id(PurePath(path).stem if scene_id is None else scene_id),
        path=path,
        driver=dataset.driver,
        grid=_grid(dataset, path, assume_crs, allow_ungeoreferenced),
        bands=dataset.count,
        dtypes=tuple(dataset.dtypes),
        nodata=tuple(dataset.nodatavals),
        descriptions=_descriptions(dataset),
        roles=tuple(role.name for role in dataset.colorinterp),
        one_bit=dataset.tags(1, ns="IMAGE_STRUCTURE").get("NBITS") == "1",
        has_mask={"per_dataset"} <= {flag.name for flag in dataset.mask_flag_enums[0]} <= {"per_dataset", "nodata"},
        block_shape=tuple(dataset.block_shapes[0]),
        absent_blocks=_absent_blocks(dataset),
        area_or_point=dataset.tags().get("AREA_OR_POINT", "Area"),
        files=files,
        size_bytes=sum(Path(file).stat().st_size for file in files if Path(file).is_file()),
    )


def _grid(dataset: DatasetReader, path: str, assume_crs: str | None, allow_ungeoreferenced: bool) -> Grid:
    transform = tuple(dataset.transform)[:6]
    crs = _wkt2(dataset.crs) if dataset.crs else ""
    if not allow_ungeoreferenced:
        if transform == _IDENTITY and (dataset.gcps[0] or dataset.rpcs):
            what = f"{len(dataset.gcps[0])} ground control points" if dataset.gcps[0] else "rational polynomials (RPCs)"
            option = "-tps" if dataset.gcps[0] else "-rpc"
            raise SceneError(
                f"{path} is located by {what} alone. Rectify it first: gdalwarp {option} -t_srs EPSG:nnnn IN OUT."
            )
        if not crs and assume_crs is None:
            raise SceneError(
                f"{path} names no coordinate reference system. Set scene.assume_crs (such as EPSG:32633) if you know "
                "it, or scene.allow_ungeoreferenced for a class map without areas."
            )
        if not _has_transform(dataset) and assume_crs is None:
            raise SceneError(
                f"{path} has a CRS but no transform, so its place is unknown. Add a world file, or set "
                "scene.allow_ungeoreferenced for a class map without areas."
            )
    if not crs and assume_crs is not None:
        try:
            crs = _wkt2(CRS.from_user_input(assume_crs))
        except CRSError as error:
            raise SettingsError(
                f"scene.assume_crs={assume_crs!r} is not a coordinate reference system. Use EPSG:nnnn or WKT."
            ) from error
    try:
        return Grid(dataset.height, dataset.width, transform, crs)
    except ValueError as error:
        raise SceneError(
            f"{path} has a georeference that cannot be used. {error} "
            "Fetch it again, or correct it: gdal_edit.py -a_ullr ULX ULY LRX LRY FILE."
        ) from error


def _wkt2(crs: CRS) -> str:
    with gdal_env():
        return str(crs.to_wkt(version="WKT2_2019"))


def _has_transform(dataset: DatasetReader) -> bool:
    """Tell whether the file places its pixels; one with a pixel size alone would lie at the origin of its CRS."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", NotGeoreferencedWarning)
        try:
            return tuple(dataset.read_transform()) != _GDAL_IDENTITY
        except NotGeoreferencedWarning:
            return False


def _descriptions(dataset: DatasetReader) -> tuple[str | None, ...]:
    """Names of the bands; none if older software wrote them in an encoding that no one knows."""
    try:
        return tuple(dataset.descriptions)
    except UnicodeDecodeError:
        return (None,) * int(dataset.count)


def _check_index(dataset: DatasetReader, path: str) -> None:
    """Refuse a header that claims more internal tiles than the file's index of them can list, sparse or not.

    GDAL opens such a file in no time, and a run would work for years on what it claims.
    """
    if dataset.driver != "GTiff":
        return
    count = math.prod(-(-side // block) for side, block in zip(dataset.shape, dataset.block_shapes[0], strict=True))
    size_bytes = Path(path).stat().st_size if Path(path).is_file() else None
    if count > (_MAX_INTERNAL_TILES if size_bytes is None else size_bytes // _INDEX_ENTRY_BYTES):
        held = "" if size_bytes is None else f" in its {size_bytes} bytes"
        raise SceneError(
            f"{path} says that it has {dataset.height} x {dataset.width} pixels in {count} internal tiles, whose index "
            f"has no room{held}. Its header is damaged: fetch it again."
        )


def _absent_blocks(dataset: DatasetReader) -> int:
    """Count the internal tiles without a place in the file: sparse on purpose, or the index is damaged."""
    if dataset.driver != "GTiff" or dataset.nodatavals[0] is not None:
        return 0
    rows, cols = -(-np.array(dataset.shape) // dataset.block_shapes[0])
    return sum(
        dataset.get_tag_item(f"BLOCK_OFFSET_{col}_{row}", "TIFF", bidx=1) is None
        for row in range(rows)
        for col in range(cols)
    )


def _sources(vrt: str) -> list[str]:
    """List a VRT, its local sources and those of the VRTs among them.

    Raises:
        SceneError: If one is missing: GDAL opens the VRT all the same and fails when it reads.
    """
    found, waiting = {vrt: True}, [Path(vrt)]
    while waiting:
        for source in _named_sources(waiting.pop()):
            if str(source) in found:
                continue
            found[str(source)] = source.exists()
            if found[str(source)] and source.suffix.lower() == ".vrt":
                waiting.append(source)
    missing = [source for source, exists in found.items() if not exists]
    if missing:
        listed = ", ".join(missing[:5]) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
        raise SceneError(f"{vrt} lacks {len(missing)} of its sources: {listed}. Restore them or build the VRT again.")
    return list(found)


def _named_sources(vrt: Path) -> Iterator[Path]:
    """Local files that a VRT names; subdatasets, ``/vsi`` paths and URLs are left to GDAL."""
    if not vrt.is_file():
        return
    try:
        root = ET.fromstring(vrt.read_bytes())  # noqa: S314  (expat has refused entity bombs since 2.4.1)
    except ET.ParseError as error:
        raise SceneError(f"{vrt} is not a valid VRT: {error}. Build it again.") from error
    for node in root.iter():
        name = (node.text or "").strip()
        if node.tag not in ("SourceFilename", "SourceDataset") or re.match(r"/vsi|<|\w[\w+.-]+:|$", name):
            continue
        yield vrt.parent / name if node.get("relativeToVRT") == "1" else Path(name).absolute()


def _why_unreadable(path: str, error: RasterioIOError) -> str:
    file = Path(path)
    if not os.path.exists(path):  # noqa: PTH110  (see describe)
        return f"{path} does not exist or cannot be reached from this machine: {error}. Check the path."
    if file.is_dir():
        return f"{path} is a directory, not a raster. Give the files in it."
    if not file.stat().st_size:
        return f"{path} is empty (0 bytes). Fetch it again."
    with file.open("rb") as stream:
        start = stream.read(40)
    page = start.lstrip()[:1] == b"<" and file.suffix.lower() not in (".vrt", ".mrf")
    hint = " It is a web page, perhaps of a login or an error." if page else ""
    return (
        f"{path} cannot be opened as a raster: {error.__cause__ or error} It starts with {start!r}.{hint} "
        f"Fetch it again, or convert it to GeoTIFF; geoseg reads {', '.join(DRIVERS)}."
    )
