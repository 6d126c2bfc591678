"""Bring together what the source says, what the user gives and what a forward pass tells."""

from dataclasses import dataclass
from typing import Any

import torch
from pydantic import TypeAdapter

from geoseg.errors import SettingsError
from geoseg.importer.facts.facts import Fact, Facts
from geoseg.importer.sources.source import Source
from geoseg.model.bundle.bundle import DEFAULT_PATCH_PX, MAX_SIZE
from geoseg.model.bundle.scaling import Step
from geoseg.model.network import one_line

TOLERANCE = 0.01
"""Of probabilities and their sums."""
ASSUMED = "assumed"


@dataclass(frozen=True)
class Resolved:
    """All that a bundle needs."""

    facts: Facts
    output_px: int
    """Side of the output for a patch."""


def merge(source: Source, given: Facts) -> Facts:
    """The source's facts, overruled by those that the user gives.

    Raises:
        SettingsError: If the user gives other numbers of bands than the network has.
    """
    facts = source.facts.overruled_by(given)
    bands, count = facts.bands, facts.band_count
    if bands is not None and count is not None and len(bands.value) != count.value:
        raise SettingsError(
            f"{bands.origin} names {len(bands.value)} bands ({', '.join(bands.value)}), and the network takes "
            f"{count.value} ({count.origin}). Name the {count.value} bands with --bands, in the network's order."
        )
    if bands is not None and len(set(bands.value)) != len(bands.value):
        raise SettingsError(f"{bands.origin} names a band twice: {', '.join(bands.value)}. Name them with --bands.")
    if count is None and bands is not None:
        facts = facts.with_(band_count=Fact(len(bands.value), bands.origin))
    return facts


def resolve(source: Source, facts: Facts) -> Resolved:
    """Complete the facts by a forward pass of random pixels.

    Args:
        source: The network.
        facts: What is known, as of `merge`.

    Raises:
        SettingsError: If facts are missing, each named with its option, or contradict the network.
    """
    if facts.band_count is None:
        _require(source, facts)
    multiple = facts.size_multiple.value if facts.size_multiple is not None else 1
    patch = facts.patch_px or Fact(max(1, DEFAULT_PATCH_PX // multiple) * multiple, "default")
    if not 1 <= patch.value <= MAX_SIZE or patch.value % multiple:
        raise SettingsError(
            f"{patch.origin} asks for patches of {patch.value} px; they have 1 to {MAX_SIZE} px and are a multiple of "
            f"{multiple} for this network. Give --patch-px."
        )
    facts = facts.with_(patch_px=patch)
    output = _try(source, facts)
    channels, side = output.shape[1], output.shape[2]
    facts = facts.with_(
        class_count=Fact(channels, "forward pass"), activation=facts.activation or guess_activation(output)
    )
    _check_classes(facts, channels)
    _require(source, facts)
    _check_scaling(facts)
    return Resolved(facts, side)


def missing(facts: Facts) -> list[tuple[str, str]]:
    """Facts that must be given: option and what to write there."""
    bands = facts.band_count.value if facts.band_count is not None else None
    classes = facts.class_count.value if facts.class_count is not None else None
    problems = []
    if facts.bands is None:
        number = f"the {bands}" if bands is not None else "all"
        problems.append(("--bands", f"names of {number} bands in the network's order, such as red,green,blue,nir"))
    if facts.legend is None:
        number = {None: "all", 1: "the two"}.get(classes, f"the {classes}")
        other = " (the network gives one channel: name what is not there, then what is)" if classes == 1 else ""
        problems.append(
            ("--classes", f"names of {number} classes in the network's order, or a file; or --legend{other}")
        )
    if facts.scaling is None:
        problems.append(
            ("--scaling", "how pixels become what the network was trained on: /255, none, JSON; or --preset")
        )
    return problems


def _require(source: Source, facts: Facts) -> None:
    if problems := missing(facts):
        listed = "".join(f"\n  {option}  {text}" for option, text in problems)
        raise SettingsError(f"{source.kind}: the source does not say everything. Give:{listed}")


def _try(source: Source, facts: Facts) -> torch.Tensor:
    assert facts.band_count is not None  # noqa: S101  for the type checker
    assert facts.patch_px is not None  # noqa: S101
    side, bands = facts.patch_px.value, facts.band_count.value
    pixels = torch.randn((1, bands, side, side), generator=torch.Generator().manual_seed(0))
    try:
        output = source.forward(pixels)
    except Exception as error:  # any error of a foreign network
        raise SettingsError(
            f"The network fails on a patch of {bands} bands and {side} px ({facts.patch_px.origin}): {one_line(error)}"
            ". Give the size that it takes with --patch-px, or the right number of --bands."
        ) from error
    if not isinstance(output, torch.Tensor) or output.ndim != 4:
        kind = f"the shape {list(output.shape)}" if isinstance(output, torch.Tensor) else type(output).__name__
        raise SettingsError(
            f"The network returns {kind} for a patch; geoseg needs a map, (batch, classes, height, width). A network "
            "that labels whole pictures, or finds objects, gives none."
        )
    height, width = output.shape[2:]
    if height != width or height > side or side % height:
        raise SettingsError(
            f"The network returns maps of {height} x {width} px for patches of {side} px; geoseg needs the same size, "
            "or a whole fraction of it. Give another --patch-px, or pad inside the network."
        )
    if not torch.isfinite(output).all():
        raise SettingsError(
            "The network returns NaN or infinity for random pixels around 0. Import another checkpoint."
        )
    return output


def guess_activation(output: torch.Tensor) -> Fact[str]:
    """What is left to do, by the values for random pixels, shape (N, K, h, w)."""
    inside = bool(output.min() >= -TOLERANCE and output.max() <= 1 + TOLERANCE)
    if inside:
        return Fact("none", "forward pass: the values are probabilities")
    return Fact("sigmoid" if output.shape[1] == 1 else "softmax", f"{ASSUMED}: the values are logits")


def _check_classes(facts: Facts, channels: int) -> None:
    if facts.legend is None:
        return
    names = facts.legend.value.names
    if len(names) != channels and not (channels == 1 and len(names) == 2):
        more = " ..." if len(names) > 8 else ""
        wanted = "2 (not there, there)" if channels == 1 else channels
        raise SettingsError(
            f"{facts.legend.origin} names {len(names)} classes ({', '.join(names[:8])}{more}), "
            f"and the network has {channels} channels. Give {wanted} names with --classes."
        )


def _check_scaling(facts: Facts) -> None:
    assert facts.scaling is not None  # noqa: S101  for the type checker
    assert facts.bands is not None  # noqa: S101
    steps: list[Any] = TypeAdapter(list[Step]).validate_python(facts.scaling.value)
    for step in steps:
        try:
            step.check(len(facts.bands.value))
        except ValueError as error:
            raise SettingsError(
                f"{facts.scaling.origin}: {error} Give one number for each band with --scaling."
            ) from error
