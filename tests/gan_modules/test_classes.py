"""Who is told the classes of images, and which networks don't fit together."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from gan_modules import ACGAN, GAN, WGANGP, GANModule
from gan_modules.parts import DataShares, RelativisticPairing, UniformClasses
from minmax.errors import UserError
from minmax.generation.drawing import choose_labels
from tests.gan_modules.helpers import (
    CLASSES,
    VARIANTS,
    TinyConditionalGenerator,
    TinyDiscriminator,
    TinyGenerator,
    TinyImages,
    draws_nothing,
    fit,
    make_batches,
    make_model,
)

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*LeafSpec.*", "ignore:You defined a .validation_step."
)


class Judge(TinyDiscriminator):
    """Adds the class to its logits; notes what it is told."""

    conditional = True

    def __init__(self, *shape: int) -> None:
        super().__init__(*shape)
        self.told: list[Tensor] = []

    def forward(self, images: Tensor, classes: Tensor) -> Tensor:
        self.told.append(classes.clone())
        return super().forward(images, classes) + classes


class Painter(TinyConditionalGenerator):
    """Notes what it is asked for."""

    def __init__(self, *shape: int) -> None:
        super().__init__(*shape)
        self.asked: list[Tensor] = []

    def forward(self, latent: Tensor, classes: Tensor) -> Tensor:
        self.asked.append(classes.clone())
        return super().forward(latent, classes)


@pytest.mark.parametrize("variant", [GAN, WGANGP])
def test_a_judge_of_classes_needs_a_generator_of_classes(variant: type[GANModule]) -> None:
    wanted = "`discriminator` Judge judges images by their classes, and `generator` TinyGenerator"
    with pytest.raises(ValueError, match=wanted):
        make_model(variant, discriminator=Judge)
    assert make_model(variant, discriminator=Judge, generator=Painter).conditional


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("count", [0, 1])
def test_a_generator_of_classes_needs_two(variant: type[GANModule], count: int) -> None:
    with pytest.raises(
        ValueError, match=f"at least 2 classes, and this data has {count}: `generat"
    ):
        make_model(variant, generator=Painter, num_classes=count)
    make_model(variant, generator=Painter, num_classes=2)
    if variant is not ACGAN:
        make_model(variant, num_classes=count)


def test_acgan_needs_a_generator_of_classes() -> None:
    with pytest.raises(ValueError, match="`generator` TinyGenerator draws without classes"):
        make_model(ACGAN, generator=TinyGenerator)


@pytest.mark.parametrize("variant", VARIANTS)
def test_classes_are_drawn_for_those_alone_who_want_them(variant: type[GANModule]) -> None:
    for generator in (Painter, *([] if variant is ACGAN else [TinyGenerator])):
        model = make_model(variant, generator=generator)
        classes = model.sample_labels(1000)
        assert (classes.dtype, classes.shape) == (torch.int64, (1000,))
        assert set(classes.tolist()) == (set(range(CLASSES)) if model.conditional else {0})
        assert draws_nothing(lambda model=model: model.sample_labels(9)) != model.conditional


@pytest.mark.parametrize("variant", [GAN, WGANGP])
def test_each_image_comes_with_its_class(variant: type[GANModule]) -> None:
    """Real ones with theirs, generated ones with those that were asked for, also a turn later."""
    options: dict[str, Any] = {"discriminator_steps": 1, "generator_steps": 2}
    model = make_model(variant, generator=Painter, discriminator=Judge, **options)
    batches = make_batches(1)
    fit(model, batches)
    (real,) = [classes for _, classes in batches]
    first, again = model.generator.asked
    assert torch.equal(first, again)
    assert not torch.equal(first, real), "or nothing is shown"
    mixed = [real] if variant is WGANGP else []  # the penalty's images
    expected = [real, first, *mixed, first, first]
    assert len(model.discriminator.told) == len(expected)
    for told, classes in zip(model.discriminator.told, expected, strict=True):
        assert torch.equal(told, classes)


@pytest.mark.parametrize("variant", [GAN, ACGAN])
def test_a_game_of_pairs_compares_images_of_one_class(variant: type[GANModule]) -> None:
    model = make_model(variant, generator=Painter, game=RelativisticPairing())
    ((_, classes),) = batches = make_batches(1)
    fit(model, batches)
    assert all(torch.equal(asked, classes) for asked in model.generator.asked)


# Which classes are asked for


class Skewed(TinyImages):
    """35 training images, of the classes 0 and 2 alone."""

    def load(self, train: bool) -> tuple[Tensor, Tensor]:
        images, labels = super().load(train)
        return images, torch.where(torch.arange(len(labels)) < 5, 0, 2)


def test_classes_are_asked_for_as_often_as_the_data_have_them(tmp_path: Path) -> None:
    """Also by what is loaded from a checkpoint."""
    model = make_model(generator=Painter, asked_classes=DataShares())
    assert model.asked_classes.shares() == [1] * CLASSES, "until a training begins"
    assert set(model.sample_labels(1000).tolist()) == set(range(CLASSES))
    trainer = fit(model, Skewed())
    assert model.asked_classes.shares() == [5, 0, 30]
    asked = torch.cat(model.generator.asked)
    assert set(asked.tolist()) <= {0, 2}
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    weights = torch.load(tmp_path / "a.ckpt", weights_only=False)["state_dict"]
    again = make_model(generator=Painter, asked_classes=DataShares())
    again.load_state_dict(weights)
    drawn = choose_labels(again, [], None, 14)
    assert drawn.tolist() == [0] * 2 + [2] * 12, "what `sample` draws"
    assert choose_labels(again, [], ["1", "0"], 5).tolist() == [1, 1, 1, 0, 0]
    counts = again.sample_labels(7000).bincount(minlength=3).tolist()
    assert counts[1] == 0
    assert counts[0] == pytest.approx(1000, abs=5 * (7000 * 6 / 49) ** 0.5)


def test_the_last_class_is_drawn_and_none_beyond_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the least and the greatest random number, for shares that can't be written exactly."""
    shares = DataShares()
    shares.prepare(5)
    shares.counts.copy_(torch.tensor([0, 3, 1, 3, 0]))
    edges = torch.tensor([0.0, 3 / 7 + 1e-6, 4 / 7 + 1e-6, 1 - 2**-24])
    monkeypatch.setattr(torch, "rand", lambda count, device: edges)
    assert shares(4, torch.device("cpu")).tolist() == [1, 2, 3, 3]


@pytest.mark.parametrize("variant", VARIANTS)
def test_classes_are_equally_frequent_unless_asked_otherwise(variant: type[GANModule]) -> None:
    """By the same random numbers as without the part."""
    for options in ({}, {"asked_classes": UniformClasses()}):
        model = make_model(variant, generator=Painter, **options)
        torch.manual_seed(5)
        classes = model.sample_labels(50)
        torch.manual_seed(5)
        assert torch.equal(classes, torch.randint(CLASSES, (50,)))
        assert not any(name.startswith("asked") for name in model.state_dict())


def test_shares_need_data_that_are_counted_and_a_generator_of_classes() -> None:
    model = make_model(generator=Painter, asked_classes=DataShares())
    with pytest.raises(UserError, match="`asked_classes` DataShares needs an ImageDataModule"):
        fit(model, make_batches(1))
    with pytest.raises(UserError, match=r"TinyGenerator draws without classes\. Leave `asked_cl"):
        make_model(asked_classes=DataShares())
