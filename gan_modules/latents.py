"""Changes of latents: interpolation between two, and truncation."""

import torch
from torch import Tensor


def slerp(start: Tensor, end: Tensor, steps: int) -> Tensor:
    """Spherical interpolation between latents (White 2016, https://arxiv.org/abs/1609.04468).

    The latents in between are as long as latents from N(0, 1). On a straight line they would be
    shorter, and the generator has never seen such latents.

    Args:
        start: latents `[N, latent_dim]`.
        end: latents `[N, latent_dim]`.
        steps: number of latents on each path, both ends included.

    Returns:
        Latents `[N, steps, latent_dim]`.
    """
    cosine = torch.nn.functional.cosine_similarity(start, end, dim=1)
    angle = cosine.clamp(-0.9999, 0.9999).acos()[:, None, None]
    share = torch.linspace(0, 1, steps, device=start.device)[None, :, None]
    from_start = torch.sin((1 - share) * angle) * start[:, None]
    return (from_start + torch.sin(share * angle) * end[:, None]) / torch.sin(angle)


def truncate(latents: Tensor, limit: float) -> Tensor:
    """Map latents from N(0, 1) to the normal distribution truncated at a limit.

    BigGAN draws numbers beyond the limit again (Brock et al. 2019, section 3.1,
    https://arxiv.org/abs/1809.11096). Here each number keeps its quantile, so that a latent keeps
    its image at every limit, only nearer to the middle. A lower limit gives better and less varied
    images if the generator has learned N(0, 1).

    Args:
        latents: `[N, latent_dim]`.
        limit: greatest absolute value, above 0.

    Returns:
        Latents `[N, latent_dim]`.
    """
    beyond = torch.special.ndtr(torch.tensor(-limit, dtype=torch.float64))
    share = beyond + torch.special.ndtr(latents.double()) * (1 - 2 * beyond)
    return torch.special.ndtri(share).clamp(-limit, limit).to(latents.dtype)
