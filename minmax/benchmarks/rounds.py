"""Times a training as users run it, in turns with other loops of the same training."""

import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_info

from datamodules import ImageDataModule
from datamodules.loader import ResidentLoader
from gan_modules import GANModule
from gan_modules.base import Batch
from gan_modules.bookkeeping.captured import CapturedStep
from minmax import strict_json
from minmax.benchmarks.counting import Work
from minmax.benchmarks.driven import Driven
from minmax.benchmarks.levers import LEVERS, PARTS, Lever
from minmax.benchmarks.loops import LOOPS, PILImages
from minmax.benchmarks.machine import device_name, most_memory, peak, synchronize
from minmax.benchmarks.replayed import Replayed, period, warm_steps
from minmax.callbacks.hooks import GANCallback, data_of
from minmax.errors import UserError
from minmax.files import whole

PRECISIONS = {"32-true": torch.float32, "bf16-mixed": torch.bfloat16}
PACKAGES = ("torch", "torchvision", "lightning")


class Rounds(GANCallback):
    """Lets the trainer and the other loops train in turns, and writes their speeds.

    The trainer's turn includes everything between the ends of two batches: loading, hooks,
    logging and the progress bar. The training stops after the last round.

    Args:
        output: JSON file to write.
        started: `time.time()` when the process was started.
        rounds: number of rounds; in each, every loop has one turn.
        seconds: least length of a turn.
        each_lever: also time the limit with each of its levers changed.
        each_part: also time the limit without each of its parts.
    """

    def __init__(
        self,
        output: str,
        started: float,
        rounds: int,
        seconds: float,
        each_lever: bool,
        each_part: bool = False,
    ) -> None:
        self.output = Path(output)
        self.started = started
        self.rounds = rounds
        self.seconds = seconds
        self.each_lever = each_lever
        self.each_part = each_part
        self.result: dict[str, Any] = {}
        self.loops: dict[str, Driven] = {}
        self.rates: dict[str, list[float]] = {}
        self.flop: dict[str, float] = {}
        self.batches = 0
        self.clock, self.images = 0.0, 0
        self.counting = Work()

    def refuse(self, trainer: Trainer, data: ImageDataModule, stage: str) -> None:
        """Refuse several devices: the loops exchange no gradients, and turns end by each clock."""
        if trainer.world_size > 1:
            raise UserError(
                f"`benchmark` times one device, but this is a training on {trainer.world_size}: "
                "give --trainer.devices 1 and --trainer.num_nodes 1"
            )

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Refuse a precision that the loops don't have."""
        if trainer.precision not in PRECISIONS:
            raise UserError(
                f"--trainer.precision {trainer.precision} has no plain loop to be compared with: "
                f"choose from {', '.join(PRECISIONS)}"
            )

    def before_batch(self, trainer: Trainer, module: GANModule, batch: Batch) -> None:
        """Start counting the project's work with the generator's second turn."""
        if self.batches == module.discriminator_steps:
            self.counting.__enter__()  # type: ignore[no-untyped-call]

    def after_batch(self, trainer: Trainer, module: GANModule, batch: Batch) -> None:
        """End the trainer's turn if it is over, and give all other loops a turn."""
        self.batches += 1
        self.images += len(batch[0])
        cycle = module.discriminator_steps
        if self.batches == 1:
            synchronize(module.device)
            self.result["seconds_to_first_step"] = time.time() - self.started
        elif self.batches == 2 * cycle:
            self.counting.__exit__(None, None, None)  # type: ignore[no-untyped-call]
            self.flop["project"] = self.counting.flop / cycle / len(batch[0])
            self.result["memory_bytes"] = most_memory(module.device)
            self._build(trainer, module)
            # Replays do what can't be counted, and lazy terms weren't due as often as they are.
            if self._captured(module) or period(self.loops["limit"]) > cycle:
                self.flop["project"] = self.flop["limit"]
            self._resume(module)
        elif (
            self.batches > 2 * cycle
            and self._elapsed() >= self.seconds
            and self.batches % cycle == 0
        ):
            synchronize(module.device)
            self._note("project", self.images / self._elapsed())
            for name, loop in self.loops.items():
                self._note(name, self._turn(loop))
            self._note("peak", peak(module.device, PRECISIONS[str(trainer.precision)]))
            if len(self.rates["project"]) == self.rounds:
                self._write(trainer, module)
                trainer.should_stop = True
            self._resume(module)

    def _build(self, trainer: Trainer, module: GANModule) -> None:
        """Make all loops, and warm them up."""
        given = module, self._loader(trainer), trainer.precision == "bf16-mixed"
        by_hand = LOOPS.get(type(module))
        if by_hand is None:
            rank_zero_info(f"{type(module).__name__} has no plain loop: only its limit is timed.")
        else:
            data = data_of(trainer)
            if not module.generator.of_points:  # which no files hold
                images = PILImages(*data.originals(train=True), data.channels, data.image_size)
                self._warm("peers", by_hand(*given, images=images))
            self._warm("plain", by_hand(*given))
        captured = self._captured(module)
        self._limit("limit", given, captured, lambda loop: None)
        if self.each_lever and by_hand is not None:
            self._warm("plain, other reuse", by_hand(*given, reuse=True))
        levers = {f"other {name}": lever for name, lever in LEVERS.items()}
        chosen = (levers if self.each_lever else {}) | (PARTS if self.each_part else {})
        for name, lever in chosen.items():
            try:
                self._limit(f"limit, {name}", given, captured, lever)
            except RuntimeError as error:
                reason = str(error).strip().partition("\n")[0]
                rank_zero_info(f"'limit, {name}' is not timed: {reason}")

    @staticmethod
    def _captured(module: GANModule) -> bool:
        """Whether the training replays its steps as CUDA graphs."""
        return isinstance(module.training_step, CapturedStep)

    def _limit(self, name: str, given: tuple[Any, ...], captured: bool, lever: Lever) -> None:
        """Keep the variant's own step with a lever switched, replayed if the training's are."""
        driven = Driven(*given)
        lever(driven)
        self._warm(name, driven)
        if captured:
            replayed = Replayed(*given)
            lever(replayed)
            for _ in range(warm_steps(replayed)):
                replayed.step()
            self.loops[name] = replayed

    def _warm(self, name: str, loop: Driven) -> None:
        """Keep a loop, after some steps to warm it up and to count its work.

        In the first steps torch compiles, and optimizers create their states. The work is the mean
        over as many steps as it takes until their kinds repeat: lazy terms are rarely due.
        """
        for _ in range(2 * loop.module.discriminator_steps):
            loop.step()
        with Work() as work:
            trained = sum(loop.step() for _ in range(period(loop)))
        self.flop[name] = work.flop / trained
        self.loops[name] = loop

    @staticmethod
    def _loader(trainer: Trainer) -> ResidentLoader:
        loader = trainer.train_dataloader
        assert isinstance(loader, ResidentLoader)
        return loader

    def _turn(self, loop: Driven) -> float:
        """Images per second of a loop, over whole turns of its generator."""
        start, images = time.perf_counter(), 0
        while time.perf_counter() - start < self.seconds:
            images += sum(loop.step() for _ in range(loop.module.discriminator_steps))
        synchronize(loop.module.device)
        return images / (time.perf_counter() - start)

    def _note(self, name: str, rate: float) -> None:
        self.rates.setdefault(name, []).append(rate)

    def _resume(self, module: GANModule) -> None:
        synchronize(module.device)
        self.clock, self.images = time.perf_counter(), 0

    def _elapsed(self) -> float:
        return time.perf_counter() - self.clock

    def _write(self, trainer: Trainer, module: GANModule) -> None:
        self.result |= {
            "variant": type(module).__name__,
            "batch_size": self._loader(trainer).batch_size,
            "precision": str(trainer.precision),
            "device": device_name(module.device),
            "threads": torch.get_num_threads(),
            "versions": {package: version(package) for package in PACKAGES},
            "flop_per_image": self.flop,
            "images_per_second": self.rates,
            "peak_flop_per_second": self.rates.pop("peak"),
        }
        with whole(self.output) as part:
            part.write_text(strict_json.dumps(self.result, indent=2) + "\n")
