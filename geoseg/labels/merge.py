"""`geoseg labels merge`: corrected label files become one set of labels for a training."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import geopandas
import numpy as np
import shapely

from geoseg.area.polygon_parts import polygon_parts
from geoseg.errors import SettingsError
from geoseg.importer.facts.legends import make_legend
from geoseg.labels.check import HARMFUL, check_labels, source_of
from geoseg.labels.label_file import (
    CLASS,
    DONE,
    WINDOW,
    LabelFile,
    check_output,
    concatenate,
    read_label_file,
    write_label_file,
)


class Merged(NamedTuple):
    """What was merged."""

    polygons: int
    windows: int
    left_out: int
    """Windows that are not marked as done."""


def merge_labels(
    files: Sequence[Path],
    output: Path,
    classes: Sequence[str] = (),
    *,
    every_window: bool = False,
    overwrite: bool = False,
) -> Merged:
    """Merge label files: where windows of several files overlap, the last file counts.

    Args:
        files: Files of `sample_labels` after corrections, or other vector files with the column ``class_name``, which
            count as done.
        output: GeoPackage to write, in the CRS of the first file. `geoseg train` takes it as labels; ground outside
            its windows has no label.
        classes: Names that are allowed; none: those that the files tell.
        every_window: Also take windows that are not marked as done.
        overwrite: Replace the output.

    Raises:
        SettingsError: If a file cannot be read or has a harmful problem (see `check_labels`), nothing is done, or the
            output exists.
        OSError: If the output cannot be written.
    """
    check_output(output, overwrite=overwrite)
    merged: LabelFile | None = None
    left_out, colors = 0, dict[str, str]()
    for path in files:
        whole = read_label_file(path)
        part, skipped = _done_part(whole, every_window=every_window)
        left_out += skipped
        _require_sound(part, classes)
        colors = whole.classes | colors
        merged = part if merged is None else _put(merged, part)
    if merged is None or not len(merged.labels):
        raise SettingsError(
            f"None of the {left_out} windows of {', '.join(map(str, files))} is marked as done. Set {DONE} in layer "
            "windows of those that are corrected, or give --all."
        )
    names = list(dict.fromkeys([*classes, *colors, *merged.labels[CLASS]]))
    legend = make_legend(names, ", ".join(map(str, files)), colors)
    write_label_file(output, merged.labels, merged.windows, legend, overwrite=overwrite)
    return Merged(len(merged.labels), 0 if merged.windows is None else len(merged.windows), left_out)


def _done_part(file: LabelFile, *, every_window: bool) -> tuple[LabelFile, int]:
    """The labels in windows that are done, cut at their outlines; and the number of other windows.

    Where windows overlap, the first one counts: the model was more uncertain there.
    """
    if file.windows is None:
        return file, 0
    done = file.windows if every_window else file.windows[file.windows[DONE].fillna(False).astype(bool)]
    labels = file.labels[shapely.is_valid(file.labels.geometry.values)]
    frames, outlines = [], list[shapely.Geometry]()
    for key, outline in zip(done[WINDOW], done.geometry, strict=True):
        others = [one for one in outlines if one.intersects(outline)]  # windows of two scenes on the same ground
        ground = shapely.difference(outline, shapely.union_all(others)) if others else outline
        near = labels.iloc[labels.sindex.query(ground, predicate="intersects", sort=True)]
        near = near[(near[WINDOW] == key) | ~near[WINDOW].isin(file.windows[WINDOW])]
        frames.append(_cut(near, shapely.intersection(near.geometry.values, ground)).assign(**{WINDOW: key}))
        outlines.append(outline)
    kept = concatenate(frames, file.labels.crs) if frames else file.labels.iloc[:0]
    return replace(file, labels=kept, windows=done), len(file.windows) - len(done)


def _put(earlier: LabelFile, later: LabelFile) -> LabelFile:
    """Both files as one; the later one counts where they overlap."""
    crs = earlier.labels.crs
    ground = later.labels if later.windows is None else later.windows
    covered = shapely.union_all(ground.to_crs(crs).geometry.values)
    kept = _cut(earlier.labels, shapely.difference(earlier.labels.geometry.values, covered))
    windows = None
    if earlier.windows is not None and later.windows is not None:
        left = earlier.windows.copy()
        left.geometry = shapely.difference(left.geometry.values, covered)
        windows = concatenate([left[~left.geometry.is_empty], later.windows], crs)
    return replace(earlier, labels=concatenate([kept, later.labels], crs), windows=windows)


def _cut(labels: geopandas.GeoDataFrame, geometry: np.ndarray) -> geopandas.GeoDataFrame:
    """Labels with other geometries, polygons of a single part; those without an area are left out."""
    parts, index = polygon_parts(geometry)
    return labels.iloc[index].set_geometry(list(parts), crs=labels.crs)


def _require_sound(file: LabelFile, classes: Sequence[str]) -> None:
    harmful = [problem for problem in check_labels(file, classes) if problem.kind in HARMFUL]
    if harmful:
        more = f" (and {len(harmful) - 1} more)" if len(harmful) > 1 else ""
        raise SettingsError(
            f"{source_of(file.path, harmful[0])}{more}. `geoseg labels check {file.path}` lists all; correct them."
        )
