"""Directions in the latent space along which a generator's first layer varies most."""

import torch
from torch import Tensor, nn

from gan_modules import GANModule

LATENTS = 2048


@torch.no_grad()
def principal_directions(model: GANModule, count: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Principal components of the first layer's activations, mapped back to the latents.

    GANSpace (Härkönen et al. 2020, https://arxiv.org/abs/2004.02546, section 2.1): take the
    activations of many latents, find their principal components, and regress the latents on the
    coordinates. A class-conditional generator is given its first class.

    Args:
        model: its averaged generator is used if there is one, else its generator.
        count: number of directions.
        seed: of the latents.

    Returns:
        Directions of length 1, `[count, latent_dim]`, and the share of the activations' variance
        along each, `[count]`.
    """
    network = model.drawing_network
    latents = model.seeded_latents(LATENTS, seed)
    labels = torch.zeros(LATENTS, dtype=torch.int64)
    seen: list[Tensor] = []
    first = next(layer for layer in network.modules() if list(layer.parameters(recurse=False)))
    hook = first.register_forward_hook(lambda _, __, outputs: seen.append(outputs.flatten(1)))
    try:
        model.sample(latents, labels)
    finally:
        hook.remove()
    activations = torch.cat(seen).double()
    centred = activations - activations.mean(dim=0)
    # On the smaller side, whose eigenvectors are the coordinates, or the components themselves.
    few_latents = centred.shape[0] < centred.shape[1]
    variances, vectors = torch.linalg.eigh(
        centred @ centred.T if few_latents else centred.T @ centred
    )
    coordinates = vectors[:, -count:].flip(1)
    if not few_latents:
        coordinates = centred @ coordinates
    directions = torch.linalg.lstsq(coordinates, latents.double()).solution
    shares = variances.flip(0)[:count] / centred.square().sum()
    return nn.functional.normalize(directions, dim=1).float(), shares.float()
