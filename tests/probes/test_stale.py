"""Spectral norms of known matrices against their estimates."""

import pytest
import torch
from torch import nn

from gan_modules.networks.spectral import SpectralLinear
from minmax.probes.stale import norm_over_estimate, stalest


@pytest.mark.parametrize(("place", "ratio"), [(0, 1.0), (1, 1.5), (2, 3.0)])
def test_the_largest_singular_value(place: int, ratio: float) -> None:
    """An estimate at another singular vector, give or take rounding."""
    u = torch.full((3,), 0.01).index_fill(0, torch.tensor(place), 1.0)
    u /= u.norm()
    found = norm_over_estimate(torch.diag(torch.tensor([3.0, 2.0, 1.0])), u, u)
    assert float(found) == pytest.approx(ratio, rel=0.01)


def test_the_stalest_weight_of_a_network() -> None:
    torch.manual_seed(0)
    layers = [SpectralLinear(6, 6) for _ in range(3)]
    network = nn.Sequential(*layers)
    for _ in range(100):
        network(torch.ones(1, 6))
    assert stalest(network) == pytest.approx(1, abs=1e-3)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    # The same singular values, along other vectors.
    layers[1].weight.data = layers[1].weight.data.flip(0, 1)
    assert stalest(network) > 2
    assert all(
        torch.equal(before[name], value)
        for name, value in network.state_dict().items()
        if "weight" not in name
    )
    assert stalest(nn.Linear(6, 6)) is None
