"""InfoGAN: its counts, the losses of its codes in closed form, what learns them, their pictures."""

import math
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from datamodules import ImageDataModule
from gan_modules import GANModule, InfoGAN
from gan_modules.infogan import gaussian_loss
from gan_modules.networks import InfoGANDiscriminator, InfoGANGenerator
from minmax.callbacks import Pictures, Quality
from minmax.errors import UserError
from minmax.metrics.of_classes import code_purity
from minmax.metrics.scorer import Scorer
from minmax.metrics.seen import Images as Seen
from tests.gan_modules.helpers import (
    AfterBatch,
    OptimizerSteps,
    RecordingLogger,
    copied,
    equal,
    fit,
    make_model,
    make_trainer,
)

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*LeafSpec.*",
    "ignore:.*num_workers.*",
    "ignore:Found .* in eval mode",
    "ignore:You defined a .validation_step.",
    "ignore:.*does not provide.*",
)

NOISE, CATEGORIES, CONTINUOUS = 3, 4, 2
CODES = {"categories": CATEGORIES, "continuous": CONTINUOUS}
LATENT = NOISE + CATEGORIES + CONTINUOUS


def narrow(**options: Any) -> InfoGAN:
    shared = {
        "generator": partial(InfoGANGenerator, width=1, **CODES),
        "discriminator": partial(InfoGANDiscriminator, width=2, **CODES),
        "image_size": 28,
        "latent_dim": LATENT,
    }
    model = make_model(InfoGAN, **(shared | options))
    assert isinstance(model, InfoGAN)
    return model


class Images(ImageDataModule):
    """Four batches of eight images of noise."""

    def __init__(self) -> None:
        super().__init__(["one", "two"], 28, True, batch_size=8)

    def load(self, train: bool) -> tuple[Tensor, Tensor]:
        random = torch.Generator().manual_seed(int(train))
        pixels = torch.randint(256, (32, 1, 28, 28), generator=random)
        return pixels.to(torch.uint8), torch.arange(32) % 2


@pytest.mark.parametrize(
    ("size", "expected"),
    [(28, (6_645_121, 6_690_893)), (32, (6_645_121 + 1026 * 1920, 6_690_893 + 1024 * 1920))],
)
def test_parameters_are_as_many_as_the_table_says(size: int, expected: tuple[int, int]) -> None:
    """At 32 pixels the maps beside the linear layers have 128 (8^2 - 7^2) = 1920 numbers more."""
    with torch.device("meta"):
        networks = InfoGANGenerator(74, 1, size, 10), InfoGANDiscriminator(1, size, 10)
        assert networks[0](torch.randn(2, 74), None).shape == (2, 1, size, size)
        assert [part.shape for part in networks[1].heads(torch.randn(2, 1, size, size))] == [
            *((2,), (2, 10), (2, 2), (2, 2))
        ]
    assert tuple(sum(w.numel() for w in network.parameters()) for network in networks) == expected


def test_codes_are_uniform_and_reach_the_generator() -> None:
    model, seen = narrow(), []
    latents = model.seeded_latents(20_000)
    category, continuous = model.generator.codes(latents)
    shares = torch.bincount(category, minlength=CATEGORIES) / len(latents)
    torch.testing.assert_close(shares, torch.full((CATEGORIES,), 0.25), atol=0.012, rtol=0)
    assert continuous.shape == (20_000, CONTINUOUS)
    quantiles = torch.linspace(0, 1, 11)
    found = torch.quantile(continuous, quantiles, dim=0)
    torch.testing.assert_close(found[:, 0], 2 * quantiles - 1, atol=0.03, rtol=0)
    torch.testing.assert_close(found[:, 1], 2 * quantiles - 1, atol=0.03, rtol=0)

    model.generator.layers[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    latents, category, continuous = latents[:50], category[:50], continuous[:50]
    model.sample(latents, model.no_classes)
    noise, one_hot, codes = seen[0].split([NOISE, CATEGORIES, CONTINUOUS], 1)
    assert torch.equal(noise, latents[:, :NOISE])
    assert torch.equal(one_hot, torch.eye(CATEGORIES)[category])
    assert torch.equal(codes, continuous)


def test_seeded_codes_are_the_same_everywhere() -> None:
    model = narrow()
    category, continuous = model.generator.codes(model.seeded_latents(8, seed=5))
    assert category.tolist() == [1, 0, 1, 1, 2, 3, 1, 1]
    own = torch.randn(16, LATENT, generator=torch.Generator().manual_seed(5))[:8, -CONTINUOUS:]
    torch.testing.assert_close(continuous, 2 * torch.special.ndtr(own) - 1)


def test_the_loss_of_continuous_codes_is_that_of_gaussians() -> None:
    torch.manual_seed(0)
    codes, mean, log_std = torch.randn(3, 7, 2, dtype=torch.float64).unbind()
    wanted = -torch.distributions.Normal(mean, log_std.exp()).log_prob(codes).sum(1).mean()
    torch.testing.assert_close(gaussian_loss(codes, mean, log_std), wanted)
    torch.testing.assert_close(
        gaussian_loss(codes, codes, torch.zeros_like(codes)),
        torch.tensor(math.log(2 * math.pi), dtype=torch.float64),
    )


def test_the_loss_of_codes_is_the_weighted_sum_of_both() -> None:
    model = narrow(category_weight=2.0, continuous_weight=3.0)
    latent = model.seeded_latents(9)
    category, continuous = model.generator.codes(latent)
    logits = torch.full((9, CATEGORIES), -1.0).scatter_(1, category[:, None], 1.0)
    loss = model.code_loss(latent, logits, continuous - 1, torch.zeros(9, CONTINUOUS))
    of_category = math.log(math.e + 3 / math.e) - 1
    of_continuous = CONTINUOUS * (1 + math.log(2 * math.pi)) / 2
    assert model.observed["loss_code/category"].item() == pytest.approx(of_category)
    assert model.observed["loss_code/continuous"].item() == pytest.approx(of_continuous)
    assert loss.item() == pytest.approx(2 * of_category + 3 * of_continuous)


@pytest.mark.parametrize("learned", [False, True])
def test_the_standard_deviation_is_one_or_learned(learned: bool) -> None:
    network = InfoGANDiscriminator(1, 28, 1, **CODES, learned_std=learned, width=2)
    _, _, mean, log_std = network.heads(torch.randn(4, 1, 28, 28))
    assert mean.shape == log_std.shape == (4, CONTINUOUS)
    assert bool(log_std.any()) == learned


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_each_update_teaches_its_own_network(weight: float) -> None:
    """The discriminator's also Q, with the codes of the images that it was shown."""
    found: dict[str, list[bool]] = {}

    def taught(network: nn.Module) -> bool:
        grads = [weights.grad for weights in network.parameters()]
        return any(one is not None and one.abs().max() > 0 for one in grads)

    def note(model: InfoGAN, name: str) -> None:
        networks = [model.generator, model.discriminator.body, model.discriminator.code_head]
        found[name] = [taught(network) for network in networks]
        model.discriminator.zero_grad()

    model = narrow(category_weight=weight, continuous_weight=weight)
    fit(model, Images(), [OptimizerSteps(before=note)], max_steps=1)
    assert found["discriminator"] == [False, True, weight > 0]
    assert found["generator"] == [True, False, False]


def test_the_terms_are_in_both_losses() -> None:
    """With a game that costs nothing they are the losses, of the images with the codes."""
    logger, said = RecordingLogger(), []
    drawn: list[Tensor] = []
    shown: list[Tensor] = []
    model = narrow(category_weight=2.0, continuous_weight=3.0)
    model.game.discriminator = model.game.generator = lambda logits, _: 0 * logits.sum()
    code_loss, heads = model.code_loss, model.discriminator.heads
    model.generator.register_forward_hook(lambda _, inputs, images: drawn.extend((*inputs, images)))
    model.discriminator.heads = lambda images: shown.append(images) or heads(images)  # type: ignore

    def noting(latent: Tensor, *of_q: Tensor) -> Tensor:
        assert torch.equal(latent, drawn[0])
        said.append(code_loss(latent, *of_q).item())
        return code_loss(latent, *of_q)

    model.code_loss = noting  # type: ignore[method-assign]
    fit(model, Images(), logger=logger, log_every_n_steps=1, max_steps=1)
    assert len(drawn) == 3, "one pass for both updates"
    assert [images.requires_grad for images in shown] == [False, True], "detached or not"
    assert all(torch.equal(images, drawn[2]) for images in shown)
    logged = logger.records[0][1]
    assert [logged["loss/discriminator"], logged["loss/generator"]] == pytest.approx(said)


def test_a_resumed_training_is_the_uninterrupted_one(tmp_path: Path) -> None:
    def save(model: GANModule) -> None:
        if model.images_seen == 24:
            model.trainer.save_checkpoint(tmp_path / "a.ckpt")

    ends = []
    for seed, checkpoint in ((0, None), (9, tmp_path / "a.ckpt")):
        model = narrow(seed=seed, ema_half_life_images=30)
        trainer = fit(model, Images(), [AfterBatch(save)], checkpoint=checkpoint, max_epochs=2)
        moments = [one.state_dict()["state"] for one in trainer.optimizers]
        ends.append((model.images_seen, copied(model), moments))
    (images, one, moments), (same_images, other, same_moments) = ends
    assert images == same_images == 64
    assert equal(one, other)
    torch.testing.assert_close(moments, same_moments, rtol=0, atol=0)


def test_pictures_have_a_row_a_category() -> None:
    model = narrow()
    latents, classes = model.grid(rows=9, columns=5)
    category, _ = model.generator.codes(latents)
    assert category.tolist() == [row for row in range(CATEGORIES) for _ in range(5)]
    assert len(latents[:, 0].unique()) == len(classes) == len(latents)
    ordinary, classes = make_model().grid(rows=2, columns=3)
    assert torch.equal(ordinary, make_model().seeded_latents(6))
    assert classes.tolist() == [0, 0, 0, 1, 1, 1]


def test_the_pictures_file_has_a_row_a_category(tmp_path: Path) -> None:
    fit(narrow(), Images(), [Pictures(1000, columns=2, rows=1)], default_root_dir=tmp_path)
    for name in ("fake_last", "interpolation"):
        with Image.open(tmp_path / "pictures" / f"{name}.png") as grid:
            assert grid.size == (2 * 30 + 2, CATEGORIES * 30 + 2)


def test_purity() -> None:
    """Category 0 draws classes 1, 1, 2; category 2 draws 0: three of four are the usual ones."""
    logits = torch.eye(5)[[1, 1, 2, 0]]
    assert code_purity(logits, torch.tensor([0, 0, 0, 2])) == 3 / 4
    assert code_purity(logits, torch.tensor([0, 0, 1, 3])) == 1
    assert code_purity(logits, torch.tensor([0, 0, 0, 0])) == 2 / 4


@pytest.mark.parametrize("stage", ["validate", "test"])
def test_scores_know_the_categories_that_were_drawn(
    stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A classifier that reads the first category off the images: purity is its share and 1."""
    model = narrow()
    category = model.generator.codes(model.seeded_latents(40))[0]
    drawn: list[Tensor] = []

    def sample(latent: Tensor, classes: Tensor) -> Tensor:
        first = model.generator.codes(latent)[0] == 0
        drawn.append(first)
        return torch.where(first, 1.0, -1.0)[:, None, None, None].expand(-1, 1, 28, 28)

    def see(self: Scorer, images: Tensor) -> Seen:
        bright = images.float().mean((1, 2, 3)) > 100
        return replace(Scorer.see_plain(self, images), class_logits=torch.eye(2)[bright.long()])

    monkeypatch.setattr(Scorer, "see_plain", Scorer.see, raising=False)
    monkeypatch.setattr(Scorer, "see", see)
    model.sample = sample  # type: ignore[method-assign]
    trainer = make_trainer(callbacks=[Quality("pixels", count=40)], limit_val_batches=1.0)
    (logged,) = getattr(trainer, stage)(model, Images(), verbose=False)
    assert torch.equal(torch.cat(drawn)[:40], category == 0)
    assert logged["metric/code_purity"] == 1
    assert 0 < logged["metric/class_entropy"] < 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"latent_dim": 6}, "`latent_dim` 6: the last 6 numbers .* at least 7"),
        ({"image_size": 64}, "InfoGANGenerator cannot be built for images of 64x64"),
        ({"category_weight": -1.0}, "`category_weight` must be 0"),
        ({"continuous_weight": -1.0}, "`continuous_weight` must be 0"),
        ({"discriminator": InfoGANDiscriminator}, "same numbers, got 4 and 2, and 10 and 2"),
        ({"generator": partial(InfoGANGenerator, categories=1)}, "`categories` of InfoGANGen"),
        ({"discriminator": partial(InfoGANDiscriminator, continuous=-1)}, "got 10 and -1"),
        ({"generator": partial(InfoGANGenerator, width=0)}, "`width` of InfoGANGenerator"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        narrow(**options)
