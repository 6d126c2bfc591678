"""The commands `geoseg models`: parse arguments, call one function, print its result."""

import json
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from geoseg.errors import SettingsError

models = typer.Typer(help="Make and look at model bundles.", no_args_is_help=True)
out = Console(highlight=False, soft_wrap=True)

TrustOption = Annotated[
    bool, typer.Option("--trust-model-code", help="Load model.pt2 and TorchScript, which can run code.")
]


@models.command("list")
def list_models(
    names: Annotated[list[str] | None, typer.Argument(help="Networks to list; all without any.")] = None,
    measure: Annotated[bool, typer.Option("--measure", help="Run each one here, for about a second.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print the networks that a bundle can name: paper, parameters, multiple of the patch's size, speed here."""
    from geoseg.model.catalogue import describe_network, describe_speed, list_architectures  # noqa: PLC0415
    from geoseg.model.zoo.extra import INSTALL  # noqa: PLC0415

    with Console(stderr=True).status("Measuring ...") if measure else nullcontext():
        entries = list(list_architectures(names or (), measure=measure))
    conditions = " ".join([describe_network(), *([describe_speed()] if measure else [])])
    if as_json:
        typer.echo(json.dumps({"architectures": [asdict(one) for one in entries], "conditions": conditions}, indent=2))
        return
    table = Table("name", box=None)
    table.add_column("paper", overflow="fold")
    for heading in ("parameters", "multiple", *(["px/s"] if measure else [])):
        table.add_column(heading, justify="right")
    for one in entries:
        parameters = "not installed" if one.parameters is None else f"{one.parameters / 1e6:.2f} M"
        speed = [] if not measure else ["" if one.px_per_s is None else f"{one.px_per_s:,.0f}"]
        table.add_row(one.name, escape(one.paper), parameters, f"{one.size_multiple} px", *speed)
    out.print(table)
    out.print(escape(conditions))
    if any(one.parameters is None for one in entries):
        out.print(escape(f"Those that are not installed: {INSTALL}"))


@models.command("show")
def show_model(bundle: Annotated[str, typer.Argument(help="Directory of the bundle.")]) -> None:
    """Print the inputs and outputs of a bundle."""
    from geoseg.model.bundle.bundle import read_bundle  # noqa: PLC0415
    from geoseg.model.bundle.show import describe_bundle  # noqa: PLC0415

    content = read_bundle(bundle)
    table = Table(show_header=False, box=None)
    for heading, text in describe_bundle(content):
        table.add_row(heading, escape(text))
    for entry in content.legend.classes:
        table.add_row(
            f"class {entry.id}", Text("   ", style=f"on rgb({','.join(map(str, entry.color))})") + f" {entry.name}"
        )
    out.print(table)
    out.print(f" sha256 {content.sha256}")


@models.command("check")
def check_model(
    bundle: Annotated[str, typer.Argument(help="Directory of the bundle.")],
    device: Annotated[Literal["cpu", "cuda"], typer.Option(help="Where to run it.")] = "cpu",
    scene: Annotated[str | None, typer.Option(help="Raster on parts of which to run it.")] = None,
    output: Annotated[Path | None, typer.Option(help="PNG of scene and class map; default SCENE-check.png.")] = None,
    assignments: Annotated[
        list[str] | None, typer.Option("--set", help="One setting of the scene, such as scene.bands=4,3,2.")
    ] = None,
    trust_model_code: TrustOption = False,
) -> None:
    """Load a bundle and run it once, as every run does before its first block; with --scene also on real pixels.

    With --scene it prints the shares of the classes, draws the class map beside the scene, and warns of what a wrong
    scaling, order of bands or activation looks like.
    """
    from geoseg.model.bundle.trust import read_trusted_bundle  # noqa: PLC0415
    from geoseg.model.bundle.value_checks import warn_unscaled  # noqa: PLC0415
    from geoseg.model.inference import Inference  # noqa: PLC0415
    from geoseg.model.load import start_predictor  # noqa: PLC0415

    if scene is None and (output is not None or assignments):
        raise SettingsError("--output and --set are for the pixels of --scene. Give --scene too, or leave them out.")
    content = read_trusted_bundle(bundle, trust_code=trust_model_code)
    predictor = start_predictor(content, Inference(device, content.patch_px))
    for warning in (*warn_unscaled(content.name, content.file.scaling), *predictor.task.warnings):
        out.print(f"[yellow]warning:[/yellow] {escape(warning)}")
    out.print(
        f"{content.name} runs on {device} with patches of {content.patch_px} px and {len(content.legend)} classes."
    )
    if scene is not None:
        from geoseg.trial.command import check_on_scene  # noqa: PLC0415

        check_on_scene(content, predictor, scene, assignments or (), output, out)


@models.command("import")
def import_command(
    source: Annotated[Path, typer.Argument(help="Folder or file of a trained network.")],
    output: Annotated[Path, typer.Option(help="Folder for the bundle.")],
    bands: Annotated[str | None, typer.Option(help="Names of the bands, such as red,green,blue,nir.")] = None,
    classes: Annotated[str | None, typer.Option(help="Names of the classes with commas, or a file.")] = None,
    legend: Annotated[str | None, typer.Option(help="Published legend, such as worldcover, nlcd, cosia.")] = None,
    scaling: Annotated[str | None, typer.Option(help="/255, none, or steps of geoseg:scaling as JSON or file.")] = None,
    preset: Annotated[str | None, typer.Option(help="Bands and scaling of a family, such as naip.")] = None,
    arch: Annotated[str | None, typer.Option(help="For bare weights: the network, such as Unet.")] = None,
    encoder: Annotated[str | None, typer.Option(help="For bare weights: its encoder, such as resnet34.")] = None,
    activation: Annotated[
        Literal["softmax", "sigmoid", "none"] | None, typer.Option(help="What follows the network's output.")
    ] = None,
    patch_px: Annotated[int | None, typer.Option(help="Side of a patch.", min=1)] = None,
    overlap_px: Annotated[int | None, typer.Option(help="Overlap of patches; default a quarter.", min=0)] = None,
    pixel_m: Annotated[float | None, typer.Option(help="Metres of a pixel of the training data.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the model.")] = None,
    license_name: Annotated[str | None, typer.Option("--license", help="Licence of the weights.")] = None,
    citation: Annotated[str | None, typer.Option(help="What to cite.")] = None,
    form: Annotated[
        Literal["onnx", "safetensors", "pt2"], typer.Option("--format", help="How the network is kept.")
    ] = "onnx",
    scene: Annotated[Path | None, typer.Option(help="A raster on which to compare with the original.")] = None,
    scene_bands: Annotated[
        str, typer.Option(help="Bands of that raster in the model's order, such as 4,3,2.")
    ] = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a bundle.")] = False,
    trust_model_code: TrustOption = False,
) -> None:
    """Make a bundle of a network that another library trained; says what it finds and asks for what is missing."""
    from geoseg.importer.command import Sample, import_model  # noqa: PLC0415
    from geoseg.importer.facts.given import Given  # noqa: PLC0415
    from geoseg.importer.sources.source import Request  # noqa: PLC0415

    given = Given(
        name=name,
        bands=bands,
        classes=classes,
        legend=legend,
        scaling=scaling,
        preset=preset,
        activation=activation,
        patch_px=patch_px,
        overlap_px=overlap_px,
        pixel_m=pixel_m,
        license=license_name,
        citation=citation,
    )
    request = Request(source, arch, encoder, trust_model_code, scaling_given=scaling is not None)
    import_model(request, given, output, form, Sample(scene, scene_bands), out, overwrite=overwrite)


@models.command("export")
def export_command(
    bundle: Annotated[Path, typer.Argument(help="Directory of the bundle.")],
    to: Annotated[Literal["onnx", "pt2"], typer.Option(help="onnx: for deepness; pt2: torch.export, for RasterFlow.")],
    output: Annotated[Path, typer.Option(help="The file, ending in .onnx or .pt2.")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file.")] = False,
    trust_model_code: TrustOption = False,
) -> None:
    """Write a bundle's network as one file for other programs, and compare the file with the bundle."""
    from geoseg.exporter.command import export_model  # noqa: PLC0415

    export_model(bundle, to, output, out, trust_code=trust_model_code, overwrite=overwrite)


@models.command("new")
def new_command(
    source: Annotated[Path, typer.Argument(help="File of a trained network: ONNX, .pt2, TorchScript, weights.")],
    output: Annotated[Path, typer.Option(help="Folder for the bundle.")] = Path("bundle"),
    arch: Annotated[str | None, typer.Option(help="For bare weights: the network, such as Unet.")] = None,
    encoder: Annotated[str | None, typer.Option(help="For bare weights: its encoder, such as resnet34.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a bundle.")] = False,
    trust_model_code: TrustOption = False,
) -> None:
    """Draft a bundle: a commented model.json with all that forward passes tell, and gaps for what they cannot."""
    from geoseg.importer.draft.command import draft_bundle  # noqa: PLC0415
    from geoseg.importer.sources.source import Request  # noqa: PLC0415

    draft_bundle(Request(source, arch, encoder, trust_model_code), output, out, overwrite=overwrite)
