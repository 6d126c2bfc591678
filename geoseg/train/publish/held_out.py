"""The test: segment the scenes that hold ground of the test as every run does, and compare there alone."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from geoseg.config import RunSettings, Settings
from geoseg.errors import SettingsError
from geoseg.evaluate.counts import Counts
from geoseg.evaluate.evaluate import Evaluation, SceneEvaluation, count_scene
from geoseg.evaluate.metrics import compute_metrics
from geoseg.evaluate.predictions import find_predictions
from geoseg.grid.legend import NODATA_CLASS
from geoseg.grid.window import Window
from geoseg.run.segment import segment
from geoseg.train.data.ground import TEST
from geoseg.train.data.labelled import LabelledScene
from geoseg.train.data.sites import Sites
from geoseg.train_settings import TrainSettings

BOUNDARY_PX = 3


def evaluate_held_out(
    bundle: Path,
    scenes: Sequence[LabelledScene],
    sites: Sites,
    settings: TrainSettings,
    results: Path,
    console: Console,
) -> Evaluation | None:
    """Segment and evaluate the test ground.

    Args:
        bundle: The trained bundle.
        scenes: All scenes of the training.
        sites: Where labels are, and the split.
        settings: Settings of the training.
        results: Folder for class maps and polygons.
        console: Shows the progress.

    Returns:
        Agreement on the labels of the test ground; None if there is none.

    Raises:
        SettingsError: If no scene could be segmented.
    """
    held = [scenes[index] for index in np.unique(sites.scenes[sites.of(TEST)]).tolist()]
    if not held:
        return None
    run = RunSettings(address="inline", device=settings.run.device, precision=settings.run.precision)
    report = segment(
        Settings(
            scenes=tuple(one.scene.path for one in held),
            model=str(bundle),
            output=str(results),
            overwrite=True,
            scene=settings.scene,
            run=run,
        ),
        console,
    )
    if not report.done:
        raise SettingsError(f"The test scenes could not be segmented: {report.scenes[0]['error']}")
    by_name = {one.scene.scene_id: one for one in held}
    mapping, done, total = held[0].mapping, [], Counts.zero(len(settings.classes))
    for prediction in find_predictions([results]):
        one = by_name.get(prediction.scene)
        if one is None:
            continue

        def read_labels(window: Window, one: LabelledScene = one) -> NDArray[np.uint8]:
            labels = one.read_labels(window)
            labels[sites.split.owner_of(one.scene.grid, window, one.number) != TEST] = NODATA_CLASS
            return labels

        counts = count_scene(prediction, read_labels, mapping, BOUNDARY_PX)
        if counts.confusion.any():
            metrics = compute_metrics(counts, mapping.names)
            done.append(SceneEvaluation(prediction.scene, str(prediction.classes), metrics, counts, ()))
            total += counts
    if not done:
        return None
    metrics = compute_metrics(total, mapping.names)
    return Evaluation(mapping, BOUNDARY_PX, tuple(done), total, metrics, (), ())
