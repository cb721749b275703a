"""StyleGAN2's networks (Karras et al. 2020, https://arxiv.org/abs/1912.04958), for small images.

With the settings of StyleGAN2-ADA (Karras et al. 2020, https://arxiv.org/abs/2006.06676): two
mapping layers, and classes in both networks. Everything is made of torch's own operations.

All weights are drawn from N(0, 1) and multiplied by 1 / sqrt(fan_in) in each forward ("equalised
learning rate": Karras et al. 2018, section 4.1, https://arxiv.org/abs/1710.10196).
"""

import math
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, conv_transpose2d, linear

from gan_modules.networks.layers import LeakyReLU
from gan_modules.networks.minibatch_std import MinibatchStd
from gan_modules.networks.network import Discriminator, Generator, one_hot
from gan_modules.networks.noise import ScalarNoise
from gan_modules.networks.resampled import filtered, filtered_down, filtered_up
from gan_modules.parallel import mean_over_ranks
from gan_modules.precision import wide, without_autocast

SMALLEST = 4
"""Side of the first maps of the generator, and of the last of the discriminator."""
SIZES = (32, 64, 128, 256)
W_DECAY = 0.995
"""Share of the average of w that is kept at each of the mapping's passes in training."""
CLASS_LAYERS = 8
"""Layers of the discriminator's mapping of classes."""


class Leaky(nn.Module):
    """Leaky ReLU of slope 0.2, times sqrt 2, which keeps the size of its inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.activation = LeakyReLU(0.2)

    def forward(self, inputs: Tensor) -> Tensor:
        """Any shape."""
        return self.activation(inputs) * math.sqrt(2)


class EqualLinear(nn.Module):
    """Linear layer of equalised learning rate.

    Args:
        width_in: length of the inputs.
        width_out: length of the outputs.
        bias: first value of the biases.
        rate: factor of the learning rate, in the weights and biases.
    """

    def __init__(self, width_in: int, width_out: int, bias: float = 0.0, rate: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(width_out, width_in) / rate)
        self.bias = nn.Parameter(torch.full((width_out,), bias / rate))
        self.scale = rate / math.sqrt(width_in)
        self.rate = rate

    def forward(self, vectors: Tensor) -> Tensor:
        """`[N, width_in]` to `[N, width_out]`."""
        return linear(vectors, self.weight * self.scale, self.bias * self.rate)


class EqualConv2d(nn.Module):
    """Convolution of equalised learning rate, with padding; maybe to half the size.

    Args:
        width_in: channels of the inputs.
        width_out: channels of the outputs.
        kernel: side of the kernel, 1 or 3.
        down: whether a [1, 3, 3, 1] filter and stride 2 halve the size.
        bias: whether there are biases.
    """

    def __init__(
        self, width_in: int, width_out: int, kernel: int, down: bool = False, bias: bool = True
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(width_out, width_in, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(width_out)) if bias else None
        self.scale = 1 / math.sqrt(width_in * kernel**2)
        self.down = down

    def forward(self, maps: Tensor) -> Tensor:
        """Maps `[N, width_in, H, W]` to `[N, width_out, H, W]`, or half of H and W."""
        weight = self.weight * self.scale
        kernel = weight.shape[-1]
        if not self.down:
            return conv2d(maps, weight, self.bias, padding=kernel // 2)
        if kernel == 1:
            return conv2d(filtered_down(maps), weight, self.bias)
        return conv2d(filtered(maps, 2), weight, self.bias, stride=2)


class ModulatedConv2d(nn.Module):
    """Convolution whose inputs a style scales, and whose outputs are scaled back (section 2.2).

    Inputs are scaled before the convolution, and outputs behind it, in one convolution for all
    images; or each image has weights of its own ("fused"), in one convolution with a group an
    image. Both compute the same.

    Args:
        width_in: channels of the inputs.
        width_out: channels of the outputs.
        kernel: side of the kernel, 1 or 3.
        style: length of the vectors w, from which the style comes.
        up: whether the size doubles: a transposed convolution, and a [1, 3, 3, 1] filter.
        demodulate: whether outputs are scaled back, to the variance that inputs of variance 1 and
            independent channels would have without a style.
        fused: whether each image has weights of its own.
    """

    def __init__(
        self,
        width_in: int,
        width_out: int,
        kernel: int,
        style: int,
        up: bool = False,
        demodulate: bool = True,
        fused: bool = False,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(width_out, width_in, kernel, kernel))
        self.affine = EqualLinear(style, width_in, bias=1.0)
        self.gain = 1.0 if demodulate else 1 / math.sqrt(width_in * kernel**2)
        self.up = up
        self.demodulate = demodulate
        self.fused = fused

    def forward(self, maps: Tensor, style: Tensor) -> Tensor:
        """Maps `[N, width_in, H, W]` and w `[N, style]` to `[N, width_out, H, W]`, or 2 H, 2 W."""
        with without_autocast(maps):
            scales = self.affine(wide(style)) * self.gain
            back = None
            if self.demodulate:
                squares = self.weight.square().sum((2, 3))
                back = (scales.square() @ squares.t() + 1e-8).rsqrt()
            if self.fused:
                weights = self.weight * scales[:, None, :, None, None]
                weights = weights if back is None else weights * back[..., None, None, None]
        if self.fused:
            images, _, *sides = maps.shape
            groups = maps.reshape(1, -1, *sides)
            convolved = self.convolved(groups, weights.flatten(0, 1), images)
            return convolved.view(images, -1, *convolved.shape[2:])
        maps = maps * scales.to(maps.dtype)[:, :, None, None]
        maps = self.convolved(maps, self.weight, 1)
        return maps if back is None else maps * back.to(maps.dtype)[:, :, None, None]

    def convolved(self, maps: Tensor, weight: Tensor, groups: int) -> Tensor:
        """Maps `[N, groups * in, H, W]` convolved with weights `[groups * out, in, k, k]`."""
        if not self.up:
            return conv2d(maps, weight, padding=weight.shape[-1] // 2, groups=groups)
        weight = weight.view(groups, -1, *weight.shape[1:]).transpose(1, 2).flatten(0, 1)
        convolved = conv_transpose2d(maps, weight, stride=2, groups=groups)
        return filtered(convolved, 1, gain=4)


class StyledLayer(nn.Module):
    """Modulated 3x3 convolution, noise, bias, leaky ReLU.

    In eval mode the noise is the layer's own, so that images depend on their latents alone.

    Args:
        width_in: channels of the inputs.
        width_out: channels of the outputs.
        style: length of the vectors w.
        side: of the outputs.
        up: whether the size doubles.
        fused: whether each image has weights of its own in the convolution.
    """

    def __init__(
        self, width_in: int, width_out: int, style: int, side: int, up: bool, fused: bool
    ) -> None:
        super().__init__()
        self.convolution = ModulatedConv2d(width_in, width_out, 3, style, up, fused=fused)
        self.noise = ScalarNoise(side)
        self.bias = nn.Parameter(torch.zeros(width_out))
        self.activation = Leaky()

    def forward(self, maps: Tensor, style: Tensor) -> Tensor:
        """Maps `[N, width_in, H, W]` and w `[N, style]` to maps of `side`."""
        maps = self.convolution(maps, style)
        added = self.noise.drawn(maps.shape[0]) + self.bias[:, None, None]
        return self.activation(maps + added.to(maps.dtype))


class ToImage(nn.Module):
    """Modulated 1x1 convolution to the image's channels, without demodulation; bias."""

    def __init__(self, width: int, channels: int, style: int) -> None:
        super().__init__()
        self.convolution = ModulatedConv2d(width, channels, 1, style, demodulate=False)
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, maps: Tensor, style: Tensor) -> Tensor:
        """Maps `[N, width, H, W]` and w `[N, style]` to `[N, C, H, W]` in float32."""
        return wide(self.convolution(maps, style)) + self.bias[:, None, None]


def normalised(vectors: Tensor) -> Tensor:
    """Vectors `[N, length]` divided by the root of their mean square."""
    return vectors * (vectors.square().mean(1, keepdim=True) + 1e-8).rsqrt()


class Mapping(nn.Module):
    """Latents, classes, or both to vectors w.

    Args:
        latent_dim: length of the latents; 0 is none.
        num_classes: of the data; 0 is none.
        width: length of w, and of the layers.
        layers: number of layers.
    """

    def __init__(self, latent_dim: int, num_classes: int, width: int, layers: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.embed = EqualLinear(num_classes, width) if num_classes else None
        widths = [latent_dim + (width if num_classes else 0)] + [width] * layers
        rates = (EqualLinear(*pair, rate=0.01) for pair in pairwise(widths))
        self.layers = nn.Sequential(*(nn.Sequential(layer, Leaky()) for layer in rates))

    def forward(self, latent: Tensor | None, classes: Tensor) -> Tensor:
        """Latents `[N, latent_dim]` and classes `[N]` to w `[N, width]`, in float32."""
        with without_autocast(next(self.parameters())):
            inputs = [] if latent is None else [normalised(wide(latent))]
            if self.embed is not None:
                chosen = one_hot(classes, self.num_classes, self.embed.weight)
                inputs.append(normalised(self.embed(chosen)))
            return self.layers(torch.cat(inputs, dim=1))


def widths_of(image_size: int, base: int, most: int) -> list[int]:
    """Channels at 4, 8, ... pixels: `base` / size, at most `most`."""
    sides = [SMALLEST << n for n in range(int(math.log2(image_size // SMALLEST)) + 1)]
    return [max(1, min(base // side, most)) for side in sides]


class StyleGAN2Generator(Generator):
    """Mapping to w, and styled layers from a learnt 4x4 map, whose images are summed over sizes.

    Args:
        latent_dim: length of the latents. Paper: 512.
        base: channels times the side, up to `width`. Paper: 16384 at 256 pixels.
        width: most channels, and the length of w. Paper: 512.
        conditional: whether the mapping sees the class.
        layers: of the mapping. Paper: 8; StyleGAN2-ADA below 1024 pixels: 2.
        fused: whether each image has weights of its own in the 3x3 convolutions: the same images,
            2 to 60 times as slow on a CPU.

    Attributes:
        w_average: moving average of w, for truncation; `[width]`.
    """

    image_sizes = SIZES
    w_average: Tensor

    def __init__(
        self,
        latent_dim: int,
        channels: int,
        image_size: int,
        num_classes: int,
        base: int = 16384,
        width: int = 512,
        conditional: bool = False,
        layers: int = 2,
        fused: bool = False,
    ) -> None:
        super().__init__(image_size)
        self.check_positive(base=base, width=width, layers=layers)
        self.conditional = conditional
        self.mapping = Mapping(latent_dim, num_classes if conditional else 0, width, layers)
        widths = widths_of(image_size, base, width)
        self.constant = nn.Parameter(torch.randn(widths[0], SMALLEST, SMALLEST))
        layer = partial(StyledLayer, style=width, fused=fused)
        self.layers = nn.ModuleList([layer(widths[0], widths[0], side=SMALLEST, up=False)])
        self.images = nn.ModuleList([ToImage(widths[0], channels, width)])
        side = SMALLEST
        for width_in, width_out in pairwise(widths):
            side *= 2
            self.layers.append(layer(width_in, width_out, side=side, up=True))
            self.layers.append(layer(width_out, width_out, side=side, up=False))
            self.images.append(ToImage(width_out, channels, width))
        self.register_buffer("w_average", torch.zeros(width))
        self.to(memory_format=torch.channels_last)

    @property
    def styles(self) -> int:
        """Number of vectors w an image: one a styled layer, and one for the last image."""
        return len(self.layers) + 1

    def forward(self, latent: Tensor, classes: Tensor) -> Tensor:
        """Latents `[N, latent_dim]` and classes `[N]` to images `[N, C, H, W]`, unbounded."""
        w = self.mapping(latent, classes)
        return self.synthesis(w[:, None].expand(-1, self.styles, -1))

    @torch.no_grad()
    def note(self, w: Tensor) -> None:
        """Move the average of w towards the mean of vectors `[N, width]`, over all ranks."""
        self.w_average.lerp_(mean_over_ranks(w.mean(0)), 1 - W_DECAY)

    def synthesis(self, styles: Tensor) -> Tensor:
        """Vectors w `[N, styles, width]` to images `[N, C, H, W]`, unbounded."""
        first, *others = self.layers
        maps = first(self.constant.expand(styles.shape[0], -1, -1, -1), styles[:, 0])
        image: Tensor = self.images[0](maps, styles[:, 1])
        pairs = zip(others[::2], others[1::2], self.images[1:], strict=True)
        for number, (up, same, to_image) in enumerate(pairs):
            w_up, w_same, w_image = styles[:, 2 * number + 1 :].unbind(1)[:3]
            maps = same(up(maps, w_up), w_same)
            image = filtered_up(image) + to_image(maps, w_image)
        return image


class DownStage(nn.Module):
    """Two 3x3 convolutions with leaky ReLU, the second to half the size.

    Args:
        width_in: channels of the inputs.
        width_out: channels of the outputs.
        residual: whether a 1x1 convolution to half the size is added; all is divided by sqrt 2.
    """

    def __init__(self, width_in: int, width_out: int, residual: bool) -> None:
        super().__init__()
        self.first = EqualConv2d(width_in, width_in, 3)
        self.second = EqualConv2d(width_in, width_out, 3, down=True)
        self.skip = EqualConv2d(width_in, width_out, 1, down=True, bias=False) if residual else None
        self.activation = Leaky()

    def forward(self, maps: Tensor) -> Tensor:
        """Maps `[N, width_in, H, W]` to `[N, width_out, H/2, W/2]`."""
        outputs: Tensor = self.activation(self.second(self.activation(self.first(maps))))
        return outputs if self.skip is None else (outputs + self.skip(maps)) / math.sqrt(2)


class StyleGAN2Discriminator(Discriminator):
    """A 1x1 convolution, stages that halve the size, minibatch deviation, two linear layers.

    With classes the last layer's outputs are multiplied by a mapping of the class, and summed.

    Args:
        base: channels times the side, up to `width`. Paper: 16384 at 256 pixels.
        width: most channels. Paper: 512.
        conditional: whether it judges images by their class.
        residual: whether stages have a way around them. Paper: yes; StyleGAN2-ADA on CIFAR-10: no.
        group: images whose deviation is taken. Paper: 4; StyleGAN2-ADA on CIFAR-10: 32.
    """

    image_sizes = SIZES

    def __init__(
        self,
        channels: int,
        image_size: int,
        num_classes: int,
        base: int = 16384,
        width: int = 512,
        conditional: bool = False,
        residual: bool = True,
        group: int = 4,
    ) -> None:
        super().__init__(image_size)
        self.check_positive(base=base, width=width, group=group)
        self.conditional = conditional
        widths = widths_of(image_size, base, width)[::-1]
        last = widths[-1]
        self.first = nn.Sequential(EqualConv2d(channels, widths[0], 1), Leaky())
        self.stages = nn.Sequential(*(DownStage(*pair, residual) for pair in pairwise(widths)))
        self.last = nn.Sequential(MinibatchStd(group), EqualConv2d(last + 1, last, 3), Leaky())
        self.hidden = nn.Sequential(EqualLinear(last * SMALLEST**2, last), Leaky())
        self.head = EqualLinear(last, last if conditional else 1)
        self.mapping = Mapping(0, num_classes, last, CLASS_LAYERS) if conditional else None
        self.to(memory_format=torch.channels_last)

    def forward(self, images: Tensor, classes: Tensor) -> Tensor:
        """Images `[N, C, H, W]` and classes `[N]` to logits `[N]`, in float32 under autocast.

        Raises:
            UserError: N is no multiple of `group`.
        """
        maps = self.stages(self.first(images))
        with without_autocast(maps):
            logits: Tensor = self.head(self.hidden(self.last(wide(maps)).flatten(1)))
            if self.mapping is not None:
                products = logits * self.mapping(None, classes)
                logits = products.sum(1, keepdim=True) / math.sqrt(products.shape[1])
            return logits.squeeze(1)
