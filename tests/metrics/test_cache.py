"""The cache returns what was saved under the same key, and never another key's tensors."""

from pathlib import Path

import pytest
import torch

from minmax.metrics.cache import Tensors, cached, fingerprint
from minmax.paths import cache_folder


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MINMAX_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


class Maker:
    """Makes another tensor at each call, and counts the calls."""

    calls = 0

    def __call__(self) -> Tensors:
        self.calls += 1
        return {"value": torch.tensor([float(self.calls)])}


def test_made_once_for_a_key(folder: Path) -> None:
    make = Maker()
    for key, calls in (({"a": 1}, 1), ({"a": 1}, 1), ({"a": 2}, 2), ({"a": 1}, 2)):
        assert cached("thing", key, make)["value"].item() == key["a"]
        assert make.calls == calls
    cached("other", {"a": 1}, make)
    assert make.calls == 3
    assert len(list(folder.iterdir())) == 3


@pytest.mark.parametrize("damage", ["truncated", "emptied", "of another key", "flipped"])
def test_a_damaged_file_is_made_again(folder: Path, damage: str) -> None:
    make = Maker()
    cached("thing", {"a": 1}, make)
    (file,) = folder.iterdir()
    if damage == "of another key":
        cached("thing", {"a": 2}, make)
        (other,) = (path for path in folder.iterdir() if path != file)
        make.calls = 1
        other.rename(file)
    elif damage == "flipped":  # torch doesn't notice
        content = file.read_bytes()
        value = torch.tensor([1.0]).numpy().tobytes()
        assert content.count(value) == 1
        file.write_bytes(content.replace(value, torch.tensor([9.0]).numpy().tobytes()))
        assert torch.load(file)["tensors"]["value"].item() == 9
    else:
        file.write_bytes(file.read_bytes()[: 100 if damage == "truncated" else 0])
    for _ in range(2):
        assert cached("thing", {"a": 1}, make)["value"].item() == 2
    assert [path.name for path in folder.iterdir()] == [file.name]


def test_where_nothing_can_be_written(folder: Path) -> None:
    folder.write_text("in the way")
    make = Maker()
    for calls in (1, 2):
        with pytest.warns(UserWarning, match="set MINMAX_CACHE"):
            assert cached("thing", {}, make)["value"].item() == calls


def test_where_there_is_no_room(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object) -> None:
        raise RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 64 vs 0")

    monkeypatch.setattr(torch, "save", full)
    with pytest.warns(UserWarning, match=r"thing-.*can't be written.*set MINMAX_CACHE"):
        assert cached("thing", {}, Maker())["value"].item() == 1
    assert not folder.exists()


def test_the_faster_of_two_processes_decides(folder: Path) -> None:
    def slow() -> Tensors:
        cached("thing", {}, lambda: {"value": torch.tensor([1.0])})
        return {"value": torch.tensor([2.0])}

    assert cached("thing", {}, slow)["value"].item() == 1
    assert len(list(folder.iterdir())) == 1


def test_the_folder(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    assert cache_folder() == folder
    monkeypatch.delenv("MINMAX_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/there")
    assert cache_folder() == Path("/there/minmax")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "minmax"


def test_fingerprints_tell_values_shapes_and_types_apart() -> None:
    values = torch.arange(6, dtype=torch.uint8)
    others = [
        values,
        values.view(2, 3),
        values.flip(0),
        values.view(torch.int8),
        torch.zeros(6, dtype=torch.uint8),
    ]
    assert len({fingerprint(tensor) for tensor in others}) == len(others)
    assert fingerprint(values) == fingerprint(values.clone())
    assert fingerprint(values, values) != fingerprint(values)
    strided = torch.rand(2, 3, 4, 4)
    assert fingerprint(strided) == fingerprint(strided.to(memory_format=torch.channels_last))
