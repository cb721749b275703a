"""FastGAN: published counts; excitation, margins and pairs in closed form; its updates."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, conv2d, interpolate, silu

from gan_modules import FastGAN
from gan_modules.fastgan import hinge
from gan_modules.networks import FastGANDiscriminator, FastGANGenerator
from gan_modules.networks.fastgan import Excitation, quarter
from gan_modules.networks.noise import ScalarNoise
from gan_modules.networks.resampled import SpectralUpConv2d
from gan_modules.networks.spectral import SpectralConv2d
from gan_modules.parts import DiffAugment
from minmax.errors import UserError
from tests.gan_modules.helpers import (
    AfterBatch,
    Batches,
    OptimizerSteps,
    copied,
    equal,
    fit,
    gradients,
    make_batches,
    make_model,
)
from tests.gan_modules.test_parts import FUSED, watch

LATENTS, CLASSES = torch.randn(3, 5), torch.zeros(3, dtype=torch.int64)


def count(network: nn.Module) -> int:
    return sum(weights.numel() for weights in network.parameters())


def test_parameters_are_as_many_as_published() -> None:
    with torch.device("meta"):
        generator = FastGANGenerator(256, 3, 256, 10)
        discriminator = FastGANDiscriminator(3, 256, 10)
    assert count(generator) == 29_127_846
    assert count(discriminator) == 11_526_160
    assert [count(decoder) for decoder in discriminator.decoders] == [1_439_712, 849_888, 849_888]
    assert count(discriminator) - count(discriminator.decoders) == 8_386_672
    spectral = {SpectralConv2d.__name__, SpectralUpConv2d.__name__, "SpectralLinear"}
    weighted = [m for m in [*generator.modules(), *discriminator.modules()] if hasattr(m, "weight")]
    assert {type(m).__name__ for m in weighted} == spectral | {"BatchNorm2d"}
    doubles = [any(isinstance(m, ScalarNoise) for m in b.modules()) for b in generator.blocks]
    assert doubles == [True, False] * 3, "8, 32 and 128 pixels"


SOURCES = {
    32: ({32: 4}, {8: 32}),
    128: ({64: 4, 128: 8}, {16: 128, 8: 64}),
    256: ({64: 4, 128: 8, 256: 16}, {32: 256, 16: 128, 8: 64}),
}
"""By image size: which sides are weighed by which, in both networks."""


@pytest.mark.parametrize("size", SOURCES)
def test_maps_have_the_papers_sides(size: int) -> None:
    """At width 4, so with a 16th of the paper's channels."""
    half, places = size // 2, torch.zeros(2, dtype=torch.int64)
    with torch.no_grad():
        generator = FastGANGenerator(5, 3, size, 10, width=4)
        discriminator = FastGANDiscriminator(3, size, 10, width=4)
        maps = generator.maps(torch.randn(2, 5))
        seen = discriminator.look(torch.randn(2, 3, size, size), torch.randn(2, 3, half, half))
        decoded = discriminator.decode(seen, places)
    widths = {4: 64, 8: 32, 16: 16, 32: 8, 64: 8, 128: 4, 256: 2}
    expected = [(2, width, side, side) for side, width in widths.items() if side <= size]
    assert [tuple(m.shape) for m in maps] == expected
    shapes = [tuple(values.shape) for values in seen]
    assert shapes == [(2, 50), (2, 32, 8, 8), (2, 16, 16, 16), (2, 16, 8, 8)]
    assert [tuple(image.shape) for image in decoded] == [(2, 3, half, half)] * 3
    assert {4 << n: 4 << source for n, source in generator.sources.items()} == SOURCES[size][0]
    assert {size >> n: size >> s for n, s in discriminator.sources.items()} == SOURCES[size][1]


def test_excitation_is_its_formula() -> None:
    """Sigmoid of W2 silu(W1 pooled)."""
    torch.manual_seed(0)
    layer = Excitation(5, 7, 16).double().eval()
    maps = torch.randn(3, 5, 16, 16, dtype=torch.float64)
    pooled = maps.view(3, 5, 4, 4, 4, 4).mean((3, 5))
    first, second = (m.normalised() for m in layer if isinstance(m, SpectralConv2d))
    hidden = silu(torch.einsum("nchw,ochw->no", pooled, first))
    expected = torch.sigmoid(hidden @ second[:, :, 0, 0].t())
    torch.testing.assert_close(layer(maps)[:, :, 0, 0], expected)


class Recorded(nn.Module):
    """Weighs each channel by one number, and keeps what it was shown."""

    def __init__(self, number: float) -> None:
        super().__init__()
        self.number = number

    def forward(self, maps: Tensor) -> Tensor:
        self.shown = maps
        return maps.new_full((len(maps), 1, 1, 1), self.number)


def small(size: int = 32) -> tuple[FastGANGenerator, FastGANDiscriminator]:
    torch.manual_seed(0)
    return FastGANGenerator(5, 1, size, 3, width=2), FastGANDiscriminator(1, size, 3, width=2)


def test_first_maps_weigh_the_last_ones_at_32_pixels() -> None:
    generator, discriminator = small()
    generator.eval()
    generator.excitations[0] = recorded = Recorded(0.25)
    maps = generator.maps(LATENTS)
    assert recorded.shown is maps[0]
    torch.testing.assert_close(maps[3], generator.blocks[2](maps[2]) / 4)
    discriminator.eval()
    discriminator.excitations[0] = recorded = Recorded(0.25)
    images = torch.randn(3, 1, 32, 32)
    seen = discriminator.look(images, avg_pool2d(images, 2))
    torch.testing.assert_close(recorded.shown, discriminator.first(images))
    torch.testing.assert_close(seen.last, discriminator.blocks[1](seen.before) / 4)
    whole = discriminator.head(seen.last), discriminator.small_head(seen.small)
    torch.testing.assert_close(seen.logits, torch.cat([logits.flatten(1) for logits in whole], 1))
    torch.testing.assert_close(discriminator(images, CLASSES), seen.logits.mean(1))
    places = torch.tensor([3, 0, 1])
    inputs = (seen.last, seen.small, quarter(seen.before, places))
    for image, decoder, maps in zip(
        discriminator.decode(seen, places), discriminator.decoders, inputs, strict=True
    ):
        torch.testing.assert_close(image, decoder(maps))


@pytest.mark.parametrize("size", [32, 256])
def test_images_end_in_tanh_and_depend_on_latents_alone(size: int) -> None:
    generator, _ = small(size)
    before: list[Tensor] = []
    for layer in (generator.to_image, generator.to_small):
        layer.register_forward_hook(lambda _, given, output: before.append(output))
    with torch.no_grad():
        for module in generator.modules():
            if isinstance(module, ScalarNoise):
                module.strength.fill_(1.0)
        images = generator.both(LATENTS)
        for image, maps in zip(images, before, strict=True):
            torch.testing.assert_close(image, maps.tanh())
        assert not torch.equal(generator.both(LATENTS)[0], images[0])
        generator.eval()
        image = generator(LATENTS, CLASSES)
        assert torch.equal(image, generator.both(LATENTS)[0])
        torch.testing.assert_close(image[:1], generator(LATENTS[:1], CLASSES[:1]))


def test_an_up_convolution_without_a_bias() -> None:
    layer, maps = SpectralUpConv2d(3, 5, bias=False).eval(), torch.randn(2, 3, 4, 4)
    expected = conv2d(interpolate(maps, scale_factor=2), layer.normalised(), padding=1)
    torch.testing.assert_close(layer(maps), expected)


def test_quarters_row_by_row() -> None:
    maps = torch.arange(16.0).view(1, 1, 4, 4).expand(4, 2, -1, -1)
    drawn = quarter(maps, torch.arange(4))
    assert drawn[:, 1].flatten(1).tolist() == [
        *([0, 1, 4, 5], [2, 3, 6, 7], [8, 9, 12, 13], [10, 11, 14, 15])
    ]


def test_margins_are_uniform_for_each_logit() -> None:
    """Below 0.8 all logits learn, above 1 none; between, as many as their margin is above."""
    torch.manual_seed(0)
    for value, learning in ((0.79, 1.0), (0.85, 0.75), (0.95, 0.25), (1.01, 0.0)):
        logits = torch.full((100, 50), value, requires_grad=True)
        hinge(logits).backward()
        shares = -logits.grad * logits.numel()  # type: ignore[operator]
        assert set(shares.round().unique().tolist()) <= {0.0, 1.0}
        assert shares.mean().item() == pytest.approx(learning, abs=0.02)
    assert hinge(torch.zeros(100, 50)).item() == pytest.approx(0.9, abs=0.003)


def doubled(images: Tensor) -> Tensor:
    return interpolate(images, scale_factor=2)


def test_both_sizes_are_changed_by_the_same_draws() -> None:
    """Of images of 2x2 equal pixels, the small one stays the mean of the other."""
    torch.manual_seed(0)
    halves = torch.randn(64, 3, 8, 8, dtype=torch.float64)
    images, small_ones = DiffAugment().both(doubled(halves), halves)
    torch.testing.assert_close(small_ones, avg_pool2d(images, 2))
    assert not torch.allclose(images, doubled(halves))
    unchanged = DiffAugment(False, False, False).both(images, halves)
    assert all(map(torch.equal, unchanged, (images, halves)))


def wide_batches(number: int) -> Batches:
    batches = make_batches(number)
    batches.batches = [(interpolate(i, scale_factor=8.0), c) for i, c in batches.batches]
    return batches


def model_of(**options: Any) -> FastGAN:
    shared = {"generator": lambda *a: FastGANGenerator(*a, width=2), "image_size": 32}
    shared["discriminator"] = lambda *a: FastGANDiscriminator(*a, width=2)
    return make_model(FastGAN, **(shared | {"augment": DiffAugment()} | options))


@pytest.mark.parametrize("changes", [True, False])
def test_what_the_discriminator_and_its_decoders_see_in_a_step(
    changes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = model_of(augment=DiffAugment(changes, changes, changes))
    look, decode = model.discriminator.look, model.discriminator.decode
    both = model.generator.both
    seen: list[Any] = []
    decoded: list[Any] = []
    shown: list[tuple[Tensor, Tensor]] = []
    drawn: list[Tensor] = []

    def looking(images: Tensor, halves: Tensor) -> Any:
        shown.append((images, halves))
        seen.append(look(images, halves))
        return seen[-1]

    def decoding(maps: Any, places: Tensor) -> Any:
        decoded.append(maps)
        return decode(maps, places)

    def paired(latent: Tensor) -> tuple[Tensor, Tensor]:
        _, halves = both(latent)
        drawn.append(doubled(halves))
        return drawn[-1], halves

    monkeypatch.setattr(model.discriminator, "look", looking)
    monkeypatch.setattr(model.discriminator, "decode", decoding)
    monkeypatch.setattr(model.generator, "both", paired)
    batches = wide_batches(1)
    if not changes:  # else pixels come in fours, as those of the generator here
        batches.batches[0] = (torch.randn(8, 1, 32, 32), batches.batches[0][1])
    fit(model, batches)
    of_generator = [images.grad_fn is not None for images, _ in shown]
    assert of_generator == [False, False, True]
    given = [batches.batches[0][0], drawn[0], drawn[0]]
    for (images, halves), unchanged in zip(shown, given, strict=True):
        torch.testing.assert_close(halves, avg_pool2d(images, 2))
        assert torch.equal(images, unchanged) != changes
    assert decoded == [seen[0]]


def test_decoders_are_compared_with_what_was_seen() -> None:
    model, images = model_of(), torch.randn(3, 1, 32, 32)
    halves, places = avg_pool2d(images, 2), None

    def decode(maps: Any, drawn: Tensor) -> list[Tensor]:
        nonlocal places
        places = drawn
        return [halves + 0.1, halves - 0.2, quarter(images, drawn) + 0.4]

    model.discriminator.decode = decode  # type: ignore[method-assign]
    loss = model.reconstruction(None, images, halves)  # type: ignore[arg-type]
    assert loss.item() == pytest.approx(0.1 + 0.2 + 0.4)
    assert places.shape == (3,)


def test_gradients_reach_one_network() -> None:
    model = model_of()
    kept: dict[str, list[Tensor | None]] = {}
    generator, discriminator = model.generator, model.discriminator

    def before(model: FastGAN, name: str) -> None:
        if name == "discriminator":
            assert gradients(generator) == [None] * len(list(generator.parameters()))
            kept["D"] = gradients(discriminator)
            assert all(g is not None and g.any() for g in kept["D"])
        else:
            assert all(map(torch.equal, kept["D"], gradients(discriminator)))
            moved = [g is not None and bool(g.any()) for g in gradients(generator)]
            assert all(moved)
            kept["G"] = []

    fit(model, wide_batches(1), [OptimizerSteps(before)])
    assert kept.keys() == {"D", "G"}


@pytest.mark.parametrize("weight", [0.0, 2.0])
def test_the_weight_of_the_reconstruction(weight: float) -> None:
    model = model_of(reconstruction_weight=weight)
    before = copied(model.discriminator.decoders)
    fit(model, wide_batches(1))
    after = model.discriminator.decoders
    moved = any(not torch.equal(before[n], p) for n, p in after.named_parameters())
    assert moved == bool(weight)


def test_a_resumed_training_is_the_uninterrupted_one(tmp_path: Path) -> None:
    def train(seed: int, resume: Path | None) -> dict[str, Tensor]:
        model = model_of(seed=seed, ema_half_life_images=20)
        path = tmp_path / "a.ckpt"

        def keep(model: FastGAN) -> None:
            if resume is None and model.images_seen == 16:
                model.trainer.save_checkpoint(path)

        fit(model, wide_batches(2), [AfterBatch(keep)], checkpoint=resume, max_epochs=2)
        return copied(model)

    assert equal(train(0, None), train(7, tmp_path / "a.ckpt"))


@pytest.mark.filterwarnings("ignore:.*LeafSpec.*", "ignore:You defined a .validation_step.")
def test_no_step_waits_for_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = watch(monkeypatch, FastGAN)
    options = {"generator_optimizer": FUSED, "discriminator_optimizer": FUSED}
    fit(model_of(**options), wide_batches(2), log_every_n_steps=1)
    assert steps == [0, 1]


def test_wrong_options() -> None:
    with pytest.raises(UserError, match=r"TinyGenerator knows one size .* FastGANGenerator"):
        make_model(FastGAN)
    with pytest.raises(UserError, match=r"`discriminator` TinyD.* choose FastGANDiscriminator"):
        make_model(
            FastGAN, generator=lambda *a: FastGANGenerator(*a[:2], 32, a[3], width=1), image_size=4
        )
    with pytest.raises(UserError, match="`reconstruction_weight` must be 0"):
        model_of(reconstruction_weight=-1.0)
    with pytest.raises(UserError, match="96x96 pixels; sizes it can: 32, 64, 128, 256"):
        FastGANGenerator(5, 3, 96, 1)
    with pytest.raises(UserError, match="`width` of FastGANDiscriminator must be at least 1"):
        FastGANDiscriminator(3, 32, 1, width=0)
