"""Computes the scores of the table (`table.py`) that the given features and labels allow."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from minmax.metrics.distances import energy_distance, frechet_distance, kernel_distance
from minmax.metrics.manifolds import manifold_scores
from minmax.metrics.of_classes import (
    class_entropy,
    class_match,
    class_shares,
    classes_drawn,
    code_purity,
    confidence,
    inception_score,
    mode_kl,
)
from minmax.metrics.of_modes import high_quality, modes, reverse_kl
from minmax.metrics.seen import Images
from minmax.metrics.table import SCORES, scores_of


@dataclass(frozen=True)
class Compared:
    """What a score is computed from; a method returns None if its score can't be computed.

    Attributes:
        real: the reference.
        fake: the images to be scored.
        seed: of random choices.
        nearness: median distance of `fake` to the nearest training image, over that of held-out
            images; None if it was not measured.
        shares: probability of each mode of the data, `[K]`, if modes are known.
    """

    real: Images
    fake: Images
    seed: int
    nearness: float | None = None
    shares: Tensor | None = None

    @cached_property
    def manifolds(self) -> dict[str, float]:
        """Precision, recall, density and coverage by name; empty if they can't be computed.

        Not for images whose channels have classes: with so many features and images it would take
        minutes on a CPU.
        """
        if self.fake.channel_logits is not None:
            return {}
        return manifold_scores(self.real.features, self.fake.features)

    def frechet_distance(self) -> float | None:
        """Of the features; None with fewer than two images."""
        real, fake = self.real.features, self.fake.features
        return frechet_distance(real, fake) if min(len(real), len(fake)) > 1 else None

    def kernel_distance(self) -> float | None:
        """Of the features."""
        return kernel_distance(self.real.features, self.fake.features, self.seed)

    def energy_distance(self) -> float | None:
        """Of the features."""
        return energy_distance(self.real.features, self.fake.features)

    def of_modes(self, function: Callable[[Tensor, Tensor], float | None]) -> float | None:
        """A score of the modes that images are of."""
        found, shares = self.fake.modes, self.shares
        return None if found is None or shares is None else function(found, shares)

    def high_quality(self) -> float | None:
        """Share of images of a mode."""
        return self.of_modes(high_quality)

    def reverse_kl(self) -> float | None:
        """Of the modes' shares; None if no image is of a mode."""
        return self.of_modes(reverse_kl)

    def inception_score(self) -> float | None:
        """Of the feature network's own classes, one an image."""
        logits = self.fake.logits
        return None if logits is None or logits.dim() > 2 else inception_score(logits)

    def class_entropy(self) -> float | None:
        """Of the data's classes."""
        return None if self.fake.class_logits is None else class_entropy(self.fake.class_logits)

    @cached_property
    def mode_shares(self) -> Tensor | None:
        """Of the classes of images whose channels have classes: of ten classes, none is missed."""
        found = self.fake.channel_logits
        return None if found is None else class_shares(found)

    def modes(self) -> float | None:
        """Those with an image of theirs: of points, else of the classes."""
        if self.mode_shares is None:
            return self.of_modes(modes)
        return classes_drawn(self.mode_shares)

    def mode_kl(self) -> float | None:
        """Of the classes."""
        return None if self.mode_shares is None else mode_kl(self.mode_shares)

    def confidence(self) -> float | None:
        """Of the classifier that counts modes."""
        found = self.fake.channel_logits
        return None if found is None else confidence(found)

    def class_match(self) -> float | None:
        """With the classes that the generator was given."""
        found, asked = self.fake.class_logits, self.fake.labels
        if found is None or asked is None or not len(asked):
            return None
        return class_match(found, asked)

    def code_purity(self) -> float | None:
        """With the categories that the generator was given."""
        found, given = self.fake.class_logits, self.fake.categories
        return None if found is None or given is None else code_purity(found, given)


def score(
    real: Images,
    fake: Images,
    features: str,
    seed: int,
    nearness: float | None = None,
    shares: Tensor | None = None,
) -> dict[str, float]:
    """All scores that the features, logits and labels allow, by their full names.

    Args:
        real: the reference, at least two images.
        fake: the images to be scored, at least two.
        features: ends the names of the scores that depend on them.
        seed: of the kernel distance's subsets.
        nearness: see `Compared`.
        shares: likewise.
    """
    compared = Compared(real, fake, seed, nearness, shares)
    values = {entry.full_name(features): entry.compute(compared) for entry in scores_of(features)}
    return {name: value for name, value in values.items() if value is not None}


def score_alone(images: Images) -> dict[str, float]:
    """The scores that images have without others to compare with, where they are of interest."""
    compared = Compared(images, images, seed=0)
    values = {name: entry.compute(compared) for name, entry in SCORES.items() if entry.alone}
    return {name: value for name, value in values.items() if value is not None}


def score_by_class(
    real: Images, fake: Images, class_names: Sequence[str], features: str, seed: int = 0
) -> dict[str, dict[str, float]]:
    """The scores that exist for single classes, for each class."""
    assert real.labels is not None
    assert fake.labels is not None
    by_class = [entry for entry in scores_of(features) if entry.by_class]
    result: dict[str, dict[str, float]] = {}
    for number, name in enumerate(class_names):
        compared = Compared(_only(real, number), _only(fake, number), seed)
        values = {entry.full_name(features): entry.compute(compared) for entry in by_class}
        result[name] = {key: value for key, value in values.items() if value is not None}
    return result


def _only(images: Images, label: int) -> Images:
    """The images of one class."""
    assert images.labels is not None
    chosen: Tensor = images.labels == label
    return images.map(lambda tensor: tensor[chosen])
