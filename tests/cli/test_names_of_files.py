"""Names of classes in file names, whatever characters they have."""

import os

import pytest

from minmax.generation.drawing import in_file


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("cat", "cat"),
        ("T-shirt/top", "T-shirt_top"),
        ("../../up", ".._.._up"),
        ("caf\udce9", "caf\udce9"),
        ("a\0b\nc", "a_b\nc"),
        ("x" * 250, "x" * 200),
        ("ä" * 120, "ä" * 100),
        ("a" + "ä" * 120, "a" + "ä" * 99),
    ],
)
def test_a_class_in_a_files_name(name: str, expected: str) -> None:
    assert in_file(name) == expected
    assert len(os.fsencode(in_file(name))) <= 200
