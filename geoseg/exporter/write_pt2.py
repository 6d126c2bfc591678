"""Write a bundle as an archive of torch.export, with its scaling and the metadata of MLM inside.

The archive has the form of stac-model's ``torch.export.save`` (https://github.com/stac-extensions/mlm), which
RasterFlow reads: the programs ``model``, from scaled pixels to logits, and ``transforms``, from raw to scaled pixels;
and the file ``extra/mlm-metadata``, YAML.
"""

from pathlib import Path

import torch
import yaml
from torch import nn
from torch.export.pt2_archive._package import package_pt2

from geoseg.errors import SettingsError
from geoseg.exporter.mlm_metadata import KEY, TRANSFORMS, mlm_metadata
from geoseg.exporter.modules import Logits, Scaling, ToModel, load_torch, returned_activation
from geoseg.model.bundle.bundle import Bundle
from geoseg.model.network import one_line

MODEL = "model"
"""Name of the program that torch.export.load takes from an archive."""
IMPOSSIBLE = {
    "model.onnx": "torch does not read ONNX",
    "model.torchscript.pt": "torch.export does not take TorchScript",
}


def write_pt2(bundle: Bundle, output: Path) -> int | None:
    """Write the file.

    Args:
        bundle: A bundle with weights or a program of torch.export, trusted if its artifact needs it.
        output: The file, whose name ends in ``.pt2``.

    Returns:
        The only batch size that it accepts; None for any.

    Raises:
        SettingsError: If the network cannot be exported.
    """
    if (reason := IMPOSSIBLE.get(bundle.file.artifact)) is not None:
        raise SettingsError(
            f"{bundle.artifact} cannot be exported as .pt2: {reason}. Give --to onnx, or import the original network "
            "with geoseg models import --format safetensors or --format pt2, and export that bundle."
        )
    loaded = load_torch(bundle, program_as_part=True)
    network = nn.Sequential(ToModel(bundle), loaded.module, Logits(bundle))
    side = bundle.patch_px
    pixels = torch.zeros(loaded.batch or 2, len(bundle.bands), side, side)
    free = None if loaded.batch else ({0: torch.export.Dim("batch", min=1)},)
    parameters = sum(tensor.numel() for tensor in network.parameters())
    metadata = mlm_metadata(
        bundle,
        list(bundle.file.scaling),
        returned_activation(bundle),
        parameters,
        framework="pytorch",
        framework_version=torch.__version__.partition("+")[0],
        artifact_type="torch.export.save",
    )
    try:
        with torch.no_grad():
            programs = {
                MODEL: torch.export.export(network, (pixels,), dynamic_shapes=free),
                TRANSFORMS: torch.export.export(Scaling(bundle.file.scaling), (pixels,), dynamic_shapes=free),
            }
        text = yaml.safe_dump(metadata, sort_keys=False, allow_unicode=True)
        package_pt2(str(output), exported_programs=programs, extra_files={KEY: text})
    except Exception as error:  # any error of the exporter
        raise SettingsError(
            f"{bundle.artifact} cannot be exported by torch.export: {one_line(error)}. Give --to onnx."
        ) from error
    return loaded.batch
