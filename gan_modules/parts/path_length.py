"""Path length regularisation of generators that have a mapping (StyleGAN2)."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from gan_modules.parallel import mean_over_ranks
from gan_modules.parts.part import Part
from gan_modules.precision import wide
from minmax.errors import UserError

Synthesis = Callable[[Tensor], Tensor]
"""Vectors w `[N, styles, width]` to images `[N, C, H, W]`."""


class PathLength(Part):
    """weight * E[(|J^T y| - a)^2], a step of the same length in w changes images as much anywhere.

    Karras et al. 2020, section 3.2 and appendix B (https://arxiv.org/abs/1912.04958). J is the
    slope of the images in w, y are images of N(0, 1 / (H W)), the norm is the root of the mean over
    styles of squared lengths, and a its moving average. It is due at every k-th update of the
    generator, times k, in a step of its own, for which Adam is corrected as by `LazyPenalty`. In
    float32, also under autocast. Logs the mean length and the term without its weight.

    Args:
        weight: weight of the term. Paper: 2.
        every: k. Paper: 4.
        decay: share of the average that is kept at each call. Paper: 0.99.
        share: share of a batch's first latents that it sees. Paper: 0.5.

    Attributes:
        step_share: see `Penalty.step_share`; of the generator.
    """

    average: Tensor

    def __init__(
        self, weight: float = 2.0, every: int = 4, decay: float = 0.99, share: float = 0.5
    ) -> None:
        super().__init__()
        self.check_range(0, math.inf, weight=weight)
        self.check_range(0, 1, decay=decay, share=share)
        if every < 1:
            raise UserError(f"`every` of PathLength must be at least 1, got {every}")
        self.weight = weight
        self.every = every
        self.decay = decay
        self.share = share
        self.step_share = every / (every + 1) if weight else 1.0
        self.register_buffer("average", torch.tensor(0.0))

    def due(self, update: int) -> bool:
        """Whether the term follows this update of the generator, counted from 0."""
        return self.weight > 0 and update % self.every == 0

    def forward(self, synthesis: Synthesis, styles: Tensor) -> Tensor:
        """The term times `every`, as a scalar; moves the average first.

        Args:
            synthesis: vectors w to images.
            styles: `[N, styles, width]`, with the graph of the mapping.
        """
        styles = styles[: max(1, round(self.share * len(styles)))]
        with torch.autocast(styles.device.type, enabled=False):
            images = synthesis(wide(styles))
            noise = torch.randn_like(images) / math.sqrt(images[0, 0].numel())
            (slope,) = torch.autograd.grad((images * noise).sum(), styles, create_graph=True)
            lengths = slope.square().sum(2).mean(1).sqrt()
            with torch.no_grad():
                mean = mean_over_ranks(lengths.mean())
                self.average.copy_(torch.lerp(mean, self.average, self.decay))
            term = (lengths - self.average).square().mean()
            self.observed = {"path_length/mean": mean, "path_length/value": term.detach()}
            return self.every * self.weight * term
