"""Polygonize a class map in memory to a GeoDataFrame."""

from collections.abc import Mapping, Sequence
from typing import Any

import geopandas
import numpy as np
from numpy.typing import NDArray

from geoseg.grid.legend import NODATA_CLASS
from geoseg.grid.window import Grid
from geoseg.polygonizer.corners import join_corners
from geoseg.polygonizer.values import Values
from geoseg.vector.lines.rings import PIXELS
from geoseg.vector.polygonize import polygonize as polygonize_classes


def polygonize(
    array: Any,
    *,
    transform: Sequence[float] | None = None,
    crs: Any = None,
    nodata: float | None = None,
    mask: Any = None,
    simplify_px: float = 0.0,
    min_area_px: int = 0,
    values: Sequence[int] | None = None,
    breaks: Sequence[float] | None = None,
    connectivity: int = 4,
    column: str = "value",
) -> geopandas.GeoDataFrame:
    """Polygonize a class map: its connected components, as a coverage without gaps.

    Args:
        array: Integers of any type or bools, shape (H, W), with at most 255 different values that become polygons; any
            numbers with ``breaks``. Masked pixels of `numpy.ma` arrays, also inside dask or xarray arrays, are nodata.
        transform: Affine transform ``(a, b, c, d, e, f)`` of pixel corners, e.g. of rasterio; None for pixels.
        crs: CRS of the geometries, in any form that geopandas accepts.
        nodata: Nodata value; by default the one that an xarray array declares (``_FillValue``).
        mask: Bools, shape (H, W): True where pixels become polygons, False counts as nodata.
        simplify_px: Lines have few vertices, and no point of them is farther than this from the pixel edges; below 0.5
            stairs stay. See `geoseg.vector.lines.simplify.simplify_arcs`.
        min_area_px: Components of fewer pixels take the value of a neighbour.
        values: Values that become polygons, all others count as nodata; None takes all.
        breaks: Ascending numbers that cut the array's values into classes: the value of a pixel is how many of them are
            not above it, from 0 on. NaN is nodata.
        connectivity: 4, or 8 to make one multipolygon of polygons of one value that touch in a corner.
        column: Name of the column of values.

    Returns:
        Columns ``polygon_id`` (row * W + column of the first pixel, ascending), ``value`` (of the array's type),
        ``pixels`` and ``geometry`` (shells counter-clockwise).

    Raises:
        ValueError: If the array is not two-dimensional, is empty, is not of integers or has more than 255 values, or an
            option is out of range.
    """
    if connectivity not in (4, 8) or column in ("polygon_id", "pixels", "geometry"):
        raise ValueError(f"connectivity={connectivity} must be 4 or 8; column={column!r} must differ from the others.")
    if connectivity == 8 and min_area_px > 1:
        raise ValueError("min_area_px merges areas that share sides of pixels; use it with connectivity=4.")
    if nodata is None:
        nodata = _declared_nodata(array)
    array, masked = _unmask(array)
    if breaks is not None:
        array, masked, nodata = _cut(array, masked, nodata, breaks)
    if mask is not None:
        masked = _hidden(array.shape, masked, mask)
    if array.ndim != 2 or array.dtype.kind not in "biu" or not array.size:
        raise ValueError(
            f"A class map holds integers or bools in the shape (H, W), got {array.dtype} of shape {array.shape}. "
            "Give breaks to cut its values into classes, or round it; fill missing pixels (NaN, NA) with a value and "
            "name it as nodata."
        )
    pixels = array.view(np.uint8) if array.dtype == np.bool_ else array
    pixels = pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
    a, b, c, d, e, f = PIXELS if transform is None else tuple(transform)[:6]
    grid = Grid(array.shape[0], array.shape[1], (a, b, c, d, e, f), "")
    if pixels.dtype == np.uint8 and nodata is None and pixels.max() < NODATA_CLASS:
        # No pixel has this value. With it as nodata each value is its own class id: no search and no copy.
        nodata = NODATA_CLASS
    class_values = Values.choose(
        [pixels if masked is None else pixels[~masked]], pixels.dtype, nodata=nodata, wanted=values
    )
    classes = class_values.encode(pixels)
    if masked is not None:
        classes = np.where(masked, np.uint8(NODATA_CLASS), classes)
    polygons = polygonize_classes(classes, simplify_px=simplify_px, min_area_px=min_area_px, transform=grid.transform)
    if connectivity == 8:
        polygons = join_corners(classes, polygons)
    columns = {
        "polygon_id": polygons.first_pixel,
        column: class_values.values[polygons.class_id].astype(array.dtype.newbyteorder("="), copy=False),
        "pixels": polygons.pixels,
    }
    return geopandas.GeoDataFrame(columns, geometry=polygons.geometry, crs=crs)


def _cut(
    array: NDArray[Any], masked: NDArray[np.bool_] | None, nodata: float | None, breaks: Sequence[float]
) -> tuple[NDArray[np.uint8], NDArray[np.bool_], None]:
    """Class of each pixel by ``breaks``, and the mask of missing pixels, which are nodata, NaN or masked."""
    edges = np.asarray(breaks, np.float64)
    if array.dtype.kind not in "biuf" or not 0 < len(edges) < NODATA_CLASS or not (np.diff(edges) > 0).all():
        raise ValueError(f"breaks={list(breaks)} must be 1 to 254 ascending numbers, for an array of numbers.")
    missing = np.isnan(array) if array.dtype.kind == "f" else np.zeros(array.shape, np.bool_)
    if masked is not None:
        missing |= masked
    if nodata is not None:
        missing |= array == nodata
    return np.digitize(array, edges).astype(np.uint8), missing, None


def _hidden(shape: tuple[int, ...], masked: NDArray[np.bool_] | None, mask: Any) -> NDArray[np.bool_]:
    """Pixels that become no polygon, by the array's own mask and the given one, in which True means valid."""
    valid = np.asarray(mask)
    if valid.shape != shape or valid.dtype != np.bool_:
        raise ValueError(
            f"mask has the shape {valid.shape} of {valid.dtype}; it must have {shape} of bool, True = valid."
        )
    return ~valid if masked is None else masked | ~valid


def _declared_nodata(array: Any) -> Any:
    """Nodata value in the attributes or the encoding of an xarray array; None if there is none."""
    for where in (getattr(array, "attrs", None), getattr(array, "encoding", None)):
        for key in ("_FillValue", "missing_value", "nodata"):
            if isinstance(where, Mapping) and where.get(key) is not None:
                return np.asarray(where[key]).item()
    return None


def _unmask(array: Any) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    """Pixels of any array-like object and its mask, True where masked; None if it has no mask.

    Raises:
        ValueError: If it has a mask that is not of `numpy.ma`.
    """
    if hasattr(array, "dims") and hasattr(array, "data"):  # xarray; np.asarray would drop the mask inside
        array = array.data
    if callable(getattr(array, "compute", None)):  # dask; the same
        array = array.compute()
    if np.ma.isMaskedArray(array):
        return np.ma.getdata(array), None if array.mask is np.ma.nomask else np.ma.getmaskarray(array)
    if not callable(getattr(array, "mask", len)):  # in pandas `mask` is a method
        raise ValueError(  # noqa: TRY004  as for all other unsupported arrays
            f"{type(array).__module__}.{type(array).__name__} has a mask that geoseg does not support. "
            "Give a numpy.ma.MaskedArray, or fill the masked pixels with a value and name it as nodata."
        )
    return np.asarray(array), None
