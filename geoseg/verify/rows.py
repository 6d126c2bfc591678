"""What a scene's rows should be, by polygonizing its class map and confidence once more.

The same engine does it, so this finds no fault of the engine. It finds whatever became of rows or rasters afterwards,
and a run that mixed them up: each value of each row is compared, with a minimum area as well.
"""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from geoseg.grid.legend import Legend, LegendClass
from geoseg.plan.fingerprint import ALGORITHM
from geoseg.publish.geodesy.crs import NATIVE
from geoseg.store.manifest import Manifest
from geoseg.verify.check import Finding
from geoseg.verify.compare import COLUMNS, Comparison, compare_rows
from geoseg.verify.independent import Polygons
from geoseg.verify.published import Promise
from geoseg.verify.recompute import Recipe, recompute

MODEL = "model"
"""Key of a manifest's results: name of the model."""


def check_rows(
    polygons: Polygons, parts: Sequence[Path], confidence: Path, recipe: Recipe, output: Path
) -> Iterator[Finding]:
    """Compare all rows of a scene with recomputed ones.

    Raises:
        SceneError: If the rasters cannot be read, or hold what has no polygons.
    """
    with tempfile.TemporaryDirectory(prefix="geoseg-validate-") as folder:
        tables = recompute(polygons.raster, confidence, recipe, Path(folder))
        found = compare_rows(parts, tables, exact=recipe.crs == NATIVE)
    yield _order(polygons, found)
    sound = ", ".join(name for name in COLUMNS if name not in found.columns)
    yield Finding("recomputed", "columns", polygons.key, f"as recomputed: {sound}", "", ok=True)
    for name, difference in found.columns.items():
        key = difference.file.relative_to(output).as_posix()
        others = f" and {difference.rows - 1:,} more" if difference.rows > 1 else ""
        shown = f"{difference.found} in polygon_id {difference.polygon_id}{others}"
        yield Finding("recomputed", name, key, shown, difference.expected, ok=False)


def find_recipe(
    polygons: Polygons, names: Sequence[str], parts: Sequence[Path], manifest: Manifest | None, promises: list[Promise]
) -> Recipe:
    """Gather what decided a scene's rows, from the manifest where there is one.

    Raises:
        ValueError: If the manifest or a legend makes no sense.
    """
    facts: Mapping[str, Any] = manifest.fingerprint if manifest else {}
    crs, observed_at, model = facts.get("polygons.crs"), None, None
    if crs is None:
        authority = polygons.crs.to_authority()
        crs = NATIVE if polygons.in_place or authority is None else ":".join(authority)
    if manifest is None:
        observed_at, model = _first_value(parts, "observed_at"), _first_value(parts, "model")
    else:
        if facts.get("scene.observed_at") is not None:
            observed_at = datetime.fromisoformat(str(facts["scene.observed_at"]))
            observed_at = observed_at if observed_at.tzinfo else observed_at.replace(tzinfo=UTC)
        said = (promise.model for promise in promises if promise.model_sha256 == facts.get("model.sha256"))
        model = manifest.results.get(MODEL) or next(said, None) or _first_value(parts, "model")
    return Recipe(polygons.grid, _legend(names), polygons.made, str(crs), observed_at, str(model or ""))


def other_algorithm(manifest: Manifest | None) -> str:
    """Why rows cannot be recomputed: another version of geoseg made them; empty if they can be."""
    made = ALGORITHM if manifest is None else manifest.fingerprint.get("algorithm", ALGORITHM)
    if made == ALGORITHM:
        return ""
    return f"made by another version of geoseg (algorithm {made}, here {ALGORITHM})"


def _order(polygons: Polygons, found: Comparison) -> Finding:
    """Compare which polygons there are, and in which order."""
    ids, expected = polygons.scan.polygon_id, found.ids
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
    """What the first row holds; None without rows."""
    with pq.ParquetFile(parts[0]) as file:
        if not file.num_row_groups:
            return None
        return file.read_row_group(0, columns=[column])[column][0].as_py()
