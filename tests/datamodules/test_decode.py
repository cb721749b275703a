"""Files with much beside their pixels, and with many pixels."""

import threading
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, PngImagePlugin

from datamodules import decode as decoding
from datamodules.budget import Budget
from datamodules.decode import BrokenFilesError, Decoding, UnreadableError
from datamodules.decoding import decode_files
from datamodules.sources import SourceOfFiles

MIB = 2**20


def texts(kind: str, size: int) -> dict[str, Any]:
    info = PngImagePlugin.PngInfo()
    if kind == "zTXt":
        info.add_text("workflow", "x" * size, zip=True)
    elif kind == "iTXt":
        info.add_itxt("workflow", "x" * size, zip=True)
    elif kind == "tEXt":
        info.add_text("workflow", "x" * size)
    return {"icc_profile": bytes(size)} if kind == "iCCP" else {"pnginfo": info}


@pytest.mark.parametrize(
    ("kind", "size"),
    [
        ("zTXt", 2 * MIB),
        ("zTXt", 90 * MIB),
        ("iTXt", 2 * MIB),
        ("tEXt", 65 * MIB),
        ("iCCP", 2 * MIB),
    ],
)
def test_large_texts_in_a_png(tmp_path: Path, kind: str, size: int) -> None:
    file = tmp_path / "a.png"
    Image.new("RGB", (4, 4), (10, 20, 30)).save(file, **texts(kind, size))
    assert Decoding(4, 3, "white")(str(file)).reshape(-1, 3).tolist() == [[10, 20, 30]] * 16


def test_a_text_behind_the_pixels(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    Image.new("RGB", (4, 4), (10, 20, 30)).save(file, **texts("zTXt", 2 * MIB))
    content = file.read_bytes()
    start, end = content.index(b"zTXt") - 4, content.index(b"IDAT") - 4
    text, tail = content[start:end], content[-12:]
    file.write_bytes(content[:start] + content[end:-12] + text + tail)
    assert Decoding(4, 3, "white")(str(file))[0, 0].tolist() == [10, 20, 30]


def test_bytes_in_memory_are_read_like_a_file(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    Image.effect_noise((9, 7), 50).save(file, **texts("zTXt", 2 * MIB))
    expected = Decoding(4, 3, "white")(str(file))
    assert (Decoding(4, 3, "white")(file.read_bytes()) == expected).all()
    with pytest.raises(UnreadableError, match=r"^can't be read \(cannot identify image file it\)$"):
        Decoding(4, 3, "white")(b"nothing")


def files_in(folder: Path) -> SourceOfFiles:
    return SourceOfFiles(folder, sorted(path.name for path in folder.iterdir()))


def test_a_large_text_does_not_hide_damage(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    Image.effect_noise((64, 64), 50).save(file, **texts("zTXt", 2 * MIB))
    file.write_bytes(file.read_bytes()[:-1000])
    with pytest.raises(UnreadableError, match="truncated"):
        Decoding(4, 3, "white")(str(file))


def test_more_pixels_than_fit_are_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "MOST_PIXELS", 2 * 10**6)
    for name in ("large.png", "large.jpg"):
        Image.new("L", (1500, 1500), 77).save(tmp_path / name)
    with pytest.raises(UnreadableError, match=r"is too large \(2,250,000 pixels\)"):
        Decoding(4, 1, "white")(str(tmp_path / "large.png"))
    assert Decoding(4, 1, "white")(str(tmp_path / "large.jpg")).max() == 77, "a fraction is decoded"


def test_what_all_threads_hold_is_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []
    held = Budget(10_000)

    def watch(image: Image.Image, **_: Any) -> None:
        taken.append(held.total - held._free)
        image.load()

    monkeypatch.setattr(decoding, "IN_FLIGHT", held)
    monkeypatch.setattr(decoding.ImageOps, "exif_transpose", watch)
    for number, side in enumerate([60] * 90 + [200] * 9):
        Image.new("L", (side, side)).save(tmp_path / f"{number:02}.png")
    assert decode_files(files_in(tmp_path), Decoding(4, 1), "test").shape == (99, 1, 4, 4)
    assert max(taken) == 10_000, "a large one is decoded alone"
    assert held._free == 10_000


def test_a_budget_lets_wait_and_go_on() -> None:
    held, order = Budget(10), []

    def take(name: str, amount: int) -> None:
        with held.take(amount):
            order.append(name)

    with held.take(6):
        waiting = threading.Thread(target=take, args=("large", 25))
        waiting.start()
        take("small", 4)
    waiting.join(10)
    assert order == ["small", "large"]


def test_all_broken_files_are_named_in_their_order(tmp_path: Path) -> None:
    for number in range(100):
        Image.new("L", (4, 4)).save(tmp_path / f"{number:02}.png")
    for number in (7, 70, 99):
        (tmp_path / f"{number}.png" if number > 9 else tmp_path / "07.png").write_bytes(b"")
    files = files_in(tmp_path)
    with pytest.raises(
        BrokenFilesError, match=r"^3 image files: .*07\.png.*70\.png.*99\.png"
    ) as caught:
        decode_files(files, Decoding(4, 1), "test")
    assert list(caught.value.files) == [files.name(index) for index in (7, 70, 99)]


def test_postscript_is_not_run_whatever_its_name(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    with pytest.raises(UnreadableError, match="cannot identify"):
        Decoding(4, 3, "white")(str(tmp_path / "a.png"))
