"""The description of a raster file, checked before a run."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from rasterio.errors import RasterioIOError
from rasterio.io import DatasetReader

from geoseg.config import SceneSettings
from geoseg.errors import SceneError
from geoseg.grid.window import Grid
from geoseg.raster.mosaic.composite import Composite
from geoseg.raster.source.address import Address, locate
from geoseg.raster.source.cells import CELL_PX
from geoseg.raster.source.env import open_raster
from geoseg.raster.source.georeference import read_grid
from geoseg.raster.source.identity import identify_all
from geoseg.raster.source.open_errors import check_access, explain_access_error, explain_open_error
from geoseg.raster.source.palette import colour_fields
from geoseg.raster.source.tile_index import check_tile_index, count_absent_tiles, tile_shape
from geoseg.raster.source.version import Version
from geoseg.raster.source.vrt import VrtSources, check_vrt, is_vrt

_MAX_ID_BYTES = 200


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
    """Internal tiles that are not stored and therefore read as 0; counted only if no nodata value is declared. See
    `geoseg.raster.source.tile_index.count_absent_tiles`."""
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
    composite: Composite | None = None
    """The sources of a scene that is made of several; then ``path`` is its name, and there is no such file."""

    @property
    def time(self) -> datetime | None:
        """When it was taken, if Items say so and all have one time."""
        return None if self.composite is None else self.composite.observed_at

    def on_date(self, date: int) -> "Scene":
        """The sources of one date of a scene whose dates are fused."""
        if self.composite is None:
            raise ValueError(f"{self.path} has no dates.")
        return replace(self, composite=self.composite.on_date(date))

    @property
    def alpha_band(self) -> int | None:
        """The band tagged as alpha, counted from 1. Near infrared bands are often tagged so by mistake."""
        return self.roles.index("alpha") + 1 if "alpha" in self.roles else None


def describe(path: str | Path, settings: SceneSettings = SceneSettings(), *, with_versions: bool = True) -> Scene:
    """Describe a raster; refuse one that cannot be located or trusted.

    Args:
        path: A file in a format of `DRIVERS`, or another name that `geoseg.raster.source.address.locate` accepts.
        settings: What to accept, and what to assume instead of what the file declares.
        with_versions: Determine the versions of its files, which costs a request for a remote file.

    Raises:
        SceneError: If the file is missing, not allowed or not a raster, holds several rasters or complex numbers, lacks
            a georeference, or is a VRT with a source that is missing or not allowed.
        SettingsError: If ``assume_crs`` is not a CRS.
    """
    remote, private = settings.remote, settings.allow_private_hosts
    address = locate(path, remote=remote, allow_private_hosts=private)
    try:
        check_access(address)
    except OSError as error:
        raise SceneError(explain_access_error(address, error)) from error
    sources = VrtSources((), address.remote)
    if address.file is not None and is_vrt(address.file):
        sources = check_vrt(address.file, remote=remote, allow_private_hosts=private)
    driver = "VRT" if sources.files else None
    try:
        with open_raster(address.name, driver=driver, remote=sources.remote) as dataset:
            scene = _scene(dataset, address, sources, settings, with_versions=with_versions)
            if settings.expand_palette and scene.roles == ("palette",):
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
    dataset: DatasetReader, address: Address, sources: VrtSources, settings: SceneSettings, *, with_versions: bool
) -> Scene:
    path = address.name
    if dataset.subdatasets:
        listed = ", ".join(dataset.subdatasets)
        raise SceneError(f"{path} holds several rasters: {listed}. Give one of these names as the scene.")
    if not dataset.count:
        raise SceneError(f"{path} holds no raster band. Give the file that holds the pixels.")
    if any("complex" in dtype for dtype in dataset.dtypes):
        raise SceneError(
            f"{path} holds complex numbers ({dataset.dtypes[0]}). Write their amplitude or intensity to a file first."
        )
    check_tile_index(dataset, path)
    overviews = dataset.tags(ns="OVERVIEWS").get("OVERVIEW_FILE", ":::BASE:::")
    if not overviews.startswith(":::BASE:::"):
        raise SceneError(
            f"{path} names a file of overviews elsewhere: {overviews}. Remove OVERVIEW_FILE from its tags."
        )
    nodata = _nodata(dataset, path, settings.nodata)
    files = tuple(dict.fromkeys([*dataset.files, *sources.files]))
    new = [file for file in files if file not in sources.versions] if with_versions else []
    versions = {**sources.versions, **dict(zip(new, identify_all(new), strict=True))}
    return Scene(
        scene_id=safe_id(address.stem),
        path=path,
        driver=dataset.driver,
        grid=read_grid(dataset, path, settings),
        bands=dataset.count,
        dtypes=tuple(dataset.dtypes),
        nodata=nodata,
        descriptions=_descriptions(dataset),
        roles=tuple(role.name for role in dataset.colorinterp),
        scales=tuple(dataset.scales),
        offsets=tuple(dataset.offsets),
        one_bit=dataset.tags(1, ns="IMAGE_STRUCTURE").get("NBITS") == "1",
        has_mask={"per_dataset"} <= {flag.name for flag in dataset.mask_flag_enums[0]} <= {"per_dataset", "nodata"},
        block_shape=tile_shape(dataset) if sources.only_copies else (CELL_PX, CELL_PX),
        in_cells=not sources.only_copies,
        absent_blocks=0 if nodata[0] is not None else count_absent_tiles(dataset),
        area_or_point=dataset.tags().get("AREA_OR_POINT", "Area"),
        files=files,
        versions=tuple(versions[file] for file in files) if with_versions else (),
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


def _descriptions(dataset: DatasetReader) -> tuple[str | None, ...]:
    """Names of the bands; None for each if their encoding is not UTF-8."""
    try:
        return tuple(dataset.descriptions)
    except UnicodeDecodeError:
        return (None,) * int(dataset.count)
