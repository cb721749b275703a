"""Parts of residual networks against naive versions of the papers' formulas."""

from functools import partial

import pytest
import torch
from torch import nn
from torch.nn.functional import avg_pool2d, conv2d, interpolate

from gan_modules.networks import Critic32, Packed, SNGANDiscriminator
from gan_modules.networks.attention import SelfAttention
from gan_modules.networks.bodies import ProjectionHead
from gan_modules.networks.conditional import (
    ClassBatchNorm2d,
    PlainBatchNorm2d,
    VectorBatchNorm2d,
)
from gan_modules.networks.minibatch_std import MinibatchStd
from gan_modules.networks.resampled import ConvPool2d, UpConv2d
from gan_modules.networks.resnet import PLAIN
from gan_modules.parallel import JointBatchNorm
from gan_modules.parts import MixedBatch
from minmax.errors import UserError


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def double(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64)


@pytest.mark.parametrize("kind", [UpConv2d, ConvPool2d])
def test_a_convolution_that_changes_the_size_is_two_operations(kind: type[nn.Conv2d]) -> None:
    layer, maps = kind(3, 5).double(), double(2, 3, 6, 4).requires_grad_()
    if kind is UpConv2d:
        naive = conv2d(interpolate(maps, scale_factor=2), layer.weight, layer.bias, padding=1)
    else:
        naive = avg_pool2d(conv2d(maps, layer.weight, layer.bias, padding=1), 2)
    outputs = layer(maps)
    torch.testing.assert_close(outputs, naive)
    weights, of = torch.randn_like(outputs), (maps, *layer.parameters())
    for mine, expected in zip(
        torch.autograd.grad((outputs * weights).sum(), of),
        torch.autograd.grad((naive * weights).sum(), of),
        strict=True,
    ):
        torch.testing.assert_close(mine, expected)


def test_each_class_has_a_scale_and_a_shift_of_one_batch_norm() -> None:
    layer, maps = ClassBatchNorm2d(3, 4, eps=1e-3).double(), double(5, 3, 2, 2)
    classes = torch.tensor([0, 3, 1, 3, 3])
    reference = nn.BatchNorm2d(3, 1e-3).double()
    torch.testing.assert_close(layer(maps, classes), reference(maps))
    with torch.no_grad():
        layer.scale.normal_()
        layer.shift.normal_()
    outputs, plain = layer(maps, classes), reference(maps)
    for row, kind in enumerate(classes):
        scale, shift = layer.scale[kind][:, None, None], layer.shift[kind][:, None, None]
        torch.testing.assert_close(outputs[row], scale * plain[row] + shift)
    torch.testing.assert_close(layer.norm.running_var, reference.running_var)
    outputs.sum().backward()
    assert layer.shift.grad.count_nonzero() == 9, "class 2 is not there"


def test_a_vector_scales_and_shifts_batch_norm() -> None:
    layer, maps, vectors = VectorBatchNorm2d(3, 6).double(), double(4, 3, 2, 2), double(4, 6)
    outputs = layer(maps, vectors)
    layer.eval()  # u and v stay
    plain = nn.BatchNorm2d(3).double()(maps)
    scale, shift = (vectors @ (each.weight / each.sigma()).T for each in (layer.scale, layer.shift))
    torch.testing.assert_close(
        outputs, (1 + scale)[..., None, None] * plain + shift[..., None, None]
    )
    assert [n for n, _ in layer.named_parameters()] == ["scale.weight", "shift.weight"]


def test_norms_keep_the_type_of_maps_and_can_be_joint() -> None:
    layers = [PlainBatchNorm2d(3), ClassBatchNorm2d(3, 4), VectorBatchNorm2d(3, 6)]
    conditions = [torch.tensor([0, 1])] * 2 + [torch.randn(2, 6)]
    for layer, condition in zip(layers, conditions, strict=True):
        maps = torch.randn(2, 3, 4, 4).bfloat16()
        with torch.autocast("cpu", torch.bfloat16):
            outputs = layer(maps, condition)
            joint = JointBatchNorm().apply(layer)(maps, condition)
        assert outputs.dtype == torch.bfloat16
        assert joint.dtype == torch.bfloat16


def test_attention_is_off_at_first() -> None:
    layer, maps = SelfAttention(16), torch.randn(2, 16, 4, 6)
    assert torch.equal(layer(maps), maps)
    layer(maps).sum().backward()
    assert layer.scale.grad.abs() > 0


def test_attention_is_that_of_a_loop() -> None:
    layer, maps = SelfAttention(16).double().eval(), double(2, 16, 4, 6)
    with torch.no_grad():
        layer.scale.fill_(0.7)
    query, key, value, output = (
        (each.weight / each.sigma())[:, :, 0, 0]
        for each in (layer.query, layer.key, layer.value, layer.output)
    )
    assert [len(each) for each in (query, key, value, output)] == [2, 2, 8, 16]
    assert sum(p.numel() for p in layer.parameters()) == 1.25 * 16**2 + 1

    def pooled(weight: torch.Tensor, image: torch.Tensor) -> list[torch.Tensor]:
        every = torch.einsum("oc,chw->ohw", weight, image)
        corners = [(y, x) for y in (0, 2) for x in (0, 2, 4)]
        return [every[:, y : y + 2, x : x + 2].amax((1, 2)) for y, x in corners]

    expected = maps.clone()
    for n, image in enumerate(maps):
        keys, values = pooled(key, image), pooled(value, image)
        for y in range(4):
            for x in range(6):
                scores = [(query @ image[:, y, x]) @ k for k in keys]
                shares = torch.stack(scores).softmax(0)
                seen = sum(share * v for share, v in zip(shares, values, strict=True))
                expected[n, :, y, x] += 0.7 * (output @ seen)
    torch.testing.assert_close(layer(maps), expected)
    with torch.autocast("cpu", torch.bfloat16):
        layer.float()(maps.bfloat16()).float().sum().backward()
    assert all(p.grad.isfinite().all() for p in layer.parameters())


def test_attention_of_a_wrong_width_is_refused() -> None:
    with pytest.raises(UserError, match="`width` makes self-attention of 12 channels"):
        SelfAttention(12)


def test_minibatch_std_is_that_of_a_loop() -> None:
    maps, group = double(6, 3, 2, 4), 3
    outputs = MinibatchStd(group)(maps)
    assert torch.equal(outputs[:, :3], maps)
    for n in range(6):
        members = [m for m in range(6) if m % 2 == n % 2]
        values = [
            (torch.stack([maps[m, c, y, x] for m in members]).var(correction=0) + 1e-8).sqrt()
            for c in range(3)
            for y in range(2)
            for x in range(4)
        ]
        mean = (sum(values) / len(values)).expand(2, 4)
        torch.testing.assert_close(outputs[n, 3], mean)


def test_minibatch_std_of_ranks_that_take_turns_is_that_of_one() -> None:
    maps = torch.randn(8, 3, 2, 2)
    layer = MinibatchStd(2)
    for rank in range(2):
        assert torch.equal(layer(maps[rank::2]), layer(maps)[rank::2])


def test_minibatch_std_refuses() -> None:
    with pytest.raises(
        UserError, match=r"compares 4 images, and is shown 6: choose a `batch_size`"
    ):
        MinibatchStd(4)(torch.randn(6, 1, 2, 2))
    with pytest.raises(UserError, match="`group` of MinibatchStd must be at least 1, got 0"):
        MinibatchStd(0)


def test_projection_is_linear_in_the_class_vector() -> None:
    head = ProjectionHead(5, 3, PLAIN).double()
    features, classes = double(4, 5), torch.tensor([2, 0, 1, 2])
    logits = head(features, classes)
    plain = features @ head.linear.weight[0] + head.linear.bias
    vectors = torch.stack([head.embedding.weight[kind] for kind in classes])
    torch.testing.assert_close(logits, plain + (vectors * features).sum(1))
    with torch.no_grad():
        head.embedding.weight.mul_(3)
    torch.testing.assert_close(head(features, classes) - plain, 3 * (logits - plain))


def packed(**options: int) -> Packed:
    return Packed(3, 32, 5, partial(Critic32, width=2), **options)


def test_a_pack_is_judged_by_its_images_alone() -> None:
    network, images = packed(images=3), torch.randn(6, 3, 32, 32)
    classes = torch.zeros(6, dtype=torch.int64)
    logits = network(images, classes)
    assert logits.shape == (2,)
    stacked = torch.stack([torch.cat([*images[:3]]), torch.cat([*images[3:]])])
    assert torch.equal(logits, network.discriminator(stacked, classes[:2]))
    other = images.clone()
    other[4] += 1
    changed = network(other, classes)
    assert changed[0] == logits[0]
    assert changed[1] != logits[1]


def test_packing_refuses() -> None:
    with pytest.raises(UserError, match=r"2 images together, and is shown 3.*`batch_size`"):
        packed()(torch.randn(3, 3, 32, 32), torch.zeros(3, dtype=torch.int64))
    with pytest.raises(UserError, match="`images` of Packed must be at least 1, got 0"):
        packed(images=0)
    with pytest.raises(UserError, match="`discriminator` SNGANDiscriminator of Packed judges"):
        Packed(3, 32, 5, partial(SNGANDiscriminator, width=2, conditional=True))
    two = [torch.randn(2, 3, 32, 32), torch.zeros(2, dtype=torch.int64)] * 2
    with pytest.raises(UserError, match="MixedBatch needs a logit for each image"):
        MixedBatch()(packed(), *two)
