"""The forms in which a bundle keeps a network: ONNX, safetensors, a program of torch.export."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import safetensors.torch
import torch

from geoseg.errors import SettingsError
from geoseg.importer.onnx_export import agrees, export_onnx
from geoseg.importer.resolve import Resolved
from geoseg.importer.sources.source import OnnxFile, Source
from geoseg.model.network import one_line

Format = Literal["onnx", "safetensors", "pt2"]
Write = Callable[[Source, Resolved, Path], dict[str, Any]]
"""Writes the artifact into a folder; returns what ``model.json`` says of it, and ``channels_last``."""


def _write_onnx(source: Source, resolved: Resolved, folder: Path) -> dict[str, Any]:
    artifact = folder / "model.onnx"
    if source.onnx is not None:
        return {**copy_onnx(source.onnx, folder), "channels_last": source.onnx.channels_last}
    network = _module(source, "onnx")
    facts = resolved.facts
    assert facts.patch_px is not None and facts.band_count is not None  # noqa: S101, PT018
    side, bands = facts.patch_px.value, facts.band_count.value
    multiple = facts.size_multiple.value if facts.size_multiple is not None else side
    other = side + multiple
    # Free sizes first: patches of another size are then possible. Some networks keep the traced size in the graph.
    if export_onnx(network, bands, side, artifact, free=True) is None and agrees(
        source.forward, artifact, bands, (side, other)
    ):
        return {"geoseg:artifact": artifact.name}
    error = export_onnx(network, bands, side, artifact, free=False)
    if error is not None:
        raise SettingsError(
            f"{source.kind} cannot be exported to ONNX: {error}. Give --format pt2, which needs --trust-model-code at "
            "each run."
        )
    return {"geoseg:artifact": artifact.name, "geoseg:size_multiple": side}


def _write_safetensors(source: Source, resolved: Resolved, folder: Path) -> dict[str, Any]:  # noqa: ARG001
    if source.zoo is None or source.network is None:
        raise SettingsError(
            f"--format safetensors is for networks of geoseg's zoo (configs/BUNDLE.md); {source.kind} is none. Give "
            "--format onnx."
        )
    return save_weights(source.zoo, source.network, folder)


def copy_onnx(source: OnnxFile, folder: Path) -> dict[str, Any]:
    """Copy a network that is ONNX already, with the files that hold its weights; as `Write`."""
    artifact = folder / "model.onnx"
    shutil.copyfile(source.path, artifact)
    for name, file in source.files.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
    return {"geoseg:artifact": artifact.name}


def save_weights(zoo: tuple[str, Mapping[str, Any]], network: torch.nn.Module, folder: Path) -> dict[str, Any]:
    """Save the weights of a network of the zoo; as `Write`."""
    name, arguments = zoo
    weights = {key: tensor.contiguous() for key, tensor in network.state_dict().items()}
    safetensors.torch.save_file(weights, folder / "weights.safetensors")
    return {"geoseg:artifact": "weights.safetensors", "mlm:architecture": name, "geoseg:arguments": dict(arguments)}


def _write_pt2(source: Source, resolved: Resolved, folder: Path) -> dict[str, Any]:
    artifact = folder / "model.pt2"
    if source.program is not None and source.program.suffix == artifact.suffix:
        shutil.copyfile(source.program, artifact)
        return {"geoseg:artifact": artifact.name}
    network = _module(source, "pt2")
    facts = resolved.facts
    assert facts.patch_px is not None and facts.band_count is not None  # noqa: S101, PT018
    example = torch.zeros(2, facts.band_count.value, facts.patch_px.value, facts.patch_px.value)
    try:
        program = torch.export.export(network, (example,), dynamic_shapes=({0: torch.export.Dim("batch")},))
        torch.export.save(program, artifact)
    except Exception as error:  # any error of the exporter
        raise SettingsError(f"{source.kind} cannot be exported by torch.export: {one_line(error)}.") from error
    return {"geoseg:artifact": artifact.name, "geoseg:size_multiple": facts.patch_px.value}


WRITERS: Mapping[Format, Write] = {"onnx": _write_onnx, "safetensors": _write_safetensors, "pt2": _write_pt2}


def _module(source: Source, form: str) -> torch.nn.Module:
    if source.network is None:
        raise SettingsError(f"{source.kind} cannot be kept as {form}. Give --format onnx.")
    return source.network
