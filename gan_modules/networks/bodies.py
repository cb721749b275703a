"""Residual networks by image size, from which SNGAN's, SAGAN's and BigGAN's are made.

The channels are those of Miyato et al. 2018, appendix B (https://arxiv.org/abs/1802.05957). Those
for 96 pixels are ours, in the manner of those for 48 and 64.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from gan_modules.networks.attention import SelfAttention
from gan_modules.networks.conditional import Norm
from gan_modules.networks.resnet import DownBlock, FirstBlock, Layers, UpBlock
from gan_modules.precision import wide, without_autocast

GENERATORS = {
    32: (256, (1, 1, 1, 1)),
    48: (64, (8, 4, 2, 1)),
    64: (64, (16, 8, 4, 2, 1)),
    96: (32, (16, 8, 4, 2, 1)),
    128: (64, (16, 16, 8, 4, 2, 1)),
}
"""By image size: the full width; channels of the first maps and behind each block, in widths."""
DISCRIMINATORS = {
    32: (128, (1, 1, 1, 1), 2),
    48: (64, (1, 2, 4, 8, 16), 4),
    64: (64, (1, 2, 4, 8, 16), 5),
    96: (32, (1, 2, 4, 8, 16), 5),
    128: (64, (1, 2, 4, 8, 16, 16), 5),
}
"""By image size: the full width; channels behind each block, in widths; how many blocks pool."""
SIZES = tuple(GENERATORS)


class GeneratorBody(nn.Module):
    """A linear layer to 4x4 or 6x6 maps, blocks that double their side, norm, ReLU, 3x3, tanh.

    Args:
        features: length of the vectors that enter.
        channels: of the images.
        image_size: of the images, one of `SIZES`.
        width: channels of the last block.
        layers: with or without spectral normalisation.
        norm: of the blocks.
        eps: of the last batch norm.
        attention: side of the maps behind which self-attention follows; 0 is nowhere.
    """

    def __init__(
        self,
        features: int,
        channels: int,
        image_size: int,
        width: int,
        layers: Layers,
        norm: Norm,
        eps: float = 1e-5,
        attention: int = 0,
    ) -> None:
        super().__init__()
        widths = [width * multiple for multiple in GENERATORS[image_size][1]]
        side = image_size >> len(widths) - 1
        self.shape = (widths[0], side, side)
        self.project = layers.linear(features, widths[0] * side**2)
        self.blocks, self.behind = nn.ModuleList(), nn.ModuleList()
        for width_in, width_out in pairwise(widths):
            side *= 2
            self.blocks.append(UpBlock(width_in, width_out, layers, norm))
            attends = side == attention
            self.behind.append(SelfAttention(width_out, layers.conv) if attends else nn.Identity())
        self.norm = nn.BatchNorm2d(width, eps)
        self.last = layers.conv(width, channels, 3, padding=1)

    def forward(self, features: Tensor, conditions: Sequence[Tensor]) -> Tensor:
        """Vectors `[N, features]`, and for each block what its norms need, to images."""
        maps = self.project(features).view(-1, *self.shape)
        for block, behind, condition in zip(self.blocks, self.behind, conditions, strict=True):
            maps = behind(block(maps, condition))
        return torch.tanh(self.last(relu(self.norm(maps), inplace=True)))


class DiscriminatorBody(nn.Module):
    """Residual blocks, ReLU, sum over all positions, and a head.

    Args:
        channels: of the images.
        image_size: of the images, one of `SIZES`.
        width: channels of the first block.
        num_classes: classes that the head projects on; 0 is none.
        layers: with or without spectral normalisation.
        attention: side of the maps behind which self-attention follows; 0 is nowhere.
    """

    def __init__(
        self,
        channels: int,
        image_size: int,
        width: int,
        num_classes: int,
        layers: Layers,
        attention: int = 0,
    ) -> None:
        super().__init__()
        _, multiples, pooling = DISCRIMINATORS[image_size]
        widths = [width * multiple for multiple in multiples]
        blocks: list[nn.Module] = [FirstBlock(channels, widths[0], layers)]
        side = image_size // 2
        for index, (width_in, width_out) in enumerate(pairwise(widths)):
            if side == attention:
                blocks.append(SelfAttention(width_in, layers.conv))
            pools = index + 1 < pooling
            blocks.append(DownBlock(width_in, width_out, layers, pools))
            side >>= pools
        self.blocks = nn.Sequential(*blocks)
        head = LinearHead(widths[-1], layers)
        self.head = ProjectionHead(widths[-1], num_classes, layers) if num_classes else head

    def forward(self, images: Tensor, classes: Tensor) -> Tensor:
        """Images `[N, C, H, W]` and their classes to logits `[N]`, in float32 under autocast."""
        maps = self.blocks(images)
        with without_autocast(maps):
            return self.head(wide(relu(maps)).sum((2, 3)), classes)


class LinearHead(nn.Module):
    """One linear logit of features."""

    def __init__(self, width: int, layers: Layers) -> None:
        super().__init__()
        self.linear = layers.linear(width, 1)

    def forward(self, features: Tensor, classes: Tensor) -> Tensor:
        """Features `[N, width]` to logits `[N]`."""
        return self.linear(features).squeeze(1)


class ProjectionHead(LinearHead):
    """A linear logit, and the features' product with a vector of the class (equation 3).

    Miyato and Koyama 2018, https://arxiv.org/abs/1802.05637
    """

    def __init__(self, width: int, num_classes: int, layers: Layers) -> None:
        super().__init__(width, layers)
        self.embedding = layers.embedding(num_classes, width)

    def forward(self, features: Tensor, classes: Tensor) -> Tensor:
        """Features `[N, width]` and classes `[N]` to logits `[N]`."""
        projected: Tensor = (self.embedding(classes) * features).sum(1)
        return super().forward(features, classes) + projected
