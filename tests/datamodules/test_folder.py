"""Folders of image files: every kind of file, every layout, every error."""

import struct
from pathlib import Path
from typing import Any
from zlib import compress, crc32

import numpy
import pytest
import torch
from PIL import Image, ImageFile, ImageFilter

from datamodules import ImageFolder
from datamodules.decode import Decoding, UnreadableError
from datamodules.folder import split_by_hash
from minmax.class_counts import class_line


def save(path: Path, colour: Any = (10, 20, 30), size: int = 4, mode: str = "RGB") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, (size, size), colour).save(path)
    return path


def fill(folder: Path, count: int = 20, **options: Any) -> None:
    for number in range(count):
        save(folder / f"{number:03}.png", **options)


def pixel(path: Path, channels: int = 3, background: str = "white") -> list[int]:
    pixels = Decoding(4, channels, background)(str(path))
    assert pixels.shape == (4, 4, channels)
    assert pixels.dtype == numpy.uint8
    assert (pixels == pixels[0, 0]).all()
    return list(pixels[0, 0])


def images_of(loader: Any) -> torch.Tensor:
    return torch.cat([((images + 1) * 127.5).round() for images, _ in loader])


@pytest.mark.parametrize(
    ("mode", "colour", "background", "rgb"),
    [
        ("RGB", (10, 20, 30), "white", [10, 20, 30]),
        ("L", 77, "white", [77, 77, 77]),
        ("1", 1, "white", [255, 255, 255]),
        ("RGBA", (10, 20, 30, 255), "white", [10, 20, 30]),
        ("RGBA", (10, 20, 30, 0), "white", [255, 255, 255]),
        ("RGBA", (10, 20, 30, 0), "#102030", [16, 32, 48]),
        ("RGBA", (100, 100, 100, 51), "black", [20, 20, 20]),
        ("LA", (77, 0), "black", [0, 0, 0]),
        ("LA", (77, 255), "black", [77, 77, 77]),
        ("I;16", 257 * 99, "white", [99, 99, 99]),
        ("I;16", 65535, "white", [255, 255, 255]),
        ("I;16", 1000, "white", [4, 4, 4]),
    ],
)
def test_pixels_of_each_mode(
    tmp_path: Path, mode: str, colour: Any, background: str, rgb: list[int]
) -> None:
    assert pixel(save(tmp_path / "a.png", colour, mode=mode), 3, background) == rgb


def test_grayscale_is_luma(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", (255, 0, 0))
    assert pixel(path, channels=1) == [76]  # 0.299 * 255
    path = save(tmp_path / "b.png", (200, 200, 200, 0), mode="RGBA")
    assert pixel(path, channels=1, background="#00ff00") == [150]  # 0.587 * 255
    assert pixel(save(tmp_path / "c.png", 257 * 99, mode="I;16"), channels=1) == [99]


@pytest.mark.parametrize("transparent", [False, True])
def test_palette(tmp_path: Path, transparent: bool) -> None:
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, 10, 20, 30])
    path = tmp_path / "a.png"
    image.save(path, **({"transparency": 1} if transparent else {}))
    assert pixel(path, background="red") == ([255, 0, 0] if transparent else [10, 20, 30])


def test_a_transparent_key_colour_shows_the_background(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4), (1, 2, 3)).save(tmp_path / "a.png", transparency=(1, 2, 3))
    assert pixel(tmp_path / "a.png", background="blue") == [0, 0, 255]


@pytest.mark.parametrize("name", ["a.tif", "a.jpg"])
def test_cmyk(tmp_path: Path, name: str) -> None:
    red = pixel(save(tmp_path / name, (0, 255, 255, 0), mode="CMYK"))
    assert numpy.abs(numpy.subtract(red, [255, 0, 0], dtype=int)).max() <= 2


def test_16_bits_a_channel(tmp_path: Path) -> None:
    """Written by hand: Pillow can't."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc32(kind + data))

    header = struct.pack(">IIBBBBB", 4, 4, 16, 2, 0, 0, 0)
    row = b"\0" + struct.pack(">HHH", 257 * 10, 257 * 20, 257 * 30) * 4
    parts = [chunk(b"IHDR", header), chunk(b"IDAT", compress(row * 4)), chunk(b"IEND", b"")]
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
    assert pixel(tmp_path / "a.png") == [10, 20, 30]


@pytest.mark.parametrize("name", ["a.gif", "a.png", "a.webp"])
def test_animations_give_their_first_frame(tmp_path: Path, name: str) -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    lossless = {"lossless": True} if name == "a.webp" else {}
    frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], **lossless)
    with Image.open(tmp_path / name) as file:
        assert file.n_frames == 2
    assert pixel(tmp_path / name) == [255, 0, 0]


def test_the_content_counts_and_not_the_extension(tmp_path: Path) -> None:
    save(tmp_path / "a.png").rename(tmp_path / "a.jpg")
    assert pixel(tmp_path / "a.jpg") == [10, 20, 30]


def test_a_rotated_photo_is_decoded_at_twice_its_final_size(tmp_path: Path) -> None:
    """Whichever way it lies: a wide one, of which a tall image shows the middle."""
    noise = numpy.random.default_rng(0).integers(0, 256, (512, 2048), "uint8")
    upright = Image.fromarray(noise).filter(ImageFilter.BoxBlur(1))
    exif = Image.Exif()
    exif[0x0112] = 6
    upright.save(tmp_path / "upright.jpg", quality=95)
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "lies.jpg", exif=exif, quality=95)
    one, other = (
        Decoding((256, 64), 1, "white")(str(tmp_path / f"{name}.jpg")).astype(float)
        for name in ("upright", "lies")
    )
    assert abs(one - other).mean() < 0.1 * one.std()


def test_a_transparent_level_of_16_bits_shows_the_background(tmp_path: Path) -> None:
    levels = numpy.array([[0, 1000], [1000, 65535]], dtype=numpy.uint16)
    Image.fromarray(levels).save(tmp_path / "a.png", transparency=1000)
    pixels = Decoding(2, 1, "white")(str(tmp_path / "a.png"))[..., 0]
    assert pixels.tolist() == [[0, 255], [255, 255]]
    assert Decoding(2, 3, "red")(str(tmp_path / "a.png"))[0, 1].tolist() == [255, 0, 0]


def test_rotated_photos_stand_upright(tmp_path: Path) -> None:
    image = Image.new("L", (4, 4), 0)
    image.paste(200, (0, 0, 4, 2))  # bright at the top
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned by 90 degrees clockwise: bright at the right
    image.save(tmp_path / "a.png", exif=exif)
    pixels = Decoding(4, 1, "white")(str(tmp_path / "a.png"))[..., 0]
    assert pixels.tolist() == [[0, 0, 200, 200]] * 4


def test_the_centre_of_a_wide_photo_is_kept(tmp_path: Path) -> None:
    image = Image.new("L", (300, 100), 0)
    image.paste(200, (100, 0, 200, 100))
    image.save(tmp_path / "a.png")
    assert (Decoding(10, 1, "white")(str(tmp_path / "a.png"))[:, 1:-1] == 200).all()


def test_decoding_large_jpegs_at_a_fraction_keeps_details(tmp_path: Path) -> None:
    stripes = numpy.repeat(numpy.arange(80) % 2 * 150 + 50, 8)
    image = Image.fromarray(numpy.tile(stripes, (640, 1)).astype(numpy.uint8))
    image.save(tmp_path / "a.png")
    image.save(tmp_path / "a.jpg", quality=95)
    exact, fast = (Decoding(160, 1, "white")(str(tmp_path / name)) for name in ("a.png", "a.jpg"))
    assert numpy.abs(exact.astype(int) - fast).max() < 8


def truncated(path: Path, kind: str = "PNG") -> None:
    noise = numpy.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=numpy.uint8)
    Image.fromarray(noise).save(path, kind)
    path.write_bytes(path.read_bytes()[:2000])


def huge(path: Path) -> None:
    save(path, 0, mode="1", size=20000)


def floating(path: Path) -> None:
    save(path.with_suffix(".tif"), 0.5, mode="F").rename(path)


def deep(path: Path) -> None:
    save(path.with_suffix(".tif"), 70000, mode="I").rename(path)


def test_a_decompression_bomb_is_refused_before_it_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    huge(tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size < 100_000
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda _: pytest.fail("was decoded"))
    with pytest.raises(UnreadableError, match=r"^is too large"):
        Decoding(4, 3, "white")(str(tmp_path / "a.png"))


@pytest.mark.parametrize(
    ("make", "cause"),
    [
        (truncated, "can't be read"),
        (lambda path: truncated(path, "JPEG"), "can't be read"),
        (lambda path: truncated(path, "GIF"), "can't be read"),
        (lambda path: path.symlink_to(path.parent / "nowhere"), "No such file"),
        (lambda path: path.write_bytes(b"no image"), "can't be read"),
        (lambda path: path.write_bytes(b""), "can't be read"),
        (huge, "too large"),
        (floating, "floating-point"),
        (deep, "32-bit"),
    ],
)
def test_files_that_cannot_be_read_are_named(tmp_path: Path, make: Any, cause: str) -> None:
    fill(tmp_path, 5)
    make(tmp_path / "bad.png")
    data = ImageFolder(str(tmp_path), batch_size=1, val_fraction=0)
    with pytest.raises(ValueError, match=r"bad\.png") as caught:
        data.setup("fit")
    assert cause in str(caught.value)
    assert "delete the file" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_training_images_that_are_scored_against_are_no_others(tmp_path: Path) -> None:
    fill(tmp_path, 20)
    for fraction, said in (
        (0, "images (none is held out"),
        (0.5, "held-out images"),
    ):
        data = ImageFolder(str(tmp_path), 8, batch_size=1, val_fraction=fraction)
        assert said in class_line(data)


def test_images_directly_in_the_folder_are_one_class(tmp_path: Path) -> None:
    fill(tmp_path, 20)
    (tmp_path / ".hidden.png").write_text("not read")
    (tmp_path / "notes.txt").write_text("not read")
    (tmp_path / "empty").mkdir()
    data = ImageFolder(str(tmp_path), image_size=8, batch_size=4)
    assert (data.channels, data.num_classes) == (3, 1)
    train, held_out = data.train_dataloader(), data.val_dataloader()
    assert train.dataset_size + held_out.dataset_size == 20
    assert held_out.dataset_size > 0
    images, labels = next(iter(train))
    assert images.shape == (4, 3, 8, 8)
    assert labels.tolist() == [0] * 4


def test_class_folders_are_searched_in_order_of_their_names(tmp_path: Path) -> None:
    fill(tmp_path / "b", 3, colour=(20, 20, 20))
    fill(tmp_path / "a" / "deeper", 2, colour=(10, 10, 10))
    fill(tmp_path / ".cache", 2, colour=(99, 99, 99))
    elsewhere = tmp_path.parent / f"{tmp_path.name}-elsewhere"
    fill(elsewhere, 1, colour=(30, 30, 30))
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "link").symlink_to(elsewhere)
    (tmp_path / "c" / "._000.png").write_text("not read")
    data = ImageFolder(str(tmp_path), 4, True, 1, val_fraction=0)
    assert data.class_names == ["a", "b", "c"]
    _, labels = data.split(train=True)
    assert labels.tolist() == [0, 0, 1, 1, 1, 2]
    seen = {(label.item(), image.mean().item()) for image, label in _pairs(data)}
    assert seen == {(0, 10), (1, 20), (2, 30)}


def _pairs(data: ImageFolder) -> Any:
    images, labels = data.split(train=True)
    return zip(images.float(), labels, strict=True)


def test_only_the_chosen_classes_are_decoded(tmp_path: Path) -> None:
    for label, name in enumerate(("a", "b", "c")):
        fill(tmp_path / name, 10, colour=(label, label, label))
    (tmp_path / "b" / "bad.png").write_text("not read")
    data = ImageFolder(str(tmp_path), 4, batch_size=2, classes=["c", "a"])
    data.setup("fit")
    assert data.class_names == ["c", "a"]
    assert {(label.item(), image.mean().item()) for image, label in _pairs(data)} == {
        (0, 2),
        (1, 0),
    }


@pytest.mark.parametrize("held_out", ["val", "valid", "validation", "test"])
def test_folders_of_splits_are_used(tmp_path: Path, held_out: str) -> None:
    for label, name in enumerate(("a", "b")):
        fill(tmp_path / "train" / name, 6, colour=(label, label, label))
    fill(tmp_path / held_out / "b", 4, colour=(50, 50, 50))
    data = ImageFolder(str(tmp_path), 4, batch_size=2)
    assert data.class_names == ["a", "b"]
    assert data.train_dataloader().dataset_size == 12
    loader = data.val_dataloader()
    assert loader.dataset_size == 4
    assert images_of(loader).eq(50).all()
    assert all(label == 1 for _, labels in loader for label in labels)


def test_validation_goes_before_test(tmp_path: Path) -> None:
    for place in ("train", "test", "val"):
        fill(tmp_path / place, len(place))
    data = ImageFolder(str(tmp_path), 4, batch_size=1)
    assert data.val_folder.name == "val"
    assert data.val_dataloader().dataset_size == 3


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    fill(tmp_path / "train", 5)
    fill(tmp_path / "ship", 5)
    assert ImageFolder(str(tmp_path)).class_names == ["ship", "train"]


def test_the_split_is_stable_when_files_are_added() -> None:
    few = [(f"{number}.png", 0) for number in range(0, 1000, 3)]
    many = [(f"{number}.png", 0) for number in range(1000)]
    train, held_out = split_by_hash(few, 0.1)
    more_train, more_held_out = split_by_hash(many, 0.1)
    assert set(train) < set(more_train)
    assert set(held_out) < set(more_held_out)
    assert sorted(train + held_out) == sorted(few)
    assert 0.07 < len(more_held_out) / 1000 < 0.13
    assert split_by_hash(many[::-1], 0.1)[1] == more_held_out[::-1]


def test_neither_side_of_a_split_is_empty_unless_asked_for() -> None:
    two = [("a", 0), ("b", 0)]
    for fraction in (0.001, 0.999):
        assert [len(side) for side in split_by_hash(two, fraction)] == [1, 1]
    assert split_by_hash(two, 0) == (two, two)


def test_the_split_does_not_depend_on_the_place(tmp_path: Path) -> None:
    fill(tmp_path / "one", 30)
    fill(tmp_path / "two", 30)
    one, two = (ImageFolder(str(tmp_path / name)) for name in ("one", "two"))
    assert one.val_files == two.val_files


def mixed(root: Path) -> None:
    fill(root, 1)
    fill(root / "a", 1)


def one_empty(root: Path) -> None:
    fill(root / "a", 1)
    (root / "b").mkdir()


def strange_class(root: Path) -> None:
    fill(root / "train" / "a", 1)
    fill(root / "test" / "b", 1)


@pytest.mark.parametrize(
    ("make", "error", "parts"),
    [
        (Path.rmdir, FileNotFoundError, ["no such folder"]),
        (lambda root: None, FileNotFoundError, ["holds no images", ".png"]),
        (lambda root: (root / "a").mkdir(), FileNotFoundError, ["holds no images"]),
        (mixed, ValueError, ["both images", "000.png", "move the images"]),
        (one_empty, ValueError, ["folder b holds no images"]),
        (strange_class, ValueError, ["test/ (b)", "train/ (a)"]),
    ],
)
def test_folders_that_cannot_be_used(
    tmp_path: Path, make: Any, error: type[Exception], parts: list[str]
) -> None:
    root = tmp_path / "photos"
    root.mkdir()
    make(root)
    with pytest.raises(error, match=r"`root`") as caught:
        ImageFolder(str(root))
    assert all(part in str(caught.value) for part in [*parts, str(root)]), str(caught.value)


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ({"background": "whit"}, ["`background`", "'whit'", "#rrggbb"]),
        ({"val_fraction": 1}, ["`val_fraction`", "is 1", "below 1"]),
        ({"classes": ["b"]}, ["`classes`", "'b'", "0: a"]),
    ],
)
def test_wrong_options_are_refused(
    tmp_path: Path, options: dict[str, Any], parts: list[str]
) -> None:
    fill(tmp_path / "a", 2)
    with pytest.raises(ValueError, match="`") as caught:
        ImageFolder(str(tmp_path), **options)
    assert all(part in str(caught.value) for part in parts), str(caught.value)
