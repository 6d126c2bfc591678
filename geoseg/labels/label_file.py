"""Label files: a GeoPackage with the layers ``labels`` and ``windows``, to correct in QGIS."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import geopandas
import pandas as pd
import pyogrio

from geoseg.errors import SettingsError
from geoseg.gis_export.layer_styles import write_to_geopackage
from geoseg.grid.legend import Legend
from geoseg.polygonizer.scratch import scratch_folder
from geoseg.publish.styles.qml import label_qml, outline_qml
from geoseg.publish.styles.sld import outline_sld, polygon_sld

LABELS, WINDOWS = "labels", "windows"
CLASSES = "geoseg_classes"
"""Key of the classes in the metadata of the layer."""
CLASS, DONE, PIXEL, WINDOW = "class_name", "done", "pixel", "window"
LABEL_COLUMNS = (WINDOW, CLASS, "geometry")
WINDOW_COLUMNS = (WINDOW, "scene", "score", "main_class", DONE, PIXEL, "geometry")


@dataclass(frozen=True, slots=True)
class LabelFile:
    """Labels and the windows in which they are complete."""

    path: Path
    labels: geopandas.GeoDataFrame
    """Polygons with `LABEL_COLUMNS`: ``class_name`` is what a person corrects."""
    classes: dict[str, str]
    """Colours ``RRGGBB`` of the classes by name; empty in a file of another program."""
    windows: geopandas.GeoDataFrame | None
    """Polygons with `WINDOW_COLUMNS`; None in a file that no `sample` has made. ``pixel`` is the side of a pixel in
    units of the CRS."""


def read_label_file(path: Path) -> LabelFile:
    """Read a label file, or any vector file of polygons with the column ``class_name``.

    Raises:
        SettingsError: If it cannot be read, has no polygons, no CRS or no ``class_name``.
    """
    try:
        layers = [str(name) for name in pyogrio.list_layers(path)[:, 0]]
        layer = LABELS if LABELS in layers else layers[0]
        labels = geopandas.read_file(path, layer=layer)
        windows = geopandas.read_file(path, layer=WINDOWS) if WINDOWS in layers else None
        classes = json.loads((pyogrio.read_info(path, layer=layer)["layer_metadata"] or {}).get(CLASSES, "{}"))
    except Exception as error:  # each driver has errors of its own
        raise SettingsError(f"{path} cannot be read as labels: {error}") from error
    if not isinstance(labels, geopandas.GeoDataFrame) or labels.crs is None:
        raise SettingsError(f"{path}, layer {layer}, has no polygons with a CRS. Save it with one.")
    if CLASS not in labels.columns:
        columns = ", ".join(str(name) for name in labels.columns if name != labels.geometry.name)
        raise SettingsError(f"{path}, layer {layer}, has no column {CLASS}; it has {columns or 'none'}.")
    if windows is not None and (missing := {WINDOW, DONE} - {*windows.columns}):
        raise SettingsError(f"{path}, layer {WINDOWS}, has no column {', '.join(sorted(missing))}. Restore it.")
    labels = _with_geometry(labels)
    if WINDOW not in labels.columns:
        labels[WINDOW] = None
    return LabelFile(path, labels, classes, None if windows is None else _with_geometry(windows))


def write_label_file(
    path: Path,
    labels: geopandas.GeoDataFrame,
    windows: geopandas.GeoDataFrame | None,
    legend: Legend,
    *,
    overwrite: bool,
) -> None:
    """Write a label file with styles for QGIS; it appears when it is complete.

    Raises:
        SettingsError: If the name does not end in .gpkg, or the file exists.
        OSError: If it cannot be written.
    """
    check_output(path, overwrite=overwrite)
    colors = {entry.name: bytes(entry.color).hex() for entry in legend.classes}
    styles = {LABELS: (label_qml(legend), polygon_sld(legend, LABELS)), WINDOWS: (outline_qml(), outline_sld(WINDOWS))}
    layers = {LABELS: labels[list(LABEL_COLUMNS)]}
    if windows is not None:
        layers[WINDOWS] = windows[list(WINDOW_COLUMNS)]
    write_layers(path, layers, styles, {CLASSES: json.dumps(colors)})


def write_layers(
    path: Path,
    layers: Mapping[str, geopandas.GeoDataFrame],
    styles: Mapping[str, tuple[bytes, bytes]] = MappingProxyType({}),
    metadata: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Write layers of a GeoPackage, with their QML and SLD; it appears when it is complete.

    Raises:
        OSError: If it cannot be written.
    """
    with scratch_folder(path, lambda _: None) as folder:
        file = folder / path.name
        for name, frame in layers.items():
            points = (frame.geom_type == "Point").all()
            pyogrio.write_dataframe(
                frame, file, layer=name, driver="GPKG", append=file.exists(), layer_metadata=dict(metadata),
                geometry_type="Point" if points else "MultiPolygon", promote_to_multi=not points,
            )  # fmt: skip
            if name in styles:
                write_to_geopackage(file, name, *styles[name])
        file.replace(path)


def check_output(path: Path, *, overwrite: bool) -> None:
    """Check the name of a file before any work.

    Raises:
        SettingsError: If it does not end in .gpkg, or the file exists.
    """
    if path.suffix.lower() != ".gpkg":
        raise SettingsError(f"--output {path} must end in .gpkg, such as {path.stem}.gpkg.")
    if path.exists() and not overwrite:
        raise SettingsError(f"{path} exists already, perhaps with corrections. Name another file, or add --overwrite.")


def concatenate(frames: list[geopandas.GeoDataFrame], crs: object) -> geopandas.GeoDataFrame:
    """Rows of all frames under one another, in one CRS."""
    moved = [frame.to_crs(crs) for frame in frames]
    return geopandas.GeoDataFrame(pd.concat(moved, ignore_index=True), crs=crs)


def _with_geometry(frame: geopandas.GeoDataFrame) -> geopandas.GeoDataFrame:
    """The same with the geometry in the column ``geometry``; other programs have other names."""
    return frame if frame.geometry.name == "geometry" else frame.rename_geometry("geometry")
