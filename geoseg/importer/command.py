"""`geoseg models import`: read a source, ask for what is missing, write a bundle, compare it with the original."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import TypeAdapter
from rich.console import Console
from rich.markup import escape

from geoseg.config import SceneSettings
from geoseg.importer.compare import check, compare
from geoseg.importer.facts.facts import Fact, Facts
from geoseg.importer.facts.given import Given, given_facts
from geoseg.importer.forms import Format
from geoseg.importer.resolve import merge, resolve
from geoseg.importer.sources.recognise import read_source
from geoseg.importer.sources.source import Request, Source
from geoseg.importer.write_bundle import staged_bundle
from geoseg.model.bundle.scaling import Step
from geoseg.model.bundle.show import describe_step
from geoseg.model.bundle.trust import read_trusted_bundle
from geoseg.model.bundle.value_checks import warn_unscaled
from geoseg.model.inference import Inference
from geoseg.model.load import start_predictor

MAX_LISTED = 12


class Sample(NamedTuple):
    """A raster to compare on."""

    scene: Path | None
    """None if there is none."""
    bands: Any = "auto"
    """Its bands, as of the setting ``scene.bands``."""


def import_model(
    request: Request, given: Given, output: Path, form: Format, sample: Sample, console: Console, *, overwrite: bool
) -> None:
    """Import a network and print what was found, given and compared.

    Args:
        request: What to import.
        given: Facts of the command line.
        output: The bundle to write.
        form: How the network is kept.
        sample: Real pixels to compare on.
        console: Where the screen goes.
        overwrite: Permission to replace a bundle.

    Raises:
        SettingsError: If the source cannot be read, facts are missing or contradict it, or the bundle cannot be written
            or gives other classes than the original.
        SceneError: If the scene cannot be read.
    """
    own = given_facts(given)
    source = read_source(request)
    facts = merge(source, own)
    for line in _screen(source, facts):
        console.print(line)
    resolved = resolve(source, facts)
    console.print(_forward_line(resolved.facts, resolved.output_px))
    for note in source.notes:
        console.print(f"[yellow]note:[/yellow] {escape(note)}")
    with staged_bundle(source, resolved, output, form, request.path, overwrite=overwrite) as staged:
        bundle = read_trusted_bundle(staged, trust_code=request.trust_code or form == "pt2")
        agreements = compare(source.forward, bundle, sample.scene, SceneSettings(bands=sample.bands))
        for one in agreements:
            console.print(
                f"compared with the original on {escape(one.pixels)}: {one.same:.3%} of the classes are the same, "
                f"probabilities differ by at most {one.difference:.2g}"
            )
        check(agreements, output)
        predictor = start_predictor(bundle, Inference("cpu", bundle.patch_px))
    for warning in (*warn_unscaled(bundle.name, bundle.file.scaling), *predictor.task.warnings):
        console.print(f"[yellow]warning:[/yellow] {escape(warning)}")
    console.print(f"{escape(str(output))}: {bundle.file.artifact}, {len(bundle.legend)} classes, {bundle.patch_px} px")
    console.print(f"next: geoseg segment SCENE.tif --model {escape(str(output))} --output results")


def _screen(source: Source, facts: Facts) -> Iterator[str]:
    """What is known and where it comes from."""
    yield f"source      {escape(source.kind)}"
    for heading, fact, text in _rows(facts):
        yield f"{heading:<11} {escape(text)} [dim]({escape(fact.origin)})[/dim]"
    if source.left_out:
        names = ", ".join(source.left_out[:3]) + (" ..." if len(source.left_out) > 3 else "")
        yield f"left out    {len(source.left_out)} weights of the training: {escape(names)}"


def _rows(facts: Facts) -> Iterator[tuple[str, Fact[Any], str]]:
    if facts.architecture is not None:
        yield "network", facts.architecture, facts.architecture.value
    if facts.bands is not None:
        yield "bands", facts.bands, ", ".join(facts.bands.value)
    elif facts.band_count is not None:
        yield "bands", facts.band_count, f"{facts.band_count.value}, without names"
    if facts.legend is not None:
        names = facts.legend.value.names
        more = f" ... ({len(names)})" if len(names) > MAX_LISTED else ""
        yield "classes", facts.legend, ", ".join(names[:MAX_LISTED]) + more
    elif facts.class_count is not None:
        yield "classes", facts.class_count, f"{facts.class_count.value}, without names"
    if facts.scaling is not None:
        steps: list[Step] = TypeAdapter(list[Step]).validate_python(facts.scaling.value)
        yield "scaling", facts.scaling, ", then ".join(map(describe_step, steps))
    for heading, fact in (
        ("activation", facts.activation),
        ("patch", facts.patch_px),
        ("overlap", facts.overlap_px),
        ("multiple", facts.size_multiple),
        ("pixels", facts.pixel_m),
        ("licence", facts.license),
        ("citation", facts.citation),
    ):
        if fact is not None:
            unit = {"patch": " px", "overlap": " px", "multiple": " px", "pixels": " m"}.get(heading, "")
            yield heading, fact, f"{fact.value}{unit}"


def _forward_line(facts: Facts, output_px: int) -> str:
    assert facts.patch_px is not None and facts.class_count is not None and facts.activation is not None  # noqa: S101, PT018
    smaller = f", maps of {output_px} px" if output_px != facts.patch_px.value else ""
    return (
        f"forward pass: {facts.class_count.value} channels for patches of {facts.patch_px.value} px{smaller}; "
        f"activation {facts.activation.value} ({facts.activation.origin})"
    )
