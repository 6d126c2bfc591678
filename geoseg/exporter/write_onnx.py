"""Write a bundle as ONNX with the properties of deepness: scaled pixels in, probabilities out."""

import json
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

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
BATCH = {0: "batch"}
"""The free axis: deepness needs numbers for height and width."""


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
    # Where deepness cannot scale as the bundle says, the graph multiplies by 255 again and scales itself.
    before: list[nn.Module] = []
    if not deepness.can_scale(bundle):
        before.append(Scaling(bundle.file.scaling, deepness.DIVISOR))
    if bundle.file.inputs[0].input.channels_last:
        before.append(ToModel(bundle))
    try:
        if bundle.file.artifact == ARTIFACT:
            model, batch = _extended(bundle, before)
            parameters = None
        else:
            network, batch, _ = load_torch(bundle, program_as_part=False)
            whole = nn.Sequential(*before, network, Probabilities(bundle))
            model = _traced(whole, _pixels(bundle, batch or 1))
            parameters = sum(tensor.numel() for tensor in network.parameters()) or None
        _describe(model, bundle, batch, parameters)
        onnx.save(model, str(output))
        onnx.checker.check_model(str(output))
    except SettingsError:
        raise
    except Exception as error:  # any error of the exporter
        raise SettingsError(f"{bundle.artifact} cannot be exported to ONNX: {one_line(error)}.") from error
    return batch


def _describe(model: ModelProto, bundle: Bundle, batch: int | None, parameters: int | None) -> None:
    """Set the properties, and the sizes of input and output as numbers."""
    steps: Sequence[Step] = bundle.file.scaling
    if not deepness.can_scale(bundle):
        steps = [Divide(type="divide", value=deepness.DIVISOR)]
    metadata = mlm_metadata(bundle, steps, "none", parameters, framework="onnx")
    own = {**deepness.properties(bundle), KEY: json.dumps(metadata, ensure_ascii=False)}
    helper.set_model_props(model, {**{one.key: one.value for one in model.metadata_props}, **own})
    taken, given, side = _input(model), model.graph.output[0], bundle.patch_px
    for value, channels in ((taken, len(bundle.bands)), (given, len(bundle.legend))):
        shape = [batch or BATCH[0], channels, side, side]
        value.CopyFrom(helper.make_tensor_value_info(value.name, onnx.TensorProto.FLOAT, shape))
    del model.graph.value_info[:]  # they may state other sizes


def _pixels(bundle: Bundle, batch: int = 1) -> Tensor:
    side = bundle.patch_px
    return torch.randn((batch, len(bundle.bands), side, side), generator=torch.Generator().manual_seed(0))


def _traced(network: nn.Module, pixels: Tensor, opset: int = OPSET) -> ModelProto:
    with TemporaryDirectory(prefix="geoseg-export-") as folder:
        file = Path(folder, ARTIFACT)
        trace_onnx(network, pixels, file, BATCH, opset)
        return onnx.load(file)


def _extended(bundle: Bundle, before: Sequence[nn.Module]) -> tuple[ModelProto, int | None]:
    """A network that is ONNX already, with the scaling before it and the activation behind it; its fixed batch size."""
    model = _load(bundle)
    taken, outputs = _input(model), {one.name: one for one in model.graph.output}
    given = str(bundle.file.outputs[0].name) if len(outputs) > 1 else next(iter(outputs))
    for name, value in outputs.items():
        if name != given:
            model.graph.output.remove(value)
    network = load_network(bundle, torch.device("cpu"), torch.get_num_threads())
    output = network(_pixels(bundle, network.fixed_batch or 1))
    if before:
        first = compose.add_prefix(_like(model, nn.Sequential(*before), _pixels(bundle)), "before/")
        model = compose.merge_models(first, model, io_map=[(first.graph.output[0].name, taken.name)])
    # The map as the artifact gives it, NHWC where it is.
    given_map = output.permute(0, 2, 3, 1) if bundle.file.outputs[0].result.channels_last else output
    last = compose.add_prefix(_like(model, Probabilities(bundle), given_map[:1].clone()), "after/")
    return compose.merge_models(model, last, io_map=[(given, last.graph.input[0].name)]), network.fixed_batch


def _load(bundle: Bundle) -> ModelProto:
    """The artifact with the weights of its data files inside."""
    with TemporaryDirectory(prefix="geoseg-export-") as folder:
        for name, content in read_artifact(bundle).items():
            file = Path(folder, name)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        return onnx.load(Path(folder, ARTIFACT))


def _like(model: ModelProto, part: nn.Module, example: Tensor) -> ModelProto:
    """A part with the versions of the model that it joins."""
    (opset,) = [one.version for one in model.opset_import if one.domain in ("", "ai.onnx")]
    traced = _traced(part, example)
    converted = traced if opset == OPSET else version_converter.convert_version(traced, opset)
    converted.ir_version = model.ir_version
    return converted


def _input(model: ModelProto) -> ValueInfoProto:
    """The only input that is no weight; old files list weights as well."""
    weights = {one.name for one in model.graph.initializer}
    (taken,) = [one for one in model.graph.input if one.name not in weights]
    return taken
