"""Fused convolutions and ReLUs against the same network in plain torch, including NaN and infinity."""

import itertools
from collections.abc import Iterator
from math import isfinite

import pytest
import torch
from torch import nn

from geoseg.model.fusion.fold_normalisation import fold_normalisation
from geoseg.model.fusion.fused_relu import BOUND, FusedRelu, can_fuse, find_monitored
from geoseg.model.zoo.architectures import ARCHITECTURES, build
from geoseg.model.zoo.unet import UNet
from tests.support.bundles import random_unet

pytestmark = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="torch was built without oneDNN")
NAN, INFINITY = float("nan"), float("inf")


def network(width: int = 8, depth: int = 3) -> UNet:
    return fold_normalisation(random_unet(width, depth), torch.zeros(1, 4, 32, 32))


def batch(*values: float, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Noise with the given values at some pixels."""
    pixels = torch.randn(2, 4, 32, 48, generator=torch.Generator().manual_seed(1))
    for place, value in enumerate(values):
        pixels[place % 2, place % 4, 5 + 9 * place, 7 + 11 * place] = value
    return pixels.to(dtype, memory_format=torch.channels_last)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """The kernels that oneDNN chooses, and so the last bits, depend on the number of threads; runs have one."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def check(plain: UNet, pixels: torch.Tensor, tolerance: float = 0.0) -> torch.Tensor:
    """Compare the fused network with the plain one, and return the output.

    NaN and infinity must be at the same places; other values may differ by ``tolerance`` of the largest.
    """
    plain = plain.to(pixels.dtype, memory_format=torch.channels_last)
    with torch.inference_mode():
        expected = plain(pixels)
        found = FusedRelu(plain, plain.size_multiple)(pixels)
    finite = expected[expected.isfinite()].abs()
    atol = tolerance * float(finite.max()) if len(finite) else 0.0
    torch.testing.assert_close(found, expected, rtol=0, atol=atol, equal_nan=True)
    return expected


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("values", [(), (NAN,), (INFINITY,), (-INFINITY,), (NAN, 1e30, -INFINITY), (2 * BOUND, 3e38)])
def test_the_input_may_be_anything(dtype: torch.dtype, values: tuple[float, ...]) -> None:
    logits = check(network(), batch(*values, dtype=dtype))
    assert torch.isfinite(logits).all() == all(map(isfinite, values))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("layers", list(itertools.combinations(["stem.3", "down.1.0", "narrow.2", "up.1.3"], 2)))
@pytest.mark.parametrize("factor", [1e6, 1e15, 3e37])
def test_layers_may_overflow(dtype: torch.dtype, layers: tuple[str, ...], factor: float) -> None:
    """Finite weights and a finite input, and NaN or infinity from two layers with large weights."""
    plain = network()
    for name in layers:
        plain.get_submodule(name).weight.data *= factor
    logits = check(plain, batch(dtype=dtype))
    assert torch.isfinite(logits).all() == (factor < 1e19)


def test_bfloat16_is_fused_where_the_cpu_has_it() -> None:
    fused = FusedRelu(network().to(torch.bfloat16, memory_format=torch.channels_last), 8)
    assert any(name.startswith("_fused.") for name, _ in fused.named_modules()) == can_fuse(torch.bfloat16)
    with torch.inference_mode():
        assert fused(batch(dtype=torch.bfloat16)).isfinite().all()


def test_weights_may_be_nan() -> None:
    plain = network()
    plain.get_submodule("down.1.0").weight.data[0, 0, 0, 0] = NAN
    assert find_monitored(plain, 8) is None
    assert torch.isnan(check(plain, batch())).any()


def test_a_usual_network_is_fused_without_monitored_layers() -> None:
    assert find_monitored(network(16, 4), 16) == set()
    plain = network()
    fused = FusedRelu(plain, 8)
    left = [layer for layer in fused.get_submodule("_fused").modules() if isinstance(layer, nn.ReLU)]
    assert left == []
    assert {id(p) for p in fused.parameters()} == {id(p) for p in plain.parameters()}, "weights are shared"


def test_a_network_with_large_weights_monitors_a_few_layers() -> None:
    """If the worst case of all layers together would overflow, the bounds restart at some layers."""
    plain = network()
    for name in ("stem.3", "down.1.0"):
        plain.get_submodule(name).weight.data *= 1e9
    monitored = find_monitored(plain, 8)
    assert monitored is not None
    assert 1 <= len(monitored) <= 3
    assert torch.isfinite(check(plain, batch())).all(), "the actual output is finite"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("values", [(), (NAN,), (NAN, 1e30, -INFINITY), (2 * BOUND, 3e38)])
@pytest.mark.parametrize("name", [name for name, entry in ARCHITECTURES.items() if entry.fuses_relu and name != "unet"])
def test_every_architecture_that_claims_it(name: str, values: tuple[float, ...], dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    plain = build(name, {"in_channels": 4, "classes": 3, "width": 4}).eval()
    plain = fold_normalisation(plain, torch.zeros(1, 4, 32, 32))
    if can_fuse(torch.float32):
        assert find_monitored(plain, plain.size_multiple) is not None, "there is nothing to fuse, or no bound"
    tolerance = 1e-6 if dtype == torch.float32 else 1e-2
    pixels = torch.cat([batch(*values, dtype=dtype)] * 2, dim=2)[..., :32].contiguous(memory_format=torch.channels_last)
    check(plain, pixels, tolerance)
    last = [layer for layer in plain.modules() if isinstance(layer, nn.Conv2d)][-2]
    last.weight.data *= 1e30
    check(plain, pixels, tolerance)
