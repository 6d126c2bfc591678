"""Small networks of transformers, saved by its own ``save_pretrained``, each with the map of the library itself."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from geoseg.model.zoo.extra import import_extra
from tests.support.networks import CLASSES, Saved, balance

LABELS = {"num_labels": 3, "id2label": dict(enumerate(CLASSES))}


def segformer(folder: Path) -> Saved:
    transformers = import_extra("transformers")
    torch.manual_seed(0)
    config = transformers.SegformerConfig(
        num_channels=3, hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 1, 1], decoder_hidden_size=16, **LABELS
    )
    network = transformers.SegformerForSemanticSegmentation(config).eval()
    return _save(folder / "segformer", network, network.decode_head.classifier, transformers.SegformerImageProcessor)


def upernet(folder: Path) -> Saved:
    transformers = import_extra("transformers")
    torch.manual_seed(0)
    backbone = transformers.ConvNextConfig(
        hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 1, 1], out_features=["stage1", "stage2", "stage3", "stage4"]
    )
    config = transformers.UperNetConfig(
        backbone_config=backbone, hidden_size=16, use_auxiliary_head=False, pool_scales=[1, 2], **LABELS
    )
    network = transformers.UperNetForSemanticSegmentation(config).eval()
    return _save(folder / "upernet", network, network.decode_head.classifier, transformers.SegformerImageProcessor)


def dpt(folder: Path) -> Saved:
    transformers = import_extra("transformers")
    torch.manual_seed(0)
    config = transformers.DPTConfig(
        image_size=64, patch_size=16, hidden_size=32, intermediate_size=32, num_hidden_layers=4, num_attention_heads=2,
        backbone_out_indices=[0, 1, 2, 3], neck_hidden_sizes=[8, 16, 16, 16], fusion_hidden_size=16,
        use_auxiliary_head=False, **LABELS,
    )  # fmt: skip
    network = transformers.DPTForSemanticSegmentation(config).eval()
    return _save(folder / "dpt", network, network.head.head[4], transformers.DPTImageProcessor)


def mask2former(folder: Path) -> Saved:
    transformers = import_extra("transformers")
    torch.manual_seed(0)
    backbone = transformers.SwinConfig(
        image_size=64, embed_dim=16, depths=[1, 1, 1, 1], num_heads=[1, 2, 2, 4], window_size=4,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )  # fmt: skip
    config = transformers.Mask2FormerConfig(
        backbone_config=backbone, feature_size=32, mask_feature_size=32, hidden_dim=32, encoder_feedforward_dim=32,
        encoder_layers=1, decoder_layers=2, num_attention_heads=2, dim_feedforward=32, num_queries=12, **LABELS,
    )  # fmt: skip
    network = transformers.Mask2FormerForUniversalSegmentation(config).eval()
    processor = transformers.Mask2FormerImageProcessor(size={"height": 64, "width": 64})

    def original(pixels: Tensor) -> Tensor:
        """One for the class of the library's own map, else zero."""
        maps = processor.post_process_semantic_segmentation(
            network(pixel_values=pixels), target_sizes=[tuple(pixels.shape[2:])] * len(pixels)
        )
        return nn.functional.one_hot(torch.stack(maps), len(CLASSES)).movedim(3, 1).float()

    _make_queries_lively(network, original)
    network.save_pretrained(folder / "mask2former")
    processor.save_pretrained(folder / "mask2former")
    return Saved(folder / "mask2former", original, {})


def _make_queries_lively(network: Any, original: Callable[[Tensor], Tensor]) -> None:
    """Queries that differ in place and class, and biases with which each class wins somewhere."""
    pixels = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        network.class_predictor.weight *= 30
        for layer in network.modules():
            if type(layer).__name__ == "Mask2FormerMaskPredictor":
                [linear for linear in layer.modules() if isinstance(linear, nn.Linear)][-1].weight *= 30
        for _ in range(10):
            shares = original(pixels).mean((0, 2, 3))
            network.class_predictor.bias[:-1] -= 0.5 * (shares - shares.mean())


def _save(folder: Path, network: Any, last: nn.Conv2d, processor: Any) -> Saved:
    def original(pixels: Tensor) -> Tensor:
        logits = network(pixel_values=pixels).logits
        return nn.functional.interpolate(logits, pixels.shape[-2:], mode="bilinear", align_corners=False)

    balance(lambda pixels: network(pixel_values=pixels).logits, last, 3)
    network.save_pretrained(folder)
    processor(size={"height": 64, "width": 64}).save_pretrained(folder)
    return Saved(folder, original, {})


TRANSFORMERS = (segformer, upernet, dpt, mask2former)
