"""The weights of an ONNX file, and the external data files that hold some of them."""

from collections.abc import Iterator, Mapping
from pathlib import Path, PureWindowsPath

import numpy as np
from google.protobuf.message import DecodeError, Message
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, numpy_helper

from geoseg.errors import SettingsError

EXPORT = (
    "export the model with its weights inside, onnx.save_model(model, 'model.onnx', save_as_external_data=False), or "
    "with a data file beside it, onnx.save_model(model, 'model.onnx', save_as_external_data=True, "
    "location='model.onnx.data')"
)
FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.BFLOAT16)


def find_data_files(content: bytes, artifact: Path) -> dict[str, Path]:
    """Find the external data files of a model, keyed and sorted by the names in the model.

    Files outside the bundle are refused; onnxruntime by itself would search the current directory.

    Args:
        content: The ONNX file.
        artifact: Its path.

    Raises:
        SettingsError: If it is not ONNX, or a data file is missing or outside the artifact's directory.
    """
    folder, files = artifact.parent.resolve(), {}
    for tensor, _ in _tensors(_parse(content, artifact)):
        if tensor.data_location != TensorProto.EXTERNAL:
            continue
        name = _reference(tensor).get("location", "")
        plain = name.isprintable() and name and not PureWindowsPath(name).anchor and ".." not in Path(name).parts
        path = (folder / name).resolve() if plain else folder
        if not plain:
            problem = "which is not a name in the bundle"
        elif not path.is_relative_to(folder):
            problem = f"which leads out of the bundle, to {path}"
        elif not path.is_file():
            problem = "which is missing"
        else:
            files[name] = path
            continue
        raise SettingsError(
            f"{artifact} cannot be loaded: its weights {tensor.name!r} lie in the file {name[:200]!r}, {problem}. "
            f"Put that file into {folder} under the same name, or {EXPORT}."
        )
    return dict(sorted(files.items()))


def read_weights(
    content: bytes, files: Mapping[str, bytes], artifact: Path
) -> tuple[bytes, Iterator[tuple[str, NDArray[np.floating]]]]:
    """Read a model's weights, with external data from memory only.

    Args:
        content: The ONNX file.
        files: Content of its data files, by the names in the model.
        artifact: Its path, for messages.

    Returns:
        The model, in which only initializers of the main graph use external data; and all its weights.

    Raises:
        SettingsError: If it is not ONNX.
        ValueError: If weights are not at their stated offsets.
    """
    model = _parse(content, artifact)
    moved = False
    for tensor, is_main in _tensors(model):
        # onnxruntime takes only those of the main graph from memory, and would search a folder for others.
        if tensor.data_location == TensorProto.EXTERNAL and not is_main:
            tensor.CopyFrom(_filled(tensor, files))
            moved = True
    weights = (
        (tensor.name, _array(_filled(tensor, files))) for tensor, _ in _tensors(model) if tensor.data_type in FLOATS
    )
    return model.SerializeToString() if moved else content, weights


def _parse(content: bytes, artifact: Path) -> ModelProto:
    try:
        return ModelProto.FromString(content)
    except DecodeError as error:
        raise SettingsError(
            f"{artifact} cannot be loaded: it is not an ONNX file, or damaged. Copy or export it again."
        ) from error


def _tensors(model: ModelProto) -> Iterator[tuple[TensorProto, bool]]:
    """All tensors in the model, and whether each is an initializer of the main graph."""
    main = list(model.graph.initializer)
    yield from ((tensor, True) for tensor in main)
    known = {id(tensor) for tensor in main}
    yield from ((tensor, False) for tensor in _walk(model) if id(tensor) not in known)


def _walk(message: Message) -> Iterator[TensorProto]:
    for field, value in message.ListFields():
        if field.message_type is not None:
            for part in [value] if isinstance(value, Message) else value:
                if isinstance(part, TensorProto):
                    yield part
                else:
                    yield from _walk(part)


def _reference(tensor: TensorProto) -> dict[str, str]:
    """External reference of a tensor: location, offset, length."""
    return {entry.key: entry.value for entry in tensor.external_data}


def _filled(tensor: TensorProto, files: Mapping[str, bytes]) -> TensorProto:
    """Return the tensor with its values embedded."""
    if tensor.data_location != TensorProto.EXTERNAL:
        return tensor
    reference = _reference(tensor)
    data = files[reference["location"]]
    try:
        start = int(reference.get("offset", "0"))
        length = int(reference.get("length", len(data) - start))
    except ValueError as error:
        raise ValueError(f"its weights {tensor.name!r} have no place in their data file: {reference}") from error
    if start < 0 or length < 0 or start + length > len(data):
        raise ValueError(
            f"its weights {tensor.name!r} are bytes {start} to {start + length} of {reference['location']!r}, which "
            f"has {len(data)}: the data file is cut off, or of another model"
        )
    filled = TensorProto(name=tensor.name, data_type=tensor.data_type, dims=tensor.dims)
    filled.raw_data = data[start : start + length]
    return filled


def _array(tensor: TensorProto) -> NDArray[np.floating]:
    try:
        array: NDArray[np.floating] = numpy_helper.to_array(tensor)
    except (ValueError, TypeError) as error:
        raise ValueError(f"its weights {tensor.name!r} are not of the stated shape {list(tensor.dims)}") from error
    # Always a copy: torch needs writable arrays.
    return array.astype(np.float32) if tensor.data_type == TensorProto.BFLOAT16 else array.copy()
