"""Who is told the classes of images, and which networks don't fit together."""

from typing import Any

import pytest
import torch
from torch import Tensor

from gan_modules import ACGAN, GAN, WGANGP, GANModule
from tests.gan_modules.helpers import (
    CLASSES,
    VARIANTS,
    TinyConditionalGenerator,
    TinyDiscriminator,
    TinyGenerator,
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
