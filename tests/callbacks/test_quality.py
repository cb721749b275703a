"""The Frechet distance between thumbnails: against closed forms, and what it is fed."""

from typing import Any

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from callbacks.quality import Quality
from gan_modules import ACGAN, GAN, GANModule
from gan_modules.images import to_uint8
from metrics import PixelFeatures
from tests.gan_modules.helpers import (
    CLASSES,
    LATENT,
    RecordingLogger,
    TinyImages,
    copied,
    equal,
    fit,
    make_batches,
    make_model,
    make_trainer,
)

pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec.*", "ignore:.*num_workers.*")

NAME = "metric/fid_pixels"


def test_bytes_of_images() -> None:
    values = torch.tensor([-1.0, 0.0, 1.0, -0.5, 1.5, -1.5, 100.0, -100.0])
    assert to_uint8(values).tolist() == [0, 128, 255, 64, 255, 0, 255, 0]
    levels = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(to_uint8(levels.float() / 127.5 - 1), levels)
    assert torch.equal(to_uint8(torch.tensor([1.0]).bfloat16()), levels[-1:])


def test_features_are_average_pooled_grays() -> None:
    images = torch.randint(256, (3, 3, 8, 8)).to(torch.uint8)
    features = PixelFeatures(2)(images)
    assert features.dtype == torch.float64
    blocks = images.double().view(3, 3, 2, 4, 2, 4).mean(dim=(1, 3, 5)) / 255
    torch.testing.assert_close(features, blocks.flatten(1), rtol=0, atol=1e-6)
    assert PixelFeatures(2).num_features == 4


class Stub(GAN):
    """Draws what it is told to, in the order of its batches."""

    def draw(self, images: Tensor) -> "Stub":
        self.images, self.drawn = images, 0
        return self

    def sample(self, latent: Tensor, labels: Tensor | None = None) -> Tensor:
        self.drawn += len(latent)
        return self.images[self.drawn - len(latent) : self.drawn]


def score(real: Tensor, fake: Tensor, size: int = 2, batch_size: int = 64) -> float:
    labels = torch.zeros(len(real), dtype=torch.int64)
    loader = DataLoader(TensorDataset(real, labels), batch_size=batch_size)
    model = make_model(Stub).draw(fake)
    trainer = make_trainer(callbacks=[Quality(size)], limit_val_batches=1.0)
    (values,) = trainer.validate(model, loader, verbose=False)
    return values[NAME]


def frechet(real: Tensor, fake: Tensor, size: int = 2) -> float:
    """The formula, written with numpy and scipy alone."""
    moments = []
    for images in (real, fake):
        pixels = np.rint((images.numpy().astype(np.float64) + 1) * 127.5).clip(0, 255) / 255
        count, channels, side, _ = pixels.shape
        blocks = pixels.reshape(count, channels, size, side // size, size, side // size)
        features = blocks.mean(axis=(1, 3, 5)).reshape(count, -1)
        moments.append((features.mean(axis=0), np.cov(features, rowvar=False)))
    (mean_a, cov_a), (mean_b, cov_b) = moments
    root = np.real(sqrtm(cov_a @ cov_b))
    return float(np.sum((mean_a - mean_b) ** 2) + np.trace(cov_a + cov_b - 2 * root))


def grays(count: int, mean: float, std: float, seed: int, channels: int = 1) -> Tensor:
    """Images of four even quarters, whose gray levels are independent Gaussians."""
    random = torch.Generator().manual_seed(seed)
    quarters = mean + std * torch.randn(count, 1, 2, 2, generator=random)
    return quarters.repeat_interleave(2, 2).repeat_interleave(2, 3).repeat(1, channels, 1, 1)


def test_two_gaussians() -> None:
    # In [-1, 1], and so halved in [0, 1]: 4 * ((0.3 / 2)^2 + ((0.2 - 0.1) / 2)^2) = 0.1
    real, fake = grays(20_000, -0.1, 0.2, seed=0), grays(20_000, 0.2, 0.1, seed=1)
    value = score(real, fake, batch_size=5000)
    assert value == pytest.approx(0.1, rel=0.02)
    assert value == pytest.approx(frechet(real, fake), rel=1e-5)


def test_a_shift_of_all_levels() -> None:
    real = to_uint8(grays(200, -0.3, 0.1, seed=0)).float() / 127.5 - 1
    assert score(real, real + 51 / 127.5) == pytest.approx(4 * 0.2**2, rel=1e-5)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [2, 4])
def test_independent_formula(channels: int, size: int) -> None:
    random = torch.Generator().manual_seed(0)
    real = torch.rand(150, channels, 8, 8, generator=random) * 2 - 1
    fake = (torch.randn(150, channels, 8, 8, generator=random) * 0.8).cumsum(3) / 4  # some > 1
    value = score(real, fake, size)
    assert value > 0.001
    assert value == pytest.approx(frechet(real, fake, size), rel=1e-4)


def test_zero_for_the_same_images_and_worse_with_more_noise() -> None:
    real = grays(300, 0.0, 0.3, seed=0)
    noise = torch.randn_like(real)
    values = [score(real, real + std * noise) for std in (0.0, 0.3, 1.0)]
    assert values[0] == pytest.approx(0, abs=1e-6)
    assert values[0] < 1e-6 < 0.001 < values[1] < values[2]
    shuffled = real[torch.randperm(300)]
    assert score(real, shuffled) == pytest.approx(0, abs=1e-6)


def trained(variant: type[GANModule] = GAN, **options: Any) -> GANModule:
    model = make_model(variant, **options)
    fit(model, TinyImages(), max_epochs=2)
    return model


@pytest.mark.parametrize("stage", ["validate", "test"])
@pytest.mark.parametrize("half_life", [0, 1000])
def test_the_images_are_those_of_sample_from_fixed_latents(stage: str, half_life: int) -> None:
    model, data = trained(ema_half_life_images=half_life), TinyImages()
    before, quality, values = copied(model), Quality(2), []
    for seed in (0, 1):
        torch.manual_seed(seed)
        trainer = make_trainer(callbacks=[quality], limit_val_batches=1.0)
        (logged,) = getattr(trainer, stage)(model, data, verbose=False)
        values.append(logged[NAME])
    assert values[0] == values[1]
    assert equal(before, copied(model))
    latents = torch.Generator().manual_seed(1)
    real = torch.cat([images for images, _ in data.val_dataloader()])
    network = (model.generator_ema or model.generator).eval()
    draws = [torch.randn(len(x), LATENT, generator=latents) for x, _ in data.val_dataloader()]
    fake = network(torch.cat(draws)).detach()
    assert len(real) == len(fake) == 12
    assert values[0] == pytest.approx(frechet(real, fake), rel=1e-4)


def test_generated_images_have_the_classes_of_the_real_ones() -> None:
    model, asked = trained(ACGAN), []

    def sample(latent: Tensor, labels: Tensor) -> Tensor:
        asked.extend(labels.tolist())
        return ACGAN.sample(model, latent, labels)

    model.sample = sample
    data = TinyImages()
    make_trainer(callbacks=[Quality(2)], limit_val_batches=1.0).validate(model, data, verbose=False)
    assert asked == [label for _, labels in data.val_dataloader() for label in labels.tolist()]
    assert set(asked) == set(range(CLASSES))


def test_a_training_logs_it_over_images_seen() -> None:
    logger = RecordingLogger()
    options = {"limit_val_batches": 1.0, "num_sanity_val_steps": 1, "log_every_n_steps": 0}
    fit(make_model(), TinyImages(), [Quality(2)], logger, max_epochs=3, **options)
    records = [(step, set(values)) for step, values in logger.records]
    assert records == [(32, {NAME}), (64, {NAME}), (96, {NAME})]


def test_the_sanity_check_is_not_scored() -> None:
    """Its few images may be too few for a covariance."""
    images, labels = grays(12, 0.0, 0.3, seed=0), torch.zeros(12).long()
    loader = DataLoader(TensorDataset(images, labels), batch_size=1)
    model = make_model(Stub).draw(grays(13, 0.0, 0.3, seed=1))
    trainer = make_trainer(
        callbacks=[Quality(2)], limit_val_batches=1.0, num_sanity_val_steps=1, max_steps=1
    )
    trainer.fit(model, make_batches(1), loader)
    assert model.drawn == 13
    assert trainer.callback_metrics[NAME] > 0


def test_scores_do_not_disturb_the_training() -> None:
    results = []
    for callbacks in ([], [Quality(2)]):
        model = make_model(ema_half_life_images=50)
        fit(model, TinyImages(), callbacks, max_epochs=2, limit_val_batches=1.0)
        results.append(copied(model))
    assert equal(*results)
