"""`geoseg models new`: write a bundle whose ``model.json`` the user completes."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from geoseg.errors import SettingsError
from geoseg.importer.draft.document import draft
from geoseg.importer.draft.probe import Probed, probe
from geoseg.importer.forms import copy_onnx, save_weights
from geoseg.importer.sources.programs import PROGRAM_SUFFIX
from geoseg.importer.sources.source import Request
from geoseg.importer.write_bundle import digest, staged_folder
from geoseg.model.bundle.files import MODEL_FILE
from geoseg.model.bundle.gaps import FILL_IN

LOCKED = ("model.pt2", "model.torchscript.pt")


def draft_bundle(request: Request, output: Path, console: Console, *, overwrite: bool) -> None:
    """Write a draft, and print what it holds and what is missing.

    Args:
        request: The network.
        output: The folder to write.
        console: Where the result goes.
        overwrite: Permission to replace a bundle.

    Raises:
        SettingsError: If the network cannot be read or run, or the folder not be written.
    """
    probed = probe(request)
    with staged_folder(output, overwrite=overwrite) as staged:
        kept = _keep(probed, staged)
        lineage = {"from": f"{request.path.name}: {probed.source.kind}", "sha256": digest(request.path)}
        (staged / MODEL_FILE).write_text(draft(probed, kept, request.path.stem, lineage), "utf-8")
    layout = "NHWC" if probed.channels_last else "NCHW"
    why = "from the source" if probed.source.facts.activation is not None else "a guess: look at it"
    sizes = f"multiples of {probed.multiple} px" if probed.multiple is not None else f"{probed.patch_px} px alone"
    console.print(f"source    {escape(probed.source.kind)}")
    console.print(f"network   {layout}, {probed.bands} bands, {probed.channels} channels, patches of {sizes}")
    console.print(f"then      {probed.activation.value} ({why})")
    file, trust = escape(str(output / MODEL_FILE)), " --trust-model-code" if kept["geoseg:artifact"] in LOCKED else ""
    gaps = _gaps(probed)
    todo = f"replace each {FILL_IN} ({', '.join(gaps)})" if gaps else "nothing is missing"
    console.print(f"{file}: {todo}; comments explain every key")
    console.print(f"next: geoseg models check {escape(str(output))} --scene SCENE.tif{trust}")


def _keep(probed: Probed, folder: Path) -> Mapping[str, Any]:
    """Write the artifact; return what ``model.json`` says of it."""
    source = probed.source
    if source.onnx is not None:
        return copy_onnx(source.onnx, folder)
    if source.program is not None:
        name = LOCKED[0] if source.program.suffix.lower() == PROGRAM_SUFFIX else LOCKED[1]
        shutil.copyfile(source.program, folder / name)
        return {"geoseg:artifact": name}
    if source.zoo is not None and source.network is not None:
        return save_weights(source.zoo, source.network, folder)
    raise SettingsError(
        f"{source.kind} is no network of geoseg's zoo, so its weights alone are not enough. Use geoseg models import, "
        "which exports it."
    )


def _gaps(probed: Probed) -> list[str]:
    facts = probed.source.facts
    known = {"bands": facts.bands, "names of the classes": facts.legend, "scaling": facts.scaling}
    return [name for name, fact in known.items() if fact is None]
