"""What a VRT reads, found out before GDAL opens it: a VRT can name any file, service or Python code.

GDAL's own reading of XML is lax (case, attributes for elements), so everything unusual is refused, not interpreted.
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
from geoseg.raster.source.identity import ask, at_once
from geoseg.raster.source.version import Version

_HEAD_BYTES = 1 << 16
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
"""How a file of GDAL's driver GTiff begins."""
_NAMES = {"sourcefilename", "sourcedataset", "dempath"}
"""Elements that hold the name of a file, in lower case."""
_NAMING_ITEMS = {"x_dataset", "y_dataset", "overview_file"}
"""Metadata items that do, too."""
_KINDS = {
    *("vrtwarpeddataset", "vrtpansharpeneddataset", "vrtsourcedrasterband", "vrtderivedrasterband"),
    *("vrtwarpedrasterband", "vrtpansharpenedrasterband"),
}
"""Not raw bands, which show any file's bytes as pixels, nor processing chains, whose steps name files in many ways."""
_PLAIN_BAND = "vrtsourcedrasterband"
_COPYING = {"simplesource", "complexsource"}
_SIDES = ("xoff", "yoff", "xsize", "ysize")


@dataclass(frozen=True, slots=True)
class VrtSources:
    """What a VRT reads, itself and the VRTs it names included."""

    files: tuple[str, ...]
    """Names as GDAL knows them, in the order of their first mention."""
    remote: bool
    """Some are read over the network."""
    versions: Mapping[str, Version] = field(default_factory=dict)
    """Which version each of those is, see `geoseg.raster.source.identity.identify`."""
    only_copies: bool = True
    """Each pixel is one of a source, so it does not depend on the window that is read. Where GDAL warps, resamples,
    filters or computes it may; see `geoseg.raster.source.cells`."""


def is_vrt(file: str) -> bool:
    """Tell whether GDAL might take a file for a VRT."""
    path = Path(file)
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        return b"<vrtdataset" in stream.read(_HEAD_BYTES).lower()


def check_vrt(vrt: str, *, remote: bool = False, allow_private_hosts: bool = False) -> VrtSources:
    """List a VRT, its sources and those of the VRTs among them, without opening a VRT.

    A remote GeoTIFF costs one request, and `geoseg.raster.source.identity.MOST_AT_ONCE` are asked for at a time.

    Args:
        vrt: A local file.
        remote: Allow sources of the form ``/vsicurl/https://...`` and ``/vsis3/...``.
        allow_private_hosts: As for `geoseg.raster.source.address.locate`.

    Raises:
        SceneError: If a source is missing, not allowed or no plain raster, or the VRT could run code or is damaged.
    """
    found, missing, waiting, public = {vrt: False}, list[str](), [vrt], set[str]()
    only_copies = True
    while waiting:
        path = Path(waiting.pop())
        content = _parse(path, vrt)
        only_copies = only_copies and _only_copies(content)
        for name in _named(content, path, vrt):
            if is_missing(name):
                missing.append(name)
                continue
            try:
                source = locate(_as_url(name), remote=remote, allow_private_hosts=allow_private_hosts, public=public)
            except SceneError as error:
                raise SceneError(f"{vrt} cannot be used because of a source: {error}") from error
            if source.name in found:
                continue
            found[source.name] = source.remote
            if source.file and is_vrt(source.file):
                waiting.append(source.file)
            elif not source.remote:
                _require_plain(source.name, vrt)
    if missing:
        listed = ", ".join(missing[:5]) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
        raise SceneError(f"{vrt} lacks {len(missing)} of its sources: {listed}. Restore them or build the VRT again.")
    distant = [name for name, is_remote in found.items() if is_remote]
    versions = zip(distant, at_once(partial(_ask_plain, vrt=vrt), distant), strict=True)
    return VrtSources(tuple(found), bool(distant), dict(versions), only_copies)


def _as_url(name: str) -> str:
    """What a VRT calls a remote file, as a person would write it. A bare URL there would go to another driver."""
    for gdal, url in (("/vsicurl/http", "http"), ("/vsis3/", "s3://")):
        if name.startswith(gdal):
            return url + name.removeprefix(gdal)
    return f"/vsi?{name}" if "://" in name else name


def _ask_plain(name: str, vrt: str) -> Version:
    """Which version of a remote file this is; refuse it if it is no plain raster.

    That a file is a TIFF shows in its first bytes, which come with the version. Others are opened.
    """
    answer = ask(name)
    if not answer.start.startswith(_TIFF):
        _require_plain(name, vrt, remote=True)
    return answer.version


def _require_plain(name: str, vrt: str, *, remote: bool = False) -> None:
    """Refuse a source that GDAL would hand to a driver geoseg does not use, such as one that asks web services."""
    try:
        with open_raster(name, remote=remote):
            return
    except RasterioIOError as error:
        raise SceneError(
            f"{vrt} has the source {name}, which cannot be opened: {str(error).rstrip('.')}. Fetch that file "
            f"again, or build the VRT of files in one of the formats {', '.join(PLAIN_DRIVERS)}."
        ) from error


def _only_copies(content: ET.Element) -> bool:
    """Tell whether a VRT puts pixels of its sources to places of the same size; what is unusual does not count as that.

    Even `resampling="nearest"` and C functions are left out, though GDAL 3.10 computes them alike for all windows.
    """
    for node in content.iter():
        tag, values = node.tag.lower(), _attributes(node)
        if values.get("subclass", _PLAIN_BAND).lower() != _PLAIN_BAND:
            return False
        if tag.endswith("source") and not (tag in _COPYING and _keeps_size(node)):
            return False
    return True


def _keeps_size(source: ET.Element) -> bool:
    """Tell whether a source is moved by whole pixels alone."""
    rectangles = [_attributes(node) for node in source if node.tag.lower() in {"srcrect", "dstrect"}]
    try:
        sides = [[float(rectangle[side]) for side in _SIDES] for rectangle in rectangles]
    except (KeyError, ValueError):
        return False
    whole = all(side.is_integer() for rectangle in sides for side in rectangle)
    return not sides or (len(sides) == 2 and whole and sides[0][2:] == sides[1][2:])


def _attributes(node: ET.Element) -> dict[str, str]:
    return {key.lower(): value for key, value in node.attrib.items()}


def _named(content: ET.Element, vrt: Path, top: str) -> Iterator[str]:
    """Names of a VRT's sources; local ones absolute."""
    for node in content.iter():
        tag, values = node.tag.lower(), _attributes(node)
        kind = values.get("subclass", "").lower()
        if kind and kind not in _KINDS:
            raise SceneError(f"{top} uses {values['subclass']}. Make it a GeoTIFF first: gdal_translate IN OUT.")
        if tag == "pixelfunctioncode" or (tag == "pixelfunctionlanguage" and (node.text or "").lower() != "c"):
            raise SceneError(
                f"{top} computes pixels by code that it brings along, which geoseg never runs. If you trust it, make "
                "it a GeoTIFF first: gdal_translate --config GDAL_VRT_ENABLE_PYTHON YES IN OUT."
            )
        if tag not in _NAMES and not (tag == "mdi" and values.get("key", "").lower() in _NAMING_ITEMS):
            if _NAMES & values.keys():
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
        # Text, not bytes: the encoding that the file declares could hide a name that GDAL reads as it stands.
        text = vrt.read_text(encoding="utf-8")
        if "<!DOCTYPE" in text:
            raise SceneError(f"{top} declares XML entities ({vrt}). Build the VRT again.")
        return ET.fromstring(text)  # noqa: S314  (nothing declares entities here)
    except (ET.ParseError, UnicodeDecodeError) as error:
        raise SceneError(f"{vrt} is not a valid VRT: {error}. Build it again.") from error
