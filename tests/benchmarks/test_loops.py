"""The loops that the project is measured against train the same thing, whatever their levers."""

from dataclasses import replace

import pytest
import torch

from datamodules.loader import EpochShuffle, ResidentLoader
from gan_modules import ACGAN, GAN, WGANGP, GANModule
from gan_modules.networks import (
    ACGAN32Discriminator,
    ACGAN32Generator,
    Critic32,
    DCGAN32Generator,
)
from minmax.benchmarks.loops import LEVERS, LIMIT, PEERS, PLAIN, Levers, Loop, PILImages, with_other

BATCH, CLASSES = 8, 3


def sgd(parameters: object) -> torch.optim.Optimizer:
    """Of Adam's first steps only the signs of the gradients would be seen.

    Slow, since at higher rates batch norm makes much of the smallest rounding.
    """
    return torch.optim.SGD(parameters, lr=1e-4)


def build(variant: str) -> GANModule:
    torch.manual_seed(0)
    sizes = {"channels": 1, "image_size": 32, "num_classes": CLASSES, "latent_dim": 6}
    sizes |= {"generator_optimizer": sgd, "discriminator_optimizer": sgd}
    if variant == "GAN":
        return GAN(
            generator=DCGAN32Generator, discriminator=Critic32, **sizes, ema_half_life_images=100
        )
    if variant == "WGANGP":
        return WGANGP(
            generator=DCGAN32Generator, discriminator=Critic32, **sizes, discriminator_steps=2
        )

    def discriminator(channels: int, image_size: int, classes: int) -> ACGAN32Discriminator:
        return ACGAN32Discriminator(channels, image_size, classes, dropout=0.0)

    return ACGAN(generator=ACGAN32Generator, discriminator=discriminator, **sizes)


def data() -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(1)
    images = torch.randint(256, (20, 1, 32, 32), generator=random, dtype=torch.uint8)
    return images, torch.randint(CLASSES, (20,), generator=random)


def make_loop(variant: str, levers: Levers) -> Loop:
    loader = ResidentLoader(*data(), BATCH, EpochShuffle(20, BATCH))
    return Loop(build(variant), loader, PILImages(*data(), 1, 32), levers, bfloat16=False)


def trained(variant: str, levers: Levers, cycles: int = 2) -> list[torch.Tensor]:
    loop = make_loop(variant, levers)
    torch.manual_seed(2)
    for _ in range(cycles * loop.cycle):
        assert loop.step() == BATCH
    networks = [loop.generator, loop.adversary, *([loop.average] if loop.average else [])]
    return [p.detach().contiguous() for network in networks for p in network.parameters()]


@pytest.mark.parametrize("variant", ["GAN", "ACGAN", "WGANGP"])
def test_levers_change_nothing_but_speed(variant: str) -> None:
    before = trained(variant, PLAIN, cycles=0)
    plain = trained(variant, replace(PLAIN, reuse=True))
    fast = trained(variant, LIMIT)
    assert distance(plain, before) > 1e-5
    assert distance(fast, plain) < 0.01 * distance(plain, before)


def distance(one: list[torch.Tensor], other: list[torch.Tensor]) -> float:
    norms = [(a - b).norm() for a, b in zip(one, other, strict=True)]
    return float(torch.stack(norms).norm())


def test_without_reuse_the_generator_draws_anew() -> None:
    """With the same random numbers its update must then differ."""
    generator = slice(len(list(build("GAN").generator.parameters())))
    levers = {"before": PLAIN, "plain": PLAIN, "reusing": replace(PLAIN, reuse=True)}
    weights = {
        name: trained("GAN", chosen, cycles=0 if name == "before" else 2)[generator]
        for name, chosen in levers.items()
    }
    change = distance(weights["plain"], weights["before"])
    assert change > 1e-5
    assert distance(weights["plain"], weights["reusing"]) > 0.1 * change


def test_a_flat_discriminator_pays_the_whole_penalty() -> None:
    """Its gradient's norm is 0, so that the loss is the weight times (0 - 1)^2."""
    loop = make_loop("WGANGP", LIMIT)
    for parameter in loop.adversary.parameters():
        parameter.data.zero_()
    real, labels = next(loop.batches)
    assert loop.adversary_loss(real, labels, real, labels).item() == pytest.approx(10.0)


def test_peers_see_the_same_images() -> None:
    known = {image.numpy().tobytes() for image in data()[0]}
    for levers in (PEERS, PLAIN):
        loop = make_loop("GAN", levers)
        for _ in range(5):
            images, labels = next(loop.batches)
            assert len(images) == len(labels) == BATCH
            pixels = ((images + 1) * 127.5).round().to(torch.uint8)
            assert all(image.contiguous().numpy().tobytes() in known for image in pixels)


def test_peers_transform_each_image() -> None:
    colour = data()[0].expand(-1, 3, -1, -1)[..., :24]  # 32x24 pixels
    images, label = PILImages(colour, data()[1], channels=1, image_size=12)[3]
    assert images.shape == (1, 12, 12)
    assert label == data()[1][3]
    assert -1 <= images.min() < images.max() <= 1


@pytest.mark.parametrize("fused", [True, False])
def test_the_lever_overrules_the_configurations_optimizer(fused: bool) -> None:
    module = build("GAN")
    module.generator_optimizer = lambda parameters: torch.optim.Adam(parameters, fused=not fused)
    loader = ResidentLoader(*data(), BATCH, EpochShuffle(20, BATCH))
    levers = {"lever": replace(LIMIT, fused=fused), "none": replace(LIMIT, fused=None)}
    for name, chosen in levers.items():
        loop = Loop(module, loader, PILImages(*data(), 1, 32), chosen, bfloat16=False)
        assert bool(loop.optimizer_g.param_groups[0]["fused"]) == (fused == (name == "lever"))
        loop.step()


def test_one_lever_is_changed() -> None:
    assert with_other("reuse") == replace(LIMIT, reuse=False)
    assert with_other("compiled") == replace(LIMIT, compiled=True)
    assert all(hasattr(LIMIT, lever) for lever in LEVERS)


def test_plain_loops_have_torchs_layers() -> None:
    for variant in ("GAN", "ACGAN", "WGANGP"):
        kinds = {
            layers: {type(m) for n in (loop.generator, loop.adversary) for m in n.modules()}
            for layers in (False, True)
            if (loop := make_loop(variant, replace(PLAIN, layers=layers)))
        }
        own = {kind for kind in kinds[True] if kind.__module__ == "gan_modules.networks.layers"}
        assert len(own) >= 2
        assert not own & kinds[False]
