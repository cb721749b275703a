"""Ways among the latents: between two of them, and nearer to where most of them lie."""

import torch
from torch import Tensor


def slerp(start: Tensor, end: Tensor, steps: int) -> Tensor:
    """Spherical interpolation between latents (White 2016, https://arxiv.org/abs/1609.04468).

    The latents between keep the length that latents from N(0, 1) have; on a straight line
    they would be shorter, which the generator has never seen.

    Args:
        start: latents `[N, latent_dim]`.
        end: latents `[N, latent_dim]`.
        steps: number of latents on each way, both ends included.

    Returns:
        Latents `[N, steps, latent_dim]`.
    """
    cosine = torch.nn.functional.cosine_similarity(start, end, dim=1)
    angle = cosine.clamp(-0.9999, 0.9999).acos()[:, None, None]
    share = torch.linspace(0, 1, steps, device=start.device)[None, :, None]
    from_start = torch.sin((1 - share) * angle) * start[:, None]
    return (from_start + torch.sin(share * angle) * end[:, None]) / torch.sin(angle)


def truncate(latents: Tensor, limit: float) -> Tensor:
    """Bring latents from N(0, 1) to the same distribution without what lies beyond a limit.

    What BigGAN gets by drawing numbers beyond the limit again (Brock et al. 2019, section 3.1,
    https://arxiv.org/abs/1809.11096), here by the quantile of each number, so that a latent has
    the same image, nearer to the middle, at every limit. The lower the limit, the better and the
    less varied are the images of a generator that has learned N(0, 1).

    Args:
        latents: `[N, latent_dim]`.
        limit: greatest absolute value, above 0.

    Returns:
        Latents `[N, latent_dim]`.
    """
    beyond = torch.special.ndtr(torch.tensor(-limit, dtype=torch.float64))
    share = beyond + torch.special.ndtr(latents.double()) * (1 - 2 * beyond)
    short: Tensor = torch.special.ndtri(share).clamp(-limit, limit).to(latents.dtype)
    return short
