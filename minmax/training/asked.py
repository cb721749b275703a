"""What the user asks `fit`, `validate` or `test` for, besides model, data and trainer."""

import os
from dataclasses import dataclass
from pathlib import Path

from jsonargparse import Namespace

from minmax.training.choosing import belongs_to, to_score

NAMES = ("last", "best", "hpc", "registry")
"""Lightning's names for checkpoints that it finds by itself."""


@dataclass(frozen=True)
class Asked:
    """What a command asks for.

    Attributes:
        command: `fit`, `validate` or `test`.
        folder: of the run, absolute, to compare it with a checkpoint's folder.
        ckpt_path: a file, or one of `NAMES`; None if not given.
        variant: class path of the model.
        resume: go on with the run in the folder, if it holds one.
        dry_run: train nothing.
        is_trial: train a few batches and keep nothing.
    """

    command: str
    folder: Path
    ckpt_path: str | None
    variant: str
    resume: bool
    dry_run: bool
    is_trial: bool

    @classmethod
    def of(cls, config: Namespace) -> "Asked":
        """Read a parsed command line."""
        given = config[config.subcommand]
        return cls(
            config.subcommand,
            Path(given.trainer.default_root_dir or os.getcwd()).absolute(),
            given.get("ckpt_path"),
            given.model.class_path,
            bool(given.get("resume")),
            bool(given.get("dry_run")),
            bool(given.trainer.fast_dev_run),
        )

    @property
    def file(self) -> str | None:
        """The checkpoint if given as a path; None if given by name or not at all."""
        return None if self.ckpt_path in NAMES else self.ckpt_path

    @property
    def files(self) -> list[str]:
        """The checkpoints that the command reads.

        Raises:
            UserError: it needs a checkpoint, and there is none.
        """
        if self.file is not None:
            return [self.file]
        if self.command == "fit":
            return []
        found = to_score(self.folder, self.command)
        return [file for file in found if self.ckpt_path in (None, Path(file).stem)] or found

    @property
    def goes_on(self) -> bool:
        """Whether a training resumes the run in its own folder."""
        if self.file is None:  # by name, or nothing was saved yet
            return bool(self.ckpt_path or self.resume)
        return belongs_to(self.file, self.folder)
