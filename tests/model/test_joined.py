"""Convolutions that do their ReLU themselves against the same network in plain torch, NaN and infinity included."""

import itertools
from math import isfinite

import pytest
import torch
from torch import nn

from geoseg.model.architectures import UNet, fold_normalisation
from geoseg.model.joined import TRUSTED, Joined, find_watched

pytestmark = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="torch was built without oneDNN")
NAN, INFINITY = float("nan"), float("inf")


def network(width: int = 8, depth: int = 3) -> UNet:
    torch.manual_seed(0)
    module = UNet(4, 5, width=width, depth=depth)
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.uniform_(-1, 1)
            layer.running_var.uniform_(0.5, 2)
            nn.init.uniform_(layer.weight, 0.5, 2)
            nn.init.uniform_(layer.bias, -1, 1)
    return fold_normalisation(module.eval())


def batch(*values: float, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Noise with some values of its own, here and there."""
    pixels = torch.randn(2, 4, 32, 48, generator=torch.Generator().manual_seed(1))
    for place, value in enumerate(values):
        pixels[place % 2, place % 4, 5 + 9 * place, 7 + 11 * place] = value
    return pixels.to(dtype, memory_format=torch.channels_last)


def check(plain: UNet, pixels: torch.Tensor) -> torch.Tensor:
    """Hold the joined network to the plain one, bit by bit, and return what they give."""
    plain = plain.to(pixels.dtype, memory_format=torch.channels_last)
    with torch.inference_mode():
        expected = plain(pixels)
        found = Joined(plain, plain.size_multiple)(pixels)
    torch.testing.assert_close(found, expected, rtol=0, atol=0, equal_nan=True)
    return expected


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("values", [(), (NAN,), (INFINITY,), (-INFINITY,), (NAN, 1e30, -INFINITY), (2 * TRUSTED, 3e38)])
def test_the_input_may_be_anything(dtype: torch.dtype, values: tuple[float, ...]) -> None:
    logits = check(network(), batch(*values, dtype=dtype))
    assert torch.isfinite(logits).all() == all(map(isfinite, values))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("layers", list(itertools.combinations(["stem.3", "down.1.0", "narrow.2", "up.1.3"], 2)))
@pytest.mark.parametrize("factor", [1e6, 1e15, 3e37])
def test_layers_may_overflow(dtype: torch.dtype, layers: tuple[str, ...], factor: float) -> None:
    """Finite weights, a finite input, and NaN or infinity born where two layers are too strong together."""
    plain = network()
    for name in layers:
        plain.get_submodule(name).weight.data *= factor
    logits = check(plain, batch(dtype=dtype))
    assert torch.isfinite(logits).all() == (factor < 1e19)


def test_weights_may_be_nan() -> None:
    plain = network()
    plain.get_submodule("down.1.0").weight.data[0, 0, 0, 0] = NAN
    assert find_watched(plain, 8) is None
    assert torch.isnan(check(plain, batch())).any()


def test_a_usual_network_is_joined_and_watches_nothing() -> None:
    assert find_watched(network(16, 4), 16) == set()
    plain = network()
    joined = Joined(plain, 8)
    left = [layer for layer in joined.get_submodule("_joined").modules() if isinstance(layer, nn.ReLU)]
    assert left == []
    assert {id(p) for p in joined.parameters()} == {id(p) for p in plain.parameters()}, "the weights are there once"


def test_a_strong_network_watches_a_few_layers() -> None:
    """Where the worst case of all layers together would overflow, the bounds begin anew at some of them."""
    plain = network()
    for name in ("stem.3", "down.1.0"):
        plain.get_submodule(name).weight.data *= 1e9
    watched = find_watched(plain, 8)
    assert watched is not None
    assert 1 <= len(watched) <= 3
    assert torch.isfinite(check(plain, batch())).all(), "it goes beyond the bounds all the same"
