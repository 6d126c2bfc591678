"""Fold batch normalisation into convolutions, for inference."""

import copy
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

TOLERANCE = 1e-6
"""Maximum difference of a folded pair in float64, as a share of its largest output."""

Convolution = nn.Conv2d | nn.ConvTranspose2d


def fold_normalisation(module: nn.Module, pixels: Tensor) -> nn.Module:
    """Fold every batch normalisation that follows a convolution into its weights, in place; for inference only.

    The pairs are found in a forward pass: the normalisation reads what the convolution returned, nothing else does, and
    both are called once. So layers may be joined in any way. Each folded pair is compared with the original in float64
    and stays as it is where they differ, as convolutions that change their own weights do. The result differs by
    rounding only, and saves one pass over memory per layer.

    Args:
        module: The network, in evaluation mode.
        pixels: An input that it accepts, shape (N, C, H, W).
    """
    layers: list[nn.Module] = [layer for layer in module.modules() if isinstance(layer, Convolution | nn.BatchNorm2d)]
    trace = _trace(module, pixels, layers)
    pairs = [(a.layer, b.layer) for a, b in _joined(trace) if trace.reads[id(a.output)] == 1 and _is_foldable(a, b)]
    folded = [(_fold(layer, norm), _rest_of(norm)) for layer, norm in pairs]
    replaced = {old: new for pair in zip(pairs, folded, strict=True) for old, new in zip(*pair, strict=True)}
    _replace(module, replaced)
    if not _are_called(module, pixels, folded):
        _replace(module, {new: old for old, new in replaced.items()})
    return module


def _are_called(module: nn.Module, pixels: Tensor, folded: Sequence[tuple[nn.Module, nn.Module]]) -> bool:
    """Return whether a forward pass reaches the new layers: a network may also hold a layer by another way."""
    try:
        trace = _trace(module, pixels, [layer for pair in folded for layer in pair])
    except Exception:  # any error of a network that looks into its own layers  # noqa: BLE001
        return False
    return set(folded) <= {(a.layer, b.layer) for a, b in _joined(trace)}


class _Call(NamedTuple):
    """A call of a layer with one tensor."""

    layer: Any
    source: Tensor
    output: Tensor


class _Trace(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Calls of layers in a forward pass, and the number of operators that read the output of each."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls: list[_Call] = []
        self.reads: dict[int, int] = {}
        """By the id of the output; the call keeps it alive, so that no other tensor gets this id."""

    def record(self, layer: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any], output: Tensor) -> None:
        self.calls.append(_Call(layer, inputs[0] if inputs else named["input"], output))
        self.reads.setdefault(id(output), 0)

    def read(self, values: object) -> None:
        for place in {id(leaf) for leaf in tree_leaves(values)} & self.reads.keys():
            self.reads[place] += 1

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.read((args, kwargs))
        return func(*args, **(kwargs or {}))


def _trace(module: nn.Module, pixels: Tensor, layers: list[nn.Module]) -> _Trace:
    trace = _Trace()
    hooks = [layer.register_forward_hook(trace.record, with_kwargs=True) for layer in layers]
    try:
        with torch.no_grad(), trace:
            trace.read(module(pixels))
    finally:
        for hook in hooks:
            hook.remove()
    return trace


def _joined(trace: _Trace) -> list[tuple[_Call, _Call]]:
    """Calls of which the second takes the output of the first, of layers that are called once."""
    layers = [call.layer for call in trace.calls]
    once = [call for call in trace.calls if layers.count(call.layer) == 1]
    by_output = {id(call.output): call for call in reversed(once)}  # an identity returns what another layer made
    return [(by_output[id(call.source)], call) for call in once if by_output.get(id(call.source), call) is not call]


def _is_foldable(first: _Call, second: _Call) -> bool:
    """Return whether the pair is a convolution and a normalisation that can be folded into it."""
    layer, norm = first.layer, second.layer
    if not isinstance(layer, Convolution) or not isinstance(norm, nn.BatchNorm2d):
        return False
    if norm.training or norm.running_mean is None or (isinstance(layer, nn.ConvTranspose2d) and layer.groups > 1):
        return False
    extent = max(dilation * (size - 1) + 1 for dilation, size in zip(layer.dilation, layer.kernel_size, strict=True))
    shape = first.source.shape[1], *(min(side, extent + 7) for side in first.source.shape[2:])
    pixels = torch.randn((1, *shape), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    layer, norm = copy.deepcopy(layer).double(), copy.deepcopy(norm).double()
    with torch.no_grad():
        expected, found = norm(layer(pixels)), _rest_of(norm)(_fold(layer, norm)(pixels))
    largest = expected.abs().nan_to_num(0, 0).max().item()
    # NaN in both is a damaged network, which is refused with its other weights.
    return torch.allclose(found, expected, rtol=0, atol=TOLERANCE * largest, equal_nan=True)


def _fold(layer: Convolution, norm: nn.BatchNorm2d) -> Convolution:
    return fuse_conv_bn_eval(layer, norm, isinstance(layer, nn.ConvTranspose2d))


def _rest_of(norm: nn.BatchNorm2d) -> nn.Module:
    """What a normalisation does besides: timm has one that holds the activation as well."""
    rest = [layer for layer in norm.children() if not isinstance(layer, nn.Identity)]
    return nn.Sequential(*rest) if rest else nn.Identity()


def _replace(module: nn.Module, by: dict[nn.Module, nn.Module]) -> None:
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            if child in by:
                setattr(parent, name, by[child])
