"""`geoseg models export`: write the network of a bundle as one file, load that again and compare it."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from rich.console import Console
from rich.markup import escape

from geoseg.errors import SettingsError
from geoseg.exporter import deepness
from geoseg.exporter.modules import returned_activation
from geoseg.exporter.read_back import check, compare
from geoseg.exporter.write_onnx import write_onnx
from geoseg.exporter.write_pt2 import write_pt2
from geoseg.model.bundle.bundle import Bundle
from geoseg.model.bundle.trust import read_trusted_bundle

Target = Literal["onnx", "pt2"]
WRITERS: Mapping[Target, Callable[[Bundle, Path], int | None]] = {"onnx": write_onnx, "pt2": write_pt2}
"""Each returns the only batch size that the file accepts, or None for any."""


def export_model(
    path: Path, target: Target, output: Path, console: Console, *, trust_code: bool, overwrite: bool
) -> None:
    """Export a bundle and print how well the file agrees with it, and what it cannot carry.

    Args:
        path: The bundle.
        target: Format of the file.
        output: The file; it appears at the end, as a whole.
        console: Where the screen goes.
        trust_code: Permission to load an artifact that can run code.
        overwrite: Permission to replace a file.

    Raises:
        SettingsError: If the bundle cannot be used or exported, the file cannot be written, or it gives other
            probabilities than the bundle.
    """
    if output.suffix != f".{target}":
        raise SettingsError(
            f"--output {output} must end in .{target}, by which other programs recognise the file. Rename it."
        )
    if output.is_dir() or (output.exists() and not overwrite):
        remedy = "Give the name of a file." if output.is_dir() else "Give --overwrite to replace it, or another name."
        raise SettingsError(f"{output} exists. {remedy}")
    bundle = read_trusted_bundle(path, trust_code=trust_code)
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=output.parent, prefix=f".{output.name}-") as folder:
            staged = Path(folder, output.name)
            batch = WRITERS[target](bundle, staged)
            agreements = compare(bundle, staged, batch)
            for one in agreements:
                console.print(
                    f"compared with the bundle on {escape(one.pixels)}: {one.same:.3%} of the classes are the same, "
                    f"probabilities differ by at most {one.difference:.2g}"
                )
            check(agreements, output)
            staged.replace(output)
    except OSError as error:
        raise SettingsError(f"{error.filename or output} cannot be written: {error.strerror or error}.") from error
    for note in (_onnx_notes if target == "onnx" else _pt2_notes)(bundle):
        console.print(f"[yellow]note:[/yellow] {escape(note)}")
    sizes = f"batches of {'any size' if batch is None else batch}, {bundle.patch_px} px"
    console.print(f"{escape(str(output))}: {output.stat().st_size:,} bytes, {len(bundle.legend)} classes, {sizes}")


def _onnx_notes(bundle: Bundle) -> Iterator[str]:
    if deepness.can_scale(bundle):
        yield (
            "The network takes scaled pixels and returns probabilities. deepness scales by standardization_mean and "
            "standardization_std; in another program, compute (pixels / 255 - mean) / std yourself."
        )
    else:
        yield (
            "deepness cannot clip or take logarithms, so the bundle's scaling is a part of the network. It takes "
            "pixels / 255, as deepness feeds them, and returns probabilities. If the file is imported again, nodata is "
            "filled before the scaling, so maps differ near nodata."
        )
    yield f"deepness takes bands by their order: {', '.join(bundle.bands)}."
    if bundle.file.pixel_m is None:
        yield "The bundle states no size of a pixel (gsd), so set the resolution in deepness."
    yield (
        "deepness has no nodata and no colours of classes, and it cuts overlaps in their middle where geoseg blends "
        "them: there the maps differ."
    )


def _pt2_notes(bundle: Bundle) -> Iterator[str]:
    yield (
        "The archive has two programs: transforms scales raw pixels, model takes scaled ones. torch.export.load gives "
        "model alone; load_pt2 gives both."
    )
    activation = returned_activation(bundle)
    if activation != "softmax":
        what = "probabilities" if activation == "none" else "logits for a sigmoid"
        yield (
            f"The network returns {what}. RasterFlow applies a softmax: the classes are the same, the confidence is "
            "another."
        )
    if bundle.file.nodata_fill:
        yield f"The value of nodata after scaling, {bundle.file.nodata_fill:g}, is not carried; 0 is usual."
    names = ", ".join(f'"{name}"' for name in bundle.bands), ", ".join(f'"{name}"' for name in bundle.legend.names)
    yield f"For RasterFlow: patch_size={bundle.patch_px}, features=[{names[0]}], labels=[{names[1]}]."
