"""Find out by forward passes what a network takes and gives."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from geoseg.errors import SettingsError
from geoseg.importer.facts.facts import Fact, Facts
from geoseg.importer.resolve import guess_activation
from geoseg.importer.sources.recognise import read_source
from geoseg.importer.sources.source import Forward, Request, Source
from geoseg.model.network import one_line

SIDES_PX = (256, 512, 224, 384, 128, 64, 32, 1024)
"""Sizes of patches that are tried, in this order, if the source does not name one."""
BANDS = (3, 4, 1, 2, *range(5, 17))
"""Numbers of bands that are tried if the weights do not show it."""
MULTIPLES = (1, 2, 4, 8, 16, 32, 64)


@dataclass(frozen=True)
class Probed:
    """A network with what forward passes of random pixels tell."""

    source: Source
    channels_last: bool
    """True for NHWC."""
    bands: int
    patch_px: int
    output_px: int
    """Side of the output for a patch."""
    channels: int
    """Channels of the output."""
    multiple: int | None
    """Sides of patches must be a multiple of it; None if only ``patch_px`` is taken."""
    activation: Fact[str]
    """That of the source, or a guess, and why."""


def probe(request: Request) -> Probed:
    """Read a source and run its network with several layouts, numbers of bands and sizes until one works.

    Raises:
        SettingsError: If the source cannot be read, or no forward pass gives a map of classes.
    """
    reasons: list[str] = []
    for source, channels_last in _layouts(request):
        forward = source.forward
        for bands in _numbers_of_bands(source):
            for side in _sides(source.facts):
                output = _try(forward, bands, side, reasons)
                if output is None:
                    continue
                taken = (one for one in MULTIPLES if _takes(forward, bands, side + one, output, side))
                known = source.facts.size_multiple
                multiple = next(taken, None) if known is None else known.value
                activation = source.facts.activation or guess_activation(output)
                channels, output_px = output.shape[1], output.shape[2]
                return Probed(source, channels_last, bands, side, output_px, channels, multiple, activation)
    raise SettingsError(
        f"{request.path}: no forward pass gives a map of classes, with {len(reasons)} shapes of the input tried. The "
        f"first answered: {reasons[0]}. Export a network that takes (batch, bands, height, width) and returns (batch, "
        "classes, height, width)."
    )


def _layouts(request: Request) -> Iterator[tuple[Source, bool]]:
    """The source as NCHW and as NHWC, unless it tells."""
    try:
        source = read_source(request)
    except SettingsError as error:
        if "which does not tell where the bands are" not in str(error):
            raise
        for last in (False, True):
            yield read_source(replace(request, channels_last=last)), last
        return
    last = source.onnx is not None and source.onnx.channels_last
    yield source, last
    if source.program is not None:
        yield replace(source, forward=_channels_last(source.forward)), True


def _channels_last(forward: Forward) -> Forward:
    return lambda pixels: forward(pixels.permute(0, 2, 3, 1).contiguous()).permute(0, 3, 1, 2)


def _numbers_of_bands(source: Source) -> tuple[int, ...]:
    if source.facts.band_count is not None:
        return (source.facts.band_count.value,)
    weights = [one for one in source.network.parameters() if one.ndim == 4] if source.network is not None else []
    first = (int(weights[0].shape[1]),) if weights else ()
    return tuple(dict.fromkeys((*first, *BANDS)))


def _sides(facts: Facts) -> tuple[int, ...]:
    if facts.patch_px is not None:
        return (facts.patch_px.value,)
    multiple = facts.size_multiple.value if facts.size_multiple is not None else 1
    return tuple(dict.fromkeys(max(1, side // multiple) * multiple for side in SIDES_PX))


def _try(forward: Forward, bands: int, side: int, reasons: list[str]) -> Tensor | None:
    """The output for random pixels, shape (1, K, h, w); None if it is no map, with the reason appended."""
    pixels = torch.randn((1, bands, side, side), generator=torch.Generator().manual_seed(0))
    try:
        output = forward(pixels)
    except Exception as error:  # noqa: BLE001  any error of a foreign network
        reasons.append(one_line(error))
        return None
    if not isinstance(output, Tensor) or output.ndim != 4:
        reasons.append(f"the output is {list(output.shape) if isinstance(output, Tensor) else type(output).__name__}")
        return None
    _, channels, height, width = output.shape
    if height != width or height > side or side % height or channels > 255:
        reasons.append(f"the output has the shape {list(output.shape)} for patches of {side} px")
        return None
    return output


def _takes(forward: Forward, bands: int, other: int, output: Tensor, side: int) -> bool:
    """Whether the network takes another size, and its output is then as large in proportion."""
    found = _try(forward, bands, other, [])
    return found is not None and found.shape[1] == output.shape[1] and found.shape[2] * side == output.shape[2] * other
