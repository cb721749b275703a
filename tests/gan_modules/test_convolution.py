"""Convolutions: torch's values and gradients, in fewer and faster operations."""

import pytest
import torch
from torch.nn.functional import conv2d, conv_transpose2d
from torch.utils._python_dispatch import TorchDispatchMode

from gan_modules.networks import R3GANDiscriminator
from gan_modules.networks.convolution import Conv2d, convolution, no_weight_gradients
from gan_modules.networks.resampled import filtered_down
from gan_modules.parts.penalties import slopes
from minmax.benchmarks.counting import Work

CASES = [(1, 1, False), (2, 1, False), (2, 1, True), (1, 0, True)]


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize(("stride", "padding", "transposed"), CASES)
def test_values_and_gradients_are_torchs(stride, padding, transposed, groups):
    torch.manual_seed(0)
    maps = torch.randn(2, 4, 5, 6, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(4, 4 // groups, 3, 3, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(4, dtype=torch.float64, requires_grad=True)
    convolve = conv_transpose2d if transposed else conv2d

    def own(*inputs):
        return convolution(*inputs, stride, padding, transposed, groups)

    ours = own(maps, weight, bias)
    torchs = convolve(maps, weight, bias, stride, padding, groups=groups)
    torch.testing.assert_close(ours, torchs)

    def derivatives(outputs):
        """Each depends on the ones before it."""
        (first,) = torch.autograd.grad(outputs.pow(3).sum(), maps, create_graph=True)
        (second,) = torch.autograd.grad(first.pow(2).sum(), weight, create_graph=True)
        (third,) = torch.autograd.grad(second.pow(2).sum(), maps, create_graph=True)
        return first, second, third, *torch.autograd.grad(third.sum(), (maps, weight, bias))

    for one, other in zip(derivatives(ours), derivatives(torchs), strict=True):
        torch.testing.assert_close(one, other)
    with Work() as once:
        outputs = own(maps, weight, bias)
    with Work() as backwards:
        outputs.sum().backward()
    assert backwards.flop == 2 * once.flop > 0, "each gradient is as much work"


@pytest.mark.parametrize("depthwise", [False, True])
def test_the_number_of_operations_does_not_depend_on_the_groups(depthwise):
    def operations(groups):
        layer = Conv2d(groups, groups, 3, padding=1, groups=groups)
        images = torch.randn(2, groups, 4, 4, requires_grad=True)
        with Work() as work:
            maps = filtered_down(images) if depthwise else layer(images)
            with no_weight_gradients():
                (slope,) = torch.autograd.grad(maps.pow(3).sum(), images, create_graph=True)
            (slope.square().sum()).backward()
        return work.operations

    assert operations(2) == operations(32)


class Kernels(TorchDispatchMode):
    """Gathers the sides of the kernels of all convolutions."""

    def __init__(self):
        super().__init__()
        self.sides = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if str(func) == "aten.convolution.default":
            self.sides |= {*args[1].shape[2:]}
        return func(*args, **(kwargs or {}))


def test_no_kernel_is_a_map():
    """torch has convolutions with kernels of 32x32 pixels for R1 of these networks."""
    network, images = R3GANDiscriminator(3, 32, 2, 16, 16), torch.randn(2, 3, 32, 32)
    images.requires_grad_()
    with Kernels() as kernels:
        slopes(network(images, torch.zeros(2, dtype=torch.int64)), images).sum().backward()
    assert kernels.sides == {1, 3, 4}
    layer = torch.nn.Conv2d(3, 4, 1)
    with Kernels() as kernels:
        slopes(layer(images).pow(2).sum((1, 2, 3)), images).square().sum().backward()
    assert 32 in kernels.sides


def test_slopes_compute_no_gradient_of_the_weights():
    layer = Conv2d(4, 4, 3, padding=1, groups=2)
    images = torch.randn(2, 4, 5, 5, requires_grad=True)
    with Work() as work:
        slopes(layer(images).sum((1, 2, 3)), images)
    assert work.operations["aten.convolution_backward"] == 1
    assert work.flop == 2 * 2 * (2 * 5 * 5 * 4 * 2 * 9), "the maps and their gradient"
    layer(images).sum().backward()
    assert layer.weight.grad is not None, "afterwards they are"


def test_gradients_that_nobody_differentiates_are_one_operation():
    layer, images = Conv2d(4, 4, 3), torch.randn(1, 4, 5, 5, requires_grad=True)
    outputs = layer(images)
    with Work() as work:
        outputs.sum().backward()
    assert work.operations["aten.convolution_backward"] == 1
    torch.testing.assert_close(layer.bias.grad, torch.full((4,), 9.0))


def test_autocast_is_obeyed():
    layer = Conv2d(4, 4, 3, groups=2)
    images = torch.randn(1, 4, 5, 5)
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(images).dtype == torch.bfloat16
    layer(images).sum().backward()
    assert layer.weight.grad.dtype == torch.float32
