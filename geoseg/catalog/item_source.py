"""A STAC Item as a source: the files of the bands that a model wants, and how their stored values are read."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from geoseg.catalog.candidate import BandFacts, Candidate, finest, with_part
from geoseg.config import SceneSettings
from geoseg.errors import SceneError
from geoseg.grid.window import Grid
from geoseg.raster.mosaic.composite import Part, Source
from geoseg.raster.mosaic.placement import explain_other_grid, offset_px, same_crs
from geoseg.raster.source.address import locate
from geoseg.raster.source.cells import CELL_PX
from geoseg.raster.source.identity import identify_all
from geoseg.raster.source.scene import Scene, describe
from geoseg.raster.source.version import Version
from geoseg.stac.item import Item, ItemBand, bands_of, declared_grid, find_bands, href_of
from geoseg.stac.sentinel2 import OFFSET, SCALE, is_sentinel2, stored_offset

MAX_ASKED = 2_000
"""Remote files whose server is asked for their version. Of more, the Items tell it: their time of update."""
_BY_TIME = "Item "
"""Begin of the content of a version that is only told by an Item's time of update."""
_OFFSET_NOTE = (
    "stored values of Sentinel-2 from processing baseline 04.00 on are lowered by 1000, to what they were before: the "
    "Items say that this has not been done."
)
_NOT_ASKED_NOTE = (
    "remote files are too many to ask servers for their versions: a change is noticed only if the Items have another "
    "time of update."
)
_UNKNOWN_NOTE = (
    "Items of Sentinel-2 tell neither their processing baseline nor an offset: values from 2022-01-25 on may be 1000 "
    "too high. Add s2:processing_baseline or the offset of the bands to the Items."
)


@dataclass(slots=True)
class ItemReader:
    """Makes sources of Items; what is the same for many of them is found once."""

    names: Sequence[str]
    """The model's names of its bands."""
    settings: SceneSettings
    public: set[str] = field(default_factory=set)
    """Hosts known to be public."""
    _chosen: list[tuple[str, int, str | None]] = field(default_factory=list)
    """Asset, band of its file and name of each wanted band, in the Item before."""
    _dtypes: dict[str, str] = field(default_factory=dict)
    """Data type of each asset in the Items before, by its key."""

    _crss: list[str] = field(default_factory=list)
    """CRSs of the files that were opened."""

    def read(self, item: Item) -> Candidate:
        """Make a source of an Item. A file is opened only where the Items do not state its grid, or for its data type.

        Raises:
            SceneError: If the Item lacks a band, or an asset must not or cannot be read.
        """
        bands = self._find(item)
        files: dict[str, tuple[str, Scene | None]] = {}
        parts: list[Part] = []
        facts: list[BandFacts] = []
        notes: list[str] = []
        for place, (name, band) in enumerate(zip(self.names, bands, strict=True), 1):
            if band.asset not in files:
                files[band.asset] = self._open(item, band)
            href, file = files[band.asset]
            grid = self._grid(item, band, href, file)
            part = Part(href, grid, (band.number,), (place,), band.number_of("nodata"), asset=band.asset)
            part, note = _with_values(part, item, band, name)
            notes += note
            parts = with_part(parts, part)
            facts.append(self._facts(band, name, file, part))
        quality = self._quality(item)
        files |= {asset: files.get(asset, (part.path, None)) for asset, part in quality.items()}
        located = [self._locate(item, asset, href) for asset, (href, _) in files.items()]
        opened = next((file for _, file in files.values() if file is not None), None)
        return Candidate(
            Source(f"Item {item.id}", tuple(parts), tuple(quality.values())),
            finest(parts),
            tuple(facts),
            tuple(name for name, _ in located),
            tuple(_declared_version(item, asset, name) for asset, (name, _) in zip(files, located, strict=True)),
            any(remote for _, remote in located),
            block_shape=(CELL_PX, CELL_PX) if opened is None else opened.block_shape,
            observed_at=item.time,
            cloud_percent=item.cloud_percent,
            notes=tuple(notes),
        )

    def _quality(self, item: Item) -> dict[str, Part]:
        """The file with the quality band that the settings name, by its asset; empty if they name none."""
        wanted = self.settings.quality
        if wanted is None or wanted.asset is None:
            return {}
        (band,) = find_bands(item, [wanted.asset])
        href = href_of(item, band.asset)
        self._locate(item, band.asset, href)
        grid = self._grid(item, band, href, None)
        return {band.asset: Part(href, grid, (band.number,), (), band.number_of("nodata"), asset=band.asset)}

    def _find(self, item: Item) -> list[ItemBand]:
        """The wanted bands; where the Item before had them, if they have the same names there."""
        bands = [self._same(item, *chosen) for chosen in self._chosen]
        found = [band for band in bands if band is not None]
        if not found or len(found) < len(bands):
            found = find_bands(item, self.names)
            self._chosen = [(band.asset, band.number, band.name) for band in found]
        return found

    def _same(self, item: Item, asset: str, number: int, name: str | None) -> ItemBand | None:
        bands = bands_of(item, asset) if isinstance(item.assets.get(asset), dict) else []
        return bands[number - 1] if len(bands) >= number and bands[number - 1].name == name else None

    def _open(self, item: Item, band: ItemBand) -> tuple[str, Scene | None]:
        """Address of an asset, and its description if the Item and those before do not tell enough."""
        href = href_of(item, band.asset)
        self._locate(item, band.asset, href)
        known = band.facts.get("data_type") or band.asset in self._dtypes
        if known and band.asset in self._dtypes and declared_grid(item, band) is not None:
            return href, None
        file = self._describe(item, band.asset, href)
        self._dtypes[band.asset] = file.dtypes[0]
        return href, file

    def _grid(self, item: Item, band: ItemBand, href: str, file: Scene | None) -> Grid:
        """The grid of an asset's file: its own if it was opened, else what the Item states, in the same words."""
        stated = declared_grid(item, band)
        if file is None and stated is not None:
            crs = next((crs for crs in self._crss if same_crs(crs, stated.crs)), stated.crs)
            return replace(stated, crs=crs)
        file = file or self._describe(item, band.asset, href)
        if stated is not None and (stated.window != file.grid.window or offset_px(file.grid, stated) != (0, 0)):
            raise SceneError(f"Item {item.id}, asset {band.asset}: {explain_other_grid(href, file.grid, stated)}")
        if file.grid.crs not in self._crss:
            self._crss.append(file.grid.crs)
        return file.grid

    def _describe(self, item: Item, asset: str, href: str) -> Scene:
        try:
            return describe(href, self.settings, with_versions=False)
        except SceneError as error:
            raise SceneError(f"Item {item.id}, asset {asset}: {error}") from error

    def _locate(self, item: Item, asset: str, href: str) -> tuple[str, bool]:
        """GDAL's name of an asset's file, and whether it is remote; refuses what scenes may not be either."""
        remote, private = self.settings.remote, self.settings.allow_private_hosts
        try:
            address = locate(href, remote=remote, allow_private_hosts=private, public=self.public)
        except SceneError as error:
            raise SceneError(f"Item {item.id}, asset {asset}: {error}") from error
        return address.name, address.remote

    def _facts(self, band: ItemBand, name: str, file: Scene | None, part: Part) -> BandFacts:
        index = band.number - 1
        if file is None:
            dtype, nodata, scaling = (
                str(band.facts.get("data_type") or self._dtypes[band.asset]),
                part.nodata,
                (1.0, 0.0),
            )
        else:
            dtype, scaling = file.dtypes[index], (file.scales[index], file.offsets[index])
            nodata = part.nodata if file.nodata[index] is None else file.nodata[index]
        return BandFacts(np.dtype(dtype).name, nodata, name, "undefined", *(part.scaling or scaling))


def with_versions(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Ask for the versions of files that no Item states; of very many remote files, trust the times of the Items.

    Raises:
        UnreachableError: If a server does not answer.
    """
    told = {file: version for one in candidates for file, version in zip(one.files, one.versions, strict=True)}
    asked = [file for file, version in told.items() if (version.content or "").startswith(_BY_TIME)]
    remote = [file for file in asked if file.startswith("/vsi")]
    note: tuple[str, ...] = ()
    if len(remote) > MAX_ASKED:
        told |= {file: replace(told[file], declared=True) for file in remote}
        asked = [file for file in asked if not file.startswith("/vsi")]
        note = (f"{len(remote):,} {_NOT_ASKED_NOTE}",)
    told |= dict(zip(asked, identify_all(asked), strict=True))
    return [
        replace(one, versions=tuple(told[file] for file in one.files), notes=one.notes + note) for one in candidates
    ]


def _with_values(part: Part, item: Item, band: ItemBand, name: str) -> tuple[Part, Iterable[str]]:
    """A part with the scaling that its Item states, and Sentinel-2's offset; and what to say of it."""
    scale = band.number_of("raster:scale", "scale")
    offset = band.number_of("raster:offset", "offset")
    stated = scale is not None or offset is not None
    if not is_sentinel2(item.properties, item.document.get("collection")):
        return replace(part, scaling=(scale or 1.0, offset or 0.0)) if stated else part, []
    scale = scale or SCALE
    stored = None if offset is None else offset / scale
    shift = stored_offset(item.properties, band.common_name or band.name or name, stored)
    if stated or shift:
        part = replace(part, scaling=(scale, (shift or 0) * scale), shift=shift or 0)
    return part, [_UNKNOWN_NOTE] if shift is None else [_OFFSET_NOTE] if shift == OFFSET else []


def _declared_version(item: Item, asset: str, name: str) -> Version:
    """The version of a file as its Item states it; declared only if that is a checksum."""
    facts = item.assets[asset]
    size, checksum = facts.get("file:size"), facts.get("file:checksum")
    short = name.partition("?")[0].rpartition("/")[2]
    known_size = size if isinstance(size, int) else None
    if isinstance(checksum, str) and checksum and name.startswith("/vsi"):
        return Version(short, known_size, f"checksum:{checksum}", declared=True)
    told = facts.get("updated") or item.properties.get("updated") or item.properties.get("created")
    return Version(short, known_size, f"{_BY_TIME}{item.id} {told or ''}")
