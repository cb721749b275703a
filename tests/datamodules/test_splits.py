"""Folders of splits, by all their names, and what is neither split nor class."""

from pathlib import Path

import pytest

from datamodules.listing import Listing, list_images
from datamodules.split_names import split_of


def make(root: Path, places: str) -> None:
    """Empty files: nothing decodes them."""
    for place in places.split():
        folder = root / place
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.touch() if folder.suffix else folder.mkdir()


def listed(root: Path, places: str, classes: list[str] | None = None) -> Listing:
    make(root, places)
    return list_images(root, classes)


@pytest.mark.parametrize(
    "name",
    [
        "train",
        "Train",
        "TRAIN",
        "training",
        "train_set",
        "Training-Images",
        "trainset",
        "train2017",
        "seg_train",
        "trainA",
        "01_train",
        "data_train",
        "images.train",
        "train_b",
        "trainval",
    ],
)
def test_names_to_train_on(name: str) -> None:
    assert split_of(name) == "train"


@pytest.mark.parametrize(
    "name",
    [
        "val",
        "Val",
        "valid",
        "VALIDATION",
        "dev",
        "Development",
        "test",
        "Testing",
        "test_images",
        "TestSet",
        "testB",
        "eval",
        "Evaluation",
        "holdout",
        "hold-out",
        "Held_Out",
        "val2014",
        "public_test",
    ],
)
def test_names_to_hold_out(name: str) -> None:
    assert split_of(name) not in (None, "train")


@pytest.mark.parametrize(
    "name",
    [
        "trains",
        "trainer",
        "strain",
        "cat",
        "testament",
        "evil",
        "value",
        "valley",
        "invalid",
        "data",
        "images",
        "A",
    ],
)
def test_other_names(name: str) -> None:
    assert split_of(name) is None


@pytest.mark.parametrize(
    ("places", "train", "held_out"),
    [
        ("Train/a/1.png Test/a/1.png", "Train", "Test"),
        ("TRAINING/1.png Eval/1.png", "TRAINING", "Eval"),
        ("train/a/1.png labels/1.txt notes.txt", "train", "train"),
        ("train/1.png test/1.png valid/1.png", "train", "valid"),
        ("set/train/a/1.png set/dev/a/1.png", "set/train", "set/dev"),
        ("cats_train/a/1.png cats_test/a/1.png", "cats_train", "cats_test"),
        ("train_v2/1.png test_v2/1.png", "train_v2", "test_v2"),
        ("XTrain/1.png XVal/1.png XTest/1.png", "XTrain", "XVal"),
        ("myTrain/myTrain/a/1.png myTest/myTest/a/1.png", "myTrain/myTrain", "myTest/myTest"),
        ("images/train/1.png images/val/1.png labels/train/1.txt", "images/train", "images/val"),
        (
            "seg_train/seg_train/1.png seg_test/seg_test/1.png",
            "seg_train/seg_train",
            "seg_test/seg_test",
        ),
    ],
)
def test_splits(tmp_path: Path, places: str, train: str, held_out: str) -> None:
    found = listed(tmp_path, places)
    assert (found.train_folder, found.held_out_folder) == (tmp_path / train, tmp_path / held_out)
    assert found.names in (["a"], ["image"])


@pytest.mark.parametrize(
    ("places", "classes", "names"),
    [
        ("train/1.png ship/1.png", None, ["ship", "train"]),
        ("train/ship/1.png train/train/1.png test/train/1.png", None, ["ship", "train"]),
        ("cat/1.png test/1.png", ["test"], ["cat", "test"]),
        ("cat/1.png dog/1.png test/1.png", ["cat", "dog"], ["cat", "dog", "test"]),
        ("train/cat/1.png train/test/1.png val/cat/1.png", ["cat", "test"], ["cat", "test"]),
        ("set/cat/1.png set/dog/1.png", None, ["set"]),
        ("blood_test/1.png bullet_train/1.png", None, ["blood_test", "bullet_train"]),
        ("a_test/1.png a_train/1.png", ["a_test", "a_train"], ["a_test", "a_train"]),
    ],
)
def test_classes(tmp_path: Path, places: str, classes: list[str] | None, names: list[str]) -> None:
    assert listed(tmp_path, places, classes).names == names


@pytest.mark.parametrize(
    ("places", "named"),
    [
        ("test/1.png", "test"),
        ("cat/1.png dog/1.png Test/1.png", "Test beside cat, dog"),
        ("train/a/1.png extra/a/1.png", "train beside extra"),
        ("train/1.png val/1.png 1.png", r"train, val beside 1\.png"),
        ("trainA/1.png trainB/1.png testA/1.png testB/1.png", "testA, testB, trainA, trainB"),
        ("train/1.png val2014/1.png val2017/1.png", "val2014, val2017"),
        ("valid/1.png invalid/1.png", "valid beside invalid"),
        ("train/cat/1.png train/test/1.png", "folder test has the name of a split"),
        ("cat/train/1.png cat/test/1.png dog/train/1.png", "cat holds test and train"),
        ("cat/my_train/1.png cat/my_test/1.png dog/1.png", "cat holds my_test and my_train"),
        ("a_train/1.png a_test/1.png cat/1.png", "a_test, a_train beside cat"),
        ("nut/train/ok/1.png nut/test/ok/1.png cog/1.png", "nut holds test and train"),
    ],
)
def test_what_may_be_either_is_refused(tmp_path: Path, places: str, named: str) -> None:
    with pytest.raises(ValueError, match=rf"`root` .*{named}") as caught:
        listed(tmp_path, places)
    assert "\n" not in str(caught.value)
