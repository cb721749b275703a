"""Domain features: the features of a small classifier, trained on the data's own labels.

A network trained on the domain sees what distinguishes its classes; the Inception network has
never seen a digit. A fixed recipe and a fixed seed make the features the same for every model
that is trained on the same data.
"""

from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from datamodules.images import antialiased
from minmax.metrics.cache import Tensors, cached, fingerprint
from minmax.metrics.features import FeatureNetwork
from minmax.metrics.of_classes import class_match


@dataclass(frozen=True)
class Recipe:
    """How the classifier is built and trained; another recipe gives other scores."""

    widths: tuple[int, ...] = (64, 128, 128, 128)
    strides: tuple[int, ...] = (2, 2, 1, 2)
    images: int = 75_000
    most_epochs: int = 10
    batch_size: int = 128
    learning_rate: float = 0.003
    weight_decay: float = 0.05
    label_smoothing: float = 0.1
    seed: int = 0


RECIPE = Recipe()
CHUNK = 500


class DomainClassifier(FeatureNetwork):
    """Four 3x3 convolutions with batch norm, averaged to 128 features, and a linear layer.

    Args:
        channels: of the images, 1 or 3.
        num_classes: of the data.
    """

    name = "domain"
    image_size = 32

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        width_in = channels
        for width, stride in zip(RECIPE.widths, RECIPE.strides, strict=True):
            layers += [
                nn.Conv2d(width_in, width, 3, stride, padding=1, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(inplace=True),
            ]
            width_in = width
        self.layers = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Linear(width_in, num_classes)
        self.eval()

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Images uint8 `[N, C, H, W]` to features `[N, 128]`, class logits `[N, K]`."""
        side = (self.image_size, self.image_size)
        if images.shape[-2:] != side:
            images = antialiased(images, side)
        features = self.layers(images.float() / 127.5 - 1)
        return features, self.head(features)


class ChannelClassifier(FeatureNetwork):
    """A classifier of gray images, for each channel by itself.

    Args:
        single: the classifier.
    """

    name = DomainClassifier.name
    image_size = DomainClassifier.image_size

    def __init__(self, single: DomainClassifier) -> None:
        super().__init__()
        self.single = single

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Images uint8 `[N, C, H, W]` to features `[N, C * 128]`, class logits `[N, C, K]`."""
        features, logits = self.single(images.flatten(0, 1).unsqueeze(1))
        count, channels = images.shape[:2]
        return features.view(count, -1), logits.view(count, channels, -1)


def train_classifier(
    images: Tensor, labels: Tensor, num_classes: int, device: torch.device
) -> DomainClassifier:
    """Train by the recipe: at most half a minute on two CPU cores, the same result each time.

    Args:
        images: training images uint8 `[N, C, 32, 32]`.
        labels: their classes `[N]`.
        num_classes: number of classes.
        device: where to train.
    """
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(RECIPE.seed)
        network = DomainClassifier(images.shape[1], num_classes).to(device)
    network.to(memory_format=torch.channels_last)
    batch_size = min(RECIPE.batch_size, len(images))
    steps = min(RECIPE.images, RECIPE.most_epochs * len(images)) // batch_size
    optimizer = torch.optim.AdamW(
        network.parameters(), RECIPE.learning_rate, weight_decay=RECIPE.weight_decay
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, RECIPE.learning_rate, total_steps=steps
    )
    random = torch.Generator().manual_seed(RECIPE.seed)
    order = torch.empty(0, dtype=torch.int64)
    nn.Module.train(network)
    with torch.enable_grad(), torch.autocast(device.type, enabled=False):
        progress = tqdm(total=steps * batch_size, desc="Training the classifier", unit="image")
        for _ in range(steps):
            if len(order) < batch_size:
                order = torch.cat([order, torch.randperm(len(images), generator=random)])
            chosen, order = order[:batch_size], order[batch_size:]
            _, logits = network(images[chosen].to(device))
            loss = F.cross_entropy(
                logits, labels[chosen].to(device), label_smoothing=RECIPE.label_smoothing
            )
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            progress.update(batch_size)
        progress.close()
    return network.eval()


@torch.no_grad()
def accuracy(network: DomainClassifier, images: Tensor, labels: Tensor) -> float:
    """Share of images uint8 `[N, C, H, W]` whose predicted class is their label `[N]`."""
    device = next(network.parameters()).device
    logits = [network(part.to(device))[1].cpu() for part in torch.split(images, CHUNK)]
    return class_match(torch.cat(logits), labels)


def domain_classifier(
    training: tuple[Tensor, Tensor],
    held_out: tuple[Tensor, Tensor],
    num_classes: int,
    device: torch.device,
) -> tuple[DomainClassifier, float]:
    """The data's classifier, trained once and then cached, and its accuracy on held-out images.

    Args:
        training: images uint8 `[N, C, 32, 32]` and labels `[N]` to train on.
        held_out: likewise, to measure the accuracy.
        num_classes: number of classes.
        device: where to train, and of the returned classifier.
    """

    def make() -> Tensors:
        network = train_classifier(*training, num_classes, device)
        share = torch.tensor(accuracy(network, *held_out), dtype=torch.float64)
        return {**network.state_dict(), "accuracy": share}

    key = {
        "recipe": asdict(RECIPE),
        "version": DomainClassifier.version,
        "num_classes": num_classes,
        "training": fingerprint(*training),
        "held_out": fingerprint(*held_out),
    }
    state = cached("classifier", key, make)
    share = state.pop("accuracy").item()
    network = DomainClassifier(training[0].shape[1], num_classes)
    network.load_state_dict(state)
    return network.to(device).to(memory_format=torch.channels_last), share
