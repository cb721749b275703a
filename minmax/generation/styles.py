"""Images by way of w, for generators with a mapping (StyleGAN2).

Such a generator has `mapping`, latents and classes to vectors w; `synthesis`, vectors `[N, styles,
width]` to images; `styles`, their number; and `w_average`.
"""

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from gan_modules import GANModule
from minmax.errors import UserError


@dataclass(frozen=True)
class Styling:
    """What is done to w on its way to images.

    Attributes:
        psi: truncation: w_average + psi (w - w_average).
        others: latents `[N, latent_dim]` whose w the last styles have; none leaves all alone.
        first: number of the first of these styles.
    """

    psi: float = 1.0
    others: Tensor | None = None
    first: int = 0

    def part(self, images: slice) -> "Styling":
        """The same for some of the images."""
        return self if self.others is None else replace(self, others=self.others[images])


def mapped(model: GANModule) -> Any:
    """The drawing network, in eval mode.

    Raises:
        UserError: it has no mapping.
    """
    network: Any = model.drawing_network.eval()
    if not hasattr(network, "mapping"):
        raise UserError(
            "--psi and --mix-seed change what a mapping makes of latents, and "
            f"{type(network).__name__} has none: leave them out, or choose a StyleGAN2"
        )
    return network


@torch.no_grad()
def w_of(model: GANModule, latents: Tensor, labels: Tensor) -> Tensor:
    """Vectors w `[N, width]` of latents `[N, latent_dim]` and labels `[N]`."""
    w: Tensor = mapped(model).mapping(latents, labels)
    return w


@torch.no_grad()
def images_of(model: GANModule, w: Tensor, psi: float, other: Tensor | None, first: int) -> Tensor:
    """Images `[N, C, H, W]` of vectors w `[N, width]`; see `Styling`.

    Raises:
        UserError: there is no style `first`.
    """
    network = mapped(model)
    if not 0 <= first < network.styles:
        raise UserError(
            f"--mix-from {first}: {type(network).__name__} has {network.styles} styles, so choose "
            f"from 0 to {network.styles - 1}"
        )
    styles = w[:, None].repeat(1, network.styles, 1)
    if other is not None:
        styles[:, first:] = other[:, None]
    images: Tensor = network.synthesis(torch.lerp(network.w_average, styles, psi))
    return images.float()


def styled(model: GANModule, latents: Tensor, labels: Tensor, styling: Styling) -> Tensor:
    """Images `[N, C, H, W]` of latents `[N, latent_dim]` and labels `[N]`."""
    w = w_of(model, latents, labels)
    others = styling.others
    other = None if others is None else w_of(model, others.to(latents), labels)
    return images_of(model, w, styling.psi, other, styling.first)
