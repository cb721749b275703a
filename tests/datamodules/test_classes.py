"""Classes by name and number, also where YAML reads a name as something else."""

import pytest
from jsonargparse import ArgumentParser

from datamodules.classes import Class, select_classes


def read(text: str) -> list[Class]:
    """What the command line hands on of a list."""
    parser = ArgumentParser()
    parser.add_argument("--classes", type=list[Class])
    found: list[Class] = parser.parse_args([f"--classes={text}"]).classes
    return found


@pytest.mark.parametrize(
    ("available", "written", "meant"),
    [
        (["no", "yes"], "[yes, no]", ["yes", "no"]),
        (["off", "on"], "[on]", ["on"]),
        (["True", "False"], "[True]", ["True"]),
        (["cat", "null"], "[null, cat]", ["null", "cat"]),
        (["1e3", "2e3"], "[2e3]", ["2e3"]),
        (["0x10", "0x11"], "[0x11]", ["0x11"]),
        (["007", "008", "010"], "[010, 007]", ["010", "007"]),
        (["1_000", "cat"], "[1_000]", ["1_000"]),
        (["2024-01-01", "2024-01-02"], "[2024-01-02]", ["2024-01-02"]),
        (["12:30", "12:45"], "[12:45]", ["12:45"]),
        (["1.0", "2.50"], "[2.50]", ["2.50"]),
        (["inf", "nan", ".nan"], "[.nan, nan]", [".nan", "nan"]),
        (["1", "10", "2"], "[2, 10]", ["2", "10"]),
        (["0x10", "16"], '["16"]', ["16"]),
        (["cat", "dog", "7"], "[1, 7, 0]", ["dog", "7", "cat"]),
        (["cat", "dog"], '["1"]', ["dog"]),
    ],
)
def test_the_class_that_was_written(available: list[str], written: str, meant: list[str]) -> None:
    assert [available[label] for label in select_classes(available, read(written))] == meant


@pytest.mark.parametrize(
    ("available", "written", "reason"),
    [
        (["cat", "dog"], "[true, false]", "True, which is no class"),
        (["cat", "dog"], "[yes]", "quote|YAML doesn't read yes"),
        (["cat", "dog"], "[1.0]", "1.0, which is no class"),
        (["cat", "dog"], "[null]", "None, which is no class"),
        (["cat", "dog"], '["01"]', "'01', which is no class"),
        (["3", "5", "7"], "[0]", "0, which is no class"),
        (["on", "yes"], "[yes]", "can be on, yes: quote the name, .* '\\[\"on\"\\]'"),
        (["0x10", "16"], "[16]", "can be 0x10, 16: quote"),
        (["1", "1.0", "true"], "[1, 1.0, true, 1]", "1 twice"),
        ([*"abcdefgh", "010"], "[010]", "can be 010, number 8: quote"),
    ],
)
def test_what_can_be_two_classes_or_none_is_refused(
    available: list[str], written: str, reason: str
) -> None:
    with pytest.raises(ValueError, match=rf"`classes` holds.*(?:{reason})"):
        select_classes(available, read(written))


def test_the_classes_to_choose_from_are_a_short_list() -> None:
    with pytest.raises(ValueError, match=r"19: 19 and 980 more\.$"):
        select_classes([str(number) for number in range(1000)], ["cat"])
