"""Locks of folders: who holds them, what others are told, and what is left afterwards."""

import errno
import fcntl
import os
import socket
import subprocess
import threading
from pathlib import Path

import pytest

from minmax import lock
from minmax.lock import InOtherHandsError, locked, owner


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "run" / lock.NAME


def test_a_folder_that_cannot_be_made_is_not_waited_for(monkeypatch, tmp_path):
    monkeypatch.setattr(lock.time, "sleep", lambda _: pytest.fail("it waits"))
    (tmp_path / "file").touch()
    for place in ("/proc/none", tmp_path / "file"):
        held = locked(Path(place) / lock.NAME, wait=True)
        with pytest.raises(OSError, match=r"No such file|File exists"), held:
            pytest.fail("it was held")


def test_one_process_holds_it(file):
    assert owner(file) is None
    with locked(file):
        here = f"another process (pid {os.getpid()} on {socket.gethostname()})"
        assert owner(file) == here
        with pytest.raises(InOtherHandsError) as refused, locked(file):
            pytest.fail("it was held twice")
        assert str(refused.value).startswith(f"{file.parent} is in other hands: {here} works there")
    assert owner(file) is None
    assert not file.parent.exists()


def test_a_folder_that_was_there_or_is_used_stays(file):
    file.parent.mkdir()
    with locked(file):
        pass
    assert list(file.parent.iterdir()) == []
    file.parent.rmdir()
    with locked(file):
        (file.parent / "config.yaml").touch()
    assert [path.name for path in file.parent.iterdir()] == ["config.yaml"]


@pytest.mark.parametrize("content", ["pid 1 on elsewhere", "\x1b[31m" * 9, ""])
def test_a_file_that_was_left_means_nothing(file, content):
    file.parent.mkdir()
    file.write_text(content)
    assert owner(file) is None
    with locked(file):
        file.write_text(content)  # of an owner whose note is no such note, nothing is repeated
        assert owner(file).startswith("another process")
        assert "\x1b" not in owner(file)
    assert not file.exists()


def test_it_is_handed_on(file, monkeypatch):
    """The child holds it too, and may lock it; after its parent's death it holds it alone."""
    with locked(file) as held:
        arguments = held.handed_on()
        child = subprocess.Popen(["sleep", "60"], **arguments)
        kept = os.dup(held.descriptor)  # what this process would have inherited
        monkeypatch.setenv(lock.INHERITED, str(kept))
        with locked(file):
            pass
        monkeypatch.delenv(lock.INHERITED)
        assert file.exists(), "it is the parent's to remove"
        held.note(child.pid)
        os.link(file, file.with_name("left"))
    file.with_name("left").rename(file)  # as the parent leaves it, if it is killed
    assert f"(pid {child.pid} on" in owner(file)
    child.kill()
    child.wait()
    assert owner(file) is None


def test_another_descriptor_of_that_number_is_no_lock(file, monkeypatch, tmp_path):
    for number in (os.open(tmp_path, os.O_RDONLY), 10**6, "x", 10**30):
        monkeypatch.setenv(lock.INHERITED, str(number))
        with locked(file), pytest.raises(InOtherHandsError), locked(file):
            pass


def test_waiting_for_it(file, capsys):
    order = []

    def second() -> None:
        with locked(file, wait=True):
            order.append("second")

    with locked(file):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join(2 * lock.MOMENT)
        order.append("first")
    thread.join(10)
    assert order == ["first", "second"]
    assert f"Waiting for another process (pid {os.getpid()} on" in capsys.readouterr().err


@pytest.mark.parametrize("remade", [True, False])
def test_a_file_that_another_one_removes_just_then(file, monkeypatch, remade):
    """The file is opened before its removal and locked after: nobody else would see that lock."""
    lock_it = lock._try

    def late(descriptor: int, exclusive: bool = True) -> bool:
        monkeypatch.setattr(lock, "_try", lock_it)
        file.unlink()
        if remade:
            file.touch()
        return lock_it(descriptor, exclusive)

    monkeypatch.setattr(lock, "_try", late)
    with locked(file):
        assert owner(file) is not None


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_file_system_without_locks(file, monkeypatch, number):
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.warns(UserWarning, match=r"no locks here \(.*\): see to it"), locked(file):
        assert file.parent.is_dir()
    assert not file.parent.exists()


def test_a_system_without_them(file, monkeypatch):
    monkeypatch.setattr(lock, "fcntl", None)
    monkeypatch.delattr(os, "pwrite")
    with pytest.warns(UserWarning, match="no locks here"), locked(file) as held:
        assert held.handed_on() == {}
