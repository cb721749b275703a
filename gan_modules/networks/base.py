"""What every generator and discriminator promises to the variants that train it."""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn


class Network(nn.Module):
    """Base of all networks; knows no loss, no optimizer and no logging.

    Attributes:
        image_sizes: the side lengths in pixels that the network can be built for;
            empty means any.
    """

    image_sizes: ClassVar[tuple[int, ...]] = ()

    def __init__(self, image_size: int) -> None:
        super().__init__()
        if self.image_sizes and image_size not in self.image_sizes:
            sizes = ", ".join(str(size) for size in self.image_sizes)
            raise ValueError(
                f"{type(self).__name__} cannot be built for images of {image_size}x{image_size} "
                f"pixels; sizes it can: {sizes}. Change --data.init_args.image_size, or choose "
                "another network with --model.init_args.generator and its adversary"
            )


class Generator(Network):
    """Maps latents `[N, latent_dim]` to images `[N, channels, size, size]` in [-1, 1].

    A subclass takes `latent_dim, channels, image_size` first, in this order.
    """


class Discriminator(Network):
    """Maps images `[N, channels, size, size]` in [-1, 1] to logits `[N]`, never a sigmoid.

    A subclass takes `channels, image_size` first, in this order.
    """


class ClassifyingDiscriminator(Network):
    """Maps images to real-or-fake logits `[N]` and class logits `[N, num_classes]`.

    A subclass takes `channels, image_size, num_classes` first, in this order.
    """


class ConvTranspose1x1(nn.ConvTranspose2d):
    """Transposed convolution of 1x1 maps without padding, as the matrix product that it is.

    The same function of the same parameters, several times faster on a CPU.
    """

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Maps `[N, C_in, 1, 1]` to `[N, C_out, k, k]`, in channels_last memory."""
        weight = self.weight.permute(0, 2, 3, 1)  # [C_in, k, k, C_out]
        maps = (input.flatten(1) @ weight.flatten(1)).view(-1, *weight.shape[1:])
        return (maps if self.bias is None else maps + self.bias).permute(0, 3, 1, 2)


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
        # Detached, since the slope at a point doesn't change with the point.
        backward = torch.ops.aten.leaky_relu_backward
        return backward(gradient, outputs.detach(), ctx.slope, True), None


class LeakyReLU(nn.LeakyReLU):
    """Leaky ReLU for critics, whose double backward takes no detour.

    The second derivative is zero. torch's own sends these zeros through all layers before, a
    third of a gradient penalty's work.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Any shape; the same values and gradients as torch's own."""
        outputs: Tensor = _LeakyReLU.apply(input, self.negative_slope)
        return outputs


def initialize_dcgan(network: nn.Module) -> None:
    """Draw initial weights as DCGAN does, and keep convolutions in channels_last memory.

    Weights come from N(0, 0.02), batch norm scales from N(1, 0.02), and biases are zero
    (Radford et al. 2016, section 4, https://arxiv.org/abs/1511.06434).
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.normal_(module.weight, 0.0, 0.02)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.02)
        else:
            continue
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    network.to(memory_format=torch.channels_last)
