"""Convolutions that do the ReLU after them themselves, on a CPU, and keep NaN and infinity where torch keeps them.

oneDNN's joined operator turns NaN into 0, so it is used only where no NaN can arise. That is shown when a network is
loaded: the absolute weights, applied to a bound of the input, bound what every layer can give. This holds as long as
the input and the output of some *watched* layers stay within `TRUSTED`; a batch that does not goes through the network
as it was, in plain torch.
"""

import copy
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn

TRUSTED = 1e6
"""Magnitude of the input, and of what watched layers give, up to which the bounds hold."""
WATCH_FROM = 1e28
"""A joined layer that might give more than this is watched, so that the bounds begin anew."""
LARGEST = 1e36
"""What no layer may give in the worst case: float32 and bfloat16 hold a hundred times as much, roundings included."""


class Joined(nn.Module):
    """A network whose convolutions do their ReLU, with the same results as without, NaN and infinity included.

    Args:
        plain: The network, in inference mode, on a CPU with oneDNN; normalisation folded. Its weights are shared.
        side_px: Side of an input that it takes.
    """

    def __init__(self, plain: nn.Module, side_px: int) -> None:
        super().__init__()
        self._plain = plain
        watched = find_watched(plain, side_px)
        self._joined = None if watched is None else join_activations(_share(plain), watched)

    def forward(self, batch: Tensor) -> Tensor:
        """What ``plain`` gives; shape (N, C, H, W), fastest in torch's memory format `channels_last`."""
        if self._joined is not None and is_within(batch):
            try:
                return self._joined(batch)  # type: ignore[no-any-return]
            except _BeyondBounds:
                pass
        return self._plain(batch)  # type: ignore[no-any-return]


def find_watched(module: nn.Module, side_px: int) -> set[str] | None:
    """Names of the convolutions whose output must be looked at, or None if some layer cannot be trusted at all.

    Args:
        module: A network of convolutions, and of operations that give no more than the largest value they are given or
            than the sum of several.
        side_px: Side of an input that it takes.
    """
    joinable = _find_pairs(module)
    watched, trusted = set(), True

    def bound(name: str, output: Tensor) -> Tensor:
        nonlocal trusted
        largest = float(output.max())
        trusted &= largest < LARGEST  # False for NaN, too
        if largest > WATCH_FROM and name in joinable:
            watched.add(name)
            return output.clamp(max=TRUSTED)
        return output

    bounds = copy.deepcopy(module, {id(tensor): _bound_weights(tensor) for tensor in module.parameters()})
    layers = {name: layer for name, layer in bounds.named_modules() if isinstance(layer, nn.Conv2d)}
    for name, layer in layers.items():
        layer.kernel_size, layer.padding = (1, 1), (0, 0)
        layer.register_forward_hook(lambda _, __, output, name=name: bound(name, output))
    if not joinable:
        return None
    with torch.inference_mode():
        first = next(iter(layers.values()))
        bounds(torch.full((1, first.in_channels, side_px, side_px), TRUSTED, dtype=torch.float64))
    return watched if trusted else None


def join_activations(module: nn.Module, watched: set[str]) -> nn.Module:
    """Let every convolution also do the ReLU that follows it, in place; on a CPU with oneDNN, for inference alone.

    The same bits where all is finite, and a U-Net takes an eighth less time, in bfloat16 a fifth: a ReLU alone goes
    through memory once more. Normalisation must be folded before.

    Args:
        module: The network.
        watched: Names of the convolutions that raise if they give more than `TRUSTED`.
    """
    for name, pair in _find_pairs(module).items():
        pair.chain[pair.place] = _ActivatedConvolution(pair.layer, name in watched)
        pair.chain[pair.after] = nn.Identity()
    return module


def is_within(values: Tensor) -> bool:
    """Tell whether no value is NaN or beyond `TRUSTED`; shape (N, C, H, W), fastest in `channels_last`."""
    low, high = torch.aminmax(values.permute(0, 2, 3, 1))
    return bool((low >= -TRUSTED) & (high <= TRUSTED))


class _BeyondBounds(Exception):  # noqa: N818  a way out of a forward pass
    """A layer gave more than the bounds allow for."""


class _ActivatedConvolution(nn.Module):
    """A convolution and its ReLU, by the operator with which torch's compiler writes them."""

    def __init__(self, layer: nn.Conv2d, watched: bool) -> None:
        super().__init__()
        self._layer, self._watched = layer, watched

    def forward(self, x: Tensor) -> Tensor:
        layer = self._layer
        place = layer.padding, layer.stride, layer.dilation, layer.groups
        # No public name leads to it.
        convolve = torch.ops.mkldnn._convolution_pointwise  # noqa: SLF001
        joined: Tensor = convolve(x, layer.weight, layer.bias, *place, "relu", [], "")
        if self._watched and not is_within(joined):
            raise _BeyondBounds
        return joined


class _Pair(NamedTuple):
    """A convolution that a ReLU follows."""

    chain: nn.Sequential
    place: int
    layer: nn.Conv2d
    after: int
    """Place of the ReLU."""


def _find_pairs(module: nn.Module) -> dict[str, _Pair]:
    """All of them by the convolution's name."""
    found = {}
    for path, chain in module.named_modules():
        if isinstance(chain, nn.Sequential):
            layers = [(place, layer) for place, layer in enumerate(chain) if not isinstance(layer, nn.Identity)]
            for (place, layer), (after, activation) in pairwise(layers):
                if isinstance(layer, nn.Conv2d) and isinstance(activation, nn.ReLU):
                    found[f"{path}.{place}".lstrip(".")] = _Pair(chain, place, layer, after)
    return found


def _bound_weights(weights: Tensor) -> nn.Parameter:
    """Absolute weights, those of a kernel added up: what a pixel gets if all around it is as large as can be."""
    weights = weights.detach().double().abs()
    return nn.Parameter(weights.sum((2, 3), keepdim=True) if weights.ndim == 4 else weights, requires_grad=False)


def _share(module: nn.Module) -> nn.Module:
    """A copy of the layers that has the same tensors."""
    return copy.deepcopy(module, {id(tensor): tensor for tensor in (*module.parameters(), *module.buffers())})
