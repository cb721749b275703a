"""The work and the memory of a step, counted without computing it."""

from typing import Any

import pytest
import torch
from lightning import Trainer
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

from gan_modules import GAN, GANModule, StyleGAN2
from gan_modules.networks import Discriminator, Generator
from gan_modules.parts import R1, LazyPenalty, PathLength
from gan_modules.parts.ada.wavelets import upsampling
from minmax.training.imagined import Kept, imagined_step
from tests.gan_modules.helpers import TinyStyledGenerator, make_model


class Judge(Discriminator):
    """One linear layer: 2 * 16 operations an image."""

    def __init__(self, channels: int, image_size: int, num_classes: int) -> None:
        super().__init__(image_size)
        self.layer = nn.Linear(16, 1, bias=False)

    def forward(self, images: Tensor, classes: Tensor) -> Tensor:
        return self.layer(images.flatten(1)).squeeze(1)


class Drawer(Generator):
    """One linear layer: 2 * 5 * 16 operations an image."""

    def __init__(self, latent_dim: int, channels: int, image_size: int, classes: int) -> None:
        super().__init__(image_size)
        self.layer = nn.Linear(latent_dim, 16, bias=False)

    def forward(self, latent: Tensor, classes: Tensor) -> Tensor:
        return self.layer(latent).view(-1, 1, 4, 4)


def step_of(variant: type[GANModule] = GAN, **options: Any):
    model = make_model(variant, **({"generator": Drawer, "discriminator": Judge} | options))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    batch = torch.zeros(12, 1, 4, 4), torch.zeros(12, dtype=torch.int64)
    step = imagined_step(trainer, model, batch)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), "nothing was computed or moved"
    return step


def test_the_work_is_that_of_the_closed_form():
    """2 (3 d - d) for both batches, g and its gradient for the weights, and d with its slope."""
    d, g = 2 * 16, 2 * 5 * 16
    assert step_of().flop == 12 * (4 * d + 2 * g + 2 * d)
    assert step_of(discriminator_steps=3).flop == 12 * (4 * d + g + (g + 2 * d) / 3)


def test_terms_that_are_seldom_due_count_as_often_as_they_are():
    always, seldom, never = (
        step_of(penalty=penalty).flop
        for penalty in (LazyPenalty(R1(1.0), 1), LazyPenalty(R1(1.0), 4), None)
    )
    assert always > never
    assert seldom - never == pytest.approx((always - never) / 4)


def test_a_term_of_the_generator_counts_the_turns():
    """Of 8 batches 4 are the generator's, and one of these has the term."""
    options = {
        "generator": TinyStyledGenerator,
        "penalty": LazyPenalty(R1(1.0), 4),
        "discriminator_steps": 2,
    }
    never, always, seldom = (
        step_of(StyleGAN2, path_length=length, **options).flop
        for length in (None, PathLength(1.0, every=1), PathLength(1.0, every=4))
    )
    assert seldom - never == pytest.approx((always - never) / 4)


def test_what_a_dry_run_has_made_can_be_computed_with():
    with torch.inference_mode(), FakeTensorMode():
        matrix = upsampling(9, torch.float64, torch.device("cpu"))
    assert not isinstance(matrix, FakeTensor)
    assert not matrix.is_inference()
    assert matrix.sum().item() == pytest.approx(17)


def test_kept_tensors_are_counted_while_autograd_has_them():
    kept = Kept(set())
    numbers = torch.ones(1000, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(kept.hold, lambda held: held.tensor):
        first = numbers.exp().view(10, 100)  # keeps its output
        product = first.exp() * first  # keeps another, and both of them again
        assert kept.now == 2 * 4000
        product.sum().backward()
        assert kept.now == 0
    assert kept.most == 2 * 4000


def test_memory_grows_with_a_penalty():
    """R1 differentiates the slope again."""
    assert step_of(penalty=R1(1.0)).kept > step_of().kept > 12 * 16 * 4


def test_a_step_that_depends_on_numbers_is_not_imagined():
    class Looking(Judge):
        def forward(self, images: Tensor, classes: Tensor) -> Tensor:
            return super().forward(images, classes) * float(images.mean().item() > 0)

    with pytest.raises(RuntimeError):
        step_of(discriminator=Looking)
