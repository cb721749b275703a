"""Faster versions of torch's layers: the same functions of the same parameters.

They gain most on CPUs, where they were measured (minmax/benchmarks/README.md).
"""

from typing import Any

import torch
from torch import Tensor, nn


class ConvTranspose2d(nn.ConvTranspose2d):
    """torch's transposed convolution, with the bias added in a separate operation.

    The same function of the same parameters. On a CPU torch's own addition costs as much as half
    the convolution in float32, and several convolutions in bfloat16.
    """

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Maps `[N, C_in, H, W]` to `[N, C_out, H', W']`."""
        maps = self.convolve(input)
        if self.bias is None:
            return maps
        return maps + self.bias.to(maps.dtype)[:, None, None]  # autocast would make it float32

    def convolve(self, input: Tensor) -> Tensor:
        """The same without the bias."""
        padding: Any = self.padding  # never a text, which only Conv2d takes
        return nn.functional.conv_transpose2d(
            input, self.weight, None, self.stride, padding, self.output_padding
        )


class ConvTranspose1x1(ConvTranspose2d):
    """Transposed convolution of 1x1 maps without padding, computed as a matrix product.

    The same function of the same parameters, several times faster on a CPU.
    """

    def convolve(self, input: Tensor) -> Tensor:
        """Maps `[N, C_in, 1, 1]` to `[N, C_out, k, k]`, in channels_last memory."""
        weight = self.weight.permute(0, 2, 3, 1)  # [C_in, k, k, C_out]
        maps = (input.flatten(1) @ weight.flatten(1)).view(-1, *weight.shape[1:])
        return maps.permute(0, 3, 1, 2)


class _LeakyReLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, inputs: Tensor, slope: float) -> Tensor:
        outputs = nn.functional.leaky_relu(inputs, slope)
        ctx.save_for_backward(outputs)
        ctx.slope = slope
        ctx.set_materialize_grads(False)
        return outputs

    @staticmethod
    def backward(ctx: Any, gradient: Tensor | None) -> Any:
        if gradient is None:
            return None, None
        (outputs,) = ctx.saved_tensors
        # Detached: the slope is constant on each side of zero.
        backward = torch.ops.aten.leaky_relu_backward
        return backward(gradient, outputs.detach(), ctx.slope, True), None


class LeakyReLU(nn.LeakyReLU):
    """Leaky ReLU whose double backward skips the second derivative, which is zero.

    torch's own sends these zeros through all earlier layers: a third of a gradient penalty's work.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Any shape; the same values and gradients as torch's own."""
        return _LeakyReLU.apply(input, self.negative_slope)


class Dropout(nn.Dropout):
    """torch's dropout; on a CPU it draws its zeros and ones four at a time.

    The rate is rounded to a multiple of 2**-16.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Any shape."""
        if not self.training or not 0 < self.p < 1 or input.device.type != "cpu":
            return super().forward(input)
        drawn = torch.empty(-(-input.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
        dropped = min(round(self.p * 2**16), 2**16 - 1)
        kept = drawn.view(torch.int16)[: input.numel()] >= dropped - 2**15
        factors = kept.to(input.dtype).mul_(2**16 / (2**16 - dropped))
        return input * factors.as_strided(input.shape, torch.empty_like(input).stride())
