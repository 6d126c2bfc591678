"""Describe one entry of ``scenes:``: a file, a STAC Item, or a mapping of bands to files."""

from collections.abc import Mapping, Sequence

from geoseg.catalog.band_files import mapping_name, of_mapping
from geoseg.catalog.candidate import of_file
from geoseg.catalog.item_source import ItemReader, with_versions
from geoseg.catalog.look_up import look_up
from geoseg.catalog.mosaic import compose
from geoseg.config import SceneSettings
from geoseg.errors import SceneError
from geoseg.mosaic_settings import GridSettings
from geoseg.raster.source.scene import Scene, describe
from geoseg.stac.item import Item, names_document, read_item

Entry = str | Mapping[str, str] | Item


def expand_entries(
    entries: Sequence[str | Mapping[str, str]], settings: SceneSettings
) -> tuple[list[Entry], list[tuple[str, SceneError]]]:
    """Expand directories, patterns, lists and collections of Items to scenes.

    Returns:
        The scenes in their order; and the entries that stand for none, with the reason.
    """
    scenes: list[Entry] = []
    failed = []
    for entry in entries:
        try:
            scenes += look_up([entry], settings) if isinstance(entry, str) else [entry]
        except SceneError as error:
            failed.append((entry_name(entry), error))
    return scenes, failed


def describe_entry(entry: Entry, settings: SceneSettings, names: Sequence[str]) -> Scene:
    """Describe a scene.

    Args:
        entry: A path or URL of a raster or a STAC Item, an Item, or a mapping of bands to files.
        settings: How files are read; ``resolution_m`` resamples any of them.
        names: The model's names of its bands, by which those of Items and mappings are found.

    Raises:
        SceneError: If a file or Item cannot be used, or lacks a band.
        SettingsError: If ``assume_crs`` is not a CRS.
    """
    grid, name = GridSettings(resolution_m=settings.resolution_m), entry_name(entry)
    if isinstance(entry, Item) or (isinstance(entry, str) and names_document(entry)):
        item = entry if isinstance(entry, Item) else read_item(entry, settings)
        return compose(name, item.id, with_versions([ItemReader(names, settings).read(item)]), grid, settings)
    if not isinstance(entry, str):
        return compose(name, mapping_name(entry), with_versions([of_mapping(entry, names, settings)]), grid, settings)
    file = describe(entry, settings)
    if settings.resolution_m is None:
        return file
    return compose(file.path, file.scene_id, [of_file(file.path, file)], grid, settings)


def entry_name(entry: Entry) -> str:
    """Name of a scene in messages, before it is described."""
    if isinstance(entry, Item):
        return f"Item {entry.id}"
    return entry if isinstance(entry, str) else f"scene {mapping_name(entry)}"
