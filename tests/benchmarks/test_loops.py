"""The plain loops give the same training as the project's own steps."""

from typing import Any

import pytest
import torch
from torch import Tensor

from gan_modules.parts import R1, Augment, GradientPenalty, InstanceNoise, LazyPenalty, PathLength
from minmax.benchmarks.driven import Driven
from minmax.benchmarks.loops import LOOPS, Loop, PILImages
from tests.benchmarks.helpers import BATCH, VARIANTS, build, data, distance, resident, weights


def make_loop(variant: str, peers: bool = False, reuse: bool = False, **options: Any) -> Loop:
    images = PILImages(*data(), 1, 32) if peers else None
    loop = LOOPS[VARIANTS[variant]]
    return loop(build(variant, **options), resident(), bfloat16=False, images=images, reuse=reuse)


def trained(driven: Driven, cycles: int = 2) -> list[Tensor]:
    torch.manual_seed(2)
    for _ in range(cycles * driven.module.discriminator_steps):
        assert driven.step() == BATCH
    return weights(driven)


@pytest.mark.parametrize(
    ("variant", "options"),
    [
        ("GAN", {}),
        ("GAN", {"augment": InstanceNoise(0.5, anneal_images=64), "generator_steps": 2}),
        ("GAN", {"penalty": GradientPenalty(3.0), "discriminator_clip_norm": 0.1}),
        ("WGANGP", {}),
        ("WGANGP", {"generator_steps": 2, "ema_half_life_images": 40}),
        ("R3GAN", {}),
        ("R3GAN", {"penalty": GradientPenalty(3.0), "generator_steps": 2}),
        (
            "StyleGAN2",
            {"penalty": LazyPenalty(R1(1.0), 2), "path_length": PathLength(2.0, every=2)},
        ),
        ("StyleGAN2", {"mixing": 0.9, "discriminator_steps": 2, "ema_half_life_images": 40}),
    ],
)
def test_a_loop_trains_what_the_variants_own_step_trains(
    variant: str, options: dict[str, Any]
) -> None:
    before = weights(make_loop(variant, **options))
    reuse = variant in ("GAN", "WGANGP")
    by_hand = trained(make_loop(variant, reuse=reuse, **options))
    own = trained(Driven(build(variant, **options), resident(), bfloat16=False))
    assert distance(own, before) > 1e-5
    assert distance(by_hand, own) < 0.01 * distance(own, before)


class Fading(Augment):
    """Weakens images more after each update."""

    def __init__(self) -> None:
        super().__init__()
        self.constant("share", 1.0)

    def forward(self, images: Tensor) -> Tensor:
        return images * self.share

    def adapt(self, real_logits: Tensor) -> None:
        self.share.mul_(0.5)


def test_a_loops_augmentation_adapts() -> None:
    loop = make_loop("GAN", augment=Fading())
    trained(loop, cycles=3)
    assert loop.module.augment.share.item() == 0.5**3


def test_without_reuse_the_generator_draws_anew() -> None:
    """With the same random numbers, its update must differ."""
    generator = slice(len(list(build("GAN").generator.parameters())))
    before = weights(make_loop("GAN"))[generator]
    plain = trained(make_loop("GAN"))[generator]
    change = distance(plain, before)
    assert change > 1e-5
    assert distance(plain, trained(make_loop("GAN", reuse=True))[generator]) > 0.1 * change


def test_a_flat_discriminator_pays_the_whole_penalty() -> None:
    """Its gradient's norm is 0, so the loss is the weight times (0 - 1)^2."""
    loop = make_loop("WGANGP")
    for parameter in loop.module.discriminator.parameters():
        parameter.data.zero_()
    _, (real, classes) = next(loop.batches)
    turn = loop.module.turn(real, classes, torch.zeros(BATCH, 1), real, classes)
    loss = loop.discriminator_loss(turn)
    assert loss.item() == pytest.approx(10.0)


def test_peers_see_the_same_images() -> None:
    known = {image.numpy().tobytes() for image in data()[0]}
    for peers in (True, False):
        loop = make_loop("GAN", peers=peers)
        for _ in range(5):
            _, (images, labels) = next(loop.batches)
            assert len(images) == len(labels) == BATCH
            pixels = ((images + 1) * 127.5).round().to(torch.uint8)
            assert all(image.contiguous().numpy().tobytes() in known for image in pixels)
        assert loop.step() == BATCH


def test_peers_transform_each_image() -> None:
    colour = data()[0].expand(-1, 3, -1, -1)[..., :24]  # 32x24 pixels
    images, label = PILImages(colour, data()[1], channels=1, image_size=12)[3]
    assert images.shape == (1, 12, 12)
    assert label == data()[1][3]
    assert -1 <= images.min() < images.max() <= 1


@pytest.mark.parametrize("variant", ["GAN", "WGANGP", "R3GAN", "StyleGAN2"])
def test_plain_loops_have_torchs_layers_in_the_usual_format(variant: str) -> None:
    loop = make_loop(variant)
    networks = loop.module.generator, loop.module.discriminator
    kinds = {type(layer).__module__ for network in networks for layer in network.modules()}
    assert "gan_modules.networks.layers" not in kinds
    assert all(weight.is_contiguous() for weight in loop.module.parameters())
    assert loop.format == torch.contiguous_format


def test_plain_loops_take_the_configurations_optimizer() -> None:
    def optimizer(parameters: Any) -> torch.optim.Optimizer:
        return torch.optim.Adam(parameters, fused=True)

    loop = make_loop("GAN", generator_optimizer=optimizer)
    assert loop.module.both_optimizers()[0].param_groups[0]["fused"]


def test_plain_loops_freeze_nothing() -> None:
    """The discriminator ends with gradients from the generator's update, which comes last."""
    gradients = {}
    for name, driven in {
        "plain": make_loop("GAN"),
        "limit": Driven(build("GAN"), resident(), bfloat16=False),
    }.items():
        discriminator = driven.module.discriminator
        driven.module.both_optimizers()[1].register_step_post_hook(
            lambda *_, own=discriminator: [w.grad.zero_() for w in own.parameters()]
        )
        driven.step()
        gradients[name] = [w.grad.abs().max() > 0 for w in discriminator.parameters()]
    assert all(gradients["plain"])
    assert not any(gradients["limit"])
