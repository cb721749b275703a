"""Grouped convolutions: torch's values and gradients, in fewer operations."""

import pytest
import torch
from torch.nn.functional import conv2d, conv_transpose2d

from gan_modules.networks.grouped import (
    GroupedConv2d,
    grouped_convolution,
    no_weight_gradients,
)
from gan_modules.networks.resampled import filtered_down
from gan_modules.parts.penalties import slopes
from minmax.benchmarks.counting import Work

CASES = [(1, 1, False), (2, 1, False), (2, 1, True), (1, 0, True)]


@pytest.mark.parametrize(("stride", "padding", "transposed"), CASES)
def test_values_and_gradients_are_torchs(stride, padding, transposed):
    torch.manual_seed(0)
    maps = torch.randn(2, 4, 5, 6, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(4, 2, 3, 3, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(4, dtype=torch.float64, requires_grad=True)
    convolve = conv_transpose2d if transposed else conv2d

    def own(*inputs):
        return grouped_convolution(*inputs, stride, padding, transposed, 2)

    ours = own(maps, weight, bias)
    torchs = convolve(maps, weight, bias, stride, padding, groups=2)
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
        layer = GroupedConv2d(groups, groups, 3, padding=1, groups=groups)
        images = torch.randn(2, groups, 4, 4, requires_grad=True)
        with Work() as work:
            maps = filtered_down(images) if depthwise else layer(images)
            with no_weight_gradients():
                (slope,) = torch.autograd.grad(maps.pow(3).sum(), images, create_graph=True)
            (slope.square().sum()).backward()
        return work.operations

    assert operations(2) == operations(32)


def test_slopes_compute_no_gradient_of_the_weights():
    layer = GroupedConv2d(4, 4, 3, padding=1, groups=2)
    images = torch.randn(2, 4, 5, 5, requires_grad=True)
    with Work() as work:
        slopes(layer(images).sum((1, 2, 3)), images)
    assert work.operations["aten.convolution_backward"] == 1
    assert work.flop == 2 * 2 * (2 * 5 * 5 * 4 * 2 * 9), "the maps and their gradient"
    layer(images).sum().backward()
    assert layer.weight.grad is not None, "afterwards they are"


def test_autocast_is_obeyed():
    layer = GroupedConv2d(4, 4, 3, groups=2)
    images = torch.randn(1, 4, 5, 5)
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(images).dtype == torch.bfloat16
    layer(images).sum().backward()
    assert layer.weight.grad.dtype == torch.float32
