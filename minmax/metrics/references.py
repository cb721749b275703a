"""Reference scores: of training images, which set the floor, and of noise."""

import hashlib
import inspect
import sys
from collections import defaultdict
from dataclasses import dataclass
from importlib.metadata import version

import torch
from torch import Tensor

from datamodules import ImageDataModule
from minmax.metrics import distances, manifolds, of_classes, of_modes, scores, table
from minmax.metrics.cache import Tensors, cached, fingerprint
from minmax.metrics.manifolds import nearest
from minmax.metrics.scorer import Scorer
from minmax.metrics.scores import score, score_alone
from minmax.metrics.seen import Images

CODE = (distances, manifolds, of_classes, of_modes, scores, table, sys.modules[__name__])
"""Modules whose source is part of the cache's key: changed code scores again."""


@dataclass(frozen=True)
class References:
    """What scores are compared with.

    Attributes:
        scores: of `training images` and of `noise`, by name, as if they were generated; of
            `held-out images` those that compare with no others.
        usual_distance: median distance of held-out images to their nearest training image.
    """

    scores: dict[str, dict[str, float]]
    usual_distance: float


def score_beside_training(
    data: ImageDataModule, scorer: Scorer, real: Images, images: Images, seed: int, usual: float
) -> tuple[dict[str, float], Tensor]:
    """All scores of images, and the index of the training image nearest to each, int64 `[N]`.

    Args:
        data: with the training images.
        scorer: that computed the features.
        real: held-out images.
        images: to be scored.
        seed: of the kernel distance's subsets.
        usual: median distance of held-out images to their nearest training image.
    """
    distance, index = nearest(images.features, scorer.real(data, train=True).features)
    # 0 if all held-out images are among the training images.
    nearness = float(distance.median() / usual) if usual > 0 else None
    network = scorer.network
    return score(real, images, network.name, seed, nearness, network.shares), index


def make_references(
    data: ImageDataModule, scorer: Scorer, real: Images, count: int, seed: int
) -> References:
    """Score training images and noise, or take the scores from the cache.

    Args:
        data: with the training images, in the size that the model draws.
        scorer: computes the features.
        real: held-out images.
        count: number of images of each kind.
        seed: of their choice, and of the kernel distance's subsets.
    """
    training, labels = data.split(train=True)

    def make() -> Tensors:
        usual = float(nearest(real.features, scorer.real(data, train=True).features)[0].median())
        random = torch.Generator().manual_seed(seed)
        some = torch.randperm(len(training), generator=random)[:count]
        noise = data.values.noise(training, count, random)
        kinds = {
            "training images": scorer.see_all(
                training[some.to(training.device)], "training images", labels[some]
            ),
            "noise": scorer.see_all(noise, "noise"),
        }
        values = {"usual_distance": usual}
        for kind, images in kinds.items():
            result, _ = score_beside_training(data, scorer, real, images, seed, usual)
            values |= {f"{kind}/{name}": value for name, value in result.items()}
        values |= {f"held-out images/{name}": value for name, value in score_alone(real).items()}
        return {key: torch.tensor(value, dtype=torch.float64) for key, value in values.items()}

    key = {
        "training": fingerprint(training, labels),
        "real": fingerprint(*(tensor for tensor in vars(real).values() if tensor is not None)),
        "network": scorer.network.identity(),
        "classifier": scorer.classifier and scorer.classifier.identity(),
        "scores": list(table.SCORES),
        "count": count,
        "seed": seed,
        "code": [hashlib.sha256(inspect.getsource(module).encode()).hexdigest() for module in CODE],
        "torchmetrics": version("torchmetrics"),
    }
    values = {name: value.item() for name, value in cached("references", key, make).items()}
    usual = values.pop("usual_distance")
    by_kind: defaultdict[str, dict[str, float]] = defaultdict(dict)
    for key_of_value, value in values.items():
        kind, name = key_of_value.split("/")
        by_kind[kind][name] = value
    return References(dict(by_kind), usual)
