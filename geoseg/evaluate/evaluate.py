"""`geoseg evaluate`: compare class maps and polygons with labels."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from geoseg.errors import SettingsError
from geoseg.evaluate.class_mapping import ClassMapping, read_class_mapping
from geoseg.evaluate.counts import Counts, count_window
from geoseg.evaluate.label_polygons import LabelPolygons, read_label_polygons
from geoseg.evaluate.label_rasters import has_crs
from geoseg.evaluate.labels import ReadLabels, open_labels
from geoseg.evaluate.metrics import Metrics, compute_metrics
from geoseg.evaluate.polygon_match import PolygonMetrics, match_scene, sum_matches
from geoseg.evaluate.predictions import Prediction, find_predictions
from geoseg.grid.legend import NODATA_CLASS
from geoseg.grid.window import Grid, Window
from geoseg.raster.maps.class_map import open_band

RASTERS = (".tif", ".tiff", ".vrt", ".img", ".png", ".jpg", ".jpeg", ".bmp", ".jp2")
"""Suffixes of label rasters; all other files are read as polygons."""
CELL_PX = 1024
"""Side of the windows that are compared at a time."""


@dataclass(frozen=True, slots=True)
class SceneEvaluation:
    """Result of one scene."""

    scene: str
    classes: str
    """Path of the class map."""
    metrics: Metrics
    counts: Counts
    polygons: tuple[PolygonMetrics, ...]
    """Empty unless both sides have polygons."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Agreement of predictions with labels."""

    mapping: ClassMapping
    boundary_px: int
    scenes: tuple[SceneEvaluation, ...]
    counts: Counts
    """Sum over the scenes."""
    metrics: Metrics
    """Metrics of that sum, not means over scenes."""
    polygons: tuple[PolygonMetrics, ...]
    """Sum over the scenes with polygons on both sides."""
    not_compared: tuple[str, ...]
    """Scenes of which no pixel has both a label and a predicted class."""


def evaluate(
    predictions: Sequence[Path],
    labels: Sequence[Path],
    *,
    classes: Path | None = None,
    class_column: str | None = None,
    ignore: Sequence[int] = (),
    boundary_px: int = 3,
) -> Evaluation:
    """Compare class maps with labels pixel by pixel, and polygons with label polygons.

    Labels with a CRS count wherever they lie on a class map: rasters by their nearest pixel, polygons by the middles of
    pixels. Labels without a CRS belong to the class maps in the given order and have their size. Memory depends on
    neither the size of the rasters nor their number; label polygons, and the polygons of a scene, are held in memory.

    Args:
        predictions: Results folders, or class maps that geoseg has published.
        labels: Rasters of class numbers, or files of polygons.
        classes: YAML file that maps values of the labels and classes of the model to the compared classes.
        class_column: Column with the class of label polygons.
        ignore: Values of the labels that are not compared.
        boundary_px: Width of the boundaries that boundary IoU compares.

    Raises:
        SettingsError: If a file or column is missing, a value stands for no class, or nothing can be compared.
        SceneError: If a raster cannot be read.
    """
    found = find_predictions(predictions)
    mapping = read_class_mapping(classes, found[0].legend, ignore)
    for path in labels:
        if not path.exists():
            raise SettingsError(f"{path} does not exist. Give label rasters or label polygons.")
    sources = [path if path.suffix.lower() in RASTERS else read_label_polygons(path, class_column) for path in labels]
    polygons = [source for source in sources if isinstance(source, LabelPolygons)]
    scenes, total, without_labels = [], Counts.zero(len(mapping.names)), []
    for prediction, own in zip(found, _labels_of(found, sources), strict=True):
        with open_labels(own, prediction.grid, mapping) as read:
            counts = count_scene(prediction, read, mapping, boundary_px)
        total += counts
        if counts.confusion.any():
            metrics = compute_metrics(counts, mapping.names)
            matches = match_scene(prediction, polygons, mapping)
            scenes.append(SceneEvaluation(prediction.scene, str(prediction.classes), metrics, counts, matches))
        else:
            without_labels.append(prediction.scene)
    if not scenes:
        raise SettingsError(
            f"No pixel of {found[0].classes}{' and others' * (len(found) > 1)} has a label in "
            f"{', '.join(map(str, labels))}. Check that they show the same place, their CRS, and what is ignored."
        )
    return Evaluation(
        mapping,
        boundary_px,
        tuple(scenes),
        total,
        compute_metrics(total, mapping.names),
        sum_matches([scene.polygons for scene in scenes]),
        tuple(without_labels),
    )


def _labels_of(
    predictions: Sequence[Prediction], sources: Sequence[Path | LabelPolygons]
) -> list[list[Path | LabelPolygons]]:
    """Labels of each class map, in the given order.

    Raises:
        SettingsError: If the number of rasters without CRS is not that of the class maps.
    """
    unplaced = [source for source in sources if isinstance(source, Path) and not has_crs(source)]
    if unplaced and len(unplaced) != len(predictions):
        raise SettingsError(
            f"{len(unplaced)} label rasters have no CRS, such as {unplaced[0]}, and there are {len(predictions)} class "
            "maps. Labels without a CRS are taken in the order of the class maps: give one for each."
        )
    others = [[one for one in unplaced if one != own] for own in unplaced] or [[]] * len(predictions)
    return [[source for source in sources if source not in other] for other in others]


def count_scene(prediction: Prediction, read_labels: ReadLabels, mapping: ClassMapping, boundary_px: int) -> Counts:
    """Count the pixels of a class map by label and prediction, window by window.

    Raises:
        SceneError: If a raster cannot be read.
    """
    counts, classes = Counts.zero(len(mapping.names)), len(mapping.names)
    compared = mapping.predicted_ids()
    with ExitStack() as stack:
        read_classes = stack.enter_context(open_band(prediction.classes))
        # The confidence of one class tells nothing about a union of classes.
        confidence = None if mapping.merges else prediction.confidence
        read_confidence = stack.enter_context(open_band(confidence)) if confidence else None
        for core, window in _windows(prediction.grid, boundary_px):
            labels = read_labels(window)
            at = core.slices(window)
            if (labels[at] == NODATA_CLASS).all():
                continue
            counts += count_window(
                labels,
                compared[read_classes(window)],
                read_confidence(window) if read_confidence else None,
                classes=classes,
                boundary_px=boundary_px,
                core=at,
            )
    return counts


def _windows(grid: Grid, margin_px: int) -> Iterator[tuple[Window, Window]]:
    """Windows that cover a grid, each with the window of its margin inside the grid."""
    for row, col in product(range(0, grid.height, CELL_PX), range(0, grid.width, CELL_PX)):
        stop_row, stop_col = min(row + CELL_PX, grid.height), min(col + CELL_PX, grid.width)
        core = Window.from_bounds(row, col, stop_row, stop_col)
        yield (
            core,
            Window.from_bounds(
                max(0, row - margin_px),
                max(0, col - margin_px),
                min(grid.height, stop_row + margin_px),
                min(grid.width, stop_col + margin_px),
            ),
        )
