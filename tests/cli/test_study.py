"""Studies: their runs, which of them are repeated, and how failures are shown."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
import yaml

import cli
from minmax.lock import NAME, locked
from minmax.reporting.groups import groups_of
from minmax.studying import carrying_out
from minmax.studying.plan_file import read_plan
from minmax.studying.runs import keep_plan, runs_of
from tests.cli.conftest import CONFIGS

ROOT = CONFIGS.parent
PLAN = {
    "title": "Depth",
    "claim": "More is better.",
    "config": "configs/dcgan_digits.yaml",
    "seeds": [0, 7],
    "variants": {"base": {}, "other": {"model.init_args.label_flips": {"class_path": "Flips"}}},
    "forms": {"quick": {"trainer.max_epochs": 1}, "full": {}},
}
# In the place of cli.py: notes what it was asked, and leaves what a training and a test leave.
STAND_IN = """
import json, sys, time
from pathlib import Path

command, *rest = sys.argv[1:]
options = dict(part.removeprefix("--").split("=", 1) for part in rest if "=" in part)
folder = Path(options.get("trainer.default_root_dir") or Path(rest[1]).parent)
with open(LOG, "a") as log:
    log.write(json.dumps([command, *rest]) + "\\n")
if command == "fit":
    if "wrong" in options:
        sys.exit("a warning before\\nerror: --wrong is not an option")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text("{}")
    time.sleep(float(options.get("seconds", 0)))
else:
    report = {"scores": {}, "references": {}, "protocol": {}}
    (folder / "metrics.json").write_text(json.dumps({"last": report}))
"""


@pytest.fixture
def log(tmp_path, monkeypatch) -> Path:
    """The commands that the stand-in received."""
    monkeypatch.chdir(ROOT)
    file = tmp_path / "stand_in.py"
    file.write_text(f"LOG = {str(tmp_path / 'log')!r}\n" + STAND_IN)
    monkeypatch.setattr(carrying_out, "CLI", file)
    return tmp_path / "log"


def asked(log: Path) -> list[list[str]]:
    return [json.loads(line) for line in log.read_text().splitlines()] if log.is_file() else []


def run(tmp_path: Path, *options: str, **changes: object) -> Path:
    plan = tmp_path / "depth.yaml"
    plan.write_text(yaml.safe_dump(PLAN | changes, sort_keys=False))
    cli.main(["study", str(plan), "--folder", str(tmp_path / "study"), *options])
    return tmp_path / "study"


def test_each_variant_is_trained_and_scored_with_each_seed(tmp_path, log, capfd):
    folder = run(tmp_path, "--data.init_args.root", "DATA")
    assert [call[0] for call in asked(log)] == ["fit", "test"] * 4
    fits = [call[1:] for call in asked(log) if call[0] == "fit"]
    places = [f"{variant}/seed_{seed}" for seed in (0, 7) for variant in ("base", "other")]
    changed = ["--config", PLAN["config"], "--trainer.max_epochs=1"]
    flips = '--model.init_args.label_flips={"class_path": "Flips"}'
    for call, place in zip(fits, places, strict=True):
        assert call == [
            *changed,
            *([flips] if "other" in place else []),
            *("--data.init_args.root", "DATA", f"--seed_everything={place[-1]}"),
            *(f"--trainer.default_root_dir={folder / place}", "--resume=true"),
        ]
    assert asked(log)[1] == ["test", "--config", f"{folder}/base/seed_0/config.yaml"]
    kept = yaml.safe_load((folder / "study.yaml").read_text())
    assert {name: kept[name] for name in PLAN} == PLAN
    assert kept["form"] == "quick"
    output = capfd.readouterr().out
    assert "[3/4] base, seed 7; 2 left, about 0:00:0" in output
    assert output.strip().splitlines()[-1] == (
        f"Study: {folder}  Report: python cli.py report {folder}"
    )


def test_nothing_is_repeated(tmp_path, log):
    folder = run(tmp_path, "--run", "2")
    assert [call[0] for call in asked(log)] == ["fit", "test"]
    (folder / "base" / "seed_0").mkdir(parents=True)
    (folder / "base" / "seed_0" / "config.yaml").touch()  # begun, and stopped
    log.unlink()
    run(tmp_path)
    assert len(asked(log)) == 6
    log.unlink()
    run(tmp_path)
    assert asked(log) == []


def test_a_run_scored_only_at_its_best_is_not_done(tmp_path, log):
    folder = run(tmp_path)
    file = folder / "base" / "seed_0" / "metrics.json"
    file.write_text(file.read_text().replace("last", "best"))
    log.unlink()
    run(tmp_path)
    assert len(asked(log)) == 2


def test_the_study_goes_on_past_a_failed_run(tmp_path, log, capfd):
    variants = {"base": {}, "other": {"wrong": 1}}
    folder = tmp_path / "study"
    with pytest.raises(SystemExit, match="1"):
        run(tmp_path, variants=variants)
    assert [call[0] for call in asked(log)] == ["fit", "test", "fit"] * 2
    words = "fit: error: --wrong is not an option"
    assert (folder / "other" / "seed_7" / "failed.txt").read_text().strip() == words
    output = capfd.readouterr()
    assert (
        f"other, seed 0 has failed; the study goes on. {words.removeprefix('fit: ')}" in output.out
    )
    assert output.out.count("  failed\n") == 2  # in the table
    assert "a warning before" in output.err
    log.unlink()
    with pytest.raises(SystemExit, match="1"):
        run(tmp_path, variants=variants)
    assert asked(log) == []
    run(tmp_path, "--run", "1", variants=variants)  # another has failed, and nobody wants it
    with pytest.raises(SystemExit, match="1"):
        run(tmp_path, "--retry", variants=variants)
    assert [call[0] for call in asked(log)] == ["fit", "fit"]
    run(tmp_path)  # with the option mended
    assert not (folder / "other" / "seed_7" / "failed.txt").exists()
    assert [call[0] for call in asked(log)][2:] == ["fit", "test"] * 2


def test_a_study_stops_if_its_first_training_is_refused(tmp_path, log):
    with pytest.raises(SystemExit, match=r"first training, base, seed 0, was .* is not an option"):
        run(tmp_path, "--wrong=1")
    assert len(asked(log)) == 1
    run(tmp_path)  # with the option mended
    assert [call[0] for call in asked(log)][1:] == ["fit", "test"] * 4


def test_a_misspelt_option_of_the_study_is_not_handed_on(tmp_path, log):
    with pytest.raises(SystemExit, match=r"--lst\. Did you mean --list\?"):
        run(tmp_path, "--lst")
    assert asked(log) == []
    assert not (tmp_path / "study").exists()


def test_runs_with_other_options_are_not_mixed(tmp_path, log):
    folder = run(tmp_path)
    before = (folder / "study.yaml").read_text()
    with pytest.raises(SystemExit, match=r"holds a run \(base, seed 0\) with other options"):
        run(tmp_path, "--data.init_args.root", "DATA")
    with pytest.raises(SystemExit, match="holds a run"):
        run(tmp_path, "--form", "full")
    assert (folder / "study.yaml").read_text() == before
    run(tmp_path, seeds=[0, 7, 8], variants=PLAN["variants"] | {"third": {}})
    assert len(asked(log)) == 2 * (4 + 5)


def test_a_list_trains_and_writes_nothing(tmp_path, log, capsys):
    folder = run(tmp_path, "--list")
    assert asked(log) == []
    assert not folder.exists()
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[:5]]
    assert rows[0] == ["run", "variant", "seed", "state"]
    assert rows[4] == ["4", "other", "7", "waiting"]


def test_processes_share_the_runs(tmp_path, log, capsys):
    """One process has locked a run: the other trains the rest, and names that process."""
    plan = tmp_path / "depth.yaml"
    folder = run(tmp_path, "--list", forms={"quick": {"seconds": 20}})
    code = textwrap.dedent(f"""
        from pathlib import Path
        from minmax.commands import study
        from minmax.studying import carrying_out
        carrying_out.CLI = Path({str(carrying_out.CLI)!r})
        study.main([{str(plan)!r}, "--folder", {str(folder)!r}, "--run", "1"])
    """)
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as other:
        while not (folder / "base" / "seed_0" / "config.yaml").exists():
            time.sleep(0.02)
        run(tmp_path, "--list", forms={"quick": {"seconds": 20}})
        assert capsys.readouterr().out.count("running") == 1
        log.unlink()
        run(tmp_path, "--run", "1", forms={"quick": {"seconds": 20}})
        assert asked(log) == []
        # A signal goes to the training, and ends the study.
        os.kill(other.pid, signal.SIGTERM)
        assert other.wait(timeout=10) == 128 + signal.SIGTERM
        assert b"stopped in base, seed 0" in other.stdout.read()
    run(tmp_path, "--list", forms={"quick": {"seconds": 20}})
    assert "begun" in capsys.readouterr().out


def test_an_orphan_is_not_trained_over(tmp_path, log, capsys):
    """A study is killed, but its training goes on: other studies skip that run until it ends."""
    plan, long = tmp_path / "depth.yaml", {"quick": {"seconds": 60}}
    folder = run(tmp_path, "--list", forms=long)
    code = textwrap.dedent(f"""
        from pathlib import Path
        from minmax.commands import study
        from minmax.studying import carrying_out
        carrying_out.CLI = Path({str(carrying_out.CLI)!r})
        study.main([{str(plan)!r}, "--folder", {str(folder)!r}, "--run", "1"])
    """)
    with subprocess.Popen([sys.executable, "-c", code]) as other:
        while not (folder / "base" / "seed_0" / "config.yaml").exists():
            time.sleep(0.02)
        orphan = int(subprocess.check_output(["pgrep", "-P", str(other.pid)], text=True))
        other.kill()
    log.unlink()
    capsys.readouterr()
    try:
        run(tmp_path, "--run", "1", forms=long)
        assert asked(log) == []
        output = capsys.readouterr().out
        held = f"[1/4] base, seed 0 is passed over: another process (pid {orphan} on"
        assert held in output
        assert "running" in output
        with pytest.raises(SystemExit, match="holds a run"):  # nor does another plan replace it
            run(tmp_path, "--run", "1", "--data.init_args.root", "DATA", forms=long)
    finally:
        os.kill(orphan, signal.SIGKILL)
    with locked(folder / "base" / "seed_0" / NAME, wait=True):
        pass  # it takes a while to end
    (folder / "base" / "seed_0" / "config.yaml").unlink()
    run(tmp_path, "--run", "1")
    assert [call[0] for call in asked(log)] == ["fit", "test"]


def test_a_training_that_is_killed_has_failed(tmp_path, log, capsys):
    """For example by the system for its memory; the study goes on, and --retry trains it again."""
    log.parent.joinpath("stand_in.py").write_text("import os; os.kill(os.getpid(), 9)")
    folder = tmp_path / "study"
    with pytest.raises(SystemExit, match="1"):
        run(tmp_path, seeds=[0])
    assert capsys.readouterr().out.count("has failed; the study goes on. killed by signal 9") == 2
    assert (folder / "base" / "seed_0" / "failed.txt").read_text().startswith("fit: killed by")


HEARING = """
import os, signal, sys, time

def hear(number, frame):
    print("error: stopped", file=sys.stderr, flush=True)
    os._exit(1)  # as Lightning's commands end at Ctrl+C

signal.signal(signal.SIGINT, hear)
signal.signal(signal.SIGTERM, lambda *_: None)  # as `test` does
if sys.argv[1] == WHEN:
    os.kill(os.getppid(), NUMBER)
    if NUMBER == signal.SIGINT:
        os.kill(os.getpid(), NUMBER)  # a terminal sends it to both
    time.sleep(20)
"""


@pytest.mark.parametrize(("when", "number"), [("fit", 2), ("test", 2), ("test", 15)])
def test_a_signal_stops_the_study_whatever_its_run_ends_with(
    when, number, tmp_path, log, monkeypatch, capsys
):
    file = log.parent / "stand_in.py"
    file.write_text(f"WHEN, NUMBER = {when!r}, {number}\n{HEARING}\n{file.read_text()}")
    start = time.monotonic()
    with pytest.raises(SystemExit, match=str(128 + number)):
        run(tmp_path)
    assert time.monotonic() - start < 15
    assert "The study was stopped in base, seed 0" in capsys.readouterr().out
    assert not list(tmp_path.rglob("failed.txt"))
    assert [call[0] for call in asked(log)] == ([] if when == "fit" else ["fit"])


def test_a_failure_beside_scores_is_one_everywhere(tmp_path, log, capsys):
    """In the list, in the table, and for --retry."""
    folder = run(tmp_path)
    (folder / "base" / "seed_0" / "failed.txt").write_text("test: no room left")
    (folder / "base" / "seed_7" / "metrics.json").write_text("{}")
    _, groups = groups_of([folder])
    assert [len(group.failed) for group in groups] == [1, 0]
    assert [group.waiting for group in groups] == [1, 0]
    assert [len(group.runs) for group in groups] == [0, 2]
    log.unlink()
    run(tmp_path, "--retry")
    assert len(asked(log)) == 4


def test_two_studies_that_begin_at_once(tmp_path, log):
    """With other options: a study stops if its plan is replaced before its first run begins."""
    plan = tmp_path / "depth.yaml"
    folder = run(tmp_path, "--list")
    runs = runs_of(read_plan(plan), "quick", folder, [])
    keep_plan(read_plan(plan), "quick", folder, runs)
    others = runs_of(read_plan(plan), "quick", folder, ["--data.init_args.root=DATA"])
    keep_plan(read_plan(plan), "quick", folder, others)
    with pytest.raises(ValueError, match="another study with other options has begun"):
        carrying_out.train(folder, runs, runs, retry=False)
    assert asked(log) == []
    assert not runs[0].folder.exists()
    with locked(runs[0].lock), pytest.raises(ValueError, match=r"holds a run \(base, seed 0\)"):
        keep_plan(read_plan(plan), "quick", folder, runs)


@pytest.mark.parametrize(
    ("options", "changes", "message"),
    [
        (["--form", "long"], {}, "--form long: .*depth.yaml has quick, full"),
        (["--run", "5"], {}, "--run 5: the study has runs 1 to 4"),
        ([], {"config": "nowhere.yaml"}, "there is no config nowhere.yaml"),
        ([], {"seeds": []}, "seeds is empty or of the wrong kind"),
        ([], {"variants": ["a"]}, "variants is empty or of the wrong kind"),
        ([], {"extra": 1}, "is no plan of a study .*extra"),
        ([], {"variants": {5: {}}}, "the name 5 is no text: put it between quotes"),
        ([], {"variants": {"a": {True: 1}}}, "the name True is no text"),
        ([], {"seeds": [0, 1, 0]}, "the seed 0 stands twice in seeds"),
        ([], {"variants": {"a": {"seed_everything": 1}}}, "--seed_everything=1: a study chooses"),
        (["--trainer.default_root_dir", "x"], {}, "--trainer.default_root_dir: a study chooses"),
    ],
)
def test_wrong_plans(tmp_path, log, options, changes, message):
    with pytest.raises(SystemExit, match=message):
        run(tmp_path, *options, **changes)
    assert not (tmp_path / "study").exists()


@pytest.mark.usefixtures("one_parser")
@pytest.mark.parametrize("plan", sorted((ROOT / "studies").glob("*.yaml")), ids=lambda p: p.stem)
def test_options_of_the_studies_are_options(plan, monkeypatch, capsys):
    """The parser, which imports the classes, accepts the options of each variant."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr("sys.argv", ["cli.py"])
    held = read_plan(plan)
    for run in runs_of(held, "quick", Path("nowhere"), [])[: len(held.variants)]:
        with pytest.raises(SystemExit) as ended:
            cli.main(["fit", *run.arguments, "--print_config"])
        assert not ended.value.code, ended.value.code
    assert plan.read_text().startswith(f"# python cli.py study studies/{plan.name}")
