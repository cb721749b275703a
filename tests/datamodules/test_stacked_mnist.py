"""Triples of digits: their classes, their order, and what a resumed training sees of them."""

from collections import Counter
from itertools import chain
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from torchvision import datasets

from datamodules import StackedMNIST
from datamodules.loader import ResidentLoader
from gan_modules.parts import DataShares
from minmax.errors import MissingError, UserError
from tests.datamodules.test_resume import SaveAt, fit

pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec.*")

TRAIN, HELD_OUT = 100, 40
FIXED = 300


@pytest.fixture(autouse=True)
def mnist(monkeypatch: pytest.MonkeyPatch) -> None:
    """100 digits to train on and 40 held out, all as bright as their number, of its last figure."""

    def digits(root: str, train: bool, download: bool) -> SimpleNamespace:
        numbers = torch.arange(TRAIN) if train else torch.arange(TRAIN, TRAIN + HELD_OUT)
        pixels = numbers.to(torch.uint8).view(-1, 1, 1).expand(-1, 28, 28)
        return SimpleNamespace(data=pixels, targets=numbers % 10)

    monkeypatch.setattr(datasets, "MNIST", digits)
    monkeypatch.setattr("datamodules.stacked_mnist.DRAWS", FIXED)


def stacked(**options: Any) -> StackedMNIST:
    return StackedMNIST(**{"image_size": 28, "batch_size": 8, "epoch_images": 64, **options})


def numbers(images: Tensor) -> list[tuple[int, ...]]:
    """The numbers of the digits in float or uint8 images `[N, 3, H, W]`."""
    levels = images[:, :, 0, 0]
    if images.is_floating_point():
        levels = ((levels + 1) * 127.5).round()
    assert torch.equal(images, images[:, :, :1, :1].expand_as(images))
    return [tuple(row) for row in levels.int().tolist()]


def epoch_of(loader: ResidentLoader, epoch: int = 0) -> list[list[tuple[int, ...]]]:
    loader.sampler.set_epoch(epoch)
    return [numbers(images) for images, _ in loader]


def ranked(data: StackedMNIST, rank: int, world_size: int) -> ResidentLoader:
    strategy = SimpleNamespace(root_device=torch.device("cpu"))
    ranks = {"global_rank": rank, "world_size": world_size}
    data.trainer = SimpleNamespace(strategy=strategy, current_epoch=3, **ranks)
    return data.train_dataloader()


def test_a_class_is_a_number_whose_first_figure_is_the_first_channel() -> None:
    data = stacked()
    assert (data.channels, data.num_classes) == (3, 1000)
    assert data.class_names[417] == "417"
    (fresh, labels), *_ = data.train_dataloader()
    assert fresh.is_contiguous(memory_format=torch.channels_last)
    kinds = [(fresh, labels), data.split(train=True), data.split(train=False)]
    for images, classes in kinds:
        figures = ["".join(str(n % 10) for n in triple) for triple in numbers(images)]
        assert [data.class_names[label] for label in classes.tolist()] == figures
    assert min(map(max, numbers(fresh))) < TRAIN
    for images, train in ((fresh, True), (kinds[1][0], True), (kinds[2][0], False)):
        assert {n < TRAIN for triple in numbers(images) for n in triple} == {train}
    assert [len(images) for images, _ in kinds] == [8, FIXED, FIXED]


def test_digits_are_resized_as_those_of_mnist() -> None:
    data = stacked(image_size=32)
    for train in (True, False):
        (images, _), (digits, _) = data.split(train), data.digits.split(train)
        first = TRAIN * (not train)
        for image, triple in zip(images[:20], numbers(images[:20]), strict=True):
            assert torch.equal(image, torch.cat([digits[n - first] for n in triple]))


def test_triples_are_a_function_of_seed_epoch_and_index(monkeypatch: pytest.MonkeyPatch) -> None:
    first = epoch_of(stacked().train_dataloader(), 3)
    assert epoch_of(stacked().train_dataloader(), 3) == first
    fixed = numbers(stacked().split(train=True)[0])
    others = [epoch_of(stacked().train_dataloader(), 4)]
    monkeypatch.setenv("PL_GLOBAL_SEED", "1")
    others += [epoch_of(stacked().train_dataloader(), epoch) for epoch in (3, 2)]
    for other in others:
        assert not {*chain(*first)} & {*chain(*other)}, "fresh ones, not the same in another order"
    assert numbers(stacked().split(train=True)[0]) == fixed


def test_a_resumed_training_sees_the_rest_to_the_bit(tmp_path: Path) -> None:
    saver = SaveAt("batch", 1, 3, tmp_path / "a.ckpt")
    whole = fit({}, [saver], data=stacked())
    assert (saver.seen, len(whole)) == (12, 24)
    assert len({total for _, _, total in whole}) == 24
    assert fit({}, [], tmp_path / "a.ckpt", stacked()) == whole[12:]


def test_another_seed_goes_on_with_the_epochs_triples(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = epoch_of(stacked().train_dataloader(), 1)
    monkeypatch.setenv("PL_GLOBAL_SEED", "9")
    resumed = stacked(batch_size=16).train_dataloader()
    resumed.load_state_dict({"epoch": 1, "images": 32, "seed": 0})
    assert [*chain(*epoch_of(resumed, 1))] == [*chain(*whole[4:])]


def test_two_ranks_share_the_triples_of_one() -> None:
    alone = epoch_of(ranked(stacked(batch_size=16), 0, 1))
    ranks = [epoch_of(ranked(stacked(), rank, 2)) for rank in range(2)]
    assert len(alone) == len(ranks[0]) == len(ranks[1]) == 4
    for whole, *parts in zip(alone, *ranks, strict=True):
        assert Counter(whole) == Counter(parts[0]) + Counter(parts[1])


def test_an_epoch_has_the_length_that_is_asked_for() -> None:
    data = stacked(epoch_images=1000)  # ten times the digits
    loader = data.train_dataloader()
    assert (len(loader), loader.dataset_size, data.images_of_epoch()) == (125, 1000, 1000)
    assert loader._pixels.shape == (TRAIN, 28, 28, 1), "digits, not triples, are kept"
    for length in (0, -5):
        with pytest.raises(UserError, match=f"`epoch_images` is {length}, but must be at least 1"):
            stacked(epoch_images=length)
    with pytest.raises(
        UserError, match=r"`batch_size` is 8 .* only 5 training images.* or raise `epoch_images`"
    ):
        stacked(epoch_images=5).train_dataloader()


def test_some_digits_make_fewer_classes() -> None:
    data = stacked(classes=["7", 1])
    names = ["777", "771", "717", "711", "177", "171", "117", "111"]
    assert data.class_names == names
    images, labels = next(iter(data.train_dataloader()))
    figures = ["".join(str(n % 10) for n in triple) for triple in numbers(images)]
    assert [names[label] for label in labels.tolist()] == figures


def test_classes_are_counted_without_drawing_them() -> None:
    data, shares = stacked(classes=list(range(9))), DataShares()
    data.digits._splits[True, 28] = (
        torch.zeros(0),
        torch.arange(9).repeat_interleave(torch.arange(1, 10)),
    )
    counts = data.counts(train=True)
    assert counts[data.class_names.index("258")] == 3 * 6 * 9
    assert sum(counts) == 45**3
    shares.prepare(data.num_classes)
    shares.learn(data)
    drawn = shares(20_000, torch.device("cpu"))
    assert (drawn // 81 == 8).double().mean().item() == pytest.approx(9 / 45, abs=0.01)


def test_without_mnist_the_place_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    message = r"MNIST was not found, .* in `root` 'nowhere' .* or give as root a folder that holds"
    with pytest.raises(MissingError, match=message) as raised:
        StackedMNIST("nowhere").setup("fit")
    assert "\n" not in str(raised.value)
