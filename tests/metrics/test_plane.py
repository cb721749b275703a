"""Scores of modes, and the energy distance, against closed forms."""

import math

import numpy
import pytest
import torch

from datamodules import Grid, Moons, Points, Ring
from minmax.metrics.distances import energy_distance
from minmax.metrics.of_modes import high_quality, modes, reverse_kl
from minmax.metrics.references import make_references
from minmax.metrics.scorer import make_scorer
from minmax.metrics.scores import score
from minmax.metrics.table import SCORES, scores_of

EVEN = torch.full((4,), 0.25)


def test_modes_and_quality() -> None:
    found = torch.tensor([0, 0, 2, -1, -1])
    assert modes(found, EVEN) == 2
    assert high_quality(found, EVEN) == pytest.approx(0.6)
    assert modes(torch.tensor([-1]), EVEN) == high_quality(torch.tensor([-1]), EVEN) == 0


def test_reverse_kl() -> None:
    one = torch.tensor([3, 3, -1])
    assert reverse_kl(one, EVEN) == pytest.approx(math.log(4))
    half = torch.tensor([0, 0, 1, 1, -1, -1])
    assert reverse_kl(half, EVEN) == pytest.approx(math.log(2))
    shares = torch.tensor([0.5, 0.25, 0.25])
    assert reverse_kl(torch.tensor([0, 0, 1, 2]), shares) == pytest.approx(0)
    wanted = 0.5 * math.log(0.5 / 0.25) * 2 + 0
    assert reverse_kl(torch.tensor([1, 2]), shares) == pytest.approx(wanted)
    assert reverse_kl(torch.tensor([-1, -1]), shares) is None


def test_energy_distance() -> None:
    """Of two points at distance 5; of equal sets; of a point and its two neighbours."""
    origin, far = torch.zeros(3, 2), torch.tensor([[3.0, 4.0]])
    assert energy_distance(origin, far) == pytest.approx(math.sqrt(10))
    assert energy_distance(far, far) == 0
    both = torch.tensor([[-1.0, 0.0], [1.0, 0.0]])
    assert energy_distance(origin, both) == pytest.approx(1)


def test_each_kind_of_data_has_its_scores() -> None:
    assert scores_of("points")[0].name == "energy"
    assert scores_of("pixels")[0].name == "fid"
    assert SCORES["fid"].log_names()[-1] == "metric/fid_pixels"
    points = {entry.name for entry in scores_of("points")}
    assert not points & {"fid", "kid", "nearest"}
    assert points >= {"modes", "high_quality", "reverse_kl", "coverage"}


@pytest.mark.parametrize(("mixture", "count"), [(Ring(), 8), (Grid(), 25)])
def test_the_floor_is_the_datas_own(mixture: Ring | Grid, count: int) -> None:
    """All modes, 98.9 % within 3 standard deviations, and a divergence of chance: (K - 1) / 2N."""
    data = Points(mixture, 2000, 1000)
    scorer = make_scorer(data, "points", None, torch.device("cpu"))
    real = scorer.real(data, False, 1000)
    found = make_references(data, scorer, real, 1000, 0).scores
    floor, noise = found["training images"], found["noise"]
    assert floor["modes"] == count
    assert floor["high_quality"] == pytest.approx(0.989, abs=0.01)
    assert floor["reverse_kl"] == pytest.approx((count - 1) / 2000, abs=0.005)
    assert noise["high_quality"] < 0.1
    assert noise["energy"] > 1.5 * floor["energy"]


def test_moons_have_no_modes() -> None:
    points = Points(Moons(), 300, 300)
    scorer = make_scorer(points, "points", None, torch.device("cpu"))
    drawn = Moons().draw(300, numpy.random.default_rng(9))[0][:, :, None, None]
    seen = scorer.see_all(drawn, "")
    values = score(scorer.real(points, False), seen, "points", 0, None, scorer.network.shares)
    assert values.keys() >= {"energy", "coverage_points"}
    assert not values.keys() & {"modes", "high_quality", "reverse_kl"}
