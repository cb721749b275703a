"""The runs of a study: their options, their states, and the plan in the study's folder."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from minmax import documents
from minmax.errors import UserError
from minmax.files import whole
from minmax.lock import NAME, owner
from minmax.reporting.groups import FAILED, state_of
from minmax.reporting.tables import aligned
from minmax.studying.plan_file import Plan

OWN = ("--seed_everything", "--trainer.default_root_dir", "--resume")
"""Options that a study gives to its runs."""


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
        return state_of(self.folder, "the run is tested again")

    @property
    def lock(self) -> Path:
        """The run's lock file."""
        return self.folder / NAME

    def __str__(self) -> str:
        return f"{self.variant}, seed {self.seed}"


def runs_of(plan: Plan, form: str, folder: Path, extra: Sequence[str]) -> list[Run]:
    """All runs: every variant with the first seed, then every variant with the next.

    Raises:
        UserError: an option is one of those that the study chooses.
    """
    runs = []
    for seed in plan.seeds:
        for variant, changes in plan.variants.items():
            place = folder / variant / f"seed_{seed}"
            changed = [f"--{n}={as_text(v)}" for n, v in (plan.forms[form] | changes).items()]
            refuse_own([*changed, *extra])
            arguments = ("--config", plan.config, *changed, *extra, f"--seed_everything={seed}")
            runs.append(
                Run(variant, seed, place, (*arguments, f"--trainer.default_root_dir={place}"))
            )
    return runs


def refuse_own(arguments: Sequence[str]) -> None:
    """Refuse options that the study chooses, and would override."""
    for argument in arguments:
        if argument.partition("=")[0] in OWN:
            raise UserError(
                f"{argument}: a study chooses it for each run (its seeds are those of the plan, "
                "its folder is --folder). Leave it out, also of the plan's options"
            )


def as_text(value: Any) -> str:
    """A YAML value as it is written on the command line."""
    return value if isinstance(value, str) else json.dumps(value)


def keep_plan(plan: Plan, form: str, folder: Path, runs: Sequence[Run]) -> None:
    """Write the plan and the runs' options into the study's folder, for reports and reruns.

    Raises:
        UserError: the folder holds a run with other options.
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
        (run.folder / FAILED).unlink(missing_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    content = asdict(plan) | {"form": form, "arguments": arguments}
    with whole(file) as part:
        part.write_text(yaml.safe_dump(content, sort_keys=False))


def kept_arguments(folder: Path) -> Mapping[str, list[str]]:
    """The runs' options that the study's folder holds, by run name."""
    file = folder / "study.yaml"
    arguments: dict[str, list[str]] = {}
    if file.is_file():
        arguments = documents.read_own(file, "arguments")["arguments"]
    return arguments


def overview(runs: Sequence[Run]) -> str:
    """A table of all runs with their numbers and states."""
    rows = [["run", "variant", "seed", "state"]]
    for number, run in enumerate(runs, start=1):
        state = "running" if owner(run.lock) is not None else run.state
        rows.append([str(number), run.variant, str(run.seed), state])
    return aligned(rows)
