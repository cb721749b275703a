"""R3GAN: its networks against the paper's table, resampling against SciPy, and its updates."""

from pathlib import Path
from typing import Any

import pytest
import scipy.signal
import torch
import yaml
from torch import Tensor, nn

from gan_modules import GAN, R3GAN, GANModule
from gan_modules.networks import R3GANDiscriminator, R3GANGenerator
from gan_modules.networks.r3gan import R3GANBlock
from gan_modules.networks.resampled import filtered_down, filtered_up
from gan_modules.parts import R1, ApproximateR1, DataShares, RelativisticPairing
from minmax.errors import UserError
from tests.gan_modules.helpers import (
    STEADY,
    AfterBatch,
    TinyConditionalGenerator,
    TinyDiscriminator,
    fit,
    make_batches,
    make_model,
)

COUNTS = {
    (768, 32, True): (20_781_952, 21_280_512),
    (768, 32, False): (20_732_160, 20_683_776),
    (768, 64, False): (22_429_824, 22_381_440),
    (384, 32, False): (5_647_488, 5_623_296),
    (192, 32, False): (1_644_096, 1_632_000),
    (96, 32, False): (527_136, 521_088),
    (64, 32, False): (285_888, 281_856),
    (48, 32, False): (189_840, 186_816),
    (32, 32, False): (110_176, 108_160),
    (96, 32, True): (527_136 + 640 + 64 * 96, 521_088 + 96**2 + 9 * 96),
}


def count(network: nn.Module) -> int:
    return sum(weights.numel() for weights in network.parameters())


@pytest.mark.parametrize("case", COUNTS)
def test_parameters_are_as_many_as_the_table_says(case: tuple[int, int, bool]) -> None:
    width, size, conditional = case
    with torch.device("meta"):
        options = {"width": width, "conditional": conditional}
        both = (
            R3GANGenerator(64, 3, size, 10, **options),
            R3GANDiscriminator(3, size, 10, **options),
        )
    assert tuple(map(count, both)) == COUNTS[case]
    assert sum(map(count, both[0].stages)) + count(both[0].first) == sum(
        2 * (2 * one * one * 2 + 2 * 2 * one + 2 * one * 16 * 9) for one in widths(both[0])
    )


def widths(generator: R3GANGenerator) -> list[int]:
    stages = [generator.first, *generator.stages]
    return [stage.blocks[0].third.out_channels for stage in stages]


@pytest.mark.parametrize(
    ("size", "expected"), [(64, [64] * 4 + [32]), (256, [64] * 4 + [32, 16, 8])]
)
def test_widths_halve_above_32_pixels(size: int, expected: list[int]) -> None:
    generator, discriminator = (
        R3GANGenerator(8, 3, size, 1, width=64),
        R3GANDiscriminator(3, size, 1, width=64),
    )
    assert widths(generator) == expected
    images = generator(torch.randn(2, 8), torch.zeros(2, dtype=torch.int64))
    assert images.shape == (2, 3, size, size)
    assert discriminator(images, None).shape == (2,)


def test_groups_must_divide_the_widths() -> None:
    with pytest.raises(
        UserError, match=r"at 256 pixels .* 32, 16, 8, 4, .*Choose a multiple of 64"
    ):
        R3GANGenerator(8, 3, 256, 1, width=32)
    with pytest.raises(UserError, match=r"`width` 36 of R3GANDiscriminator.* a multiple of 8"):
        R3GANDiscriminator(3, 32, 1, width=36)
    assert R3GANDiscriminator(3, 32, 1, width=36, group=8)


def test_each_block_begins_as_the_identity() -> None:
    torch.manual_seed(0)
    discriminator = R3GANDiscriminator(3, 32, 10, width=256, conditional=True)
    blocks = [layer for layer in discriminator.modules() if isinstance(layer, R3GANBlock)]
    assert len(blocks) == 8
    maps = torch.randn(2, 256, 8, 8)
    for block in blocks:
        assert torch.equal(block(maps), maps)
        assert block.first.weight.std().item() == pytest.approx(0.8246 / 256**0.5, rel=0.05)
        assert block.second.weight.std().item() == pytest.approx(0.8246 / 144**0.5, rel=0.05)
        assert not any(layer.bias.any() for layer in (block.first, block.second))
    assert discriminator.linear.weight.std().item() == pytest.approx(1 / 16, rel=0.05)
    assert discriminator.pool.weight.std().item() == pytest.approx(1 / 4, rel=0.05)
    assert discriminator.embedding is not None
    spread = discriminator.embedding.weight.std().item()
    assert spread == pytest.approx(1 / 16 / 10**0.5, rel=0.05)
    generator = R3GANGenerator(64, 3, 32, 10, width=256, conditional=True)
    assert generator.basis.maps.std().item() == pytest.approx(1, rel=0.05)
    assert generator.embedding is not None
    assert generator.embedding.weight.std().item() == pytest.approx(10**-0.5, rel=0.1)


def test_a_block_is_its_formula() -> None:
    torch.manual_seed(0)
    block, maps = R3GANBlock(8, 4), torch.randn(2, 8, 5, 5)
    for parameter in block.parameters():
        torch.nn.init.normal_(parameter)
    (one, two), (three, four), five = (
        [*layer.parameters()] for layer in (block.first, block.second, block.third)
    )
    inner = nn.functional.leaky_relu(nn.functional.conv2d(maps, one, two), 0.2)
    inner = nn.functional.conv2d(inner, three, four, padding=1, groups=4)
    whole = maps + nn.functional.conv2d(nn.functional.leaky_relu(inner, 0.2), *five)
    torch.testing.assert_close(block(maps), whole)


def test_the_logit_of_a_class_is_a_product() -> None:
    discriminator = R3GANDiscriminator(1, 32, 3, width=16, conditional=True)
    found: list[Tensor] = []
    discriminator.linear.register_forward_hook(lambda *call: found.append(call[2]))
    classes = torch.tensor([0, 1, 2, 0])
    logits = discriminator(torch.randn(4, 1, 32, 32), classes)
    assert discriminator.embedding is not None
    torch.testing.assert_close(logits, (found[0] * discriminator.embedding(classes)).sum(1))


PRESETS = {  # batch; lr, gamma and burn-in in M; half-life; p at the end
    "r3gan_stacked": (512, (2e-4, 2e-4), (1.0, 0.1), 2, 0.5, None),
    "r3gan_cifar10": (512, (2e-4, 5e-5), (0.05, 0.005), 20, 5.0, 0.55),
    "r3gan64_folder": (256, (2e-4, 5e-5), (2.0, 0.2), 20, 0.5, 0.3),
    "r3gan256_folder": (256, (2e-4, 5e-5), (150.0, 15.0), 20, 0.5, 0.3),
}


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_the_papers(name: str) -> None:
    batch, rates, gammas, burn_in, half_life, p = PRESETS[name]
    text = (Path(__file__).parents[2] / "configs" / f"{name}.yaml").read_text()
    options = yaml.safe_load(text)
    model, data = options["model"]["init_args"], options["data"]["init_args"]
    assert data["batch_size"] == batch
    for network in ("generator", "discriminator"):
        schedule = model[f"{network}_schedule"]["init_args"]
        assert cosine(schedule["beta2"]) == (0.9, 0.99, burn_in)
        if rates[0] != rates[1]:
            assert cosine(schedule["lr"]) == (*rates, burn_in)
        optimizer = model[f"{network}_optimizer"]["init_args"]
        assert (optimizer["lr"], optimizer["betas"]) == (rates[0], [0.0, 0.9])
    for penalty in model["penalty"]["init_args"]["penalties"]:
        assert cosine(penalty["init_args"]["gamma"]) == (*gammas, burn_in)
    assert cosine(model["ema_half_life_images"]) == (0, half_life * 1e6, burn_in)
    if p is None:
        assert "augment" not in model
    else:
        augment = model["augment"]["init_args"]
        assert cosine(augment["p"]) == (0, p, burn_in)
        assert (augment["colour"], augment["cutout"]) == (0.5, 1.0)
    assert data.get("mirror", False) is (p is not None)


def cosine(options: dict[str, Any]) -> tuple[float, float, float]:
    """Start, end and length in millions of images of a schedule."""
    assert options["class_path"] == "gan_modules.parts.CosineSchedule"
    values = options["init_args"]
    return values["start"], values["end"], values["images"] / 1e6


def test_resampling_is_a_direct_convolution() -> None:
    maps = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    kernel = torch.outer(*[torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=torch.float64)] * 2)
    for maps_in, maps_out in zip(
        maps.flatten(0, 1), filtered_down(maps).flatten(0, 1), strict=True
    ):
        whole = scipy.signal.convolve2d(maps_in, kernel / 64)
        torch.testing.assert_close(maps_out, torch.from_numpy(whole[2:-1:2, 2:-1:2]))
    for maps_in, maps_out in zip(maps.flatten(0, 1), filtered_up(maps).flatten(0, 1), strict=True):
        spread = torch.zeros(16, 16, dtype=torch.float64)
        spread[::2, ::2] = maps_in
        whole = scipy.signal.convolve2d(spread, kernel / 16)
        torch.testing.assert_close(maps_out, torch.from_numpy(whole[1:-2, 1:-2]))


def test_the_smallest_maps_are_float32_under_autocast() -> None:
    seen: dict[int, set[torch.dtype]] = {}
    projected: list[torch.dtype] = []

    def note(layer: nn.Module, inputs: tuple[Tensor], maps: Tensor) -> None:
        seen.setdefault(maps.shape[-1], set()).add(maps.dtype)

    generator, discriminator = (
        R3GANGenerator(8, 1, 32, 10, width=16, conditional=True),
        R3GANDiscriminator(1, 32, 10, width=16, conditional=True),
    )
    for network in (generator, discriminator):
        for block in network.modules():
            if isinstance(block, R3GANBlock):
                block.second.register_forward_hook(note)
    generator.project.register_forward_hook(lambda *call: projected.append(call[2].dtype))
    classes = torch.arange(3)
    with torch.autocast("cpu", torch.bfloat16):
        logits = discriminator(generator(torch.randn(3, 8), classes), classes)
    assert logits.dtype == torch.float32
    assert projected == [torch.float32]
    half = {torch.bfloat16}
    assert seen == {4: {torch.float32}, 8: half, 16: half, 32: half}


def test_each_drawn_image_is_compared_with_a_real_one_of_its_class() -> None:
    class Noting(TinyDiscriminator):
        conditional = True

        def forward(self, images: Tensor, classes: Tensor) -> Tensor:
            shown.append(classes.clone())
            return super().forward(images, classes)

    shown: list[Tensor] = []
    options = {"generator": TinyConditionalGenerator, "discriminator": Noting}
    model = make_model(R3GAN, **options, penalty=R1(1.0))
    batches = make_batches(3)
    fit(model, batches)
    assert len(shown) == 3 * 4  # real, drawn; drawn and real of the generator's update
    for number, (_, classes) in enumerate(batches):
        assert all(torch.equal(one, classes) for one in shown[4 * number : 4 * number + 4])


@pytest.mark.parametrize(
    ("variant", "options"), [(R3GAN, {"penalty": R1(1.0)}), (GAN, {"game": RelativisticPairing()})]
)
def test_classes_are_not_chosen(variant: type[GANModule], options: dict[str, Any]) -> None:
    options |= {"generator": TinyConditionalGenerator, "asked_classes": DataShares()}
    with pytest.raises(UserError, match="`asked_classes` plays no part in RelativisticPairing"):
        fit(make_model(variant, **options), make_batches(1))


def test_the_generators_update_has_latents_of_its_own() -> None:
    drawn: list[Tensor] = []
    model = make_model(R3GAN, discriminator=STEADY, penalty=ApproximateR1())
    original = model.sample_latent
    model.sample_latent = lambda n: drawn.append(original(n)) or drawn[-1]  # type: ignore
    fit(model, make_batches(2), [AfterBatch(lambda model: None)])
    assert len(drawn) == 4
    assert len({tuple(latents.flatten().tolist()) for latents in drawn}) == 4
