"""Pictures: their files, sizes, times and contents."""

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor, nn
from torchvision.transforms.functional import pil_to_tensor

from gan_modules import ACGAN, GAN, GANModule
from minmax.callbacks.pictures import Pictures
from tests.gan_modules.helpers import (
    CLASSES,
    LATENT,
    SIZE,
    TinyConditionalGenerator,
    TinyGenerator,
    TinyImages,
    copied,
    equal,
    fit,
    make_model,
)

pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec.*", "ignore:Found .* in eval mode")


def freeze(parameters: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, lr=0.0)


def draw(folder: Path, model: GANModule, pictures: Pictures, **options: Any) -> dict[str, Tensor]:
    """Train, and read the run's pictures: grids uint8 `[3, H, W]` by name."""
    fit(model, TinyImages(), [pictures], default_root_dir=folder, **options)
    files = sorted((folder / "pictures").iterdir())
    return {file.name: pil_to_tensor(Image.open(file)) for file in files}


def tiles(grid: Tensor, columns: int) -> Tensor:
    """The images `[N, 3, SIZE, SIZE]` of a grid, between its borders of two pixels."""
    rows = (grid.shape[1] - 2) // (SIZE + 2)
    parts = [
        grid[:, 2 + row * (SIZE + 2) :, 2 + column * (SIZE + 2) :][:, :SIZE, :SIZE]
        for row in range(rows)
        for column in range(columns)
    ]
    return torch.stack(parts)


def side(count: int) -> int:
    return count * (SIZE + 2) + 2


def as_bytes(images: Tensor) -> Tensor:
    return ((images + 1) / 2 * 255 + 0.5).clamp(0, 255).to(torch.uint8).expand(-1, 3, -1, -1)


def test_files_and_their_sizes(tmp_path: Path) -> None:
    grids = draw(tmp_path, make_model(), Pictures(every_images=32, columns=3, rows=2), max_epochs=2)
    names = ("000000000", "000000032", "000000064", "last")
    assert set(grids) == {"real.png", "interpolation.png"} | {f"fake_{n}.png" for n in names}
    assert {grid.shape for grid in grids.values()} == {(3, side(2), side(3))}


@pytest.mark.parametrize(
    ("every", "expected"),
    [
        (20, [0, 24, 40]),  # the first batch that ends at or behind 20, 40, 60
        (8, [0, 8, 16, 24, 32, 40, 48]),
        (3, [0, 8, 16, 24, 32, 40, 48]),  # never more than one a batch
        (1000, [0]),
    ],
)
def test_the_schedule_counts_images(tmp_path: Path, every: int, expected: list[int]) -> None:
    grids = draw(tmp_path, make_model(), Pictures(every, 2, 2), max_epochs=-1, max_steps=6)
    names = [name[5:-4] for name in grids if name.startswith("fake_") and "last" not in name]
    assert names == [f"{images:09d}" for images in expected]


def test_a_resumed_run_keeps_the_schedule(tmp_path: Path) -> None:
    model = make_model()
    fit(model, TinyImages()).save_checkpoint(tmp_path / "a.ckpt")
    resumed = make_model()
    options = {"checkpoint": tmp_path / "a.ckpt", "max_epochs": 3}
    grids = draw(tmp_path, resumed, Pictures(30, 2, 2), **options)
    fakes = [name for name in grids if name.startswith("fake_")]
    assert fakes == ["fake_000000064.png", "fake_000000096.png", "fake_last.png"]


@pytest.mark.parametrize("trial", [False, True])
def test_pictures_of_an_abandoned_future_are_removed(tmp_path: Path, trial: bool) -> None:
    """But not by a trial, which keeps nothing."""
    fit(make_model(), TinyImages()).save_checkpoint(tmp_path / "a.ckpt")
    (tmp_path / "pictures").mkdir()
    for name in ("000000032", "000000040", "000000128", "mine_99"):
        Image.new("RGB", (8, 8)).save(tmp_path / "pictures" / f"fake_{name}.png")
    resumed = {"checkpoint": tmp_path / "a.ckpt", "max_epochs": 2}
    options = {"fast_dev_run": True} if trial else resumed
    grids = draw(tmp_path, make_model(), Pictures(1000, 2, 2), **options)
    fakes = [name[5:-4] for name in grids if name.startswith("fake_")]
    before = ["000000000"] if trial else []
    later = ["000000040", "000000128"] if trial else []
    assert fakes == [*before, "000000032", *later, "last", "mine_99"]


def test_grids_show_the_images(tmp_path: Path) -> None:
    """Held-out real images, and generated ones from latents that never change."""
    grids = []
    for seed in (0, 1):
        model = make_model(generator_optimizer=freeze, ema_half_life_images=100)
        torch.manual_seed(seed)
        grids.append(draw(tmp_path / str(seed), model, Pictures(16, 3, 2), max_epochs=1))
    assert grids[0].keys() == grids[1].keys()
    for name in grids[0]:
        if name in ("real.png", "interpolation.png") or name == "fake_000000000.png":
            assert torch.equal(grids[0][name], grids[1][name]), name
    data = TinyImages()
    held_out = as_bytes(torch.cat([images for images, _ in data.val_dataloader()]))
    real = tiles(grids[0]["real.png"], 3)
    which = [[torch.equal(tile, image) for image in held_out].index(True) for tile in real]
    assert len(set(which)) == 6
    assert which != sorted(which), "drawn at random, since a folder's images lie class by class"
    latents = torch.randn(16, LATENT, generator=torch.Generator().manual_seed(0))[:6]
    expected = as_bytes(model.sample(latents, torch.zeros(6, dtype=torch.int64)))
    assert torch.equal(tiles(grids[1]["fake_last.png"], 3), expected)


def test_the_same_latents_at_each_time(tmp_path: Path) -> None:
    class Constant(TinyGenerator):
        """Has no batch norm, so it doesn't change without updates."""

        def __init__(self, *arguments: int) -> None:
            super().__init__(*arguments)
            self.layers[1] = nn.Identity()

    model = make_model(generator=Constant, generator_optimizer=freeze)
    grids = draw(tmp_path, model, Pictures(8, 3, 2), max_epochs=1)
    fakes = [grid for name, grid in grids.items() if name.startswith("fake_")]
    assert len(fakes) == 6
    assert all(torch.equal(fakes[0], fake) for fake in fakes)
    assert len(tiles(fakes[0], 3).unique(dim=0)) == 6


class ClassPainter(TinyConditionalGenerator):
    """Paints the class as a gray level, and the first latent number as a column."""

    def forward(self, latent: Tensor, classes: Tensor) -> Tensor:
        levels = classes / CLASSES - 0.5
        images = levels[:, None, None, None].expand(-1, 1, SIZE, SIZE).clone()
        images[..., 0] = latent[:, :1, None] / 4
        return images + 0 * super().forward(latent, classes)


def test_rows_are_classes_for_a_conditional_generator(tmp_path: Path) -> None:
    model = make_model(ACGAN, generator=ClassPainter)
    grids = draw(tmp_path, model, Pictures(1000, columns=4, rows=2), max_epochs=1)
    levels = as_bytes(torch.arange(CLASSES)[:, None, None, None] / CLASSES - 0.5)[:, 0, 0, 0]
    for name in ("fake_000000000.png", "fake_last.png", "interpolation.png"):
        assert grids[name].shape == (3, side(CLASSES), side(4))
        images = tiles(grids[name], 4)[:, 0]
        assert torch.equal(images[:, :, 1:].amin(dim=(1, 2)), levels.repeat_interleave(4)), name
        assert torch.equal(images[:, :, 1:].amax(dim=(1, 2)), levels.repeat_interleave(4)), name
        assert len(images[:, 0, 0].unique()) > 3 * CLASSES, "latents differ"
    first_column = tiles(grids["interpolation.png"], 4)[:, 0, 0, 0].view(CLASSES, 4).float()
    steps = first_column.diff(dim=1)
    assert ((steps > 0).all(dim=1) | (steps < 0).all(dim=1)).any(), "a way, not separate latents"


def test_pictures_reach_tensorboard_over_images_seen(tmp_path: Path) -> None:
    logger = TensorBoardLogger(tmp_path, name="", version="")
    fit(make_model(), TinyImages(), [Pictures(16, 2, 2)], logger, log_every_n_steps=0)
    assert (tmp_path / "pictures" / "fake_000000016.png").is_file()
    logger.finalize("success")
    events = EventAccumulator(str(tmp_path), {"images": 0}).Reload()
    tags = {tag: [event.step for event in events.Images(tag)] for tag in events.Tags()["images"]}
    assert tags == {
        "images/real": [0],
        "images/fake": [0, 16, 32, 32],
        "images/interpolation": [32],
    }


@pytest.mark.parametrize("variant", [GAN, ACGAN])
def test_pictures_do_not_disturb_the_training(tmp_path: Path, variant: type[GANModule]) -> None:
    results = []
    for callbacks in ([], [Pictures(8, 2, 2)]):
        model = make_model(variant, ema_half_life_images=50)
        fit(model, TinyImages(), callbacks, max_epochs=2, default_root_dir=tmp_path)
        results.append(copied(model))
    assert equal(*results)


@pytest.mark.parametrize("name", ["every_images", "columns", "rows"])
def test_numbers_below_one_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"`Pictures.{name}` must be at least 1, got 0"):
        Pictures(**{name: 0})


def test_pictures_of_too_many_images_are_refused() -> None:
    with pytest.raises(ValueError, match=r"`Pictures\.columns` must be at most 10,000"):
        Pictures(rows=1_000_000)


def test_real_images_of_a_conditional_model_are_a_row_a_class(tmp_path: Path) -> None:
    data, columns = TinyImages(), 2
    model = make_model(ACGAN)
    real = tiles(draw(tmp_path, model, Pictures(16, columns, 1), max_epochs=1)["real.png"], columns)
    batches = list(data.val_dataloader())
    held_out = as_bytes(torch.cat([images for images, _ in batches]))
    labels = torch.cat([labels for _, labels in batches])
    which = [[torch.equal(tile, image) for image in held_out].index(True) for tile in real]
    assert labels[which].tolist() == [n for n in range(CLASSES) for _ in range(columns)]


def test_of_many_classes_some_have_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gan_modules.base.MOST_CLASSES", CLASSES - 1)
    grids = draw(tmp_path, make_model(ACGAN), Pictures(columns=3, rows=2), max_epochs=1)
    assert {grid.shape for grid in grids.values()} == {(3, side(2), side(3))}
