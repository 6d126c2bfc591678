"""A network in ONNX: plain, with the properties of deepness, or with the JSON file of geoai."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor

from geoseg.errors import SettingsError
from geoseg.importer.facts.facts import Fact, Facts
from geoseg.importer.facts.json_files import parse_object, read_object
from geoseg.importer.facts.legends import make_legend
from geoseg.importer.sources.mlm_facts import mlm_facts
from geoseg.importer.sources.source import Forward, OnnxFile, Request, Source
from geoseg.model.bundle.onnx_file import find_data_files
from geoseg.model.network import one_line

SUFFIX = ".onnx"
DEEPNESS = "properties of deepness"
METADATA = "mlm-metadata"
"""Property in which `geoseg models export` keeps those of the MLM extension, as JSON."""
MAX_BANDS = 64
"""Most channels of an input whose sizes are all fixed; the channel dimension is the smallest."""


def is_onnx(path: Path) -> bool:
    """Return whether the name is that of an ONNX file."""
    return path.is_file() and path.suffix.lower() == SUFFIX


def read_onnx(request: Request) -> Source:
    """Read an ONNX file and what describes it.

    Raises:
        SettingsError: If it is damaged, or does not take one picture.
    """
    path = request.path
    files = find_data_files(path.read_bytes(), path)
    session = _session(path)
    taken, given = session.get_inputs(), session.get_outputs()
    if len(taken) != 1:
        names = ", ".join(f"{one.name} {one.shape}" for one in taken)
        raise SettingsError(
            f"{path} takes {len(taken)} inputs ({names}), and geoseg feeds one. Export a network that takes all bands, "
            "also those of several dates, as the channels of one input."
        )
    maps = [one for one in given if len(one.shape) == 4] or given
    shape = taken[0].shape
    channels_last = _channels_last(shape, path) if request.channels_last is None else request.channels_last
    channels, side = (shape[3], shape[1]) if channels_last else (shape[1], shape[2])
    facts = Facts(
        name=Fact(path.stem, "name of the source"),
        architecture=Fact(_producer(path), "ONNX file"),
        band_count=Fact(channels, "ONNX file") if isinstance(channels, int) else None,
        patch_px=Fact(side, "ONNX file") if isinstance(side, int) else None,
    )
    described = _deepness(session.get_modelmeta().custom_metadata_map, facts.patch_px)
    if METADATA in session.get_modelmeta().custom_metadata_map:
        said_by = f"{METADATA} in {path.name}"
        document = parse_object(session.get_modelmeta().custom_metadata_map[METADATA], said_by)
        described = described.overruled_by(mlm_facts(document, said_by, request.scaling_given))
    sidecar = path.with_name(path.name + ".json")
    if sidecar.is_file():
        described = described.overruled_by(_geoai(sidecar))
    own = OnnxFile(path, channels_last, maps[0].name if len(given) > 1 else None, files)
    notes = (
        () if len(given) == 1 else (f"Of the outputs {', '.join(one.name for one in given)}, {maps[0].name} is used.",)
    )
    kind = "ONNX of deepness" if "class_names" in session.get_modelmeta().custom_metadata_map else "ONNX"
    return Source(
        f"{kind}, {'NHWC' if channels_last else 'NCHW'}",
        facts.overruled_by(described),
        _forward(session, taken[0].name, maps[0].name, taken[0].type, channels_last),
        onnx=own,
        notes=notes,
    )


def _session(path: Path) -> Any:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has no common class of its errors
        raise SettingsError(
            f"{path} cannot be loaded by onnxruntime {onnxruntime.__version__}: {one_line(error)}. Export it again."
        ) from error


def _forward(session: Any, taken: str, given: str, kind: str, channels_last: bool) -> Forward:
    dtype = np.float16 if "float16" in kind else np.float32

    def forward(pixels: Tensor) -> Tensor:
        array = pixels.numpy().astype(dtype)
        (output,) = session.run(
            [given], {taken: np.ascontiguousarray(np.moveaxis(array, 1, 3)) if channels_last else array}
        )
        tensor = torch.from_numpy(np.ascontiguousarray(output)).float()
        return tensor.movedim(3, 1) if channels_last and tensor.ndim == 4 else tensor

    return forward


def _channels_last(shape: list[Any], path: Path) -> bool:
    """Which dimension holds the bands: the one that differs from two equal or free ones."""
    if len(shape) != 4:
        raise SettingsError(
            f"{path} takes input of the shape {shape}; geoseg feeds (batch, bands, height, width) or (batch, height, "
            "width, bands). Export the network with such an input."
        )
    sizes = [size if isinstance(size, int) and size > 0 else None for size in shape]
    first = sizes[1] is not None and sizes[1] <= MAX_BANDS and sizes[2] == sizes[3]
    last = sizes[3] is not None and sizes[3] <= MAX_BANDS and sizes[1] == sizes[2]
    if first == last:
        raise SettingsError(
            f"{path} takes an input of the shape {shape}, which does not tell where the bands are. Export it with a "
            "fixed number of bands and a free or square height and width."
        )
    return last


def _producer(path: Path) -> str:
    model = onnx.load(path, load_external_data=False)
    return f"ONNX from {model.producer_name or 'an unnamed program'}"


def _deepness(properties: dict[str, str], patch: Fact[int] | None) -> Facts:
    """Facts of the properties that the QGIS plugin deepness reads.

    deepness divides bytes by 255, subtracts the mean and divides by the standard deviation.
    """
    found: dict[str, Any] = {}
    for key in (
        "class_names",
        "resolution",
        "tiles_size",
        "tile_size",
        "tiles_overlap",
        "standardization_mean",
        "standardization_std",
    ):
        if key in properties:
            try:
                found[key] = json.loads(properties[key])
            except ValueError:
                found[key] = properties[key]
    facts: dict[str, Any] = {}
    try:
        names = found.get("class_names")
        names = names[0] if isinstance(names, list) and len(names) == 1 else names  # one for each output
        if isinstance(names, dict):
            ordered = [str(names[key]) for key in sorted(names, key=int)]
            facts["legend"] = Fact(make_legend(ordered, "class_names in the ONNX file"), DEEPNESS)
        if "resolution" in found:
            facts["pixel_m"] = Fact(float(found["resolution"]) / 100, DEEPNESS)
        # The plugin's manual names tiles_size, its code reads tile_size.
        if (side := found.get("tiles_size", found.get("tile_size"))) is not None and patch is None:
            facts["patch_px"] = patch = Fact(int(side), DEEPNESS)
        if "tiles_overlap" in found and patch is not None:
            share = min(float(found["tiles_overlap"]) / 100, 0.5)
            facts["overlap_px"] = Fact(int(patch.value * share), DEEPNESS)
        if "class_names" in found or "standardization_mean" in found:
            facts["scaling"] = Fact(_deepness_scaling(found), DEEPNESS)
    except (TypeError, ValueError, KeyError) as error:
        raise SettingsError(
            f"The properties of deepness in the ONNX file have another form than deepness writes: {error!r}. Give the "
            "facts as options and remove the properties."
        ) from error
    return Facts(**facts)


def _deepness_scaling(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    steps: list[dict[str, Any]] = [{"type": "divide", "value": 255.0}]
    if "standardization_mean" in found:
        mean, stddev = ([float(one) for one in found[f"standardization_{name}"]] for name in ("mean", "std"))
        steps.append({"type": "z-score", "mean": mean, "stddev": stddev})
    return steps


def _geoai(path: Path) -> Facts:
    """Facts of the file ``NAME.onnx.json`` that geoai writes."""
    content = read_object(path)
    facts: dict[str, Any] = {}
    if isinstance(labels := content.get("id2label"), dict) and labels:
        ordered = [str(labels[key]) for key in sorted(labels, key=int)]
        facts["legend"] = Fact(make_legend(ordered, f"id2label in {path.name}"), path.name)
    if isinstance(height := content.get("input_height"), int) and height == content.get("input_width"):
        facts["patch_px"] = Fact(height, path.name)
    if isinstance(name := content.get("model_name"), str) and name:
        facts["architecture"] = Fact(name, path.name)
    return Facts(**facts)
