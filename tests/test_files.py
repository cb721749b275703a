"""A file or folder is written whole, or the old one stays, whatever fails at any time."""

import errno
import json
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from minmax import files, strict_json
from minmax.files import whole


def write_file(place: Path, text: str) -> None:
    with whole(place) as part:
        part.write_text(text)


def write_folder(place: Path, text: str) -> None:
    with whole(place) as part:
        part.mkdir()
        (part / "one").write_text(text)
        (part / "two").write_text(text)


def content(place: Path) -> dict[str, str]:
    return {str(p.relative_to(place)): p.read_text() for p in place.rglob("*") if p.is_file()}


@pytest.mark.parametrize("write", [write_file, write_folder])
@pytest.mark.parametrize("function", ["replace", "fsync"])
def test_whichever_write_fails_what_was_there_is_whole(
    write: Callable[[Path, str], None],
    function: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write(tmp_path / "kept.x", "before")
    before, original, failures = content(tmp_path), getattr(os, function), 0
    for number in range(1, 9):
        calls = 0

        def failing(*arguments: object, number: int = number) -> object:
            nonlocal calls
            calls += 1
            if calls == number:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return original(*arguments)

        with monkeypatch.context() as patch:
            patch.setattr(os, function, failing)
            message = ""
            try:
                write(tmp_path / "kept.x", "after")
            except ValueError as error:
                message = str(error)
        held = content(tmp_path)
        assert held in (before, dict.fromkeys(before, "after"))
        if message:
            failures += 1
            assert message.startswith(f"{tmp_path}/kept.x can't be written (No space left")
            assert held == before or function == "fsync"
        assert [path.name for path in tmp_path.iterdir()] == ["kept.x"]
    assert failures >= 1
    assert set(content(tmp_path).values()) == {"after"}


def test_two_writers_do_not_meet(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    with whole(file) as one:
        one.write_text("one, in full")
        with whole(file) as two:
            two.write_text("two")
        assert file.read_text() == "two"
    assert file.read_text() == "one, in full"
    assert list(tmp_path.iterdir()) == [file]


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / ".part-killed").mkdir()
    (tmp_path / ".part-killed" / "a.txt").write_text("half")
    write_file(tmp_path / "b.txt", "whole")
    assert [path.name for path in tmp_path.iterdir()] == ["b.txt"]


def test_where_there_are_no_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Refused:
        LOCK_EX = LOCK_NB = 0

        def flock(self, *arguments: object) -> None:
            raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    for locks in (None, Refused()):
        monkeypatch.setattr(files, "fcntl", locks)
        (tmp_path / ".part-another").mkdir(exist_ok=True)
        for write in (write_file, write_folder):
            for text in ("before", "after"):
                write(tmp_path / write.__name__, text)
        assert set(content(tmp_path).values()) == {"after"}
        # It may be in use.
        assert {path.name for path in tmp_path.glob(".*")} == {".part-another"}


@pytest.mark.parametrize("fails", [False, True])
def test_the_file_of_before_is_kept(
    fails: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace = os.replace

    def failing(part: Path, place: Path) -> None:
        if fails and part.parent.name.startswith(".part-"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        replace(part, place)

    write_file(tmp_path / "a", "before")
    monkeypatch.setattr(os, "replace", failing)
    with suppress(ValueError), whole(tmp_path / "a", kept="b") as part:
        part.write_text("after")
    assert content(tmp_path) == ({"a": "before"} if fails else {"a": "after", "b": "before"})


def test_permissions_links_and_long_names(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        for name in ("a", "ä" * 120 + ".png", "b" * 255, ".hidden", "c.1" + "0" * 240):
            write_file(tmp_path / name, "x")
            assert (tmp_path / name).stat().st_mode & 0o777 == 0o640
    finally:
        os.umask(before)
    (tmp_path / "a").chmod(0o604)
    (tmp_path / "link").symlink_to("a")
    write_file(tmp_path / "link", "through the link")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "a").read_text() == "through the link"
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o604


def test_only_files_and_folders_are_replaced_and_by_their_like(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    write_folder(tmp_path / "folder", "kept")
    before = content(tmp_path)
    for name in ("pipe", "folder"):
        with pytest.raises(ValueError, match=rf"{name} can't be written"):
            write_file(tmp_path / name, "x")
    assert content(tmp_path) == before
    assert (tmp_path / "pipe").is_fifo()


def test_folders_are_not_left_and_other_errors_not_taken(tmp_path: Path) -> None:
    for failure, expected in (
        (OSError(errno.ENOSPC, "No space left on device"), r"a\.txt can't be written \(No space"),
        (RuntimeError("[enforce fail at inline_container.cc:672]"), r"a\.txt can't be written"),
        (RuntimeError("shapes differ"), "^shapes differ"),
        (FileNotFoundError("there is no checkpoint at x"), "^there is no checkpoint at x"),
        (PermissionError(errno.EACCES, "Permission denied", "/data/1.png"), r"'/data/1\.png'"),
        (KeyboardInterrupt("stop"), "stop"),
    ):
        with pytest.raises(BaseException, match=expected), whole(tmp_path / "new" / "a.txt"):
            raise failure
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_json_is_valid_whatever_the_numbers(value: float) -> None:
    text = strict_json.dumps({"a": [1.5, value], "b": (value,)})
    assert text == '{"a": [1.5, null], "b": [null]}'
    assert strict_json.loads(f'{{"a": NaN, "b": {json.dumps(value)}}}') == {
        "a": None,
        "b": None,
    }
