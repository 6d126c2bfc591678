"""Facts from the properties of the STAC MLM extension (https://github.com/stac-extensions/mlm)."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter, ValidationError

from geoseg.errors import SettingsError
from geoseg.grid.legend import Legend
from geoseg.importer.facts.facts import Fact, Facts
from geoseg.importer.facts.legends import make_legend
from geoseg.model.bundle.scaling import Step
from geoseg.model.bundle.value_scaling import translate

NOT_SCALED = [{"type": "affine"}]
CLASSES = ("classification:classes", "classification_classes")
"""Names of the list of classes: that of the extension, and that of Items which stac-model wrote before 0.4."""


def mlm_facts(document: Mapping[str, Any], said_by: str, scaling_given: bool) -> Facts:
    """Facts of an Item, of its properties, or of the metadata in an archive of torch.export.

    Sizes are not taken: Items often state those of the first kernel. A forward pass tells them.

    Args:
        document: The keys, with or without the prefix ``mlm:``; what `geoseg models export` adds, with ``geoseg:``.
        said_by: The file, for messages.
        scaling_given: Whether the user gives the scaling, so that it may be in words that geoseg does not have.

    Raises:
        SettingsError: If the input is described in a way that geoseg cannot follow.
    """
    properties = document.get("properties") if isinstance(document.get("properties"), Mapping) else document
    found = {str(key).removeprefix("mlm:"): value for key, value in properties.items()}  # type: ignore[union-attr]
    taken, given = _only(found.get("input"), "mlm:input", said_by), _only(found.get("output"), "mlm:output", said_by)
    facts: dict[str, Any] = {**_described(found, document, said_by), **_own(found, said_by)}
    bands = [_band(one, said_by) for one in taken.get("bands") or ()]
    if bands:
        facts["bands"] = Fact(_dated(bands), said_by)
    if not scaling_given and "scaling" not in facts and (steps := _scaling(taken, len(bands), said_by)) is not None:
        facts["scaling"] = Fact(steps, f"{said_by} (value_scaling)")
    classes = next((given[key] for key in CLASSES if given.get(key)), None)
    if (legend := _legend(classes, said_by)) is not None:
        facts["legend"] = Fact(legend, said_by)
    return Facts(**facts)


def _described(found: Mapping[str, Any], document: Mapping[str, Any], said_by: str) -> dict[str, Any]:
    """Facts that change no pixel."""
    facts: dict[str, Any] = {}
    for name in ("name", "architecture"):
        if isinstance(found.get(name), str) and found[name]:
            facts[name] = Fact(found[name], said_by)
    if isinstance(license_ := found.get("license"), str):
        facts["license"] = Fact(license_, said_by)
    if isinstance(pixel_m := found.get("gsd", found.get("raster:spatial_resolution")), int | float) and pixel_m > 0:
        facts["pixel_m"] = Fact(float(pixel_m), said_by)
    citation = next(iter(_citations(document.get("links"))), found.get("sci:citation"))
    if isinstance(citation, str):
        facts["citation"] = Fact(citation, said_by)
    return facts


def _own(found: Mapping[str, Any], said_by: str) -> dict[str, Any]:
    """Facts that `geoseg models export` writes."""
    facts: dict[str, Any] = {}
    if (steps := found.get("geoseg:scaling")) is not None:
        facts["scaling"] = Fact(_checked(steps, said_by), said_by)
    if (activation := found.get("geoseg:activation")) in ("softmax", "sigmoid", "none"):
        facts["activation"] = Fact(activation, said_by)
    if type(overlap_px := found.get("geoseg:overlap_px")) is int and overlap_px >= 0:
        facts["overlap_px"] = Fact(overlap_px, said_by)
    return facts


def _checked(steps: Any, said_by: str) -> list[dict[str, Any]]:
    try:
        return [step.model_dump() for step in TypeAdapter(list[Step]).validate_python(steps)]
    except ValidationError as error:
        raise SettingsError(
            f"{said_by} has a geoseg:scaling that is none: {error.errors()[0]['msg']}. Give the scaling as --scaling."
        ) from error


def _citations(links: Any) -> list[str]:
    listed = [link for link in links if isinstance(link, Mapping)] if isinstance(links, Sequence) else []
    return [str(link["href"]) for link in listed if link.get("rel") == "cite-as" and link.get("href")]


def _legend(classes: Any, said_by: str) -> Legend | None:
    if not isinstance(classes, Sequence) or not classes or not all(isinstance(one, Mapping) for one in classes):
        return None
    ordered = sorted(classes, key=lambda one: int(one.get("value", 0)))
    names = [str(one.get("name") or one.get("title") or one.get("value")) for one in ordered]
    hints = [_hint(one.get("color_hint") or one.get("color-hint")) for one in ordered]
    return make_legend(names, said_by, {name: hint for name, hint in zip(names, hints, strict=True) if hint})


def _hint(color: Any) -> str:
    """``RRGGBB``; some Items have a list of three numbers."""
    if isinstance(color, list) and len(color) == 3 and all(type(one) is int and 0 <= one <= 255 for one in color):
        return bytes(color).hex()
    return str(color or "")


def _band(band: Any, said_by: str) -> str:
    if not isinstance(band, Mapping):
        return str(band)
    if expression := band.get("expression"):
        raise SettingsError(
            f"{said_by} computes the band {band.get('name')} as {expression}, and geoseg computes no bands. Put it "
            "into the scenes as a band, and remove the expression."
        )
    return str(band.get("name"))


def _only(entries: Any, key: str, said_by: str) -> Mapping[str, Any]:
    if not isinstance(entries, Sequence) or len(entries) != 1 or not isinstance(entries[0], Mapping):
        count = len(entries) if isinstance(entries, Sequence) else "no list of"
        raise SettingsError(f"{said_by} has {count} entries in {key}, and geoseg takes one. Export a network with one.")
    return entries[0]


def _dated(bands: Sequence[str]) -> tuple[str, ...]:
    """Names that stand several times get the number of their date: B4, B4@2."""
    return tuple(
        name if (date := list(bands[: index + 1]).count(name)) == 1 else f"{name}@{date}"
        for index, name in enumerate(bands)
    )


def _scaling(taken: Mapping[str, Any], bands: int, said_by: str) -> list[dict[str, Any]] | None:
    remedy = "Give the scaling as --scaling"
    if function := taken.get("pre_processing_function"):
        raise SettingsError(
            f"{said_by} scales by a pre_processing_function, {function}, which geoseg does not run. {remedy}."
        )
    objects = taken.get("value_scaling")
    if not objects:
        return None
    try:
        return translate(objects, max(bands, 1)) or NOT_SCALED
    except ValueError as error:
        raise SettingsError(f"{said_by}: {error} {remedy}.") from error
