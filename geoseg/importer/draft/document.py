"""The text of a drafted ``model.json``: JSON with comments before each key."""

import json
import textwrap
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from itertools import cycle
from typing import Any

import yaml

from geoseg import __version__
from geoseg.importer.draft.probe import Probed
from geoseg.importer.facts.legends import COLORS
from geoseg.importer.write_bundle import tensor_shape
from geoseg.model.bundle.files import COMMENT
from geoseg.model.bundle.gaps import FILL_IN

WIDTH = 110
SCALINGS = (
    'reflectance 0..1, files hold 0..10000: [{"type": "divide", "value": 10000}]',
    'bytes: [{"type": "divide", "value": 255}]',
    'z-scores of the training set: [{"type": "z-score", "mean": [483.0, 728.2], "stddev": [210.7, 249.2]}]',
)
"""Examples, one line each."""
HEAD = f"""\
A draft. Replace each {FILL_IN}, and look at what is marked GUESSED. Then try it on real pixels:
geoseg models check FOLDER --scene SCENE.tif
Lines that begin with {COMMENT} are comments. Without them this is plain JSON, with the names of the STAC MLM extension.
configs/BUNDLE.md explains all keys, and those that are not here."""


def draft(probed: Probed, kept: Mapping[str, Any], name: str, lineage: Mapping[str, str]) -> str:
    """The text of the draft.

    Args:
        probed: The network.
        kept: Keys that depend on the artifact.
        name: Name of the model, if the source has none.
        lineage: Further keys, without an explanation.
    """
    return "\n".join(("{", *_indent(_body(probed, kept, name, lineage), 2), "}", ""))


def _body(probed: Probed, kept: Mapping[str, Any], name: str, lineage: Mapping[str, str]) -> Iterator[str]:
    facts = probed.source.facts
    yield from (f"{COMMENT} {line}" for line in HEAD.splitlines())
    yield from _entry("mlm:name", facts.name.value if facts.name is not None else name)
    own = facts.architecture.value if facts.architecture is not None else "unknown"
    yield from _entry("mlm:architecture", kept.get("mlm:architecture", own))
    yield from _nested("mlm:input", _input(probed))
    yield from _nested("mlm:output", _output(probed))
    yield from _entry("geoseg:artifact", kept["geoseg:artifact"])
    if "geoseg:arguments" in kept:
        yield from _entry("geoseg:arguments", kept["geoseg:arguments"])
    if facts.scaling is not None:
        yield from _entry("geoseg:scaling", facts.scaling.value, f"From {facts.scaling.origin}.")
    else:
        yield from _entry("geoseg:scaling", [FILL_IN], f"{FILL_IN}, for example for", *SCALINGS)
    yield from _entry("geoseg:nodata_fill", 0)
    if facts.size_multiple is not None:
        found = f"From {facts.size_multiple.origin}."
    elif probed.multiple is None:
        found = f"GUESSED: of several sizes in forward passes only {probed.patch_px} px was taken."
    else:
        sizes = f"{probed.patch_px} px and {probed.patch_px + probed.multiple} px"
        found = f"GUESSED: in forward passes {sizes} were taken."
    yield from _entry("geoseg:size_multiple", probed.multiple or probed.patch_px, found)
    overlap = facts.overlap_px.value if facts.overlap_px is not None else probed.patch_px // 4
    yield from _entry("geoseg:overlap_px", overlap)
    yield from _optional("gsd", facts.pixel_m.value if facts.pixel_m is not None else None, 10, "In metres.")
    origin = probed.activation.origin
    why = f"From {origin}." if facts.activation is not None else f"GUESSED: in a forward pass {origin.split(': ')[-1]}."
    yield from _entry("geoseg:activation", probed.activation.value, why)
    yield ""
    described = {"license": facts.license, "sci:citation": facts.citation}
    known = {key: fact.value for key, fact in described.items() if fact is not None}
    rest = {**known, "processing:lineage": f"drafted by geoseg {__version__} from {lineage['from']}"}
    rest["processing:source_sha256"] = lineage["sha256"]
    pairs = [f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in rest.items()]
    yield from (f"{pair}," for pair in pairs[:-1])
    yield pairs[-1]


def _input(probed: Probed) -> Iterator[str]:
    facts = probed.source.facts
    if facts.bands is not None:
        yield from _entry("bands", list(facts.bands.value), f"From {facts.bands.origin}.", first=True)
    else:
        note = (
            f"{FILL_IN}: {probed.bands} names, such as red, green, blue, nir. Found by a forward pass: {probed.bands}."
        )
        yield from _entry("bands", [FILL_IN] * probed.bands, note, first=True)
    yield from _entry("input", tensor_shape(probed.bands, "bands", probed.patch_px, probed.channels_last), last=True)


def _output(probed: Probed) -> Iterator[str]:
    source = probed.source
    named = source.onnx.output if source.onnx is not None else None
    if named is not None:
        yield from _entry("name", named, first=True)
    result = tensor_shape(probed.channels, "classes", probed.output_px, probed.channels_last)
    found = (
        f"Found by a forward pass: {probed.channels} channels, {probed.output_px} px for a patch of {probed.patch_px}."
    )
    yield from _entry("result", result, found, first=named is None)
    legend = source.facts.legend
    if legend is not None:
        entries = [(one.name, bytes(one.color).hex().upper()) for one in legend.value.classes]
        note = f"Names from {legend.origin}."
    else:
        count = 2 if probed.channels == 1 else probed.channels
        entries = [(FILL_IN, color) for color, _ in zip(cycle(COLORS), range(count), strict=False)]
        note = f"{FILL_IN} the names; the colours are to be changed as you like."
        if probed.channels == 1:
            note += " First what a pixel is where the network's one channel is low, then where it is high."
    yield from _comment(_meanings()["classification:classes"], blank=True)
    yield from _comment(note)
    yield '"classification:classes": ['
    rows = [json.dumps({"value": index, "name": name, "color_hint": color}, ensure_ascii=False)
            for index, (name, color) in enumerate(entries)]  # fmt: skip
    yield from _indent([*(f"{row}," for row in rows[:-1]), rows[-1]], 2)
    yield "]"


def _entry(key: str, value: Any, *notes: str, first: bool = False, last: bool = False) -> Iterator[str]:
    """A key with its meaning, notes and value."""
    yield from _comment(_meanings()[key], blank=not first)
    for note in notes:
        yield from _comment(note)
    yield f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}{'' if last else ','}"


def _optional(key: str, value: Any, example: Any, note: str) -> Iterator[str]:
    """A key that may be absent: as a comment if nothing is known."""
    if value is not None:
        yield from _entry(key, value, note)
        return
    yield from _comment(_meanings()[key], blank=True)
    yield from _comment(f"{note} If you know it, remove the {COMMENT} before it:")
    yield f"{COMMENT} {json.dumps(key)}: {json.dumps(example)},"


def _nested(key: str, lines: Iterator[str]) -> Iterator[str]:
    yield ""
    yield f"{json.dumps(key)}: ["
    yield from _indent(("{", *_indent(lines, 2), "}"), 2)
    yield "],"


def _comment(text: str, *, blank: bool = False) -> Iterator[str]:
    if blank:
        yield ""
    for line in textwrap.wrap(text, WIDTH, break_long_words=False, break_on_hyphens=False):
        yield f"{COMMENT} {line}"


def _indent(lines: Any, by: int) -> Iterator[str]:
    return (" " * by + line if line else "" for line in lines)


@cache
def _meanings() -> Mapping[str, str]:
    return dict(yaml.safe_load(files("geoseg.importer.draft").joinpath("meanings.yaml").read_text("utf-8")))
