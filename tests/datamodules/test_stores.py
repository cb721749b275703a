"""What an image folder can be packed into, where classes are told, and what is damaged."""

import io
import json
import os
import pickle
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lmdb
import numpy
import pyarrow
import pytest
from PIL import Image
from pyarrow import ipc, parquet

from datamodules import ImageFolder
from datamodules.decode import BrokenFilesError, Decoding, UnreadableError
from minmax.errors import UserError

CLASSES = ["cat", "dog"]
Pack = Callable[[Path, Path], Path]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two splits of two classes, all images different; and what is no image of them."""
    root = tmp_path_factory.mktemp("tree") / "photos"
    for split, count in (("train", 12), ("test", 3)):
        for label, name in enumerate(CLASSES):
            (root / split / name).mkdir(parents=True)
            for number in range(count):
                colour = (number, 100 * label, len(split))
                Image.new("RGB", (4, 4), colour).save(root / split / name / f"{number:02}.png")
    os.link(root / "train/cat/00.png", root / "train/cat/again.png")
    (root / "train/dog/.hidden.png").write_bytes(b"no image")
    (root / "train/dog/notes.txt").write_text("no image")
    (root / "__MACOSX").mkdir()
    (root / "__MACOSX/a.png").write_bytes(b"no image")
    return root


def files(tree: Path) -> list[tuple[str, str, bytes]]:
    """Split, class and bytes of each image, in order."""
    paths = sorted(path for path in tree.rglob("[0-9]*.png"))
    paths.sort(key=lambda path: "test" in path.parts)
    return [(path.parts[-3], path.parts[-2], path.read_bytes()) for path in paths]


def zipped(tree: Path, out: Path) -> Path:
    with zipfile.ZipFile(out / "a.zip", "w", zipfile.ZIP_DEFLATED) as file:
        for path in sorted(tree.rglob("*"), reverse=True):
            if path.name != "again.png":  # zip has no hard links
                file.write(path, path.relative_to(tree))
    return out / "a.zip"


def tarred(tree: Path, out: Path) -> Path:
    with tarfile.open(out / "a.tar", "w") as file:
        file.add(tree, ".")
    return out / "a.tar"


def add(file: tarfile.TarFile, name: str, data: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(data)
    file.addfile(entry, io.BytesIO(data))


def sharded(tree: Path, out: Path, kind: str = "cls") -> Path:
    """WebDataset's pairs, in three shards a split."""
    for split in ("train", "test"):
        mine = [item for item in files(tree) if item[0] == split]
        for shard in range(3):
            with tarfile.open(out / f"set-{split}-{shard:03}.tar", "w") as file:
                for number in range(shard, len(mine), 3):
                    _, name, data = mine[number]
                    add(file, f"{number:04}.png", data)
                    label = json.dumps({"label": name}) if kind == "json" else name
                    add(file, f"{number:04}.{kind}", label.encode())
    return out


def table(items: list[tuple[str, str, bytes]]) -> pyarrow.Table:
    images = [{"bytes": data, "path": None} for _, _, data in items]
    kind = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
    columns = {
        "image": pyarrow.array(images, kind),
        "label": pyarrow.array([CLASSES[::-1].index(name) for _, name, _ in items]),
    }
    features = {"label": {"names": CLASSES[::-1], "_type": "ClassLabel"}}
    features["image"] = {"_type": "Image"}
    described = json.dumps({"info": {"features": features}}).encode()
    return pyarrow.table(columns).replace_schema_metadata({b"huggingface": described})


def in_parquet(tree: Path, out: Path) -> Path:
    (out / "data").mkdir()
    for split in ("train", "test"):
        rows = table([item for item in files(tree) if item[0] == split])
        for part in range(2):
            name = f"{split}-{part:05}-of-00002.parquet"
            half = len(rows) // 2
            parquet.write_table(
                rows.slice(part * half, half), out / "data" / name, row_group_size=5
            )
    return out


def in_arrow(tree: Path, out: Path) -> Path:
    for split in ("train", "test"):
        (out / split).mkdir()
        rows = table([item for item in files(tree) if item[0] == split])
        with (
            pyarrow.OSFile(str(out / split / "data-00000-of-00001.arrow"), "wb") as sink,
            ipc.new_stream(sink, rows.schema) as writer,
        ):
            writer.write_table(rows, max_chunksize=5)
    return out


def in_arrays(tree: Path, out: Path, save: Any = numpy.savez, planes: bool = False) -> Path:
    arrays = {}
    for split in ("train", "test"):
        mine = [item for item in files(tree) if item[0] == split]
        pixels = [numpy.asarray(Image.open(io.BytesIO(data))) for _, _, data in mine]
        images = numpy.stack(pixels)
        arrays[f"{split}_images"] = images.transpose(0, 3, 1, 2) if planes else images
        arrays[f"{split}_labels"] = numpy.array([[CLASSES.index(name)] for _, name, _ in mine])
    save(out / "a.npz", **arrays)
    return out / "a.npz"


def in_lmdb(tree: Path, out: Path) -> Path:
    for split, written in (("train", "train"), ("test", "val")):
        for name in CLASSES:
            mine = [item for item in files(tree) if item[:2] == (split, name)]
            with (
                lmdb.open(str(out / f"{name}_{written}_lmdb"), map_size=2**20) as database,
                database.begin(write=True) as transaction,
            ):
                for number, (_, _, data) in enumerate(mine):
                    transaction.put(b"%02d/%02d" % divmod(number, 2), data)
    return out


def same(one: ImageFolder, other: ImageFolder) -> bool:
    """Whether images and labels of both splits are equal."""
    pairs = zip(one.load(True) + one.load(False), other.load(True) + other.load(False), strict=True)
    return all(a.equal(b) for a, b in pairs)


@pytest.mark.parametrize("inner", [".", "train"])
@pytest.mark.parametrize("pack", [zipped, tarred])
def test_an_archive_is_the_folder(tree: Path, tmp_path: Path, pack: Pack, inner: str) -> None:
    """Splits, classes, and the held-out images where there are no splits."""
    folder, packed = ImageFolder(str(tree / inner), 4), pack(tree / inner, tmp_path)
    data = ImageFolder(str(packed), 4)
    assert data.class_names == folder.class_names == CLASSES
    assert data.train_files == folder.train_files
    assert data.val_files == folder.val_files
    assert 0 < len(data.val_files) < len(data.train_files)
    rule = "hash of the name below 0.1" if inner == "train" else "folders train and test"
    assert data.split_rule == rule
    assert same(data, folder)
    lines = [*data.source(True).made_of()]
    os.utime(packed)
    with pytest.raises(OSError, match="changed"):
        [*data.source(True).made_of()]
    assert [*ImageFolder(str(packed), 4).source(True).made_of()] != lines


@pytest.mark.parametrize(
    "pack",
    [
        *(sharded, lambda tree, out: sharded(tree, out, "json"), in_parquet, in_arrow, in_arrays),
        lambda tree, out: in_arrays(tree, out, numpy.savez_compressed, True),
        in_lmdb,
    ],
    ids=["cls", "json", "parquet", "arrow", "npz", "compressed planes", "lmdb"],
)
def test_images_and_labels_of_each_kind(tree: Path, tmp_path: Path, pack: Pack) -> None:
    folder = ImageFolder(str(tree), 4)
    data = pickle.loads(pickle.dumps(ImageFolder(str(pack(tree, tmp_path)), 4)))
    if pack is in_parquet or pack is in_arrow:  # the order of their description
        assert data.class_names == CLASSES[::-1]
        data = ImageFolder(str(tmp_path), 4, classes=CLASSES)
    names = ["0", "1"] if data.root.endswith("npz") else CLASSES
    assert data.class_names == names
    for train in (True, False):
        images, labels = data.originals(train)
        assert images.equal(folder.originals(train)[0])
        assert labels.equal(folder.originals(train)[1])
        assert len([*data.source(train).made_of()]) > len(labels)


def test_shards_that_count_from_zero_each(tree: Path, tmp_path: Path) -> None:
    """Their names are told apart; the range names files of one split."""
    for shard in range(2):
        with tarfile.open(tmp_path / f"set-{shard:02}.tar", "w") as file:
            for number, (_, _, data) in enumerate(files(tree)[12 * shard : 12 * shard + 12]):
                add(file, f"{number}.png", data)
                add(file, f"{number}.cls", b"%d" % (10 - shard))
    data = ImageFolder(str(tmp_path / "set-{00..01}.tar"), 4, val_fraction=0)
    assert data.class_names == ["9", "10"]  # in the order of numbers
    assert data.labels_of(True) == [1] * 12 + [0] * 12
    assert data.train_files[0][0] == "set-00/0.png"
    assert data.source(True).read(12) == files(tree)[12][2]


def test_shards_of_folders_that_count_from_zero_each(tree: Path, tmp_path: Path) -> None:
    """The folders stay the classes."""
    for shard in range(2):
        with tarfile.open(tmp_path / f"set-{shard:02}.tar", "w") as file:
            for number, (_, _, data) in enumerate(files(tree)[4 * shard : 4 * shard + 4]):
                add(file, f"{CLASSES[number % 2]}/more/{number // 2}.png", data)
    data = ImageFolder(str(tmp_path / "set-{00..01}.tar"), 4, val_fraction=0)
    assert data.class_names == sorted(CLASSES[:2])
    assert sorted(data.labels_of(True)) == [0] * 4 + [1] * 4
    assert data.train_files[0][0] == f"{min(CLASSES[:2])}/more/set-00/0.png"


def stylegan(tree: Path, out: Path, labels: Any = "classes") -> Path:
    """A zip file as StyleGAN's tool makes it: its folders are no classes."""
    with zipfile.ZipFile(out / "a.zip", "w", zipfile.ZIP_STORED) as file:
        pairs = []
        for number, (_, name, data) in enumerate(files(tree / "train")):
            pairs.append([f"{number // 12:05}/img{number:08}.png", CLASSES.index(name)])
            file.writestr(pairs[-1][0], data)
        file.writestr("dataset.json", json.dumps({"labels": pairs if labels else None}))
    return out / "a.zip"


def test_labels_of_stylegan(tree: Path, tmp_path: Path) -> None:
    packed = stylegan(tree, tmp_path)
    data = ImageFolder(str(packed), 4, val_fraction=0)
    assert data.class_names == ["0", "1"]
    assert data.labels_of(True) == [0] * 12 + [1] * 12
    with zipfile.ZipFile(packed) as file:
        file.extractall(tmp_path / "unpacked")
    assert same(data, ImageFolder(str(tmp_path / "unpacked"), 4, val_fraction=0))
    assert ImageFolder(str(stylegan(tree, tmp_path, None)), 4).class_names == ["image"]


@pytest.mark.parametrize("suffix", [".csv", ".json"])
def test_labels_from_a_file(tree: Path, tmp_path: Path, suffix: str) -> None:
    """They may differ from the folders; the held-out images stay the same."""
    paths = [path.relative_to(tree / "train") for path in (tree / "train").rglob("[!.]*.png")]
    of = {f"./{path}": 10 - (path.stem < "06" or path.stem == "again") for path in paths}
    rows = ["label,note,Path", *(f'{label},,"{path}"' for path, label in of.items())]
    text = "\n".join(rows) if suffix == ".csv" else json.dumps(of)
    (tmp_path / f"a{suffix}").write_text(text)
    data = ImageFolder(str(tree / "train"), 4, labels=str(tmp_path / f"a{suffix}"))
    folder = ImageFolder(str(tree / "train"), 4)
    assert data.class_names == ["9", "10"]
    assert [path for path, _ in data.val_files] == [path for path, _ in folder.val_files]
    expected = [int(path[-6:-4]) >= 6 for path, _ in data.train_files]
    assert data.labels_of(True) == expected
    assert ImageFolder(str(tree / "train"), labels="none").counts(True) == [len(expected)]


CSV = "path,label\n"


@pytest.mark.parametrize(
    ("name", "text", "parts"),
    [
        ("a.csv", f"{CSV}cat/00.png,1\nno.png,2", ["1 images that are not there", "no.png"]),
        ("a.csv", f"{CSV}cat/00.png,1", ["no label for 24 images", "cat/01.png"]),
        ("a.csv", f"{CSV}cat/00.png,1\ncat/00.png,1", ["cat/00.png twice"]),
        ("a.csv", "file,class\n", ["columns path and label", "file, class"]),
        ("a.csv", f"{CSV}cat/00.png,", ["entry 1", "cat/00.png"]),
        ("a.json", "{", ["no JSON file"]),
        ("a.json", '{"a": 1, "a": 1}', ["has a twice"]),
        ("a.json", '{"labels": [["a", 1.5]]}', ["entry 1", "1.5"]),
        ("b.csv", None, ["no such file"]),
        ("column", None, ["'column'", "auto, none"]),
    ],
)
def test_labels_that_are_refused(
    tree: Path, tmp_path: Path, name: str, text: str | None, parts: list[str]
) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    option = name if text is None else str(tmp_path / name)
    with pytest.raises(UserError, match="`labels`") as caught:
        ImageFolder(str(tree / "train"), labels=option)
    assert all(part in str(caught.value) for part in parts), str(caught.value)


def test_a_class_without_images(tree: Path, tmp_path: Path) -> None:
    rows = table([item for item in files(tree) if item[1] == "cat"])
    parquet.write_table(rows, tmp_path / "a.parquet")
    with pytest.raises(UserError, match=r"1 classes without training images \(dog\)"):
        ImageFolder(str(tmp_path / "a.parquet"))
    assert ImageFolder(str(tmp_path / "a.parquet"), classes=["cat"]).class_names == ["cat"]


def changed(file: Path, start: int, data: bytes) -> None:
    content = bytearray(file.read_bytes())
    content[start : start + len(data)] = data
    file.write_bytes(content)


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1500])


def lying(file: Path) -> None:
    index = file.read_bytes().rindex(b"cat/00.png") - len("train/") - 46
    changed(file, index + 20, (10**8).to_bytes(4, "little"))


def header_gone(file: Path) -> None:
    with tarfile.open(file) as archive:
        changed(file, archive.getmembers()[9].offset, b"x" * 300)


@pytest.mark.parametrize(
    ("pack", "break_it", "parts"),
    [
        (zipped, cut, ["no whole zip file"]),
        (zipped, lying, ["lies outside the file"]),
        (tarred, lambda file: file.write_bytes(file.read_bytes()[:5000]), ["no whole tar file"]),
        (tarred, header_gone, ["no whole tar file", "no header"]),
        (in_arrays, cut, ["no whole file of arrays"]),
        (in_parquet, cut, ["no whole table"]),
        (in_arrow, cut, ["no whole table", "no end mark"]),
        (in_lmdb, lambda file: file.write_bytes(file.read_bytes()[:9000]), ["9,000 of its"]),
        (sharded, Path.unlink, ["set-train-*", "the numbers 1"]),
        (in_parquet, Path.unlink, ["train-*", "the numbers 1"]),
    ],
)
def test_damaged_stores(
    tree: Path, tmp_path: Path, pack: Pack, break_it: Any, parts: list[str]
) -> None:
    root = pack(tree, tmp_path)
    inside = sorted(path for path in root.rglob("*") if path.is_file())
    trained = [path for path in inside if "train" in str(path.relative_to(root))]
    break_it(root if root.is_file() else trained[break_it is Path.unlink])
    with pytest.raises(UserError, match="`root`") as caught:
        ImageFolder(str(root))
    assert all(part in str(caught.value) for part in parts), str(caught.value)
    assert "\n" not in str(caught.value)


def test_damage_within_an_archive_is_an_image_file_that_cannot_be_read(
    tree: Path, tmp_path: Path
) -> None:
    packed = stylegan(tree, tmp_path)
    changed(packed, 60, b"x")
    data = ImageFolder(str(packed), 4, val_fraction=0)
    with pytest.raises(BrokenFilesError, match=r"a\.zip/00000/img00000000\.png .*checksum"):
        data.load(True)
    os.utime(packed, (1, 1))
    data = ImageFolder(str(packed), 4, val_fraction=0)
    os.utime(packed, (2, 2))
    with pytest.raises(BrokenFilesError, match=r"24 image files: .*changed after"):
        data.load(True)


@pytest.mark.parametrize(
    ("name", "arrays", "part"),
    [
        ("a.npz", {"images": numpy.zeros((2, 4, 4, 3))}, "float64"),
        ("a.npz", {"images": numpy.zeros((2, 5, 6, 7), numpy.uint8)}, "channels"),
        ("a.npz", {"z": numpy.zeros((2, 4, 4, 3), numpy.uint8)}, "called images, but has z"),
        ("a.npz", {"images": numpy.array([{}])}, "Python objects"),
        ("a.npz", {"x": numpy.zeros((2, 4, 4), numpy.uint8), "y": numpy.zeros(3, int)}, "3 values"),
        ("set-{0..3}.tar", {}, "of its 4 files 4 are not there"),
        ("a.tar.gz", {}, "Unpack other archives"),
    ],
)
def test_what_cannot_be_a_root(tmp_path: Path, name: str, arrays: Any, part: str) -> None:
    if arrays:
        numpy.savez(tmp_path / name, **arrays)
    elif "{" not in name:
        (tmp_path / name).touch()
    with pytest.raises(UserError, match=part):
        ImageFolder(str(tmp_path / name))


def test_packages_that_are_missing(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package, extra, pack in (("pyarrow", "parquet", in_parquet), ("lmdb", "lmdb", in_lmdb)):
        (tmp_path / extra).mkdir()
        root = pack(tree, tmp_path / extra)
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(UserError, match=rf'pip install "\.\[{extra}\]"'):
            ImageFolder(str(root))


def test_crop() -> None:
    """A wide white image on red: its centre, the whole of it, or an error."""
    wide = numpy.full((4, 8), 255, numpy.uint8)
    assert (Decoding(4, 3, "red")(wide) == 255).all()
    padded = Decoding(4, 3, "red", "pad")(wide)
    assert (padded[1:3] == 255).all()
    assert (padded[[0, 3]] == [255, 0, 0]).all()
    assert (Decoding(4, 1, "red", "pad")(wide)[[0, 3]] == 76).all()
    with pytest.raises(UnreadableError, match=r"4x8 pixels \(height x width\), not 4x4"):
        Decoding(4, 3, "red", "none")(wide)
    assert (Decoding(4, 1, "red", "none")(wide[:, 2:6]) == 255).all()


def test_images_of_another_size_than_wanted(tree: Path) -> None:
    with pytest.raises(UserError, match=r"`crop`.*one of"):
        ImageFolder(str(tree), 4, crop="middle")  # type: ignore[arg-type]
    data = ImageFolder(str(tree), 5, crop="none")
    with pytest.raises(BrokenFilesError, match=r"cat/00\.png has 4x4 .* \(and 23 more\).*`crop`"):
        data.load(True)


def test_processes_that_decode_import_little() -> None:
    """Each one that starts would wait for torch."""
    code = (
        "import sys, types, minmax; p = types.ModuleType('datamodules');"
        f" p.__path__ = [{str(Path(Decoding.__call__.__code__.co_filename).parent)!r}];"
        " sys.modules['datamodules'] = p; import datamodules.stores.members,"
        " datamodules.stores.rows, datamodules.stores.pixels, datamodules.stores.keys;"
        " assert not {'torch', 'lightning', 'pyarrow', 'lmdb'} & {*sys.modules}"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
