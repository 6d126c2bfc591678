"""Runs of the fuzzer whose bundle is mutated where it means something: description, graph, header of the weights."""

import copy
import io
import json
import struct
import tempfile
from collections.abc import Iterator, Sequence
from functools import cache, partial
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import onnx
import onnxruntime
import rasterio
import safetensors.torch
import torch
from google.protobuf.message import Message
from onnx.external_data_helper import load_external_data_for_model

from geoseg.model.bundle.bundle import ModelFile
from geoseg.model.bundle.value_checks import scale_values
from geoseg.model.zoo.architectures import build
from tests.support.bundles import write_bundle
from tests.support.fuzz_case import Case
from tests.support.fuzz_files import Base
from tests.support.mutations import ANY
from tests.support.onnx_models import linear_onnx

PATCH_PX, OVERLAP_PX = 32, 8
ODD_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 3, 7, 32, 255, 256, 1000, 8192, 8193, 10**9, 2**31, 2**63, 2**64, 10**400),
    *(0.5, -0.0, 1e-320, 1e12, 1e13, 1e300, 1e308, float("nan"), float("inf"), -float("inf")),
    *("", "0", "32", "nan", "a" * 5000, "\0", "\ud800", "é中", "../model.onnx", "/etc/passwd", "FFFFFF", "UNet"),
    *("unet", "softmax", "sigmoid", "none", "weights.safetensors", "model.onnx", "model.pt2"),
    *([], {}, [None], [[]], [1, 2, 3], [1, -1, -1, -1], [-1, 1, 64, 64], ["batch", "height", "width", "channel"]),
    *({"type": "log1p"}, [{"type": "affine", "scale": 0}], [{"type": "log1p"}, {"type": "log1p"}]),
    *([{"type": "affine", "offset": -300}], {"width": 2, "depth": 1}),
)
ODD_INTEGERS = (0, 1, 2, 3, 5, 7, 10, 16, 64, 255, 2**16, 2**31 - 1, 2**40, 2**62, -1, -2, -(2**31))
ODD_TEXTS = (
    "",
    "kernel",
    "pixels",
    "classes",
    "x" * 3000,
    "../ghost",
    "/etc/hostname",
    "model.json",
    "Relu",
    "Conv",
    "\0",
)
CLEAR = 0.1
"""Logits this far apart stay in order in bfloat16, and after softmax and the quantisation of scores."""
SCALING = [{"type": "affine", "offset": 1}, {"type": "log1p"}, {"type": "z-score", "mean": 4, "stddev": 1}]


def bundle_case(bases: Sequence[Base], random: Random, seed: str) -> Case:
    """A run on a sound scene with a bundle of which one file is mutated."""
    (base,) = [base for base in bases if base.name == "tiled none uint8"]
    name = random.choice(sorted(sound_bundles()))
    bundle = dict(sound_bundles()[name])
    target = random.choice(("model.json", *sorted(bundle)))
    mutate = {
        "model.json": _json, "model.onnx": _onnx, "kernel.data": _bytes, "weights.safetensors": _safetensors,
    }[target]  # fmt: skip
    if random.random() < 0.1:
        mutate = _bytes
    kind, bundle[target] = mutate(bundle[target], random)
    files = {path: content for path, content in base.files.items() if not path.startswith(("bundle/", "unet/"))}
    files["config.yaml"] = files["config.yaml"].replace(b"  not_dissolved: [class0]\n", b"")
    files |= {f"bundle/{path}": content for path, content in bundle.items()}
    oracle = partial(differences, base.scene)
    return Case(seed, base.name, f"bundle/{target}", f"bundle: {kind}", base.scene, files, oracle=oracle)


@cache
def sound_bundles() -> dict[str, dict[str, bytes]]:
    """Files of sound bundles by their name; one band, six classes."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        how: dict[str, Any] = {"patch_px": PATCH_PX, "overlap_px": OVERLAP_PX, "scaling": SCALING}
        write_bundle(folder / "unet", bands=1, classes=6, arguments={"width": 2, "depth": 1}, **how)
        matrix = np.random.default_rng(1).normal(size=(6, 1))
        linear_onnx(folder / "onnx", matrix, **how)
        linear_onnx(folder / "last", matrix, channels_last=True, **how)
        model = onnx.load(linear_onnx(folder / "data", matrix, **how) / "model.onnx")
        beside = {"save_as_external_data": True, "size_threshold": 0, "convert_attribute": False}
        onnx.save(model, folder / "data/model.onnx", location="kernel.data", **beside)
        return {path.name: {file.name: file.read_bytes() for file in path.iterdir()} for path in folder.iterdir()}


def _bytes(data: bytes, random: Random) -> tuple[str, bytes]:
    kind = random.choice(sorted(ANY))
    return kind, ANY[kind](data, random)


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """All containers of a JSON document with all their keys or indices."""
    for key in list(value) if isinstance(value, dict) else range(len(value)):
        yield value, key
        if isinstance(value[key], dict | list):
            yield from _places(value[key])


def _json(data: bytes, random: Random) -> tuple[str, bytes]:
    document = json.loads(data)
    kind = random.choice(("value", "value", "number", "number", "missing", "added", "twice", "nesting"))
    for _ in range(random.choice((1, 1, 1, 2))):
        container, key = random.choice(list(_places(document)))
        old = copy.deepcopy(container[key])
        if kind == "value":
            container[key] = random.choice(ODD_VALUES)
        elif kind == "number":
            numbers = [at for at in _places(document) if type(at[0][at[1]]) in (int, float)]
            container, key = random.choice(numbers)
            container[key] = random.choice([value for value in ODD_VALUES if type(value) in (int, float)])
        elif kind == "missing":
            container.pop(key)
        elif kind == "added" and isinstance(container, dict):
            container[random.choice(("geoseg:", "mlm:", "", "x")) + random.choice((str(key), "scale", "y"))] = old
        elif kind == "added":
            container.insert(key, old)
        elif kind == "nesting":
            depth = random.choice((3, 70, 100))
            container[key] = json.loads("[" * depth + "]" * depth)
    text = json.dumps(document)
    if kind == "twice":
        match = random.choice([f'"{key}": ' for at, key in _places(document) if isinstance(at, dict)])
        text = text.replace(match, f"{match}null, {match}", 1)
    if kind == "nesting" and random.random() < 0.3:
        text = text.replace("[", "[" * 100_000, 1)
    return f"json, {kind}", text.encode("utf-8", "surrogatepass")


def _messages(message: Message) -> Iterator[Message]:
    yield message
    for field, value in message.ListFields():
        if field.message_type is not None:
            for part in [value] if isinstance(value, Message) else value:
                yield from _messages(part)


def _onnx(data: bytes, random: Random) -> tuple[str, bytes]:
    """Set, clear, double or drop a field anywhere in the graph."""
    model = onnx.ModelProto.FromString(data)
    for _ in range(random.choice((1, 1, 2))):
        message = random.choice([found for found in _messages(model) if found.ListFields()])
        field, value = random.choice(message.ListFields())
        if isinstance(value, Message) or random.random() < 0.1:
            message.ClearField(field.name)
        elif not isinstance(value, str | bytes | int | float):
            items = list(value)
            place = random.randrange(len(items))
            if isinstance(items[0], Message):
                items.pop(place) if random.random() < 0.7 else items.append(items[place])
            else:
                items[place] = _other(items[place], random)
            kept = [copy.deepcopy(item) for item in items]
            message.ClearField(field.name)
            getattr(message, field.name).extend(kept)
        else:
            _try_set(message, field.name, _other(value, random))
    return "onnx, graph", model.SerializeToString()


def _other(value: Any, random: Random) -> Any:
    """Another value of the same type."""
    if isinstance(value, bytes):
        return _bytes(value, random)[1] if value else b"\0"
    if isinstance(value, str):
        return random.choice(ODD_TEXTS)
    return random.choice(ODD_INTEGERS) if isinstance(value, int) else random.choice((float("nan"), 1e38, -1.0))


def _try_set(message: Message, name: str, value: Any) -> None:
    try:
        setattr(message, name, value)
    except ValueError:  # beyond the field's width
        setattr(message, name, 1)


def _safetensors(data: bytes, random: Random) -> tuple[str, bytes]:
    """Change the header: names, types, shapes and places of tensors, and the length that it gives itself."""
    (length,) = struct.unpack_from("<Q", data)
    header, rest = json.loads(data[8 : 8 + length]), data[8 + length :]
    name = random.choice([name for name in header if name != "__metadata__"])
    kind = random.choice(("dtype", "shape", "data_offsets", "name", "value", "length", "numbers"))
    if kind == "dtype":
        header[name]["dtype"] = random.choice(("F16", "BF16", "F64", "I32", "U8", "BOOL", "F8_E4M3", "C64", "F128", ""))
    elif kind in ("shape", "data_offsets"):
        numbers = header[name][kind]
        if numbers:
            numbers[random.randrange(len(numbers))] = random.choice(ODD_INTEGERS)
        if random.random() < 0.3:
            random.shuffle(numbers)
    elif kind == "name":
        header[random.choice(("x", "", *header))] = header.pop(name)
    elif kind == "value":
        container, key = random.choice(list(_places(header)))
        container[key] = random.choice(ODD_VALUES)
    elif kind == "numbers":
        at = random.randrange(len(rest) // 4) * 4
        bits = random.choice((b"\0\0\xc0\x7f", b"\0\0\x80\x7f", b"\xff\xff\x7f\x7f", b"\0\0\0\0", random.randbytes(4)))
        rest = rest[:at] + bits + rest[at + 4 :]
    text = json.dumps(header).encode("utf-8", "surrogatepass")
    stated = len(text) if kind != "length" else random.choice((0, 1, len(text) - 1, len(text) + 9, 2**40, 2**64 - 1))
    return f"safetensors, {kind}", struct.pack("<Q", stated) + text + rest


def differences(scene: str, folder: Path) -> Iterator[str]:
    """Compare what was published with what the files of the bundle say, read without geoseg's loaders."""
    bundle = folder / "bundle"
    described = ModelFile.model_validate_json((bundle / "model.json").read_bytes())
    with rasterio.open(folder / scene) as source:
        pixels = source.read()[:, :PATCH_PX, :PATCH_PX].astype(np.float64)
    (path,) = (folder / "out/rasters").rglob("classes.tif")
    with rasterio.open(path) as source:
        published = source.read(1)
    if extra := set(np.unique(published)) - {255} - {entry.value for entry in described.outputs[0].classes}:
        yield f"published classes {extra} that the bundle does not have"
    scaled = scale_values(pixels.reshape(len(pixels), -1), described.scaling).reshape(1, *pixels.shape)
    logits = _forward(bundle, described, scaled.astype(np.float32))
    if not np.isfinite(logits).all():
        yield "published classes of logits that are not finite"
    alone = np.s_[: PATCH_PX - OVERLAP_PX, : PATCH_PX - OVERLAP_PX]
    if logits.shape[2:] == (PATCH_PX, PATCH_PX) and logits.shape[1] > 1:
        second, first = np.sort(logits[0], axis=0)[-2:, *alone]
        clear = first - second > CLEAR
        agree = (logits[0].argmax(0)[alone] == published[alone])[clear].mean() if clear.any() else 1.0
        if agree < 0.9:
            yield f"only {agree:.0%} of the pixels have the class that the bundle's network gives"


def _forward(bundle: Path, described: ModelFile, pixels: np.ndarray) -> np.ndarray:
    """Logits by plain torch or onnxruntime."""
    if described.artifact == "weights.safetensors":
        network = build(described.architecture, described.arguments)
        network.load_state_dict(safetensors.torch.load_file(bundle / described.artifact))
        with torch.inference_mode():
            return network.eval()(torch.from_numpy(pixels)).numpy()
    model = onnx.ModelProto.FromString((bundle / described.artifact).read_bytes())
    load_external_data_for_model(model, str(bundle))
    content = io.BytesIO()
    onnx.save(model, content)
    session = onnxruntime.InferenceSession(content.getvalue(), providers=["CPUExecutionProvider"])
    last = described.inputs[0].input.channels_last
    given = pixels.transpose(0, 2, 3, 1) if last else pixels
    named = [output.name for output in session.get_outputs()]
    name = named[0] if len(named) == 1 else described.outputs[0].name
    found = session.run([name], {session.get_inputs()[0].name: given})[0].astype(np.float32)
    return found.transpose(0, 3, 1, 2) if described.outputs[0].result.channels_last else found
