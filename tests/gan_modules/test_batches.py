"""How images reach the discriminator: each with its class, in two passes or in one."""

import pytest
import torch
from torch import Tensor, nn

from gan_modules.networks import FCDiscriminator, Packed, StyleGAN2Discriminator
from gan_modules.parts import Judge, MixedBatch, SeparateBatches
from minmax.errors import UserError
from tests.gan_modules.helpers import make_model


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def both_ways(discriminator: Judge) -> list[tuple[Tensor, Tensor]]:
    real, fake = torch.randn(5, 2, 3, 3), 3 + torch.randn(4, 2, 3, 3)
    seen = real, torch.arange(5), fake, torch.arange(4) + 10
    return [batches(discriminator, *seen) for batches in (SeparateBatches(), MixedBatch())]


def test_a_mixed_batch_is_two_separate_ones_without_batch_norm() -> None:
    head = nn.Sequential(nn.Conv2d(2, 4, 3), nn.LeakyReLU(), nn.Flatten(), nn.Linear(4, 1))
    separate, mixed = both_ways(lambda images, classes: head(images).squeeze(1) + 5 * classes)
    assert [logits.shape for logits in mixed] == [(5,), (4,)]
    for one, other in zip(separate, mixed, strict=True):
        torch.testing.assert_close(one, other)


def test_a_mixed_batch_shares_its_batch_norm() -> None:
    network = nn.Sequential(nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(18, 1), nn.Flatten(0))
    separate, mixed = both_ways(lambda images, classes: network(images))
    for one, other in zip(separate, mixed, strict=True):
        assert (one - other).abs().max() > 0.1


@pytest.mark.parametrize(
    "discriminator",
    [StyleGAN2Discriminator(1, 32, 1, base=64, width=8), Packed(1, 8, 1, FCDiscriminator)],
)
def test_kinds_are_not_mixed_where_images_are_compared(discriminator: nn.Module) -> None:
    with pytest.raises(
        UserError, match=r"compares the images of a batch .* choose SeparateBatches"
    ):
        MixedBatch().check(discriminator)
    SeparateBatches().check(discriminator)
    with pytest.raises(UserError, match="compares the images"):
        make_model(batches=MixedBatch(), discriminator=lambda *shape: discriminator)
    MixedBatch().check(FCDiscriminator(1, 8, 1))


def test_mixing_calls_the_discriminator_once() -> None:
    calls = []

    def discriminator(images: Tensor, classes: Tensor) -> Tensor:
        calls.append((len(images), classes.tolist()))
        return images.sum(dim=(1, 2, 3))

    both_ways(discriminator)
    real, asked = [0, 1, 2, 3, 4], [10, 11, 12, 13]
    assert calls == [(5, real), (4, asked), (9, real + asked)]
