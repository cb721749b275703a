"""What is done to images: the identity when off, and what it promises when on."""

import pytest
import torch
from torch import Tensor

from gan_modules.parts import Augment, InOrder, InstanceNoise, Unchanged
from tests.gan_modules.helpers import draws_nothing

COUNT = 20_000


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def at(noise: InstanceNoise, images_seen: int) -> InstanceNoise:
    noise.begin(images_seen)
    return noise


@pytest.mark.parametrize(
    "augment", [Unchanged(), InstanceNoise(), InstanceNoise(on_real=True), InOrder([])]
)
def test_what_is_off_hands_the_images_through(augment: Augment) -> None:
    images = torch.randn(2, 1, 3, 3)
    augment.begin(5)
    assert augment.fake(images) is images
    assert augment.real(images) is images
    assert draws_nothing(lambda: (augment.fake(images), augment.real(images)))


@pytest.mark.parametrize("images_seen", [100, 101])
def test_noise_that_has_ended_leaves_the_images_as_they_are(images_seen: int) -> None:
    """It still draws its numbers: a step does the same work whatever the level."""
    noise = at(InstanceNoise(0.5, anneal_images=100, on_real=True), images_seen)
    images = torch.randn(2, 1, 3, 3)
    assert torch.equal(noise.fake(images), images)
    assert torch.equal(noise.real(images), images)
    assert not draws_nothing(lambda: noise.fake(images))


def test_noise_falls_linearly_to_zero() -> None:
    noise = InstanceNoise(0.4, anneal_images=1000)
    for seen, level in ((0, 0.4), (250, 0.3), (500, 0.2), (999, 0.0004), (1000, 0), (5000, 0)):
        assert at(noise, seen).level.item() == pytest.approx(level, rel=1e-6, abs=1e-12)
    constant = InstanceNoise(0.4)
    for seen in (0, 10**9):
        assert torch.equal(at(constant, seen).level, torch.tensor(0.4))


@pytest.mark.parametrize("on_real", [False, True])
def test_noise_has_its_level_and_reaches_whom_it_should(on_real: bool) -> None:
    noise = at(InstanceNoise(0.4, anneal_images=1000, on_real=on_real), 500)
    images = torch.ones(COUNT // 16, 1, 4, 4)
    added = noise.fake(images) - images
    assert added.std().item() == pytest.approx(0.2, rel=4 / (2 * COUNT) ** 0.5)
    assert added.mean().item() == pytest.approx(0, abs=4 * 0.2 / COUNT**0.5)
    assert added.max() > 0.4, "not clipped"
    assert len(added.unique()) > 0.9 * COUNT, "each pixel has its own"
    real = noise.real(images)
    assert (real is images) is not on_real
    if on_real:
        assert (real - images).std().item() == pytest.approx(0.2, rel=4 / (2 * COUNT) ** 0.5)


def test_noise_lets_the_gradient_through() -> None:
    images = torch.ones(2, 1, 2, 2, requires_grad=True)
    InstanceNoise(0.4).fake(images).sum().backward()
    assert torch.equal(images.grad, torch.ones_like(images))


@pytest.mark.parametrize("arguments", [(-0.1, 0), (0.1, -1)])
def test_noise_refuses_negative_arguments(arguments: tuple[float, int]) -> None:
    with pytest.raises(ValueError, match="not be negative"):
        InstanceNoise(*arguments)


class Affine(Augment):
    """Scales both kinds, and shifts real images alone; notes what it may learn from."""

    def __init__(self, scale: float, shift: float) -> None:
        super().__init__()
        self.scale, self.shift = scale, shift
        self.learned: list[Tensor] = []

    def forward(self, images: Tensor) -> Tensor:
        return self.scale * images

    def real(self, images: Tensor) -> Tensor:
        return self.scale * images + self.shift

    def adapt(self, real_logits: Tensor) -> None:
        self.learned.append(real_logits)


def test_changes_follow_each_other() -> None:
    first, second = Affine(2.0, 1.0), Affine(3.0, 10.0)
    both, images = InOrder([first, second]), torch.tensor([1.0])
    assert both.real(images).item() == 3 * (2 + 1) + 10
    assert both.fake(images).item() == 3 * 2
    both.adapt(images)
    assert first.learned == second.learned == [images]
