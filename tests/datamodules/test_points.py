"""Distributions of points in the plane against closed forms, and the data module of them."""

import math
from collections.abc import Callable

import numpy
import pytest
import torch
from torch import Tensor

from datamodules import Distribution, Grid, Mixture, Moons, Points, Ring, Spiral
from minmax.errors import UserError
from minmax.training.describing import of

COUNT = 20_000


def drawn(mixture: Distribution) -> tuple[Tensor, Tensor]:
    return mixture.draw(COUNT, numpy.random.default_rng(0))


def test_centres() -> None:
    ring = Ring(4, radius=2.0)
    assert ring.means.allclose(torch.tensor([[2, 0], [0, 2], [-2, 0], [0, -2]]).double())
    assert Grid().means[[0, 1, 12, 24]].tolist() == [[-4, -4], [-2, -4], [0, 0], [4, 4]]
    assert Mixture([[0, 1], [2, 3]]).means.tolist() == [[0, 1], [2, 3]]
    assert (Ring().labels, Grid().labels) == (8, 25)


@pytest.mark.parametrize("mixture", [Ring(), Grid(), Mixture([[0, 0], [9, 9]], std=0.5)])
def test_points_are_normal_around_their_centres(mixture: Ring | Grid | Mixture) -> None:
    points, labels = drawn(mixture)
    offsets = (points - mixture.means[labels]) / mixture.std
    assert offsets.mean(0).abs().max() < 0.03
    assert (offsets.T.cov() - torch.eye(2)).abs().max() < 0.03
    found = mixture.modes_of(points)
    within = 1 - math.exp(-4.5)  # of a round Gaussian, 3 standard deviations
    assert float((found >= 0).double().mean()) == pytest.approx(within, abs=0.003)
    assert (found[found >= 0] == labels[found >= 0]).all()


def test_the_border_of_a_mode() -> None:
    ring = Ring(4, std=0.1)
    points = torch.tensor([[1.299, 0], [1.301, 0], [0, 0.701], [0, 0.699], [0.5, 0.5]])
    assert ring.modes_of(points).tolist() == [0, -1, 1, -1, -1]


def test_weights_are_shares() -> None:
    mixture = Ring(3, weights=[6, 3, 1])
    assert mixture.shares.allclose(torch.tensor([0.6, 0.3, 0.1]).double())
    shares = drawn(mixture)[1].bincount() / COUNT
    assert (shares - mixture.shares).abs().max() < 0.01


def test_moons_are_half_circles() -> None:
    points, labels = drawn(Moons(std=1e-6))
    assert points.mean(0).abs().max() < 0.02
    upper, lower = points[labels == 0], points[labels == 1]
    for moon, centre, side in ((upper, [-0.5, -0.25], 1), (lower, [0.5, 0.25], -1)):
        offsets = moon - torch.tensor(centre)
        assert (offsets.norm(dim=1) - 1).abs().max() < 1e-4
        assert (side * offsets[:, 1]).min() > -1e-4


def test_spirals_arms_wind_around_0() -> None:
    points, labels = drawn(Spiral(arms=3, turns=0.5, std=1e-6))
    radius, angle = points.norm(dim=1), torch.atan2(points[:, 1], points[:, 0])
    wanted = 2 * math.pi * (0.5 * radius + labels / 3)
    assert torch.cos(angle - wanted)[radius > 0.01].min() > 0.999
    assert float((radius < 0.5).double().mean()) == pytest.approx(0.25, abs=0.01)


WRONG: dict[str, tuple[Callable[[], object], str]] = {
    "weights that sum to nought": (lambda: Ring(2, weights=[0, 0]), "`weights` of Ring are 0, 0"),
    "a negative weight": (lambda: Ring(2, weights=[2, -1]), "one number above 0 for each"),
    "a weight too few": (lambda: Grid(weights=[1, 1]), "for each of its 25 modes"),
    "one mode": (lambda: Ring(1), "`modes` of Ring is 1: give at least 2"),
    "one centre": (lambda: Mixture([[0, 0]]), "1 different points of 1: give at least 2"),
    "a centre twice": (lambda: Mixture([[0, 0], [1, 1], [0, 0]]), "2 different points of 3"),
    "no spread": (lambda: Ring(std=0), "`std` of Ring must be above 0 and finite, got 0"),
    "nan": (lambda: Grid(std=math.nan), "got nan"),
    "three dimensions": (lambda: Mixture([[0, 0, 0], [1, 1, 1]]), "in the plane has 2 numbers"),
    "no arm": (lambda: Spiral(arms=0), "`arms` of Spiral must be at least 1"),
    "no point": (lambda: Points(Ring(), count=1), "`count` of Points must be at least 2"),
    "negative seed": (lambda: Points(Ring(), seed=-1), "`seed` of Points must be 0 or more"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_input(name: str) -> None:
    make, said = WRONG[name]
    with pytest.raises(UserError, match=said):
        make()


def test_batches_are_coordinates() -> None:
    """Of one pixel, not scaled as bytes are; the order is the loader's."""
    data = Points(Grid(), count=100, held_out=50, batch_size=20)
    stored, labels = data.split(train=False)
    batches = list(data.val_dataloader())
    assert batches[0][0].shape == (20, 2, 1, 1)
    assert batches[0][0].dtype == torch.float32
    assert torch.cat([images for images, _ in batches]).equal(stored)
    assert torch.cat([classes for _, classes in batches]).equal(labels)
    assert Grid().modes_of(stored.flatten(1)).sub(labels)[labels >= 0].abs().median() == 0
    data.values.shown(stored).add_(1)  # in new memory
    assert data.split(train=False)[0].equal(torch.cat([images for images, _ in batches]))


def test_splits_differ_and_depend_on_the_seed() -> None:
    data, same, other = (Points(Ring(), 50, 50, 10, seed) for seed in (0, 0, 1))
    train, held_out = data.split(True)[0], data.split(False)[0]
    assert train.equal(same.split(True)[0])
    assert not train.equal(other.split(True)[0])
    assert not train.equal(held_out)


def test_a_run_made_in_python_can_describe_them() -> None:
    given = of(Points(Ring(3, weights=[1, 2, 3]), count=10))
    assert given["mixture"]["class_path"].endswith("Ring")
    assert given["mixture"]["init_args"]["weights"] == [1, 2, 3]
    assert given["count"] == 10
