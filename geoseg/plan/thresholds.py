"""Least probabilities of classes, and the class of pixels below them."""

from math import ceil

from geoseg.config import InferenceSettings
from geoseg.errors import SettingsError
from geoseg.explain import shown
from geoseg.grid.decision import SCORE_ONE
from geoseg.grid.legend import NODATA_CLASS, Legend, LegendClass

GREY = (128, 128, 128)
"""Colour of unsure pixels."""


def plan_limits(settings: InferenceSettings, legend: Legend) -> tuple[int, ...]:
    """Least score of each class, see `geoseg.grid.decision.Decision`; empty without thresholds.

    Raises:
        SettingsError: If a class is unknown.
    """
    unknown = [name for name in settings.thresholds if name not in legend.names]
    if unknown:
        raise SettingsError(
            f"inference.thresholds: {shown(unknown)} are not classes of the model. Use its classes: "
            f"{', '.join(legend.names)}."
        )
    if not settings.thresholds:
        return ()
    return tuple(ceil(settings.thresholds.get(name, 0) * SCORE_ONE) for name in legend.names)


def extend_legend(settings: InferenceSettings, legend: Legend) -> Legend:
    """The classes of the class map: those of the model, and that of unsure pixels if there are thresholds.

    Raises:
        SettingsError: If its name is taken, or no id is left.
    """
    if not settings.thresholds:
        return legend
    if settings.unsure_class in legend.names or len(legend) == NODATA_CLASS:
        why = "is a class of the model" if settings.unsure_class in legend.names else "needs a free class id"
        raise SettingsError(
            f"inference.unsure_class={settings.unsure_class} {why}, which has {len(legend)} classes of at most "
            f"{NODATA_CLASS}. Choose another name, or leave inference.thresholds out."
        )
    return Legend((*legend.classes, LegendClass(len(legend), settings.unsure_class, GREY)))
