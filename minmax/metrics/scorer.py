"""Computes features of images, and caches those of the real images."""

from dataclasses import asdict, replace
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from datamodules import ImageDataModule, Points
from minmax.metrics.cache import Tensors, cached, fingerprint
from minmax.metrics.classifier import ChannelClassifier, DomainClassifier, domain_classifier
from minmax.metrics.features import FeatureNetwork
from minmax.metrics.inception import InceptionFeatures
from minmax.metrics.pixels import PixelFeatures
from minmax.metrics.plane import PointFeatures
from minmax.metrics.seen import Images

BATCH = 250


class Scorer:
    """Computes features of images; those of one data module's real images are cached.

    Args:
        network: the feature network.
        classifier: of the data's classes; None without classes, or with `pixels` features.
        accuracy: of the classifier on held-out images.
    """

    def __init__(
        self,
        network: FeatureNetwork,
        classifier: FeatureNetwork | None = None,
        accuracy: float | None = None,
    ) -> None:
        self.network = network
        self.classifier = classifier
        self.accuracy = accuracy
        self._real: dict[tuple[bool, int | None, int], Images] = {}
        self._hashes: dict[bool, str] = {}

    def to(self, device: torch.device) -> "Scorer":
        """Move the networks."""
        self.network.to(device)
        if self.classifier is not None:
            self.classifier.to(device)
        self.device = device
        return self

    @torch.no_grad()
    def see(self, images: Tensor) -> Images:
        """Features of stored images `[N, C, H, W]`, in float32 whatever the run's precision."""
        images = images.to(self.device)
        with torch.autocast(self.device.type, enabled=False):
            features, logits = self.network(images)
            seen = Images(features, logits, modes=self.network.modes_of(images))
            if self.classifier is None:
                return seen
            same = self.classifier is self.network
            return replace(seen, class_logits=logits if same else self.classifier(images)[1])

    def see_all(self, images: Tensor, name: str, labels: Tensor | None = None) -> Images:
        """Features of stored images `[N, C, H, W]`, batch by batch, with a progress bar."""
        with tqdm(total=len(images), desc=f"Seeing {name}", unit="image", delay=1) as bar:
            parts = []
            for batch in torch.split(images, BATCH):
                parts.append(self.see(batch))
                bar.update(len(batch))
        labels = None if labels is None else labels.to(self.device)
        return replace(Images.joined(parts), labels=labels)

    def real(
        self, data: ImageDataModule, train: bool, count: int | None = None, seed: int = 0
    ) -> Images:
        """Features of `count` training or held-out images, chosen by `seed`; or of all, in order.

        The images are resized from their original size to the network's, if it has one, so that
        models of all sizes are compared with the same images.
        """
        if (train, count, seed) not in self._real:
            images, labels = data.split(train, self.network.image_size)
            if count is not None:
                random = torch.Generator().manual_seed(seed)
                chosen = torch.randperm(len(images), generator=random)[:count]
                images, labels = images[chosen.to(images.device)], labels[chosen]

            def make() -> Tensors:
                name = "training images" if train else "held-out images"
                seen = asdict(self.see_all(images, name))
                return {key: value for key, value in seen.items() if value is not None}

            key = {
                "images": fingerprint(images),
                "network": self.network.identity(),
                "classifier": self.classifier and self.classifier.identity(),
            }
            seen = Images(**cached("features", key, make), labels=labels)
            self._real[train, count, seed] = seen.map(lambda tensor: tensor.to(self.device))
        return self._real[train, count, seed]

    def data_hash(self, data: ImageDataModule, train: bool) -> str:
        """SHA-256 of a split's images and labels, as the network sees them."""
        if train not in self._hashes:
            self._hashes[train] = fingerprint(*data.split(train, self.network.image_size))
        return self._hashes[train]


def make_scorer(
    data: ImageDataModule, features: str, weights: Path | None, device: torch.device
) -> Scorer:
    """Make the networks; a classifier that was trained before comes from the cache.

    Args:
        data: the domain classifier learns its labels.
        features: `domain`, `inception`, `pixels` or `points`.
        weights: of the Inception network; only `inception` needs them.
        device: of the networks.
    """
    if isinstance(data, Points):
        return Scorer(PointFeatures(data.mixture)).to(device)
    classifier: FeatureNetwork | None = None
    accuracy = None
    if data.num_classes > 1 and features != "pixels":
        size, learned = DomainClassifier.image_size, data.classified
        training, held_out = learned.split(True, size), learned.split(False, size)
        single, accuracy = domain_classifier(training, held_out, learned.num_classes, device)
        classifier = single if learned is data else ChannelClassifier(single)
    network: FeatureNetwork
    if features == "inception":
        assert weights is not None
        network = InceptionFeatures(weights)
    else:
        network = classifier or PixelFeatures()
    return Scorer(network, classifier, accuracy).to(device)
