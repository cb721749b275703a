"""Data sets read through torchvision: contents, missing files, interrupted downloads."""

import io
import pickle
import struct
import threading
import time
import urllib.request
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.error import URLError

import numpy
import pytest
import torch
from PIL import Image
from torchvision import datasets

from datamodules import CIFAR10, MNIST, STL10, CelebA, FashionMNIST


def write_mnist(root: Path, count: int = 12) -> None:
    """Images as bright as their number, in the idx files of MNIST."""
    folder = root / "MNIST" / "raw"
    folder.mkdir(parents=True)
    for split in ("train", "t10k"):
        pixels = numpy.repeat(numpy.arange(count, dtype=numpy.uint8), 28 * 28)
        header = struct.pack(">IIII", 0x803, count, 28, 28)
        (folder / f"{split}-images-idx3-ubyte").write_bytes(header + pixels.tobytes())
        labels = bytes(number % 10 for number in range(count))
        header = struct.pack(">II", 0x801, count)
        (folder / f"{split}-labels-idx1-ubyte").write_bytes(header + labels)


def levels(images: torch.Tensor) -> list[float]:
    return ((images[:, 0, 0, 0] + 1) * 127.5).round().tolist()


def test_mnist_is_read_and_resized(tmp_path: Path) -> None:
    write_mnist(tmp_path)
    data = MNIST(str(tmp_path), image_size=32, batch_size=12)
    data.prepare_data()
    data.setup("fit")
    assert (data.channels, data.num_classes) == (1, 10)
    images, labels = next(iter(data.val_dataloader()))
    assert images.shape == (12, 1, 32, 32)
    assert levels(images) == list(range(12))
    assert labels.tolist() == [*range(10), 0, 1]
    images, labels = next(iter(data.train_dataloader()))
    assert [level % 10 for level in levels(images)] == labels.tolist()


def fake(monkeypatch: pytest.MonkeyPatch, name: str, **content: Any) -> list[dict[str, Any]]:
    calls: list[dict[str, Any]] = []

    def construct(root: str, **arguments: Any) -> SimpleNamespace:
        calls.append(arguments)
        return SimpleNamespace(root=root, **content)

    monkeypatch.setattr(datasets, name, construct)
    return calls


def test_cifar10_has_its_channels_in_the_right_order(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = numpy.zeros((2, 32, 32, 3), dtype=numpy.uint8)
    pixels[1, 3, 5] = (255, 100, 7)
    calls = fake(monkeypatch, "CIFAR10", data=pixels, targets=[9, 0])
    data = CIFAR10("nowhere", batch_size=2)
    images, labels = next(iter(data.val_dataloader()))
    assert ((images[1, :, 3, 5] + 1) * 127.5).round().tolist() == [255, 100, 7]
    assert labels.tolist() == [9, 0]
    assert calls == [{"train": False, "download": False}]
    gray = CIFAR10("nowhere", batch_size=2, grayscale=True)
    assert gray.channels == 1
    images, _ = next(iter(gray.val_dataloader()))
    expected = round(0.299 * 255 + 0.587 * 100 + 0.114 * 7)
    assert ((images[1, 0, 3, 5] + 1) * 127.5).round().item() == expected


def test_stl10(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = numpy.full((2, 3, 96, 96), 40, dtype=numpy.uint8)
    calls = fake(monkeypatch, "STL10", data=pixels, labels=numpy.array([3, 1], dtype=numpy.uint8))
    data = STL10("nowhere", image_size=48, batch_size=2)
    images, labels = next(iter(data.val_dataloader()))
    assert images.shape == (2, 3, 48, 48)
    assert levels(images) == [40, 40]
    assert labels.dtype == torch.int64
    data.train_dataloader()
    assert [call["split"] for call in calls] == ["test", "train"]


def test_celeba_decodes_its_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = tmp_path / "celeba" / "img_align_celeba"
    folder.mkdir(parents=True)
    for name, colour in (("1.png", 10), ("2.png", 20)):
        Image.new("RGB", (178, 218), (colour,) * 3).save(folder / name)
    fake(monkeypatch, "CelebA", base_folder="celeba", filename=["1.png", "2.png"])
    data = CelebA(str(tmp_path), image_size=16, batch_size=2)
    assert data.class_names == ["face"]
    images, labels = next(iter(data.val_dataloader()))
    assert images.shape == (2, 3, 16, 16)
    assert levels(images) == [10, 20]
    assert labels.tolist() == [0, 0]


def test_class_names_are_torchvisions() -> None:
    assert list(FashionMNIST.names) == datasets.FashionMNIST.classes
    assert list(MNIST.names) == [name.split(" ")[0] for name in datasets.MNIST.classes]


def test_cifar10_is_read_from_its_files(tmp_path: Path, monkeypatch: Any) -> None:
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    entry = {"data": numpy.zeros((1, 3072), dtype=numpy.uint8), "labels": [0]}
    for name in ("test_batch", *(f"data_batch_{number}" for number in range(1, 6))):
        (folder / name).write_bytes(pickle.dumps(entry))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": list(CIFAR10.names)}))
    monkeypatch.setattr(datasets.cifar, "check_integrity", lambda *_: True)
    data = CIFAR10(str(tmp_path), batch_size=5)
    assert data.train_dataloader().dataset_size == 5
    assert data.val_dataloader().dataset_size == 1


@pytest.mark.parametrize(
    ("kind", "layout"),
    [
        (MNIST, "MNIST/raw/"),
        (FashionMNIST, "FashionMNIST/raw/"),
        (CIFAR10, "cifar-10-batches-py/"),
        (STL10, "stl10_binary/"),
        (CelebA, "celeba/"),
    ],
)
def test_missing_files(tmp_path: Path, kind: Any, layout: str) -> None:
    data = kind(str(tmp_path / "none"), batch_size=2)
    data.prepare_data()  # without permission to download nothing happens
    with pytest.raises(FileNotFoundError) as caught:
        data.setup("fit")
    message = str(caught.value)
    for part in (
        kind.__name__,
        "`root`",
        str(tmp_path / "none"),
        "`download` true",
        layout,
    ):
        assert part in message
    assert "\n" not in message
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("kind", [MNIST, FashionMNIST, CIFAR10, STL10])
def test_downloading_without_internet(
    tmp_path: Path, kind: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise URLError("no route to host")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    with pytest.raises(ConnectionError) as caught:
        kind(str(tmp_path), batch_size=2, download=True).prepare_data()
    message = str(caught.value)
    for part in (kind.__name__, "connect to the internet", "`root`", str(tmp_path)):
        assert part in message
    assert "\n" not in message
    assert list(tmp_path.iterdir()) == []


def test_half_a_download_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Half(io.BytesIO):
        length = 100
        url = None

        def __enter__(self) -> "Half":
            return self

    monkeypatch.setattr(urllib.request, "urlopen", lambda *_, **__: Half(b"half a file"))
    data = MNIST(str(tmp_path), batch_size=2, download=True)
    with pytest.raises(ConnectionError, match="MNIST"):
        data.prepare_data()
    assert list(tmp_path.iterdir()) == []


def test_a_download_that_breaks_while_unpacking_is_done_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_off(self: Any) -> None:
        write_mnist(Path(self.root))
        (Path(self.root) / "MNIST/raw/train-images-idx3-ubyte").write_bytes(b"half")
        raise TimeoutError("timed out")

    data = MNIST(str(tmp_path), batch_size=2, download=True)
    monkeypatch.setattr(datasets.MNIST, "download", break_off)
    with pytest.raises(ConnectionError, match="timed out"):
        data.prepare_data()
    assert list(tmp_path.iterdir()) == []

    downloads = []

    def succeed(self: Any) -> None:
        if not downloads:
            write_mnist(Path(self.root))
        downloads.append(self.root)

    monkeypatch.setattr(datasets.MNIST, "download", succeed)
    data.prepare_data()
    assert [path.name for path in tmp_path.iterdir()] == ["MNIST"]
    data.setup("fit")
    assert data.train_dataloader().dataset_size == 12
    downloads_before = len(downloads)
    data.prepare_data()
    assert len(downloads) == downloads_before, "what is there is not fetched again"


def test_damaged_files_are_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_mnist(tmp_path)
    broken = tmp_path / "MNIST/raw/train-images-idx3-ubyte"
    broken.write_bytes(broken.read_bytes()[:1000])
    with pytest.raises(FileNotFoundError, match="damaged"):
        MNIST(str(tmp_path), batch_size=2).setup("fit")

    def succeed(self: Any) -> None:
        if not (Path(self.root) / "MNIST").exists():
            write_mnist(Path(self.root))

    monkeypatch.setattr(datasets.MNIST, "download", succeed)
    data = MNIST(str(tmp_path), batch_size=2, download=True)
    data.prepare_data()
    assert data.train_dataloader().dataset_size == 12


def test_two_downloads_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second one waits for the first, and takes what that has fetched."""
    roots = set()

    def fetch(self: Any) -> None:
        roots.add(self.root)
        if not (Path(self.root) / "MNIST").exists():
            time.sleep(0.3)
            write_mnist(Path(self.root))

    monkeypatch.setattr(datasets.MNIST, "download", fetch)
    downloads = [MNIST(str(tmp_path), batch_size=2, download=True) for _ in range(3)]
    threads = [threading.Thread(target=data.prepare_data) for data in downloads]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(roots) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["MNIST"]
    assert downloads[2].train_dataloader().dataset_size == 12


def test_a_download_where_there_are_no_locks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(9, "Bad file descriptor")  # what NFS says of a folder

    monkeypatch.setattr("fcntl.flock", refuse)
    test_damaged_files_are_replaced(tmp_path, monkeypatch)
