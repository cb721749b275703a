"""Scores from the classes that a classifier predicts for images.

It gives an image one class, from logits `[N, K]`, or each channel one, from `[N, C, K]`: then there
are K^C classes of images.
"""

import math
import warnings

import torch
from torch import Tensor
from torchmetrics.image.inception import InceptionScore

from datamodules.triples import numbered
from minmax.metrics.distances import ALONE, Given


def inception_score(logits: Tensor) -> float:
    """Exponential of the mean KL divergence of `p(class | image)` from `p(class)`, over all images.

    Salimans et al. 2016, https://arxiv.org/abs/1606.03498, section 4. Between 1 and the number
    of classes. Published values are the mean of ten splits, which lowers it a little.
    """
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.filterwarnings("ignore", ".*will save all extracted features in buffer.*")
        warnings.filterwarnings("ignore", ".*degrees of freedom.*")  # of a spread over one split
        metric = InceptionScore(Given(logits.shape[1]), splits=1, **ALONE).to(logits.device)
        metric.update(logits.double())
        return float(metric.compute()[0])


def predicted(class_logits: Tensor) -> tuple[Tensor, int]:
    """The predicted classes int64 `[N]`, and how many classes there are."""
    by_channel = class_logits if class_logits.dim() > 2 else class_logits[:, None]
    channels, base = by_channel.shape[1:]
    return numbered(by_channel.argmax(dim=2), base), base**channels


def class_shares(class_logits: Tensor) -> Tensor:
    """Share of the images that are predicted to be of each class, float64."""
    classes, number = predicted(class_logits)
    return torch.bincount(classes, minlength=number).double() / len(classes)


def class_entropy(class_logits: Tensor) -> float:
    """Entropy of the predicted classes' histogram, over the logarithm of their number.

    1 if all classes are equally frequent, 0 if there is only one.
    """
    shares = class_shares(class_logits)
    return float(torch.special.entr(shares).sum()) / math.log(len(shares))


def classes_drawn(shares: Tensor) -> int:
    """Number of classes with a share `[K]` above 0."""
    return int((shares > 0).sum())


def mode_kl(shares: Tensor) -> float:
    """KL divergence of shares `[K]` from equal ones, `sum p log(K p)`, natural logarithm."""
    return math.log(len(shares)) - float(torch.special.entr(shares.double()).sum())


def least_mode_kl(shares: Tensor, draws: int) -> float:
    """What `mode_kl` is on average for so many draws from true shares `[K]`, to the order 1/draws.

    Miller 1955: the entropy of K counted shares is too small by (K - 1) / (2 draws).
    """
    return mode_kl(shares) + (len(shares) - 1) / (2 * draws)


def confidence(class_logits: Tensor) -> float:
    """Mean probability of the predicted classes, of channels if each has its own."""
    return float(class_logits.double().softmax(dim=-1).amax(dim=-1).mean())


def class_match(class_logits: Tensor, labels: Tensor) -> float:
    """Share of images whose predicted class is their label `[N]`."""
    return float((predicted(class_logits)[0] == labels).double().mean())


def code_purity(class_logits: Tensor, categories: Tensor) -> float:
    """Share of images whose predicted class is the most frequent one of their category.

    The categories, int64 `[N]`, are a generator's own.
    """
    found, classes = predicted(class_logits)
    pairs = torch.bincount(categories * classes + found)
    pairs = torch.cat([pairs, pairs.new_zeros(-len(pairs) % classes)])
    return float(pairs.view(-1, classes).amax(dim=1).sum()) / len(categories)
