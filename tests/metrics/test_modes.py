"""Modes of images whose channels have classes: counts, KL and its floor, the classifier's say."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import cli
from datamodules import Digits, StackedMNIST
from gan_modules import ACGAN, GAN
from minmax.callbacks import Quality
from minmax.metrics.classifier import ChannelClassifier, DomainClassifier
from minmax.metrics.of_classes import (
    class_entropy,
    class_match,
    class_shares,
    classes_drawn,
    confidence,
    least_mode_kl,
    mode_kl,
    predicted,
)
from minmax.metrics.scores import score
from minmax.metrics.seen import Images
from minmax.metrics.table import mode_of
from tests.gan_modules.helpers import make_model, make_trainer

pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec.*", "ignore:.*num_workers.*")

OF_MNIST = torch.tensor([5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]) / 60_000
UNIFORM = torch.full((1000,), 1 / 1000)


def sure_of(numbers: Tensor) -> Tensor:
    """Logits `[N, 3, 10]` of a classifier that is sure of the figures of numbers `[N]`."""
    figures = torch.stack([numbers // 100, numbers // 10 % 10, numbers % 10], dim=1)
    return 50 * torch.eye(10)[figures]


def triples_of(shares: Tensor) -> Tensor:
    """Shares `[1000]` of independent figures with shares `[10]`."""
    return torch.einsum("a,b,c->abc", *[shares.double()] * 3).flatten()


def test_the_class_of_three_channels_is_a_number() -> None:
    numbers = torch.tensor([0, 7, 417, 999, 120])
    assert predicted(sure_of(numbers))[0].tolist() == numbers.tolist()
    assert predicted(sure_of(numbers))[1] == 1000
    assert predicted(torch.eye(4))[0].tolist() == [0, 1, 2, 3]
    assert predicted(torch.eye(4))[1] == 4
    assert class_match(sure_of(numbers), torch.tensor([0, 7, 417, 99, 999])) == 0.6


@pytest.mark.parametrize("count", [1, 2, 250, 1000])
def test_equally_frequent_classes(count: int) -> None:
    """Of 1,000: so many modes, and KL log(1000 / count)."""
    shares = class_shares(sure_of(torch.arange(count).repeat(3) * (1000 // count)))
    assert classes_drawn(shares) == count
    assert mode_kl(shares) == pytest.approx(math.log(1000 / count), abs=1e-9)


def test_kl_of_known_counts() -> None:
    """Shares 1/2, 1/4, 1/4 of 1,000 classes."""
    logits = sure_of(torch.tensor([5, 5, 70, 999]))
    wanted = math.log(500) / 2 + math.log(250) / 2
    assert mode_kl(class_shares(logits)) == pytest.approx(wanted, abs=1e-9)
    assert classes_drawn(class_shares(logits)) == 3
    assert classes_drawn(class_shares(sure_of(torch.arange(26_000) // 25_999))) == 2, (
        "one draw is enough"
    )
    assert 1 - class_entropy(logits) == pytest.approx(wanted / math.log(1000), abs=1e-9)


@pytest.mark.parametrize(
    ("shares", "draws", "floor"),
    [
        (UNIFORM, 26_000, 0.0192),
        (triples_of(OF_MNIST), 26_000, 0.0235),
        (triples_of(OF_MNIST), 10_000, 0.054),
        (triples_of(OF_MNIST), 50_000, 0.014),
    ],
)
def test_the_floor_is_what_perfect_draws_get(shares: Tensor, draws: int, floor: float) -> None:
    random = torch.Generator().manual_seed(0)
    drawn = [
        torch.multinomial(shares, draws, True, generator=random).bincount(minlength=1000) / draws
        for _ in range(10)
    ]
    mean = sum(map(mode_kl, drawn)) / len(drawn)
    assert mean == pytest.approx(floor, rel=0.03)
    assert least_mode_kl(shares, draws) == pytest.approx(floor, rel=0.02)
    assert min(map(classes_drawn, drawn)) > 990


def test_confidence_is_the_mean_probability_of_the_predicted_classes() -> None:
    probabilities = torch.tensor([[[0.7, 0.2, 0.1], [0.1, 0.1, 0.8]], [[1, 0, 0], [0.3, 0.4, 0.3]]])
    assert confidence(probabilities.log()) == pytest.approx((0.7 + 0.8 + 1 + 0.4) / 4)
    assert confidence(probabilities[0].log()) == pytest.approx(0.75)


def test_each_channel_is_classified_by_itself() -> None:
    torch.manual_seed(0)
    single, images = DomainClassifier(1, 10), torch.randint(256, (4, 3, 32, 32)).byte()
    features, logits = ChannelClassifier(single)(images)
    assert (features.shape, logits.shape) == ((4, 384), (4, 3, 10))
    for channel in range(3):
        own = single(images[:, channel : channel + 1])
        torch.testing.assert_close(features[:, 128 * channel : 128 * (channel + 1)], own[0])
        torch.testing.assert_close(logits[:, channel], own[1])


def test_scores_of_images_whose_channels_have_classes() -> None:
    real, numbers = Images(torch.randn(30, 4)), torch.arange(30)
    logits = sure_of(numbers)
    result = score(real, Images(torch.randn(30, 4), logits, logits, numbers), "x", 0)
    names = {"fid_x", "kid_x", "class_entropy", "class_match", "modes", "mode_kl", "confidence"}
    assert result.keys() == names
    assert (result["modes"], result["class_match"]) == (30, 1)
    assert result["mode_kl"] == pytest.approx(math.log(1000 / 30))
    assert result["confidence"] == pytest.approx(1)
    assert [mode_of(f"metric/{name}") for name in ("modes", "mode_kl")] == ["max", "min"]


# In a test


@pytest.fixture
def data(monkeypatch: pytest.MonkeyPatch, classifier_of_digits: Path) -> StackedMNIST:
    """60 triples of scikit-learn's digits, whose classifier is at hand."""
    monkeypatch.setattr("datamodules.stacked_mnist.DRAWS", 60)
    monkeypatch.setattr(StackedMNIST, "scored", 60)
    stacked = StackedMNIST(image_size=8)
    stacked.digits = Digits(image_size=8)
    return stacked


def report_of(data: StackedMNIST, kind: type[Any], count: int = 60) -> dict[str, Any]:
    quality = Quality(count=count)
    options = {"channels": 3, "image_size": 8, "num_classes": 1000}
    make_trainer(callbacks=[quality]).test(make_model(kind, **options), data, verbose=False)
    return quality.report


def test_a_perfect_generator_gets_what_held_out_images_get(data: StackedMNIST) -> None:
    images, labels = data.split(train=False)

    class Perfect(GAN):
        drawn = 0

        def sample(self, latent: Tensor, classes: Tensor) -> Tensor:
            chosen = (torch.arange(len(latent)) + self.drawn) % len(images)
            self.drawn += len(latent)
            return images[chosen].float() / 127.5 - 1

    report = report_of(data, Perfect)
    scores, held_out = report["scores"], report["references"]["held-out images"]
    assert held_out.keys() == {"modes", "mode_kl", "confidence"}
    for name, value in held_out.items():
        assert scores[name] == pytest.approx(value, rel=1e-5)
    assert scores["modes"] == pytest.approx(len(labels.unique()), abs=2)
    assert 0.7 < held_out["confidence"] < 1
    protocol = report["protocol"]
    assert protocol["classifier_accuracy"] > 0.97
    counts = torch.tensor(data.digits.counts(train=True)).double()
    floor = 3 * mode_kl(counts / counts.sum()) + 999 / 120
    assert protocol["mode_kl_floor"] == pytest.approx(floor, abs=1e-4)


def test_a_thousand_classes_that_a_generator_draws_by(data: StackedMNIST) -> None:
    report = report_of(data, ACGAN)
    assert "class_match" in report["scores"]
    assert "classes" not in report, "each would be of few images"
    model = make_model(ACGAN, num_classes=1000)
    latents, classes = model.grid(rows=4, columns=2)
    assert (len(latents), classes.tolist()) == (8, [0, 0, 250, 250, 500, 500, 750, 750])


def test_draws_cut_short_are_said_in_one_line(data: StackedMNIST) -> None:
    with pytest.warns(UserWarning, match=r"`Quality.count` is 40, .* in 60 draws: .*count 60$"):
        report = report_of(data, GAN, 40)
    assert report["protocol"]["generated_images"] == 40


@pytest.mark.parametrize("command", ["compare", "report"])
def test_different_draws_are_never_compared_silently(command: str, tmp_path: Path) -> None:
    for draws in (26_000, 10_000):
        run = tmp_path / f"run{draws}"
        run.mkdir()
        (run / "config.yaml").write_text("model: a\n")
        report = {"scores": {"modes": 999}, "references": {}}
        report |= {"protocol": {"generated_images": draws}}
        (run / "metrics.json").write_text(json.dumps({"last": report}))
    runs = [str(tmp_path / f"run{draws}") for draws in (26_000, 10_000)]
    message = r"run10000.* can't be compared .*generated_images is 10000, there it is 26000"
    if command == "compare":
        with pytest.raises(SystemExit, match=message):
            cli.main(["compare", *runs])
    else:
        with pytest.warns(UserWarning, match=message):
            cli.main(["report", *runs, "--output", str(tmp_path / "page.html")])
