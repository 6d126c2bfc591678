"""Runs of the fuzzer on a sound scene with wrong settings, in the file and after ``--set``."""

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from geoseg.config import Settings
from geoseg.explain import key_schemas
from tests.support.fuzz_case import Case
from tests.support.fuzz_files import Base

SCENES = ("nodata", "tiled none uint8")
SCHEMAS = key_schemas(Settings.model_json_schema())
KEYS = tuple(SCHEMAS)
NUMBERS = (
    *("0", "1", "2", "3", "8", "16", "32", "-1", "0.5", "-0.0", "1e3", "1.0e+300", "1e-320", "-9999", "255", "65536"),
    *("4294967296", "9223372036854775808", "99999999", "9" * 400, "9" * 5000, ".nan", ".inf", "-.inf", "0x10", "010"),
    *("1_000", "1:30", "1e400", "\u0663"),
)
DATES = (
    *("2026-06-21", "'2026-06-21'", "2026-06-21T10:30:00Z", "2026-06-21 10:30:00", "2026-02-30", "0001-01-01"),
    *("9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00", "2026-06-21T10:30:00.123456789Z", "noon", "'2026'"),
)
TEXTS = (
    *(
        "",
        "''",
        "auto",
        "all",
        "any",
        "native",
        "inline",
        "null",
        "~",
        "true",
        "yes",
        "off",
        "EPSG:4326",
        "EPSG:0",
        "EPSG:3857",
    ),
    *(
        "EPSG:999999999",
        "EPSG:\u0663",
        "class0",
        "'class0'",
        "nowhere",
        "a b",
        "\u00e9\u4e2d",
        "'\\0'",
        '"\\0"',
        "\udcff",
        "a\udcffb",
    ),
    *(
        "x" * 5000,
        "'" + "x" * 200_000 + "'",
        "[[",
        "{",
        "}",
        "a: b: c",
        "- a",
        "*x",
        "&x 1",
        "&x [*x]",
        "!!bool x",
        "!!int ''",
    ),
    *(
        "!!timestamp x",
        "!!binary x",
        "!!set {a}",
        "!!python/object:os.system x",
        "!x y",
        "%",
        "@",
        "`",
        "? [a] : b",
        "<<: 3",
        "#",
    ),
)
NESTED = (
    *("[]", "{}", "[1]", "[1, 1]", "[1, [2]]", "[null]", "[auto]", "[class0, class1]", "[class0, class0]", "{a: 1}"),
    *("{1: 2}", "{null: 1}", "{2026-06-21: 1}", "{patch_px: 32}", "{patch_px: 32, patch_px: 64}", "[" * 60 + "]" * 60),
    *("[" * 5000, "{a: " * 300 + "1" + "}" * 300, "[&a [1], *a, *a]", "[" + "1, " * 4000 + "1]", "{<<: {a: 1}}"),
)  # fmt: skip
UNKNOWN = (
    "patchpx",
    "tiling.patch",
    "tiling.patch_px.deep",
    "scene.Bands",
    "x" * 300,
    "",
    ".",
    "run..workers",
    "0",
    "a.b.c.d",
)
WRONG_BYTES = (b"\xff\xfe", b"\xef\xbb\xbf", b"\0", b"\x85", b"\r\n\t- ", "a\u0301: 1\n".encode("utf-16"))


def settings_case(bases: Sequence[Base], random: Random, seed: str) -> Case:
    """A run with one to three settings mutated: type, size, date, nesting, unknown key, bytes that are not UTF-8."""
    base = random.choice([base for base in bases if base.name in SCENES])
    assignments, lines, kinds, wrong = [], [], [], []
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        known = random.random() < 0.85
        key = random.choice(KEYS if known else UNKNOWN)
        kinds_here = [("number", NUMBERS), ("date", DATES), ("text", TEXTS), ("nesting", NESTED)]
        if known:
            kinds_here += [("limits", limits(SCHEMAS[key]))] * 4
        kind, values = random.choice(kinds_here)
        value = random.choice(values)
        kinds.append(kind if known else "unknown key")
        wrong += [] if known else [key]
        if random.random() < 0.6:
            assignments.append(f"{key}={value}")
        else:
            lines.append(_in_yaml(key, value))
    content = base.files["config.yaml"] if not lines else b"\n".join(lines)
    if random.random() < 0.1:
        place = random.randrange(len(content) + 1)
        content, kinds = content[:place] + random.choice(WRONG_BYTES) + content[place:], [*kinds, "bytes"]
        wrong = []  # it may stand in a comment, or make one
    files: dict[str, Any] = {**base.files, "config.yaml": content}
    return Case(
        seed, base.name, "settings", f"settings: {kinds[0]}", base.scene, files, tuple(assignments), tuple(wrong)
    )


def limits(schema: Mapping[str, Any]) -> list[str]:
    """Values that a schema lets pass, at their limits."""
    if "anyOf" in schema:
        return [value for part in schema["anyOf"] for value in limits(part)]
    if words := schema.get("enum", [schema["const"]] if "const" in schema else []):
        return list(map(str, words))
    if schema.get("type") == "array":
        return [f"[{value}]" for value in limits(schema["items"])]
    if schema.get("type") in ("integer", "number"):
        least = schema.get("minimum", schema.get("exclusiveMinimum", -(10**9)))
        most = schema.get("maximum", 10**9)
        more = ("0.001", "1e-300", "0.5") if schema["type"] == "number" else ()
        return [f"{int(number)}" for number in (least, least + 1, least + 6, most, most - 1)] + list(more)
    words = {"boolean": ["true", "false"], "null": ["null"], "string": ["EPSG:4326", "class1", "2026-06-21", "'x'"]}
    return words.get(schema.get("type", ""), ["{}"])


def _in_yaml(key: str, value: str) -> bytes:
    """A line of a file, in which a dotted key is a section."""
    parts = key.split(".")
    opened = "".join(f"{{{part}: " for part in parts[1:])
    return f"{parts[0]}: {opened}{value}{'}' * (len(parts) - 1)}".encode("utf-8", "surrogateescape")
