"""Interpolated and truncated latents, against what they should be."""

import math

import pytest
import torch
from torch import nn

from gan_modules.latents import slerp, truncate
from tests.gan_modules.helpers import make_model


def test_slerp_goes_from_end_to_end_at_an_even_pace() -> None:
    torch.manual_seed(0)
    start, end = torch.randn(2, 7, 50).unbind()
    ways = slerp(start, end, 5)
    assert ways.shape == (7, 5, 50)
    torch.testing.assert_close(ways[:, 0], start)
    torch.testing.assert_close(ways[:, -1], end)

    directions = nn.functional.normalize(torch.randn(2, 7, 50), dim=2)
    ways = slerp(3 * directions[0], 3 * directions[1], 5)
    torch.testing.assert_close(ways.norm(dim=2), torch.full((7, 5), 3.0))
    cosines = nn.functional.cosine_similarity(ways[:, 1:], ways[:, :-1], dim=2)
    total = (directions[0] * directions[1]).sum(dim=1).acos()
    torch.testing.assert_close(
        cosines.acos(), (total / 4)[:, None].expand(-1, 4), atol=1e-3, rtol=0
    )


def test_slerp_between_equal_latents_stays_there() -> None:
    latent = torch.randn(2, 50)
    ways = slerp(latent, latent, 4)
    torch.testing.assert_close(ways, latent[:, None].expand(-1, 4, -1), rtol=1e-3, atol=1e-3)


def test_truncated_latents_have_the_truncated_distribution() -> None:
    torch.manual_seed(0)
    latents = torch.randn(2000, 100)
    short = truncate(latents, 1.0)
    assert short.abs().max() <= 1
    # Of N(0, 1) between -1 and 1: variance 1 - 2 phi(1) / (2 Phi(1) - 1).
    density = math.exp(-0.5) / math.sqrt(2 * math.pi)
    variance = 1 - 2 * density / math.erf(1 / math.sqrt(2))
    torch.testing.assert_close(float(short.var()), variance, rtol=0.01, atol=0)
    assert torch.equal(short.argsort(dim=1), latents.argsort(dim=1)), "the order stays"
    torch.testing.assert_close(truncate(latents, 9.0), latents, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(truncate(latents[5:6], 1.0), short[5:6])


@pytest.mark.parametrize("latent_dim", [2, 100])
def test_a_seeds_latents_do_not_depend_on_their_number(latent_dim: int) -> None:
    model = make_model(latent_dim=latent_dim)
    many = model.seeded_latents(40, seed=3)
    for count in range(1, 20):
        assert torch.equal(model.seeded_latents(count, seed=3), many[:count])
