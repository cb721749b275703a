"""A run's `config.yaml`: it is about the folder that it lies in, wherever that was copied to."""

import os
import warnings
from pathlib import Path
from typing import Any

from minmax import documents
from minmax.errors import UserError
from minmax.paths import mapped

FILE = "config.yaml"
RUN_FILES = ("checkpoints", "pictures", FILE, "hparams.yaml")
OPENING = "# lightning.pytorch=="


def read_run_config(file: Path) -> dict[str, Any]:
    """The options of a run, about the folder of the file."""
    options: dict[str, Any] = about_its_folder(documents.read(file), file)
    return options


def config_of(run: Path) -> dict[str, Any] | None:
    """What the run was given, by its config.yaml; None but a warning if that is damaged."""
    try:
        held = documents.read_own(run / FILE)
        if isinstance(held, dict):
            options: dict[str, Any] = about_its_folder(held, run / FILE)
            return options
        raise UserError(f"{run / FILE} is damaged: it holds no options")
    except UserError as error:
        warnings.warn(f"{error}; what it says is left out", stacklevel=2)
        return None


def run_folder(checkpoint: Path) -> Path:
    """The run that a checkpoint belongs to."""
    folder = checkpoint.absolute().parent
    return folder.parent if folder.name == "checkpoints" else folder


def about_its_folder(options: Any, file: Path) -> Any:
    """Nested options; if a run wrote the file, the folder they speak of is the file's own.

    Args:
        options: read from the file.
        file: a configuration; a run's own lies beside the other files of the run.
    """
    folder = file.absolute().parent
    beside = any((folder / name).exists() for name in RUN_FILES if name != FILE)
    if file.name != FILE or not beside or not file.read_text().startswith(OPENING):
        return options
    if "trainer" not in options:
        return options
    recorded = options["trainer"].get("default_root_dir")

    def here(text: str) -> str:
        inside = text == recorded or text.startswith(os.path.join(recorded, ""))
        return str(folder) + text.removeprefix(recorded) if inside else text

    if recorded:
        mapped(options, here)
    options["trainer"]["default_root_dir"] = str(folder)
    return options
