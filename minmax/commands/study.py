"""`python cli.py study`: train and score what a plan compares, each change with each seed."""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from pathlib import Path
from statistics import mean
from typing import Any

import yaml

from minmax import admission, documents
from minmax.commands.groups import groups_of, read_yaml, score_rows
from minmax.commands.scores import aligned, reports_of
from minmax.errors import UserError, files_named
from minmax.files import whole
from minmax.lock import NAME, InOtherHandsError, Lock, locked, owner
from minmax.paths import expanded

CLI = Path(__file__).parents[2] / "cli.py"
SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)
STOPS = {128 + number for number in SIGNALS} | {-number for number in SIGNALS}
VARIANT = r"[^/\0]*[^/.\0][^/\0]*"
CHANGED = rf"(?!{admission.OPTION[2:]}$)[A-Za-z_][\w.]*\+?"
KEPT = 2000
"""Characters of a failed run's last words."""


@dataclass(frozen=True)
class Plan:
    """What a study's file says.

    Attributes:
        title: a few words.
        claim: what is put to the test, and who says so.
        config: of all runs, as a path from the project's root.
        seeds: of each variant.
        variants: for each, what it changes, by option; the first is the base of the comparison.
        forms: for each form, what it changes in all variants: how long they are, say.
    """

    title: str
    claim: str
    config: str
    seeds: list[int]
    variants: dict[str, dict[str, Any]]
    forms: dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Run:
    """One training of a study, in a folder of its own."""

    variant: str
    seed: int
    folder: Path
    arguments: tuple[str, ...]

    @property
    def state(self) -> str:
        """`done`, `failed`, `begun` or `waiting`."""
        if "last" in reports_of(self.folder, "the run is tested again"):
            return "done"
        if (self.folder / "failed.txt").is_file():
            return "failed"
        return "begun" if (self.folder / "config.yaml").is_file() else "waiting"

    @property
    def lock(self) -> Path:
        """The file that the process which works on the run holds locked."""
        return self.folder / NAME

    def __str__(self) -> str:
        return f"{self.variant}, seed {self.seed}"


@files_named()
def main(arguments: Sequence[str]) -> None:
    """Run the command."""
    options = argparse.ArgumentParser(
        prog="cli.py study",
        description=__doc__,
        epilog="All other options are handed to each training (--data.init_args.root DATA, say). "
        "The same command goes on where it was stopped; given in several terminals or jobs, "
        "they share the runs.",
        allow_abbrev=False,
    )
    options.add_argument("plan", help="a file like those in studies/")
    options.add_argument("--form", default="quick", help="one of the plan's forms; default: quick")
    options.add_argument("--folder", help="of the study's runs; default: runs/studies/PLAN_FORM")
    options.add_argument("--run", type=int, help="only this run, by its number in --list")
    options.add_argument("--list", action="store_true", help="show the runs, and train none")
    options.add_argument("--retry", action="store_true", help="try failed runs again")
    admission.add_option(options)
    chosen, extra = options.parse_known_args(arguments)
    plan = read_plan(Path(chosen.plan))
    if chosen.form not in plan.forms:
        raise UserError(f"--form {chosen.form}: {chosen.plan} has {', '.join(plan.forms)}")
    folder = Path(chosen.folder or f"runs/studies/{Path(chosen.plan).stem}_{chosen.form}")
    runs = runs_of(plan, chosen.form, folder, extra)
    if chosen.run is not None and not 1 <= chosen.run <= len(runs):
        raise UserError(f"--run {chosen.run}: the study has runs 1 to {len(runs)}")
    if not chosen.list:
        with locked(folder / NAME, wait=True):
            keep_plan(plan, chosen.form, folder, runs)
        train(folder, runs, [runs[chosen.run - 1]] if chosen.run else runs, chosen.retry)
    print(overview(runs))
    if any(run.state == "done" for run in runs):
        print("\n" + aligned(score_rows(groups_of([folder])[1])))
    print(f"Study: {folder}  Report: python cli.py report {folder}")


def read_plan(file: Path) -> Plan:
    """Read and check a plan.

    Raises:
        UserError: it can't be read, or something is missing or of the wrong kind.
    """
    try:
        plan = Plan(**documents.read(file))
        kinds = {"title": str, "claim": str, "config": str, "seeds": list}
        wrong = [name for name, kind in kinds.items() if not isinstance(getattr(plan, name), kind)]
        for name in ("variants", "forms"):
            values = getattr(plan, name)
            if not (isinstance(values, dict) and all(isinstance(v, dict) for v in values.values())):
                wrong.append(name)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, TypeError) as error:
        raise UserError(f"{file} is no plan of a study ({error}): see studies/") from error
    wrong += [name for name in ("seeds", "variants", "forms") if not getattr(plan, name)]
    if wrong:
        raise UserError(f"{file}: {wrong[0]} is empty or of the wrong kind: see studies/")
    plan = replace(plan, config=expanded(plan.config))
    if not Path(plan.config).is_file():
        raise UserError(
            f"{file}: there is no config {plan.config}. It is a path from the project's root: "
            "start the study there"
        )
    foul = [f"seed {seed}" for seed in plan.seeds if type(seed) is not int]
    foul += [f"variant {name}" for name in plan.variants if not re.fullmatch(VARIANT, str(name))]
    for changes in (*plan.variants.values(), *plan.forms.values()):
        foul += [f"option {name}" for name in changes if not re.fullmatch(CHANGED, str(name))]
    if foul or plan.config.startswith("-"):
        raise UserError(
            f"{file}: {foul[0] if foul else plan.config} can't stand in a plan: see studies/. Code "
            f"is admitted by {admission.OPTION} on the command line alone"
        )
    return plan


def runs_of(plan: Plan, form: str, folder: Path, extra: Sequence[str]) -> list[Run]:
    """All runs, each variant with the first seed, then each with the next."""
    runs = []
    for seed in plan.seeds:
        for variant, changes in plan.variants.items():
            place = folder / variant / f"seed_{seed}"
            changed = [f"--{n}={as_text(v)}" for n, v in (plan.forms[form] | changes).items()]
            arguments = ("--config", plan.config, *changed, *extra, f"--seed_everything={seed}")
            runs.append(
                Run(variant, seed, place, (*arguments, f"--trainer.default_root_dir={place}"))
            )
    return runs


def as_text(value: Any) -> str:
    """A value of YAML as an option's."""
    return value if isinstance(value, str) else json.dumps(value)


def keep_plan(plan: Plan, form: str, folder: Path, runs: Sequence[Run]) -> None:
    """Write the plan and the runs' options into the study's folder, for reports and for reruns.

    Raises:
        UserError: the folder holds runs with other options.
    """
    file = folder / "study.yaml"
    arguments = {str(run): list(run.arguments) for run in runs}
    before = kept_arguments(folder)
    for run in runs:
        if before.get(str(run)) == arguments[str(run)]:
            continue
        if run.state in ("done", "begun") or owner(run.lock) is not None:
            raise UserError(
                f"--folder {folder} holds a run ({run}) with other options: choose another "
                "folder, or delete that run"
            )
        (run.folder / "failed.txt").unlink(missing_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    held = asdict(plan) | {"form": form, "arguments": arguments}
    with whole(file) as part:
        part.write_text(yaml.safe_dump(held, sort_keys=False))


def kept_arguments(folder: Path) -> Mapping[str, list[str]]:
    """The options of the runs in the study's folder, by the runs' names."""
    file = folder / "study.yaml"
    arguments: dict[str, list[str]] = {}
    if file.is_file():
        arguments = read_yaml(file, "arguments")["arguments"]
    return arguments


def train(folder: Path, runs: Sequence[Run], wanted: Sequence[Run], retry: bool) -> None:
    """Train and score the wanted runs that are neither done nor in other hands.

    Raises:
        UserError: another study has taken the folder over, with other options.
    """
    seconds: list[float] = []
    over = ("done",) if retry else ("done", "failed")
    for number, run in enumerate(runs, start=1):
        if run not in wanted or run.state in over:
            continue
        name = f"\n[{number}/{len(runs)}] {run}"
        try:
            with locked(run.lock) as lock:
                if run.state in over:  # by another process, meanwhile
                    continue
                refuse_another_plan(folder, run)
                left = sum(other.state in ("begun", "waiting") for other in wanted)
                time_left = ""
                if seconds:
                    time_left = f", about {timedelta(seconds=round(mean(seconds) * left))}"
                print(f"{name}; {left} left{time_left}", flush=True)
                start = time.perf_counter()
                carry_out(run, lock)
                seconds.append(time.perf_counter() - start)
        except InOtherHandsError as error:
            print(f"{name} is passed over: {error.owner} works on it", flush=True)


def refuse_another_plan(folder: Path, run: Run) -> None:
    """Stop before a run that the study's folder has with other options by now.

    From now on `keep_plan` of other processes sees that the run is in somebody's hands.
    """
    with locked(folder / NAME, wait=True):
        if kept_arguments(folder).get(str(run)) != list(run.arguments):
            raise UserError(
                f"another study with other options has begun in --folder {folder}: choose another "
                "folder"
            )


def carry_out(run: Run, lock: Lock) -> None:
    """Train, then score; keep a failed run's last words, and end with one that is stopped."""
    (run.folder / "failed.txt").unlink(missing_ok=True)
    for command in (
        ["fit", *run.arguments, "--resume=true"],
        ["test", "--config", str(run.folder / "config.yaml")],
    ):
        code, words = follow([sys.executable, str(CLI), *command], lock)
        if code in STOPS:
            print(f"The study was stopped in {run}; the same command goes on.", flush=True)
            sys.exit(code if code > 0 else 128 - code)
        if code:
            with whole(run.folder / "failed.txt") as part:
                part.write_text(f"{command[0]}: {words}\n")
            print(f"{run} has failed; the study goes on. {words}", flush=True)
            return


def follow(command: Sequence[str], lock: Lock) -> tuple[int, str]:
    """Run a command, whose output is seen; its exit code, and the last line of its errors.

    SIGTERM and SIGUSR1 are handed on to it (Ctrl+C reaches it by itself). The lock is its own as
    well, for as long as it lives: SIGKILL ends this process alone.
    """
    with subprocess.Popen(command, stderr=subprocess.PIPE, **lock.handed_on()) as process:
        lock.note(process.pid)
        before = {
            number: signal.signal(number, lambda number, _: process.send_signal(number))
            for number in (signal.SIGTERM, signal.SIGUSR1)
        }
        before[signal.SIGINT] = signal.signal(signal.SIGINT, lambda *_: None)
        try:
            assert process.stderr is not None
            kept = b""
            while part := process.stderr.read1():  # type: ignore[attr-defined]
                os.write(2, part)
                kept = (kept + part)[-KEPT:]
            code = process.wait()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
    lines = kept.decode(errors="replace").strip().splitlines()
    if code < 0:
        return code, f"killed by signal {-code} ({signal.strsignal(-code)})"
    return code, lines[-1].strip() if lines else f"exit code {code}"


def overview(runs: Sequence[Run]) -> str:
    """All runs with their numbers and states."""
    rows = [["run", "variant", "seed", "state"]]
    for number, run in enumerate(runs, start=1):
        state = "running" if owner(run.lock) is not None else run.state
        rows.append([str(number), run.variant, str(run.seed), state])
    return aligned(rows)
