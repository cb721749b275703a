"""The perceptual distance, with weights made here in the layout of the real files."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import vgg16

from gan_modules import FastGAN
from gan_modules.networks import FastGANDiscriminator, FastGANGenerator
from gan_modules.parts import PerceptualDistance
from minmax.errors import MissingError, UserError
from tests.gan_modules.helpers import make_model

WIDTHS = (64, 128, 256, 512, 512)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Weights of VGG-16 and of LPIPS' channels."""
    random = torch.Generator().manual_seed(0)
    with torch.device("meta"):
        network = vgg16(init_weights=False).features
    state = {
        f"features.{name}": torch.randn(value.shape, generator=random) / value[0].numel() ** 0.5
        for name, value in network.state_dict().items()
    }
    linear = {
        f"lin{depth}.model.1.weight": torch.rand(1, width, 1, 1, generator=random)
        for depth, width in enumerate(WIDTHS)
    }
    folder = tmp_path_factory.mktemp("weights")
    torch.save(state, folder / "vgg16.pth")
    torch.save(linear, folder / "vgg.pth")
    return folder / "vgg16.pth", folder / "vgg.pth"


def expected(one: Tensor, other: Tensor, vgg: Path, linear: Path | None) -> Tensor:
    """Equation 1, step by step."""
    with torch.device("meta"):
        network = vgg16(init_weights=False)
    state = torch.load(vgg)
    layers = network.features
    layers.load_state_dict({k.removeprefix("features."): v for k, v in state.items()}, assign=True)
    weights = torch.load(linear) if linear else None
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    seen = [
        ((images.repeat(1, 3 // images.shape[1], 1, 1) + 1) / 2 - mean[:, None, None])
        / std[:, None, None]
        for images in (one, other)
    ]
    total, depth = torch.zeros(()), 0
    for index, layer in enumerate(layers):
        if isinstance(layer, nn.MaxPool2d):
            units = [maps / maps.square().sum(1, keepdim=True).sqrt() for maps in seen]
            squares = (units[0] - units[1]).square()
            if weights:
                squares = squares * weights[f"lin{depth}.model.1.weight"]
            total, depth = total + squares.sum(1).mean(), depth + 1
        seen = [layer(maps) for maps in seen]
        assert depth <= 5, index
    return total


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("weighed", [False, True])
def test_the_distance_is_equation_1(channels: int, weighed: bool, files: tuple[Path, Path]) -> None:
    linear = files[1] if weighed else None
    distance = PerceptualDistance(str(files[0]), linear and str(linear))
    torch.manual_seed(0)
    one, other = torch.randn(2, 2, channels, 32, 32).clamp(-1, 1)
    one.requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        found = distance(one, other)
        assert distance(one, one.detach()).item() == 0
    with torch.no_grad():
        torch.testing.assert_close(found, expected(one, other, files[0], linear))
    found.backward()
    assert one.grad is not None
    assert one.grad.abs().max() > 0
    assert not any("frozen" in name for name in distance.state_dict())
    assert [*distance.parameters()] == []


def test_fastgans_decoders_are_compared_by_it(files: tuple[Path, Path]) -> None:
    distance = PerceptualDistance(str(files[0]))
    networks = {"generator": FastGANGenerator, "discriminator": FastGANDiscriminator}
    model = make_model(FastGAN, **networks, image_size=32, distance=distance, channels=3)
    one, other = torch.rand(2, 2, 3, 16, 16)
    torch.testing.assert_close(model.difference(one, other), distance(one, other))
    assert not any("distance" in name for name in model.state_dict())


def test_wrong_files(files: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=r"`weights` .* no such file; .*vgg16-397923af\.pth"):
        PerceptualDistance(str(tmp_path / "none.pth"))
    (tmp_path / "text.pth").write_text("no weights")
    with pytest.raises(UserError, match=r"`weights` .*can't be read"):
        PerceptualDistance(str(tmp_path / "text.pth"))
    with pytest.raises(UserError, match=r"has no features\.0\.weight, .* another network's"):
        PerceptualDistance(str(files[1]))
    with pytest.raises(UserError, match=r"`linear` .* has no lin0.*lpips"):
        PerceptualDistance(str(files[0]), str(files[0]))
