"""Write a resolved network as a bundle."""

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from geoseg import __version__
from geoseg.errors import SettingsError
from geoseg.importer.forms import WRITERS, Format
from geoseg.importer.resolve import Resolved
from geoseg.importer.sources.source import Source
from geoseg.model.bundle.files import MODEL_FILE

READ_BYTES = 1 << 20


@contextmanager
def staged_bundle(
    source: Source, resolved: Resolved, output: Path, form: Format, path: Path, *, overwrite: bool
) -> Iterator[Path]:
    """Write a bundle beside its place; move it there at the end, or remove it if the body of the `with` raises.

    Args:
        source: The network.
        resolved: What describes it.
        output: The folder to write.
        form: How the network is kept.
        path: What was imported, for the lineage.
        overwrite: Permission to replace a bundle.

    Yields:
        The folder beside its place.

    Raises:
        SettingsError: If the folder exists, cannot be written, or the network cannot be kept in this form.
    """
    with staged_folder(output, overwrite=overwrite) as staged:
        with _explained(output):
            sizes = WRITERS[form](source, resolved, staged)
            document = model_document(source, resolved, sizes, path)
            (staged / MODEL_FILE).write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", "utf-8")
        yield staged


@contextmanager
def staged_folder(output: Path, *, overwrite: bool) -> Iterator[Path]:
    """Make a folder beside its place; move it there at the end, or remove it if the body of the `with` raises.

    Args:
        output: The folder to write.
        overwrite: Permission to replace a bundle.

    Raises:
        SettingsError: If the folder exists or cannot be written.
    """
    if output.exists() and not (overwrite and (output / MODEL_FILE).is_file()):
        is_bundle = (output / MODEL_FILE).is_file()
        remedy = (
            "Give --overwrite to replace it, or another --output" if is_bundle else "Give a folder that does not exist"
        )
        raise SettingsError(f"{output} exists{' and is a bundle' if is_bundle else ''}. {remedy}.")
    with ExitStack() as stack:
        with _explained(output):
            output.parent.mkdir(parents=True, exist_ok=True)
            folder = stack.enter_context(TemporaryDirectory(dir=output.parent, prefix=f".{output.name}-"))
            staged = Path(folder, output.name)
            staged.mkdir()
        yield staged
        with _explained(output):
            if output.exists():
                shutil.rmtree(output)
            staged.rename(output)


@contextmanager
def _explained(output: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SettingsError(f"{error.filename or output} cannot be written: {error.strerror or error}.") from error


def model_document(source: Source, resolved: Resolved, kept: dict[str, Any], path: Path) -> dict[str, Any]:
    """The content of ``model.json``.

    Args:
        source: The network.
        resolved: What describes it.
        kept: Keys that depend on the form, and ``channels_last``.
        path: What was imported.
    """
    facts = resolved.facts
    assert facts.patch_px is not None and facts.bands is not None and facts.legend is not None  # noqa: S101, PT018
    assert facts.class_count is not None and facts.scaling is not None and facts.activation is not None  # noqa: S101, PT018
    side, bands = facts.patch_px.value, list(facts.bands.value)
    last = kept.pop("channels_last", False)
    entries = [
        {"value": one.id, "name": one.name, "color_hint": bytes(one.color).hex().upper()}
        for one in facts.legend.value.classes
    ]
    given: dict[str, Any] = {
        "result": tensor_shape(facts.class_count.value, "classes", resolved.output_px, last),
        "classification:classes": entries,
    }
    if source.onnx is not None and source.onnx.output is not None:
        given["name"] = source.onnx.output
    document = {
        "mlm:name": facts.name.value if facts.name is not None else path.stem,
        "mlm:architecture": facts.architecture.value if facts.architecture is not None else "unknown",
        "mlm:tasks": ["semantic-segmentation"],
        "mlm:input": [{"bands": bands, "input": tensor_shape(len(bands), "bands", side, last)}],
        "mlm:output": [given],
        "geoseg:scaling": facts.scaling.value,
        "geoseg:activation": facts.activation.value,
        **kept,
    }
    for key, fact in (
        ("geoseg:overlap_px", facts.overlap_px),
        ("geoseg:size_multiple", facts.size_multiple if document.get("geoseg:size_multiple") is None else None),
        ("gsd", facts.pixel_m),
        ("license", facts.license),
        ("sci:citation", facts.citation),
    ):
        if fact is not None:
            document[key] = fact.value
    document["processing:lineage"] = f"imported by geoseg {__version__} from {path.name}: {source.kind}"
    document["processing:source_sha256"] = digest(path)
    return document


def digest(path: Path) -> str:
    """The sha256 of a file; of a folder, of the names and contents of its files in order."""
    sha256 = hashlib.sha256()
    names = sorted(one for one in path.rglob("*") if one.is_file()) if path.is_dir() else [path]
    for name in names:
        if path.is_dir():
            sha256.update(f"{name.relative_to(path).as_posix()} {name.stat().st_size}\n".encode())
        with name.open("rb") as file:
            while chunk := file.read(READ_BYTES):
                sha256.update(chunk)
    return sha256.hexdigest()


def tensor_shape(channels: int, word: str, side: int, channels_last: bool) -> dict[str, Any]:
    """Shape and order of an input or output of square maps, for a batch of any size."""
    if channels_last:
        return {"shape": [-1, side, side, channels], "dim_order": ["batch", "height", "width", word]}
    return {"shape": [-1, channels, side, side], "dim_order": ["batch", word, "height", "width"]}
