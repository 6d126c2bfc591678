"""Match predicted polygons with label polygons: precision, recall and F1 at an IoU."""

from collections.abc import Sequence
from dataclasses import dataclass

import geopandas
import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import CRS
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching

from geoseg.errors import SceneError
from geoseg.evaluate.class_mapping import IGNORE, ClassMapping
from geoseg.evaluate.label_polygons import LabelPolygons
from geoseg.evaluate.predictions import Prediction

MATCH_IOU = 0.5
"""Two polygons match if their intersection is at least this part of their union."""
_PREDICTED_AT_ONCE = 20_000
"""Polygons whose intersections are computed together."""


@dataclass(frozen=True, slots=True)
class PolygonMetrics:
    """Matches of one class."""

    name: str
    labels: int
    """Label polygons."""
    predicted: int
    """Predicted polygons."""
    matched: int
    """Pairs; a polygon is in one pair at most."""

    @property
    def precision(self) -> float:
        """Share of predicted polygons that are matched; NaN without any."""
        return self.matched / self.predicted if self.predicted else np.nan

    @property
    def recall(self) -> float:
        """Share of label polygons that are matched; NaN without any."""
        return self.matched / self.labels if self.labels else np.nan

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; NaN without polygons."""
        total = self.predicted + self.labels
        return 2 * self.matched / total if total else np.nan


def match_scene(
    prediction: Prediction, sources: Sequence[LabelPolygons], mapping: ClassMapping
) -> tuple[PolygonMetrics, ...]:
    """Match the polygons of a scene with label polygons, which are cut at the scene's outline.

    Each part of a multipolygon counts as a polygon. Areas are compared in the CRS of the predicted polygons. Predicted
    classes that are compared as one are dissolved first. Where land outside the label polygons is not compared,
    predicted polygons that meet no label do not count.

    Returns:
        One entry for each compared class; none without predicted polygons or label polygons.

    Raises:
        SceneError: If the predicted polygons cannot be read.
    """
    if prediction.polygons is None or not sources:
        return ()
    try:
        predicted = geopandas.read_parquet(prediction.polygons, columns=["class_id", "geometry"])
    except (OSError, ValueError) as error:
        raise SceneError(f"{prediction.polygons} cannot be read ({error}). Publish the scene again.") from error
    predicted["id"] = mapping.predicted_ids()[predicted["class_id"].to_numpy()]
    if mapping.merges:
        predicted = predicted.dissolve("id", method="coverage").explode().reset_index()
    placed = [source.place(prediction.grid, mapping, CRS.from_user_input(predicted.crs)) for source in sources]
    labels, label_ids = (np.concatenate(column) for column in zip(*placed, strict=True))
    ours, our_ids = np.asarray(predicted.geometry.values), predicted["id"].to_numpy()
    if mapping.outside == IGNORE:
        meets = np.unique(shapely.STRtree(ours).query(labels, predicate="intersects")[1])
        ours, our_ids = ours[meets], our_ids[meets]
    return tuple(
        match_polygons(name, ours[our_ids == id_], labels[label_ids == id_]) for id_, name in enumerate(mapping.names)
    )


def match_polygons(name: str, predicted: NDArray[np.object_], labels: NDArray[np.object_]) -> PolygonMetrics:
    """Match the polygons of one class.

    A polygon has at most one partner of an IoU above one half if the polygons of a side do not overlap. If they do, the
    largest possible number of pairs is taken (Hopcroft and Karp 1973).

    Args:
        name: Name of the class.
        predicted: Valid polygons, shape (N,).
        labels: Valid polygons, shape (M,).
    """
    if not len(predicted) or not len(labels):
        return PolygonMetrics(name, len(labels), len(predicted), 0)
    tree, pairs = shapely.STRtree(labels), []
    for first in range(0, len(predicted), _PREDICTED_AT_ONCE):
        part = predicted[first : first + _PREDICTED_AT_ONCE]
        ours, theirs = tree.query(part, predicate="intersects")
        common = shapely.area(shapely.intersection(part[ours], labels[theirs]))
        union = shapely.area(part[ours]) + shapely.area(labels[theirs]) - common
        matched = common >= MATCH_IOU * union
        pairs.append(np.stack([ours[matched] + first, theirs[matched]]))
    rows, cols = np.concatenate(pairs, axis=1)
    graph = csr_array((np.ones(len(rows), np.int8), (rows, cols)), shape=(len(predicted), len(labels)))
    matches = maximum_bipartite_matching(graph, perm_type="column")
    return PolygonMetrics(name, len(labels), len(predicted), int((matches >= 0).sum()))


def sum_matches(scenes: Sequence[tuple[PolygonMetrics, ...]]) -> tuple[PolygonMetrics, ...]:
    """Sum the numbers of several scenes, class by class."""
    return tuple(
        PolygonMetrics(
            parts[0].name,
            sum(part.labels for part in parts),
            sum(part.predicted for part in parts),
            sum(part.matched for part in parts),
        )
        for parts in zip(*(scene for scene in scenes if scene), strict=True)
    )
