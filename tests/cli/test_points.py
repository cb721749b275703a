"""Points in the plane, from the command line: fit, test, sample, export, and what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest

import cli

CONFIG = str(Path(__file__).parents[2] / "configs" / "ring.yaml")
FEW = [
    *("--data.init_args.count", "2000", "--data.init_args.held_out", "500"),
    *("--quality.count", "200", "--trainer.max_steps", "4", "--trainer.accelerator", "cpu"),
]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of four updates."""
    folder = tmp_path_factory.mktemp("points") / "run"
    every = ["--quality.every_images", "512", "--pictures.every_images", "512"]
    cli.main(["fit", "--config", CONFIG, *FEW, *every, "--trainer.default_root_dir", str(folder)])
    return folder


def test_scores_and_their_floor(run: Path) -> None:
    cli.main(["test", "--config", str(run / "config.yaml")])
    report = json.loads((run / "metrics.json").read_text())["last"]
    assert report["protocol"]["modes"].startswith("8, each within 3 standard deviations")
    assert report["references"]["training images"]["modes"] == 8
    assert report["references"]["training images"]["high_quality"] > 0.95
    assert "fid_points" not in report["scores"]
    assert (run / "pictures" / "film.gif").is_file()
    assert not list((run / "pictures").glob("nearest*"))


def test_samples_are_coordinates(run: Path, tmp_path: Path) -> None:
    last, file = str(run / "checkpoints" / "last.ckpt"), tmp_path / "points.npz"
    cli.main(["sample", "--checkpoint", last, "--count", "300", "--output", str(file)])
    points = np.load(file)["points"]
    assert points.shape == (300, 2)
    assert points.dtype == np.float32
    with pytest.raises(SystemExit, match=r"draws points in the plane, which FILE\.npz holds"):
        cli.main(["sample", "--checkpoint", last, "--output", str(tmp_path / "points.png")])
    with pytest.raises(SystemExit, match="draws points in the plane, and explore shows images"):
        cli.main(["explore", "--checkpoint", last, "--no-browser", "--port", "0"])


def test_exports_say_that_they_draw_points(run: Path, tmp_path: Path) -> None:
    last, file = str(run / "checkpoints" / "last.ckpt"), tmp_path / "points.safetensors"
    cli.main(["export", "--checkpoint", last, "--format", "safetensors", "--output", str(file)])
    card = next(tmp_path.glob("*.md")).read_text()
    assert "[N, 2, 1, 1], coordinates of points" in card


WRONG = {
    "an image network": (
        ["--model.init_args.discriminator", "gan_modules.networks.Critic32"],
        "Critic32 is no network of points in the plane",
    ),
    "an image network's features": (["--quality.features", "domain"], "choose points"),
    "an augmentation of images": (
        ["--model.init_args.augment", "gan_modules.parts.DiffAugment"],
        "DiffAugment changes images, and these data are points",
    ),
    "a penalty's augmentation of images": (
        ["--model.init_args.penalty", "gan_modules.parts.Consistency"],
        "FlipAndShift changes images, and these data are points",
    ),
    "no weight": (
        ["--data.init_args.mixture.init_args.weights", "[0, 0, 0, 0, 0, 0, 0, 0]"],
        "`weights` of Ring are 0",
    ),
    "centres in space": (
        [
            *("--data.init_args.mixture", "datamodules.Mixture"),
            *("--data.init_args.mixture.init_args.centres", "[[0, 0, 0], [1, 1, 1]]"),
        ],
        "a point in the plane has 2 numbers",
    ),
    "points by an MLP of images": (
        ["--data", "datamodules.Digits"],
        r"MLP\w+ is no network of images",
    ),
    "a foreign distribution": (
        ["--data.init_args.mixture", "datamodules.downloads.TorchvisionDataModule"],
        "mixture",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_input(name: str, tmp_path: Path) -> None:
    options, said = WRONG[name]
    with pytest.raises(SystemExit, match=said) as ended:
        cli.main(["fit", "--config", CONFIG, "--trainer.default_root_dir", str(tmp_path), *options])
    assert "\n" not in str(ended.value.code)
