"""Scores from the classes that a classifier predicts for images."""

import math
import warnings

import torch
from torch import Tensor
from torchmetrics.image.inception import InceptionScore

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


def class_entropy(class_logits: Tensor) -> float:
    """Entropy of the predicted classes' histogram, from logits `[N, K]`, over log K.

    1 if all classes are equally frequent, 0 if there is only one.
    """
    classes = class_logits.argmax(dim=1)
    shares = torch.bincount(classes, minlength=class_logits.shape[1]).double() / len(classes)
    return float(torch.special.entr(shares).sum()) / math.log(len(shares))


def class_match(class_logits: Tensor, labels: Tensor) -> float:
    """Share of images whose predicted class, from logits `[N, K]`, is their label `[N]`."""
    return float((class_logits.argmax(dim=1) == labels).double().mean())


def code_purity(class_logits: Tensor, categories: Tensor) -> float:
    """Share of images whose predicted class is the most frequent one of their category.

    Classes come from logits `[N, K]`; categories, int64 `[N]`, are a generator's own.
    """
    classes = class_logits.shape[1]
    pairs = torch.bincount(categories * classes + class_logits.argmax(dim=1))
    pairs = torch.cat([pairs, pairs.new_zeros(-len(pairs) % classes)])
    return float(pairs.view(-1, classes).amax(dim=1).sum()) / len(categories)
