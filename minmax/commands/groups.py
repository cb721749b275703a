"""Runs that belong together: the seeds of one configuration, or of one variant of a study."""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean
from typing import Any

import yaml

from minmax import documents
from minmax.commands.compare import groups, spread
from minmax.commands.scores import FILE, better, reports_of
from minmax.errors import UserError
from minmax.run_config import about_its_folder


@dataclass
class Group:
    """Runs that differ in their seeds alone.

    Attributes:
        name: of the variant, or of the first run.
        runs: their folders.
        failed: the last words of runs that failed, by folder.
        waiting: number of runs that are not done.
    """

    name: str
    runs: list[Path]
    failed: dict[Path, str] = field(default_factory=dict)
    waiting: int = 0

    def scores(self, checkpoint: str = "last") -> list[dict[str, float | None]]:
        """The scores of each run that was tested."""
        tested = [reports_of(run, "its scores are left out") for run in self.runs]
        return [reports[checkpoint]["scores"] for reports in tested if checkpoint in reports]

    def config(self) -> dict[str, Any]:
        """The options of the first run, by their full names; without seed and folder."""
        held = next((run for run in self.runs if (run / "config.yaml").is_file()), None)
        if held is None:
            return {}
        options = dict(flat(config_of(held) or {}))
        for name in ("seed_everything", "ckpt_path", "trainer.default_root_dir", "resume"):
            options.pop(name, None)
        return options


def read_yaml(file: Path, *wanted: str) -> dict[str, Any]:
    """A file that a command has written.

    Raises:
        UserError: it is damaged, or lacks something that is wanted.
    """
    try:
        held: dict[str, Any] = documents.read(file)
        for name in wanted:
            held[name]
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError) as error:
        raise UserError(
            f"{file} is damaged ({error}): put a copy in its place, or delete its folder"
        ) from error
    return held


def config_of(run: Path) -> dict[str, Any] | None:
    """What the run was given, by its config.yaml; None but a warning if that is damaged."""
    try:
        held = read_yaml(run / "config.yaml")
        if isinstance(held, dict):
            options: dict[str, Any] = about_its_folder(held, run / "config.yaml")
            return options
        raise UserError(f"{run / 'config.yaml'} is damaged: it holds no options")
    except ValueError as error:
        warnings.warn(f"{error}; what it says is left out", stacklevel=2)
        return None


def flat(tree: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Leaves of nested dictionaries, by dotted names."""
    if isinstance(tree, dict) and tree:
        for key, value in tree.items():
            yield from flat(value, f"{name}.{key}" if name else str(key))
    else:
        yield name, tree


def groups_of(folders: Sequence[Path]) -> tuple[dict[str, Any], list[Group]]:
    """What a study's file says (nothing for runs alone), and the groups of runs.

    Raises:
        UserError: a folder is neither a run's nor a study's, or there are several studies.
    """
    for folder in folders:
        if not (folder / "config.yaml").is_file() and not (folder / "study.yaml").is_file():
            raise UserError(
                f"{folder} is the folder of no run and of no study (it has neither config.yaml nor "
                "study.yaml): give one that `python cli.py fit` or `python cli.py study` has made"
            )
    studies = [folder for folder in folders if (folder / "study.yaml").is_file()]
    if not studies:
        return {}, [Group(members[0].name, members) for members in groups(list(folders))]
    if len(folders) > 1:
        raise UserError("a report is about one study, or about runs: give the study alone")
    study = read_yaml(studies[0] / "study.yaml", "variants", "seeds")
    if not isinstance(study["variants"], dict) or not isinstance(study["seeds"], list):
        raise UserError(f"{studies[0] / 'study.yaml'} is damaged: put a copy in its place")
    found = []
    for variant in study["variants"]:
        places = [studies[0] / variant / f"seed_{seed}" for seed in study["seeds"]]
        failed = {p: (p / "failed.txt") for p in places if (p / "failed.txt").is_file()}
        done = [place for place in places if (place / FILE).is_file() and place not in failed]
        words = {place: file.read_text(errors="replace").strip() for place, file in failed.items()}
        found.append(Group(variant, done, words, len(places) - len(done) - len(failed)))
    return study, found


def score_rows(found: Sequence[Group]) -> list[list[str]]:
    """A table of the last checkpoints' scores, the best Frechet distance first."""
    scores = {group.name: group.scores() for group in found}
    names = list(dict.fromkeys(name for held in scores.values() for run in held for name in run))
    rows = [["variant", "seeds", *(f"{name} ({better(name)})" for name in names)]]

    def rank(group: Group) -> float:
        first = names[0] if names else ""
        held = [value for run in scores[group.name] if (value := run.get(first)) is not None]
        return mean(held) if held else float("inf")

    for group in sorted(found, key=rank):
        seeds = f"{len(scores[group.name])}"
        seeds += f", {len(group.failed)} failed" if group.failed else ""
        seeds += f", {group.waiting} not done" if group.waiting else ""
        rows.append([group.name, seeds, *(spread(name, scores[group.name]) for name in names)])
    return rows
