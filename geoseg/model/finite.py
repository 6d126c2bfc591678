"""Detect NaN and infinity in weights and in scaled pixels."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from geoseg.model.bundle.scaling import Step
from geoseg.model.scale import scale_pixels


def require_finite(weights: Iterable[tuple[str, Tensor]], when: str = "", *, masks: bool = False) -> None:
    """Refuse weights that are NaN or infinite: their output can look like a class.

    Args:
        weights: Tensors with their names; integer tensors are ignored.
        when: Preceding operation, for the message.
        masks: Accept tensors that hold only zeros and infinities: attention masks of transformers.

    Raises:
        ValueError: Names the first tensor, its first bad value and their number.
    """
    for name, tensor in weights:
        if not tensor.is_floating_point() or not tensor.numel():
            continue
        values = tensor.detach()
        if values.element_size() == 1:  # float8 has no operators of its own
            values = values.float()
        if not torch.isfinite(torch.stack(torch.aminmax(values))).all():
            finite = torch.isfinite(values)
            bad = values[~finite]
            if masks and not (bad.isnan().any() or values[finite].any()):
                continue
            raise ValueError(
                f"the weights {name} are not finite{f' {when}' if when else ''}: {len(bad)} of {tensor.numel()} are "
                f"NaN or infinite, the first is {float(bad[0])}. Training has diverged, or the file is damaged: take "
                "an earlier checkpoint"
            )


def explain_not_finite(raw: Tensor, bands: Sequence[str], steps: Sequence[Step]) -> str:
    """Describe which band and which step of the scaling gives values that are not finite.

    Args:
        raw: Valid pixels as float32, shape (C, N).
        bands: The model's names of the C bands.
        steps: The model's scaling.
    """
    pixels = raw[..., None]
    for place, step in enumerate(["float32", *steps]):
        pixels = pixels if isinstance(step, str) else scale_pixels(pixels, [step])
        bad = ~torch.isfinite(pixels[..., 0])
        if bad.any():
            band, pixel = (int(index) for index in bad.nonzero()[0])
            if isinstance(step, str):
                return f"band {bands[band]} is not finite in float32"
            value, became = float(raw[band, pixel]), float(pixels[band, pixel, 0])
            return (
                f"band {bands[band]} is not finite after step {place} of {len(steps)} of its scaling ({step.type}), "
                f"where the value {value:g} becomes {became}"
            )
    return "a scaled value is not finite in bfloat16"
