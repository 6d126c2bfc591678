"""The index of a GeoTIFF's internal tiles: its size, and which tiles are stored."""

import math
from pathlib import Path

from rasterio.io import DatasetReader

from geoseg.errors import SceneError

MAX_INSPECTED_TILES = 1 << 18
"""Internal tiles that are inspected for whether they are stored: all of 200,000 x 200,000 pixels in tiles of 512."""
_INDEX_ENTRY_BYTES = 4
_MAX_INTERNAL_TILES = 1 << 24
_MAX_ROWS = 1 << 20
_MAX_STRIP_ROWS = 10_000


def check_tile_index(dataset: DatasetReader, path: str) -> None:
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


def count_absent_tiles(dataset: DatasetReader) -> int:
    """Count the internal tiles that are not stored: the file is sparse, or its index is damaged.

    If there are more than `MAX_INSPECTED_TILES`, evenly spread ones are inspected and the total is estimated.
    """
    if not has_tile_index(dataset):
        return 0
    rows, cols = (int(-(-size // side)) for size, side in zip(dataset.shape, dataset.block_shapes[0], strict=True))
    step = -(-rows * cols // MAX_INSPECTED_TILES)
    return step * sum(not is_stored(dataset, *divmod(tile, cols)) for tile in range(0, rows * cols, step))


def is_stored(dataset: DatasetReader, row: int, col: int, band: int = 1) -> bool:
    """Return whether the internal tile in row ``row`` and column ``col`` of the tiles is in the file."""
    return dataset.get_tag_item(f"BLOCK_OFFSET_{col}_{row}", "TIFF", bidx=band) is not None


def tile_shape(dataset: DatasetReader) -> tuple[int, int]:
    """Height and width of the internal tiles or strips.

    Above 10,000 rows GDAL reports a single strip that holds all rows as strips of one row, and only the first has an
    offset.
    """
    single_rows = dataset.height > _MAX_STRIP_ROWS and dataset.block_shapes[0] == (1, dataset.width)
    if single_rows and [is_stored(dataset, row, 0) for row in (0, 1, dataset.height - 1)] == [True, False, False]:
        return tuple(dataset.shape)
    return tuple(dataset.block_shapes[0])
