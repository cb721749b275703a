"""Truncation, mixing and directions in w, of a generator with a mapping."""

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import cli
from minmax.generation.directions import principal_directions
from minmax.generation.explorer import Choice, Explorer
from minmax.generation.styles import images_of

CONFIGS = Path(cli.__file__).parent / "configs"
MODEL = "--model.init_args"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A StyleGAN2 of two batches."""
    folder = tmp_path_factory.mktemp("run")
    small = [
        f"{MODEL}.{network}.init_args.{option}"
        for network in ("generator", "discriminator")
        for option in ("base=64", "width=8")
    ]
    cli.main(
        [
            *("fit", "--config", str(CONFIGS / "stylegan2_mnist.yaml"), *small),
            *("--data", "datamodules.Digits", "--data.init_args.batch_size", "8"),
            *("--trainer.accelerator", "cpu", "--trainer.max_steps", "2"),
            *("--trainer.limit_val_batches", "0", "--trainer.default_root_dir", str(folder)),
        ]
    )
    return str(folder / "checkpoints" / "last.ckpt")


def drawn(checkpoint: str, folder: Path, *options: str) -> np.ndarray:
    file = folder / "images.npz"
    shared = ["--checkpoint", checkpoint, "--output", str(file), "--count", "6", "--overwrite"]
    cli.main(["sample", *shared, *options])
    images: np.ndarray = np.load(file)["images"]
    return images.astype(int)


def test_truncation(checkpoint: str, tmp_path: Path) -> None:
    plain = drawn(checkpoint, tmp_path)
    assert np.abs(drawn(checkpoint, tmp_path, "--psi", "1") - plain).max() <= 1
    half, none = (drawn(checkpoint, tmp_path, "--psi", psi) for psi in ("0.5", "0"))
    assert np.array_equal(none, none[:1].repeat(6, axis=0))
    assert 0 < np.abs(half - none).mean() < np.abs(plain - none).mean()


def test_truncation_goes_towards_the_average_of_w(checkpoint: str) -> None:
    model = Explorer(checkpoint, 1).model
    network: Any = model.drawing_network
    network.w_average.fill_(1.0)
    w = torch.randn(2, 8)
    with torch.no_grad():
        expected = network.synthesis((1 + 0.3 * (w - 1))[:, None].expand(-1, 8, -1))
    torch.testing.assert_close(images_of(model, w, 0.3, None, 0), expected)


def test_styles_of_another_seed(checkpoint: str, tmp_path: Path) -> None:
    plain, other = drawn(checkpoint, tmp_path), drawn(checkpoint, tmp_path, "--seed", "1")
    mixed = [
        drawn(checkpoint, tmp_path, "--mix-seed", "1", "--mix-from", n) for n in ("0", "4", "7")
    ]
    assert np.abs(mixed[0] - other).max() <= 1
    away = [np.abs(images - plain).mean() for images in mixed]
    assert away[0] > away[1] > away[2] > 0
    spread = drawn(checkpoint, tmp_path, "--mix-seed", "1", "--mix-from", "4", "--batch-size", "4")
    assert np.abs(spread - mixed[1]).max() <= 1


@pytest.mark.parametrize("more", [["--interpolate", "3"], ["--truncation", "0.3"]])
def test_what_is_asked_of_latents_is_asked_of_those_of_other_styles(
    more: list[str], checkpoint: str, tmp_path: Path
) -> None:
    """Mixed from the first style on, the images are those of the other seed."""
    mixed = drawn(checkpoint, tmp_path, "--mix-seed", "1", *more)
    assert np.abs(mixed - drawn(checkpoint, tmp_path, "--seed", "1", *more)).max() <= 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--mix-seed", "1", "--mix-from", "8"], "--mix-from 8: .* has 8 styles.* from 0 to 7"),
        (["--mix-from", "3"], "--mix-from 3 says where --mix-seed begins: add it"),
        (["--psi", "nan"], "--psi must be a number, got nan"),
    ],
)
def test_wrong_styles(checkpoint: str, tmp_path: Path, options: list[str], message: str) -> None:
    with pytest.raises(SystemExit, match=message):
        drawn(checkpoint, tmp_path, *options)
    assert not list(tmp_path.iterdir())


def test_a_generator_without_a_mapping(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"--psi and --mix-seed .*DCGAN32Generator has none"):
        drawn(str(trained / "checkpoints" / "last.ckpt"), tmp_path, "--psi", "0.7")
    assert not list(tmp_path.iterdir())


def test_the_page_moves_in_w(checkpoint: str) -> None:
    explorer = Explorer(checkpoint, 3)

    def images(**choice: object) -> np.ndarray:
        with Image.open(BytesIO(explorer.png(Choice(**choice)))) as image:
            return np.asarray(image).astype(int)

    first, other, still = images(), images(seed=1), images(psi=0.0)
    assert explorer.styles == 8
    assert np.abs(images(way=1.0) - other).max() <= 1
    assert np.abs(images(first=0) - other).max() <= 1
    assert np.array_equal(images(first=8), first)
    assert np.abs(images(along=[3.0]) - first).max() > 2
    assert np.abs(images(seed=1, psi=0.0) - still).max() == 0


def test_directions_are_the_principal_components_of_w(checkpoint: str) -> None:
    model = Explorer(checkpoint, 1).model
    directions, shares = principal_directions(model, 3)
    with torch.no_grad():
        w = model.drawing_network.mapping(model.seeded_latents(2048), torch.zeros(2048).long())
    values, vectors = torch.linalg.eigh(torch.cov(w.double().t()))
    values, vectors = values.flip(0)[:3], vectors.flip(1)[:, :3]
    torch.testing.assert_close(directions.norm(dim=1).double(), values.sqrt(), rtol=1e-4, atol=0)
    cosines = (directions.double() / values.sqrt()[:, None] * vectors.t()).sum(1).abs()
    torch.testing.assert_close(cosines, torch.ones(3).double(), rtol=1e-4, atol=0)
    torch.testing.assert_close(shares.double(), values / torch.cov(w.double().t()).trace())
