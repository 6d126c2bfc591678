"""A folder that ``save_pretrained`` of transformers wrote, for a network of semantic segmentation."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from geoseg.errors import SettingsError
from geoseg.importer.facts.facts import Fact, Facts
from geoseg.importer.facts.json_files import read_object
from geoseg.importer.facts.legends import make_legend
from geoseg.importer.sources.model_card import read_card
from geoseg.importer.sources.smp_folder import CONFIG
from geoseg.importer.sources.source import Request, Source, run_module
from geoseg.model.network import one_line
from geoseg.model.zoo.extra import import_extra

PROCESSOR = "preprocessor_config.json"
SEMANTIC = "ForSemanticSegmentation"
QUERIES = "Mask2FormerForUniversalSegmentation"
MASK_SHAPE = (384, 384)
"""transformers brings the masks of Mask2Former to this size before it adds them, whatever the size of the input."""
LEAST_SCORE = 1e-6
RGB = ("red", "green", "blue")
RESIZED = (
    "The processor resizes pictures to {0} px; geoseg cuts patches of that side and does not resize, so scenes should "
    "have the resolution that the network was trained on."
)


def is_transformers_folder(path: Path) -> bool:
    """Return whether ``config.json`` names classes of transformers."""
    return path.is_dir() and (path / CONFIG).is_file() and "architectures" in read_object(path / CONFIG)


def read_transformers_folder(request: Request) -> Source:
    """Read the network.

    Raises:
        SettingsError: If a file is missing or damaged, or the network needs code of its own.
    """
    folder = request.path
    config = read_object(folder / CONFIG)
    names = config["architectures"]
    name = str(names[0]) if isinstance(names, list) and names else str(names)
    if config.get("auto_map"):
        raise SettingsError(
            f"{folder / CONFIG} names code of its own ({', '.join(map(str, config['auto_map'].values()))}), which "
            "geoseg does not run. Export the network to ONNX (torch.onnx.export) and import that."
        )
    if not name.endswith(SEMANTIC) and name != QUERIES:
        raise SettingsError(
            f"{folder / CONFIG} names {name}, which is no network of semantic segmentation. Names of these end in "
            f"{SEMANTIC}, or are {QUERIES}."
        )
    network = _load(name, folder)
    facts = Facts(
        name=Fact(folder.resolve().name, "name of the source"),
        architecture=Fact(name, CONFIG),
        **_counts(network, config),
        **_processing(folder),
    ).with_(**read_card(folder))
    wrapped = (_QueryLogits if name == QUERIES else _Logits)(network).eval()
    notes: tuple[str, ...] = ()
    if facts.patch_px is not None:
        notes = (RESIZED.format(facts.patch_px.value),)
    return Source(f"transformers, {name}", facts, run_module(wrapped), wrapped, notes=notes)


class _Logits(torch.nn.Module):
    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> Tensor:
        return self.network(pixel_values=pixels).logits  # type: ignore[no-any-return]


class _QueryLogits(_Logits):
    """The semantic map of Mask2Former (Cheng et al. 2022, arXiv:2112.01527, section 3.1).

    Each query has probabilities of classes and of pixels; their products are summed over the queries, as
    `post_process_semantic_segmentation` of transformers does. The logarithm makes logits of them.
    """

    def forward(self, pixels: Tensor) -> Tensor:
        output = self.network(pixel_values=pixels)
        classes = output.class_queries_logits.softmax(-1)[..., :-1]  # the last is "no object"
        masks = _resize(output.masks_queries_logits, MASK_SHAPE).sigmoid()
        scores = torch.einsum("nqc,nqhw->nchw", classes, masks)
        return _resize(scores, pixels.shape[2:]).clamp(min=LEAST_SCORE).log()


def _resize(maps: Tensor, shape: Sequence[int]) -> Tensor:
    return torch.nn.functional.interpolate(maps, tuple(shape), mode="bilinear")


def _load(name: str, folder: Path) -> torch.nn.Module:
    transformers = import_extra("transformers")
    network_class = getattr(transformers, name, None)
    if network_class is None:
        raise SettingsError(
            f"{folder / CONFIG} names {name}, which transformers {transformers.__version__} does not have. Install the "
            "version that it was saved with."
        )
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # everything is in the folder
    transformers.utils.logging.disable_progress_bar()
    try:
        network, loading = network_class.from_pretrained(
            folder, local_files_only=True, output_loading_info=True, dtype=torch.float32, weights_only=True
        )
    except Exception as error:  # any error of the library is a fault of the folder
        raise SettingsError(
            f"{folder} cannot be loaded by transformers {transformers.__version__}: {one_line(error)}. Copy the whole "
            "folder, as save_pretrained wrote it."
        ) from error
    wrong = {kind: sorted(map(str, loading[kind])) for kind in ("missing_keys", "unexpected_keys", "mismatched_keys")}
    if any(wrong.values()):
        listed = "; ".join(f"{kind.replace('_', ' ')}: {', '.join(keys[:5])}" for kind, keys in wrong.items() if keys)
        raise SettingsError(
            f"{folder}: its weights are not those of {name} as {CONFIG} describes it: {listed}. Copy the whole folder."
        )
    return network.eval()  # type: ignore[no-any-return]


def _counts(network: Any, config: dict[str, Any]) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    first = next(one for one in network.modules() if isinstance(one, torch.nn.Conv2d))
    facts["band_count"] = Fact(first.in_channels, "first layer")
    labels = config.get("id2label")
    if isinstance(labels, dict) and not _is_default(labels):
        ordered = [str(labels[key]) for key in sorted(labels, key=int)]
        facts["class_count"] = Fact(len(ordered), CONFIG)
        facts["legend"] = Fact(make_legend(ordered, f"id2label in {CONFIG}"), CONFIG)
    return facts


def _is_default(labels: dict[str, Any]) -> bool:
    """Return whether transformers has made up the names: LABEL_0, LABEL_1 ..."""
    return all(str(label) == f"LABEL_{key}" for key, label in labels.items())


def _processing(folder: Path) -> dict[str, Any]:
    """Scaling, bands and patch size of the picture processor."""
    if not (folder / PROCESSOR).is_file():
        return {}
    processor = read_object(folder / PROCESSOR)
    steps: list[dict[str, Any]] = []
    if processor.get("do_rescale", True):
        steps.append({"type": "affine", "scale": float(processor.get("rescale_factor", 1 / 255))})
    mean, stddev = processor.get("image_mean"), processor.get("image_std")
    facts: dict[str, Any] = {}
    if processor.get("do_normalize", True) and mean is not None and stddev is not None:
        steps.append({"type": "z-score", "mean": list(mean), "stddev": list(stddev)})
    facts["scaling"] = Fact(steps or [{"type": "affine"}], PROCESSOR)
    if mean is None or len(mean) == len(RGB):
        bgr = processor.get("do_flip_channel_order", False)
        facts["bands"] = Fact(RGB[::-1] if bgr else RGB, f"{PROCESSOR} (pictures)")
    size = processor.get("size")
    sides = (
        [size] if isinstance(size, int) else [size.get("height"), size.get("width")] if isinstance(size, dict) else []
    )
    if processor.get("do_resize", True) and sides and sides[0] is not None and len(set(sides)) == 1:
        facts["patch_px"] = Fact(int(sides[0]), PROCESSOR)
    return facts
