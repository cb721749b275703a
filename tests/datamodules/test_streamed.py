"""Shards, and the batches that are streamed from them."""

import errno
import json
import multiprocessing
import shutil
import subprocess
import sys
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from zipfile import ZipFile

import numpy
import pytest
import torch
from PIL import Image

from datamodules import ImageFolder, Streamed, sharding
from datamodules.sharding import write_shards
from minmax.errors import UserError
from minmax.training.of_data import shard

pytest.importorskip("litdata")
SIZE, BATCH, COUNT = 8, 4, 60


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> ImageFolder:
    root, random = tmp_path_factory.mktemp("images"), numpy.random.default_rng(0)
    for number in range(COUNT):
        place = root / ("cat" if number % 3 else "dog")
        place.mkdir(exist_ok=True)
        pixels = random.integers(256, size=(SIZE, SIZE, 3), dtype=numpy.uint8)
        Image.fromarray(pixels).save(place / f"{number}.png")
    return ImageFolder(str(root), SIZE, val_fraction=0.2, prepared=str(root / ".prepared"))


@pytest.fixture(scope="module")
def root(folder: ImageFolder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Their shards, of about seven images a chunk."""
    out = tmp_path_factory.mktemp("made") / "shards"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sharding, "CHUNK", 2000)
        assert str(out) in write_shards(folder, out)
    assert len([*(out / "train").glob("*.bin")]) > 5
    return out


@pytest.fixture
def loader(root: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """The training's loader of one rank."""

    def make(rank: int = 0, ranks: int = 1, epoch: int = 0, seed: int = 0, **options: Any) -> Any:
        for name, value in (("WORLD_SIZE", ranks), ("GLOBAL_RANK", rank), ("PL_GLOBAL_SEED", seed)):
            monkeypatch.setenv(name, str(value))
        given = {"root": str(root), "image_size": SIZE, "batch_size": BATCH} | options
        given = {"workers": 0, "mirror": True} | given
        data: Any = Streamed(**given)
        data.trainer = SimpleNamespace(
            global_rank=rank,
            world_size=ranks,
            current_epoch=epoch,
            strategy=SimpleNamespace(root_device=torch.device("cpu")),
        )
        return data.train_dataloader()

    return make


def same(ones: Any, others: Any) -> bool:
    pairs = [*zip(ones, others, strict=True)]
    return all(a.equal(c) and b.equal(d) for (a, b), (c, d) in pairs)


def held(images: torch.Tensor, labels: torch.Tensor) -> set[tuple[bytes, int]]:
    """Each image's bytes with its label."""
    shown = [image.contiguous().numpy().tobytes() for image in images]
    return {*zip(shown, labels.tolist(), strict=True)}


def of(batches: Any) -> set[tuple[bytes, int]]:
    images, labels = (torch.cat(parts) for parts in zip(*batches, strict=True))
    return held((images + 1).mul(127.5).round().byte(), labels)


def test_an_epoch_has_each_image_once(folder: ImageFolder, loader: Any) -> None:
    state = torch.random.get_rng_state()
    batches = [*loader(mirror=False)]
    images, labels = batches[0]
    assert images.dtype == torch.float32
    assert labels.dtype == torch.int64
    assert images.shape == (BATCH, 3, SIZE, SIZE)
    assert next(iter(loader(image_size=(SIZE, 6))))[0].shape == (BATCH, 3, SIZE, 6)
    every = held(*folder.split(train=True))
    assert len(of(batches)) == len(batches) * BATCH == len(every) // BATCH * BATCH
    assert of(batches) < every
    assert torch.random.get_rng_state().equal(state), "it draws none of the training's numbers"


def test_the_order_is_a_function_of_seed_and_epoch(loader: Any) -> None:
    batches = [*loader()]
    assert same(batches, loader())
    shown = torch.cat([images for images, _ in batches])
    unturned = [*loader(mirror=False)]
    assert not same(unturned, loader(mirror=False, epoch=1))
    assert not same(unturned, loader(mirror=False, seed=1))
    plain = torch.cat([images for images, _ in unturned])
    kept, turned = ((shown == images).flatten(1).all(1) for images in (plain, plain.flip(3)))
    assert (kept ^ turned).all()
    assert 10 < kept.sum() < len(kept) - 10


@pytest.mark.parametrize("workers", [0, 2])
def test_each_rank_has_its_share_and_resumes_in_it(loader: Any, workers: int) -> None:
    whole = [[*loader(rank, 2, workers=workers)] for rank in (0, 1)]
    assert len(whole[0]) == len(whole[1]) == len(loader(0, 2))
    stopped = loader(0, 2, workers=workers)
    batches = iter(stopped)
    assert same([next(batches), next(batches)], whole[0][:2])
    state = stopped.state_dict()
    del batches
    for rank in (0, 1):  # both get the state of rank 0, from the checkpoint
        resumed = loader(rank, 2, workers=workers and 1)
        resumed.load_state_dict(state)
        assert resumed.state_dict()["engine"] == state["engine"]
        assert same(resumed, whole[rank][2:])
    assert not of(whole[0]) & of(whole[1])


def test_workers_outlive_a_signal_to_the_whole_job(loader: Any) -> None:
    """The training needs their batches until it has saved; it ends them by SIGTERM itself."""
    whole, batches = [*loader(workers=2)], iter(loader(workers=2))
    first = [next(batches), next(batches)]  # one of each worker
    workers = multiprocessing.active_children()
    assert len(workers) == 2
    for name in ("TERM", "INT", "USR1"):
        subprocess.run(["kill", f"-{name}", *(str(worker.pid) for worker in workers)], check=True)
    assert same([*first, *islice(batches, 4)], whole[:6])
    assert all(worker.is_alive() for worker in workers)
    workers[0].terminate()
    workers[0].join(10)
    assert workers[0].exitcode == 0


def test_another_way_to_share_is_refused_within_an_epoch(loader: Any) -> None:
    stopped = loader()
    next(iter(stopped))
    for options in ({"batch_size": 2}, {"ranks": 2}):
        resumed = loader(**options)
        resumed.load_state_dict(stopped.state_dict())
        with pytest.raises(UserError, match=r"middle of an epoch with 4 on 1:"):
            next(iter(resumed))
    next_epoch = loader(epoch=1, batch_size=2)
    next_epoch.load_state_dict(stopped.state_dict())
    assert len([*next_epoch]) == len(next_epoch)


def test_held_out_images_and_a_sample(folder: ImageFolder, root: Path) -> None:
    data = Streamed(str(root), SIZE, sample=10)
    assert data.class_names == folder.class_names == ["cat", "dog"]
    assert data.split_rule == folder.split_rule
    for train in (True, False):
        assert data.counts(train) == folder.counts(train)
    assert held(*data.split(train=False)) == held(*folder.split(train=False))
    assert len(data.split(train=True)[0]) == 10
    assert {*data.split(train=True)[1].tolist()} == {0, 1}, "a chunk has images of all classes"
    assert held(*data.split(train=True)) < held(*folder.split(train=True))


def test_a_url_is_read_through_a_cache(root: Path, tmp_path: Path, loader: Any) -> None:
    chunks = len([*root.rglob("*.bin")])
    options = {"root": f"local:{root}", "cache": str(tmp_path / "cache"), "cache_gb": 1e-6}
    assert same(loader(**options), loader())
    assert len([*root.rglob("*.bin")]) == chunks, "the originals are left"
    data = Streamed(options["root"], SIZE, cache=options["cache"])
    assert held(*data.split(train=False)) == held(*Streamed(str(root), SIZE).split(train=False))


def cut(root: Path) -> None:
    file = max((root / "train").glob("*.bin"))
    file.write_bytes(file.read_bytes()[:-9])


def lie(root: Path) -> None:
    file = root / "train" / "index.json"
    index = json.loads(file.read_text())
    index["chunks"][0]["chunk_size"] += 1
    file.write_text(json.dumps(index))


def lie_twice(root: Path) -> None:
    lie(root)
    file = root / "classes.json"
    about = json.loads(file.read_text())
    about["counts"]["train"][0] += 1
    file.write_text(json.dumps(about))


def pickled(root: Path) -> None:
    file = root / "train" / "index.json"
    file.write_text(file.read_text().replace('"int"', '"pickle"'))


def spoil(root: Path) -> None:
    for file in (root / "train").glob("*.bin"):
        file.write_bytes(file.read_bytes().replace(b"IHDR", b"IHDX"))


@pytest.mark.parametrize(
    ("damage", "part"),
    [
        (shutil.rmtree, "there is no"),
        (cut, r"bin has .* but its index says"),
        (lie, r"index.json counts \d+ images, and classes.json \d+"),
        (lie_twice, r"bin has .* but its index says"),
        (pickled, r"holds no shards of"),
        (spoil, r"can't be read \(.*\): look"),
    ],
)
def test_damage(damage: Any, part: str, root: Path, tmp_path: Path, loader: Any) -> None:
    copy = shutil.copytree(root, tmp_path / "shards")
    damage(copy)
    with pytest.raises(UserError, match=part) as caught:
        next(iter(loader(root=str(copy), workers=1)))
    assert "\n" not in str(caught.value)


def test_wrong_options(root: Path, tmp_path: Path, loader: Any, monkeypatch: Any) -> None:
    (tmp_path / "file").touch()
    for options, part in (
        ({"root": f"local:{root}", "cache": str(tmp_path / "file")}, "`cache` is"),
        ({"root": f"local:{tmp_path}", "cache": str(tmp_path)}, "`root`: shards of local:"),
        ({"cache_gb": 0}, "`cache_gb` is 0"),
        ({"workers": -1}, "`workers` is -1"),
        ({"batch_size": 99}, "there are only"),
    ):
        with pytest.raises(UserError, match=part):
            loader(**options)
    monkeypatch.setitem(sys.modules, "litdata", None)
    with pytest.raises(UserError, match=r'pip install "\.\[streaming\]"'):
        Streamed(str(root))


def test_shards_are_written_whole_or_not_at_all(
    folder: ImageFolder, root: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="is there already"):
        [*shard(["--data", "ImageFolder", "--data.init_args.root", "nowhere"], root)]
    with pytest.raises(UserError, match="is there already"):
        write_shards(folder, root)
    bad = Path(folder.root, "cat", "bad.png")
    bad.write_bytes(b"no image")
    try:
        with pytest.raises(UserError, match=r"bad\.png"):
            write_shards(ImageFolder(folder.root, SIZE), root.with_name("others"))
    finally:
        bad.unlink()
    archive = tmp_path / "images.zip"
    with ZipFile(archive, "w") as written:
        for file in sorted(Path(folder.root).rglob("*.png")):
            written.write(file, str(file.relative_to(folder.root)))
    content = bytearray(archive.read_bytes())
    content[200] ^= 1  # in the first image
    archive.write_bytes(content)
    with pytest.raises(UserError, match=r"zip/cat/\S+\.png has another checksum"):
        write_shards(ImageFolder(str(archive), SIZE), root.with_name("others"))
    assert [*root.parent.iterdir()] == [root]


def test_shards_on_a_full_disk(
    folder: ImageFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(data: ImageFolder, train: bool, place: Path) -> dict[str, str]:
        place.mkdir(parents=True)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(sharding, "_write", full)
    with pytest.raises(UserError, match=r"--shards .*shards can't be written \(No space"):
        write_shards(folder, tmp_path / "shards")
    assert [*tmp_path.iterdir()] == []
