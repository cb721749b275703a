"""Every network against the source's tables: its layers, shapes and parameter counts."""

from collections.abc import Callable
from inspect import isclass, signature
from typing import Any

import pytest
import torch
from torch import nn

from gan_modules import networks
from gan_modules.networks import (
    ACGAN32Discriminator,
    ACGAN32Generator,
    Critic32,
    DCGAN32Discriminator,
    DCGAN32Generator,
    DCGAN96Discriminator,
    DCGAN96Generator,
    Discriminator,
    FCDiscriminator,
    FCGenerator,
    Generator,
    Network,
)
from gan_modules.networks.layers import ConvTranspose1x1, ConvTranspose2d, Dropout, LeakyReLU
from minmax.errors import UserError

WITH_SLOPE = [
    kind
    for kind in vars(networks).values()
    if isclass(kind) and "slope" in signature(kind).parameters
]
"""Networks that have the slope of a leaky ReLU as an option."""

Row = tuple[str, tuple[int, ...], int]
"""A layer as a table prints it: its kind, the shape it puts out, its numbers."""

FCGAN_GENERATOR: list[Row] = [
    ("Linear", (256,), 25_856),
    ("LeakyReLU", (256,), 0),
    ("Linear", (512,), 131_584),
    ("LeakyReLU", (512,), 0),
    ("Linear", (1024,), 525_312),
    ("LeakyReLU", (1024,), 0),
    ("Linear", (3136,), 3_214_400),
    ("Tanh", (3136,), 0),
]
FCGAN_DISCRIMINATOR: list[Row] = [
    ("Linear", (1024,), 3_212_288),
    ("LeakyReLU", (1024,), 0),
    ("Dropout", (1024,), 0),
    ("Linear", (512,), 524_800),
    ("LeakyReLU", (512,), 0),
    ("Dropout", (512,), 0),
    ("Linear", (256,), 131_328),
    ("LeakyReLU", (256,), 0),
    ("Dropout", (256,), 0),
    ("Linear", (1,), 257),
]
DCGAN96_GENERATOR: list[Row] = [
    ("Linear", (2304,), 297_216),
    ("ConvTranspose2d", (512, 6, 6), 819_200),
    ("BatchNorm2d", (512, 6, 6), 2_048),
    ("ReLU", (512, 6, 6), 0),
    ("Dropout", (512, 6, 6), 0),
    ("ConvTranspose2d", (256, 12, 12), 3_276_800),
    ("BatchNorm2d", (256, 12, 12), 1_024),
    ("ReLU", (256, 12, 12), 0),
    ("Dropout", (256, 12, 12), 0),
    ("ConvTranspose2d", (128, 24, 24), 819_200),
    ("BatchNorm2d", (128, 24, 24), 512),
    ("ReLU", (128, 24, 24), 0),
    ("ConvTranspose2d", (64, 48, 48), 204_800),
    ("BatchNorm2d", (64, 48, 48), 256),
    ("ReLU", (64, 48, 48), 0),
    ("ConvTranspose2d", (32, 96, 96), 51_200),
    ("BatchNorm2d", (32, 96, 96), 128),
    ("ReLU", (32, 96, 96), 0),
    ("Conv2d", (3, 96, 96), 99),
    ("Tanh", (3, 96, 96), 0),
]
DCGAN96_DISCRIMINATOR: list[Row] = [
    ("Conv2d", (64, 48, 48), 3_072),
    ("LeakyReLU", (64, 48, 48), 0),
    ("Conv2d", (64, 24, 24), 65_536),
    ("BatchNorm2d", (64, 24, 24), 256),
    ("LeakyReLU", (64, 24, 24), 0),
    ("Conv2d", (128, 12, 12), 131_072),
    ("BatchNorm2d", (128, 12, 12), 512),
    ("LeakyReLU", (128, 12, 12), 0),
    ("Conv2d", (256, 6, 6), 524_288),
    ("BatchNorm2d", (256, 6, 6), 1_024),
    ("LeakyReLU", (256, 6, 6), 0),
    ("Flatten", (9216,), 0),
    ("Linear", (1,), 9_217),
]
# The next networks are printed with their configuration; the counts follow from it.
DCGAN32_GENERATOR: list[Row] = [
    ("ConvTranspose2d", (256, 3, 3), 100 * 256 * 9 + 256),
    ("BatchNorm2d", (256, 3, 3), 4 * 256),
    ("ReLU", (256, 3, 3), 0),
    ("ConvTranspose2d", (128, 7, 7), 256 * 128 * 9 + 128),
    ("BatchNorm2d", (128, 7, 7), 4 * 128),
    ("ReLU", (128, 7, 7), 0),
    ("ConvTranspose2d", (64, 15, 15), 128 * 64 * 9 + 64),
    ("BatchNorm2d", (64, 15, 15), 4 * 64),
    ("ReLU", (64, 15, 15), 0),
    ("ConvTranspose2d", (1, 32, 32), 64 * 1 * 16 + 1),
    ("Tanh", (1, 32, 32), 0),
]
DCGAN32_DISCRIMINATOR: list[Row] = [
    ("Conv2d", (16, 15, 15), 1 * 16 * 16 + 16),
    ("BatchNorm2d", (16, 15, 15), 4 * 16),
    ("LeakyReLU", (16, 15, 15), 0),
    ("Conv2d", (32, 6, 6), 16 * 32 * 16 + 32),
    ("BatchNorm2d", (32, 6, 6), 4 * 32),
    ("LeakyReLU", (32, 6, 6), 0),
    ("Conv2d", (1, 2, 2), 32 * 1 * 16 + 1),
]
CRITIC32: list[Row] = [
    ("Conv2d", (64, 16, 16), 1 * 64 * 16 + 64),
    ("LeakyReLU", (64, 16, 16), 0),
    ("Conv2d", (128, 8, 8), 64 * 128 * 16 + 128),
    ("LeakyReLU", (128, 8, 8), 0),
    ("Flatten", (8192,), 0),
    ("Linear", (1,), 8_193),
]
ACGAN32_GENERATOR: list[Row] = [
    ("Linear", (768,), 105 * 768 + 768),
    ("ReLU", (768, 1, 1), 0),
    ("ConvTranspose2d", (384, 4, 4), 768 * 384 * 16 + 384),
    ("BatchNorm2d", (384, 4, 4), 4 * 384),
    ("ReLU", (384, 4, 4), 0),
    ("ConvTranspose2d", (192, 8, 8), 384 * 192 * 16 + 192),
    ("BatchNorm2d", (192, 8, 8), 4 * 192),
    ("ReLU", (192, 8, 8), 0),
    ("ConvTranspose2d", (96, 16, 16), 192 * 96 * 16 + 96),
    ("BatchNorm2d", (96, 16, 16), 4 * 96),
    ("ReLU", (96, 16, 16), 0),
    ("ConvTranspose2d", (3, 32, 32), 96 * 3 * 16 + 3),
    ("Tanh", (3, 32, 32), 0),
]
# The paper's own discriminator (its table 2), with the source's five classes.
ACGAN32_DISCRIMINATOR: list[Row] = [
    ("Conv2d", (16, 16, 16), 3 * 16 * 9 + 16),
    ("LeakyReLU", (16, 16, 16), 0),
    ("Dropout", (16, 16, 16), 0),
    ("Conv2d", (32, 16, 16), 16 * 32 * 9 + 32),
    ("BatchNorm2d", (32, 16, 16), 4 * 32),
    ("LeakyReLU", (32, 16, 16), 0),
    ("Dropout", (32, 16, 16), 0),
    ("Conv2d", (64, 8, 8), 32 * 64 * 9 + 64),
    ("BatchNorm2d", (64, 8, 8), 4 * 64),
    ("LeakyReLU", (64, 8, 8), 0),
    ("Dropout", (64, 8, 8), 0),
    ("Conv2d", (128, 8, 8), 64 * 128 * 9 + 128),
    ("BatchNorm2d", (128, 8, 8), 4 * 128),
    ("LeakyReLU", (128, 8, 8), 0),
    ("Dropout", (128, 8, 8), 0),
    ("Conv2d", (256, 4, 4), 128 * 256 * 9 + 256),
    ("BatchNorm2d", (256, 4, 4), 4 * 256),
    ("LeakyReLU", (256, 4, 4), 0),
    ("Dropout", (256, 4, 4), 0),
    ("Conv2d", (512, 4, 4), 256 * 512 * 9 + 512),
    ("BatchNorm2d", (512, 4, 4), 4 * 512),
    ("LeakyReLU", (512, 4, 4), 0),
    ("Dropout", (512, 4, 4), 0),
    ("Flatten", (8192,), 0),
    ("Linear", (1,), 8_193),
    ("Linear", (5,), 8192 * 5 + 5),
]

CASES: dict[str, tuple[Callable[[], Network], tuple[int, ...], list[Row]]] = {
    "FCGAN generator": (lambda: FCGenerator(100, 1, 56, 5), (100,), FCGAN_GENERATOR),
    "FCGAN discriminator": (lambda: FCDiscriminator(1, 56, 5), (1, 56, 56), FCGAN_DISCRIMINATOR),
    "DCGAN-96 generator": (lambda: DCGAN96Generator(128, 3, 96, 5), (128,), DCGAN96_GENERATOR),
    "DCGAN-96 discriminator": (
        lambda: DCGAN96Discriminator(3, 96, 5),
        (3, 96, 96),
        DCGAN96_DISCRIMINATOR,
    ),
    "DCGAN-32 generator": (lambda: DCGAN32Generator(100, 1, 32, 5), (100,), DCGAN32_GENERATOR),
    "DCGAN-32 discriminator": (
        lambda: DCGAN32Discriminator(1, 32, 5),
        (1, 32, 32),
        DCGAN32_DISCRIMINATOR,
    ),
    "critic": (lambda: Critic32(1, 32, 5), (1, 32, 32), CRITIC32),
    "ACGAN generator": (lambda: ACGAN32Generator(100, 3, 32, 5), (100,), ACGAN32_GENERATOR),
    "ACGAN generator, linear projection": (
        lambda: ACGAN32Generator(100, 3, 32, 5, project_relu=False),
        (100,),
        [row for row in ACGAN32_GENERATOR if row != ("ReLU", (768, 1, 1), 0)],
    ),
    "ACGAN discriminator": (
        lambda: ACGAN32Discriminator(3, 32, 5),
        (3, 32, 32),
        ACGAN32_DISCRIMINATOR,
    ),
}
TOTALS = {  # trainable, and running statistics
    "FCGAN generator": (3_897_152, 0),
    "FCGAN discriminator": (3_868_673, 0),
    "DCGAN-96 generator": (5_470_499, 1_984),
    "DCGAN-96 discriminator": (734_081, 896),
}
CONFIGURATIONS = {  # channels in and out, kernel, stride, padding
    "DCGAN-32 generator": [
        (100, 256, 3, 2, 0),
        (256, 128, 3, 2, 0),
        (128, 64, 3, 2, 0),
        (64, 1, 4, 2, 0),
    ],
    "DCGAN-32 discriminator": [(1, 16, 4, 2, 0), (16, 32, 4, 2, 0), (32, 1, 4, 2, 0)],
    "ACGAN generator": [
        (768, 384, 4, 2, 0),
        (384, 192, 4, 2, 1),
        (192, 96, 4, 2, 1),
        (96, 3, 4, 2, 1),
    ],
}
NO_CLASSES = torch.zeros(5, dtype=torch.int64)
CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)


def build(name: str) -> Network:
    torch.manual_seed(0)
    return CASES[name][0]()


def numbers(module: nn.Module) -> tuple[int, int]:
    """Trainable parameters, and running statistics without the count of batches."""
    trainable = sum(p.numel() for p in module.parameters() if p.requires_grad)
    running = sum(b.numel() for n, b in module.named_buffers() if "num_batches" not in n)
    return trainable, running


def layers_of(network: nn.Module, shape: tuple[int, ...]) -> list[Row]:
    """The layers that do something, in the order in which they are called."""
    rows: list[Row] = []

    def note(module: nn.Module, inputs: Any, output: torch.Tensor) -> None:
        idle = isinstance(module, nn.Identity) or (isinstance(module, nn.Dropout) and not module.p)
        kind = (
            "ConvTranspose2d" if isinstance(module, nn.ConvTranspose2d) else type(module).__name__
        )
        if not idle:
            rows.append((kind, tuple(output.shape[1:]), sum(numbers(module))))

    for module in network.modules():
        if not list(module.children()):
            module.register_forward_hook(note)
    network(torch.zeros(2, *shape), NO_CLASSES[:2])
    return rows


@pytest.mark.parametrize("name", CASES)
def test_layers_are_those_of_the_table(name: str) -> None:
    _, shape, table = CASES[name]
    network = build(name)
    assert layers_of(network, shape) == table
    trainable, running = numbers(network)
    assert trainable + running == sum(count for _, _, count in table), "a layer is never called"
    if name in TOTALS:
        assert (trainable, running) == TOTALS[name]


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_convolutions_are_configured_as_printed(name: str) -> None:
    convolutions = [m for m in build(name).modules() if isinstance(m, CONVOLUTIONS)]
    assert all(len({*m.kernel_size}) == len({*m.stride}) == 1 for m in convolutions)
    assert [
        (m.in_channels, m.out_channels, m.kernel_size[0], m.stride[0], m.padding[0])
        for m in convolutions
    ] == CONFIGURATIONS[name]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    ("layer", "options", "side"),
    [
        (ConvTranspose1x1, {"kernel_size": 4, "stride": 2}, 1),
        (ConvTranspose2d, {"kernel_size": 4, "stride": 2, "padding": 1}, 5),
        (ConvTranspose2d, {"kernel_size": 5, "stride": 2, "padding": 2, "output_padding": 1}, 3),
    ],
)
def test_transposed_convolutions_are_torchs(
    layer: type[ConvTranspose2d], options: dict[str, int], side: int, bias: bool
) -> None:
    torch.manual_seed(0)
    reference = nn.ConvTranspose2d(5, 3, **options, bias=bias).double()
    ours = layer(5, 3, **options, bias=bias).double().to(memory_format=torch.channels_last)
    ours.load_state_dict(reference.state_dict())
    maps = torch.randn(7, 5, side, side).double().to(memory_format=torch.channels_last)
    outputs = ours(maps)
    assert outputs.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(outputs, reference(maps))
    weights = torch.randn_like(outputs)
    for network in (ours, reference):
        (network(maps) * weights).sum().backward()
    for mine, expected in zip(ours.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, expected.grad)
    with torch.autocast("cpu", torch.bfloat16):
        assert ours.float()(maps.float()).dtype == torch.bfloat16


def test_leaky_relu_is_torchs_with_its_derivatives() -> None:
    torch.manual_seed(0)
    inputs = torch.randn(4, 5, dtype=torch.float64, requires_grad=True)
    ours, reference = LeakyReLU(0.2), nn.LeakyReLU(0.2)
    assert torch.equal(ours(inputs), reference(inputs))
    assert torch.autograd.gradcheck(ours, inputs)
    assert torch.autograd.gradgradcheck(ours, inputs)
    gradients = [
        torch.autograd.grad(layer(inputs).square().sum(), inputs, create_graph=True)[0]
        for layer in (ours, reference)
    ]
    assert torch.equal(*gradients)
    second = [torch.autograd.grad(g.square().sum(), inputs)[0] for g in gradients]
    torch.testing.assert_close(*second)


@pytest.mark.parametrize("p", [0.1, 0.5, 1 - 1e-6])
def test_dropout_keeps_the_mean(p: float) -> None:
    torch.manual_seed(0)
    inputs = torch.full((101, 7, 30, 47), 3.0).to(memory_format=torch.channels_last)
    inputs.requires_grad_()
    outputs = Dropout(p)(inputs)
    count = inputs.numel()
    kept = int((outputs != 0).sum())
    p = min(round(p * 2**16), 2**16 - 1) / 2**16
    assert abs(kept - (1 - p) * count) < 5 * (p * (1 - p) * count) ** 0.5
    torch.testing.assert_close(outputs[outputs != 0], torch.full((kept,), 3 / (1 - p)))
    assert outputs.stride() == inputs.stride()
    outputs.sum().backward()
    torch.testing.assert_close(inputs.grad * 3, outputs.detach())
    neighbours = (outputs != 0).permute(0, 2, 3, 1).flatten().float()
    together = (neighbours[1:] * neighbours[:-1]).mean()  # as often as if independent
    assert abs(float(together) - (1 - p) ** 2) < 5 / count**0.5


def test_dropout_of_what_is_not_dense_and_in_eval_mode() -> None:
    layer = Dropout(0.5)
    rows = layer(torch.ones(1, 50).expand(8, 50))
    assert set(rows.unique().tolist()) == {0.0, 2.0}
    assert len(rows.unique(dim=0)) == 8
    assert layer(torch.ones(0, 3)).shape == (0, 3)
    assert torch.equal(layer.eval()(torch.ones(4)), torch.ones(4))
    assert not Dropout(1.0)(torch.ones(10**6)).any()


@pytest.mark.parametrize("relu", [True, False])
def test_without_relu_acgans_projection_has_no_mean_over_latents(relu: bool) -> None:
    torch.manual_seed(0)
    generator = ACGAN32Generator(100, 3, 32, 5, project_relu=relu)
    inputs = torch.randn(64, 105)
    with torch.no_grad():
        maps = [
            generator.layers[:2](generator.project(z)[..., None, None]) for z in (inputs, -inputs)
        ]
    mean = (maps[0] + maps[1]) / 2  # over opposite latents
    assert (mean.abs().max() < 1e-6) is not relu


@pytest.mark.parametrize("slope", [-0.2, 1.5, float("nan")])
@pytest.mark.parametrize("kind", WITH_SLOPE)
def test_slopes_that_are_none(kind: Any, slope: float) -> None:
    shape = (1, 1 if kind.of_points else 96, 1)
    with pytest.raises(UserError, match=f"`slope` of {kind.__name__} must lie between 0 and 1"):
        kind(*[5] * issubclass(kind, Generator), *shape, slope=slope)


@pytest.mark.parametrize("name", CASES)
def test_slopes_and_dropout_rates(name: str) -> None:
    network = build(name)
    assert {m.negative_slope for m in network.modules() if isinstance(m, nn.LeakyReLU)} <= {0.2}
    rate = 0.5 if name == "ACGAN discriminator" else 0.3  # the paper's, and the field's habit
    assert {m.p for m in network.modules() if isinstance(m, nn.Dropout)} <= {0.0, rate}


@pytest.mark.parametrize("name", [name for name in CASES if "generator" in name])
def test_images_fill_the_range_and_stay_in_it(name: str) -> None:
    _, (latent_dim,), table = CASES[name]
    generator = build(name)
    images = generator(1e4 * torch.randn(3, latent_dim), NO_CLASSES[:3])
    channels, side = (1, 56) if name == "FCGAN generator" else table[-1][1][:2]
    assert images.shape == (3, channels, side, side)
    assert images.abs().max() <= 1
    with torch.no_grad():
        for parameter in generator.parameters():
            parameter.mul_(100)
        images = generator.eval()(1e4 * torch.randn(3, latent_dim), NO_CLASSES[:3])
    assert images.min() < -0.99
    assert images.max() > 0.99
    assert images.abs().max() <= 1


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("name", [name for name in CASES if "generator" not in name])
def test_logits_are_one_number_an_image_without_bounds(name: str, count: int) -> None:
    discriminator = build(name).eval()
    images = 1e6 * torch.randn(count, *CASES[name][1])
    logits = discriminator(images, NO_CLASSES[:count])
    if name == "ACGAN discriminator":
        same, class_logits = discriminator.heads(images)
        assert torch.equal(same, logits)
        assert class_logits.shape == (count, 5)
        assert class_logits.abs().max() > 2, "no softmax"
    assert logits.shape == (count,)
    assert logits.abs().max() > 2, "no sigmoid"


@pytest.mark.parametrize("size", [31, 64])
@pytest.mark.parametrize("name", [name for name in CASES if "FCGAN" not in name])
def test_a_wrong_image_size_is_refused_with_the_right_ones(name: str, size: int) -> None:
    right = "96" if "96" in name else "32"
    kind = type(build(name))
    channels_first = () if "generator" not in name else (100,)
    with pytest.raises(ValueError, match=rf"{kind.__name__}.*{size}x{size}.*sizes it can: {right}"):
        kind(*channels_first, 3, size, 5)


def test_fully_connected_networks_fit_any_size() -> None:
    images = FCGenerator(7, 3, 10, 5)(torch.randn(2, 7), NO_CLASSES[:2])
    assert images.shape == (2, 3, 10, 10)
    assert FCDiscriminator(3, 10, 5)(images, NO_CLASSES[:2]).shape == (2,)


def test_dcgan32_logit_is_the_mean_of_its_map() -> None:
    discriminator = build("DCGAN-32 discriminator")
    maps = []
    discriminator.layers[-1].register_forward_hook(lambda m, i, output: maps.append(output))
    logits = discriminator(torch.randn(5, 1, 32, 32), NO_CLASSES)
    assert maps[0].shape == (5, 1, 2, 2)
    assert torch.equal(logits, maps[0].mean(dim=(1, 2, 3)))


def test_the_critic_scores_each_image_on_its_own() -> None:
    critic = build("critic")
    assert critic.training
    assert not [m for m in critic.modules() if "Norm" in type(m).__name__]
    images = torch.randn(4, 1, 32, 32)
    alone = torch.cat([critic(image[None], NO_CLASSES[:1]) for image in images])
    torch.testing.assert_close(critic(images, NO_CLASSES[:4]), alone)


@pytest.mark.parametrize("name", [name for name in CASES if "FCGAN" not in name])
def test_initial_weights_are_those_of_dcgan(name: str) -> None:
    network = build(name)
    weights, scales, biases = [], [], []
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            scales.append(module.weight.flatten())
        elif isinstance(module, (*CONVOLUTIONS, nn.Linear)):
            weights.append(module.weight.flatten())
        if getattr(module, "bias", None) is not None:
            biases.append(module.bias.flatten())
    for weight in weights:
        assert weight.mean().abs() < 5 * 0.02 / len(weight) ** 0.5
        assert weight.std().item() == pytest.approx(0.02, rel=5 / len(weight) ** 0.5)
    assert torch.cat(biases).eq(0).all()
    if scales:
        scale = torch.cat(scales)
        assert scale.mean().item() == pytest.approx(1, abs=0.1 / len(scale) ** 0.5)
        assert scale.std().item() == pytest.approx(0.02, rel=0.3)


@pytest.mark.parametrize("name", ["DCGAN-96 generator", "DCGAN-32 discriminator"])
def test_convolutions_lie_in_channels_last_memory(name: str) -> None:
    convolutions = [m for m in build(name).modules() if isinstance(m, CONVOLUTIONS)]
    assert all(m.weight.is_contiguous(memory_format=torch.channels_last) for m in convolutions)


def test_the_sources_discriminator_is_blind_to_brightness_and_contrast() -> None:
    """Its first batch norm undoes any affine change of a whole batch: docs/results.md."""
    images = torch.rand(16, 1, 32, 32)
    dim = 0.5 * images + 0.3
    blind, seeing = DCGAN32Discriminator(1, 32, 5), Critic32(1, 32, 5)
    nn.init.normal_(blind.layers[0].weight, 0.0, 1.0)  # so that batch norm's epsilon is nothing
    none = torch.zeros(16, dtype=torch.int64)
    (one, other), (sharp, dull) = (
        [network(batch, none) for batch in (images, dim)] for network in (blind, seeing)
    )
    assert (one - other).abs().max() < 1e-3 * one.std()
    assert (sharp - dull).abs().max() > 0.1 * sharp.std()


@pytest.mark.parametrize(("network", "unseen"), [(DCGAN32Discriminator, 2), (Critic32, 0)])
def test_which_pixels_are_seen(network: type[Discriminator], unseen: int) -> None:
    images = torch.rand(8, 1, 32, 32, requires_grad=True)
    network(1, 32, 5).eval()(images, torch.zeros(8, dtype=torch.int64)).square().sum().backward()
    assert images.grad is not None
    seen = images.grad.abs().amax(dim=(0, 1)) > 0
    assert seen[: 32 - unseen, : 32 - unseen].all()
    assert not seen[32 - unseen :].any()
