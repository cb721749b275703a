"""Residual networks against the papers' tables: layers, counts, initial weights, gradients."""

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import nn

from gan_modules import networks as nets
from gan_modules.networks import Network
from gan_modules.networks.attention import SelfAttention
from gan_modules.networks.resnet import DownBlock, FirstBlock, UpBlock
from gan_modules.networks.spectral import Spectral
from minmax.errors import UserError

CLASSES = torch.tensor([1, 2, 1])
by_class = {"conditional": True}


def count(*modules: nn.Module) -> int:
    return sum(p.numel() for module in modules for p in module.parameters())


def pair(
    kind: str, latent: int, size: int, widths: tuple[int, int], **options: Any
) -> list[Network]:
    """Generator and discriminator for colour images of ten classes; a width of 0 is left out."""
    generator, discriminator = (getattr(nets, f"{kind}{n}") for n in ("Generator", "Discriminator"))
    of_g, of_d = ({"width": width} if width else {} for width in widths)
    return [
        generator(latent, 3, size, 10, **of_g, **options),
        discriminator(3, size, 10, **of_d, **options),
    ]


TOTALS: list[tuple[Callable[[], list[Network]], int, int]] = [
    (partial(pair, "SNGAN", 128, 32, (0, 0)), 4_276_739, 1_053_825),
    (partial(pair, "SNGAN", 128, 32, (256, 128), **by_class), 4_304_387, 1_055_105),
    (partial(pair, "SNGAN", 128, 32, (128, 64)), 1_204_483, 264_769),
    (partial(pair, "SNGAN", 128, 48, (0, 0)), 4_878_083, 10_141_441),
    (partial(pair, "SNGAN", 128, 64, (0, 0)), 12_220_675, 10_141_441),
    (partial(pair, "SNGAN", 128, 64, (32, 32)), 3_586_179, 2_537_345),
    (partial(pair, "SNGAN", 128, 96, (0, 0)), 4_907_139, 2_537_345),
    (partial(pair, "SNGAN", 128, 128, (0, 0)), 32_150_787, 29_017_857),
    (partial(pair, "SAGAN", 128, 32, (0, 0)), 4_386_308, 1_075_586),
    (partial(pair, "BigGAN", 80, 32, (0, 0)), 9_416_196, 2_415_170),
    (partial(pair, "BigGAN", 80, 32, (192, 96)), 2_561_412, 606_242),
    (partial(pair, "PlainBigGAN", 128, 32, (0, 0)), 4_304_387, 4_207_361),
]


@pytest.mark.parametrize("case", range(len(TOTALS)))
def test_parameters_are_as_many_as_the_tables_say(case: int) -> None:
    build, *totals = TOTALS[case]
    with torch.device("meta"):
        assert [count(network) for network in build()] == totals


def test_classes_add_what_they_should() -> None:
    """2 (K - 1)(i + o) a block of G, and K times the last width of D; SAGAN-128 is SNGAN-128's."""
    with torch.device("meta"):
        plain, by_classes = (
            pair("SNGAN", 128, 128, (0, 0)),
            pair("SNGAN", 128, 128, (0, 0), **by_class),
        )
        attending = pair("SAGAN", 128, 128, (0, 0))
    widths = [1024, 1024, 512, 256, 128, 64]
    added = sum(2 * 9 * (i + o) for i, o in pairwise(widths))
    sizes = [[count(network) for network in both] for both in (plain, by_classes, attending)]
    assert [b - a for a, b in zip(*sizes[:2], strict=True)] == [added, 10 * 1024]
    assert [b - a for a, b in zip(*sizes[1:], strict=True)] == [81_921, 20_481]


LAYERS: list[tuple[Callable[[], list[Network]], list[list[tuple[tuple[int, ...], int]]]]] = [
    (
        partial(pair, "SNGAN", 128, 32, (0, 0)),
        [
            [((256 * 16,), 528_384)]
            + [((256, side, side), 1_246_976) for side in (8, 16, 32)]
            + [((3, 32, 32), 7_427)],
            [((128, 16, 16), 151_680), ((128, 8, 8), 311_680)]
            + [((128, 8, 8), 295_168)] * 2
            + [((1,), 129)],
        ],
    ),
    (
        partial(pair, "BigGAN", 80, 32, (0, 0)),
        [
            [
                ((128,), 1_280),
                ((384 * 16,), 129_024),
                ((384, 8, 8), 3_030_144),
                ((384, 16, 16), 3_030_144),
                ((384, 16, 16), 184_321),
                ((384, 32, 32), 3_030_144),
                ((3, 32, 32), 11_139),
            ],
            [((192, 16, 16), 338_112), ((192, 16, 16), 46_081), ((192, 8, 8), 700_992)]
            + [((192, 8, 8), 663_936)] * 2
            + [((192,), 1_920), ((1,), 193)],
        ],
    ),
]
WHOLE = (UpBlock, FirstBlock, DownBlock, SelfAttention)


@pytest.mark.parametrize("case", range(len(LAYERS)))
def test_layers_are_those_of_the_tables(case: int) -> None:
    """In the order in which they are called; a block is a layer, batch norm goes with the next."""
    build, tables = LAYERS[case]
    with torch.device("meta"):
        networks = build()
        inputs = torch.randn(2, 80 if case else 128), torch.randn(2, 3, 32, 32)
        classes = torch.zeros(2, dtype=torch.int64)
    for network, shown, table in zip(networks, inputs, tables, strict=True):
        assert called(network, shown, classes) == table


def called(network: Network, *inputs: torch.Tensor) -> list[tuple[tuple[int, ...], int]]:
    """Shape put out and parameters of each layer."""
    rows: list[tuple[tuple[int, ...], int]] = []
    norms: list[nn.Module] = []

    def note(module: nn.Module, _: Any, output: torch.Tensor) -> None:
        if isinstance(module, nn.BatchNorm2d):
            norms.append(module)
        else:
            rows.append((tuple(output.shape[1:]), count(module, *norms)))
            norms.clear()

    blocks = [module for module in network.modules() if isinstance(module, WHOLE)]
    inside = {module for block in blocks for module in block.modules()}
    weighted = (nn.Conv2d, nn.Linear, nn.Embedding, nn.BatchNorm2d)
    for module in network.modules():
        if module in blocks or (isinstance(module, weighted) and module not in inside):
            module.register_forward_hook(note)
    network(*inputs)
    return rows


SMALL: dict[str, Callable[[], list[Network]]] = {
    "SNGAN": partial(pair, "SNGAN", 8, 32, (4, 4)),
    "SNGAN-48": partial(pair, "SNGAN", 8, 48, (2, 2), **by_class),
    "SAGAN": partial(pair, "SAGAN", 8, 32, (8, 8)),
    "BigGAN": partial(pair, "BigGAN", 8, 32, (8, 8)),
    "PlainBigGAN": partial(pair, "PlainBigGAN", 8, 32, (4, 4)),
    "R1ResNet": partial(pair, "R1ResNet", 8, 48, (2, 2), **by_class),
}


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_gradients_reach_every_weight(name: str, kind: torch.dtype) -> None:
    torch.manual_seed(0)
    generator, discriminator = SMALL[name]()
    for module in [*generator.modules(), *discriminator.modules()]:
        if isinstance(module, SelfAttention):
            nn.init.ones_(module.scale)
    with torch.autocast("cpu", torch.bfloat16, enabled=kind == torch.bfloat16):
        images = generator(torch.randn(3, 8), CLASSES)
        logits = discriminator(images, CLASSES)
    size = 48 if name in ("SNGAN-48", "R1ResNet") else 32
    assert images.shape == (3, 3, size, size)
    assert images.abs().max() <= 1
    assert (images.dtype, logits.dtype, logits.shape) == (kind, torch.float32, (3,))
    logits.square().sum().backward()
    for network in (generator, discriminator):
        for weight in network.parameters():
            assert weight.grad.isfinite().all()
            assert weight.grad.any()
    assert all(
        layer.weight.is_contiguous(memory_format=torch.channels_last)
        for network in (generator, discriminator)
        for layer in network.modules()
        if isinstance(layer, nn.Conv2d)
    )


@pytest.mark.parametrize("name", SMALL)
def test_classes_matter_if_they_should(name: str) -> None:
    torch.manual_seed(0)
    generator, discriminator = (network.eval() for network in SMALL[name]())
    with torch.no_grad():
        for module in generator.modules():  # they start equal for all classes
            if hasattr(module, "shift") and isinstance(module.shift, nn.Parameter):
                nn.init.normal_(module.shift)
        latent, images = torch.randn(3, 8), torch.randn(3, 3, *[48 if "48" in name else 32] * 2)
        if name == "R1ResNet":
            images = torch.randn(3, 3, 48, 48)
        for network, shown in ((generator, latent), (discriminator, images)):
            same = torch.isclose(network(shown, CLASSES), network(shown, CLASSES + 1)).all()
            assert bool(same) is not network.conditional
            assert network.conditional is (name != "SNGAN")


def test_each_network_has_the_norms_of_its_name() -> None:
    """Spectral norm everywhere, nowhere, or (BigGAN) everywhere but in the shared embedding."""
    for name, expected in {
        "SNGAN": (set(), {False}),
        "SAGAN": (set(), set()),
        "BigGAN": ({"embedding"}, set()),
        "PlainBigGAN": (set(), set()),
        "R1ResNet": None,
    }.items():
        generator, discriminator = SMALL[name]()
        plain = [
            {
                place
                for place, module in network.named_modules()
                if isinstance(module, nn.Conv2d | nn.Linear | nn.Embedding)
                and not isinstance(module, Spectral)
            }
            for network in (generator, discriminator)
        ]
        norms = [m for m in discriminator.modules() if isinstance(m, nn.BatchNorm2d)]
        assert not norms
        spectral = [m for m in discriminator.modules() if isinstance(m, Spectral)]
        if expected is None:
            assert not spectral
            assert not [m for m in generator.modules() if isinstance(m, Spectral | nn.BatchNorm2d)]
        elif name == "SNGAN":
            assert not [m for m in generator.modules() if isinstance(m, Spectral)]
            assert not plain[1]
        else:
            assert plain == [*expected]
        if name == "BigGAN":
            assert {m.eps for m in spectral} == {1e-6}
            assert {m.eps for m in generator.modules() if isinstance(m, nn.BatchNorm2d)} == {1e-4}


def test_without_spectral_norm_there_is_none() -> None:
    network = nets.SNGANDiscriminator(3, 32, 10, 4, spectral_norm=False)
    assert not [m for m in network.modules() if isinstance(m, Spectral)]


def test_spectral_norms_are_known_before_the_first_step() -> None:
    torch.manual_seed(0)
    for layer in nets.SNGANDiscriminator(3, 32, 10, 8).eval().modules():
        if isinstance(layer, Spectral):
            sigma = torch.linalg.svdvals(layer.normalised().flatten(1))[0]
            assert sigma.item() == pytest.approx(1, abs=0.05)


def test_initial_weights() -> None:
    torch.manual_seed(0)
    first = nets.SNGANGenerator(8, 3, 32, 10, 16).body
    for layer, fans, gain in [
        (first.blocks[0].first, 9 * 32, 2**0.5),
        (first.blocks[0].shortcut, 32, 1),
        (first.last, 9 * 19, 1),
        (first.project, 8 + 256, 1),
    ]:
        bound = gain * (6 / fans) ** 0.5  # Glorot's uniform
        assert layer.weight.abs().max().item() == pytest.approx(bound, rel=0.03)
        assert layer.weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.1)
    rows = nets.BigGANGenerator(8, 3, 32, 10, 8).body.blocks[0].first.weight.flatten(1)
    torch.testing.assert_close(rows @ rows.T, torch.eye(8))
    small = nets.PlainBigGANGenerator(8, 3, 32, 10, 8).body.blocks[0]
    assert small.first.weight.std().item() == pytest.approx(0.02, rel=0.1)
    assert small.first_norm.scale.std().item() == pytest.approx(0.02, rel=0.3)
    assert small.first_norm.scale.mean().item() == pytest.approx(1, abs=0.01)
    for network in (first, small):
        assert not any(p.any() for n, p in network.named_parameters() if n.endswith("bias"))


def test_a_shortcut_carries_what_comes_before_the_first_relu() -> None:
    torch.manual_seed(0)
    block = nets.SNGANDiscriminator(3, 32, 10, 4, spectral_norm=False).body.blocks[2]
    maps = torch.randn(2, 4, 8, 8)
    kept = maps.clone()
    outputs = block(maps)
    assert torch.equal(maps, kept)
    torch.testing.assert_close(outputs - block.second(block.first(maps.relu()).relu()), maps)


def test_the_logit_is_linear_in_the_sum_of_the_last_relu() -> None:
    torch.manual_seed(0)
    body = nets.SNGANDiscriminator(3, 32, 10, 4, spectral_norm=False).body
    images = torch.randn(2, 3, 32, 32)
    features = body.blocks(images).relu().flatten(2).sum(2)
    torch.testing.assert_close(body(images, CLASSES[:2]), body.head.linear(features)[:, 0])


def test_each_block_of_biggan_sees_its_chunk() -> None:
    torch.manual_seed(0)
    generator, latent = nets.BigGANGenerator(8, 1, 32, 10, 8).eval(), torch.randn(1, 8)
    seen: list[torch.Tensor] = []
    for block in generator.body.blocks:
        block.register_forward_hook(lambda m, inputs, o: seen.append(inputs[1]))
    generator(latent, torch.tensor([4]))
    for n, condition in enumerate(seen):
        assert torch.equal(condition[:, :128], generator.embedding.weight[4:5])
        assert torch.equal(condition[:, 128:], latent[:, 2 * n + 2 : 2 * n + 4])


def test_r1_resnets_classes_have_unit_vectors_and_outputs_of_their_own() -> None:
    torch.manual_seed(0)
    generator = nets.R1ResNetGenerator(4, 1, 32, 10, 2, conditional=True).eval()
    latent, images = torch.randn(3, 4), []
    for _ in range(2):
        images.append(generator(latent, CLASSES))
        generator.embedding.weight.data.mul_(3)  # its length doesn't matter
    torch.testing.assert_close(*images)
    network = nets.R1ResNetDiscriminator(1, 32, 10, 2, conditional=True)
    every: list[torch.Tensor] = []
    network.last.register_forward_hook(lambda m, i, output: every.append(output))
    logits = network(torch.randn(3, 1, 32, 32), CLASSES)
    assert torch.equal(
        logits, torch.stack([row[k] for row, k in zip(every[0], CLASSES, strict=True)])
    )
    block = network.blocks[0]
    maps = torch.randn(1, 2, 4, 4)
    torch.testing.assert_close(block(maps) - maps, 0.1 * block.branch(maps))


def test_wrong_options_are_refused() -> None:
    with pytest.raises(UserError, match="4 chunks of one length, and `latent_dim` is 10"):
        nets.BigGANGenerator(10, 3, 32, 10)
    with pytest.raises(UserError, match="`width` of SNGANGenerator must be at least 1, got 0"):
        nets.SNGANGenerator(8, 3, 32, 10, width=0)
    with pytest.raises(UserError, match="`width` makes self-attention of 4 channels"):
        nets.SAGANDiscriminator(3, 32, 10, width=4)
    with pytest.raises(UserError, match=r"SAGANGenerator cannot be built .*sizes it can: 32, 128"):
        nets.SAGANGenerator(8, 3, 64, 10)
