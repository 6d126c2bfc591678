"""Serialize frozen values of arrays as safetensors: without code, and with equal bytes for equal values."""

import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np
from safetensors.numpy import load, save

T = TypeVar("T")


def pack(value: Any) -> bytes:
    """Serialize a dataclass whose fields are arrays, integers, None or such dataclasses."""
    return bytes(save(dict(_flatten(value, ""))))


def unpack(kind: type[T], data: bytes) -> T:
    """Deserialize bytes of `pack`; the arrays are read-only.

    Raises:
        KeyError: If the bytes hold another kind of value.
    """
    value: T = _build(kind, "", load(data))
    return value


@dataclass(frozen=True, slots=True)
class PackedFiles(Sequence[T]):
    """A sequence of packed values, one file each, read on access; an index is a number."""

    read: Callable[[bytes], T]
    """Deserializes the content of a file."""
    files: Sequence[Path]

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, at: Any) -> Any:
        return self.read(self.files[at].read_bytes())


def _flatten(value: Any, name: str) -> Iterator[tuple[str, np.ndarray]]:
    if is_dataclass(value):
        for field in fields(value):
            yield from _flatten(getattr(value, field.name), f"{name}.{field.name}")
    elif value is not None:
        yield name, np.ascontiguousarray(value)


def _build(kind: Any, name: str, arrays: Mapping[str, np.ndarray]) -> Any:
    if get_origin(kind) in (Union, types.UnionType):
        if not any(key == name or key.startswith(f"{name}.") for key in arrays):
            return None
        kind = next(choice for choice in get_args(kind) if choice is not types.NoneType)
    if isinstance(kind, type) and is_dataclass(kind):
        return kind(*(_build(hint, f"{name}.{field}", arrays) for field, hint in _field_types(kind).items()))
    return int(arrays[name].item()) if kind is int else arrays[name]


@cache
def _field_types(kind: Any) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind)}
