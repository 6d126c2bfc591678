"""Write a bundle as ONNX with the properties of deepness: scaled pixels in, probabilities out."""

import json
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import onnx
import torch
from onnx import ModelProto, ValueInfoProto, compose, helper, version_converter
from torch import Tensor, nn

from geoseg.errors import SettingsError
from geoseg.exporter import deepness
from geoseg.exporter.mlm_metadata import KEY, mlm_metadata
from geoseg.exporter.modules import Probabilities, Scaling, ToModel, load_torch
from geoseg.importer.onnx_export import OPSET, trace_onnx
from geoseg.model.bundle.bundle import Bundle
from geoseg.model.bundle.scaling import Divide, Step
from geoseg.model.bundle.trust import read_artifact
from geoseg.model.network import load_network, one_line

ARTIFACT = "model.onnx"
BATCH = "batch"
"""Name of the free axis. Height and width are fixed: deepness needs numbers."""


class _Own(NamedTuple):
    """The bundle's network as it is, in ONNX."""

    model: ModelProto
    batch: int | None
    """The only batch size that it accepts; None for any."""
    parameters: int | None
    """Number of parameters, if that is known."""


def write_onnx(bundle: Bundle, output: Path) -> int | None:
    """Write the file.

    Args:
        bundle: Any bundle, trusted if its artifact needs it.
        output: The file.

    Returns:
        The only batch size that it accepts; None for any.

    Raises:
        SettingsError: If the network cannot be exported.
    """
    try:
        own = _load(bundle) if bundle.file.artifact == ARTIFACT else _trace(bundle)
        model = _extend(own, bundle)
        _describe(model, own, bundle)
        onnx.save(model, str(output))
        onnx.checker.check_model(str(output))
    except SettingsError:
        raise
    except Exception as error:  # any error of the exporter
        raise SettingsError(f"{bundle.artifact} cannot be exported to ONNX: {one_line(error)}.") from error
    return own.batch


def _load(bundle: Bundle) -> _Own:
    """An artifact in ONNX, with the weights of its data files inside."""
    with TemporaryDirectory(prefix="geoseg-export-") as folder:
        for name, content in read_artifact(bundle).items():
            file = Path(folder, name)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        model = onnx.load(Path(folder, ARTIFACT))
    return _Own(model, _input(model).type.tensor_type.shape.dim[0].dim_value or None, None)


def _trace(bundle: Bundle) -> _Own:
    network, batch, _ = load_torch(bundle, program_as_part=False)
    parameters = sum(tensor.numel() for tensor in network.parameters()) or None
    return _Own(_traced(network, ToModel(bundle)(_pixels(bundle, batch or 1))), batch, parameters)


def _extend(own: _Own, bundle: Bundle) -> ModelProto:
    """The network with what deepness does not do: scaling where it is more than mean and deviation, and activation."""
    model, pixels = own.model, _pixels(bundle, own.batch or 1)
    output = load_network(bundle, torch.device("cpu"), torch.get_num_threads())(pixels)
    if bundle.file.outputs[0].result.channels_last:  # as the artifact returns it
        output = output.permute(0, 2, 3, 1).contiguous()
    given = _only_output(model, bundle)
    given.CopyFrom(_value(given.name, [own.batch or BATCH, *output.shape[1:]]))
    taken, name = _input(model), given.name
    before: list[nn.Module] = []
    if not deepness.can_scale(bundle):
        before.append(Scaling(bundle.file.scaling, deepness.DIVISOR))
    if bundle.file.inputs[0].input.channels_last:
        before.append(ToModel(bundle))
    if before:
        first = compose.add_prefix(_part(nn.Sequential(*before), pixels, model), "before/")
        model = compose.merge_models(first, model, io_map=[(first.graph.output[0].name, taken.name)])
    last = compose.add_prefix(_part(Probabilities(bundle), output.clone(), model), "after/")
    return compose.merge_models(model, last, io_map=[(name, last.graph.input[0].name)])


def _describe(model: ModelProto, own: _Own, bundle: Bundle) -> None:
    """Set the properties, and the sizes of input and output as numbers."""
    steps: Sequence[Step] = bundle.file.scaling
    if not deepness.can_scale(bundle):
        steps = [Divide(type="divide", value=deepness.DIVISOR)]
    metadata = mlm_metadata(bundle, steps, "none", own.parameters, framework="onnx")
    added = {**deepness.properties(bundle), KEY: json.dumps(metadata, ensure_ascii=False)}
    helper.set_model_props(model, {**{one.key: one.value for one in model.metadata_props}, **added})
    side = bundle.patch_px
    for value, channels in ((_input(model), len(bundle.bands)), (model.graph.output[0], len(bundle.legend))):
        value.CopyFrom(_value(value.name, [own.batch or BATCH, channels, side, side]))
    del model.graph.value_info[:]  # they may state other sizes


def _part(module: nn.Module, example: Tensor, model: ModelProto) -> ModelProto:
    """A part with the versions of the model that it joins."""
    opset = max(one.version for one in model.opset_import if one.domain in ("", "ai.onnx"))
    traced = _traced(module, example)
    converted = traced if opset == OPSET else version_converter.convert_version(traced, opset)
    converted.ir_version = model.ir_version
    return converted


def _traced(network: nn.Module, pixels: Tensor) -> ModelProto:
    with TemporaryDirectory(prefix="geoseg-export-") as folder:
        file = Path(folder, ARTIFACT)
        trace_onnx(network, pixels, file, {0: BATCH})
        return onnx.load(file)


def _pixels(bundle: Bundle, batch: int) -> Tensor:
    side = bundle.patch_px
    return torch.randn((batch, len(bundle.bands), side, side), generator=torch.Generator().manual_seed(0))


def _value(name: str, shape: Sequence[int | str]) -> ValueInfoProto:
    return helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)


def _input(model: ModelProto) -> ValueInfoProto:
    """The only input that is no weight; old files list weights as well."""
    weights = {one.name for one in model.graph.initializer}
    (taken,) = [one for one in model.graph.input if one.name not in weights]
    return taken


def _only_output(model: ModelProto, bundle: Bundle) -> ValueInfoProto:
    """The output with the classes, after the others were removed."""
    named, outputs = bundle.file.outputs[0].name, list(model.graph.output)
    for one in outputs:
        if len(outputs) > 1 and one.name != named:
            model.graph.output.remove(one)
    return model.graph.output[0]
