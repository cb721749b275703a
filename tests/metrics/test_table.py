"""Everything that shows, sorts or documents scores uses the table of scores."""

import csv
import json
import re
from pathlib import Path

import pytest
import torch

import cli
from minmax.callbacks import BestCheckpoint
from minmax.metrics.scores import score, score_by_class
from minmax.metrics.seen import Images
from minmax.metrics.table import SCORES, Score, mode_of, score_of
from minmax.reporting.figures import chart, quantities

ROOT = Path(__file__).parents[2]
CONTRAST = Score(
    "contrast",
    "higher",
    "spread of the features",
    lambda compared: float(compared.fake.features.std() / compared.real.features.std()),
    by_class=True,
)


@pytest.fixture
def contrast(monkeypatch: pytest.MonkeyPatch) -> None:
    """An additional score, as a line of the table would define it."""
    monkeypatch.setitem(SCORES, "contrast", CONTRAST)


def make_run(folder: Path, name: str, **scores: float) -> Path:
    """A run's folder with a tested checkpoint."""
    run = folder / name
    run.mkdir()
    (run / "config.yaml").write_text(f"model: {name}\n")
    report = {"scores": scores, "references": {"noise": dict.fromkeys(scores, 9.0)}, "protocol": {}}
    (run / "metrics.json").write_text(json.dumps({"last": report}))
    return run


@pytest.mark.usefixtures("contrast")
class TestOneMoreScore:
    """Everything that follows from one more line of the table."""

    def test_it_is_computed(self) -> None:
        labels = torch.tensor([0, 1] * 10)
        real = Images(torch.randn(20, 3), labels=labels)
        fake = Images(3 * real.features, labels=labels)
        assert score(real, fake, "pixels", 0)["contrast_pixels"] == pytest.approx(3, rel=1e-4)
        by_class = score_by_class(real, fake, ["a", "b"], "pixels")
        assert by_class["b"]["contrast_pixels"] == pytest.approx(3, rel=1e-4)

    def test_it_stands_in_the_comparison(self, tmp_path: Path) -> None:
        runs = [make_run(tmp_path, f"run{n}", contrast_pixels=float(n)) for n in range(2)]
        output = tmp_path / "table.csv"
        arguments = [*map(str, runs), "--format", "csv", "--output", str(output)]
        cli.main(["compare", *arguments])
        rows = list(csv.DictReader(output.read_text().splitlines()))
        assert [row["contrast_pixels (higher)"] for row in rows] == ["0", "1", "9"]

    def test_it_stands_in_the_report_the_best_first(self, tmp_path: Path) -> None:
        runs = [make_run(tmp_path, f"run{n}", contrast_pixels=float(n)) for n in range(3)]
        page = tmp_path / "page.html"
        with pytest.warns(UserWarning, match="no scalars"):
            cli.main(["report", *map(str, runs), "--output", str(page)])
        table = page.read_text().partition("</table>")[0]
        assert "contrast_pixels (higher)" in table
        assert re.findall(r">(run\d)<", table) == ["run2", "run1", "run0"]

    def test_it_has_a_chart(self) -> None:
        quantity = quantities()["contrast"]
        assert quantity.title == "spread of the features (higher is better)"
        assert "metric/contrast_domain" in quantity.names
        assert chart(quantity, {"a": [([0, 1], [0.1, 0.2])]})

    def test_it_chooses_the_best_checkpoint(self) -> None:
        assert BestCheckpoint("metric/contrast_domain").mode == "max"


@pytest.mark.parametrize("command", ["compare", "report"])
def test_a_score_that_the_table_lacks_is_named(command: str, tmp_path: Path) -> None:
    run = make_run(tmp_path, "run", fid_pixels=1.0, sharpness_pixels=2.0)
    message = r"run/metrics\.json: sharpness_pixels is no score: there are fid, energy"
    if command == "compare":
        with pytest.raises(SystemExit, match=message):
            cli.main(["compare", str(run)])
    else:  # the rest of the page is made
        with pytest.warns(UserWarning, match=rf"{message}.*its scores are left out"):
            cli.main(["report", str(run), "--output", str(tmp_path / "page.html")])
        assert "fid_pixels" not in (tmp_path / "page.html").read_text()


@pytest.mark.parametrize(
    ("name", "better"),
    [
        *(("fid_domain", "lower"), ("is_inception", "higher"), ("nearest_pixels", "near 1")),
        *(("class_match", "higher"), ("class_entropy", "higher"), ("kid_of_mine", None)),
        *(("class_match_domain", None), ("fids_domain", None), ("", None)),
    ],
)
def test_names(name: str, better: str | None) -> None:
    """Scores without features have no name with features; other names are unknown."""
    if better is not None:
        assert score_of(name).better == better
    else:
        with pytest.raises(ValueError, match=f"^{name} is no score"):
            score_of(name)


def test_the_order_of_values() -> None:
    """The best first."""
    values = [0.2, 0.9, 3.0]
    assert sorted(values, key=SCORES["fid"].order) == values
    assert sorted(values, key=SCORES["recall"].order) == values[::-1]
    assert sorted(values, key=SCORES["nearest"].order) == [0.9, 0.2, 3.0]


def test_the_best_checkpoint_is_that_of_the_better_score() -> None:
    assert BestCheckpoint().mode == mode_of("metric/fid_pixels") == "min"
    assert BestCheckpoint("metric/is_domain").mode == "max"
    assert BestCheckpoint("loss/generator", "min").mode == "min"
    for name, message in (
        ("loss/generator", "give `BestCheckpoint.mode` as well"),
        ("metric/sharpness", "give `BestCheckpoint.mode` as well"),
        ("metric/nearest_pixels", "neither min nor max"),
    ):
        with pytest.raises(ValueError, match=message):
            BestCheckpoint(name)


def test_every_score_stands_in_the_documentation() -> None:
    """In its table of scores with what is better, and no others; see also `test_logging`."""
    page = (ROOT / "docs" / "evaluation.md").read_text().partition("## The scores")[2]
    found = {}
    for row in re.findall(r"^\| `.*\|$", page, re.MULTILINE):
        names, _, better = row.strip("|").split("|")
        found |= dict.fromkeys(re.findall(r"`(\w+)`", names), re.match(r" (near 1|\w+)", better)[1])
    assert found == {one.name: one.better for one in SCORES.values()}
