"""The description of a bundle as rows to print."""

from collections.abc import Iterator

from geoseg.model.bundle.bundle import ANY_SIZE, Bundle, Tensor4
from geoseg.model.bundle.files import read_files
from geoseg.model.bundle.scaling import PerBand, Step


def describe_bundle(bundle: Bundle) -> Iterator[tuple[str, str]]:
    """Yield rows (heading, text) with everything that determines the results, except the classes."""
    file = bundle.file
    yield "model", f"{bundle.name} ({file.artifact}, {file.architecture})"
    yield "bands", ", ".join(bundle.bands)
    yield "input", _describe_tensor(file.inputs[0].input)
    yield "output", _describe_tensor(file.outputs[0].result)
    multiple = f", multiples of {file.size_multiple} px" if file.size_multiple > 1 else ""
    yield "patch, overlap", f"{bundle.patch_px} px, {bundle.overlap_px} px{multiple}"
    if file.pixel_m is not None:
        yield "pixels", f"{file.pixel_m:g} m"
    steps = [describe_step(step) for step in file.scaling] or ["none: the network gets the numbers of the file"]
    yield from zip(["scaling", *[""] * (len(steps) - 1)], steps, strict=True)
    yield "nodata", f"{file.nodata_fill:g} after scaling"
    yield "activation", file.activation
    files = [f"{name} ({len(content):,} bytes)" for name, content in read_files(bundle.path, file.artifact).items()]
    yield from zip(["files", *[""] * (len(files) - 1)], files, strict=True)


def describe_step(step: Step) -> str:
    """Format a step with its parameters, such as ``z-score mean=[483, 728.2] stddev=210.7``."""
    numbers = (f"{name}={_describe_number(value)}" for name, value in step if name != "type")
    return " ".join([step.type, *numbers])


def _describe_number(value: PerBand) -> str:
    return f"[{', '.join(map(str, value))}]" if isinstance(value, list) else str(value)


def _describe_tensor(tensor: Tensor4) -> str:
    sizes = ("any" if size == ANY_SIZE else str(size) for size in tensor.shape)
    named = (f"{name} {size}" for name, size in zip(tensor.dim_order, sizes, strict=True))
    return f"{'NHWC' if tensor.channels_last else 'NCHW'}: {', '.join(named)}"
