"""Links that loop, meet, or lead from one class or split to another: each real file once."""

import os
from pathlib import Path

import pytest

from datamodules.listing import Listing, list_images

FILES = "cat/1.png cat/2.png dog/1.png dog/2.png"


def listed(root: Path, files: str, links: dict[str, str]) -> Listing:
    for place in (root / file for file in files.split()):
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()
    for link, target in links.items():
        (root / link).parent.mkdir(parents=True, exist_ok=True)
        (root / link).symlink_to(target)
    return list_images(root, None)


def paths(files: list[tuple[str, int]]) -> str:
    return " ".join(path for path, _ in files)


@pytest.mark.parametrize(
    ("links", "said"),
    [
        ({"cat/up": ".."}, "links that lead back: 1 (cat/up)"),
        ({"cat/up": "..", "cat/too": "..", "dog/up": ".."}, "lead back: 3"),
        ({"cat/me": "."}, "lead back: 1 (cat/me)"),
        ({"cat/dog": "../dog", "dog/cat": "../cat"}, "links to what is read already"),
        ({"cat/top": "/"}, "lead back: 1 (cat/top)"),
        ({"cat/one": "../dog/1.png"}, "read already: 1"),
        ({"cat/one.png": "1.png"}, "read already: 1"),
        ({"cat/more": "nowhere"}, "links to nowhere: 1 (cat/more: No such file or directory)"),
        ({"cat/a": "b", "cat/b": "a"}, "links to nowhere: 2"),
    ],
)
def test_links_that_add_nothing(
    tmp_path: Path, links: dict[str, str], said: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    assert paths(listed(tmp_path, FILES, links).train) == FILES
    if links != {"cat/one": "../dog/1.png"}:  # without a suffix it is no image
        assert said in caplog.text


def test_links_between_all_classes_end_soon(tmp_path: Path) -> None:
    names = [f"c{number:02}" for number in range(30)]
    links = {f"{name}/{other}": f"../{other}" for name in names for other in names}
    files = " ".join(f"{name}/1.png" for name in names)
    assert paths(listed(tmp_path, files, links).train) == files


def test_what_only_links_reach_is_read_once_in_the_order_of_names(tmp_path: Path) -> None:
    links = {"owl": "../away", "cat/a": "../../else", "cat/b": "../../else"}
    for file in ("else/3.png", "else/deep/4.png", "away/5.png"):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    found = listed(tmp_path / "root", FILES, links)
    assert paths(found.train) == (
        "cat/1.png cat/2.png cat/a/3.png cat/a/deep/4.png dog/1.png dog/2.png owl/5.png"
    )


@pytest.mark.parametrize(
    ("links", "held_out"),
    [
        ({"val/cat/3.png": "../../train/cat/1.png"}, "cat/9.png"),
        ({"val/cat/more": "../../train/cat"}, "cat/9.png"),
        ({"train/cat/9.png": "../../val/cat/9.png"}, "cat/9.png"),
    ],
)
def test_no_held_out_image_is_trained_on(
    tmp_path: Path, links: dict[str, str], held_out: str
) -> None:
    found = listed(tmp_path, "train/cat/1.png train/dog/1.png val/cat/9.png", links)
    assert (paths(found.train), paths(found.held_out)) == ("cat/1.png dog/1.png", held_out)


@pytest.mark.parametrize(
    ("files", "links", "said"),
    [
        (FILES, {"cat/more": "../../else", "dog/more": "../../else"}, "one file in two ways"),
        (FILES, {"owl": "cat"}, "owl, which holds only links to images that are read elsewhere"),
        ("train/cat/1.png", {"val": "train"}, "val/cat, which holds only links"),
        (
            "train/1.png",
            {"val/1.png": "../../else/1.png", "train/2.png": "../../else/1.png"},
            "ways",
        ),
    ],
)
def test_equal_claims_are_refused(
    tmp_path: Path, files: str, links: dict[str, str], said: str
) -> None:
    listed(tmp_path / "else", "1.png", {})
    with pytest.raises(ValueError, match=rf"`root` leads to .*{said}"):
        listed(tmp_path / "root", files, links)


def test_a_file_with_two_names_is_one_image(tmp_path: Path) -> None:
    listed(tmp_path, FILES, {})
    os.link(tmp_path / "cat" / "1.png", tmp_path / "cat" / "3.png")
    assert paths(list_images(tmp_path, None).train) == FILES
    os.link(tmp_path / "cat" / "1.png", tmp_path / "dog" / "3.png")
    with pytest.raises(ValueError, match=r"cat/1\.png and .*dog/3\.png"):
        list_images(tmp_path, None)
    assert list_images(tmp_path, ["dog"]).names == ["cat", "dog"]
