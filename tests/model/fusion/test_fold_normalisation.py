"""Folded networks against the original: what may be folded, and what must stay."""

from collections.abc import Callable
from importlib.util import find_spec

import pytest
import torch
from torch import Tensor, nn

from geoseg.model.fusion.fold_normalisation import fold_normalisation
from geoseg.model.zoo.extra import import_extra

CHANNELS = 4


def normalisation(layer: nn.BatchNorm2d | None = None) -> nn.BatchNorm2d:
    """A normalisation with statistics as after training."""
    layer = layer or nn.BatchNorm2d(CHANNELS)
    layer.running_mean.normal_(0, 0.3)
    layer.running_var.uniform_(0.5, 1.5)
    nn.init.normal_(layer.weight, 1, 0.1)
    nn.init.normal_(layer.bias, 0, 0.1)
    return layer


class Network(nn.Module):
    """A convolution and a normalisation; ``forward`` is given by the test."""

    def __init__(self, joined: Callable[["Network", Tensor], Tensor], norm: nn.BatchNorm2d | None = None) -> None:
        super().__init__()
        self.conv = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1)
        self.norm = normalisation(norm)
        self.joined = joined

    def forward(self, pixels: Tensor) -> Tensor:
        return self.joined(self, pixels)


def fold(network: nn.Module) -> int:
    """Fold, check that the function is the same, and return the number of normalisations that are left."""
    network = network.double().eval()
    pixels = torch.randn(2, CHANNELS, 16, 16, dtype=torch.float64)
    with torch.no_grad():
        expected = network(pixels)
        folded = fold_normalisation(network, pixels)
        torch.testing.assert_close(folded(pixels), expected, rtol=0, atol=1e-6 * float(expected.abs().max()))
    return sum(isinstance(layer, nn.BatchNorm2d) for layer in folded.modules())


FOLDABLE = {
    "one after the other": lambda it, x: it.norm(it.conv(x)),
    "called by keyword": lambda it, x: it.norm(input=it.conv(input=x)),
    "a second reader of the result": lambda it, x: (y := it.norm(it.conv(x))) + y.relu(),
}
NOT_FOLDABLE = {
    "a second reader of the convolution": lambda it, x: (y := it.conv(x)) + it.norm(y),
    "the convolution's output is returned": lambda it, x: torch.cat([y := it.conv(x), it.norm(y)]),
    "the convolution is called twice": lambda it, x: it.norm(it.conv(it.conv(x))),
    "the normalisation is called twice": lambda it, x: it.norm(it.conv(it.norm(x))),
    "an operator between them": lambda it, x: it.norm(it.conv(x).abs()),
    "its weights are read elsewhere": lambda it, x: it.norm(it.conv(x)) * it.norm.running_mean.mean(),
}


@pytest.mark.parametrize("joined", FOLDABLE.values(), ids=FOLDABLE)
def test_a_pair_is_folded(joined: Callable[[Network, Tensor], Tensor]) -> None:
    assert fold(Network(joined)) == 0


@pytest.mark.parametrize("joined", NOT_FOLDABLE.values(), ids=NOT_FOLDABLE)
def test_a_pair_stays(joined: Callable[[Network, Tensor], Tensor]) -> None:
    assert fold(Network(joined)) == 1


def test_a_layer_in_two_places_stays() -> None:
    shared = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1)
    assert fold(nn.Sequential(shared, normalisation(), nn.ReLU(), shared, normalisation())) == 2


def test_a_transposed_convolution_is_folded() -> None:
    assert fold(nn.Sequential(nn.ConvTranspose2d(CHANNELS, CHANNELS, 2, stride=2), normalisation())) == 0


def test_a_transposed_convolution_with_groups_stays() -> None:
    assert fold(nn.Sequential(nn.ConvTranspose2d(CHANNELS, CHANNELS, 2, stride=2, groups=2), normalisation())) == 1


@pytest.mark.skipif(find_spec("timm") is None, reason="needs geoseg[zoo]")
@pytest.mark.parametrize("activation", [nn.ReLU, nn.SiLU])
def test_the_activation_of_a_normalisation_of_timm_is_kept(activation: type[nn.Module]) -> None:
    norm = import_extra("timm.layers").BatchNormAct2d(CHANNELS, act_layer=activation)
    assert fold(Network(lambda it, x: it.norm(it.conv(x)), norm)) == 0


def test_a_convolution_that_standardises_its_weights_stays() -> None:
    class Standardised(nn.Conv2d):
        def forward(self, pixels: Tensor) -> Tensor:
            weight = self.weight / self.weight.std((1, 2, 3), keepdim=True)
            return self._conv_forward(pixels, weight, self.bias)

    assert fold(nn.Sequential(Standardised(CHANNELS, CHANNELS, 3, padding=1), normalisation())) == 1
