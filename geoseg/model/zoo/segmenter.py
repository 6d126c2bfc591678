"""Segmenter: a vision transformer and a mask transformer."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from geoseg.model.zoo.extra import call_extra, import_extra


class Segmenter(nn.Module):
    """Segmenter with a mask transformer (Strudel, Garcia, Laptev and Schmid 2021, arXiv:2105.05633).

    The patches of a vision transformer and one embedding for each class go through more transformer blocks. The logits
    of a patch are the products of its normalised embedding with those of the classes; they are enlarged bilinearly.

    Input (N, in_channels, H, W) float32, output (N, classes, H, W) logits. H and W must be multiples of the side of
    the transformer's patches. The embeddings of positions are resampled for other sizes than the encoder's.

    Args:
        in_channels: Bands of the input.
        classes: Channels of the output.
        encoder_name: Name of a vision transformer of timm; tiny, small, base and large are the paper's.
        decoder_layers: Blocks of the mask transformer; 2 in the paper.
    """

    def __init__(
        self, in_channels: int, classes: int, encoder_name: str = "vit_tiny_patch16_224", decoder_layers: int = 2
    ) -> None:
        super().__init__()
        timm = import_extra("timm")
        options = {"in_chans": in_channels, "num_classes": 0, "global_pool": "", "dynamic_img_size": True}
        self.encoder: Any = call_extra(timm.create_model, encoder_name, pretrained=False, **options)
        if not hasattr(self.encoder, "blocks") or not hasattr(self.encoder.patch_embed, "patch_size"):
            raise ValueError(f"{encoder_name} is no vision transformer")
        self.size_multiple = int(self.encoder.patch_embed.patch_size[0])
        channels = self.encoder.embed_dim
        self.project = nn.Linear(channels, channels)
        self.classes = nn.Parameter(torch.zeros(1, classes, channels))
        heads = self.encoder.blocks[0].attn.num_heads
        block = import_extra("timm.models.vision_transformer").Block
        self.blocks = nn.Sequential(*(block(channels, heads, qkv_bias=True) for _ in range(decoder_layers)))
        self.norm = nn.LayerNorm(channels)
        self.project_patch = nn.Linear(channels, channels, bias=False)
        self.project_class = nn.Linear(channels, channels, bias=False)
        self.mask_norm = nn.LayerNorm(classes)
        nn.init.trunc_normal_(self.classes, std=0.02)
        for layer in (self.project_patch, self.project_class):
            nn.init.normal_(layer.weight, std=1 / math.sqrt(channels))

    def forward(self, pixels: Tensor) -> Tensor:
        """Logits of every pixel."""
        count = pixels.shape[0]  # `len` would fix the batch size of an export
        rows, cols = (side // self.size_multiple for side in pixels.shape[2:])
        patches = self.encoder.forward_features(pixels)[:, self.encoder.num_prefix_tokens :]
        tokens = torch.cat([self.project(patches), self.classes.expand(count, -1, -1)], 1)
        tokens = self.norm(self.blocks(tokens))
        patches, classes = tokens[:, : rows * cols], tokens[:, rows * cols :]
        patches = nn.functional.normalize(self.project_patch(patches), dim=-1)
        classes = nn.functional.normalize(self.project_class(classes), dim=-1)
        masks = self.mask_norm(patches @ classes.transpose(1, 2))
        masks = masks.transpose(1, 2).reshape(count, -1, rows, cols)
        return nn.functional.interpolate(masks, scale_factor=float(self.size_multiple), mode="bilinear")
