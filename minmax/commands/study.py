"""`python cli.py study`: train and score what a plan compares, each change with each seed."""

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from minmax import admission
from minmax.errors import UserError, files_named
from minmax.lock import NAME, locked
from minmax.reporting.comparison import score_rows
from minmax.reporting.groups import groups_of
from minmax.reporting.tables import aligned
from minmax.reporting.verdict import verdict
from minmax.spelling import likely
from minmax.studying.carrying_out import train
from minmax.studying.plan_file import read_plan
from minmax.studying.runs import keep_plan, overview, runs_of


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
    refuse_misspelt(extra, list(options._option_string_actions))
    plan = read_plan(Path(chosen.plan))
    if chosen.form not in plan.forms:
        raise UserError(f"--form {chosen.form}: {chosen.plan} has {', '.join(plan.forms)}")
    folder = Path(chosen.folder or f"runs/studies/{Path(chosen.plan).stem}_{chosen.form}")
    runs = runs_of(plan, chosen.form, folder, extra)
    if chosen.run is not None and not 1 <= chosen.run <= len(runs):
        raise UserError(f"--run {chosen.run}: the study has runs 1 to {len(runs)}")
    wanted = [runs[chosen.run - 1]] if chosen.run else runs
    if not chosen.list:
        with locked(folder / NAME, wait=True):
            keep_plan(plan, chosen.form, folder, runs)
        train(folder, runs, wanted, chosen.retry)
    print(overview(runs))
    if any(run.state == "done" for run in runs):
        groups = groups_of([folder])[1]
        print("\n" + aligned(score_rows(groups)))
        if said := verdict(groups):
            print(said)
    print(f"Study: {folder}  Report: python cli.py report {folder}")
    if not chosen.list and any(run.state == "failed" for run in wanted):
        sys.exit(1)


def refuse_misspelt(extra: Sequence[str], own: list[str]) -> None:
    """Refuse options like the study's own, which would be handed to its trainings."""
    for option in extra:
        if re.fullmatch(r"--\w+", option) and (meant := likely(option, own)):
            raise UserError(f"unrecognized arguments: {option}{meant}")
