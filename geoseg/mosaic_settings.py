"""Settings of mosaics: their sections in ``mosaics:``."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from geoseg.setting_types import NO_BOOL, Bounds, Count, Finite, Name, Text


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class GridSettings(_Section):
    """The grid of a mosaic; what is left out is that of most of its items."""

    crs: Text | None = None
    """CRS, such as EPSG:32633."""
    resolution_m: Annotated[Finite, Field(gt=0, le=1e6), NO_BOOL] | None = None
    """Side of a pixel in metres."""
    bounds: Bounds | None = None
    """xmin, ymin, xmax, ymax in its CRS, rounded to whole pixels outwards."""


class SearchSettings(_Section):
    """A search of a STAC API; keys are those of its Item search."""

    search: Text
    """Address of the API."""
    collections: Annotated[tuple[Text, ...], Field(min_length=1)]
    """Ids of collections."""
    bbox: Bounds | None = None
    """West, south, east, north in degrees."""
    intersects: dict[str, Any] | None = None
    """A GeoJSON geometry."""
    datetime: Text | None = None
    """Time or interval, such as 2024-06-01/2024-08-31."""
    query: dict[str, Any] | None = None
    """Conditions, such as {eo:cloud_cover: {lt: 20}}."""
    max_items: Annotated[Count, Field(le=1_000_000)] | None = None
    """Largest number of Items."""


class MosaicSettings(_Section):
    """A scene that is made of many sources."""

    id: Name
    """Name of the scene in the output."""
    items: Annotated[tuple[Text | SearchSettings, ...], Field(min_length=1)]
    """Files, directories, patterns, lists, STAC Items and ItemCollections, tables of them, and searches."""
    grid: GridSettings = GridSettings()
    order: Literal["given", "newest", "least_cloud"] = "given"
    """Which item comes first where several are valid; given: as they are listed."""
    pick: Literal["first", "median", "fuse"] = "first"
    """What counts where several items are valid: the first, the median of their values, or the sum of their scores."""
