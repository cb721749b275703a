"""Self-attention of maps (Zhang et al. 2019, https://arxiv.org/abs/1805.08318).

The layer is that of the authors' code: keys and values are max-pooled, the values have half the
channels, and the scores are not divided by a root.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool2d

from gan_modules.networks.spectral import SpectralConv2d
from minmax.errors import UserError


class SelfAttention(nn.Module):
    """`x + s o(attention(x))`, with 1x1 convolutions without biases, and a scalar s from 0.

    Args:
        channels: of the maps, a multiple of 8.
        conv: makes its convolutions.

    Raises:
        UserError: it is no multiple of 8.
    """

    def __init__(self, channels: int, conv: Callable[..., nn.Conv2d] = SpectralConv2d) -> None:
        super().__init__()
        if channels % 8:
            raise UserError(
                f"`width` makes self-attention of {channels} channels, and it needs a multiple of "
                "8: choose a `width` that is one"
            )
        keys, values = channels // 8, channels // 2
        self.query = conv(channels, keys, 1, bias=False)
        self.key = conv(channels, keys, 1, bias=False)
        self.value = conv(channels, values, 1, bias=False)
        self.output = conv(values, channels, 1, bias=False)
        self.scale = nn.Parameter(torch.tensor(0.0))

    def forward(self, maps: Tensor) -> Tensor:
        """Maps `[N, C, H, W]` of even sides to maps of the same shape."""
        queries: Tensor = self.query(maps).flatten(2)
        keys = max_pool2d(self.key(maps), 2).flatten(2)
        values = max_pool2d(self.value(maps), 2).flatten(2)
        weights = torch.bmm(queries.transpose(1, 2), keys).softmax(2)
        seen = torch.bmm(values, weights.to(values.dtype).transpose(1, 2))
        seen = self.output(seen.view(-1, seen.shape[1], *maps.shape[2:]))
        return maps + self.scale.to(maps.dtype) * seen
