"""Nearest neighbours of features, and the scores that are computed from them."""

import torch
from torch import Tensor

from minmax.metrics.seen import Images

NEIGHBOURS = 5
CHUNK = 1000
POINT = 1e-6
"""Smallest radius, over the largest feature's norm: rounding decides what smaller balls hold."""


def nearest(queries: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
    """Distance `[N]` from each query `[N, D]` to its nearest point `[M, D]`, and the point's index.

    Matrix products find the point. The distance is then computed directly, since in float32 matrix
    products are too coarse for equal points.
    """
    index = torch.cat([torch.cdist(part, points).argmin(1) for part in torch.split(queries, CHUNK)])
    return (queries - points[index]).norm(dim=1), index


def distance_to(training: Images, images: Images) -> float:
    """Median distance of images to their nearest training image."""
    return float(nearest(images.features, training.features)[0].median())


def radii(points: Tensor, k: int) -> Tensor:
    """Distance `[N]` from each point `[N, D]`, float64, to its k-th nearest other point."""
    distances = (torch.cdist(part, points) for part in torch.split(points, CHUNK))
    # Ten times faster than kthvalue.
    return torch.cat([d.topk(k + 1, largest=False).values[:, -1] for d in distances])


def manifold_scores(real: Tensor, fake: Tensor, k: int = NEIGHBOURS) -> dict[str, float]:
    """Precision, recall, density, coverage of features `[N, D]`, `[M, D]`.

    Every point has a ball that reaches to the k-th nearest other point of its own set.

    - precision: share of generated images inside any ball of a real one.
    - recall: share of real images inside any ball of a generated one. (Both Kynkaanniemi et
      al. 2019, https://arxiv.org/abs/1904.06991, equations 1 and 2.)
    - density: number of real balls that a generated image lies in, on average, over k.
    - coverage: share of real balls that hold a generated image. (Both Naeem et al. 2020,
      https://arxiv.org/abs/2002.09797, equations 3 and 4.)

    Empty if most real images have k copies, since their balls are then points.
    """
    k = min(k, len(real) - 1, len(fake) - 1)
    if k < 1:
        return {}
    real, fake = real.double(), fake.double()
    real_radius, fake_radius = radii(real, k), radii(fake, k)
    if real_radius.median() <= POINT * real.norm(dim=1).max():
        return {}
    holding = torch.zeros(len(fake), dtype=torch.int64, device=real.device)
    recalled = covered = 0
    for part, radius in zip(torch.split(real, CHUNK), torch.split(real_radius, CHUNK), strict=True):
        distance = torch.cdist(part, fake)
        inside = distance < radius[:, None]
        holding += inside.sum(dim=0)
        covered += int(inside.any(dim=1).sum())
        recalled += int((distance < fake_radius).any(dim=1).sum())
    return {
        "precision": float((holding > 0).double().mean()),
        "recall": recalled / len(real),
        "density": float(holding.double().mean()) / k,
        "coverage": covered / len(real),
    }
