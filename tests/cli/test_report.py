"""The contents of reports, about complete and damaged runs and studies."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml
from matplotlib.figure import Figure
from PIL import Image
from torch.utils.tensorboard import SummaryWriter

import cli
from minmax.reporting.figures import chart, mean_curve, quantities, smooth

VOID = {"meta", "img", "br", "link"}


class Page(HTMLParser):
    """The page's tags, text and addresses; closing tags must match."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.alts: list[str | None] = []
        self.rows: list[list[str]] = []
        self.text = ""
        self.feed(file.read_text())
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        held = dict(attrs)
        self.addresses += [held[name] or "" for name in ("src", "href") if name in held]
        if tag == "img":
            self.alts.append(held.get("alt"))
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text += data
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data


def make_run(
    folder: Path, fid: float = 1.0, seed: int = 0, colour: str = "red", **init: object
) -> Path:
    """The files of a training and a test that reports read."""
    (folder / "pictures").mkdir(parents=True)
    for name in ("real", "fake_000000000", "fake_000000640", "fake_last"):
        Image.new("RGB", (8, 8), colour).save(folder / "pictures" / f"{name}.png")
    config = {
        "seed_everything": seed,
        "trainer": {"default_root_dir": str(folder), "max_epochs": 3},
        "model": {"class_path": "gan_modules.GAN", "init_args": {"latent_dim": 100} | init},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    scores = {"fid_pixels": fid, "recall_pixels": fid / 100}
    report = {
        "scores": scores,
        "references": {"noise": {"fid_pixels": 9.0}},
        "protocol": {"seed": 0},
    }
    (folder / "metrics.json").write_text(json.dumps({"best": report, "last": report}))
    with SummaryWriter(str(folder)) as writer:
        for step in range(0, 640, 64):
            writer.add_scalar("loss/generator", 0.7 + step / 1000, step)
            writer.add_scalar("accuracy/real", 0.6, step)
        writer.add_scalar("metric/fid_pixels", fid, 640)
    return folder


def report(*folders: Path, output: Path) -> Page:
    cli.main(["report", *map(str, folders), "--output", str(output)])
    return Page(output)


@pytest.fixture
def study(tmp_path) -> Path:
    """Two variants, the second with better scores, a failed and a missing run."""
    folder = tmp_path / "study"
    for seed, fid in enumerate((4.0, 5.0, 6.0)):
        make_run(folder / "base" / f"seed_{seed}", fid, seed)
    make_run(folder / "wide" / "seed_1", 2.0, seed=1, latent_dim=300)
    (folder / "wide" / "seed_0").mkdir()
    (folder / "wide" / "seed_0" / "failed.txt").write_text("fit: error: it <b>diverged</b>")
    plan = {
        "title": "Width & <depth>",
        "claim": "Wider is better.",
        "config": "configs/x.yaml",
        "form": "quick",
        "seeds": [0, 1, 2],
        "variants": {"base": {}, "wide": {"model.init_args.latent_dim": 300}},
    }
    (folder / "study.yaml").write_text(yaml.safe_dump(plan, sort_keys=False))
    return folder


def test_a_page_of_a_study(study, tmp_path, capsys):
    output = tmp_path / "page.html"
    page = report(study, output=output)
    assert all(address.startswith("data:image/png;base64,") for address in page.addresses)
    assert all(page.alts)
    assert "Width & <depth>" in page.text
    assert "Wider is better." in page.text
    # The better one first; mean and deviation of 4, 5, 6 are 5 and 1.
    assert page.rows[0][:3] == ["variant", "seeds", "fid_pixels (lower)"]
    assert page.rows[1][:3] == ["wide", "1, 1 failed, 1 not done", "2"]
    assert page.rows[2] == ["base", "3", "5 ± 1", "0.05 ± 0.01"]
    # What differs, and only that.
    changes = page.rows[4:]
    assert changes == [["model.init_args.latent_dim", "100", "300"]]
    assert "seed_0 has failed. fit: error: it <b>diverged</b>" in page.text
    assert "1 of its runs are not done" in page.text
    assert "after 640 images" in page.text
    charts = tmp_path / "page_figures"
    assert {chart.stem for chart in charts.iterdir()} == {
        *("generator_loss", "accuracy_real", "fid"),
    }
    assert capsys.readouterr().out.strip() == f"Report: {output}  Charts: {charts}"


def test_a_page_of_runs(tmp_path):
    """Seeds of one configuration are one group."""
    runs = [make_run(tmp_path / f"run{seed}", 3.0 + seed, seed) for seed in (0, 1)]
    other = make_run(tmp_path / "other", 1.0, latent_dim=7)
    (other / "metrics.json").unlink()
    page = report(*runs, other, output=tmp_path / "page.html")
    assert [row[:3] for row in page.rows[1:3]] == [["run0", "2", "3.5 ± 0.71"], ["other", "0", "-"]]
    assert ["model.init_args.latent_dim", "100", "7"] in page.rows
    assert page.text.count("Scores of last.ckpt") == 2


def test_findings_of_the_diagnosis(tmp_path, monkeypatch):
    monkeypatch.setattr("minmax.diagnosis.stretches.SPAN", 0)
    run = make_run(tmp_path / "run")
    with SummaryWriter(str(run)) as writer:
        for step in range(30):
            writer.add_scalar("penalty/norm", 9.0 if step < 25 else 1.0, step)
    text = report(run, output=tmp_path / "page.html").text
    assert (
        "penalty off (since 0 images): the norm of the discriminator's gradient is 9, and" in text
    )


@pytest.mark.parametrize("text", ["variants: [", "title: only this", "", "- 1"])
def test_a_damaged_study(text, study, tmp_path):
    (study / "study.yaml").write_text(text)
    for command in (
        ["report", str(study)],
        ["study", "studies/noise.yaml", "--folder", str(study)],
    ):
        with pytest.raises(SystemExit, match=r"study\.yaml is damaged"):
            cli.main(command)


def test_the_default_place_is_the_first_folder_and_is_replaced(study):
    (study / "report.html").write_text("of before")
    cli.main(["report", str(study)])
    assert "Width" in Page(study / "report.html").text
    assert not list(study.glob("*.part"))


def test_a_long_run_shows_some_of_its_pictures(tmp_path, monkeypatch):
    run = make_run(tmp_path / "run")
    for seen in (320, 999_999_999, 1_000_000_000):
        Image.new("RGB", (8, 8)).save(run / "pictures" / f"fake_{seen:09d}.png")
    monkeypatch.setattr("minmax.films.MOST", 2)
    alts = report(run, output=tmp_path / "a.html").alts
    shown = [alt for alt in alts if alt and alt.startswith("Generated after")]
    assert shown == [f"Generated after {seen} images" for seen in (0, 1_000_000_000)]


def test_gray_pictures_are_kept_as_such(tmp_path):
    page = report(make_run(tmp_path / "a", colour="gray"), output=tmp_path / "a.html")
    colour = report(make_run(tmp_path / "b", colour="red"), output=tmp_path / "b.html")
    pictures = [[a for a in p.addresses if len(a) < 500] for p in (page, colour)]
    assert len(pictures[0]) == len(pictures[1]) > 0
    # The colour type of a PNG is its 26th byte: 0 is gray, 2 is RGB.
    from base64 import b64decode

    kinds = [{b64decode(a.partition(",")[2])[25] for a in part} for part in pictures]
    assert kinds == [{0}, {2}]


def test_curves_are_means_of_stretches_and_of_runs():
    images, values = smooth(range(120), [float(x % 2) for x in range(120)])
    assert list(values) == [0.5] * 60
    assert list(images[:2]) == [0.5, 2.5]
    one, two = ([0, 10, 20], [0.0, 1.0, 2.0]), ([0, 5, 10], [4.0, 4.0, 4.0])
    images, values = mean_curve([one, two])
    assert list(images) == [0, 10]  # as far as both go
    assert list(values) == [2.0, 2.5]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{tmp}/nowhere"], "nowhere is the folder of no run and of no study"),
        (["{tmp}"], "is the folder of no run"),
        (["{tmp}/study", "--output", "{tmp}/page.pdf"], "page.pdf must end in .html"),
        (["{tmp}/nowhere", "--output", "{tmp}/study/study.yaml/x.html"], "x.html can't be written"),
        (["{tmp}/study", "{tmp}/study/base/seed_0"], "give the study alone"),
    ],
)
def test_wrong_input(arguments, message, study, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(SystemExit, match=re.escape(message)):
        cli.main(["report", *(part.format(tmp=tmp_path) for part in arguments)])
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("letters", [1, 10, 16, 25, 60])
def test_a_legend_is_not_cut(letters, monkeypatch):
    """Even long names of groups fit into the chart."""
    from matplotlib.figure import Figure

    seen = []

    def measure(figure: Figure, *_: object, **options: object) -> None:
        save(figure, *_, **options)
        (legend,) = figure.legends
        seen.append((legend.get_window_extent(), figure.bbox))

    save = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", measure)
    curves = {f"{n}" + "n" * (letters - 1): [([0, 1], [0.1, 0.2])] for n in range(6)}
    assert chart(quantities()["recall"], curves)
    ((legend, whole),) = seen
    assert legend.x0 >= whole.x0
    assert legend.x1 <= whole.x1


def test_labels_of_a_narrow_logarithmic_chart_differ(monkeypatch):
    kept = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: kept.append(figure))
    chart(quantities()["energy"], {"a": [([0, 1], [0.103, 0.096])]})
    kept[0].canvas.draw()
    ticks = kept[0].axes[0].yaxis.get_ticklabels(which="both")
    labels = [text for tick in ticks if (text := tick.get_text())]
    assert len(set(labels)) == len(labels) > 2
    assert "0.1" in labels
