"""Scores from features: closed forms, brute force, and torch-fidelity's own implementation."""

import math

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from torch import Tensor
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_isc import isc_features_to_metric
from torch_fidelity.metric_kid import kid_features_to_metric
from torch_fidelity.metric_prc import prc_features_to_metric

from minmax.metrics.distances import (
    frechet_distance,
    kernel_distance,
    symmetric_frechet_distance,
)
from minmax.metrics.manifolds import manifold_scores, nearest
from minmax.metrics.of_classes import class_entropy, class_match, inception_score
from minmax.metrics.scores import score, score_by_class
from minmax.metrics.seen import Images


def normal(count: int, width: int, seed: int, mean: float = 0.0, std: float = 1.0) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    return mean + std * torch.randn(count, width, generator=random)


def gaussian(count: int, mean: Tensor, covariance: Tensor, seed: int) -> Tensor:
    """Points with exactly this sample mean and sample covariance."""
    points = normal(count, len(mean), seed).double()
    points -= points.mean(dim=0)
    points @= torch.linalg.inv(torch.linalg.cholesky(points.T.cov()).T)
    return points @ torch.linalg.cholesky(covariance).T + mean


class TestFrechet:
    def test_two_gaussians_with_commuting_covariances(self) -> None:
        """|m - n|^2 + sum (s - t)^2, for standard deviations s, t along the same axes."""
        mean, zero = torch.tensor([1.0, -2.0, 0.5]).double(), torch.zeros(3).double()
        s, t = torch.tensor([1.0, 2.0, 3.0]).double(), torch.tensor([2.0, 0.5, 3.0]).double()
        value = frechet_distance(
            gaussian(50, mean, torch.diag(s**2), 0), gaussian(70, zero, torch.diag(t**2), 1)
        )
        assert value == pytest.approx(5.25 + 1 + 2.25, rel=1e-9)

    def test_two_gaussians_with_any_covariances(self) -> None:
        a, b = (m @ m.T for m in (normal(4, 4, 0).double(), normal(4, 4, 1).double()))
        zero = torch.zeros(4).double()
        value = frechet_distance(gaussian(50, zero, a, 2), gaussian(50, zero, b, 3))
        root = np.real(sqrtm((a @ b).numpy()))
        assert value == pytest.approx((a + b).trace().item() - 2 * np.trace(root), rel=1e-8)

    def test_where_torchmetrics_fails(self) -> None:
        """Images that differ only in brightness have covariances of rank one."""
        real, fake = (normal(500, 1, seed).double() for seed in (0, 1))
        real, fake = 100 + 20 * real, 140 + 10 * fake
        value = symmetric_frechet_distance(real.expand(-1, 64), fake.expand(-1, 64))
        wanted = (real.mean() - fake.mean()) ** 2 + (real.std() - fake.std()) ** 2
        assert value == pytest.approx(64 * wanted.item(), rel=1e-6)
        constant = torch.ones(500, 64).double()
        mean = (real.mean() - 1) ** 2 + real.var()
        value = frechet_distance(real.expand(-1, 64), constant)
        assert value == pytest.approx(64 * mean.item(), rel=1e-6)

    def test_both_ways_agree(self) -> None:
        real, fake = normal(300, 16, 0).double(), normal(200, 16, 1, 0.3, 1.5).double()
        value = symmetric_frechet_distance(real, fake)
        assert frechet_distance(real, fake) == pytest.approx(value, rel=1e-9)

    def test_as_torch_fidelity(self) -> None:
        real, fake = normal(300, 16, 0), normal(200, 16, 1, 0.3, 1.5)
        theirs = [fid_features_to_statistics(x) for x in (real, fake)]
        wanted = fid_statistics_to_metric(*theirs, verbose=False)["frechet_inception_distance"]
        assert frechet_distance(real, fake) == pytest.approx(wanted, rel=1e-6)

    def test_zero_for_the_same_and_symmetric(self) -> None:
        real, fake = normal(300, 8, 0), normal(300, 8, 1, 0.5)
        assert frechet_distance(real, real.flip(0)) == pytest.approx(0, abs=1e-9)
        assert frechet_distance(real, fake) == pytest.approx(frechet_distance(fake, real), rel=1e-6)


class TestKernel:
    @pytest.fixture(autouse=True)
    def few_subsets(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("minmax.metrics.distances.SUBSETS", 10)

    def test_the_unbiased_estimate(self) -> None:
        """If every subset holds all points, the mean over subsets is the estimate itself."""
        x, y = normal(40, 6, 0).double(), normal(40, 6, 1, 0.5).double()
        xx, yy, xy = ((a @ b.T / 6 + 1) ** 3 for a, b in ((x, x), (y, y), (x, y)))
        n = 40
        within = (xx.sum() - xx.trace() + yy.sum() - yy.trace()) / (n * (n - 1))
        assert kernel_distance(x, y, 0) == pytest.approx((within - 2 * xy.mean()).item(), rel=1e-9)

    def test_as_torch_fidelity(self) -> None:
        x, y = normal(1000, 6, 0).double(), normal(1000, 6, 1, 0.5).double()
        wanted = kid_features_to_metric(x, y, kid_subsets=1, kid_subset_size=1000, verbose=False)
        value = kernel_distance(x, y, 0)
        assert value == pytest.approx(wanted["kernel_inception_distance_mean"], rel=1e-6)

    def test_the_seed_chooses_the_subsets_and_nothing_else_does(self) -> None:
        x, y = normal(1100, 4, 0), normal(1100, 4, 1)
        before = torch.get_rng_state()
        values = [kernel_distance(x, y, seed) for seed in (0, 0, 1)]
        assert torch.equal(before, torch.get_rng_state())
        assert values[0] == values[1] != values[2]
        assert values == pytest.approx([0, 0, 0], abs=0.02)


class TestInceptionScore:
    def test_bounds(self) -> None:
        sure = 100 * torch.eye(4).repeat(25, 1)
        assert inception_score(sure) == pytest.approx(4)
        assert inception_score(sure[:1].repeat(50, 1)) == pytest.approx(1)
        assert inception_score(torch.zeros(50, 4)) == pytest.approx(1)

    def test_two_halves_of_unequal_size(self) -> None:
        """Sure images leave the entropy of the histogram: exp(H(1/4, 3/4))."""
        sure = 100 * torch.eye(2)[[0, 1, 1, 1] * 25]
        entropy = -(0.25 * math.log(0.25) + 0.75 * math.log(0.75))
        assert inception_score(sure) == pytest.approx(math.exp(entropy))

    def test_as_torch_fidelity(self) -> None:
        logits = normal(500, 10, 0, 0, 2)
        wanted = isc_features_to_metric(logits, splits=1)["inception_score_mean"]
        assert inception_score(logits) == pytest.approx(wanted, rel=1e-6)


class TestManifolds:
    @pytest.mark.parametrize("k", [1, 3, 5])
    def test_by_the_definitions(self, k: int) -> None:
        real, fake = normal(60, 3, 0).double(), normal(40, 3, 1, 0.7, 0.6).double()

        def radii(points: Tensor) -> list[float]:
            return [sorted(math.dist(a, b) for b in points.tolist())[k] for a in points.tolist()]

        between = [[math.dist(r, f) for f in fake.tolist()] for r in real.tolist()]
        inside = np.array(between) < np.array(radii(real))[:, None]
        around = np.array(between) < np.array(radii(fake))[None, :]
        assert manifold_scores(real, fake, k) == pytest.approx(
            {
                "precision": inside.any(axis=0).mean(),
                "recall": around.any(axis=1).mean(),
                "density": inside.sum() / (k * 40),
                "coverage": inside.any(axis=1).mean(),
            }
        )

    def test_as_torch_fidelity(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("minmax.metrics.manifolds.CHUNK", 70)
        real, fake = normal(300, 8, 0).double(), normal(250, 8, 1, 0.3, 0.8).double()
        wanted = prc_features_to_metric(
            fake, real, prc_neighborhood=3, prc_batch_size=50, save_cpu_ram=False, verbose=False
        )
        values = manifold_scores(real, fake, 3)
        assert 0.1 < values["recall"] < values["precision"] < 1
        assert values["precision"] == pytest.approx(wanted["precision"])
        assert values["recall"] == pytest.approx(wanted["recall"])

    def test_the_same_images(self) -> None:
        points = normal(200, 4, 0)
        values = manifold_scores(points, points.flip(0))
        # A ball ends at a point, which rounding may let in: with k = 5 that is a fifth of a ball.
        assert values.pop("density") == pytest.approx(1, abs=0.01)
        assert values == {"precision": 1, "recall": 1, "coverage": 1}

    def test_far_away(self) -> None:
        values = manifold_scores(normal(50, 4, 0), normal(50, 4, 1, 100))
        assert values == {"precision": 0, "recall": 0, "density": 0, "coverage": 0}

    def test_one_of_two_modes(self) -> None:
        real = torch.cat([normal(200, 4, 0), normal(200, 4, 1, 50)])
        values = manifold_scores(real, normal(400, 4, 2))
        assert values["precision"] > 0.8
        assert 0.3 < values["recall"] < 0.5
        assert 0.3 < values["coverage"] < 0.52


class TestNeighbours:
    def test_brute_force(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("minmax.metrics.manifolds.CHUNK", 7)
        queries, points = normal(20, 3, 0), normal(30, 3, 1)
        distance, index = nearest(queries, points)
        for number, query in enumerate(queries):
            far = (points - query).norm(dim=1)
            assert index[number] == far.argmin()
            assert distance[number].item() == pytest.approx(far.min().item(), rel=1e-5)

    def test_copies_are_at_distance_zero(self) -> None:
        points = normal(500, 128, 0, 5)
        distance, index = nearest(points, points)
        assert index.tolist() == list(range(500))
        assert distance.max() < 1e-5


def test_class_entropy() -> None:
    assert class_entropy(torch.eye(4).repeat(3, 1)) == pytest.approx(1)
    assert class_entropy(torch.eye(4)[[2, 2, 2]]) == 0
    assert class_entropy(torch.eye(4)[[0, 1]]) == pytest.approx(0.5)


def test_class_match() -> None:
    assert class_match(torch.eye(3), torch.tensor([0, 1, 0])) == pytest.approx(2 / 3)


def test_scores_are_those_that_can_be_told() -> None:
    real, fake = Images(normal(30, 4, 0)), Images(normal(30, 4, 1))
    names = {f"{name}_x" for name in ("fid", "kid", "precision", "recall", "density", "coverage")}
    assert score(real, fake, "x", 0).keys() == names
    logits = normal(30, 3, 2)
    known = Images(fake.features, normal(30, 9, 3), logits)
    assert score(real, known, "x", 0).keys() == names | {"is_x", "class_entropy"}
    coded = Images(fake.features, None, logits, categories=logits.argmax(1))
    result = score(real, coded, "x", 0)
    assert result.keys() == names | {"class_entropy", "code_purity"}
    assert result["code_purity"] == 1
    assert score(real, Images(fake.features, categories=logits.argmax(1)), "x", 0).keys() == names
    asked = Images(fake.features, None, logits, logits.argmax(1))
    result = score(real, asked, "x", 0)
    assert result.keys() == names | {"class_entropy", "class_match"}
    assert result["class_match"] == 1


def test_scores_by_class() -> None:
    labels = torch.tensor([0, 1] * 20)
    real = Images(normal(40, 3, 0), labels=labels)
    logits = torch.eye(3)[[0] * 40]
    fake = Images(normal(40, 3, 1, 1.0), class_logits=logits, labels=labels)
    result = score_by_class(real, fake, ["a", "b", "none"], "x")
    assert result["a"] == {
        "fid_x": pytest.approx(frechet_distance(real.features[::2], fake.features[::2])),
        "class_match": 1,
    }
    assert result["b"]["class_match"] == 0
    assert result["none"] == {}
