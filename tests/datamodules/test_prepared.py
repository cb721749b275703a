"""Prepared sets: decoded once, found again, never used if they are stale or damaged."""

import errno
import os
import resource
from pathlib import Path
from typing import Any, cast

import numpy
import pytest
import torch
from PIL import Image

from datamodules import ImageFolder, chunks, workers
from datamodules import base as base_module
from datamodules.chunks import Job
from datamodules.description import Description
from datamodules.stores.reading import CHANGED
from datamodules.wanted import made_of
from minmax.errors import UserError

COUNT = 30


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Images of two classes, no two alike."""
    for number in range(COUNT):
        folder = tmp_path / "data" / "ab"[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        pixels = numpy.random.default_rng(number).integers(0, 256, (9, 7, 3), dtype=numpy.uint8)
        Image.fromarray(pixels).save(folder / f"{number:03}.png")
    return tmp_path / "data"


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "CHUNK_IMAGES", 4)


def folder_of(root: Path, **options: Any) -> ImageFolder:
    given = {"image_size": 8, "val_fraction": 0, "prepared": str(root.parent / "sets")}
    return ImageFolder(str(root), **(given | options))


def sets_of(root: Path) -> list[Path]:
    return sorted((root.parent / "sets").glob("*"))


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Collects how many images were decoded."""
    counts: list[int] = []
    whole = chunks.decoded

    def count(source: Any, decoding: Any, images: range) -> Any:
        counts.append(len(images))
        return whole(source, decoding, images)

    monkeypatch.setattr(chunks, "decoded", count)
    return counts


def test_the_second_start_maps_what_the_first_has_made(root: Path, decoded: list[int]) -> None:
    expected, labels = folder_of(root).load(train=True)
    for _ in range(2):
        images, found = folder_of(root).split(train=True)
        assert images.equal(expected)
        assert found.equal(labels)
        assert images.is_contiguous(memory_format=torch.channels_last)
        images[0] = 0  # stays in this process
    assert sum(decoded) == COUNT
    (home,) = sets_of(root)
    assert sorted(file.name for file in home.iterdir()) == [
        *("description.json", "images.npy", "labels.npy"),
    ]
    stored = numpy.load(home / "images.npy")
    assert (stored == expected.permute(0, 2, 3, 1).numpy()).all()
    assert numpy.load(home / "labels.npy").tolist() == labels.tolist()


@pytest.mark.parametrize("change", ["file", "size", "grayscale", "background", "classes"])
def test_another_set_is_made_for_other_images_or_options(
    root: Path, decoded: list[int], change: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder_of(root).split(train=True)
    options: dict[str, Any] = {
        "size": {"image_size": 6},
        "grayscale": {"grayscale": True},
        "background": {"background": "black"},
        "classes": {"classes": ["b"]},
    }.get(change, {})
    if change == "file":
        Image.new("RGB", (7, 9), "red").save(root / "a" / "000.png")
    images, _ = folder_of(root, **options).split(train=True)
    assert sum(decoded) == COUNT + len(images)
    assert images.equal(folder_of(root, **options).load(train=True)[0])
    assert ("are not those that were prepared" in capsys.readouterr().err) == (change == "file")


def cut(home: Path) -> None:
    os.truncate(home / "images.npy", 500)


def lie(home: Path) -> None:
    file = home / "description.json"
    file.write_text(file.read_text().replace('"size": 8', '"size": 6'))


def swap(home: Path) -> None:
    numpy.save(home / "images.npy", numpy.zeros((COUNT, 6, 8, 4), numpy.uint8))


@pytest.mark.parametrize("damage", [cut, lie, swap])
def test_a_damaged_set_is_made_anew(
    root: Path, decoded: list[int], damage: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    folder_of(root).split(train=True)
    (home,) = sets_of(root)
    damage(home)
    images, _ = folder_of(root).split(train=True)
    assert images.equal(folder_of(root).load(train=True)[0])
    assert sum(decoded) == 2 * COUNT
    assert "is damaged" in capsys.readouterr().err
    Description.read(home)


def test_an_interrupted_one_goes_on_with_its_sound_chunks(
    root: Path, decoded: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Job.make

    def make(job: Job, chunk: int) -> Any:
        if chunk >= 5:
            raise KeyboardInterrupt
        return whole(job, chunk)

    with monkeypatch.context() as patch:
        patch.setattr(Job, "make", make)
        patch.setattr(workers, "cores", lambda: 1)
        with pytest.raises(KeyboardInterrupt):
            folder_of(root).split(train=True)
    (part,) = sets_of(root)
    assert part.suffix == ".part"
    assert sum(decoded) == 5 * 4
    with (part / "images.npy").open("r+b") as file:  # of the second chunk
        file.seek(128 + 5 * 8 * 8 * 3)
        file.write(b"damage")
    images, _ = folder_of(root).split(train=True)
    assert images.equal(folder_of(root).load(train=True)[0])
    assert sum(decoded) == COUNT + 4, "the damaged chunk is made again, the four others are kept"
    assert [home.suffix for home in sets_of(root)] == [""]


def test_processes_write_what_threads_do(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "cores", lambda: 2)
    monkeypatch.setattr(workers, "WORTH_PROCESSES", 1)
    monkeypatch.setattr(Job, "make", None)  # of this process
    (root / "a" / "100.png").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"^Image file .*a/100\.png can't be read .*: delete"):
        folder_of(root).split(train=True)
    assert sets_of(root) == []
    (root / "a" / "100.png").unlink()
    images, _ = folder_of(root).split(train=True)
    assert images.equal(folder_of(root).load(train=True)[0])


@pytest.mark.parametrize("change", ["rewritten", "vanished"])
def test_data_that_change_while_they_are_read(
    root: Path, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Job.make

    def make(job: Job, chunk: int) -> Any:
        file = root / "b" / "029.png"
        file.write_bytes(b"") if change == "rewritten" else file.unlink(missing_ok=True)
        return whole(job, chunk)

    monkeypatch.setattr(Job, "make", make)
    with pytest.raises(UserError, match=r"data: files in it have changed while .*b/029\.png"):
        folder_of(root).split(train=True)
    assert sets_of(root) == []


def test_an_archive_that_changes_while_it_is_read(root: Path) -> None:
    class Changed:
        def made_of(self) -> Any:
            raise OSError(CHANGED)

    with pytest.raises(UserError, match="the data lies in a file that changed"):
        made_of(cast(Any, Changed()))


def test_a_full_disk_is_named_before_anything_is_decoded(root: Path, decoded: list[int]) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        with pytest.raises(UserError, match=r"no room for 5.89e-06 GB .*/sets \(File too large\)"):
            folder_of(root).split(train=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert sets_of(root) == []
    assert decoded == []


def test_a_disk_that_is_full_when_the_labels_are_written(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, save = resource.getrlimit(resource.RLIMIT_FSIZE), numpy.save

    def save_many(file: Any, labels: Any) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
        save(file, numpy.zeros(2000))

    monkeypatch.setattr(numpy, "save", save_many)
    try:
        with pytest.raises(UserError, match=r"no room for .*/sets \(File too large\)"):
            folder_of(root).split(train=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_without_permission_images_are_decoded_at_each_start(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    expected, _ = folder_of(root).split(train=True)
    with monkeypatch.context() as patch:  # a shared folder that can be read
        patch.setattr("datamodules.prepared.locked", refuse)
        patch.setattr(base_module.ImageDataModule, "load", None)
        assert folder_of(root).split(train=True)[0].equal(expected)
    (root.parent / "file").touch()
    for place in (str(root.parent / "file"), "/proc/none"):  # where nobody can make folders
        images, _ = folder_of(root, prepared=place).split(train=True)
        assert images.equal(expected)
