"""A run's `config.yaml`, whose paths follow the run's folder when it is moved or copied."""

import os
import warnings
from pathlib import Path
from typing import Any

from minmax import documents
from minmax.errors import UserError
from minmax.paths import mapped

FILE = "config.yaml"
RUN_FILES = ("checkpoints", "pictures", "averages", FILE, "hparams.yaml")
OPENING = "# lightning.pytorch=="


def holds_run(folder: Path) -> bool:
    """Whether a folder holds a run, or what is left of one."""
    return any((folder / name).exists() for name in RUN_FILES)


def read_run_config(file: Path) -> dict[str, Any]:
    """The options of a run, with paths in the folder where the file lies now."""
    options: dict[str, Any] = about_its_folder(documents.read(file), file)
    return options


def config_of(run: Path) -> dict[str, Any] | None:
    """The options in the run's config.yaml; None and a warning if it is damaged."""
    try:
        content = documents.read_own(run / FILE)
        if isinstance(content, dict):
            options: dict[str, Any] = about_its_folder(content, run / FILE)
            return options
        raise UserError(f"{run / FILE} is damaged: it holds no options")
    except UserError as error:
        warnings.warn(f"{error}; its options are left out", stacklevel=2)
        return None


def run_folder(checkpoint: Path) -> Path:
    """The folder of the run that a checkpoint belongs to."""
    folder = checkpoint.absolute().parent
    return folder.parent if folder.name == "checkpoints" else folder


def about_its_folder(options: Any, file: Path) -> Any:
    """Nested options; in a run's own file, paths in its old folder now lead to the file's folder.

    Args:
        options: read from the file.
        file: a configuration; a run's own lies beside the run's other files.

    Raises:
        UserError: a run's own file holds other things than options.
    """
    folder = file.absolute().parent
    beside = any((folder / name).exists() for name in RUN_FILES if name != FILE)
    if file.name != FILE or not beside or not file.read_text().startswith(OPENING):
        return options
    try:
        if "trainer" not in options:
            return options
        recorded = os.fspath(options["trainer"].get("default_root_dir") or "")
    except (AttributeError, TypeError) as error:
        raise UserError(
            f"{file} is damaged: its trainer and default_root_dir are no options of a run. Put a "
            "copy in its place"
        ) from error

    def here(text: str) -> str:
        inside = text == recorded or text.startswith(os.path.join(recorded, ""))
        return str(folder) + text.removeprefix(recorded) if inside else text

    if recorded:
        mapped(options, here)
    options["trainer"]["default_root_dir"] = str(folder)
    return options
