"""The description of a raster file, checked before a run."""

import hashlib
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rasterio.crs import CRS
from rasterio.errors import CRSError, NotGeoreferencedWarning, RasterioIOError
from rasterio.io import DatasetReader

from geoseg.errors import SceneError, SettingsError
from geoseg.grid.window import Grid
from geoseg.raster.source.address import locate
from geoseg.raster.source.cells import CELL_PX
from geoseg.raster.source.env import gdal_env, open_raster
from geoseg.raster.source.identity import identify_all
from geoseg.raster.source.open_errors import check_access, explain_access_error, explain_open_error
from geoseg.raster.source.palette import colour_fields
from geoseg.raster.source.version import Version
from geoseg.raster.source.vrt import VrtSources, check_vrt, is_vrt

_IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
_GDAL_IDENTITY = (0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
_MAX_ID_BYTES = 200
_MAX_STRIP_ROWS = 10_000

MAX_INSPECTED_TILES = 1 << 18
"""Internal tiles that are inspected for whether they are stored: all of 200,000 x 200,000 pixels in tiles of 512."""
_INDEX_ENTRY_BYTES = 4
_MAX_INTERNAL_TILES = 1 << 24
_MAX_ROWS = 1 << 20


@dataclass(frozen=True, slots=True)
class Scene:
    """One input raster with its georeference. Holds no open file, so it may travel to workers."""

    scene_id: str
    """Name of the scene in every output; safe as a file name and as a hive partition value."""
    path: str
    """GDAL's name; absolute if it is a local file."""
    driver: str
    """GDAL's name of the format."""
    grid: Grid
    """Size and georeference."""
    bands: int
    """Number of bands."""
    dtypes: tuple[str, ...]
    """Data type of each band."""
    nodata: tuple[float | None, ...]
    """Nodata value of each band, from the settings or the file; the data type may be unable to represent it."""
    descriptions: tuple[str | None, ...]
    """Name of each band, if it has one."""
    roles: tuple[str, ...]
    """GDAL's colour interpretation of each band, such as ``red``, ``alpha``, ``palette`` or ``undefined``."""
    scales: tuple[float, ...]
    """Scale of each band: physical value = stored value * scale + offset."""
    offsets: tuple[float, ...]
    """Offset of each band."""
    one_bit: bool
    """The file stores one bit per sample."""
    has_mask: bool
    """The raster has a validity mask, internal or as a ``.msk`` file."""
    block_shape: tuple[int, int]
    """Height and width of the internal tiles or strips, or of the cells."""
    in_cells: bool
    """GDAL computes the pixels for each window, so the scene is read in the cells of `geoseg.raster.source.cells`."""
    absent_blocks: int
    """Internal tiles that are not stored and therefore read as 0; counted only if no nodata value is declared. An
    estimate if there are more than `MAX_INSPECTED_TILES`."""
    area_or_point: str
    """``Area`` or ``Point``: what a sample represents. ``grid`` describes pixel corners in both cases."""
    files: tuple[str, ...]
    """All files that are read: the raster, its sidecars and, for a VRT, its sources."""
    versions: tuple[Version, ...]
    """Version of each of ``files`` at the time of the description."""
    remote: bool
    """The raster, or a source of a VRT, is read over the network."""
    palette: tuple[tuple[int, int, int, int], ...] | None = None
    """Colours of the single stored band, which is read as red, green and blue; see `geoseg.raster.source.palette`."""

    @property
    def alpha_band(self) -> int | None:
        """The band tagged as alpha, counted from 1. Near infrared bands are often tagged so by mistake."""
        return self.roles.index("alpha") + 1 if "alpha" in self.roles else None


def describe(
    path: str | Path,
    *,
    scene_id: str | None = None,
    assume_crs: str | None = None,
    allow_ungeoreferenced: bool = False,
    expand_palette: bool = False,
    nodata: float | Sequence[float | None] | None = None,
    remote: bool = False,
    allow_private_hosts: bool = False,
) -> Scene:
    """Describe a raster; refuse one that cannot be located or trusted.

    Args:
        path: A file in a format of `DRIVERS`, or another name that `geoseg.raster.source.address.locate` accepts.
        scene_id: Name of the scene; the file's stem by default. Characters not allowed in file names become ``_``.
        assume_crs: CRS for a raster without one, as WKT, PROJ string or ``EPSG:nnnn``; no effect on others.
        allow_ungeoreferenced: Accept a raster without CRS or transform, in pixel coordinates.
        expand_palette: Read a paletted band as red, green and blue.
        nodata: Nodata value of all bands, or one for each band of the file, instead of the declared ones.
        remote: Allow scenes, and sources of VRTs, that are read over the network.
        allow_private_hosts: See `geoseg.raster.source.address.locate`.

    Raises:
        SceneError: If the file is missing, not allowed or not a raster, holds several rasters or complex numbers, lacks
            a georeference, or is a VRT with a source that is missing or not allowed.
        SettingsError: If ``assume_crs`` is not a CRS.
    """
    address = locate(path, remote=remote, allow_private_hosts=allow_private_hosts)
    try:
        check_access(address)
    except OSError as error:
        raise SceneError(explain_access_error(address, error)) from error
    sources = VrtSources((), address.remote)
    if address.file is not None and is_vrt(address.file):
        sources = check_vrt(address.file, remote=remote, allow_private_hosts=allow_private_hosts)
    driver = "VRT" if sources.files else None
    name = safe_id(address.stem if scene_id is None else scene_id)
    try:
        with open_raster(address.name, driver=driver, remote=sources.remote) as dataset:
            scene = _scene(dataset, address.name, name, sources, assume_crs, allow_ungeoreferenced, nodata)
            if expand_palette and scene.roles == ("palette",):
                return replace(scene, **colour_fields(scene.dtypes, scene.nodata, dataset.colormap(1)))
            return scene
    except RasterioIOError as error:
        raise SceneError(explain_open_error(address, error)) from error
    except OSError as error:
        raise SceneError(explain_access_error(address, error)) from error


def safe_id(name: str) -> str:
    """Convert any text to a scene id that is a valid file name on every system and a valid hive partition value.

    Separators, control and reserved characters become ``_``. Overlong names are cut and get a hash, so names with a
    common beginning still differ.
    """
    text = "".join("_" if c in '/\\:*?"<>|%=#' or not c.isprintable() else c for c in name).strip(". ") or "scene"
    if len(text.encode()) <= _MAX_ID_BYTES:
        return text
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    return f"{text.encode()[: _MAX_ID_BYTES - 13].decode(errors='ignore')}-{digest}"


def _scene(
    dataset: DatasetReader,
    path: str,
    scene_id: str,
    sources: VrtSources,
    assume_crs: str | None,
    allow_ungeoreferenced: bool,
    given_nodata: float | Sequence[float | None] | None,
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
    overviews = dataset.tags(ns="OVERVIEWS").get("OVERVIEW_FILE", ":::BASE:::")
    if not overviews.startswith(":::BASE:::"):
        raise SceneError(
            f"{path} names a file of overviews elsewhere: {overviews}. Remove OVERVIEW_FILE from its tags."
        )
    nodata = _nodata(dataset, path, given_nodata)
    files = tuple(dict.fromkeys([*dataset.files, *sources.files]))
    new = [file for file in files if file not in sources.versions]
    versions = {**sources.versions, **dict(zip(new, identify_all(new), strict=True))}
    return Scene(
        scene_id=scene_id,
        path=path,
        driver=dataset.driver,
        grid=_grid(dataset, path, assume_crs, allow_ungeoreferenced),
        bands=dataset.count,
        dtypes=tuple(dataset.dtypes),
        nodata=nodata,
        descriptions=_descriptions(dataset),
        roles=tuple(role.name for role in dataset.colorinterp),
        scales=tuple(dataset.scales),
        offsets=tuple(dataset.offsets),
        one_bit=dataset.tags(1, ns="IMAGE_STRUCTURE").get("NBITS") == "1",
        has_mask={"per_dataset"} <= {flag.name for flag in dataset.mask_flag_enums[0]} <= {"per_dataset", "nodata"},
        block_shape=_block_shape(dataset, in_cells=not sources.only_copies),
        in_cells=not sources.only_copies,
        absent_blocks=0 if nodata[0] is not None else _absent_blocks(dataset),
        area_or_point=dataset.tags().get("AREA_OR_POINT", "Area"),
        files=files,
        versions=tuple(versions[file] for file in files),
        remote=sources.remote,
    )


def _nodata(
    dataset: DatasetReader, path: str, given: float | Sequence[float | None] | None
) -> tuple[float | None, ...]:
    """Nodata value of each band: the given ones, else those that the file declares."""
    if given is None:
        return tuple(dataset.nodatavals)
    if not isinstance(given, Sequence):
        return (float(given),) * int(dataset.count)
    if len(given) != dataset.count:
        raise SceneError(
            f"scene.nodata holds {len(given)} values, and {path} has {dataset.count} bands. Give one for each band of "
            "the file (null where there is none), or a single number."
        )
    return tuple(given)


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
    """Return whether the file has a transform; a pixel size without a position does not count."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", NotGeoreferencedWarning)
        try:
            return tuple(dataset.read_transform()) != _GDAL_IDENTITY
        except NotGeoreferencedWarning:
            return False


def _descriptions(dataset: DatasetReader) -> tuple[str | None, ...]:
    """Names of the bands; None for each if their encoding is not UTF-8."""
    try:
        return tuple(dataset.descriptions)
    except UnicodeDecodeError:
        return (None,) * int(dataset.count)


def _check_index(dataset: DatasetReader, path: str) -> None:
    """Refuse a header that declares more internal tiles than the index in the file can list, sparse or not.

    GDAL opens such a file quickly, and a run would process the declared pixels for years.
    """
    if dataset.driver != "GTiff":
        return
    count = math.prod(-(-side // block) for side, block in zip(dataset.shape, dataset.block_shapes[0], strict=True))
    size_bytes = Path(path).stat().st_size if Path(path).is_file() else None
    listed = _MAX_INTERNAL_TILES if size_bytes is None else size_bytes // _INDEX_ENTRY_BYTES
    # GDAL reports a single strip that holds the whole raster as many strips of one row.
    if count > (listed if has_tile_index(dataset) else max(listed, _MAX_ROWS)):
        held = "" if size_bytes is None else f" into the {size_bytes} bytes of the file"
        raise SceneError(
            f"{path} declares {dataset.height} x {dataset.width} pixels in {count} internal tiles, whose index "
            f"does not fit{held}. Its header is damaged: fetch it again."
        )


def has_tile_index(dataset: DatasetReader) -> bool:
    """Return whether the offset of each internal tile can be requested.

    GDAL reports a single strip that holds the whole raster as many strips of one row, only the first of them stored.
    """
    return bool(dataset.driver == "GTiff" and dataset.block_shapes[0][0] > 1)


def _absent_blocks(dataset: DatasetReader) -> int:
    """Count the internal tiles that are not stored: the file is sparse, or its index is damaged.

    If there are more than `MAX_INSPECTED_TILES`, evenly spread ones are inspected and the total is estimated.
    """
    if not has_tile_index(dataset):
        return 0
    rows, cols = (int(-(-size // side)) for size, side in zip(dataset.shape, dataset.block_shapes[0], strict=True))
    step = -(-rows * cols // MAX_INSPECTED_TILES)
    places = (divmod(tile, cols) for tile in range(0, rows * cols, step))
    return step * sum(dataset.get_tag_item(f"BLOCK_OFFSET_{col}_{row}", "TIFF", bidx=1) is None for row, col in places)


def _block_shape(dataset: DatasetReader, *, in_cells: bool) -> tuple[int, int]:
    if in_cells:
        return CELL_PX, CELL_PX
    return tuple(dataset.shape if _is_one_strip(dataset) else dataset.block_shapes[0])


def _is_one_strip(dataset: DatasetReader) -> bool:
    """Return whether a single compressed strip holds all rows.

    Above 10,000 rows GDAL reports such a strip as strips of one row, and only the first has an offset.
    """

    def is_stored(row: int) -> bool:
        return dataset.get_tag_item(f"BLOCK_OFFSET_0_{row}", "TIFF", bidx=1) is not None

    single_rows = dataset.height > _MAX_STRIP_ROWS and dataset.block_shapes[0] == (1, dataset.width)
    return single_rows and is_stored(0) and not is_stored(1) and not is_stored(dataset.height - 1)
