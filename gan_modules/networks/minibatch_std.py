"""Minibatch standard deviation (Karras et al. 2018, section 3, https://arxiv.org/abs/1710.10196).

As in StyleGAN2, with one channel.
"""

import torch
from torch import Tensor, nn

from gan_modules.precision import wide
from minmax.errors import UserError


class MinibatchStd(nn.Module):
    """Adds a channel that says how much the images of a group differ.

    Image n of a batch of N belongs to group n mod (N / group). The channel is constant over an
    image: the standard deviation over its group, averaged over channels and positions.

    Each rank has its own groups. They are those of the joint batch if rank r of R has its images r,
    r + R, r + 2 R, ...

    Args:
        group: images a group, a divisor of the batch size; a smaller batch is one group. StyleGAN2:
            4 (32 on CIFAR-10).
    """

    compares_images = True

    def __init__(self, group: int = 4) -> None:
        super().__init__()
        if group < 1:
            raise UserError(f"`group` of MinibatchStd must be at least 1, got {group}")
        self.group = group

    def forward(self, maps: Tensor) -> Tensor:
        """Maps `[N, C, H, W]` to `[N, C + 1, H, W]`.

        Raises:
            UserError: N is no multiple of `group`.
        """
        count, _, height, width = maps.shape
        group = min(self.group, count)
        if count % group:
            raise UserError(
                f"MinibatchStd compares {group} images, and is shown {count}: choose a "
                "`batch_size` (per device) that is a multiple of `group`"
            )
        groups = wide(maps).unflatten(0, (group, -1))  # type: ignore[no-untyped-call]
        std = (groups.var(0, unbiased=False) + 1e-8).sqrt().mean((1, 2, 3))
        channel = std.to(maps.dtype).repeat(group).view(-1, 1, 1, 1)
        return torch.cat([maps, channel.expand(-1, 1, height, width)], dim=1)
