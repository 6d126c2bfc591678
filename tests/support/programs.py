"""Bundles whose artifact holds code: torch.export and TorchScript, made from a bundle with weights."""

import json
import warnings
from pathlib import Path

import torch

from geoseg.model.bundle.bundle import read_bundle
from geoseg.model.fusion.fold_normalisation import fold_normalisation
from tests.support.bundles import trained_network


def with_code(bundle: Path, artifact: str, batch: int | None = None) -> Path:
    """Replace a bundle's weights by the same network as ``model.pt2`` or ``model.torchscript.pt``.

    Args:
        bundle: A bundle with ``weights.safetensors``.
        artifact: The name of the new artifact.
        batch: The only batch size it takes; None for any.
    """
    found = read_bundle(bundle)
    pixels = torch.zeros(batch or 2, len(found.bands), found.patch_px, found.patch_px)
    module = fold_normalisation(trained_network(bundle), pixels)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is deprecated, and people have it
        if artifact == "model.pt2":
            shapes = None if batch else ({0: torch.export.Dim("n", min=1)},)
            torch.export.save(torch.export.export(module, (pixels,), dynamic_shapes=shapes), bundle / artifact)
        else:
            torch.jit.save(torch.jit.trace(module, pixels), bundle / artifact)
    (bundle / "weights.safetensors").unlink()
    model = json.loads((bundle / "model.json").read_text())
    (bundle / "model.json").write_text(json.dumps({**model, "geoseg:artifact": artifact}))
    return bundle
