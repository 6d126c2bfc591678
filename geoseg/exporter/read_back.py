"""Load an exported file as other programs do, and compare it with the bundle that it was made of."""

import math
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import onnxruntime
import torch
import yaml
from torch import Tensor

from geoseg.errors import SettingsError
from geoseg.exporter.affine import as_affine
from geoseg.exporter.deepness import prepare
from geoseg.exporter.mlm_metadata import KEY, TRANSFORMS
from geoseg.exporter.write_pt2 import MODEL
from geoseg.importer.compare import LEAST_SAME, Agreement
from geoseg.model.bundle.bundle import Bundle
from geoseg.model.network import load_network, load_programs, one_line
from geoseg.model.patchwork.scores import activate, enlarge
from geoseg.model.scale import scale_pixels

MOST_DIFFERENT = 1 / 255
"""Largest accepted difference of a probability: one step of a confidence raster."""
HIGHEST = (1.0, 255.0, 10_000.0, 65_535.0)
"""Usual ranges of pixels begin at 0 and end here; that with the usual spread after scaling is taken."""
RANDOM_PATCHES = 3
"""More than the network was traced with, so that a batch size that is not free is found."""
SILENT = 4
Run = Callable[[Tensor], Tensor]
"""Raw pixels, float32 of shape (N, C, P, P), to probabilities."""


def compare(bundle: Bundle, file: Path, batch: int | None) -> list[Agreement]:
    """Run the bundle's own network and the exported file on the same raw pixels.

    Args:
        bundle: The bundle, trusted if its artifact needs it.
        file: The exported file, ``.onnx`` or ``.pt2``.
        batch: The only batch size that the bundle's network accepts, or None.

    Raises:
        SettingsError: If either cannot be loaded or run.
    """
    own = _own(bundle)
    try:
        exported = (_onnx if file.suffix == ".onnx" else _pt2)(file, len(bundle.legend))
        agreements = []
        for name, pixels in _samples(bundle):
            expected, found = (_in_batches(run, pixels, batch) for run in (own, exported))
            if not torch.isfinite(expected).all():
                continue  # pixels that the bundle's scaling has no value for
            same = float((expected.argmax(1) == found.argmax(1)).float().mean())
            agreements.append(Agreement(name, same, float((expected - found).abs().max())))
    except SettingsError:
        raise
    except Exception as error:  # any error of onnxruntime, torch or the network
        raise SettingsError(
            f"The exported file does not run: {one_line(error)}. Nothing was kept. Give another --to."
        ) from error
    return agreements


def check(agreements: Sequence[Agreement], output: Path) -> None:
    """Raise SettingsError if classes or probabilities differ, or nothing was compared; NaN differs from everything."""
    for one in agreements:
        if not (one.same >= LEAST_SAME and one.difference <= MOST_DIFFERENT):
            raise SettingsError(
                f"{output} was not kept, because it is not the bundle's network: on {one.pixels} {one.same:.2%} of the "
                f"classes are the same (at least {LEAST_SAME:.1%} are needed), and probabilities differ by up to "
                f"{one.difference:.2g} (at most {MOST_DIFFERENT:.2g}). Give another --to."
            )
    if not agreements:
        raise SettingsError(
            f"{output} was not kept: the bundle's network returns NaN or infinity for all pixels it was compared on. "
            "geoseg models check tells more."
        )


def _own(bundle: Bundle) -> Run:
    network = load_network(bundle, torch.device("cpu"), torch.get_num_threads())

    def run(pixels: Tensor) -> Tensor:
        output = enlarge(network(scale_pixels(pixels, bundle.file.scaling)), bundle.patch_px)
        return activate(output, bundle.file.activation, len(bundle.legend))

    return run


def _onnx(file: Path, classes: int) -> Run:  # noqa: ARG001  of the form of `_pt2`
    options = onnxruntime.SessionOptions()
    options.log_severity_level = SILENT
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    properties, name = session.get_modelmeta().custom_metadata_map, session.get_inputs()[0].name

    def run(pixels: Tensor) -> Tensor:
        (output,) = session.run(None, {name: prepare(pixels.numpy(), properties)})
        return torch.from_numpy(output)

    return run


def _pt2(file: Path, classes: int) -> Run:
    programs = load_programs(file.read_bytes())
    scale, network = programs[TRANSFORMS], programs[MODEL]
    with zipfile.ZipFile(file) as archive:
        (member,) = [name for name in archive.namelist() if name.endswith(f"extra/{KEY}")]
        activation = yaml.safe_load(archive.read(member))["properties"]["geoseg:activation"]

    def run(pixels: Tensor) -> Tensor:
        with torch.no_grad():
            return activate(network(scale(pixels)), activation, classes)

    return run


def _in_batches(run: Run, pixels: Tensor, batch: int | None) -> Tensor:
    if batch is None:
        return run(pixels)
    return torch.cat([run(one.expand(batch, -1, -1, -1).contiguous())[:1] for one in pixels])


def _samples(bundle: Bundle) -> Iterator[tuple[str, Tensor]]:
    """Raw pixels as the network was trained on, and their limits: black, white, an edge of both."""
    steps, bands, side = bundle.file.scaling, len(bundle.bands), bundle.patch_px
    generator = torch.Generator().manual_seed(3)
    shape = RANDOM_PATCHES, bands, side, side
    if (affine := as_affine(steps, bands)) is not None:
        scale, offset = (torch.from_numpy(one).float()[:, None, None] for one in affine)
        pixels = (torch.randn(shape, generator=generator) - offset) / scale
    else:
        random = torch.rand(shape, generator=generator)
        pixels = random * min(HIGHEST, key=lambda highest: _distance(scale_pixels(highest * random, steps)))
    yield "random pixels", pixels
    black, white = torch.zeros(shape[1:]), torch.full(shape[1:], float(pixels.max()))
    edge = black.clone()
    edge[:, :, side // 2 :] = white[:, :, side // 2 :]
    yield "black, white and an edge", torch.stack([black, white, edge])


def _distance(scaled: Tensor) -> float:
    """How far the spread of scaled pixels is from 1, as a logarithm."""
    spread = float(scaled.std())
    return abs(math.log(spread)) if 0 < spread < math.inf else math.inf
