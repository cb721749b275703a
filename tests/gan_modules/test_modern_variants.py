"""What all variants promise, of R3GAN, StyleGAN2, InfoGAN and FastGAN with their own networks."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.plugins import MixedPrecision
from torch import Tensor, nn

from gan_modules import R3GAN, FastGAN, GANModule, InfoGAN, StyleGAN2
from gan_modules.networks import (
    FastGANDiscriminator,
    FastGANGenerator,
    InfoGANDiscriminator,
    InfoGANGenerator,
    R3GANDiscriminator,
    R3GANGenerator,
    StyleGAN2Discriminator,
    StyleGAN2Generator,
)
from gan_modules.parts import (
    ADA,
    R1,
    R2,
    CosineSchedule,
    LazyPenalty,
    OptimizerSchedule,
    PathLength,
    Penalty,
    SignControl,
    SumOfPenalties,
    Turn,
)
from tests.gan_modules.helpers import AfterBatch, copied, fit, make_batches, make_model

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*LeafSpec.*", "ignore:You defined a .validation_step.", "ignore:Found .* in eval mode"
)


def falling(start: float, end: float) -> CosineSchedule:
    return CosineSchedule(start, end, 40)


def model_of(variant: type[GANModule], seed: int = 0) -> GANModule:
    """With all that it remembers, or that changes."""
    schedule = OptimizerSchedule(lr=falling(2e-3, 5e-4), beta2=falling(0.9, 0.99))
    narrow = {"base": 64, "width": 8, "conditional": True}
    options: dict[type[GANModule], dict[str, Any]] = {
        R3GAN: {
            "generator": partial(R3GANGenerator, width=8, conditional=True),
            "discriminator": partial(R3GANDiscriminator, width=8, conditional=True),
            "penalty": SumOfPenalties([R1(falling(1, 0.1)), R2(falling(1, 0.1))]),
            "augment": ADA(p=falling(0, 0.5), colour=0.5, cutout=1.0),
            "ema_half_life_images": falling(0, 30),
            "generator_schedule": schedule,
            "discriminator_schedule": schedule,
        },
        StyleGAN2: {
            "generator": partial(StyleGAN2Generator, **narrow),
            "discriminator": partial(StyleGAN2Discriminator, **narrow),
            "penalty": LazyPenalty(R1(1.0), 2),
            "path_length": PathLength(every=2),
            "mixing": 0.9,
            "augment": ADA(control=SignControl(full_images=100)),
            "ema_half_life_images": 30,
        },
        InfoGAN: {
            "generator": partial(InfoGANGenerator, width=1),
            "discriminator": partial(InfoGANDiscriminator, width=1),
            "latent_dim": 15,
        },
        FastGAN: {
            "generator": partial(FastGANGenerator, width=1),
            "discriminator": partial(FastGANDiscriminator, width=1),
        },
    }
    return make_model(variant, seed, channels=3, image_size=32, **options[variant])


def trained(variant: type[GANModule], seed: int = 0, **options: Any) -> GANModule:
    model, batches = model_of(variant, seed), make_batches(3)
    batches.batches = [(i.repeat(1, 3, 8, 8), classes) for i, classes in batches.batches]
    fit(model, batches, **options)
    return model


@pytest.mark.parametrize(
    ("variant", "precision"),
    [
        *((R3GAN, precision) for precision in ("bf16-mixed", "64-true")),
        *((StyleGAN2, precision) for precision in ("bf16-mixed", "16-mixed", "64-true")),
        *((InfoGAN, precision) for precision in ("bf16-mixed", "16-mixed", "64-true")),
        *((FastGAN, precision) for precision in ("bf16-mixed", "16-mixed", "64-true")),
    ],
)
def test_both_networks_learn_in_any_precision(variant: type[GANModule], precision: str) -> None:
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    options = {"precision": precision}
    if precision == "16-mixed":
        options = {"plugins": [MixedPrecision(precision, "cpu", scaler)]}
    start, losses = copied(model_of(variant)), list[Tensor]()
    note = AfterBatch(lambda model: losses.extend(model.observed.values()))
    model = trained(variant, callbacks=[note], **options)
    exact = torch.float64 if precision == "64-true" else torch.float32
    assert losses
    assert all(value.isfinite().all() and value.dtype == exact for value in losses)
    moved = {n.split(".")[0] for n, v in model.named_parameters() if not torch.equal(v, start[n])}
    assert {"generator", "discriminator"} <= moved
    assert all(value.isfinite().all() for value in model.parameters())


@pytest.mark.parametrize("variant", [R3GAN, StyleGAN2])
def test_a_resumed_training_is_the_uninterrupted_one(
    variant: type[GANModule], tmp_path: Path
) -> None:
    path = tmp_path / "a.ckpt"

    def everything(seed: int, resume: Path | None) -> dict[str, Any]:
        def keep(model: GANModule) -> None:
            if resume is None and model.images_seen == 24:
                model.trainer.save_checkpoint(path)

        model = trained(
            variant, seed, callbacks=[AfterBatch(keep)], checkpoint=resume, max_epochs=2
        )
        found: dict[str, Any] = copied(model) | dict(model.named_buffers())
        for index, optimizer in enumerate(model.trainer.optimizers):
            group = optimizer.param_groups[0]
            found[f"{index}"] = torch.tensor([group["lr"], *group["betas"]])
            for number, values in optimizer.state_dict()["state"].items():
                found |= {f"{index}.{number}.{name}": value for name, value in values.items()}
        return found

    whole, resumed = everything(0, None), everything(7, path)
    assert [name for name in whole if not torch.equal(whole[name], resumed[name])] == []


def moved_by(penalty: Penalty, critic: nn.Module, rate: float = 1e-4) -> Tensor:
    """How far twenty updates by the penalty alone move the weights."""
    before = nn.utils.parameters_to_vector(critic.parameters()).detach().clone()
    images = torch.randn(6, 3, 3, 3, generator=torch.Generator().manual_seed(1)).double()
    none = torch.zeros(6, dtype=torch.int64)

    def judge(shown: Tensor, classes: Tensor) -> Tensor:
        return critic(shown).squeeze(1)

    optimizer = torch.optim.SGD(critic.parameters(), rate)
    for update in range(20):
        turn = penalty.watch(Turn(judge, critic, images, none, images, images, none, update=update))
        turn.judge()
        for loss in (penalty(turn), *penalty.lazy(turn)):
            if loss.requires_grad:
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
    return nn.utils.parameters_to_vector(critic.parameters()).detach() - before


def test_a_lazy_penalty_is_the_unlazy_one_in_the_limit() -> None:
    """Plain steps of a small rate move the weights alike."""
    found = []
    for penalty in (R1(2.0), LazyPenalty(R1(2.0), 10)):
        critic = nn.Sequential(nn.Flatten(), nn.Linear(27, 8), nn.Softplus(), nn.Linear(8, 1))
        torch.manual_seed(0)
        for weight in critic.parameters():
            nn.init.normal_(weight, std=0.3)
        found.append(moved_by(penalty, critic.double()))
    exact, lazy = found
    assert (lazy - exact).norm() < 0.02 * exact.norm()
