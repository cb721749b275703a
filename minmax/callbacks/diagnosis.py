"""Detects the classic failures of GANs during a run, and reports them."""

from dataclasses import asdict
from math import isfinite
from typing import Any

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor

from gan_modules import GANModule
from gan_modules.base import Batch
from minmax.callbacks.hooks import GANCallback, boards
from minmax.diagnosis import Diary, Finding
from minmax.diagnosis.samples import DISTANCE
from minmax.errors import UserError

VALIDATED = ("metric/", "overfitting/", "leak/", "spectral/", "logits/train", "logits/held_out")
"""Log names, or their beginnings, of what validations measure."""
LATENTS = 64
CLASSES = 8


def pairwise_distance(images: Tensor, classes: Tensor) -> Tensor:
    """Mean distance between pairs of different images `[N, C, H, W]` of the same class `[N]`.

    If no two images share a class, all pairs count.
    """
    pixels = images.detach().float().flatten(1)
    others = ~torch.eye(len(pixels), dtype=torch.bool, device=pixels.device)
    alike = others & (classes[:, None] == classes)
    counted = torch.where(alike.any(), alike, others)
    # In float32, distances by matrix products are too coarse for nearly equal images.
    distances = torch.cdist(pixels, pixels, compute_mode="donot_use_mm_for_euclid_dist")
    return distances.masked_fill(~counted, 0).sum() / counted.sum()


class Diagnosis(GANCallback):
    """Reports when a failure begins or ends, with the evidence; it looks when values are logged.

    Findings appear in the terminal, and in TensorBoard's text tab as `diagnosis`. The rules are in
    `minmax/diagnosis/rules.py`. One value is logged for them: `samples/pairwise_distance`.
    """

    def __init__(self) -> None:
        self.diary = Diary()
        self._real_distance: float | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Go on with a resumed run's distance of real images."""
        assert isinstance(pl_module, GANModule)
        self._observe(pl_module)

    def after_batch(self, trainer: Trainer, module: GANModule, batch: Batch) -> None:
        """Measure the first real images; look at the logged values."""
        if self._real_distance is None:
            real, classes = batch
            classes = classes if module.conditional else torch.zeros_like(classes)
            distance = pairwise_distance(real, classes)
            self._real_distance = float(trainer.strategy.reduce(distance, reduce_op="mean"))
            self._observe(module)
        if module.logging_due and trainer.is_global_zero:
            self._note(trainer, module, validated=False)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look at the scores."""
        assert isinstance(pl_module, GANModule)
        if trainer.state.fn == "fit" and not trainer.sanity_checking and trainer.is_global_zero:
            self._note(trainer, pl_module, validated=True)

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Look at the losses that ended the run, in a batch that need not have been logged."""
        assert isinstance(pl_module, GANModule)
        if isinstance(exception, UserError) and trainer.is_global_zero:
            losses = {
                name: float(value.detach())
                for name, value in pl_module.observed.items()
                if name.startswith("loss")
            }
            bad = {name: value for name, value in losses.items() if not isfinite(value)}
            self._say(trainer, pl_module.images_seen, *self.diary.note(pl_module.images_seen, bad))

    def state_dict(self) -> dict[str, Any]:
        """The values seen and the failures reported so far."""
        current = [asdict(finding) for finding in self.diary.current.values()]
        curves = self.diary.curves
        return {"curves": curves, "current": current, "real_distance": self._real_distance}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue with these."""
        current = [Finding(**finding) for finding in state_dict["current"]]
        self.diary = Diary(state_dict["curves"], {finding.name: finding for finding in current})
        self._real_distance = state_dict["real_distance"]

    def _observe(self, module: GANModule) -> None:
        """Have logged steps measure how far images from fixed latents are apart.

        It is divided by the distance of real images; not if they are all the same.
        """
        if not (real_distance := self._real_distance or 0.0) > 0:
            return
        latents = module.seeded_latents(LATENTS)
        classes = torch.arange(LATENTS, device=module.device)
        classes %= min(CLASSES, module.num_classes) if module.conditional else 1
        module.observers[DISTANCE] = lambda: (
            pairwise_distance(module.sample(latents, classes), classes) / real_distance
        )

    def _note(self, trainer: Trainer, module: GANModule, validated: bool) -> None:
        values = {
            name: float(value)
            for name, value in trainer.callback_metrics.items()
            if name.startswith(VALIDATED) == validated and name != "step"
        }
        self._say(trainer, module.images_seen, *self.diary.note(module.images_seen, values))

    def _say(
        self, trainer: Trainer, images_seen: int, begun: list[Finding], ended: list[Finding]
    ) -> None:
        sentences = [
            f"{finding.name} since {finding.since_images:,} images: {finding.sentence}"
            for finding in begun
        ]
        sentences += [f"{finding.name} is over after {images_seen:,} images." for finding in ended]
        for sentence in sentences:
            bar = trainer.progress_bar_callback
            if bar is None or bar.is_disabled:  # type: ignore[attr-defined]
                rank_zero_info(f"Diagnosis: {sentence}")
            else:
                bar.print(f"Diagnosis: {sentence}")
            for board in boards(trainer):
                board.add_text("diagnosis", sentence, images_seen)
