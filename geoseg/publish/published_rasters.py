"""Read the rasters that a scene has beside its class map, from a folder of local files."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from geoseg.grid.decision import CONFIDENCE, PROBABILITIES
from geoseg.raster.maps.class_map import ReadBand, open_band, open_bands


def has_confidence(folder: Path) -> bool:
    """Whether the rasters of a scene tell its confidence."""
    return (folder / f"{CONFIDENCE}.tif").exists() or (folder / f"{PROBABILITIES}.tif").exists()


@contextmanager
def open_confidence(folder: Path) -> Iterator[ReadBand]:
    """Open the confidence of a scene; if it is not published, it is the largest of the probabilities."""
    path = folder / f"{CONFIDENCE}.tif"
    if path.exists():
        with open_band(path) as read:
            yield read
        return
    with open_bands(folder / f"{PROBABILITIES}.tif") as read:
        yield lambda window: read(window).max(0)


@contextmanager
def open_layers(folder: Path, names: Sequence[str]) -> Iterator[Mapping[str, ReadBand]]:
    """Open rasters of a scene; each reads uint8 of shape (C, H, W).

    Raises:
        SceneError: If one cannot be read.
    """
    with ExitStack() as stack:
        yield {name: stack.enter_context(open_bands(folder / f"{name}.tif")) for name in names}
