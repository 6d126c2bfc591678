"""Types of the values of settings, with their limits and the messages for wrong values."""

import re
from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_core import PydanticCustomError

from geoseg.explain import DATES

MAX_TEXT = 100_000
"""Largest length of a text, much more than the longest WKT."""
MAX_BANDS = 65_535
"""Largest number of bands of a TIFF."""


def _split_commas(value: Any) -> Any:
    """Read ``3,2,1`` as ``[3, 2, 1]``, since shells interpret brackets. A single number is a list of one."""
    if isinstance(value, int) and not isinstance(value, bool):
        return [value]
    if not isinstance(value, str) or value == "auto":
        return value
    return [int(part) if re.fullmatch(r" *[0-9]{1,9} *", part) else part for part in value.split(",")]


def _split_numbers(value: Any) -> Any:
    """Read ``1,0.5`` as ``[1, 0.5]``. A single number is a list of one."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return [value]
    return value.split(",") if isinstance(value, str) else value


def _split_bbox(value: Any) -> Any:
    """Read ``1,2,3,4`` as four numbers; any other text is a file."""
    if not isinstance(value, str) or not re.fullmatch(r"[-+.,\deE\s]*,[-+.,\deE\s]*", value):
        return value
    try:
        west, south, east, north = (float(part) for part in value.split(","))
    except ValueError as error:
        raise ValueError("a file, or xmin,ymin,xmax,ymax") from error
    return west, south, east, north


def _split_words(value: Any) -> Any:
    """Read ``a,b`` as ``[a, b]``."""
    return [part.strip() for part in value.split(",")] if isinstance(value, str) else value


def _rasters(value: tuple[str, ...]) -> tuple[str, ...]:
    """Each once, in one order: the order of a list must not change a fingerprint."""
    if not {"confidence", "probabilities"} & {*value}:
        raise ValueError(
            "a list with confidence, from which geoseg validate computes that of the polygons, or with probabilities, "
            "whose maximum it is"
        )
    return tuple(sorted({*value}))


def _bounds(value: tuple[float, ...]) -> tuple[float, ...]:
    if len(value) != 4 or not (value[0] < value[2] and value[1] < value[3]):
        raise ValueError("a list of xmin, ymin, xmax, ymax that holds an area")
    return value


def _refuse_bool(value: Any) -> Any:
    """Refuse true and false, which pydantic would read as 1 and 0."""
    if isinstance(value, bool):
        raise PydanticCustomError("bool", "a number")
    return value


def _refuse_timestamp(value: Any) -> Any:
    """Refuse numbers such as 2026, which pydantic would read as seconds since 1970."""
    if isinstance(value, datetime | date) or (isinstance(value, str) and not re.fullmatch(r"[-+.\d\s]*", value)):
        return value
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\d", value):
        return value
    if value is None:
        return None
    raise ValueError(DATES)


def _to_utc(value: datetime | None) -> datetime | None:
    """A time without a zone is in UTC. A date is midnight."""
    if value is None or value.tzinfo is None:
        return value and value.replace(tzinfo=UTC)
    try:
        return value.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("a date of the years 1 to 9999 in UTC") from error


def _plain_text(value: str) -> str:
    if "\0" in value or len(value) > MAX_TEXT:
        raise ValueError(f"a text without zero bytes, of at most {MAX_TEXT} characters")
    return value


def _utf8(value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ValueError("a name in UTF-8: rename it") from error
    return value


def _sha256(value: str) -> str:
    if not re.fullmatch(r"[0-9A-Fa-f]{64}", value):
        raise ValueError("64 hexadecimal digits, as `geoseg models show` prints them")
    return value.lower()


def _crs(value: str) -> str:
    if not re.fullmatch(r"native|EPSG:[0-9]{1,9}", value):
        raise ValueError("native or EPSG:nnnn")
    return value


def _storage(value: str) -> str:
    if not value.strip() or value.startswith("/vsi") or ("://" in value and not value.startswith("s3://")):
        raise ValueError("a directory that every node sees, or s3://BUCKET/PREFIX")
    if "://" in value and re.search(r"[@?]", value):
        raise ValueError("free of credentials; give them in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
    return value


Auto = Literal["auto"]
Count = Annotated[int, Field(strict=True, ge=1)]
Whole = Annotated[int, Field(strict=True, ge=0)]
NO_BOOL = BeforeValidator(_refuse_bool)
Number = Annotated[float, NO_BOOL]
"""Any number; NaN and infinity too."""
Finite = Annotated[float, Field(allow_inf_nan=False)]
Seconds = Annotated[Finite, Field(ge=1, le=604_800.0), NO_BOOL]
Text = Annotated[str, AfterValidator(_plain_text)]
Name = Annotated[Text, AfterValidator(_utf8)]
Output = Annotated[Name, AfterValidator(_storage)]
Sha256 = Annotated[str, AfterValidator(_sha256)]
Crs = Annotated[str, AfterValidator(_crs)]
Time = Annotated[datetime | None, BeforeValidator(_refuse_timestamp), AfterValidator(_to_utc)]
Band = Annotated[Count, Field(le=MAX_BANDS)]
Bands = Annotated[
    Annotated[tuple[Band, ...], Field(min_length=1, max_length=MAX_BANDS)] | Auto, BeforeValidator(_split_commas)
]
Bounds = Annotated[tuple[Finite, ...], AfterValidator(_bounds), BeforeValidator(_split_numbers)]
"""xmin, ymin, xmax, ymax."""
Aoi = Annotated[
    Annotated[Text, Field(min_length=1)]
    | Annotated[tuple[Annotated[Finite, Field(ge=-1e12, le=1e12), NO_BOOL], ...], Field(min_length=4, max_length=4)],
    BeforeValidator(_split_bbox),
]
Scales = Annotated[
    Annotated[tuple[Annotated[Finite, Field(gt=0, le=8), NO_BOOL], ...], Field(min_length=1, max_length=16)],
    BeforeValidator(_split_numbers),
]
Rasters = Annotated[
    tuple[Literal["confidence", "probabilities", "margin", "entropy"], ...],
    AfterValidator(_rasters),
    BeforeValidator(_split_words),
]
Values = Annotated[
    Annotated[tuple[Annotated[Finite, NO_BOOL], ...], Field(max_length=256)], BeforeValidator(_split_numbers)
]
Bits = Annotated[
    Annotated[tuple[Annotated[Whole, Field(le=63)], ...], Field(max_length=64)], BeforeValidator(_split_commas)
]
Nodata = Number | Annotated[tuple[Number | None, ...], Field(min_length=1, max_length=MAX_BANDS)]
