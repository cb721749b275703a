"""What every data module does: class subsets, errors, decoding once, options, ranks."""

import os
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from jsonargparse import ArgumentParser
from torch import Tensor

from datamodules import Digits, ImageDataModule, images
from datamodules.base import select_classes

NAMES = ("cat", "dog", "7")


class Plain(ImageDataModule):
    """Sixty images: twenty of each class, as bright as ten times their label, plus ten."""

    def __init__(self, **options: Any) -> None:
        given = {"image_size": 4, "grayscale": True, "batch_size": 5, **options}
        super().__init__(NAMES, **given)
        self.loads: list[bool] = []

    def load(self, train: bool) -> tuple[Tensor, Tensor]:
        self.loads.append(train)
        labels = torch.arange(60) % 3
        pixels = (labels * 10 + 10).to(torch.uint8)
        return pixels.view(-1, 1, 1, 1).expand(-1, 1, 4, 4).contiguous(), labels


def attach(data: ImageDataModule, rank: int = 0, world_size: int = 1, epoch: int = 0) -> None:
    strategy = SimpleNamespace(root_device=torch.device("cpu"))
    trainer = SimpleNamespace(
        strategy=strategy, global_rank=rank, world_size=world_size, current_epoch=epoch
    )
    data.trainer = trainer  # type: ignore[assignment]


def test_attributes_exist_before_anything_is_read() -> None:
    data = Plain(classes=["dog", "cat"], grayscale=False, image_size=8)
    assert (data.channels, data.image_size, data.num_classes) == (3, 8, 2)
    assert data.class_names == ["dog", "cat"]
    assert data.loads == []


@pytest.mark.parametrize("wanted", [["dog", "cat"], [1, 0], ["1", "0"]])
def test_a_subset_is_renumbered_in_the_order_given(wanted: list[str | int]) -> None:
    data = Plain(classes=wanted)
    for loader in (data.train_dataloader(), data.val_dataloader()):
        assert loader.dataset_size == 40
        for batch, labels in loader:
            expected = torch.where(labels == 0, 20, 10)
            assert torch.equal(((batch[:, 0, 0, 0] + 1) * 127.5).round(), expected.float())


def test_a_name_goes_before_a_number() -> None:
    assert select_classes(NAMES, ["7"]) == [2]
    assert select_classes(NAMES, [7]) == [2]
    assert select_classes(("1", "0"), [1]) == [0]


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ({"classes": ["cow"]}, ["`classes`", "'cow'", "0: cat, 1: dog, 2: 7"]),
        ({"classes": [3]}, ["`classes`", "holds 3", "1: dog"]),
        ({"classes": ["-1"]}, ["`classes`", "'-1'"]),
        ({"classes": ["dog", 1]}, ["`classes`", "1 twice"]),
        ({"classes": []}, ["`classes`", "empty", "2: 7"]),
        ({"image_size": 0}, ["`image_size` is 0", "at least 1"]),
        ({"batch_size": -3}, ["`batch_size` is -3", "at least 1"]),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], parts: list[str]) -> None:
    with pytest.raises(ValueError, match="`") as caught:
        Plain(**options)
    assert all(part in str(caught.value) for part in parts), str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("batch_size", "world_size"), [(61, 1), (31, 2)])
def test_a_batch_larger_than_the_data_is_refused(batch_size: int, world_size: int) -> None:
    data = Plain(batch_size=batch_size)
    attach(data, world_size=world_size)
    with pytest.raises(ValueError, match="`") as caught:
        data.train_dataloader()
    assert f"is {batch_size} on {world_size} process" in str(caught.value)
    assert "60 training images" in str(caught.value)
    assert f"at most {60 // world_size}" in str(caught.value)


def test_the_largest_batch_is_accepted() -> None:
    data = Plain(batch_size=60)
    assert len(data.train_dataloader()) == 1


def test_each_split_is_decoded_once() -> None:
    data = Plain()
    data.setup("fit")
    assert data.loads == [True], "nothing that the stage may not need"
    data.train_dataloader(), data.val_dataloader()
    data.setup("fit"), data.setup("validate"), data.setup("test")
    data.train_dataloader(), data.val_dataloader(), data.test_dataloader()
    assert data.loads == [True, False]


def test_ranks_share_the_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PL_GLOBAL_SEED", "5")
    seen = []
    for rank in range(2):
        data = Plain(batch_size=10)
        attach(data, rank, 2)
        seen.append(data.train_dataloader().sampler.indices())
    alone = Plain(batch_size=20).train_dataloader().sampler.indices()
    for batch in range(3):
        part = slice(batch * 10, batch * 10 + 10)
        both = torch.cat([seen[0][part], seen[1][part]]).sort().values
        assert torch.equal(both, alone[batch * 20 : batch * 20 + 20].sort().values)


def test_the_seed_and_the_trainers_epoch_give_the_order(monkeypatch: pytest.MonkeyPatch) -> None:
    def order(seed: str | None, epoch: int) -> list[int]:
        if seed is None:
            monkeypatch.delenv("PL_GLOBAL_SEED", raising=False)
        else:
            monkeypatch.setenv("PL_GLOBAL_SEED", seed)
        data = Plain(image_size=4)
        attach(data, epoch=epoch)
        loader = data.train_dataloader()
        next(iter(loader))
        return loader.sampler.indices().tolist()

    assert order("1", 0) == order("1", 0)
    assert order("1", 0) != order("2", 0)
    assert order("1", 0) != order("1", 1)
    assert order(None, 0) == order("0", 0)


def test_training_images_alone_are_flipped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures and scores show what is held out, and `split`, as it is."""
    monkeypatch.delenv("PL_GLOBAL_SEED", raising=False)
    on, off = Digits(image_size=8, mirror=True), Digits(image_size=8)
    for (flipped, labels), (stored, same) in zip(
        on.train_dataloader(), off.train_dataloader(), strict=True
    ):
        assert torch.equal(labels, same)
        turned = (flipped != stored).flatten(1).any(1)
        assert 10 < turned.sum() < 54
        assert torch.equal(flipped[turned], stored[turned].flip(3))
    for (kept, _), (stored, _) in zip(on.val_dataloader(), off.val_dataloader(), strict=True):
        assert torch.equal(kept, stored)
    assert torch.equal(on.split(train=True)[0], off.split(train=True)[0])


def test_digits() -> None:
    data = Digits(image_size=16, batch_size=100)
    assert (data.channels, data.num_classes, data.class_names[3]) == (1, 10, "3")
    train, held_out = data.train_dataloader(), data.val_dataloader()
    assert (train.dataset_size, held_out.dataset_size) == (1618, 179)
    batch, labels = next(iter(train))
    assert batch.shape == (100, 1, 16, 16)
    assert batch.min() == -1
    assert batch.max() == 1
    assert labels.unique().tolist() == list(range(10))


def test_digits_keep_their_pixels_at_their_own_size() -> None:
    from sklearn.datasets import load_digits

    batch, labels = next(iter(Digits(image_size=8, batch_size=3).val_dataloader()))
    levels = torch.from_numpy(load_digits().images[9:30:10] * 255 / 16).round().float()
    assert torch.equal(((batch[:, 0] + 1) * 127.5).round(), levels)
    assert labels.tolist() == load_digits().target[9:30:10].tolist()


def test_options_can_be_given_in_yaml_and_on_the_command_line() -> None:
    parser = ArgumentParser()
    parser.add_subclass_arguments(ImageDataModule, "data")
    arguments = ["--data=datamodules.Digits", "--data.init_args.batch_size=7"]
    for classes in ("[3, 1]", '["3", "1"]'):
        config = parser.parse_args([*arguments, f"--data.init_args.classes={classes}"])
        data = parser.instantiate_classes(config).data
        assert isinstance(data, Digits)
        assert (data.class_names, data.batch_size) == (["3", "1"], 7)


def test_large_data_go_to_a_temporary_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(images.tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(images, "available_memory", lambda: 2 * (2 * 3 * 4 * 4))
    with caplog.at_level("INFO"):
        images.allocate(2, 3, 4)
    assert "temporary file" not in caplog.text
    monkeypatch.setattr(images, "available_memory", lambda: 2 * (2 * 3 * 4 * 4) - 1)
    in_memory = torch.arange(2 * 3 * 4 * 4, dtype=torch.uint8).view(2, 3, 4, 4)
    with caplog.at_level("INFO"):
        stored = images.allocate(2, 3, 4)
    assert "temporary file" in caplog.text
    assert str(tmp_path) in caplog.text
    stored[:] = in_memory
    assert torch.equal(stored, in_memory)
    assert stored.is_contiguous(memory_format=torch.channels_last)
    assert os.listdir(tmp_path) == [], "nothing may stay behind"


def test_available_memory_is_plausible() -> None:
    assert 1 << 24 < images.available_memory() < 1 << 50


def test_grayscale_is_the_luma_of_itu_r_601() -> None:
    from PIL import Image

    pixels = torch.randint(0, 256, (1, 3, 50, 50), dtype=torch.uint8)
    picture = Image.fromarray(pixels[0].permute(1, 2, 0).numpy())
    gray = images.to_grayscale(pixels)[0, 0]
    assert gray.flatten().tolist() == list(picture.convert("L").tobytes())
    white = torch.full((1, 3, 1, 1), 255, dtype=torch.uint8)
    assert images.to_grayscale(white).item() == 255


def test_resizing_is_antialiased_and_crops_the_centre() -> None:
    from PIL import Image

    pixels = torch.randint(0, 256, (64, 64), dtype=torch.uint8)
    small = images.resize(pixels.view(1, 1, 64, 64), 8).flatten().int()
    expected = Image.fromarray(pixels.numpy()).resize((8, 8), Image.Resampling.BILINEAR)
    assert small.sub(torch.tensor(list(expected.tobytes()))).abs().max() <= 1
    wide = torch.zeros(1, 1, 4, 12, dtype=torch.uint8)
    wide[..., 4:8] = 200
    assert images.resize(wide, 4).eq(200).all()
    assert images.resize(wide.transpose(2, 3), 4).eq(200).all()


def test_conforming_makes_the_channels_asked_for() -> None:
    gray = torch.full((3, 1, 4, 4), 9, dtype=torch.uint8)
    assert images.conform(gray, 3, 8, "").eq(9).all()
    assert images.conform(gray, 3, 8, "").shape == (3, 3, 8, 8)
    colour = torch.full((3, 3, 4, 4), 9, dtype=torch.uint8)
    assert images.conform(colour, 1, 2, "").shape == (3, 1, 2, 2)
    assert images.conform(gray, 1, 4, "") is gray
