"""The order of the images, their normalisation, and the shards of several ranks."""

import os
import threading
from collections.abc import Iterable
from itertools import chain
from pathlib import Path

import numpy
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from datamodules import windows
from datamodules.chunks import PixelFile
from datamodules.loader import EpochShuffle, ResidentLoader
from datamodules.mapping import mapped
from datamodules.prefetching import PrefetchingLoader
from datamodules.windows import WindowShuffle
from minmax.errors import UserError


def numbered(count: int, channels: int = 1) -> torch.Tensor:
    """Images whose every pixel is the image's number."""
    numbers = torch.arange(count, dtype=torch.uint8)
    return numbers.view(-1, 1, 1, 1).expand(-1, channels, 2, 2).contiguous()


def joined(batches: Iterable[list[int]]) -> list[int]:
    return list(chain.from_iterable(batches))


def epoch_of(loader: ResidentLoader, epoch: int) -> list[list[int]]:
    loader.sampler.set_epoch(epoch)
    return [labels.tolist() for _, labels in loader]


def make(count: int = 23, batch_size: int = 4, **options: int) -> ResidentLoader:
    sampler = EpochShuffle(count, batch_size, **options)
    return ResidentLoader(numbered(count), torch.arange(count), batch_size, sampler)


@pytest.mark.parametrize("channels", [1, 3])
def test_every_level_is_normalised_exactly(channels: int) -> None:
    loader = ResidentLoader(numbered(256, channels), torch.arange(256), batch_size=256)
    ((images, labels),) = list(loader)
    assert images.shape == (256, channels, 2, 2)
    assert images.dtype == torch.float32
    assert labels.dtype == torch.int64
    expected = numbered(256, channels).float() / 127.5 - 1
    assert torch.equal(images, expected)
    assert images[0].eq(-1).all()
    assert images[255].eq(1).all()
    assert images.is_contiguous(memory_format=torch.channels_last)


def test_pixels_keep_their_places() -> None:
    images = torch.arange(2 * 3 * 4 * 5, dtype=torch.uint8).view(2, 3, 4, 5)
    ((batch, _),) = list(ResidentLoader(images, torch.zeros(2, dtype=torch.int64), 2))
    assert torch.equal(batch, images.float() / 127.5 - 1)


def test_images_and_labels_stay_together() -> None:
    for images, labels in make(100, 10, seed=5):
        assert torch.equal(((images[:, 0, 0, 0] + 1) * 127.5).round(), labels.float())


def test_order_is_a_function_of_seed_and_epoch() -> None:
    first = epoch_of(make(seed=1), 3)
    assert epoch_of(make(seed=1), 3) == first
    assert epoch_of(make(seed=1), 4) != first
    assert epoch_of(make(seed=2), 3) != first
    # One run's next epoch must not be the next run's first.
    assert epoch_of(make(seed=1), 1) != epoch_of(make(seed=2), 0)


def test_training_visits_only_whole_batches_of_different_images() -> None:
    loader = make(23, 4)
    batches = epoch_of(loader, 0)
    assert len(loader) == len(batches) == 5
    assert all(len(batch) == 4 for batch in batches)
    assert len(set(joined(batches))) == 20
    # What one epoch leaves out, another one shows.
    assert set(range(23)) == {i for epoch in range(9) for i in joined(epoch_of(loader, epoch))}


@pytest.mark.parametrize("world_size", [2, 3])
@pytest.mark.parametrize("count", [24, 29])
def test_ranks_together_see_what_one_rank_sees(world_size: int, count: int) -> None:
    alone = epoch_of(make(count, 4 * world_size, seed=7), 2)
    ranks = [
        epoch_of(make(count, 4, seed=7, rank=rank, world_size=world_size), 2)
        for rank in range(world_size)
    ]
    assert all(len(batches) == len(alone) for batches in ranks)
    for whole, *parts in zip(alone, *ranks, strict=True):
        assert sorted(whole) == sorted(joined(parts))  # equal multisets: disjoint too


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_evaluation_keeps_every_image_once(world_size: int) -> None:
    seen = []
    for rank in range(world_size):
        loader = make(23, 4, shuffle=False, rank=rank, world_size=world_size)
        batches = epoch_of(loader, rank)
        assert len(batches) == len(loader)
        assert joined(batches) == list(range(rank, 23, world_size))
        seen += joined(batches)
    assert sorted(seen) == list(range(23))


def test_sampler_serves_an_ordinary_loader() -> None:
    sampler = EpochShuffle(23, 4, seed=3)
    loader = DataLoader(TensorDataset(torch.arange(23)), batch_size=4, sampler=sampler)
    assert [batch.tolist() for (batch,) in loader] == epoch_of(make(23, 4, seed=3), 0)


def test_resuming_yields_the_rest_of_the_epoch_then_whole_ones() -> None:
    whole = [epoch_of(make(), epoch) for epoch in range(3)]
    interrupted = make()
    interrupted.sampler.set_epoch(1)
    batches = iter(interrupted)
    next(batches), next(batches)
    state = interrupted.state_dict()
    assert state == {"epoch": 1, "images": 8, "seed": 0}

    resumed = make()
    resumed.load_state_dict(state)
    assert resumed.state_dict() == state
    assert len(resumed) == 5
    assert epoch_of(resumed, 1) == whole[1][2:]
    assert epoch_of(resumed, 2) == whole[2]
    assert epoch_of(resumed, 1) == whole[1]


@pytest.mark.parametrize(("batch", "world_size"), [(4, 2), (5, 1), (3, 3), (20, 1)])
def test_another_batch_or_number_of_ranks_goes_on_with_the_images(
    batch: int, world_size: int
) -> None:
    order = joined(epoch_of(make(29, 1, seed=7), 1))
    seen: list[int] = []
    for rank in range(world_size):
        loader = make(29, batch, seed=9, rank=rank, world_size=world_size)
        loader.load_state_dict({"epoch": 1, "images": 12, "seed": 7})
        batches = epoch_of(loader, 1)
        assert all(len(images) == batch for images in batches)
        seen += joined(batches)
    whole = 17 // (batch * world_size) * batch * world_size
    assert sorted(seen) == sorted(order[12 : 12 + whole])


def test_a_position_is_not_applied_to_another_epoch() -> None:
    resumed = make()
    resumed.load_state_dict({"epoch": 0, "batch": 5})
    assert len(epoch_of(resumed, 1)) == 5


def test_an_iterator_that_is_never_used_changes_nothing() -> None:
    loader = make()
    loader.load_state_dict({"epoch": 1, "batch": 2})
    iter(loader)  # Lightning does this to see whether it can
    assert len(epoch_of(loader, 1)) == 3


# Flips


def sides(loader: ResidentLoader, epoch: int = 0) -> dict[int, bool]:
    """Whether each image of an epoch is flipped, by the image's number."""
    loader.sampler.set_epoch(epoch)
    seen = {}
    for images, numbers in loader:
        levels = ((images + 1) * 127.5).round()
        for image, number in zip(levels, numbers.tolist(), strict=True):
            is_flipped = bool(image[0, 0, 0] > image[0, 0, 2])
            stored = slopes(100)[number].float()
            assert torch.equal(image, stored.flip(2) if is_flipped else stored)
            seen[number] = is_flipped
    return seen


def slopes(count: int) -> torch.Tensor:
    """Colour images of 2x3 pixels, no two alike, each of which grows from left to right."""
    places = torch.arange(3 * 2 * 3).view(1, 3, 2, 3) * 8
    return (places + torch.arange(count).view(-1, 1, 1, 1)).to(torch.uint8)


def mirrored(batch_size: int = 4, mirror: bool = True, **options: int) -> ResidentLoader:
    sampler = EpochShuffle(100, batch_size, **options)
    return ResidentLoader(slopes(100), torch.arange(100), batch_size, sampler, mirror=mirror)


def test_flips_are_a_function_of_seed_epoch_and_image() -> None:
    first = sides(mirrored(seed=1), 3)
    assert len(first) == 100
    assert 30 < sum(first.values()) < 70
    assert sides(mirrored(seed=1), 3) == first
    for other in (sides(mirrored(seed=1), 4), sides(mirrored(seed=2), 3)):
        assert 30 < sum(first[number] != other[number] for number in first) < 70


def test_flips_are_those_of_a_single_rank_with_another_batch() -> None:
    alone = sides(mirrored(10, seed=1), 2)
    ranks = [sides(mirrored(5, seed=1, rank=rank, world_size=2), 2) for rank in range(2)]
    assert ranks[0] | ranks[1] == alone


def test_flips_go_on_after_an_interruption() -> None:
    whole, interrupted = sides(mirrored(10, seed=1), 2), mirrored(10, seed=1)
    interrupted.sampler.set_epoch(2)
    for _ in zip(range(4), interrupted, strict=False):
        pass
    resumed = mirrored(20, seed=9)  # of another batch and seed
    resumed.load_state_dict(interrupted.state_dict() | {"images": 40})
    rest = sides(resumed, 2)
    assert len(rest) == 60
    assert {number: whole[number] for number in rest} == rest


def test_flips_change_neither_the_order_nor_images_if_off() -> None:
    on, off = mirrored(seed=3), mirrored(seed=3, mirror=False)
    assert not any(sides(off).values())
    assert epoch_of(on, 1) == epoch_of(off, 1)
    assert next(iter(on))[0].is_contiguous(memory_format=torch.channels_last)


def windowed(size: int = 103, batch: int = 4, **options: int) -> WindowShuffle:
    """Blocks of 5 images, windows of 3 blocks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(windows, "BLOCK_BYTES", 59)
        given = {"shuffle": True, "seed": 0, "rank": 0, "world_size": 1, **options}
        return WindowShuffle(size, 10, 170, batch, *given.values())


def test_windows_hold_whole_blocks_and_an_epoch_every_image() -> None:
    sampler = windowed()
    order = sampler.shuffled()
    assert sorted(order) == [*range(103)]
    seen = 0
    for blocks in sampler.windows():
        held = sorted(order[seen : seen + 15 - 2 * (20 in blocks)])
        assert len(blocks) <= 3
        assert held == sorted(i for b in blocks for i in range(5 * b, min(5 * b + 5, 103)))
        seen += len(held)
    unshuffled = sampler.images(sampler.windows()[0])
    assert order[: len(unshuffled)].tolist() != unshuffled.tolist(), "nor are images side by side"
    other = windowed()
    other.set_epoch(1)
    assert other.shuffled().tolist() != order.tolist()
    assert windowed(seed=1).shuffled().tolist() != order.tolist()


def test_ranks_and_resumed_epochs_share_windows_as_one_rank_does() -> None:
    alone = windowed(batch=8).indices().tolist()
    ranks = [windowed(batch=4, rank=rank, world_size=2).indices().tolist() for rank in range(2)]
    for start in range(0, len(alone), 8):
        parts = [part[start // 2 : start // 2 + 4] for part in ranks]
        assert sorted(joined(parts)) == sorted(alone[start : start + 8])
    assert windowed(batch=8).indices(start=32).tolist() == alone[32:]


@pytest.mark.parametrize(
    ("stored", "window_gb", "window"),
    [(16e9, None, 0), (16.1e9, None, 1e9), (16.1e9, 0, 0), (3e9, 2, 2e9), (2e9, 2, 0)],
)
def test_the_window_depends_on_the_set_and_the_option_alone(
    stored: float, window_gb: float | None, window: float
) -> None:
    assert windows.window_bytes(int(stored), window_gb) == window


@pytest.mark.parametrize("kind", ["whole", "windows"])
def test_prefetched_batches_are_those_from_memory(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also after an interruption in the middle of an epoch, and in the next epoch."""
    monkeypatch.setattr(windows, "memory_limit", lambda: 0)  # used windows are given back
    file = PixelFile(tmp_path / "images.npy", (103, 2, 3, 3))
    file.allocate()
    stored = numpy.random.default_rng(0).integers(0, 256, file.shape, dtype=numpy.uint8)
    numpy.save(file.path, stored)
    images, labels = mapped(file), torch.arange(103)
    assert images.permute(0, 2, 3, 1).numpy().tolist() == stored.tolist()

    def order() -> EpochShuffle:
        return windowed(seed=5) if kind == "windows" else EpochShuffle(103, 4, seed=5)

    plain = ResidentLoader(images.clone(), labels, 4, order(), mirror=True)
    ahead = PrefetchingLoader(file, images, labels, 4, order(), mirror=True)
    for epoch in (3, 4):
        for loader in (plain, ahead):
            loader.sampler.set_epoch(epoch)
        pairs = [*zip(plain, ahead, strict=True)]
        assert len(pairs) == 25
        for (left, these), (right, those) in pairs:
            assert left.equal(right)
            assert these.equal(those)
            assert right.is_contiguous(memory_format=torch.channels_last)
    if kind == "windows":
        assert ahead.ahead is not None
        assert ahead.ahead.bytes >= stored.nbytes
    rest = PrefetchingLoader(file, images, labels, 4, order(), mirror=True)
    stopped = iter(ahead)
    for _ in range(7):
        next(stopped)
    rest.load_state_dict(ahead.state_dict())
    stopped.close()
    rest.sampler.set_epoch(4)
    assert all(one[0].equal(two[1][0]) for one, two in zip(rest, pairs[7:], strict=True))
    assert not [t for t in threading.enumerate() if t.name.startswith(("batches", "windows"))]


@pytest.mark.parametrize("harm", ["removed", "cut short"])
def test_a_file_that_is_gone_or_cut_short_in_training_is_named(tmp_path: Path, harm: str) -> None:
    file = PixelFile(tmp_path / "images.npy", (103, 2, 3, 3))
    file.allocate()
    loader = PrefetchingLoader(file, mapped(file), torch.arange(103), 4, windowed())
    batches = iter(loader)
    next(batches)
    if harm == "removed":
        file.path.unlink()
    else:
        os.truncate(file.path, 200)
    with pytest.raises(UserError, match=r"images.npy can't be read any more .*--resume true"):
        list(batches)
