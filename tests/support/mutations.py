"""Damage to a file's bytes: pure functions of the bytes and a random generator, none of which changes its input."""

import gzip
import re
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from random import Random

Mutation = Callable[[bytes, Random], bytes]

HEADER_BYTES = 64
ODD_NUMBERS = (0, 1, 2, 3, 7, 255, 256, 65_535, 65_536, 2**24, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1)
ODD_TEXTS = (
    b"-1",
    b"0.5",
    b"1e308",
    b"nan",
    b"inf",
    b"",
    b"EPSG:0",
    b"\xff\xfe",
    b"a" * 5000,
    b"../../etc",
    b"[[",
    b"null",
)
HTML = b"<!DOCTYPE html>\n<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>\n"
TILE_OFFSETS, TILE_COUNTS = (273, 324), (279, 325)
SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
"""Bytes of a value of each TIFF type."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a TIFF directory."""

    tag: int
    at: int
    """Where the entry itself lies: tag, type, count, value or its place."""
    size: int
    """Bytes of a value."""
    count: int
    values_at: int
    """Where the values lie: in the entry, or elsewhere in the file."""
    order: str
    """``<`` or ``>`` of `struct`."""

    def values(self, data: bytes) -> list[int]:
        """The values as unsigned integers; those beyond the file are left out."""
        code = {1: "B", 2: "H", 4: "I", 8: "Q"}[self.size]
        stop = min(self.count, (len(data) - self.values_at) // self.size)
        return list(struct.unpack_from(f"{self.order}{stop}{code}", data, self.values_at))

    def put(self, data: bytes, place: int, value: int) -> bytes:
        """The bytes with another value, cut to the type's width."""
        raw = (value % 256**self.size).to_bytes(self.size, "little" if self.order == "<" else "big")
        return replaced(data, self.values_at + place * self.size, raw)


def tiff_entries(data: bytes) -> Iterator[Entry]:
    """All entries of all directories of a sound TIFF or BigTIFF; nothing for other files."""
    if data[:4] not in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return
    order, big = "<" if data[:2] == b"II" else ">", b"+" in data[:4]
    word, entry_bytes = ("Q", 20) if big else ("I", 12)
    (at,) = struct.unpack_from(order + word, data, 8 if big else 4)
    while at:
        (count,) = struct.unpack_from(order + ("Q" if big else "H"), data, at)
        at += 8 if big else 2
        for _ in range(count):
            tag, kind, values = struct.unpack_from(f"{order}HH{word}", data, at)
            inline = at + (12 if big else 8)
            fits = values * SIZES[kind] <= (8 if big else 4)
            place = inline if fits else struct.unpack_from(order + word, data, inline)[0]
            yield Entry(tag, at, SIZES[kind], values, place, order)
            at += entry_bytes
        (at,) = struct.unpack_from(order + word, data, at)


def replaced(data: bytes, at: int, new: bytes) -> bytes:
    """The bytes with ``new`` written over what lies at ``at``."""
    return data[:at] + new + data[at + len(new) :]


def mutations(data: bytes) -> Mapping[str, Mutation]:
    """The mutations that mean something for a file, by name."""
    if next(tiff_entries(data), None):
        return ANY | TIFF
    return ANY | TEXT if _is_text(data) else ANY


def _is_text(data: bytes) -> bool:
    return bool(data) and not re.search(rb"[^\t\n\r -~]", data[:2000])


def _range(data: bytes, random: Random, longest: int = 4096) -> tuple[int, int]:
    start = random.randrange(len(data))
    return start, min(len(data), start + random.randint(1, random.choice((4, 64, longest))))


def _flip_bits(data: bytes, random: Random, stop: int | None = None) -> bytes:
    changed = bytearray(data)
    for _ in range(random.choice((1, 1, 2, 8))):
        changed[random.randrange(min(stop or len(data), len(data)))] ^= 1 << random.randrange(8)
    return bytes(changed)


def _flip_header(data: bytes, random: Random) -> bytes:
    return _flip_bits(data, random, HEADER_BYTES)


def _change_bytes(data: bytes, random: Random) -> bytes:
    for _ in range(random.choice((1, 4, 32))):
        data = replaced(data, random.randrange(len(data)), random.randbytes(1))
    return data


def _truncate(data: bytes, random: Random) -> bytes:
    return data[: random.choice((random.randrange(len(data)), random.randrange(min(len(data), 600)), len(data) - 1))]


def _fill_range(data: bytes, random: Random) -> bytes:
    start, stop = _range(data, random)
    return replaced(data, start, random.choice((b"\0", b"\0", b"\xff")) * (stop - start))


def _insert(data: bytes, random: Random) -> bytes:
    start, stop = _range(data, random, 256)
    return data[:start] + random.choice((random.randbytes(stop - start), data[start:stop])) + data[start:]


def _delete(data: bytes, random: Random) -> bytes:
    start, stop = _range(data, random, 256)
    return data[:start] + data[stop:]


def _swap_ranges(data: bytes, random: Random) -> bytes:
    a, b, c, d = sorted(random.randrange(len(data) + 1) for _ in range(4))
    return data[:a] + data[c:d] + data[b:c] + data[a:b] + data[d:]


def _replace_all(data: bytes, random: Random) -> bytes:
    return random.choice((b"", HTML, gzip.compress(data, mtime=0), random.randbytes(len(data)), data[4:], data[::-1]))


def _wild_number(random: Random, before: int) -> int:
    return random.choice((*ODD_NUMBERS, before + 1, before - 1, before * 2, before // 2, before * 1000))


def _entry_value(data: bytes, random: Random) -> bytes:
    """Set one value of one entry of a directory: width, bits per sample, compression, geokeys and all others."""
    entry = random.choice(list(tiff_entries(data)))
    values = entry.values(data)
    if not values:
        return _flip_bits(data, random)
    place = random.randrange(len(values))
    return entry.put(data, place, _wild_number(random, values[place]))


def _sizes(data: bytes, random: Random) -> bytes:
    """Set what decides on memory and work: sizes of raster, tiles and samples, up to 4 billion squared."""
    decisive = [entry for entry in tiff_entries(data) if entry.tag in (256, 257, 258, 277, 278, 322, 323)]
    for entry in random.sample(decisive, min(len(decisive), random.choice((1, 2)))):
        data = entry.put(data, 0, _wild_number(random, entry.values(data)[0]))
    return data


def _entry_itself(data: bytes, random: Random) -> bytes:
    """Change tag, type, count or place of an entry."""
    entry = random.choice(list(tiff_entries(data)))
    at = entry.at + random.choice((0, 2, 4, 8))
    width = 2 if at < entry.at + 4 else 4
    before = int.from_bytes(data[at : at + width], "little")
    return replaced(data, at, (_wild_number(random, before) % 256**width).to_bytes(width, "little"))


def _index(data: bytes, random: Random) -> bytes:
    """Zero, empty or misdirect entries of the index of tiles."""
    for entry in tiff_entries(data):
        if entry.tag in random.choice((TILE_OFFSETS, TILE_COUNTS, TILE_OFFSETS + TILE_COUNTS)):
            values = entry.values(data)
            for place in random.sample(range(len(values)), random.randint(1, len(values))):
                value = random.choice((0, 0, 1, len(data) - 1, len(data) + 9, 2**32 - 1, random.choice(values)))
                data = entry.put(data, place, value)
    return data


def _tile(data: bytes, random: Random) -> bytes:
    """Zero the bytes of a tile, replace them by noise, or by another tile's."""
    found = {entry.tag: entry.values(data) for entry in tiff_entries(data)}
    offsets, counts = (next(found[tag] for tag in tags if tag in found) for tags in (TILE_OFFSETS, TILE_COUNTS))
    tiles = [(offset, count) for offset, count in zip(offsets, counts, strict=True) if count]
    (at, size), (other, _) = random.choice(tiles), random.choice(tiles)
    return replaced(data, at, random.choice((bytes(size), random.randbytes(size), data[other : other + size])))


def _text_value(data: bytes, random: Random) -> bytes:
    """Replace a number, a word or a value in quotes of a text file."""
    found = list(re.finditer(random.choice((rb"-?\d+(\.\d+)?", rb"\w+", rb'"[^"]*"', rb">[^<]*<")), data))
    if not found:
        return _flip_bits(data, random)
    match = random.choice(found)
    other = random.choice((*ODD_TEXTS, str(random.choice(ODD_NUMBERS)).encode(), random.choice(found).group()))
    if match.group()[:1] in b'">':
        other = match.group()[:1] + other.strip(b'"><') + match.group()[-1:]
    return data[: match.start()] + other + data[match.end() :]


def _text_line(data: bytes, random: Random) -> bytes:
    """Drop, double or misplace a line, or an element of a file of one line."""
    lines = re.split(rb"(?<=[\n>,])", data)
    at = random.randrange(len(lines))
    line = lines.pop(at)
    for _ in range(random.choice((0, 1, 2))):
        lines.insert(random.choice((at, random.randrange(len(lines) + 1))), line)
    return b"".join(lines)


ANY: dict[str, Mutation] = {
    "flip bits": _flip_bits,
    "flip bits of the header": _flip_header,
    "change bytes": _change_bytes,
    "truncate": _truncate,
    "zero a range": _fill_range,
    "insert bytes": _insert,
    "delete bytes": _delete,
    "swap ranges": _swap_ranges,
    "another file": _replace_all,
}
TIFF: dict[str, Mutation] = {
    "value of a directory entry": _entry_value,
    "sizes in the directory": _sizes,
    "directory entry": _entry_itself,
    "index of tiles": _index,
    "bytes of a tile": _tile,
}
TEXT: dict[str, Mutation] = {"value in a text": _text_value, "line of a text": _text_line}
