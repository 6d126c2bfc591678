"""Networks of other libraries, saved by these libraries themselves or with the keys that they write."""

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import onnx
import safetensors.torch
import torch
import yaml
from torch import Tensor, nn

from geoseg.model.zoo.extra import import_extra

CLASSES = ("water", "forest", "field")
BANDS = ("red", "green", "blue", "nir")
SMALL_DECODER = {"decoder_channels": (16, 8, 8, 8, 4)}


class Saved(NamedTuple):
    """A saved network."""

    path: Path
    original: Callable[[Tensor], Tensor]
    """Scaled pixels of shape (N, C, H, W) to logits of the same height and width."""
    options: dict[str, str]
    """What `geoseg models import` must be told."""


def given(*names: str) -> dict[str, str]:
    """Options that give facts of the test networks."""
    values = {
        "bands": ",".join(BANDS),
        "classes": ",".join(CLASSES),
        "scaling": "/255",
        "arch": "Unet",
        "encoder": "resnet18",
        "patch-px": "64",
    }
    return {name: values[name] for name in names}


def unet(bands: int = len(BANDS), classes: int = len(CLASSES), **arguments: Any) -> nn.Module:
    """A U-Net of segmentation-models-pytorch whose logits differ from pixel to pixel."""
    smp = import_extra("segmentation_models_pytorch")
    torch.manual_seed(0)
    network = smp.Unet("resnet18", encoder_weights=None, in_channels=bands, classes=classes, **arguments)
    return lively(network)


def lively(network: nn.Module) -> nn.Module:
    """Give batch normalisation statistics as after a training, so that the network is not nearly constant."""
    network.train()
    with torch.no_grad():
        first = next(layer for layer in network.modules() if isinstance(layer, nn.Conv2d))
        for _ in range(3):
            network(torch.randn(4, first.in_channels, 64, 64))
    return network.eval()


def balance(original: Callable[[Tensor], Tensor], last: nn.Conv2d, bands: int) -> None:
    """Set the last layer so that each class wins somewhere in random pixels, by logits far apart."""
    with torch.no_grad():
        logits = original(torch.rand(1, bands, 64, 64))
        last.bias -= logits.mean((0, 2, 3))
        spread = logits.std((0, 2, 3)).mean()
        last.weight /= spread
        last.bias /= spread


def smp_folder(folder: Path) -> Saved:
    network = unet(decoder_attention_type="scse")
    network.save_pretrained(folder / "unet")
    return Saved(folder / "unet", network, given("bands", "classes", "scaling", "patch-px"))


def smp_with_transforms(folder: Path) -> Saved:
    """With the file that Albumentations writes for ``A.Compose([A.Normalize(...)])``."""
    network = unet(activation="softmax2d")
    network.save_pretrained(folder / "unet")
    normalise = {
        "__class_fullname__": "Normalize",
        "mean": [0.4, 0.4, 0.4, 0.4],
        "std": [0.2, 0.2, 0.2, 0.2],
        "max_pixel_value": 255.0,
    }
    transform = {"__class_fullname__": "Compose", "transforms": [normalise]}
    (folder / "unet" / "albumentations_config_eval.json").write_text(json.dumps({"transform": transform}))
    return Saved(folder / "unet", network, given("bands", "classes", "patch-px"))


def lightning_checkpoint(folder: Path) -> Saved:
    """As ``SemanticSegmentationTask`` of torchgeo."""
    network = unet()
    weights = {f"model.{name}": tensor for name, tensor in network.state_dict().items()}
    parameters = {
        "model": "unet",
        "backbone": "resnet18",
        "in_channels": 4,
        "num_classes": 3,
        "num_labels": None,
        "task": "multiclass",
        "loss": "ce",
        "num_filters": 3,
        "class_weights": torch.ones(3),
        "lr": 1e-3,
    }
    content = {
        "epoch": 3,
        "state_dict": {**weights, "criterion.weight": torch.ones(3)},
        "hyper_parameters": parameters,
        "optimizer_states": [{"state": {}, "param_groups": [{"lr": 1e-3}]}],
    }
    torch.save(content, folder / "best.ckpt")
    return Saved(folder / "best.ckpt", network, given("bands", "classes", "scaling", "patch-px"))


def two_dates(folder: Path) -> Saved:
    """As ftw-tools: eight bands of two dates, three classes."""
    network = unet(8, 3)
    weights = {f"model.{name}": tensor for name, tensor in network.state_dict().items()}
    parameters = {"model": "unet", "backbone": "resnet18", "in_channels": 8, "num_classes": 3, "num_filters": 64}
    torch.save({"state_dict": weights, "hyper_parameters": parameters}, folder / "ftw.ckpt")
    return Saved(folder / "ftw.ckpt", network, {"preset": "ftw-2date", "patch-px": "64"})


def torchgeo_fcn(folder: Path) -> Saved:
    """The FCN of torchgeo, https://github.com/torchgeo/torchgeo/blob/main/torchgeo/models/fcn.py."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for index in range(5):
        layers += [nn.Conv2d(4 if index == 0 else 8, 8, 3, padding=1), nn.LeakyReLU()]
    backbone, last = nn.Sequential(*layers), nn.Conv2d(8, 3, 1)
    balance(nn.Sequential(backbone, last), last, 4)
    parts = {"model.backbone": backbone, "model.last": last}
    weights = {f"{name}.{key}": value for name, part in parts.items() for key, value in part.state_dict().items()}
    parameters = {"model": "fcn", "backbone": "resnet18", "in_channels": 4, "num_classes": 3, "num_filters": 8}
    torch.save({"state_dict": weights, "hyper_parameters": parameters}, folder / "fcn.ckpt")
    return Saved(
        folder / "fcn.ckpt", nn.Sequential(backbone, last).eval(), given("bands", "classes", "scaling", "patch-px")
    )


def geoai_folder(folder: Path) -> Saved:
    network, target = unet(), folder / "geoai"
    target.mkdir()
    config = {
        "model_type": "timm_segmentation",
        "architecture": "unet",
        "encoder_name": "resnet18",
        "num_channels": 4,
        "num_classes": 3,
        "use_timm_model": False,
        "timm_model_name": None,
    }
    (target / "config.json").write_text(json.dumps(config))
    torch.save(network.state_dict(), target / "model.pth")
    return Saved(target, network, given("bands", "classes", "patch-px"))


def bare_weights(folder: Path) -> Saved:
    network = unet()
    torch.save({"module." + name: value for name, value in network.state_dict().items()}, folder / "weights.pth")
    return Saved(folder / "weights.pth", network, given("arch", "encoder", "bands", "classes", "scaling", "patch-px"))


def flair(folder: Path) -> Saved:
    """The names of FLAIR-HUB for aerial pictures alone, with the layers of its fusion and of an auxiliary loss."""
    network = unet(3, 19)
    weights = {"model.fusion_handler.conv_f.0.weight": torch.zeros(4, 4, 1, 1)}
    for name, tensor in network.state_dict().items():
        if name.startswith("encoder."):
            weights[f"model.encoders.AERIAL_RGBI.seg_model.{name.removeprefix('encoder.')}"] = tensor
        else:
            weights[f"model.main_decoders.AERIAL_LABEL-COSIA.seg_model.{name}"] = tensor
    safetensors.torch.save_file(weights, folder / "flair.safetensors")
    options = given("arch", "encoder", "patch-px")
    return Saved(folder / "flair.safetensors", network, {**options, "preset": "flair-aerial-rgbi"})


def onnx_file(folder: Path) -> Saved:
    network = unet()
    _export(network, folder / "plain.onnx")
    return Saved(folder / "plain.onnx", network, given("bands", "classes", "scaling", "patch-px"))


def deepness(folder: Path) -> Saved:
    network = unet()
    _export(network, folder / "deepness.onnx")
    model = onnx.load(folder / "deepness.onnx")
    properties = {
        "model_type": "Segmentor",
        "class_names": dict(enumerate(CLASSES)),
        "resolution": 60,
        "tiles_size": 64,
        "tiles_overlap": 25,
        "standardization_mean": [0.5] * 4,
        "standardization_std": [0.25] * 4,
    }
    for key, value in properties.items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, json.dumps(value)
    onnx.save(model, folder / "deepness.onnx")
    return Saved(folder / "deepness.onnx", network, given("bands"))


def geoai_onnx(folder: Path) -> Saved:
    network = unet()
    _export(network, folder / "geoai.onnx")
    sidecar = {"model_name": "unet", "input_height": 64, "input_width": 64, "input_channels": 4}
    labels = {str(index): name for index, name in enumerate(CLASSES)}
    (folder / "geoai.onnx.json").write_text(json.dumps({**sidecar, "id2label": labels}))
    return Saved(folder / "geoai.onnx", network, given("bands", "scaling"))


def mlm_item(folder: Path) -> Saved:
    """As stac-model writes Items: sizes of the first kernel, no height and width of the output."""
    network = unet()
    safetensors.torch.save_file(network.state_dict(), folder / "unet.safetensors")
    taken = {
        "name": "pixels",
        "bands": list(BANDS),
        "input": {"shape": [-1, 4, 3, 3], "dim_order": ["batch", "bands", "height", "width"], "data_type": "float32"},
        "value_scaling": [{"type": "z-score", "mean": 0, "stddev": 200}],
    }
    given_ = {
        "name": "classes",
        "result": {"shape": [-1, 3], "dim_order": ["batch", "classes"], "data_type": "float32"},
        "classification:classes": [{"value": index, "name": name} for index, name in enumerate(CLASSES)],
    }
    properties = {
        "mlm:name": "landuse",
        "mlm:architecture": "segmentation_models_pytorch.decoders.unet.model.Unet",
        "mlm:input": [taken],
        "mlm:output": [given_],
        "license": "CC-BY-4.0",
    }
    asset = {"href": "./unet.safetensors", "roles": ["mlm:model"], "mlm:artifact_type": "safetensors.torch.save_file"}
    item = {"type": "Feature", "properties": properties, "assets": {"model": asset}, "links": []}
    (folder / "item.json").write_text(json.dumps(item))
    return Saved(folder / "item.json", network, given("encoder", "patch-px"))


def torchscript(folder: Path) -> Saved:
    network = unet()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.trace(network, torch.zeros(1, 4, 64, 64), check_trace=False).save(folder / "unet.pt")
    return Saved(
        folder / "unet.pt", network, {**given("bands", "classes", "scaling", "patch-px"), "trust-model-code": ""}
    )


def program(folder: Path) -> Saved:
    """With the metadata of the MLM extension inside, as stac-model packs it."""
    network = unet()
    batch = torch.export.Dim("batch", min=1, max=64)
    exported = torch.export.export(network, (torch.zeros(2, 4, 64, 64),), dynamic_shapes=({0: batch},))
    taken = {
        "bands": list(BANDS),
        "input": {"shape": [-1, 4, 64, 64]},
        "value_scaling": [{"type": "scale", "value": 255}],
    }
    classes = [{"value": index, "name": name} for index, name in enumerate(CLASSES)]
    metadata = {"properties": {"name": "landuse", "input": [taken], "output": [{"classification:classes": classes}]}}
    torch.export.save(exported, folder / "unet.pt2", extra_files={"mlm-metadata": yaml.safe_dump(metadata)})
    return Saved(folder / "unet.pt2", network, {**given("patch-px"), "trust-model-code": ""})


def _export(network: nn.Module, path: Path) -> None:
    free = {0: "batch", 2: "height", 3: "width"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (torch.zeros(1, 4, 64, 64),),
            str(path),
            dynamo=False,
            input_names=["pixel_values"],
            output_names=["logits"],
            dynamic_axes={"pixel_values": free, "logits": free},
        )


SOURCES = (
    *(smp_folder, smp_with_transforms, lightning_checkpoint, two_dates, torchgeo_fcn, geoai_folder, bare_weights),
    *(flair, onnx_file, deepness, geoai_onnx, mlm_item, torchscript, program),
)
"""One function for each row of the table of sources in configs/BUNDLE.md, and for its variants."""
