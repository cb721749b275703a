"""A 3x3 convolution and a change of size by 2 in one convolution: the same function, less work.

Convolving 2x2 means, or repeated pixels, multiplies the same numbers several times. Sums of shifted
3x3 kernels are 4x4 kernels that give the same maps with 16 products where 36 were. On one CPU
thread this takes half the time.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, conv_transpose2d

from gan_modules.networks.convolution import convolution
from gan_modules.networks.spectral import SpectralConv2d
from gan_modules.precision import wide, without_autocast

PLACES = torch.tensor([[1.0, 0.0, 0.0], [1.0, 1.0, 0.0], [0.0, 1.0, 1.0], [0.0, 0.0, 1.0]])
"""Along one axis, a kernel of three numbers at both places among four, summed."""


class ResizingConv2d(nn.Conv2d):
    """A 3x3 convolution with padding 1 as a 4x4 one of stride 2 or 1/2.

    Attributes:
        places: what makes 16 numbers of a kernel's 9; `[16, 9]`.
    """

    places: Tensor

    def __init__(self, width_in: int, width_out: int, places: Tensor, bias: bool = True) -> None:
        super().__init__(width_in, width_out, 3, padding=1, bias=bias)
        both = torch.kron(places, places).to(self.weight.device)
        self.register_buffer("places", both, persistent=False)

    def spread(self, weight: Tensor) -> Tensor:
        """The kernel `[out, in, 3, 3]` as `[out, in, 4, 4]`, in channels_last memory."""
        rows = weight.permute(0, 2, 3, 1).flatten(1, 2)
        with without_autocast(weight):
            spread = torch.bmm(self.places.to(weight.dtype).expand(len(weight), -1, -1), rows)
        return spread.view(len(weight), 4, 4, -1).permute(0, 3, 1, 2)


class UpConv2d(ResizingConv2d):
    """Each pixel four times (nearest neighbour, 2x), then a 3x3 convolution with padding 1."""

    def __init__(self, width_in: int, width_out: int, bias: bool = True) -> None:
        super().__init__(width_in, width_out, PLACES.flip(1), bias)

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        kernel = self.spread(weight).transpose(0, 1)
        maps = conv_transpose2d(input, kernel, None, stride=2, padding=1)
        if bias is None:
            return maps
        return maps + bias.to(maps.dtype)[:, None, None]  # torch's own addition is slow on CPUs


class ConvPool2d(ResizingConv2d):
    """A 3x3 convolution with padding 1, then means of 2x2 pixels."""

    def __init__(self, width_in: int, width_out: int) -> None:
        super().__init__(width_in, width_out, PLACES / 2)

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return conv2d(input, self.spread(weight), bias, stride=2, padding=1)


class SpectralUpConv2d(SpectralConv2d, UpConv2d):
    """`UpConv2d` with a spectrally normalised 3x3 kernel."""


class SpectralConvPool2d(SpectralConv2d, ConvPool2d):
    """`ConvPool2d` with a spectrally normalised 3x3 kernel."""


def upsampled(maps: Tensor) -> Tensor:
    """Each pixel four times: `[N, C, H, W]` to `[N, C, 2 H, 2 W]`."""
    return nn.functional.interpolate(maps, scale_factor=2)


def filtered_down(maps: Tensor) -> Tensor:
    """Every second pixel behind a [1, 3, 3, 1] filter: `[N, C, H, W]` to `[N, C, H/2, W/2]`.

    In float32, also under autocast: in bfloat16 a CPU takes 20 times as long.
    """
    with without_autocast(maps):
        maps = wide(maps)
        return convolution(maps, depthwise(maps), None, 2, 1, groups=maps.shape[1])


def filtered_up(maps: Tensor) -> Tensor:
    """Zeros between pixels, then a [1, 3, 3, 1] filter: `[N, C, H, W]` to `[N, C, 2 H, 2 W]`.

    This is bilinear interpolation, with zeros around the image; in float32, as `filtered_down`.
    """
    with without_autocast(maps):
        maps = wide(maps)
        return convolution(maps, 4 * depthwise(maps), None, 2, 1, True, maps.shape[1])


def filtered(maps: Tensor, padding: int, gain: float = 1.0) -> Tensor:
    """A [1, 3, 3, 1] filter at each pixel, in float32, as `filtered_down`.

    Args:
        maps: `[N, C, H, W]`.
        padding: zeros around the maps.
        gain: factor of the filter, whose numbers sum to 1.
    """
    with without_autocast(maps):
        maps = wide(maps)
        return convolution(maps, gain * depthwise(maps), None, 1, padding, groups=maps.shape[1])


def depthwise(maps: Tensor) -> Tensor:
    """The filter `[C, 1, 4, 4]` for maps `[N, C, H, W]`, made on their device.

    [1, 3, 3, 1] / 8 in each direction: a tent, which interpolates pixels twice as far apart.
    """
    tent = (2 - (torch.arange(4, dtype=maps.dtype, device=maps.device) - 1.5).abs()) / 4
    return torch.outer(tent, tent).expand(maps.shape[1], 1, -1, -1)
