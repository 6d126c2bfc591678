import pytest

from geoseg.grid.legend import Legend, LegendClass

BLACK = (0, 0, 0)


def test_names_stand_in_the_order_of_the_ids() -> None:
    legend = Legend((LegendClass(0, "water", BLACK), LegendClass(1, "forest", BLACK)))
    assert legend.names == ("water", "forest")
    assert len(legend) == 2


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ((), "1 to 255 classes, got 0"),
        ((LegendClass(1, "a", BLACK),), r"must be 0, 1, 2, \.\.\. in order, got \[1\]"),
        ((LegendClass(0, "a", BLACK), LegendClass(1, "a", BLACK)), "must differ"),
        (tuple(LegendClass(i, str(i), BLACK) for i in range(256)), "255 means nodata"),
    ],
)
def test_an_invalid_legend_is_refused(classes: tuple[LegendClass, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Legend(classes)
