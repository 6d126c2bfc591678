"""Any class map in memory to a GeoDataFrame."""

from collections.abc import Mapping, Sequence
from typing import Any

import geopandas
import numpy as np
from numpy.typing import NDArray

from geoseg.grid.legend import NODATA_CLASS
from geoseg.grid.window import Grid
from geoseg.polygonizer.values import Values
from geoseg.vector import polygonize as pixel_polygons
from geoseg.vector.rings import PIXELS


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
    """Turn a class map into polygons: its 4-connected components, as a coverage without a gap.

    Args:
        array: Integers or bools, shape (H, W), with at most 255 different values that become polygons. Masked pixels of
            a `numpy.ma` array, also inside a dask or xarray one, become no polygon.
        transform: Affine transform ``(a, b, c, d, e, f)`` of pixel corners, such as rasterio's; None stays in pixels.
        crs: CRS of the geometries, as geopandas takes it.
        nodata: Value that becomes no polygon; by default the one that an xarray array declares (``_FillValue``).
        simplify_px: See `geoseg.vector.simplify.simplify_arcs`; 0 keeps every corner.
        min_area_px: Components of fewer pixels take the value of a neighbour.
        values: Values that become polygons, all others count as nodata; None takes all.

    Returns:
        Columns ``polygon_id`` (row * W + column of the first pixel, ascending), ``value`` (of the array's type),
        ``pixels`` and ``geometry`` (shells counter-clockwise).

    Raises:
        ValueError: If the array is not two-dimensional, empty or not of integers, holds more than 255 values, or an
            option lies beyond its limits.
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
        # No pixel has it, and then each value is its own class id: no search, no copy.
        nodata = NODATA_CLASS
    known = Values.choose([pixels if masked is None else pixels[~masked]], pixels.dtype, nodata=nodata, wanted=values)
    classes = known.encode(pixels)
    if masked is not None:
        classes = np.where(masked, np.uint8(NODATA_CLASS), classes)
    found = pixel_polygons.polygonize(
        classes, simplify_px=simplify_px, min_area_px=min_area_px, transform=grid.transform
    )
    columns = {
        "polygon_id": found.first_pixel,
        "value": known.values[found.class_id].astype(array.dtype.newbyteorder("="), copy=False),
        "pixels": found.pixels,
    }
    return geopandas.GeoDataFrame(columns, geometry=found.geometry, crs=crs)


def _declared_nodata(array: Any) -> Any:
    """Nodata value among the attributes of an xarray array, as rioxarray keeps it; None if there is none."""
    for where in (getattr(array, "attrs", None), getattr(array, "encoding", None)):
        for key in ("_FillValue", "missing_value", "nodata"):
            if isinstance(where, Mapping) and where.get(key) is not None:
                return np.asarray(where[key]).item()
    return None


def _unmask(array: Any) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    """Pixels of anything like an array, and which of them are masked; None if it has no mask.

    Raises:
        ValueError: If it has a mask that numpy does not know.
    """
    if hasattr(array, "dims") and hasattr(array, "data"):  # xarray, whose conversion would drop a mask inside
        array = array.data
    if callable(getattr(array, "compute", None)):  # dask, likewise
        array = array.compute()
    if np.ma.isMaskedArray(array):
        return np.ma.getdata(array), None if array.mask is np.ma.nomask else np.ma.getmaskarray(array)
    if not callable(getattr(array, "mask", len)):  # that of pandas is a method
        raise ValueError(  # noqa: TRY004  as for all other arrays that cannot be taken
            f"{type(array).__module__}.{type(array).__name__} has a mask that geoseg does not know. "
            "Give a numpy.ma.MaskedArray, or fill what is masked with a value and name it as nodata."
        )
    return np.asarray(array), None
