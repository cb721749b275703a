"""What is found below a folder, and what is left out, counted and named."""

import os
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest

from datamodules import kinds, searching
from datamodules.leftovers import LeftOut
from datamodules.names import few, printable, short
from datamodules.searching import images_below, search


def found(root: Path) -> tuple[list[str], str]:
    left_out = LeftOut()
    images = images_below(search(root, left_out), False, left_out, "")
    return [image.path for image in images], str(left_out)


def make(root: Path, *places: str) -> None:
    for place in places:
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        (root / place).touch()


def test_every_kind_that_pillow_opens(tmp_path: Path) -> None:
    read = ["jfif", "jpe", "JPG", "avif", "jp2", "tga", "ico", "pcx", "qoi", "webp", "mpo", "apng"]
    make(tmp_path, *(f"1.{suffix}" for suffix in read))
    paths, left_out = found(tmp_path)
    assert sorted(paths) == sorted(f"1.{suffix}" for suffix in read)
    assert left_out == ""


def test_what_runs_code_or_holds_no_pixels_is_never_opened() -> None:
    assert not {"EPS", "PDF", "MPEG", "WMF", "HDF5", "GRIB", "BUFR"} & set(kinds.FORMATS)
    assert not {".eps", ".ps", ".pdf", ".mpg", ".wmf", ".h5"} & kinds.READABLE.keys()


def test_what_is_left_out_is_counted_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, "1.png", "2.avif", "3.avif", "4.heic", "a.txt", "b.txt", "png", ".DS_Store")
    make(tmp_path, "@eaDir/1.png", "__MACOSX/1.png", ".git/1.png", "x/Thumbs.db", "x/5.png")
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "zero.png").symlink_to("/dev/zero")
    (tmp_path / "folder.png").mkdir()
    make(tmp_path, "folder.png/6.png")
    monkeypatch.delitem(kinds.READABLE, ".avif")
    monkeypatch.setattr(searching, "UNREADABLE", {".avif", ".heic"})
    paths, left_out = found(tmp_path)
    assert paths == ["1.png", "folder.png/6.png", "x/5.png"]
    assert sorted(left_out.split("; ")) == [
        "hidden: 2 (.DS_Store, .git)",
        "images of kinds that can't be read here: 3 (.avif x 2, .heic)",
        "of the system: 3 (@eaDir, __MACOSX, Thumbs.db)",
        "other files: 3 (.txt x 2, png)",
        "pipes, sockets and devices: 2 (pipe.png, zero.png)",
    ]


def test_folders_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs the tests may read everything, so the system's answer is put in its place."""
    make(tmp_path, "cat/1.png", "cat/more/2.png")
    scandir = os.scandir

    def refuse(path: Any) -> Any:
        if Path(path).name == "more":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(searching.os, "scandir", refuse)
    assert found(tmp_path) == (
        ["cat/1.png"],
        "folders that can't be read: 1 (cat/more: Permission denied)",
    )


def test_thousands_of_nested_folders(tmp_path: Path) -> None:
    make(tmp_path, "1.png")
    here = os.open(tmp_path, os.O_RDONLY)
    for _ in range(2100):
        os.mkdir("d", dir_fd=here)
        deeper = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = deeper
    os.close(here)
    try:
        paths, left_out = found(tmp_path)
    finally:
        subprocess.run(["rm", "-r", str(tmp_path / "d")], check=True)  # pytest can't
    assert paths == ["1.png"]
    assert left_out.startswith("folders that can't be read: 1 (d/d/d/d")
    assert left_out.endswith("d/d: File name too long)")
    assert len(left_out) < 300


def test_files_that_are_no_files_are_never_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    assert stat.S_ISFIFO((tmp_path / "pipe.png").stat().st_mode)
    monkeypatch.setattr("builtins.open", lambda *_: pytest.fail("was opened"))
    assert found(tmp_path)[0] == []


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Käse 東京.png", "Käse 東京.png"),
        ("\033[31mred", "\\x1b[31mred"),
        ("a\nb\rc\0", "a\\nb\\rc\\x00"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        (b"\xff".decode("utf-8", "surrogateescape"), "\\udcff"),
        ("\x9b2J", "\\x9b2J"),
    ],
)
def test_names_are_printable(name: str, shown: str) -> None:
    assert printable(name) == few([name]) == shown
    assert shown.isprintable()
    shown.encode("utf-8")


def test_long_names_are_cut() -> None:
    assert short("x" * 300) == "x" * 100 + "..." + "x" * 100
    assert few(["a", "b", "c", "d"]) == "a, b, c and 1 more"
