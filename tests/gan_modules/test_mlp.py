"""Networks of points: their sizes, contracts, and what they may not be combined with."""

from functools import partial

import pytest
import torch

from datamodules import Points, Ring
from gan_modules import GAN, R3GAN, WGANGP, GANModule, parts
from gan_modules.networks import (
    Critic32,
    FCDiscriminator,
    FCGenerator,
    MLPDiscriminator,
    MLPGenerator,
    Packed,
)
from minmax.errors import UserError
from tests.gan_modules.helpers import fit

NO_CLASSES = torch.zeros(6, dtype=torch.int64)


def test_sizes() -> None:
    counts = [
        sum(weight.numel() for weight in network.parameters())
        for network in (MLPGenerator(2, 2, 1, 8), MLPDiscriminator(2, 1, 8))
    ]
    assert counts == [33_666, 33_537]
    small = MLPDiscriminator(2, 1, 8, width=5, depth=1)
    assert [tuple(weight.shape) for weight in small.parameters()] == [(5, 2), (5,), (1, 5), (1,)]


def test_shapes_and_bounds() -> None:
    generator = MLPGenerator(3, 2, 1, 8, width=4)
    points = generator(1000 * torch.randn(6, 3), NO_CLASSES)
    assert points.shape == (6, 2, 1, 1)
    assert points.abs().max() > 1  # no tanh
    assert MLPDiscriminator(2, 1, 8, width=4)(points, NO_CLASSES).shape == (6,)


def test_packs_of_points() -> None:
    packed = Packed(2, 1, 8, partial(MLPDiscriminator, width=4), images=3)
    points = torch.randn(6, 2, 1, 1)
    inner = packed.discriminator(points.view(2, 6, 1, 1), NO_CLASSES)
    assert packed(points, NO_CLASSES).equal(inner)


def test_images_and_points_need_networks_of_their_own() -> None:
    for build in (
        lambda: FCGenerator(2, 2, 1, 8),
        lambda: FCDiscriminator(2, 1, 8),
        lambda: Critic32(2, 1, 8),
        lambda: Packed(2, 1, 8, Critic32),
    ):
        with pytest.raises(UserError, match=r"no network of points in the plane: .*MLPGenerator"):
            build()
    for build in (lambda: MLPGenerator(2, 1, 32, 8), lambda: MLPDiscriminator(1, 32, 8)):
        with pytest.raises(UserError, match=r"MLP\w+ is no network of images: choose another"):
            build()


EVERY: dict[str, tuple[type[GANModule], dict[str, object]]] = {
    **{
        game.__name__: (GAN, {"game": game()})
        for game in (
            *(parts.CrossEntropy, parts.Hinge, parts.LeastSquares, parts.RelativisticAverage),
            *(parts.RelativisticPairing, parts.Wasserstein),
        )
    },
    **{
        penalty.__name__: (GAN, {"penalty": penalty()})
        for penalty in (
            *(parts.ApproximateR1, parts.ApproximateR2, parts.DRAGAN, parts.GradientPenalty),
            *(parts.LatentConsistency, parts.LeCam, parts.Orthogonal, parts.R1, parts.R2),
            parts.WeightClipping,
        )
    },
    "R3GAN": (R3GAN, {}),
    "WGANGP": (WGANGP, {}),
}


@pytest.mark.filterwarnings("ignore:.*LeafSpec.*", "ignore:.*num_workers.*")
@pytest.mark.parametrize("name", EVERY)
def test_games_and_penalties_train_on_points(name: str) -> None:
    """With packs of two; both networks move, and stay finite."""
    variant, options = EVERY[name]
    judge = partial(MLPDiscriminator, width=4, depth=1)
    gan = variant(
        generator=partial(MLPGenerator, width=4, depth=1),
        discriminator=partial(Packed, discriminator=judge),
        generator_optimizer=partial(torch.optim.SGD, lr=0.1),
        discriminator_optimizer=partial(torch.optim.SGD, lr=0.1),
        **{"channels": 2, "image_size": 1, "num_classes": 8, "latent_dim": 2},
        **options,
        **({"discriminator_steps": 1} if variant is WGANGP else {}),
    )
    before = [weight.clone() for weight in gan.parameters()]
    fit(gan, Points(Ring(), 32, 8, 8), max_steps=2)
    moved = [not old.equal(new) for old, new in zip(before, gan.parameters(), strict=True)]
    assert sum(moved) >= len(moved) - 1  # a bias has no gradient in games without a zero
    assert all(weight.isfinite().all() for weight in gan.parameters())
