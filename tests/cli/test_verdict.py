"""What a study says in the end."""

from pathlib import Path
from typing import Any

import pytest
import scipy.stats

from minmax.reporting.comparison import score_rows
from minmax.reporting.groups import Group
from minmax.reporting.verdict import ends_of_sweep, verdict

LEFT_OUT = "Left out, as runs of it failed or have no score:"


class Scored(Group):
    """A group with these scores."""

    def __init__(
        self, name: str, *values: float | None, score: str = "fid_domain", **more: object
    ) -> None:
        super().__init__(name, [], **more)  # type: ignore[arg-type]
        self.reports: dict[Path, dict[str, Any]] = {
            Path(f"{n}"): {"scores": {score: value, "is": 1.0}, "protocol": {}}
            for n, value in enumerate(values)
        }


def test_the_best_is_named_with_the_chance_of_its_gap() -> None:
    worse, best, second = Scored("a", 9, 9.1), Scored("b", 1.0, 1.2, 1.1), Scored("c", 2, 2.1, 2.2)
    said = verdict([worse, best, second])
    assert said.startswith("By fid_domain take b: 1.1 ± 0.1; then comes c: 2.1 ± 0.1. The gap is b")
    chance = scipy.stats.ttest_ind([2, 2.1, 2.2], [1.0, 1.2, 1.1], equal_var=False).pvalue / 2
    assert f"p = {chance:.2g})" in said
    near = Scored("c", 1.0, 1.4, 1.2)
    assert "The gap may be chance (p = 0.2" in verdict([worse, best, near])


def test_more_is_better_for_some_scores() -> None:
    few, many = (
        Scored(name, *v, score="recall_domain") for name, v in (("a", [0.1]), ("b", [0.9]))
    )
    said = verdict([few, many])
    assert said.startswith(
        "By recall_domain take b: 0.9; then comes a: 0.1. How sure that is can't"
    )


def test_failed_and_missing_runs_are_said() -> None:
    failed = Scored("a", 0.1, failed={Path("a/seed_1"): "NaN"})
    said = verdict([failed, Scored("b", 1, 2), Scored("c", 3, 4, waiting=2), Scored("d")])
    assert said.startswith("By fid_domain take b")
    assert said.endswith(f"{LEFT_OUT} a. 2 runs are not done yet.")
    unscored = Scored("e", 0.1, None)
    said = verdict([unscored, Scored("b", 1, 2), Scored("c", 3, 4)])
    assert said.startswith("By fid_domain take b")
    assert said.endswith(f"{LEFT_OUT} e.")
    assert verdict([failed, Scored("b", 1)]) == verdict([Scored("b")]) == ""


def test_a_table_says_how_many_runs_have_a_score_and_has_incomplete_groups_last() -> None:
    groups = [Scored("a", 1, None, 3), Scored("b", None), Scored("c", 5, 6), Scored("d", 9)]
    assert [row[:3] for row in score_rows(groups)[1:]] == [
        ["c", "2", "5.5 ± 0.71"],
        ["d", "1", "9"],
        ["a", "3", "2 ± 1.4 (2 of 3)"],
        ["b", "1", "-"],
    ]


@pytest.mark.parametrize(
    ("names", "ends"),
    [
        (["gamma_0.25", "gamma_1", "gamma_16"], ["gamma_0.25", "gamma_16"]),
        (["lambda_10", "lambda_1", "lambda_0"], ["lambda_10", "lambda_0"]),
        (["lambda_10", "lambda_1", "plain"], []),
        (["a_1", "a_3", "a_2"], []),
    ],
)
def test_the_best_at_an_end_of_a_sweep(names: list[str], ends: list[str]) -> None:
    assert ends_of_sweep(names) == ends
    said = verdict([Scored(name, place, place + 0.1) for place, name in enumerate(names)])
    assert (f"{names[0]} is at an end of the sweep: try further values." in said) == bool(ends)
