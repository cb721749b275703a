"""One seed gives one training: the same bits again, and after a resume."""

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import Trainer
from torch import Tensor, nn

from gan_modules import ACGAN, GAN, WGANGP, GANModule
from gan_modules.networks import Critic32, DCGAN32Discriminator, DCGAN32Generator
from gan_modules.networks.spectral import SpectralLinear
from gan_modules.parts import CrossEntropy, InstanceNoise, LabelFlips, SoftLabels
from tests.gan_modules.helpers import (
    VARIANTS,
    AfterBatch,
    TinyDiscriminator,
    TinyImages,
    copied,
    equal,
    fit,
    make_batches,
    make_model,
    seed_batch,
)

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*LeafSpec.*",
    "ignore:You defined a .validation_step.",
    "ignore:Found .* in eval mode",
    "ignore:.*does not provide.*",
)


class Normalised(TinyDiscriminator):
    """Has spectral norm, whose vectors move with each pass."""

    def __init__(self, channels: int, image_size: int, num_classes: int) -> None:
        super().__init__(channels, image_size, num_classes)
        self.layers[1] = SpectralLinear(channels * image_size**2, 8)


def tricks(variant: type[GANModule]) -> dict[str, Any]:
    """All that draws random numbers, averages, and spectral norm."""
    options: dict[str, Any] = {"ema_half_life_images": [30, 300], "ema_widths": [0.1]}
    if variant is WGANGP:
        return options | {"discriminator_steps": 2}
    return options | {
        "game": CrossEntropy(SoftLabels(), LabelFlips(0.2)),
        "augment": InstanceNoise(0.3, anneal_images=60, on_real=True),
        "discriminator_steps": 2,
        "generator_steps": 2,
        **({"discriminator": Normalised} if variant is GAN else {}),
    }


@pytest.mark.parametrize("variant", VARIANTS)
def test_one_seed_gives_the_same_bits_and_another_does_not(
    variant: type[GANModule], monkeypatch: pytest.MonkeyPatch
) -> None:
    results = []
    for seed in ("3", "3", "4"):
        monkeypatch.setenv("PL_GLOBAL_SEED", seed)
        model = make_model(variant, **tricks(variant))  # equal at the start for all seeds
        fit(model, TinyImages())
        results.append(copied(model))
    assert equal(results[0], results[1])
    for name, _ in model.generator.named_parameters():
        key = f"generator.{name}"
        assert not torch.equal(results[0][key], results[2][key])


@pytest.mark.parametrize("networks", ["GAN", "WGAN-GP"])
def test_real_networks_train_to_the_same_bits(networks: str) -> None:
    class Images:
        def __len__(self) -> int:
            return 2

        def __iter__(self) -> Any:
            random = torch.Generator().manual_seed(1)
            for _ in range(2):
                yield torch.rand(4, 1, 32, 32, generator=random) * 2 - 1, torch.zeros(4).long()

    results = []
    for _ in range(2):
        options = {"generator": DCGAN32Generator, "image_size": 32, "latent_dim": 8}
        if networks == "GAN":
            model = make_model(GAN, discriminator=DCGAN32Discriminator, **options)
        else:
            model = make_model(WGANGP, discriminator=Critic32, discriminator_steps=1, **options)
        before = copied(model)
        fit(model, Images())
        results.append(copied(model))
        changed = [name for name in before if not torch.equal(before[name], results[-1][name])]
        assert {name.split(".")[0] for name in changed} == {"generator", "discriminator"}
    assert equal(*results)


class Latents:
    """Notes the latents of each batch by the images seen."""

    def __init__(self, model: GANModule) -> None:
        self.drawn: dict[int, Tensor] = {}

        def note(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            self.drawn.setdefault(model.images_seen, inputs[0].clone())

        model.generator.register_forward_pre_hook(note)


@pytest.mark.parametrize("variant", VARIANTS)
def test_random_numbers_depend_on_the_images_seen_alone(variant: type[GANModule]) -> None:
    """Neither on what drew numbers before, nor on how the batches are cut into epochs."""
    first, second = make_model(variant), make_model(variant)
    one, other = Latents(first), Latents(second)
    fit(first, make_batches(6))
    torch.manual_seed(99)
    fit(second, make_batches(2), [AfterBatch(lambda _: torch.rand(7))], max_epochs=3)
    assert list(one.drawn) == [8, 16, 24, 32, 40, 48]
    assert equal(
        {str(k): v for k, v in one.drawn.items()}, {str(k): v for k, v in other.drawn.items()}
    )
    everything = torch.cat(list(one.drawn.values()))
    assert len(everything.unique(dim=0)) == 48, "new ones in every batch and every epoch"
    if variant is not ACGAN:  # its classes are drawn first
        for seen, latents in one.drawn.items():
            seed_batch(3, seen)
            assert torch.equal(latents, torch.randn_like(latents))


@pytest.mark.parametrize("rank", [0, 1])
def test_each_rank_has_its_own_random_numbers(rank: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(GAN, "global_rank", rank)
    model = make_model()
    latents = Latents(model)
    fit(model, make_batches(2))
    for seen in (8, 16):
        seed_batch(3, seen, rank)
        assert torch.equal(latents.drawn[seen], torch.randn_like(latents.drawn[seen]))


def test_images_of_all_ranks_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Trainer, "world_size", 4)
    model = make_model(ema_half_life_images=32)
    model.images_seen = 1_000  # the average's ramp-up is over
    start, network = copied(model.generator_ema), []
    fit(model, make_batches(1), [AfterBatch(lambda model: network.append(copied(model.generator)))])
    assert model.images_seen == 1_032
    for name, average in model.generator_ema.named_parameters():  # one half-life has passed
        torch.testing.assert_close(average, (start[name] + network[0][name]) / 2)


def everything_of(model: GANModule, trainer: Trainer) -> dict[str, Tensor]:
    state = copied(model)
    for index, optimizer in enumerate(trainer.optimizers):
        for number, values in optimizer.state_dict()["state"].items():
            state |= {f"{index}.{number}.{name}": value for name, value in values.items()}
    return state


def resume(variant: type[GANModule], path: Path, batch: int) -> dict[str, Tensor]:
    """What a training of six batches ends with that begins with a checkpoint after `batch`."""
    model = make_model(variant, seed=77, **tricks(variant))
    torch.manual_seed(123)
    seen: list[int] = []
    note = AfterBatch(lambda model: seen.append(model.images_seen))
    trainer = fit(model, TinyImages(), [note], checkpoint=path, max_epochs=-1, max_steps=6)
    assert seen == [8 * (index + 1) for index in range(batch, 6)]
    assert trainer.global_step == 6
    return everything_of(model, trainer)


def different(one: dict[str, Tensor], other: dict[str, Tensor]) -> list[str]:
    assert one.keys() == other.keys()
    return [name for name in one if not torch.equal(one[name], other[name])]


@pytest.mark.parametrize("batch", [3, 4, 5])  # within, at the end of, and after the first epoch
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_resumed_training_is_the_uninterrupted_one(
    variant: type[GANModule], batch: int, tmp_path: Path
) -> None:
    def save(model: GANModule) -> None:
        if model.images_seen == 8 * batch:
            model.trainer.save_checkpoint(tmp_path / "a.ckpt")

    whole = make_model(variant, **tricks(variant))
    trainer = fit(whole, TinyImages(), [AfterBatch(save)], max_epochs=-1, max_steps=6)
    assert (
        different(everything_of(whole, trainer), resume(variant, tmp_path / "a.ckpt", batch)) == []
    )


def test_a_checkpoint_keeps_the_count_of_images(tmp_path: Path) -> None:
    model = make_model()
    fit(model, make_batches(3)).save_checkpoint(tmp_path / "a.ckpt")
    restored = GAN.load_from_checkpoint(tmp_path / "a.ckpt", weights_only=False)
    assert restored.images_seen == 24
    assert equal(copied(model.discriminator), copied(restored.discriminator))
