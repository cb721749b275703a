"""Times a training as users run it, in turns with plain loops of the same training."""

import platform
import resource
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_info
from torch import nn

from datamodules.loader import ResidentLoader
from gan_modules import GANModule
from minmax import strict_json
from minmax.benchmarks.counting import Work
from minmax.benchmarks.loops import LEVERS, LIMIT, PEERS, PLAIN, Loop, PILImages, with_other
from minmax.callbacks.base import Batch, GANCallback, data_of
from minmax.errors import UserError
from minmax.files import whole

PRECISIONS = {"32-true": torch.float32, "bf16-mixed": torch.bfloat16}
PACKAGES = ("torch", "torchvision", "lightning")


class Rounds(GANCallback):
    """Lets the trainer's batches and those of the loops run in turns; writes how long they took.

    The trainer's turn is all that it does from one batch's end to another's: loading, hooks,
    logging and the progress bar, too. When all rounds are over, the training stops.

    Args:
        output: JSON file to write.
        started: `time.time()` when the process was started.
        rounds: number of rounds; in each, every loop has one turn.
        seconds: least length of a turn.
        each_lever: also time the fastest loop with each of its levers changed.
    """

    def __init__(
        self, output: str, started: float, rounds: int, seconds: float, each_lever: bool
    ) -> None:
        self.output = Path(output)
        self.started = started
        self.rounds = rounds
        self.seconds = seconds
        self.each_lever = each_lever
        self.result: dict[str, Any] = {}
        self.loops: dict[str, Loop] = {}
        self.rates: dict[str, list[float]] = {}
        self.flop: dict[str, float] = {}
        self.batches = 0
        self.clock, self.images = 0.0, 0
        self.counting = Work()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Refuse a precision that no loop has."""
        if trainer.precision not in PRECISIONS:
            raise UserError(
                f"--trainer.precision {trainer.precision} has no plain loop to be compared with: "
                f"choose from {', '.join(PRECISIONS)}"
            )

    def before_batch(self, trainer: Trainer, module: GANModule, batch: Batch) -> None:
        """Count the project's work in the second turn of the generator."""
        if self.batches == module.discriminator_steps:
            self.counting.__enter__()  # type: ignore[no-untyped-call]

    def after_batch(self, trainer: Trainer, module: GANModule, batch: Batch) -> None:
        """End the trainer's turn if it is over, and let all others have theirs."""
        self.batches += 1
        self.images += len(batch[0])
        cycle = module.discriminator_steps
        if self.batches == 1:
            self._synchronize(module)
            self.result["seconds_to_first_step"] = time.time() - self.started
        elif self.batches == 2 * cycle:
            self.counting.__exit__(None, None, None)  # type: ignore[no-untyped-call]
            self.flop["project"] = self.counting.flop / cycle / len(batch[0])
            self.result["memory_bytes"] = self._memory(module)
            self._build(trainer, module)
            self._resume(module)
        elif (
            self.batches > 2 * cycle
            and self._elapsed() >= self.seconds
            and self.batches % cycle == 0
        ):
            self._synchronize(module)
            self._note("project", self.images / self._elapsed())
            for name, loop in self.loops.items():
                self._note(name, self._turn(loop))
            self._note("peak", self._peak(module, trainer))
            if len(self.rates["project"]) == self.rounds:
                self._write(trainer, module)
                trainer.should_stop = True
            self._resume(module)

    def _build(self, trainer: Trainer, module: GANModule) -> None:
        """Make all loops, and run each for a while before it is timed."""
        if type(module) not in Loop.variants:
            rank_zero_info(f"There is no other loop of {type(module).__name__}: it runs alone.")
            return
        levers = {"peers": PEERS, "plain": PLAIN, "limit": LIMIT}
        if self.each_lever:
            levers |= {f"limit, other {lever}": with_other(lever) for lever in LEVERS}
        bfloat16 = PRECISIONS[str(trainer.precision)] == torch.bfloat16
        loader = self._loader(trainer)
        data = data_of(trainer)
        images, labels = data.originals(train=True)
        dataset = PILImages(images, labels, data.channels, data.image_size)
        for name, chosen in levers.items():
            loop = Loop(module, loader, dataset, chosen, bfloat16)
            self.loops[name] = loop
            for _ in range(2 * module.discriminator_steps):
                loop.step()
            with Work() as work:
                trained = sum(loop.step() for _ in range(module.discriminator_steps))
            self.flop[name] = work.flop / trained

    @staticmethod
    def _loader(trainer: Trainer) -> ResidentLoader:
        loader = trainer.train_dataloader
        assert isinstance(loader, ResidentLoader)
        return loader

    def _turn(self, loop: Loop) -> float:
        """Images a second of a loop."""
        start, images = time.perf_counter(), 0
        while time.perf_counter() - start < self.seconds or loop.batch_index % loop.cycle:
            images += loop.step()
        self._synchronize(loop.module)
        return images / (time.perf_counter() - start)

    def _peak(self, module: GANModule, trainer: Trainer) -> float:
        """Floating point operations a second of the faster of two operations without overhead.

        They are a product of two 2048x2048 matrices, and a 3x3 convolution of 256 channels.
        """
        options: dict[str, Any] = {
            "device": module.device,
            "dtype": PRECISIONS[str(trainer.precision)],
        }
        matrix = torch.randn(2048, 2048, **options)
        maps = torch.randn(32, 256, 32, 32, **options).to(memory_format=torch.channels_last)
        kernel = torch.randn(256, 256, 3, 3, **options).to(memory_format=torch.channels_last)
        return max(
            self._speed(module, lambda: matrix @ matrix),
            self._speed(module, lambda: nn.functional.conv2d(maps, kernel, padding=1)),
        )

    def _speed(self, module: GANModule, operation: Callable[[], Any], repeats: int = 5) -> float:
        work = Work()
        with work:
            operation()
        self._synchronize(module)
        start = time.perf_counter()
        for _ in range(repeats):
            operation()
        self._synchronize(module)
        return repeats * work.flop / (time.perf_counter() - start)

    def _note(self, name: str, rate: float) -> None:
        self.rates.setdefault(name, []).append(rate)

    def _resume(self, module: GANModule) -> None:
        self._synchronize(module)
        self.clock, self.images = time.perf_counter(), 0

    def _elapsed(self) -> float:
        return time.perf_counter() - self.clock

    @staticmethod
    def _synchronize(module: GANModule) -> None:
        if module.device.type == "cuda":
            torch.cuda.synchronize()

    @staticmethod
    def _memory(module: GANModule) -> int:
        """Most memory so far: of the GPU if there is one, else of the process."""
        if module.device.type == "cuda":
            return torch.cuda.max_memory_allocated()
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

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


def device_name(device: torch.device) -> str:
    """What the GPU or the processor is called."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):  # not Linux, or not x86
        return platform.machine()
