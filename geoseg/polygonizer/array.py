"""Polygonize a class map in memory to a GeoDataFrame."""

from collections.abc import Mapping, Sequence
from typing import Any

import geopandas
import numpy as np
from numpy.typing import NDArray

from geoseg.grid.legend import NODATA_CLASS
from geoseg.grid.window import Grid
from geoseg.polygonizer.values import Values
from geoseg.vector.lines.rings import PIXELS
from geoseg.vector.polygonize import polygonize as polygonize_classes


def polygonize(
    array: Any,
    *,
    transform: Sequence[float] | None = None,
    crs: Any = None,
    nodata: float | None = None,
    simplify_px: float = 0.0,
    min_area_px: int = 0,
    values: Sequence[int] | None = None,
) -> geopandas.GeoDataFrame:
    """Polygonize a class map: its 4-connected components, as a coverage without gaps.

    Args:
        array: Integers or bools, shape (H, W), with at most 255 different values that become polygons. Masked pixels of
            a `numpy.ma` array, also inside a dask or xarray array, are nodata.
        transform: Affine transform ``(a, b, c, d, e, f)`` of pixel corners, e.g. of rasterio; None for pixels.
        crs: CRS of the geometries, in any form that geopandas accepts.
        nodata: Nodata value; by default the one that an xarray array declares (``_FillValue``).
        simplify_px: Lines have few vertices, and no point of them is farther than this from the pixel edges; below 0.5
            stairs stay. See `geoseg.vector.lines.simplify.simplify_arcs`.
        min_area_px: Components of fewer pixels take the value of a neighbour.
        values: Values that become polygons, all others count as nodata; None takes all.

    Returns:
        Columns ``polygon_id`` (row * W + column of the first pixel, ascending), ``value`` (of the array's type),
        ``pixels`` and ``geometry`` (shells counter-clockwise).

    Raises:
        ValueError: If the array is not two-dimensional, is empty, is not of integers or has more than 255 values, or an
            option is out of range.
    """
    if nodata is None:
        nodata = _declared_nodata(array)
    array, masked = _unmask(array)
    if array.ndim != 2 or array.dtype.kind not in "biu" or not array.size:
        raise ValueError(
            f"A class map holds integers or bools in the shape (H, W), got {array.dtype} of shape {array.shape}. "
            "Round or classify it first; fill missing pixels (NaN, NA) with a value and name it as nodata."
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
    columns = {
        "polygon_id": polygons.first_pixel,
        "value": class_values.values[polygons.class_id].astype(array.dtype.newbyteorder("="), copy=False),
        "pixels": polygons.pixels,
    }
    return geopandas.GeoDataFrame(columns, geometry=polygons.geometry, crs=crs)


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
