"""Networks that carry their own code: TorchScript, and programs of torch.export."""

import zipfile
from pathlib import Path

import torch

from geoseg.errors import SettingsError
from geoseg.importer.facts.facts import Fact, Facts
from geoseg.importer.facts.json_files import parse_yaml
from geoseg.importer.sources.mlm_facts import mlm_facts
from geoseg.importer.sources.source import Request, Source, run_module
from geoseg.model.network import load_program, load_script, one_line

METADATA = "extra/mlm-metadata"
"""Member of an archive of torch.export with the properties of the MLM extension, as YAML."""
PROGRAM_SUFFIX = ".pt2"


def is_program(path: Path) -> bool:
    """Return whether it is an archive of torch.export or of TorchScript."""
    return path.is_file() and (path.suffix.lower() == PROGRAM_SUFFIX or _is_script(path))


def read_program(request: Request) -> Source:
    """Load the network, with permission.

    Raises:
        SettingsError: Without permission, or if it cannot be loaded.
    """
    path = request.path
    if not request.trust_code:
        raise SettingsError(
            f"{path} was not loaded: its loader can run code that the file holds. Give --trust-model-code if you trust "
            "whoever made it."
        )
    script = _is_script(path)
    kind = "TorchScript" if script else "torch.export"
    try:
        loaded = (load_script if script else load_program)(path.read_bytes(), torch.device("cpu"))
    except Exception as error:  # any error of foreign code
        raise SettingsError(f"{path} cannot be loaded as {kind}: {one_line(error)}. Export it again.") from error
    network = loaded.module if script else Program(loaded.module)
    bands, side = loaded.shape[1:3] if len(loaded.shape) == 4 else (None, None)
    facts = Facts(
        name=Fact(path.stem, "name of the source"),
        architecture=Fact(kind, "file"),
        band_count=Fact(bands, kind) if bands is not None else None,
        patch_px=Fact(side, kind) if side is not None else None,
    )
    if not script and (text := _metadata(path)) is not None:
        document = parse_yaml(text, f"{path}/{METADATA}")
        facts = facts.overruled_by(mlm_facts(document, f"{path}/{METADATA}", request.scaling_given))
    return Source(kind, facts, run_module(network), network, program=path)


def _is_script(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return any("/code/" in name for name in archive.namelist()) and path.suffix.lower() != PROGRAM_SUFFIX
    except (zipfile.BadZipFile, OSError):
        return False


class Program(torch.nn.Module):
    """A program that has no mode of training, which exporters would set."""

    def __init__(self, program: torch.nn.Module) -> None:
        super().__init__()
        self._program = [program.requires_grad_(False)]  # not a submodule

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Run the program."""
        return self._program[0](pixels)  # type: ignore[no-any-return]


def _metadata(path: Path) -> bytes | None:
    with zipfile.ZipFile(path) as archive:
        member = next((name for name in archive.namelist() if name.endswith(METADATA)), None)
        return None if member is None else archive.read(member)
