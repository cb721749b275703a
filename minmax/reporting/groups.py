"""Groups runs that differ only in their seed: of one configuration, or of a study's variant."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from minmax import documents
from minmax.errors import UserError
from minmax.reporting.metrics_file import reports_of, say_of_earlier
from minmax.run_config import config_of, read_run_config

FAILED = "failed.txt"
"""In the folder of a study's run: why it failed."""
SEED = "seed_everything"
NOT_COMPARED = (SEED, "ckpt_path", "resume", "dry_run", "progress", "trainer.default_root_dir")
"""Options in which runs of one configuration differ, and all that begin with them."""


@dataclass
class Group:
    """Runs that differ only in their seed.

    Attributes:
        name: of the variant, or of the first run.
        runs: their folders; of a study, only of the runs that are done.
        failed: error messages of the failed runs, by folder.
        waiting: number of other runs, which are not done.
    """

    name: str
    runs: list[Path]
    failed: dict[Path, str] = field(default_factory=dict)
    waiting: int = 0

    @cached_property
    def tested(self) -> dict[Path, dict[str, dict[str, Any]]]:
        """The reports of each run's checkpoints, by their names."""
        return {run: reports_of(run, "its scores are left out") for run in self.runs}

    @cached_property
    def reports(self) -> dict[Path, dict[str, Any]]:
        """The report of the last checkpoint, of each run that has one."""
        found = {run: of["last"] for run, of in self.tested.items() if "last" in of}
        for run, report in found.items():
            say_of_earlier(run, {"last": report})
        return found

    def scores(self) -> list[dict[str, float | None]]:
        """The scores of the last checkpoints."""
        return [report["scores"] for report in self.reports.values()]

    def config(self) -> dict[str, Any]:
        """The options of the first run that has a config, by full name, without seed and folder."""
        first = next((run for run in self.runs if (run / "config.yaml").is_file()), None)
        if first is None:
            return {}
        return compared(config_of(first) or {})


def compared(config: dict[str, Any]) -> dict[str, Any]:
    """The options that tell one configuration from another, by full name."""
    left_out = tuple(f"{name}." for name in NOT_COMPARED)
    return {name: v for name, v in flat(config) if not f"{name}.".startswith(left_out)}


def flat(tree: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Leaves of nested dictionaries, by dotted names."""
    if isinstance(tree, dict) and tree:
        for key, value in tree.items():
            yield from flat(value, f"{name}.{key}" if name else str(key))
    else:
        yield name, tree


def groups_of(folders: Sequence[Path]) -> tuple[dict[str, Any], list[Group]]:
    """The content of a study's file (empty for runs without a study), and the groups of runs.

    Raises:
        UserError: a folder is neither a run's nor a study's, a study is not given alone, or its
            file is damaged.
    """
    for folder in folders:
        if not (folder / "config.yaml").is_file() and not (folder / "study.yaml").is_file():
            raise UserError(
                f"{folder} is the folder of no run and of no study (it has neither config.yaml nor "
                "study.yaml): give one that `python cli.py fit` or `python cli.py study` has made"
            )
    studies = [folder for folder in folders if (folder / "study.yaml").is_file()]
    if not studies:
        return {}, [Group(runs[0].name, runs) for runs in of_one_configuration(folders)]
    if len(folders) > 1:
        raise UserError("a report is about one study, or about runs: give the study alone")
    study = documents.read_own(studies[0] / "study.yaml", "variants", "seeds")
    if not isinstance(study["variants"], dict) or not isinstance(study["seeds"], list):
        raise UserError(f"{studies[0] / 'study.yaml'} is damaged: put a copy in its place")
    found = []
    for variant in study["variants"]:
        places = [studies[0] / variant / f"seed_{seed}" for seed in study["seeds"]]
        states = {place: state_of(place, "its scores are left out") for place in places}
        done = [place for place, state in states.items() if state == "done"]
        failed = {
            place: (place / FAILED).read_text(errors="replace").strip()
            for place, state in states.items()
            if state == "failed"
        }
        found.append(Group(variant, done, failed, len(places) - len(done) - len(failed)))
    return study, found


def state_of(run: Path, consequence: str) -> str:
    """`done`, `failed`, `begun` or `waiting`: the state of a study's run.

    Args:
        run: its folder.
        consequence: of a damaged `metrics.json`, which a warning says.
    """
    if (run / FAILED).is_file():
        return "failed"
    if "last" in reports_of(run, consequence):
        return "done"
    return "begun" if (run / "config.yaml").is_file() else "waiting"


def of_one_configuration(runs: Sequence[Path]) -> list[list[Path]]:
    """Group runs whose configurations differ only in the seed and what concerns one start.

    Two runs of one seed say nothing about chance: they are in different groups.
    """
    found: dict[str, list[Path]] = {}
    with_seed: Counter[str] = Counter()
    for run in runs:
        try:
            config = read_run_config(run / "config.yaml")
            identity = yaml.safe_dump(compared(config))
            same = f"{identity}{SEED}: {config[SEED]}"
            identity += f"{with_seed[same]} of this seed before"
            with_seed[same] += 1
        except (OSError, ValueError, yaml.YAMLError, AttributeError, KeyError, TypeError):
            identity = str(run)  # unreadable: a group of its own
        found.setdefault(identity, []).append(run)
    return list(found.values())
