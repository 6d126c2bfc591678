"""Sources that may become a scene, with what is known of their bands before they are read."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from geoseg.errors import SceneError
from geoseg.grid.window import Grid
from geoseg.raster.mosaic.composite import Composite, Part, Source
from geoseg.raster.mosaic.placement import offset_px, pixels_per_pixel
from geoseg.raster.source.cells import CELL_PX
from geoseg.raster.source.scene import Scene, safe_id
from geoseg.raster.source.version import Version


@dataclass(frozen=True, slots=True)
class BandFacts:
    """What is known of one band of a scene, from its file or its Item."""

    dtype: str
    nodata: float | None = None
    name: str | None = None
    role: str = "undefined"
    scale: float = 1.0
    offset: float = 0.0


@dataclass(frozen=True, slots=True)
class Candidate:
    """One source, and what is known of it."""

    source: Source
    grid: Grid
    """Of its finest band."""
    bands: tuple[BandFacts, ...]
    files: tuple[str, ...]
    versions: tuple[Version, ...]
    remote: bool
    block_shape: tuple[int, int] = (CELL_PX, CELL_PX)
    absent_blocks: int = 0
    in_cells: bool = False
    one_bit: bool = False
    area_or_point: str = "Area"
    observed_at: datetime | None = None
    cloud_percent: float | None = None
    notes: tuple[str, ...] = ()

    @property
    def parts(self) -> tuple[Part, ...]:
        """Its files."""
        return self.source.parts


def of_file(path: str, file: Scene) -> Candidate:
    """A file with all its bands as a source."""
    numbers = tuple(range(1, file.bands + 1))
    return Candidate(
        Source(path, (Part(path, file.grid, numbers, numbers),)),
        file.grid,
        facts_of(file, numbers),
        file.files,
        file.versions,
        file.remote,
        block_shape=file.block_shape,
        absent_blocks=file.absent_blocks,
        in_cells=file.in_cells,
        one_bit=file.one_bit,
        area_or_point=file.area_or_point,
    )


def facts_of(file: Scene, bands: Sequence[int]) -> tuple[BandFacts, ...]:
    """What a file says of some of its bands, counted from 1."""
    return tuple(
        BandFacts(
            file.dtypes[band - 1],
            file.nodata[band - 1],
            file.descriptions[band - 1],
            file.roles[band - 1],
            file.scales[band - 1],
            file.offsets[band - 1],
        )
        for band in bands
    )


def stacked(name: str, bands: Sequence[Candidate], names: Sequence[str]) -> Candidate:
    """Join sources that give one band each to one that gives all, in their order; its grid is the finest of theirs."""
    parts: list[Part] = []
    for place, one in enumerate(bands, 1):
        parts = with_part(parts, replace(one.parts[0], gives=(place,)))
    versions = {file: version for one in bands for file, version in zip(one.files, one.versions, strict=True)}
    times = {one.observed_at for one in bands}
    return replace(
        bands[0],
        source=Source(name, tuple(parts), tuple(dict.fromkeys(part for one in bands for part in one.source.quality))),
        grid=finest(parts),
        bands=tuple(replace(one.bands[0], name=called) for one, called in zip(bands, names, strict=True)),
        files=tuple(versions),
        versions=tuple(versions.values()),
        remote=any(one.remote for one in bands),
        in_cells=any(one.in_cells for one in bands),
        observed_at=times.pop() if len(times) == 1 else None,
        notes=tuple(dict.fromkeys(note for one in bands for note in one.notes)),
    )


def with_part(parts: Sequence[Part], part: Part) -> list[Part]:
    """Parts with one more, joined with that of the same file if it is read alike."""
    for index, other in enumerate(parts):
        if replace(other, bands=part.bands, gives=part.gives) == part:
            joined = replace(other, bands=other.bands + part.bands, gives=other.gives + part.gives)
            return [*parts[:index], joined, *parts[index + 1 :]]
    return [*parts, part]


def finest(parts: Sequence[Part]) -> Grid:
    """The grid with the smallest pixels, the first of several."""
    return max(parts, key=lambda part: pixels_per_pixel(part.grid, parts[0].grid)).grid


def ordered_as(candidate: Candidate, first: Candidate) -> Candidate:
    """A file with its bands in the order of those of the first file, by name if both have names.

    Raises:
        SceneError: If they have other bands.
    """
    mine, theirs = ([band.name for band in one.bands] for one in (candidate, first))
    if len(mine) != len(theirs):
        raise SceneError(
            f"{candidate.source.name} has {len(mine)} band{'s' * (len(mine) != 1)}, and {first.source.name} has "
            f"{len(theirs)}. The items of a mosaic need the same bands: leave one of them out, or make two mosaics."
        )
    if mine == theirs or not (all(mine) and all(theirs)):
        return candidate
    if sorted(map(str, mine)) != sorted(map(str, theirs)):
        raise SceneError(
            f"{candidate.source.name} has the bands {', '.join(map(str, mine))}, and {first.source.name} has "
            f"{', '.join(map(str, theirs))}. The items of a mosaic need the same bands: rename them, or leave one out."
        )
    part = replace(candidate.parts[0], gives=tuple(theirs.index(name) + 1 for name in mine))
    bands = tuple(candidate.bands[mine.index(name)] for name in theirs)
    return replace(candidate, source=replace(candidate.source, parts=(part,)), bands=bands)


def join(
    name: str,
    scene_id: str,
    candidates: Sequence[Candidate],
    grid: Grid,
    windows: NDArray[np.int64],
    composite: Composite,
) -> Scene:
    """Describe sources as one scene.

    Args:
        name: For messages.
        scene_id: Name in the output.
        candidates: All sources.
        grid: The scene's grid.
        windows: Where each source lies on it, see `geoseg.catalog.grids.fit_grid`; those outside are left out.
        composite: Its settings; sources and windows are replaced.
    """
    inside = np.flatnonzero(windows[:, 2] > windows[:, 0]).tolist()
    candidates = [candidates[index] for index in inside]
    first = candidates[0]
    copied = all(offset_px(part.grid, grid) is not None for one in candidates for part in one.parts)
    different = {one.bands for one in candidates}
    by_band = list(zip(*different, strict=True))
    scaled = next((bands for bands in different if any((b.scale, b.offset) != (1.0, 0.0) for b in bands)), first.bands)
    nodata = [{band.nodata for band in bands} for bands in by_band]
    times = {one.observed_at for one in candidates}
    notes = dict.fromkeys(note for one in candidates for note in one.notes)
    return Scene(
        scene_id=safe_id(scene_id),
        path=name,
        driver="mosaic",
        grid=grid,
        bands=len(first.bands),
        dtypes=tuple(str(np.result_type(*{band.dtype for band in bands})) for bands in by_band),
        nodata=tuple(values.pop() if len(values) == 1 else None for values in nodata),
        descriptions=tuple(band.name for band in first.bands),
        roles=tuple(band.role for band in first.bands),
        scales=tuple(band.scale for band in scaled),
        offsets=tuple(band.offset for band in scaled),
        one_bit=first.one_bit,
        has_mask=True,  # beside the sources nothing is valid
        block_shape=first.block_shape if copied else (CELL_PX, CELL_PX),
        in_cells=not copied or any(one.in_cells for one in candidates),
        absent_blocks=sum(one.absent_blocks for one in candidates),
        area_or_point=first.area_or_point,
        files=tuple(file for one in candidates for file in one.files),
        versions=tuple(version for one in candidates for version in one.versions),
        remote=any(one.remote for one in candidates),
        composite=replace(
            composite,
            sources=tuple(
                replace(one.source, observed_at=one.observed_at, cloud_percent=one.cloud_percent) for one in candidates
            ),
            windows=windows[inside],
            observed_at=times.pop() if len(times) == 1 else None,
            notes=tuple(notes),
        ),
    )
