"""StyleGAN2: published counts; modulation and path length in closed form; its updates."""

import math
from typing import Any

import pytest
import scipy.signal
import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, leaky_relu

from gan_modules import StyleGAN2
from gan_modules.networks import StyleGAN2Discriminator, StyleGAN2Generator
from gan_modules.networks.minibatch_std import MinibatchStd
from gan_modules.networks.resampled import filtered_up
from gan_modules.networks.stylegan2 import (
    DownStage,
    EqualConv2d,
    EqualLinear,
    Mapping,
    ModulatedConv2d,
    ToImage,
)
from gan_modules.parts import (
    R1,
    LatentConsistency,
    LazyPenalty,
    NoPenalty,
    PathLength,
    RelativisticAverage,
    SumOfPenalties,
)
from minmax.errors import UserError
from tests.gan_modules.helpers import TinyGenerator, fit, make_batches, make_model

SMALL = {"base": 64, "width": 16}
COUNTS: list[tuple[int, int, dict[str, Any], dict[str, Any], tuple[int, int, int]]] = [
    (512, 32, {}, {"residual": False}, (19_947_539, 525_312, 20_720_641)),
    (
        *(512, 32, {"conditional": True}, {"conditional": True, "residual": False}),
        (20_215_315, 793_088, 23_089_664),
    ),
    (512, 64, {}, {}, (22_243_608, 525_312, 23_407_361)),
    (512, 128, {}, {}, (22_949_277, 525_312, 23_882_369)),
    (128, 32, *[{"base": 1024, "width": 128}] * 2, (749_427, 33_024, 871_585)),
    (128, 64, *[{"base": 2048, "width": 128}] * 2, (1_094_520, 33_024, 1_183_137)),
    (512, 256, {"layers": 8}, {}, (24_767_458, 8 * 512 * 513, 24_001_089)),
]


def count(network: nn.Module) -> int:
    return sum(weights.numel() for weights in network.parameters())


@pytest.mark.parametrize("case", range(len(COUNTS)))
def test_parameters_are_as_many_as_published(case: int) -> None:
    latent, size, of_generator, of_discriminator, expected = COUNTS[case]
    with torch.device("meta"):
        generator = StyleGAN2Generator(latent, 3, size, 10, **of_generator)
        discriminator = StyleGAN2Discriminator(3, size, 10, **of_discriminator)
    assert (*map(count, (generator, generator.mapping, discriminator)),) == expected


def small(conditional: bool = False) -> StyleGAN2Generator:
    torch.manual_seed(0)
    return StyleGAN2Generator(16, 1, 32, 10, **SMALL, conditional=conditional)


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("up", [False, True])
def test_a_modulated_convolution_has_weights_of_its_own_for_each_image(
    up: bool, fused: bool
) -> None:
    """Section 2.2: w' = s w, w'' = w' / sqrt(sum w'^2 + 1e-8)."""
    torch.manual_seed(0)
    layer = ModulatedConv2d(5, 4, 3, 6, up, fused=fused).double()
    maps, w = torch.randn(3, 5, 8, 8, dtype=torch.float64), torch.randn(3, 6, dtype=torch.float64)
    styles = layer.affine(w)
    for image, style, drawn in zip(maps, styles, layer(maps, w), strict=True):
        weight = layer.weight * style[:, None, None]
        weight = weight * (weight.square().sum((1, 2, 3), keepdim=True) + 1e-8).rsqrt()
        if up:
            tent = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=torch.float64)
            spread = torch.zeros(5, 17, 17, dtype=torch.float64)
            spread[:, 1:16:2, 1:16:2] = image  # one zero before: the transposed kernel's first row
            whole = torch.stack(
                [
                    sum(
                        torch.from_numpy(scipy.signal.convolve2d(a, b.detach(), mode="full"))
                        for a, b in zip(spread[:, 1:16, 1:16], of_output, strict=True)
                    )
                    for of_output in weight
                ]
            )
            kernel = (torch.outer(tent, tent) / 16).expand(4, 1, -1, -1)
            expected = conv2d(whole, kernel, padding=1, groups=4)
        else:
            expected = conv2d(image, weight, padding=1)
        torch.testing.assert_close(drawn, expected)


def test_fused_convolutions_draw_the_same_images_with_the_same_gradients() -> None:
    drawn = []
    for fused in (False, True):
        torch.manual_seed(0)
        generator = StyleGAN2Generator(6, 3, 32, 1, **SMALL, fused=fused).double().eval()
        assert any(part.fused for part in generator.modules() if hasattr(part, "fused")) == fused
        images = generator(torch.randn(4, 6, dtype=torch.float64), torch.zeros(4, dtype=torch.long))
        images.square().sum().backward()
        drawn.append([images, *(weights.grad for weights in generator.parameters())])
    for one, other in zip(*drawn, strict=True):
        torch.testing.assert_close(one, other)


def test_demodulated_outputs_have_unit_variance() -> None:
    torch.manual_seed(0)
    layer = ModulatedConv2d(64, 32, 3, 16)
    with torch.no_grad():
        maps = layer(torch.randn(40, 64, 12, 12), 3 * torch.randn(40, 16))[:, :, 1:-1, 1:-1]
    assert maps.var().item() == pytest.approx(1, rel=0.02)
    assert maps.var((0, 2, 3)).sub(1).abs().max() < 0.1


def test_learning_rates_are_equalised() -> None:
    torch.manual_seed(0)
    layer, slow = EqualLinear(400, 300, 1.0), EqualLinear(400, 300, rate=0.01)
    inputs = torch.randn(50, 400)
    assert layer.weight.std().item() == pytest.approx(1, rel=0.01)
    torch.testing.assert_close(layer(inputs), inputs @ layer.weight.t() / 20 + 1)
    assert slow.weight.std().item() == pytest.approx(100, rel=0.01)
    assert slow(inputs).std().item() == pytest.approx(1, rel=0.02)
    layer.bias.grad = None
    slow(inputs).sum().backward()
    torch.testing.assert_close(slow.bias.grad, torch.full((300,), 50 * 0.01))
    convolution = EqualConv2d(20, 30, 3)
    assert convolution(torch.randn(9, 20, 8, 8))[:, :, 1:-1, 1:-1].std().item() == pytest.approx(
        1, rel=0.05
    )


def test_the_discriminator_filters_before_it_halves() -> None:
    torch.manual_seed(0)
    maps = torch.randn(1, 1, 8, 8, dtype=torch.float64)
    kernel = torch.outer(*[torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=torch.float64)] * 2) / 64
    blurred = torch.from_numpy(scipy.signal.convolve2d(maps[0, 0], kernel))
    three, one = EqualConv2d(1, 1, 3, down=True).double(), EqualConv2d(1, 1, 1, down=True).double()
    expected = conv2d(blurred[None, None, 1:-1, 1:-1], three.weight / 3, stride=2)
    torch.testing.assert_close(three(maps), expected)
    torch.testing.assert_close(one(maps)[0, 0], one.weight.item() * blurred[2:-1:2, 2:-1:2])


def test_the_way_around_a_stage_keeps_the_variance() -> None:
    torch.manual_seed(0)
    stage, maps = DownStage(4, 6, residual=True), torch.randn(2, 4, 8, 8)
    assert stage.skip is not None
    inner = stage.activation(stage.second(stage.activation(stage.first(maps))))
    torch.testing.assert_close(stage(maps), (inner + stage.skip(maps)) * 0.5**0.5)


def test_an_images_channels_are_sums_of_styled_maps() -> None:
    """With the gain of an equalised rate, and without demodulation."""
    torch.manual_seed(0)
    layer, maps, style = ToImage(5, 3, 7), torch.randn(2, 5, 4, 4), torch.randn(2, 7)
    torch.nn.init.normal_(layer.bias)
    scaled = maps * layer.convolution.affine(style)[:, :, None, None]
    sums = torch.einsum("oi,nihw->nohw", layer.convolution.weight[:, :, 0, 0], scaled)
    torch.testing.assert_close(layer(maps, style), sums / 5**0.5 + layer.bias[:, None, None])


def test_images_of_all_sizes_are_summed_and_noise_begins_at_0() -> None:
    torch.manual_seed(0)
    generator = StyleGAN2Generator(6, 3, 32, 1, **SMALL)
    assert all(layer.noise.strength == 0 for layer in generator.layers)
    images: list[Tensor] = []
    for layer in generator.images:
        layer.register_forward_hook(lambda *call: images.append(call[2]))
    whole = generator(torch.randn(2, 6), torch.zeros(2, dtype=torch.int64))
    assert [image.shape[-1] for image in images] == [4, 8, 16, 32]
    summed = images[0]
    for image in images[1:]:
        summed = filtered_up(summed) + image
    torch.testing.assert_close(whole, summed)


def test_the_logit_of_a_class_is_a_product_over_the_root_of_its_length() -> None:
    torch.manual_seed(0)
    discriminator = StyleGAN2Discriminator(1, 32, 3, **SMALL, conditional=True)
    assert discriminator.mapping is not None
    found: list[Tensor] = []
    for layer in (discriminator.head, discriminator.mapping):
        layer.register_forward_hook(lambda *call: found.append(call[2]))
    logits = discriminator(torch.randn(4, 1, 32, 32), torch.tensor([0, 1, 2, 0]))
    assert found[0].shape == found[1].shape
    width = found[0].shape[1]
    torch.testing.assert_close(logits, (found[0] * found[1]).sum(1) / width**0.5)


def test_the_mapping_sees_directions_alone() -> None:
    torch.manual_seed(0)
    mapping, latent, classes = Mapping(8, 3, 16, 2), torch.randn(5, 8), torch.arange(5) % 3
    torch.testing.assert_close(mapping(latent, classes), mapping(7 * latent, classes))
    assert not torch.allclose(mapping(latent, classes), mapping(latent, (classes + 1) % 3))
    plain = Mapping(8, 0, 16, 1)
    unit = latent / latent.square().mean(1, keepdim=True).sqrt()
    layer = plain.layers[0][0]
    expected = leaky_relu(unit @ layer.weight.t() * 0.01 / math.sqrt(8), 0.2) * math.sqrt(2)
    torch.testing.assert_close(plain(latent, classes), expected)


def test_in_eval_mode_images_depend_on_latents_alone() -> None:
    generator, latent, classes = small(), torch.randn(3, 16), torch.zeros(3, dtype=torch.int64)
    with torch.no_grad():
        for layer in generator.layers:
            layer.noise.strength.fill_(1.0)
        assert not torch.equal(generator(latent, classes), generator(latent, classes))
        generator.eval()
        images = generator(latent, classes)
        assert torch.equal(images, generator(latent, classes))
        torch.testing.assert_close(images[:1], generator(latent[:1], classes[:1]))


def test_each_style_has_its_layer() -> None:
    generator = small().eval()
    assert generator.styles == 8
    styles = generator.mapping(torch.randn(1, 16), None)[:, None].repeat(1, 8, 1)
    with torch.no_grad():
        before = generator.synthesis(styles)
        for style in range(8):
            changed = styles.clone()
            changed[:, style] += 1
            assert not torch.equal(generator.synthesis(changed), before)


def test_the_path_length_of_a_linear_generator() -> None:
    """For images A w, J^T y is A^T y: E|A^T y|^2 = |A|^2 / (H W)."""
    torch.manual_seed(0)
    matrix = torch.randn(4, 2 * 3 * 6, dtype=torch.float64)
    part = PathLength(2.0, 4, share=1.0).double()
    styles = torch.randn(20_000, 1, 4, dtype=torch.float64)
    styles.requires_grad_()

    def linear(given: Tensor) -> Tensor:
        return (given[:, 0] @ matrix).view(-1, 2, 3, 6)

    noise = torch.randn(20_000, 36, dtype=torch.float64) / math.sqrt(18)
    lengths = (noise @ matrix.t()).norm(dim=1)
    term = part(linear, styles)
    mean = part.observed["path_length/mean"].item()
    assert mean == pytest.approx(lengths.mean().item(), rel=0.01)
    assert part.average.item() == pytest.approx(0.01 * mean, rel=1e-5)
    expected = (lengths - 0.01 * mean).square().mean().item()
    assert term.item() == pytest.approx(4 * 2.0 * expected, rel=0.02)
    for _ in range(600):
        part(linear, styles[:50])
    counts: list[int] = []
    PathLength(share=0.25).double()(lambda w: counts.append(len(w)) or linear(w), styles[:40])
    assert counts == [10], "of a share of the batch"
    assert part.average.item() == pytest.approx(mean, rel=0.05)


def trained(batches: int = 4, **options: Any) -> StyleGAN2:
    shared = {"generator": lambda *a: StyleGAN2Generator(*a, **SMALL), "image_size": 32}
    shared["discriminator"] = lambda *a: StyleGAN2Discriminator(*a, **SMALL, group=4)
    model = make_model(StyleGAN2, **(shared | options))
    fit(model, wide_batches(batches))
    return model


def wide_batches(number: int) -> Any:
    batches = make_batches(number)
    batches.batches = [(nn.functional.pad(i, (14, 14, 14, 14)), c) for i, c in batches.batches]
    return batches


def test_a_path_length_is_due_at_every_fourth_update() -> None:
    calls: list[int] = []

    class Noting(PathLength):
        def forward(self, synthesis: Any, styles: Tensor) -> Tensor:
            calls.append(len(styles))
            return super().forward(synthesis, styles)

    trained(6, path_length=Noting(every=4), mixing=0.5)
    assert calls == [8, 8]
    assert PathLength(every=4).step_share == 4 / 5
    assert PathLength(0.0).step_share == 1


def test_adam_of_the_generator_is_corrected() -> None:
    model = trained(1, path_length=PathLength(every=4))
    group = model.trainer.optimizers[0].param_groups[0]
    plain = trained(1).trainer.optimizers[0].param_groups[0]
    assert group["lr"] == pytest.approx(plain["lr"] * 0.8)
    assert group["betas"] == pytest.approx([beta**0.8 for beta in plain["betas"]])


def test_styles_of_two_latents_are_mixed() -> None:
    model = trained(1, mixing=1.0)
    torch.manual_seed(0)
    firsts = set()
    for _ in range(60):
        styles = model.styles(model.sample_latent(5), torch.zeros(5, dtype=torch.int64))
        same = (styles == styles[:, :1]).all(2)
        assert torch.equal(same, same[:1].expand(5, -1)), "one layer for the whole batch"
        first = int(same[0].sum())
        assert torch.equal(same[0], torch.arange(8) < first)
        firsts.add(first)
    assert firsts == set(range(1, 8))
    model.mixing = 0.0
    styles = model.styles(model.sample_latent(5), torch.zeros(5, dtype=torch.int64))
    assert torch.equal(styles, styles[:, :1].expand(-1, 8, -1))


def test_the_average_of_w_follows_the_mapping() -> None:
    generator, w = small(), torch.randn(5, 16)
    generator.note(w)
    torch.testing.assert_close(generator.w_average, w.mean(0) * 0.005)
    assert trained(2).generator.w_average.any()


def test_the_generator_learns_first() -> None:
    order: list[str] = []
    model = make_model(
        StyleGAN2,
        generator=lambda *a: StyleGAN2Generator(*a, **SMALL),
        discriminator=lambda *a: StyleGAN2Discriminator(*a, **SMALL, group=4),
        image_size=32,
        penalty=LazyPenalty(R1(1.0), 2),
        game=RelativisticAverage(),
    )
    original = model.manual_backward

    def noting(loss: Tensor) -> None:
        original(loss)
        networks = {"G": model.generator, "D": model.discriminator}
        order.extend(
            n for n, network in networks.items() if next(network.parameters()).requires_grad
        )

    model.manual_backward = noting  # type: ignore[assignment]
    fit(model, wide_batches(3))
    assert "".join(order) == "GDD" + "GD" + "GDD"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"generator": TinyGenerator}, "TinyGenerator has no mapping.*choose StyleGAN2Generator"),
        ({"mixing": 1.5}, r"`mixing` must lie in \[0, 1\], got 1.5"),
        (
            {"mixing": 0.9, "penalty": SumOfPenalties([R1(), LazyPenalty(LatentConsistency())])},
            "`mixing` 0.9: LatentConsistency compares images of latents that are near",
        ),
    ],
)
def test_wrong_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        trained(1, **options)


def test_terms_of_the_generator_are_added() -> None:
    class Dark(NoPenalty):
        def of_generator(self, *given: Any) -> list[Tensor]:
            return [given[-1].square().mean()]

    plain, with_term = trained(1, penalty=NoPenalty()), trained(1, penalty=Dark())
    assert not torch.equal(plain.generator.constant, with_term.generator.constant)
    assert with_term.observed["loss/generator"] > plain.observed["loss/generator"]


def test_a_batch_that_groups_do_not_divide() -> None:
    with pytest.raises(UserError, match="compares 5 images, and is shown 8"):
        trained(1, discriminator=lambda *a: StyleGAN2Discriminator(*a, **SMALL, group=5))
    maps = torch.randn(3, 2, 4, 4)
    torch.testing.assert_close(MinibatchStd(32)(maps), MinibatchStd(3)(maps))
