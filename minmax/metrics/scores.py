"""Scores of generated images, from the features of real and of generated ones.

torchmetrics does the statistics of the Frechet and the kernel distance and of the Inception
Score; it has no precision, recall, density and coverage.
"""

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.inception import InceptionScore
from torchmetrics.image.kid import KernelInceptionDistance

NEIGHBOURS = 5
SUBSET_SIZE = 1000
SUBSETS = 100
CHUNK = 1000
POINT = 1e-6
"""Radius, over the largest feature vector, below which rounding decides what a ball holds."""
ALONE: dict[str, Any] = {"sync_on_compute": False}  # one rank has all features, and computes


@dataclass(frozen=True)
class Images:
    """What the scores know of a set of images, each tensor float or int64 `[N, ...]`.

    Attributes:
        features: `[N, D]`.
        logits: of the feature network's own classes, `[N, L]`, or None.
        class_logits: of the data's classes, by the domain classifier, `[N, K]`, or None.
        labels: the classes that the images have, or were asked to have, `[N]`; None if they
            were not asked for any.
    """

    features: Tensor
    logits: Tensor | None = None
    class_logits: Tensor | None = None
    labels: Tensor | None = None

    def map(self, function: Callable[[Tensor], Tensor]) -> "Images":
        """The same with a function of each tensor in its place."""
        tensors = (self.features, self.logits, self.class_logits, self.labels)
        return Images(*(tensor if tensor is None else function(tensor) for tensor in tensors))  # type: ignore[arg-type]

    @staticmethod
    def joined(parts: Sequence["Images"]) -> "Images":
        """All parts, one after the other."""

        def join(name: str) -> Tensor | None:
            tensors = [getattr(part, name) for part in parts]
            return None if tensors[0] is None else torch.cat(tensors)

        return Images(*map(join, ("features", "logits", "class_logits", "labels")))  # type: ignore[arg-type]


class Given(nn.Module):
    """Stands in a metric where the feature network would: the features are given already."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, features: Tensor) -> Tensor:
        """The features as they are."""
        return features


def frechet_distance(real: Tensor, fake: Tensor) -> float:
    """Frechet distance of two Gaussians fitted to features `[N, D]`, `[M, D]` (float64).

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
    """The same of float64 features, with eigenvalues of symmetric matrices alone.

    The root of the product of two covariances A, B has the trace of the root of the symmetric
    A^(1/2) B A^(1/2), whose eigenvalues are found also where a collapsed generator has left B
    with a rank near 0, and torchmetrics, which takes those of AB, fails.
    """
    a, b = real.T.cov(), fake.T.cov()
    values, vectors = torch.linalg.eigh(a)
    root = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    roots = torch.linalg.eigvalsh(root @ b @ root).clamp(min=0).sqrt()
    means = (real.mean(dim=0) - fake.mean(dim=0)).square().sum()
    return float(means + a.trace() + b.trace() - 2 * roots.sum())


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


def inception_score(logits: Tensor) -> float:
    """Exponential of the mean divergence of `p(class | image)` from `p(class)`, of all images.

    Salimans et al. 2016, https://arxiv.org/abs/1606.03498, section 4. Between 1 and the number
    of classes. Published values are the mean of ten splits, which lowers it a little.
    """
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.filterwarnings("ignore", ".*will save all extracted features in buffer.*")
        warnings.filterwarnings("ignore", ".*degrees of freedom.*")  # of a spread over one split
        metric = InceptionScore(Given(logits.shape[1]), splits=1, **ALONE).to(logits.device)
        metric.update(logits.double())
        return float(metric.compute()[0])


def nearest(queries: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
    """Distance `[N]` from each query `[N, D]` to its nearest point `[M, D]`, and which it is.

    Products of matrices find the point; the distance is then measured directly, since they
    would not see in float32 that two are equal.
    """
    index = torch.cat([torch.cdist(part, points).argmin(1) for part in torch.split(queries, CHUNK)])
    return (queries - points[index]).norm(dim=1), index


def distance_to(training: Images, images: Images) -> float:
    """Median distance of images to the training image that is nearest to each."""
    return float(nearest(images.features, training.features)[0].median())


def radii(points: Tensor, k: int) -> Tensor:
    """Distance `[N]` from each point `[N, D]`, float64, to the k-th nearest other one."""
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

    There are none where most real images have k copies: their balls are points.
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


def class_entropy(class_logits: Tensor) -> float:
    """Entropy of the histogram of classes that images `[N, K]` are put in, over log K.

    1 if all classes are equally often, 0 if there is but one.
    """
    classes = class_logits.argmax(dim=1)
    shares = torch.bincount(classes, minlength=class_logits.shape[1]).double() / len(classes)
    return float(torch.special.entr(shares).sum()) / math.log(len(shares))


def class_match(class_logits: Tensor, labels: Tensor) -> float:
    """Share of images `[N, K]` that are put in the class asked for, `[N]`."""
    return float((class_logits.argmax(dim=1) == labels).double().mean())


def score(real: Images, fake: Images, features: str, seed: int) -> dict[str, float]:
    """All scores that the features, logits and labels allow.

    Args:
        real: the reference, at least two images.
        fake: the images to be scored, at least two.
        features: ends the names of the scores that depend on them.
        seed: of the kernel distance's subsets.
    """
    of_features = {
        "fid": frechet_distance(real.features, fake.features),
        "kid": kernel_distance(real.features, fake.features, seed),
        **manifold_scores(real.features, fake.features),
    }
    if fake.logits is not None:
        of_features["is"] = inception_score(fake.logits)
    result = {f"{name}_{features}": value for name, value in of_features.items()}
    if fake.class_logits is not None:
        result["class_entropy"] = class_entropy(fake.class_logits)
        if fake.labels is not None:
            result["class_match"] = class_match(fake.class_logits, fake.labels)
    return result


def score_by_class(
    real: Images, fake: Images, class_names: Sequence[str], features: str
) -> dict[str, dict[str, float]]:
    """Frechet distance and share put in the right class, for each class that was asked for."""
    assert real.labels is not None
    assert fake.labels is not None
    result: dict[str, dict[str, float]] = {}
    for number, name in enumerate(class_names):
        in_real, in_fake = real.labels == number, fake.labels == number
        values = result.setdefault(name, {})
        if min(in_real.sum(), in_fake.sum()) > 1:
            values[f"fid_{features}"] = frechet_distance(
                real.features[in_real], fake.features[in_fake]
            )
        if fake.class_logits is not None and in_fake.any():
            values["class_match"] = class_match(fake.class_logits[in_fake], fake.labels[in_fake])
    return result
