"""Describe one entry of ``scenes:``: a file, a STAC Item, or a mapping of bands to files."""

from collections.abc import Mapping, Sequence

from geoseg.catalog.band_files import mapping_name, names_item, of_mapping, read_item
from geoseg.catalog.candidate import of_file
from geoseg.catalog.item_source import ItemReader, with_versions
from geoseg.catalog.mosaic import compose
from geoseg.config import GridSettings, SceneSettings
from geoseg.raster.source.scene import Scene, describe

Entry = str | Mapping[str, str]


def describe_entry(entry: Entry, settings: SceneSettings, names: Sequence[str]) -> Scene:
    """Describe a scene.

    Args:
        entry: A path or URL of a raster or a STAC Item, or a mapping of bands to files.
        settings: How files are read; ``resolution_m`` resamples any of them.
        names: The model's names of its bands, by which those of Items and mappings are found.

    Raises:
        SceneError: If a file or Item cannot be used, or lacks a band.
        SettingsError: If ``assume_crs`` is not a CRS.
    """
    grid, name = GridSettings(resolution_m=settings.resolution_m), entry_name(entry)
    if not isinstance(entry, str):
        return compose(name, mapping_name(entry), with_versions([of_mapping(entry, names, settings)]), grid, settings)
    if names_item(entry):
        item = read_item(entry, settings)
        return compose(entry, item.id, with_versions([ItemReader(names, settings).read(item)]), grid, settings)
    file = describe(entry, settings)
    if settings.resolution_m is None:
        return file
    return compose(file.path, file.scene_id, [of_file(file.path, file)], grid, settings)


def entry_name(entry: Entry) -> str:
    """Name of a scene in messages, before it is described."""
    return entry if isinstance(entry, str) else f"scene {mapping_name(entry)}"
