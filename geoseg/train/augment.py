"""Random changes of training windows on the device. kornia does the geometry and the noise."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from geoseg.errors import SettingsError
from geoseg.grid.legend import NODATA_CLASS
from geoseg.train_settings import AugmentSettings

Augment = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""From scaled pixels, float32 (N, C, H, W), and labels, int64 (N, H, W), to changed ones of the same shapes."""
SHADOW_CELLS = 4
"""A shadow is a field of so many random values on a side, made smooth."""
SHADOW_DEPTH = 1.5
"""Darkness of a shadow in standard deviations of the bands."""


def make_augment(settings: AugmentSettings) -> Augment:
    """Build the changes. They draw from torch's global generator.

    Where a turned or smaller window leaves its own ground, pixels are 0 and labels 255.

    Raises:
        SettingsError: If kornia is not installed.
    """
    zoom = _zoom(settings)

    def augment(pixels: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        if settings.flips:
            pixels, labels = _turn(pixels, labels)
        if zoom is not None:
            # One more than the ids, so that 0, which kornia fills with, means no label.
            shifted = torch.where(labels == NODATA_CLASS, 0, labels + 1)[:, None].float()
            pixels, shifted = zoom(pixels, shifted)
            ids = shifted[:, 0].round().long()
            labels = torch.where(ids == 0, NODATA_CLASS, ids - 1)
        return _radiometry(pixels, settings), labels

    return augment


def _turn(pixels: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Turn each window by quarters and mirror half of them: without interpolation, unlike kornia."""
    turns, mirrored = torch.randint(4, (len(pixels),)).tolist(), torch.randint(2, (len(pixels),)).tolist()

    def turned(window: Tensor, place: int) -> Tensor:
        window = torch.rot90(window, turns[place], (-2, -1))
        return window.flip(-1) if mirrored[place] else window

    return tuple(torch.stack([turned(one, place) for place, one in enumerate(all_)]) for all_ in (pixels, labels))  # type: ignore[return-value]


def _zoom(settings: AugmentSettings) -> Callable[..., Any] | None:
    if not (settings.zoom or settings.rotation_deg):
        return None
    try:
        import kornia.augmentation as kornia  # noqa: PLC0415  part of an extra
        from kornia.constants import DataKey, Resample  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"Training needs {error.name}, which is not installed: pip install 'geoseg[train]'."
        ) from error
    scale = (1 - settings.zoom, 1 + settings.zoom)
    affine = kornia.RandomAffine(settings.rotation_deg, scale=scale, p=1.0, padding_mode="zeros")
    nearest = {DataKey.MASK: {"resample": Resample.NEAREST, "align_corners": None}}
    return kornia.AugmentationSequential(affine, data_keys=["input", "mask"], extra_args=nearest)


def _radiometry(pixels: Tensor, settings: AugmentSettings) -> Tensor:
    """Contrast, brightness, shadows, noise and dropped bands; pixels have a mean of 0 and a deviation of 1."""
    number, bands, height, width = pixels.shape
    device = pixels.device
    if settings.contrast:
        pixels = pixels * (1 + settings.contrast * _signed((number, bands, 1, 1), device))
    if settings.brightness:
        pixels = pixels + settings.brightness * _signed((number, 1, 1, 1), device)
    if settings.shadows:
        coarse = torch.rand((number, 1, SHADOW_CELLS, SHADOW_CELLS), device=device)
        field = interpolate(coarse, size=(height, width), mode="bicubic", align_corners=False)
        falls = torch.rand((number, 1, 1, 1), device=device) < settings.shadows
        pixels = pixels - SHADOW_DEPTH * falls * (field * 4 - 2).clamp(0, 1)
    if settings.noise:
        pixels = pixels + settings.noise * torch.randn(pixels.shape, device=device)
    if settings.band_dropout:
        kept = torch.rand((number, bands, 1, 1), device=device) >= settings.band_dropout
        pixels = pixels * kept
    return pixels


def _signed(shape: tuple[int, ...], device: torch.device) -> Tensor:
    return 2 * torch.rand(shape, device=device) - 1
