"""Convolutions whose gradients are differentiated by the operations of the first gradients.

torch's own differentiates the gradients of each group apart, also those of a fixed filter, which
nobody wants: R1 of R3GAN's discriminator has 4,108 operations so. And a weight's second gradient is
to torch a convolution whose kernel is a whole map, which processors and GPUs are slow at.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn


class _Wanted:
    """What backward passes compute: autograd doesn't tell a function which gradients are used."""

    weights = True


@contextmanager
def no_weight_gradients() -> Iterator[None]:
    """A context for gradients of images alone: those of these convolutions' weights are none."""
    _Wanted.weights = False
    try:
        yield
    finally:
        _Wanted.weights = True


class _Options(NamedTuple):
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    transposed: bool
    output_padding: tuple[int, ...]
    groups: int


class _Linear(torch.autograd.Function):
    """Linear in each of two tensors, as are its gradients, which are saved for more of them."""

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs[:2])
        ctx.options = inputs[-1]


class _Convolution(_Linear):
    @staticmethod
    def forward(maps: Tensor, weight: Tensor, bias: Tensor | None, options: _Options) -> Tensor:
        return torch.ops.aten.convolution(maps, weight, bias, *options)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        maps, weight = ctx.saved_tensors
        mask = [n and (_Wanted.weights or not i) for i, n in enumerate(ctx.needs_input_grad[:3])]
        if not torch.is_grad_enabled():  # nobody differentiates these: one operation for all
            sizes, backward = [gradient.shape[1]], torch.ops.aten.convolution_backward
            return *backward(gradient, maps, weight, sizes, *ctx.options, mask), None
        of_maps = of_weight = of_bias = None
        if mask[0]:
            of_maps = _OfMaps.apply(gradient, weight, maps.detach(), ctx.options)
        if mask[1]:
            of_weight = _OfWeight.apply(gradient, maps, weight.detach(), ctx.options)
        if mask[2]:
            of_bias = gradient.sum((0, 2, 3))
        return of_maps, of_weight, of_bias, None


class _OfMaps(_Linear):
    @staticmethod
    def forward(gradient: Tensor, weight: Tensor, maps: Tensor, options: _Options) -> Tensor:
        return _gradient(0, gradient, maps, weight, options)

    @staticmethod
    def backward(ctx: Any, again: Tensor) -> Any:
        gradient, weight = ctx.saved_tensors
        of_gradient = of_weight = None
        if ctx.needs_input_grad[0]:
            of_gradient = _Convolution.apply(again, weight, None, ctx.options)
        if ctx.needs_input_grad[1] and _Wanted.weights:
            of_weight = _OfWeight.apply(gradient, again, weight.detach(), ctx.options)
        return of_gradient, of_weight, None, None


class _OfWeight(_Linear):
    @staticmethod
    def forward(gradient: Tensor, maps: Tensor, weight: Tensor, options: _Options) -> Tensor:
        return _gradient(1, gradient, maps, weight, options)

    @staticmethod
    def backward(ctx: Any, again: Tensor) -> Any:
        gradient, maps = ctx.saved_tensors
        of_gradient = of_maps = None
        if ctx.needs_input_grad[0]:
            of_gradient = _Convolution.apply(maps, again, None, ctx.options)
        if ctx.needs_input_grad[1]:
            of_maps = _OfMaps.apply(gradient, again, maps.detach(), ctx.options)
        return of_gradient, of_maps, None, None


def _gradient(
    which: int, gradient: Tensor, maps: Tensor, weight: Tensor, options: _Options
) -> Tensor:
    """The gradient of the maps (0) or of the weight (1)."""
    mask = [which == 0, which == 1, False]
    backward = torch.ops.aten.convolution_backward
    return backward(gradient, maps, weight, None, *options, mask)[which]


def convolution(
    maps: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int = 1,
    padding: int = 0,
    transposed: bool = False,
    groups: int = 1,
) -> Tensor:
    """As torch's `conv2d`, or `conv_transpose2d`.

    A gradient of images alone should be taken inside `no_weight_gradients`, or that of the weights
    is computed in vain.
    """
    kind = maps.device.type
    if torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind):
        dtype = torch.get_autocast_dtype(kind)
        maps, weight = maps.to(dtype), weight.to(dtype)
        bias = None if bias is None else bias.to(dtype)
    both = (stride, stride), (padding, padding)
    options = _Options(*both, (1, 1), transposed, (0, 0), groups)
    return _Convolution.apply(maps, weight, bias, options)


class Conv2d(nn.Conv2d):
    """torch's convolution, the same function of the same parameters, for penalties on gradients."""

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        assert (self.dilation, self.padding_mode) == ((1, 1), "zeros"), "neither is passed on"
        stride, padding = self.stride[0], int(self.padding[0])
        return convolution(input, weight, bias, stride, padding, groups=self.groups)
