"""Sentinel-2's offset: since processing baseline 04.00 (2022-01-25) stored values are 1000 too high.

Models are trained on values without it: files from before, or from archives that take it away. Which ones have it is
told by `earthsearch:boa_offset_applied`, by the offset of the bands, or by the baseline. In some Items the first two
contradict each other; then the first one is right.
"""

import re
from collections.abc import Mapping
from typing import Any

from geoseg.raster.band_names import canonical

OFFSET = -1000
SCALE = 0.0001
"""Reflectance of a stored value of 1."""
_FIRST_BASELINE = 4.0
_OPTICAL = {"coastal", "blue", "green", "red", "nir", "nir08", "nir09", "cirrus", "swir16", "swir22"} | {
    f"rededge{number}" for number in ("", "1", "2", "3", "071", "075", "078")
}
"""Common names of bands of reflectance; the others (scene classification, water vapour) have no offset."""


def is_sentinel2(properties: Mapping[str, Any], collection: Any) -> bool:
    """Return whether an Item is one of Sentinel-2."""
    said = [properties.get("constellation"), properties.get("platform"), collection]
    return any(str(text).lower().startswith("sentinel-2") for text in said) or any(
        key.startswith("s2:") for key in properties
    )


def stored_offset(properties: Mapping[str, Any], band: str, declared: float | None) -> int | None:
    """What to add to the stored values of a band so that 0 is no reflectance: 0 or -1000; None if nothing tells.

    Args:
        properties: Those of the Item.
        band: Common name, or a name such as B04.
        declared: Offset that the Item states for the band, in stored values; None if it states none.
    """
    if canonical(band) not in _OPTICAL:
        return 0
    applied = properties.get("earthsearch:boa_offset_applied")
    if applied is True:
        return 0
    if declared is not None and applied is None:
        return OFFSET if round(declared) == OFFSET else 0
    baseline = _baseline(properties)
    if baseline is None:
        return OFFSET if applied is False and declared else None
    return OFFSET if baseline >= _FIRST_BASELINE else 0


def _baseline(properties: Mapping[str, Any]) -> float | None:
    for key in ("s2:processing_baseline", "processing:version", "sentinel2:processing_baseline"):
        text = str(properties.get(key, ""))
        if re.fullmatch(r"\d\d\.\d\d", text):
            return float(text)
    product = re.search(r"_N(\d\d)(\d\d)_", str(properties.get("s2:product_uri", "")))
    return float(f"{product[1]}.{product[2]}") if product else None
