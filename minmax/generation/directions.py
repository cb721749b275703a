"""Directions in the latent space along which a generator's first layer varies most."""

import torch
from torch import Tensor, nn

from gan_modules import GANModule
from minmax.generation.styles import w_of

LATENTS = 2048


class PassEndedError(Exception):
    """Ends a pass behind the first layer: so many images would need much memory and time."""

    def __init__(self, outputs: Tensor) -> None:
        super().__init__()
        self.outputs = outputs


def end_of_pass(layer: nn.Module, inputs: object, outputs: Tensor) -> None:
    """A hook of the first layer.

    Raises:
        PassEndedError: always.
    """
    raise PassEndedError(outputs)


@torch.no_grad()
def principal_directions(model: GANModule, count: int) -> tuple[Tensor, Tensor]:
    """Principal components of the first layer's activations, mapped back to the latents.

    GANSpace (Härkönen et al. 2020, https://arxiv.org/abs/2004.02546, section 2.1): take the
    activations of many latents, find their principal components, and regress the latents on the
    coordinates. A class-conditional generator is given its first class.

    Of a generator with a mapping they are the principal components of w, each times the standard
    deviation along it.

    Args:
        model: its averaged generator is used if there is one, else its generator.
        count: number of directions.

    Returns:
        Directions of length 1, `[count, latent_dim]`, or in w, `[count, width]`; and the share of
        the activations' variance along each, `[count]`.
    """
    network = model.drawing_network
    latents = model.seeded_latents(LATENTS)
    labels = torch.zeros(LATENTS, dtype=torch.int64)
    if hasattr(network, "mapping"):
        return components(w_of(model, latents, labels), count)
    first = next(layer for layer in network.modules() if takes_latents(layer))
    hook = first.register_forward_hook(end_of_pass)
    try:
        model.sample(latents, labels)
    except PassEndedError as ended:
        activations = ended.outputs.flatten(1).double()
    finally:
        hook.remove()
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


def takes_latents(layer: nn.Module) -> bool:
    """Whether a layer has weights, and is no table of classes."""
    return bool(list(layer.parameters(recurse=False))) and not isinstance(layer, nn.Embedding)


def components(vectors: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Principal components of vectors `[N, width]`, and the share of the variance along each.

    Each is as long as the standard deviation along it.
    """
    centred = vectors.double() - vectors.double().mean(dim=0)
    _, lengths, directions = torch.linalg.svd(centred, full_matrices=False)
    deviations = lengths[:count] / (len(vectors) - 1) ** 0.5
    shares = lengths.square()[:count] / lengths.square().sum()
    return (deviations[:, None] * directions[:count]).float(), shares.float()
