"""A step driven without a trainer gives the same training as with one."""

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from datamodules.loader import EpochShuffle, ResidentLoader
from gan_modules import ACGAN, GAN, WGANGP, GANModule
from gan_modules.base import Batch
from gan_modules.parts import InstanceNoise, Part
from minmax.benchmarks.driven import Driven
from tests.gan_modules.helpers import (
    CHANNELS,
    CLASSES,
    SIZE,
    AfterBatch,
    copied,
    equal,
    fit,
    make_model,
    seed_batch,
)

SEED, BATCH, EPOCHS = 7, 8, 3
SHARED = {"discriminator_steps": 2, "generator_steps": 2, "ema_half_life_images": 40}

pytestmark = pytest.mark.filterwarnings("ignore:You defined a .validation_step.")


class Remembering(Part):
    """A part with a memory, to which each step adds another number."""

    memory: Tensor
    rate: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("memory", torch.zeros(()))
        self.constant("rate", 0.0)

    def begin(self, images_seen: int) -> None:
        self.rate.fill_(1 / images_seen)

    def forward(self, logits: Tensor) -> Tensor:
        self.memory.lerp_(logits.detach().float().mean(), self.rate)
        return logits - self.memory


class Own(GANModule):
    """A user's variant: the generator first, new images for the discriminator, hooks, a log."""

    def __init__(self, **shared: Any) -> None:
        super().__init__(**shared)
        self.centre = Remembering()

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        real, classes = batch
        optimizer_g, optimizer_d = self.both_optimizers()
        asked = self.sample_labels(len(real))
        for _ in range(self.generator_updates_due()):
            with self.updating(self.generator):
                fake = self(self.sample_latent(len(real)), asked)
                self.loss_g = -self.discriminator(fake, asked).mean()
                optimizer_g.zero_grad()
                self.manual_backward(self.loss_g)
                optimizer_g.step()
        with self.updating(self.discriminator):
            fake = self(self.sample_latent(len(real)), asked).detach()
            logits = self.discriminator(real, classes), self.discriminator(fake, asked)
            loss_d = (1 - self.centre(logits[0] - logits[1])).relu().mean() * (batch_idx + 1)
            optimizer_d.zero_grad()
            self.manual_backward(loss_d)
            optimizer_d.step()
        self.log("own/loss", loss_d)
        self.finish_batch(*logits)

    def on_after_backward(self) -> None:
        for weight in self.parameters():
            if weight.grad is not None:
                weight.grad.mul_(0.5)


def build(variant: type[GANModule]) -> GANModule:
    if variant is Own:
        return make_model(Own, **SHARED, generator_clip_norm=0.01, discriminator_clip_norm=0.02)
    if variant is WGANGP:
        return make_model(WGANGP, **SHARED)
    return make_model(variant, **SHARED, augment=InstanceNoise(0.2, anneal_images=60))


def loader() -> ResidentLoader:
    """Three batches per epoch, and three images left over."""
    random = torch.Generator().manual_seed(1)
    count = 3 * BATCH + 3
    pixels = torch.randint(256, (count, CHANNELS, SIZE, SIZE), generator=random, dtype=torch.uint8)
    labels = torch.randint(CLASSES, (count,), generator=random)
    return ResidentLoader(pixels, labels, BATCH, EpochShuffle(count, BATCH))


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize("variant", [GAN, ACGAN, WGANGP, Own])
def test_the_weights_are_the_trainers_bit_for_bit(
    variant: type[GANModule], precision: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PL_GLOBAL_SEED", str(SEED))
    trained = build(variant)
    before = copied(trained)
    fit(trained, loader(), max_epochs=EPOCHS, precision=precision)

    driven = Driven(build(variant), loader(), bfloat16=precision == "bf16-mixed")
    for batch in range(3 * EPOCHS):
        seed_batch(SEED, (batch + 1) * BATCH)
        assert driven.step() == BATCH
    assert driven.module.images_seen == trained.images_seen
    assert equal(copied(driven.module), copied(trained))
    changed = [
        name for name, value in before.items() if not torch.equal(value, copied(trained)[name])
    ]
    for network in ("generator.", "discriminator.", "generator_ema."):
        assert any(name.startswith(network) for name in changed)


@pytest.mark.parametrize("variant", [GAN, ACGAN, WGANGP, Own])
def test_a_training_goes_on_as_if_nothing_had_been_driven(
    variant: type[GANModule], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The copy, made during the training, has parts, average, images and optimizers of its own."""
    monkeypatch.setenv("PL_GLOBAL_SEED", str(SEED))
    alone, watched = build(variant), build(variant)
    fit(alone, loader(), max_epochs=EPOCHS)
    images, made = loader(), []

    def drive(model: GANModule) -> None:
        if model.images_seen == 4 * BATCH:
            made.append(Driven(model, images, bfloat16=False))
        for driven in made:
            for _ in range(4):
                driven.step()

    fit(watched, images, [AfterBatch(drive)], max_epochs=EPOCHS)
    assert equal(copied(watched), copied(alone))
    assert watched.images_seen == alone.images_seen
    assert made[0].module.images_seen == (4 + 4 * 6) * BATCH
    assert not equal(copied(made[0].module), copied(alone))


def test_an_epoch_follows_another_in_the_trainers_order() -> None:
    driven = Driven(build(GAN), loader(), bfloat16=False)
    expected, order = loader(), []
    for epoch in range(2):
        expected.sampler.set_epoch(epoch)
        order += list(enumerate(expected))
    assert not torch.equal(order[0][1][0], order[3][1][0])
    for number, (images, labels) in order:
        index, batch = next(driven.batches)
        assert index == number
        assert torch.equal(batch[0], images)
        assert torch.equal(batch[1], labels)


def test_a_driven_variant_is_still_one_of_its_class() -> None:
    driven = Driven(build(Own), loader(), bfloat16=False)
    assert isinstance(driven.module, Own)
    assert type(driven.module).__name__ == "DrivenOwn"
    assert type(build(Own)) is Own


def test_a_factory_is_not_copied() -> None:
    """The command line's factories hold everything that it has parsed; not all can be copied."""
    held = (number for number in range(3))
    factory = partial(lambda held, parameters: torch.optim.SGD(parameters, lr=0.1), held)
    model = make_model()
    model.generator_optimizer = factory
    driven = Driven(model, loader(), bfloat16=False)
    assert isinstance(driven.module.both_optimizers()[0], torch.optim.SGD)
    assert driven.step() == BATCH
