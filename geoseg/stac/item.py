"""STAC Items: the bands that their assets hold, and which of them a model wants.

Only what a scene needs is read, from the JSON itself: pystac needs 1.9 ms for an Item of 13 assets, 19 s for 10,000.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from rasterio.crs import CRS
from rasterio.errors import CRSError

from geoseg.config import SceneSettings
from geoseg.errors import SceneError
from geoseg.grid.window import Grid
from geoseg.raster.band_names import canonical, plain
from geoseg.raster.source.env import gdal_env
from geoseg.stac.documents import absolute_href, read_document

_DOCUMENT_SUFFIXES = (".json", ".geojson")
_OF_API = re.compile(r"https?://.*/collections/[^/]+/items/[^/?#]+", re.IGNORECASE)
_PICTURES = {"thumbnail", "overview", "visual", "metadata"}
"""Roles of assets that show a scene and do not hold its values."""


@dataclass(frozen=True, slots=True)
class Item:
    """A STAC Item."""

    document: Mapping[str, Any]
    """Its JSON."""
    origin: str
    """Path or URL that its relative hrefs are relative to."""

    @property
    def id(self) -> str:
        """Its id, for messages and as the scene's."""
        return str(self.document.get("id") or self.origin)

    @property
    def properties(self) -> Mapping[str, Any]:
        """Its properties."""
        found = self.document.get("properties")
        return found if isinstance(found, dict) else {}

    @property
    def assets(self) -> Mapping[str, Mapping[str, Any]]:
        """Its assets by key."""
        found = self.document.get("assets")
        return found if isinstance(found, dict) else {}

    @property
    def time(self) -> datetime | None:
        """When it was taken; the middle of an interval; None if it does not say so."""
        texts = [self.properties.get(key) for key in ("datetime", "start_datetime", "end_datetime")]
        times = [_time(text) for text in (texts[:1] if texts[0] else texts[1:])]
        known = [time for time in times if time is not None]
        return known[0] + (known[-1] - known[0]) / 2 if known else None

    @property
    def cloud_percent(self) -> float | None:
        """Share of clouds; None if it does not say so."""
        value = self.properties.get("eo:cloud_cover")
        return float(value) if isinstance(value, int | float) else None


@dataclass(frozen=True, slots=True)
class ItemBand:
    """A band of an asset."""

    asset: str
    """Key of the asset."""
    number: int
    """Band of its file, from 1."""
    facts: Mapping[str, Any] = field(compare=False)
    """What the Item says of it: properties of the band, else of the asset."""

    @property
    def name(self) -> str | None:
        """Its own name."""
        return self.facts.get("name")

    @property
    def common_name(self) -> str | None:
        """STAC's common name."""
        return self.facts.get("eo:common_name") or self.facts.get("common_name")

    def number_of(self, *keys: str) -> float | None:
        """The first number under one of the keys; texts such as nan count."""
        for key in keys:
            value = self.facts.get(key)
            if isinstance(value, bool) or value is None:
                continue
            try:
                return float(value)
            except (TypeError, ValueError):
                continue
        return None


def is_item(document: Mapping[str, Any]) -> bool:
    """Return whether a JSON document is a STAC Item."""
    return document.get("type") == "Feature" and isinstance(document.get("assets"), dict)


def names_document(path: str) -> bool:
    """Return whether a path names a JSON document and not a raster: by its suffix, or as an Item of a STAC API."""
    return path.partition("?")[0].lower().endswith(_DOCUMENT_SUFFIXES) or _OF_API.fullmatch(path) is not None


def read_item(path: str, settings: SceneSettings) -> Item:
    """Read a STAC Item.

    Raises:
        SceneError: If it cannot be read or is something else.
    """
    document = read_document(path, settings)
    if not is_item(document):
        kind = document.get("type", "no type")
        raise SceneError(f"{path} is no STAC Item with assets ({kind}). Give an Item; a mosaic takes ItemCollections.")
    return Item(document, path if "://" in path else str(Path(path).absolute()))


def bands_of(item: Item, key: str) -> list[ItemBand]:
    """The bands of an asset; one without a name if the Item lists none. Both STAC 1.0 and 1.1 are read."""
    asset = item.assets[key]
    shared = {
        name: value for name, value in asset.items() if name not in {"bands", "eo:bands", "raster:bands", "title"}
    }
    shared.pop("name", None)
    listed = asset.get("bands") or _merged(asset.get("eo:bands"), asset.get("raster:bands")) or [{}]
    return [
        ItemBand(key, number, {**shared, **band}) for number, band in enumerate(listed, 1) if isinstance(band, dict)
    ]


def find_bands(item: Item, names: Sequence[str]) -> list[ItemBand]:
    """Find the bands with a model's names: by the bands' names, then common names, then keys of assets.

    Case, punctuation and leading zeros are ignored, and B2 equals blue. Of several assets with the same band those for
    data count, then GeoTIFF, then the finest.

    Raises:
        SceneError: If a band is absent or ambiguous; the message lists what was there.
    """
    offered = [band for key in item.assets for band in _bands_or_none(item, key)]
    return [_find(item, offered, name) for name in names]


def href_of(item: Item, key: str) -> str:
    """Absolute address of an asset's file.

    Raises:
        SceneError: If there is none, or it must not be read because of where the Item comes from.
    """
    href = item.assets[key].get("href")
    if not isinstance(href, str) or not href:
        raise SceneError(f"Item {item.id}: its asset {key} has no href. Correct the Item.")
    try:
        return absolute_href(href, item.origin)
    except SceneError as error:
        raise SceneError(f"Item {item.id}, asset {key}: {error}") from error


def declared_grid(item: Item, band: ItemBand) -> Grid | None:
    """The grid that an Item states for a band's file; None if it is not complete, so that the file must be opened.

    Raises:
        SceneError: If what it states is impossible.
    """
    facts = {**item.properties, **band.facts}
    try:
        shape, transform, crs = facts.get("proj:shape"), facts.get("proj:transform"), _crs(facts)
    except SceneError as error:
        raise SceneError(f"Item {item.id}, asset {band.asset}: {error}") from error
    if not (shape and transform and crs):
        return None
    try:
        height, width = (int(side) for side in shape)
        a, b, c, d, e, f = (float(number) for number in transform[:6])
        return Grid(height, width, (a, b, c, d, e, f), crs)
    except (TypeError, ValueError) as error:
        raise SceneError(
            f"Item {item.id}, asset {band.asset}: its proj:shape {shape} and proj:transform {transform} cannot be "
            f"used: {error} Correct the Item."
        ) from error


def _find(item: Item, offered: Sequence[ItemBand], name: str) -> ItemBand:
    for matches in (
        [band for band in offered if band.name and plain(band.name) == plain(name)],
        [band for band in offered if band.common_name and canonical(band.common_name) == canonical(name)],
        [band for band in offered if band.name and canonical(band.name) == canonical(name)],
        [band for band in offered if plain(band.asset) == plain(name) and band.number == 1],
        [band for band in offered if canonical(band.asset) == canonical(name) and band.number == 1],
    ):
        if matches:
            best = _preferred(matches)
            if len(best) == 1:
                return best[0]
            raise SceneError(
                f"Item {item.id}: band {name} is in the assets {', '.join(band.asset for band in best)}. Name the "
                "one to use: under scenes: give a mapping such as {" + f"{name}: ITEM#{best[0].asset}" + "}."
            )
    there = ", ".join(_label(band) for band in offered) or "none"
    raise SceneError(
        f"Item {item.id}: no band is named {name}. There are: {there}. If one of them is meant, give a mapping under "
        "scenes: such as {" + f"{name}: ITEM#ASSET" + "}, with all bands."
    )


def _preferred(bands: Sequence[ItemBand]) -> Sequence[ItemBand]:
    """Of several assets with a band the ones to use; all that remain are equally good."""
    for better in (_shows_values, _is_geotiff):
        bands = [band for band in bands if better(band)] or bands
    if len(bands) > 1:
        finest = min(_pixel_side(band) for band in bands)
        bands = [band for band in bands if _pixel_side(band) == finest]
    return bands


def _shows_values(band: ItemBand) -> bool:
    return not _PICTURES & set(band.facts.get("roles") or ())


def _is_geotiff(band: ItemBand) -> bool:
    return str(band.facts.get("type", "")).startswith(("image/tiff", "image/vnd.stac.geotiff"))


def _pixel_side(band: ItemBand) -> float:
    side = band.number_of("raster:spatial_resolution", "spatial_resolution", "gsd")
    if side is None and isinstance(transform := band.facts.get("proj:transform"), list) and transform:
        side = abs(float(transform[0]))
    return float("inf") if side is None else side


def _bands_or_none(item: Item, key: str) -> list[ItemBand]:
    return bands_of(item, key) if isinstance(item.assets[key], dict) else []


def _merged(names: Any, values: Any) -> list[dict[str, Any]]:
    """``eo:bands`` and ``raster:bands`` of STAC 1.0 as ``bands`` of 1.1."""
    lists = [entries for entries in (values, names) if isinstance(entries, list)]
    count = max(map(len, lists), default=0)
    merged: list[dict[str, Any]] = [{} for _ in range(count)]
    for entries in lists:
        for band, entry in zip(merged, entries, strict=False):
            band.update(entry if isinstance(entry, dict) else {})
    return merged


def _crs(facts: Mapping[str, Any]) -> str:
    code = facts.get("proj:code") or facts.get("proj:epsg") or facts.get("proj:wkt2")
    return _wkt(f"EPSG:{code}" if isinstance(code, int) else str(code)) if code else ""


@lru_cache(maxsize=256)
def _wkt(text: str) -> str:
    try:
        with gdal_env():
            return str(CRS.from_user_input(text).to_wkt(version="WKT2_2019"))
    except CRSError as error:
        raise SceneError(
            f"{text!r} is no coordinate reference system, and an Item names it. Correct the Item."
        ) from error


def _time(text: Any) -> datetime | None:
    if not isinstance(text, str):
        return None
    try:
        time = datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text))
    except ValueError:
        return None
    return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)


def _label(band: ItemBand) -> str:
    names: Iterator[str] = (name for name in (band.name, band.common_name) if name and plain(name) != plain(band.asset))
    listed = ", ".join(dict.fromkeys(names))
    return f"{band.asset} ({listed})" if listed else band.asset
