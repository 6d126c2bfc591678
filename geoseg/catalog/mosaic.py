"""Describe many files as one scene."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from geoseg.catalog.grids import fit_grid
from geoseg.catalog.look_up import find_files
from geoseg.config import MosaicSettings, SceneSettings
from geoseg.errors import SceneError
from geoseg.grid.window import Grid
from geoseg.raster.bands import is_scaled
from geoseg.raster.mosaic.composite import Composite, Part, Source
from geoseg.raster.mosaic.placement import offset_px
from geoseg.raster.source.cells import CELL_PX
from geoseg.raster.source.scene import Scene, describe, safe_id

_THREADS = 8
"""Files that are described at a time: most of it waits for the disk or the network."""


def describe_mosaic(mosaic: MosaicSettings, settings: SceneSettings = SceneSettings()) -> Scene:
    """Describe many files as one scene.

    Args:
        mosaic: Its files, grid and order.
        settings: How each file is read.

    Raises:
        SceneError: If a file cannot be used, or does not fit to the others.
        SettingsError: If the settings name no usable CRS.
    """
    paths = find_files(mosaic.items)
    with ThreadPoolExecutor(_THREADS) as pool:
        files = list(pool.map(lambda path: describe(path, settings), paths))
    sources = [_source(file, files[0]) for file in files]
    grid, windows = fit_grid([file.grid for file in files], mosaic.grid, mosaic_name(mosaic))
    return _join(mosaic, settings, files, sources, grid, windows)


def mosaic_name(mosaic: MosaicSettings) -> str:
    """Name of a mosaic in messages."""
    return f"mosaic {mosaic.id}"


def _source(file: Scene, first: Scene) -> Source:
    """A file as a source; its bands are matched by name to those of the first file, if both have names."""
    numbers = tuple(range(1, file.bands + 1))
    if file.bands != first.bands or (file.palette is None) != (first.palette is None):
        raise SceneError(
            f"{file.path} has {_bands(file)}, and {first.path} has {_bands(first)}. The items of a mosaic need the "
            "same bands: leave one of them out, or make two mosaics."
        )
    gives = numbers
    if file.descriptions != first.descriptions and all(file.descriptions) and all(first.descriptions):
        if sorted(map(str, file.descriptions)) != sorted(map(str, first.descriptions)):
            raise SceneError(
                f"{file.path} has the bands {', '.join(map(str, file.descriptions))}, and {first.path} has "
                f"{', '.join(map(str, first.descriptions))}. The items of a mosaic need the same bands: rename them, "
                "or leave one out."
            )
        gives = tuple(first.descriptions.index(name) + 1 for name in file.descriptions)
    return Source(file.path, (Part(file.path, file.grid, numbers, gives),))


def _bands(file: Scene) -> str:
    palette = " of palette colours" if file.palette is not None else ""
    return f"{file.bands} band{'s' * (file.bands != 1)}{palette}"


def _join(
    mosaic: MosaicSettings,
    settings: SceneSettings,
    described: Sequence[Scene],
    sources: Sequence[Source],
    grid: Grid,
    windows: NDArray[np.int64],
) -> Scene:
    """The description of the sources that touch the grid, as one scene."""
    inside = np.flatnonzero(windows[:, 2] > windows[:, 0]).tolist()
    files = [described[index] for index in inside]
    first, copied = files[0], all(offset_px(file.grid, grid) is not None for file in files)
    composite = Composite(
        tuple(sources[index] for index in inside), windows[inside], settings, mosaic.pick, settings.resampling
    )
    scaled = next((file for file in files if is_scaled(file, range(1, first.bands + 1))), first)
    return replace(
        first,
        scene_id=safe_id(mosaic.id),
        path=mosaic_name(mosaic),
        driver="mosaic",
        grid=grid,
        dtypes=_common_dtypes(files, composite.sources),
        scales=scaled.scales,
        offsets=scaled.offsets,
        nodata=first.nodata if all(file.nodata == first.nodata for file in files) else (None,) * first.bands,
        has_mask=True,  # beside the sources nothing is valid
        block_shape=first.block_shape if copied else (CELL_PX, CELL_PX),
        in_cells=not copied or any(file.in_cells for file in files),
        absent_blocks=sum(file.absent_blocks for file in files),
        files=tuple(name for file in files for name in file.files),
        versions=tuple(version for file in files for version in file.versions),
        remote=any(file.remote for file in files),
        composite=composite,
    )


def _common_dtypes(files: Sequence[Scene], sources: Sequence[Source]) -> tuple[str, ...]:
    """The smallest data type of each band that holds those of all files."""
    pairs = zip(files, sources, strict=True)
    different = {(file.dtypes, source.parts[0].gives) for file, source in pairs}
    by_band = [[dtypes[gives.index(band)] for dtypes, gives in different] for band in range(1, files[0].bands + 1)]
    return tuple(str(np.result_type(*types)) for types in by_band)
