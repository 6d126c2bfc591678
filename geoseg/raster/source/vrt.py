"""Check the sources of a VRT before GDAL opens it: a VRT can name any file, service or Python code.

GDAL parses XML leniently (case, attributes in place of elements), so unusual constructs are refused, not interpreted.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from xml.etree import ElementTree as ET

from rasterio.errors import RasterioIOError

from geoseg.errors import SceneError
from geoseg.raster.source.address import is_missing, is_prefixed, locate
from geoseg.raster.source.env import PLAIN_DRIVERS, open_raster
from geoseg.raster.source.identity import map_concurrently, query_file
from geoseg.raster.source.version import Version

_HEAD_BYTES = 1 << 16
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
"""First bytes of a file of GDAL's driver GTiff."""
_NAME_ELEMENTS = {"sourcefilename", "sourcedataset", "dempath"}
"""Elements that hold a file name, in lower case."""
_NAME_METADATA = {"x_dataset", "y_dataset", "overview_file"}
"""Metadata items that hold a file name."""
_ALLOWED_SUBCLASSES = {
    *("vrtwarpeddataset", "vrtpansharpeneddataset", "vrtsourcedrasterband", "vrtderivedrasterband"),
    *("vrtwarpedrasterband", "vrtpansharpenedrasterband"),
}
"""Allowed values of subClass. Raw bands are excluded, since they show the bytes of any file as pixels, and processing
chains, since their steps name files in many ways."""
_PLAIN_BAND = "vrtsourcedrasterband"
_COPY_SOURCES = {"simplesource", "complexsource"}
_SIDES = ("xoff", "yoff", "xsize", "ysize")


@dataclass(frozen=True, slots=True)
class VrtSources:
    """Files that a VRT reads, including itself and nested VRTs."""

    files: tuple[str, ...]
    """GDAL's names, in the order of their first occurrence."""
    remote: bool
    """Some files are read over the network."""
    versions: Mapping[str, Version] = field(default_factory=dict)
    """Versions of the remote files, see `geoseg.raster.source.identity.identify`."""
    only_copies: bool = True
    """Each pixel is copied from a source, so it does not depend on the window. Pixels that GDAL warps, resamples,
    filters or computes may depend on it; see `geoseg.raster.source.cells`."""


def is_vrt(file: str) -> bool:
    """Return whether GDAL might open a file as a VRT."""
    path = Path(file)
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        return b"<vrtdataset" in stream.read(_HEAD_BYTES).lower()


def check_vrt(vrt: str, *, remote: bool = False, allow_private_hosts: bool = False) -> VrtSources:
    """List a VRT and its sources, recursively, without opening a VRT.

    A remote GeoTIFF costs one request; `geoseg.raster.source.identity.MAX_REQUESTS` requests run at a time.

    Args:
        vrt: A local file.
        remote: Allow sources of the form ``/vsicurl/https://...`` and ``/vsis3/...``.
        allow_private_hosts: As for `geoseg.raster.source.address.locate`.

    Raises:
        SceneError: If a source is missing, not allowed or not a plain raster, or if the VRT can run code or is damaged.
    """
    files, missing, pending, public = {vrt: False}, list[str](), [vrt], set[str]()
    only_copies = True
    while pending:
        path = Path(pending.pop())
        content = _parse(path, vrt)
        only_copies = only_copies and _only_copies(content)
        for name in _source_names(content, path, vrt):
            if is_missing(name):
                missing.append(name)
                continue
            try:
                source = locate(_as_url(name), remote=remote, allow_private_hosts=allow_private_hosts, public=public)
            except SceneError as error:
                raise SceneError(f"{vrt} cannot be used because of a source: {error}") from error
            if source.name in files:
                continue
            files[source.name] = source.remote
            if source.file and is_vrt(source.file):
                pending.append(source.file)
            elif not source.remote:
                _require_plain(source.name, vrt)
    if missing:
        listed = ", ".join(missing[:5]) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
        raise SceneError(f"{vrt} lacks {len(missing)} of its sources: {listed}. Restore them or build the VRT again.")
    remote_files = [name for name, is_remote in files.items() if is_remote]
    versions = zip(remote_files, map_concurrently(partial(_query_plain, vrt=vrt), remote_files), strict=True)
    return VrtSources(tuple(files), bool(remote_files), dict(versions), only_copies)


def _as_url(name: str) -> str:
    """Convert a VRT's name of a remote file to a URL. GDAL would give a bare URL in a VRT to another driver."""
    for gdal, url in (("/vsicurl/http", "http"), ("/vsis3/", "s3://")):
        if name.startswith(gdal):
            return url + name.removeprefix(gdal)
    return f"/vsi?{name}" if "://" in name else name


def _query_plain(name: str, vrt: str) -> Version:
    """Return the version of a remote file; refuse it if it is not a plain raster.

    The first bytes, which come with the version, identify a TIFF. Other files are opened.
    """
    response = query_file(name)
    if not response.first_bytes.startswith(_TIFF):
        _require_plain(name, vrt, remote=True)
    return response.version


def _require_plain(name: str, vrt: str, *, remote: bool = False) -> None:
    """Refuse a source that GDAL would open with a driver geoseg does not use, such as one for web services."""
    try:
        with open_raster(name, remote=remote):
            return
    except RasterioIOError as error:
        raise SceneError(
            f"{vrt} has the source {name}, which cannot be opened: {str(error).rstrip('.')}. Fetch that file "
            f"again, or build the VRT of files in one of the formats {', '.join(PLAIN_DRIVERS)}."
        ) from error


def _only_copies(content: ET.Element) -> bool:
    """Return whether a VRT only copies pixels of its sources at their own size; False for anything unusual.

    Nearest-neighbour resampling and C functions count as computed, though GDAL 3.10 computes them alike in all windows.
    """
    for node in content.iter():
        tag, values = node.tag.lower(), _attributes(node)
        if values.get("subclass", _PLAIN_BAND).lower() != _PLAIN_BAND:
            return False
        if tag.endswith("source") and not (tag in _COPY_SOURCES and _keeps_size(node)):
            return False
    return True


def _keeps_size(source: ET.Element) -> bool:
    """Return whether a source is placed at its own size and shifted by whole pixels only."""
    rectangles = [_attributes(node) for node in source if node.tag.lower() in {"srcrect", "dstrect"}]
    try:
        sides = [[float(rectangle[side]) for side in _SIDES] for rectangle in rectangles]
    except (KeyError, ValueError):
        return False
    whole = all(side.is_integer() for rectangle in sides for side in rectangle)
    return not sides or (len(sides) == 2 and whole and sides[0][2:] == sides[1][2:])


def _attributes(node: ET.Element) -> dict[str, str]:
    return {key.lower(): value for key, value in node.attrib.items()}


def _source_names(content: ET.Element, vrt: Path, top: str) -> Iterator[str]:
    """Yield the names of a VRT's sources; local ones are absolute."""
    for node in content.iter():
        tag, values = node.tag.lower(), _attributes(node)
        kind = values.get("subclass", "").lower()
        if kind and kind not in _ALLOWED_SUBCLASSES:
            raise SceneError(f"{top} uses {values['subclass']}. Make it a GeoTIFF first: gdal_translate IN OUT.")
        if tag == "pixelfunctioncode" or (tag == "pixelfunctionlanguage" and (node.text or "").lower() != "c"):
            raise SceneError(
                f"{top} contains code that computes pixels, which geoseg never runs. If you trust it, make "
                "it a GeoTIFF first: gdal_translate --config GDAL_VRT_ENABLE_PYTHON YES IN OUT."
            )
        if tag not in _NAME_ELEMENTS and not (tag == "mdi" and values.get("key", "").lower() in _NAME_METADATA):
            if _NAME_ELEMENTS & values.keys():
                raise SceneError(f"{top} names a source in an attribute of {node.tag}. Build the VRT again.")
            continue
        if len(node) or not node.text:
            raise SceneError(f"{top} holds a {node.tag} that is not plain text. Build the VRT again.")
        name = node.text.strip()
        if values.get("relativetovrt") == "1":
            yield str(vrt.resolve().parent / name)
        else:
            yield name if is_prefixed(name) else str(Path(name).absolute())


def _parse(vrt: Path, top: str) -> ET.Element:
    try:
        # Text, not bytes: a declared encoding could hide a name that GDAL reads unchanged.
        text = vrt.read_text(encoding="utf-8")
        if "<!DOCTYPE" in text:
            raise SceneError(f"{top} declares XML entities ({vrt}). Build the VRT again.")
        return ET.fromstring(text)  # noqa: S314  (documents with entities were refused above)
    except (ET.ParseError, UnicodeDecodeError) as error:
        raise SceneError(f"{vrt} is not a valid VRT: {error}. Build it again.") from error
