"""Find the reader for a file or a folder."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from geoseg.errors import SettingsError
from geoseg.importer.sources.checkpoints import is_checkpoint, is_geoai_folder, read_any_checkpoint, read_geoai_folder
from geoseg.importer.sources.mlm_item import is_mlm_item, read_mlm_item
from geoseg.importer.sources.onnx_source import is_onnx, read_onnx
from geoseg.importer.sources.programs import is_program, read_program
from geoseg.importer.sources.smp_folder import CONFIG, is_smp_folder, read_smp_folder
from geoseg.importer.sources.source import Request, Source
from geoseg.importer.sources.transformers_folder import is_transformers_folder, read_transformers_folder


class Reader(NamedTuple):
    """A kind of source."""

    recognises: Callable[[Path], bool]
    read: Callable[[Request], Source]


def read_source(request: Request) -> Source:
    """Read a source with the reader that recognises it.

    Raises:
        SettingsError: If it does not exist, none recognises it, or it cannot be read.
    """
    path = request.path
    if not path.exists():
        hint = " Download it first; geoseg models import reads files and folders." if "/" in str(path) else ""
        raise SettingsError(f"{path} does not exist.{hint}")
    try:
        for reader in READERS:
            if reader.recognises(path):
                return reader.read(request)
    except OSError as error:
        raise SettingsError(f"{error.filename or path} cannot be read: {error.strerror or error}.") from error
    held = f"It has no {CONFIG} or mlm.json. " if path.is_dir() else ""
    raise SettingsError(
        f"{path} is none of the sources that geoseg recognises. {held}It reads folders of save_pretrained "
        "(segmentation-models-pytorch, transformers) and of geoai, checkpoints and weights (.ckpt, .pth, .pt, "
        ".safetensors), .onnx, .pt2, TorchScript, and Items of the STAC MLM extension. configs/BUNDLE.md tells "
        "how to write a bundle by hand; geoseg models new drafts one for a file of these kinds."
    )


def _read_mlm_item(request: Request) -> Source:
    return read_mlm_item(request, read_source)


READERS = (
    Reader(is_smp_folder, read_smp_folder),
    Reader(is_geoai_folder, read_geoai_folder),
    Reader(is_transformers_folder, read_transformers_folder),
    Reader(is_mlm_item, _read_mlm_item),
    Reader(is_onnx, read_onnx),
    Reader(is_program, read_program),
    Reader(is_checkpoint, read_any_checkpoint),
)
"""Tried in this order."""
