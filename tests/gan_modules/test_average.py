"""The generator's moving average: its half-life, its buffers, and who uses it."""

from pathlib import Path

import pytest
import torch
from torch import nn

from gan_modules import GAN, WGANGP
from gan_modules.parts.average import ema_copy, ema_half_lives, ema_share, ema_update
from tests.gan_modules.helpers import (
    LATENT,
    VARIANTS,
    AfterBatch,
    copied,
    equal,
    fit,
    make_batches,
    make_model,
)

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*LeafSpec.*", "ignore:You defined a .validation_step.", "ignore:Found .* in eval mode"
)


def pair() -> tuple[nn.Module, nn.Module]:
    """A network whose weights are all 1, and its average, whose weights are all 3."""
    network = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    average = ema_copy(network)
    for module, value in ((network, 1.0), (average, 3.0)):
        for parameter in module.parameters():
            nn.init.constant_(parameter, value)
    return average, network


def move(average: nn.Module, network: nn.Module, half_lives: float) -> None:
    ema_update(average, network, torch.tensor(ema_share(half_lives)))


@pytest.mark.parametrize("updates", [1, 2, 7, 100])
def test_old_weights_count_half_after_a_half_life(updates: int) -> None:
    average, network = pair()
    for _ in range(updates):
        move(average, network, 1 / updates)
    for parameter in average.parameters():
        torch.testing.assert_close(parameter, torch.full_like(parameter, 2.0))
    move(average, network, 2)
    for parameter in average.parameters():
        torch.testing.assert_close(parameter, torch.full_like(parameter, 1.25))
    assert all(parameter.eq(1).all() for parameter in network.parameters())


def test_buffers_are_copied() -> None:
    average, network = pair()
    network(torch.randn(8, 2))
    assert not equal(dict(network.named_buffers()), dict(average.named_buffers()))
    move(average, network, 0.001)
    assert equal(dict(network.named_buffers()), dict(average.named_buffers()))
    network(torch.randn(8, 2))
    assert not equal(dict(network.named_buffers()), dict(average.named_buffers())), "not shared"


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_half_life_is_counted_in_images(variant: type) -> None:
    half_life, expected = 24, None

    def follow(model: GAN) -> None:
        nonlocal expected
        kept = 0.5 ** (8 / half_life)
        weights = {n: p.detach().clone() for n, p in model.generator.named_parameters()}
        expected = {n: kept * expected[n] + (1 - kept) * weights[n] for n in weights}
        averages = dict(model.generator_ema.named_parameters())
        for name, value in expected.items():
            torch.testing.assert_close(averages[name], value)

    steps = {"discriminator_steps": 2} if variant is WGANGP else {}
    model = make_model(variant, ema_half_life_images=half_life, **steps)
    model.images_seen = 10_000  # the ramp-up is over
    expected = {n: p.detach().clone() for n, p in model.generator.named_parameters()}
    fit(model, make_batches(4), [AfterBatch(follow)])
    assert not equal(copied(model.generator), copied(model.generator_ema))


def test_the_half_life_grows_with_the_images_seen() -> None:
    assert ema_half_lives(8, 1_000_000, 10_000) == 8 / 10_000
    assert ema_half_lives(8, 200_000, 10_000) == 8 / 10_000, "a twentieth of these is all of it"
    assert ema_half_lives(8, 20_000, 10_000) == 8 / 1_000
    assert ema_half_lives(8, 8, 10_000) == 20, "the first weights are forgotten at once"


def test_the_average_is_frozen_and_in_eval_mode() -> None:
    model = make_model(ema_half_life_images=10)
    optimized = []

    def check(model: GAN) -> None:
        assert not model.generator_ema.training
        assert model.generator.training
        assert not any(p.requires_grad for p in model.generator_ema.parameters())
        assert all(p.grad is None for p in model.generator_ema.parameters())
        for optimizer in model.trainer.optimizers:
            optimized.extend(p for group in optimizer.param_groups for p in group["params"])

    fit(model, make_batches(2), [AfterBatch(check)])
    averages = {id(p) for p in model.generator_ema.parameters()}
    assert optimized
    assert not averages & {id(p) for p in optimized}


@pytest.mark.parametrize("half_life", [0, 1000])
def test_sample_draws_from_the_average_when_there_is_one(half_life: int) -> None:
    model = make_model(ema_half_life_images=half_life)
    model.images_seen = 100_000  # the ramp-up is over
    fit(model, make_batches(3))
    latent, classes = torch.randn(6, LATENT), torch.zeros(6, dtype=torch.int64)
    before = copied(model)
    images = model.sample(latent, classes)
    assert equal(before, copied(model)), "no running statistics moved"
    assert model.generator.training, "the mode is restored"
    assert not images.requires_grad
    expected = (model.generator_ema or model.generator).eval()(latent, classes)
    assert torch.equal(images, expected)
    assert (model.generator_ema is None) == (half_life == 0)
    if half_life:
        assert not torch.allclose(images, model.generator.eval()(latent, classes), atol=1e-3)


def test_the_mode_is_restored_when_sampling_fails() -> None:
    model = make_model()
    with pytest.raises(RuntimeError):
        model.sample(torch.randn(2, LATENT + 1), torch.zeros(2, dtype=torch.int64))
    assert model.generator.training


def test_the_average_goes_through_a_checkpoint(tmp_path: Path) -> None:
    model = make_model(ema_half_life_images=100)
    trainer = fit(model, make_batches(3))
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    restored = GAN.load_from_checkpoint(tmp_path / "a.ckpt", weights_only=False)
    assert equal(copied(model.generator_ema), copied(restored.generator_ema))
    assert not equal(copied(restored.generator), copied(restored.generator_ema))
