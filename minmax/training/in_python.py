"""Runs in Python: what the command line's `fit` does, for a script or a notebook."""

import os
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from jsonargparse import Namespace
from lightning import LightningDataModule, LightningModule, Trainer

from datamodules import ImageDataModule
from gan_modules import GANModule
from minmax.callbacks.hooks import is_trial
from minmax.checkpoints.reading import read_checkpoint
from minmax.errors import UserError
from minmax.kept_memory import keep_freed_memory
from minmax.run_config import holds_run
from minmax.training import fitting, parts
from minmax.training.asked import Asked
from minmax.training.choosing import saves, to_go_on_from
from minmax.training.describing import DescribedConfig
from minmax.training.launching import several_work
from minmax.training.precision import Unsaid, precision_of, precision_to_use
from minmax.training.refusing import CHECKED, refuse_settings, refuse_trainer
from minmax.training.resuming import check_fit, read_held


def trainer(folder: str | Path, *, resume: bool = False, **options: Any) -> "RunTrainer":
    """A Trainer like the command line's, for a run in a folder of its own.

    `trainer.fit(model, data)` then writes what `python cli.py fit` writes: pictures, scores,
    diagnosis, checkpoints, `config.yaml`. `sample`, `test`, `export` and `report`
    work with the folder, and a stopped run can be resumed exactly.

    Args:
        folder: of the run; a new one, unless `resume` is set.
        resume: resume the run in the folder, if there is one, from its newest checkpoint.
        options: of Lightning's Trainer; `callbacks` are added to the run's own. The run's own
            callbacks are given as objects, for example `quality=Quality(count=1000)`, and
            likewise `pictures`, `progress`, `finite`, `checkpoint_best` and `checkpoint_last`
            (`minmax.callbacks`).

    Raises:
        UserError: the folder holds a run and `resume` is not set, or an option of Lightning's
            can't be used here.
    """
    place = Path(folder).expanduser().absolute()
    if not resume and holds_run(place):
        raise UserError(
            f"{place} already holds a run: choose another folder, go on with the run by "
            f"minmax.trainer({str(place)!r}, resume=True), or delete it"
        )
    keep_freed_memory()
    return RunTrainer(place, resume, options)


class RunTrainer(Trainer):
    """Lightning's Trainer, which trains in a run's folder as the command line does.

    Args:
        folder: of the run, absolute.
        resume: whether the run in it is resumed.
        options: as `trainer` takes them.
    """

    def __init__(self, folder: Path, resume: bool, options: dict[str, Any]) -> None:
        self.run_folder, self.resume = folder, resume
        given = parts.DEFAULTS | options
        chosen = {name: given.pop(name) for name in parts.WITH_OPTIONS if name in given}
        own = parts.run_callbacks(**chosen)
        named = dict(zip(parts.WITH_OPTIONS, own, strict=False))
        if given.pop("enable_progress_bar", True) is False:  # Lightning refuses this with our bar
            named["progress"].disable()  # type: ignore[attr-defined]
        others = given.pop("callbacks", None) or []
        others = others if isinstance(others, list) else [others]
        newest = to_go_on_from(folder, None, resume)
        before = read_checkpoint(newest) if newest else None
        given["precision"] = precision_to_use(
            given.get("precision", Unsaid()),
            given.get("accelerator", "auto"),
            given.get("plugins"),
            [precision_of(before)] if before else [],
        )
        added = parts.run_parts(
            folder,
            since=before["images_seen"] + 1 if before else None,
            **{name: given[name] for name in parts.TAKEN if name in given},
        )
        settings = Namespace({n: given.get(n) for n in CHECKED})  # type: ignore[no-untyped-call]
        nodes, devices = given.get("num_nodes", 1), given["devices"]
        refuse_settings(settings, several_work(added["plugins"], nodes, devices))
        config = DescribedConfig(folder, given, named)
        super().__init__(
            **(given | added), callbacks=[*own, config, *others], default_root_dir=folder
        )
        refuse_trainer(self, str(given.get("strategy", "auto")))

    def fit(
        self,
        model: LightningModule,
        train_dataloaders: Any = None,
        val_dataloaders: Any = None,
        datamodule: LightningDataModule | None = None,
        ckpt_path: str | Path | None = None,
        weights_only: bool | None = None,
    ) -> None:
        """Train, and leave a run in its folder; arguments are Lightning's.

        Raises:
            UserError: there is nothing to train, or a checkpoint doesn't fit.
        """
        data = datamodule or train_dataloaders
        if not (isinstance(model, GANModule) and isinstance(data, ImageDataModule)):
            raise UserError(
                "a run trains a variant (a subclass of GANModule) on an ImageDataModule, got "
                f"{type(model).__name__} and {type(data).__name__}"
            )
        before = saves(self.run_folder)
        file = self._chosen(None if ckpt_path is None else str(ckpt_path))
        asked = Asked("fit", self.run_folder, file, "", self.resume, False, is_trial(self))
        held = [] if asked.file is None else [read_held(asked.file, None, to_train=True)]
        for checkpoint in held:
            check_fit(checkpoint, model, data)
        given: dict[str, Any] = {"model": model, "datamodule": data, "ckpt_path": file}
        given["weights_only"] = weights_only is not False
        first = self.is_global_zero
        with fitting.alone_in(self.run_folder, before) if first else nullcontext():
            fitting.fit(asked, held, self, **given)

    def _chosen(self, path: str | None) -> str | None:
        """The checkpoint to resume; None to start anew.

        Raises:
            UserError: `path` isn't the newest checkpoint of the run that is resumed.
        """
        newest = to_go_on_from(self.run_folder, None, self.resume)
        if path in (None, "last", newest):
            return newest if self.resume else to_go_on_from(self.run_folder, path, False)
        if newest is not None and not os.path.samefile(str(path), newest):
            raise UserError(
                f"resume=True goes on from the run's newest checkpoint, {newest}: leave ckpt_path "
                f"out, or use a new folder to go on from {path}"
            )
        return path
