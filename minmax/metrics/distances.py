"""Distances between the distributions of real and generated features, by torchmetrics."""

import warnings
from typing import Any

import torch
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance

SUBSET_SIZE = 1000
SUBSETS = 100
ALONE: dict[str, Any] = {"sync_on_compute": False}  # rank 0 has all features, and computes alone


class Given(nn.Module):
    """Takes the place of a metric's feature network, since the features are already computed."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, features: Tensor) -> Tensor:
        """The features, unchanged."""
        return features


def frechet_distance(real: Tensor, fake: Tensor) -> float:
    """Frechet distance between Gaussians fitted to features `[N, D]`, `[M, D]`, in float64.

    Heusel et al. 2017, https://arxiv.org/abs/1706.08500, equation 6.
    """
    metric = FrechetInceptionDistance(Given(real.shape[1]), **ALONE).to(real.device)
    metric.update(real.double(), real=True)
    metric.update(fake.double(), real=False)
    try:
        return float(metric.compute())
    except torch.linalg.LinAlgError:  # type: ignore[attr-defined]
        return symmetric_frechet_distance(real.double(), fake.double())


def symmetric_frechet_distance(real: Tensor, fake: Tensor) -> float:
    """The Frechet distance of float64 features, from eigenvalues of symmetric matrices.

    For covariances A and B, (AB)^(1/2) has the same trace as (A^(1/2) B A^(1/2))^(1/2).
    torchmetrics takes the eigenvalues of AB, which fails when B of a collapsed generator has
    nearly rank 0. The eigenvalues of the symmetric matrix are found even then.
    """
    a, b = real.T.cov(), fake.T.cov()
    values, vectors = torch.linalg.eigh(a)
    root = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    roots = torch.linalg.eigvalsh(root @ b @ root).clamp(min=0).sqrt()
    means = (real.mean(dim=0) - fake.mean(dim=0)).square().sum()
    return float(means + a.trace() + b.trace() - 2 * roots.sum())


def energy_distance(real: Tensor, fake: Tensor) -> float:
    """Energy distance of features `[N, D]`, `[M, D]`: 0 for equal sets, in their unit.

    The root of `2 E|x - y| - E|x - x'| - E|y - y'|` over all pairs. Szekely and Rizzo 2013,
    https://doi.org/10.1016/j.jspi.2013.03.018, equation 6.1. It sees any difference of two
    distributions, while the Frechet distance sees means and covariances only.
    """
    real, fake = real.double(), fake.double()
    within = torch.cdist(real, real).mean() + torch.cdist(fake, fake).mean()
    return float((2 * torch.cdist(real, fake).mean() - within).clamp(min=0).sqrt())


def kernel_distance(real: Tensor, fake: Tensor, seed: int) -> float:
    """Squared maximum mean discrepancy, cubic kernel, mean over 100 seeded subsets.

    Binkowski et al. 2018, https://arxiv.org/abs/1801.01401, section 4.
    """
    size = min(SUBSET_SIZE, len(real), len(fake))
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.filterwarnings("ignore", ".*will save all extracted features in buffer.*")
        metric = KernelInceptionDistance(Given(real.shape[1]), SUBSETS, size, **ALONE)
        metric = metric.to(real.device)
        metric.update(real.double(), real=True)
        metric.update(fake.double(), real=False)
        torch.manual_seed(seed)
        return float(metric.compute()[0])
