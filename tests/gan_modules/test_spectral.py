"""Spectral normalisation against singular values, and what a training does to its layers."""

import copy

import pytest
import torch
from torch import nn

from gan_modules.networks import spectral
from gan_modules.networks.resampled import ResizingConv2d, SpectralUpConv2d
from gan_modules.networks.spectral import (
    Spectral,
    SpectralConv2d,
    SpectralEmbedding,
    SpectralLinear,
    iterated,
    power_iterate,
    unit,
)

LAYERS = {
    "convolution": (lambda: SpectralConv2d(2, 3, 3, padding=1), torch.randn(1, 2, 2, 2)),
    "up-convolution": (lambda: SpectralUpConv2d(1, 3), torch.randn(1, 1, 2, 2)),
    "linear": (lambda: SpectralLinear(4, 3), torch.randn(2, 4)),
    "embedding": (lambda: SpectralEmbedding(4, 3), torch.tensor([3, 0])),
}


@pytest.fixture(params=LAYERS)
def layer(request):
    torch.manual_seed(0)
    layer = LAYERS[request.param][0]().double()
    layer.inputs = LAYERS[request.param][1]
    if layer.inputs.is_floating_point():
        layer.inputs = layer.inputs.double()
    return layer


def largest(layer: Spectral) -> torch.Tensor:
    return torch.linalg.svdvals(layer.weight.flatten(1))[0]


def test_estimates_of_an_average_are_made_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """Inside a step's autocast, too: a GPU would multiply in half precision."""
    seen = []

    def noting(*arguments):  # type: ignore[no-untyped-def]
        seen.append(torch.is_autocast_enabled("cpu"))
        return iterated(*arguments)

    monkeypatch.setattr(spectral, "iterated", noting)
    with torch.autocast("cpu", torch.bfloat16):
        power_iterate(SpectralLinear(4, 3), 1)
    assert seen == [False]


def test_one_forward_is_one_step_of_algorithm_1() -> None:
    layer = SpectralLinear(2, 2, bias=False).double()
    layer.weight.data = torch.tensor([[3.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
    layer.u.copy_(torch.tensor([1.0, 1.0]) / 2**0.5)
    layer(torch.randn(1, 2).double())
    # v = (3, 1) / |.|, u = (9, 1) / |.|, sigma = u W v = |W v|
    torch.testing.assert_close(layer.v, torch.tensor([3.0, 1.0]).double() / 10**0.5)
    torch.testing.assert_close(layer.u, torch.tensor([9.0, 1.0]).double() / 82**0.5)
    sigma = layer.eval().sigma()
    torch.testing.assert_close(sigma, torch.tensor((82 / 10) ** 0.5).double())


def test_sigma_becomes_the_largest_singular_value(layer: Spectral) -> None:
    assert not torch.isclose(layer.eval().sigma(), largest(layer))
    layer.train()
    for _ in range(500):
        layer(layer.inputs)
    torch.testing.assert_close(layer.eval().sigma(), largest(layer))
    weight = layer.normalised()
    torch.testing.assert_close(weight, layer.weight / largest(layer))
    plain = {
        SpectralConv2d: lambda: nn.functional.conv2d(layer.inputs, weight, layer.bias, padding=1),
        SpectralLinear: lambda: layer.inputs @ weight.T + layer.bias,
        SpectralEmbedding: lambda: weight[layer.inputs],
    }
    if type(layer) in plain:
        torch.testing.assert_close(layer(layer.inputs), plain[type(layer)]())


def test_the_gradient_is_that_of_the_largest_singular_value(layer: Spectral) -> None:
    """d(W / sigma)/dW by way of torch's singular values, and the second derivative as well."""
    power_iterate(layer, 500)
    direction = torch.randn_like(layer.weight)
    gradients = []
    for sigma in (layer.sigma(), largest(layer)):
        scalar = (layer.weight / sigma * direction).sum()
        gradients.append(torch.autograd.grad(scalar, layer.weight)[0])
    torch.testing.assert_close(*gradients)
    layer.eval()

    def normalised(weight: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(layer, {"weight": weight}, (layer.inputs,))

    assert torch.autograd.gradcheck(normalised, layer.weight.detach().clone().requires_grad_())
    assert torch.autograd.gradgradcheck(normalised, layer.weight.detach().clone().requires_grad_())


def test_only_training_iterates_once_a_forward(layer: Spectral) -> None:
    def vectors() -> torch.Tensor:
        return torch.cat([layer.u, layer.v])

    before = vectors()
    layer.eval()
    layer(layer.inputs)
    assert torch.equal(vectors(), before)
    layer.train()
    twin = copy.deepcopy(layer)
    layer(layer.inputs)
    assert not torch.equal(vectors(), before)
    power_iterate(twin, 1)
    torch.testing.assert_close(vectors(), torch.cat([twin.u, twin.v]))
    assert layer.state_dict().keys() >= {"weight", "u", "v"}
    assert {name for name, _ in layer.named_parameters()} <= {"weight", "bias"}


def test_several_forwards_before_a_backward(layer: Spectral) -> None:
    """Each keeps its own u and v; a copy after a forward is a whole layer."""
    outputs = [layer(layer.inputs), layer.eval()(layer.inputs), layer.train()(layer.inputs)]
    sum(o.sum() for o in outputs).backward()
    twin = copy.deepcopy(layer)
    twin(twin.inputs).sum().backward()
    assert not torch.equal(twin.u, layer.u)
    layer.eval()
    frozen = copy.deepcopy(layer).requires_grad_(False)
    assert torch.equal(frozen(layer.inputs), layer(layer.inputs))


def test_a_penalty_of_gradients_goes_through_it() -> None:
    layer, inputs = SpectralUpConv2d(3, 5), torch.randn(2, 3, 6, 6, requires_grad=True)
    (gradient,) = torch.autograd.grad(layer(inputs).sum(), inputs, create_graph=True)
    gradient.square().sum().backward()
    assert layer.weight.grad.abs().sum() > 0


def test_types_and_autocast(layer: Spectral) -> None:
    assert layer.normalised().dtype == torch.float64
    layer.float().eval()
    inputs = layer.inputs.float() if layer.inputs.is_floating_point() else layer.inputs
    exact = layer.normalised()
    with torch.autocast("cpu", torch.bfloat16):
        layer.sigma = lambda: torch.ones(()) / (not torch.is_autocast_enabled("cpu"))
        assert torch.equal(layer.normalised(), layer.weight), "GPUs would round sigma"
        del layer.sigma
        assert torch.equal(layer.normalised(), exact)
        if isinstance(layer, ResizingConv2d):
            assert layer.spread(exact).dtype == torch.float32
        outputs = layer(inputs)
    assert outputs.dtype == (torch.float32 if inputs is layer.inputs else torch.bfloat16)
    outputs.float().sum().backward()
    assert layer.weight.grad.isfinite().all()


def test_eps_bounds_what_is_divided_by() -> None:
    layer = SpectralLinear(3, 2, eps=10.0)
    vector = torch.tensor([3.0, 4.0])
    torch.testing.assert_close(unit(vector, layer.eps), torch.tensor([0.3, 0.4]))


def test_memory_order_changes_nothing() -> None:
    torch.manual_seed(0)
    layer = SpectralConv2d(4, 6, 3)
    twin = copy.deepcopy(layer).to(memory_format=torch.channels_last)
    torch.testing.assert_close(layer.sigma(), twin.sigma())
    assert twin.matrix().data_ptr() == twin.weight.data_ptr(), "no copy"
    assert twin.normalised().is_contiguous(memory_format=torch.channels_last)


def test_second_derivatives_take_u_and_v_as_constants() -> None:
    torch.manual_seed(0)
    layer = SpectralLinear(4, 3).double()
    direction, second = torch.randn(2, 3, 4, dtype=torch.float64)
    found = []
    for mode in (True, False):  # eval mode has the u and v of the training forward
        scalar = (layer.train(mode).normalised() * direction).sum()
        (gradient,) = torch.autograd.grad(scalar, layer.weight, create_graph=True)
        found += torch.autograd.grad((gradient * second).sum(), layer.weight)
    torch.testing.assert_close(*found)
