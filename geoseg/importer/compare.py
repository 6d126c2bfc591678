"""Compare a bundle with the network that it was made of."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from geoseg.config import SceneSettings
from geoseg.errors import SettingsError
from geoseg.grid.window import Window
from geoseg.importer.sources.source import Forward
from geoseg.model.bundle.bundle import Bundle
from geoseg.model.network import load_network
from geoseg.model.patchwork.scores import activate, enlarge
from geoseg.model.scale import scale_pixels
from geoseg.raster.bands import select_bands
from geoseg.raster.read import read_window
from geoseg.raster.source.scene import describe

LEAST_SAME = 0.999
"""Share of pixels whose class must be the same."""
RANDOM_PATCHES, REAL_PATCHES = 2, 4


class Agreement(NamedTuple):
    """How well the bundle's network agrees with the original."""

    pixels: str
    """What pixels they were compared on."""
    same: float
    """Share of pixels with the same class."""
    difference: float
    """Largest difference of a probability."""


def compare(original: Forward, bundle: Bundle, scene: Path | None, settings: SceneSettings) -> list[Agreement]:
    """Run both networks on random pixels, and on those of a scene.

    Args:
        original: The original network.
        bundle: The bundle, trusted if its artifact needs it.
        scene: A raster with the bundle's bands, if there is one.
        settings: Which of its bands.

    Raises:
        SettingsError: If the bundle's network cannot be loaded or run, or gives another class map.
        SceneError: If the scene cannot be read.
    """
    network = load_network(bundle, torch.device("cpu"), torch.get_num_threads())
    side, generator = bundle.patch_px, torch.Generator().manual_seed(2)
    batches = {"random pixels": torch.randn((RANDOM_PATCHES, len(bundle.bands), side, side), generator=generator)}
    if scene is not None:
        batches[f"pixels of {scene.name}"] = real_patches(bundle, scene, settings)
    agreements = []
    for name, batch in batches.items():
        maps = [
            activate(
                enlarge(torch.cat([forward(one[None]) for one in batch]), side),
                bundle.file.activation,
                len(bundle.legend),
            )
            for forward in (original, network)
        ]
        same = float((maps[0].argmax(1) == maps[1].argmax(1)).float().mean())
        agreements.append(Agreement(name, same, float((maps[0] - maps[1]).abs().max())))
    return agreements


def check(agreements: Sequence[Agreement], output: Path) -> None:
    """Raise SettingsError if the class maps differ."""
    for one in agreements:
        if one.same < LEAST_SAME:
            raise SettingsError(
                f"{output} is not the network that was imported: on {one.pixels} only {one.same:.2%} of the classes "
                f"are the same (at least {LEAST_SAME:.1%} are needed). Give another --format."
            )


def real_patches(bundle: Bundle, path: Path, settings: SceneSettings = SceneSettings()) -> Tensor:
    """Scaled patches around the middle of a scene, float32 of shape (N, C, P, P).

    Raises:
        SceneError: If the scene cannot be read or has other bands.
    """
    scene = describe(path, settings)
    selection = select_bands(scene, len(bundle.bands), settings, bundle.bands)
    side = bundle.patch_px
    height, width = scene.grid.height, scene.grid.width
    row, col = max(0, (height - 2 * side) // 2), max(0, (width - 2 * side) // 2)
    patches = []
    for index in range(REAL_PATCHES):
        top, left = row + side * (index // 2), col + side * (index % 2)
        if index and (top + side > height or left + side > width):
            continue
        window = Window(top, left, min(side, height - top), min(side, width - left))
        pixels, _ = read_window(scene, selection, window)
        scaled = scale_pixels(torch.from_numpy(pixels.astype("float32")), bundle.file.scaling)
        rest = (0, side - scaled.shape[2], 0, side - scaled.shape[1])
        patches.append(torch.nn.functional.pad(scaled, rest))
    return torch.nan_to_num(torch.stack(patches))
