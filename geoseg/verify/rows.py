"""Compare the rows of a scene with rows that are polygonized again from its class map and confidence.

The same engine is used, so errors of the engine are not found. Later changes of rows or rasters are found, and results
that belong to different runs: every value of every row is compared, with a minimum area too.
"""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from geoseg.grid.legend import Legend, LegendClass
from geoseg.publish.geodesy.crs import NATIVE
from geoseg.publish.polygon_table import layers_of, polygon_schema
from geoseg.reuse.levels import LINES, POLYGON_ALGORITHM
from geoseg.store.manifest import Manifest
from geoseg.verify.check import Finding
from geoseg.verify.compare import Comparison, compare_rows, compared_columns
from geoseg.verify.independent import Polygons
from geoseg.verify.published import ReportedScene
from geoseg.verify.recompute import Recipe, recompute

MODEL = "model"
"""Key in the results of a manifest: name of the model."""


def check_rows(polygons: Polygons, parts: Sequence[Path], recipe: Recipe, output: Path) -> Iterator[Finding]:
    """Compare all rows of a scene with recomputed rows.

    Raises:
        SceneError: If the rasters cannot be read or polygonized.
    """
    with tempfile.TemporaryDirectory(prefix="geoseg-validate-") as folder:
        schema, tables = polygon_schema(recipe.layers), recompute(polygons.raster, recipe, Path(folder))
        found = compare_rows(parts, tables, schema, exact=recipe.crs == NATIVE)
    yield _order(polygons, found)
    sound = ", ".join(name for name in compared_columns(schema) if name not in found.columns)
    yield Finding("recomputed", "columns", polygons.key, f"as recomputed: {sound}", "", ok=True)
    for name, difference in found.columns.items():
        key = difference.file.relative_to(output).as_posix()
        others = f" and {difference.rows - 1:,} more" if difference.rows > 1 else ""
        shown = f"{difference.found} in polygon_id {difference.polygon_id}{others}"
        yield Finding("recomputed", name, key, shown, difference.expected, ok=False)


def find_recipe(
    polygons: Polygons,
    names: Sequence[str],
    parts: Sequence[Path],
    manifest: Manifest | None,
    reported: list[ReportedScene],
) -> Recipe:
    """Collect what decided the rows of a scene, from the manifest if there is one.

    Raises:
        ValueError: If the manifest or the legend is invalid.
    """
    facts: Mapping[str, Any] = manifest.fingerprint if manifest else {}
    crs, observed_at, model = facts.get("polygons.crs"), None, None
    if crs is None:
        authority = polygons.crs.to_authority()
        crs = NATIVE if polygons.in_place or authority is None else ":".join(authority)
    if manifest is None:
        observed_at, model = _first_value(parts, "observed_at"), _first_value(parts, "model")
    else:
        # That of the settings goes before that of a STAC Item.
        stated = facts.get("scene.observed_at") or facts.get("scene.time")
        if stated is not None:
            observed_at = datetime.fromisoformat(str(stated))
            observed_at = observed_at if observed_at.tzinfo else observed_at.replace(tzinfo=UTC)
        models = (entry.model for entry in reported if entry.model_sha256 == facts.get("model.sha256"))
        model = manifest.results.get(MODEL) or next(models, None) or _first_value(parts, "model")
    layers = layers_of(pq.read_schema(parts[0]).names)
    return Recipe(polygons.grid, _legend(names), polygons.provenance, str(crs), observed_at, str(model or ""), layers)


def why_not_comparable(manifest: Manifest | None) -> str:
    """The reason if another version of geoseg made the rows, so that they cannot be recomputed; else empty."""
    facts: Mapping[str, Any] = manifest.fingerprint if manifest else {}
    made_by = facts.get(POLYGON_ALGORITHM, facts.get("algorithm", LINES))  # once one number for rasters and polygons
    return "" if made_by == LINES else f"made by another version of geoseg (algorithm {made_by}, here {LINES})"


def _order(polygons: Polygons, found: Comparison) -> Finding:
    """Compare the ids of the polygons and their order."""
    ids, expected = polygons.summary.polygon_id, found.ids
    shown = f"{len(expected):,} rows in the order of publication"
    if np.array_equal(ids, expected):
        return Finding("recomputed", "rows", polygons.key, shown, shown, ok=True)
    faults = []
    for what, some, others in (("missing", expected, ids), ("too many", ids, expected)):
        lone = np.setdiff1d(some, others)
        if len(lone):
            faults.append(f"{len(lone):,} polygons {what}, such as polygon_id {lone[0]}")
    if not faults:
        both = min(len(ids), len(expected))
        row = int(np.append(np.flatnonzero(ids[:both] != expected[:both]), both)[0])
        faults.append(f"{len(ids):,} rows in another order from row {row} on")
    return Finding("recomputed", "rows", polygons.key, "; ".join(faults), shown, ok=False)


def _legend(names: Sequence[str]) -> Legend:
    # Polygons have no colours.
    return Legend(tuple(LegendClass(number, name, (0, 0, 0)) for number, name in enumerate(names)))


def _first_value(parts: Sequence[Path], column: str) -> Any:
    """Value of the first row; None without rows."""
    with pq.ParquetFile(parts[0]) as file:
        if not file.num_row_groups:
            return None
        return file.read_row_group(0, columns=[column])[column][0].as_py()
