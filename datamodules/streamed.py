"""Images that are streamed from shards, and never held whole."""

import os
import signal
from collections.abc import Iterator
from functools import partial
from multiprocessing import parent_process
from threading import Thread
from typing import Any

import numpy
import torch
from torch import Tensor

from datamodules.base import ImageDataModule
from datamodules.decode import Crop, Decoding
from datamodules.folder import check_decoding
from datamodules.loader import OF_FLIPS, EpochShuffle, ResidentLoader
from datamodules.shards import Decoded, Shards, engine
from minmax.errors import UserError
from minmax.image_sizes import Size, sides

MOST = 256
"""Of worker processes."""


class Streamed(ImageDataModule):
    """Images from shards of `cli.py prepare --shards`, in a folder or at a URL.

    For sets that don't fit on a machine's disk (docs/data.md). The order is litdata's: a function
    of seed, epoch, batch size, and numbers of processes and workers. It resumes exactly. Held-out
    images, and a sample of training images for the scores, are decoded once and held in memory.

    Args:
        root: the folder or URL (s3, gs, azure, r2, hf).
        image_size: side in pixels, or height and width, as for `ImageFolder`.
        grayscale: one channel (ITU-R 601 luma) instead of three.
        batch_size: images per batch and per process (GPU).
        background: what shows through transparent pixels: a colour name or #rrggbb.
        mirror: flip half of the training images left to right, others in each epoch.
        crop: as for `ImageFolder`.
        workers: processes that read and decode, for each process of the training; 0 means none.
        sample: number of training images that scores see.
        cache: folder for what a URL gives; None means `streamed` in the cache folder.
        cache_gb: its greatest size in GB; None means three quarters of the free disk.

    Raises:
        MissingError: `root` doesn't exist.
        UserError: an argument is out of range, shards are damaged, or litdata is not installed.
    """

    decodes_to_size = True

    def __init__(
        self,
        root: str,
        image_size: Size = 32,
        grayscale: bool = False,
        batch_size: int = 64,
        background: str = "white",
        mirror: bool = False,
        crop: Crop = "centre",
        workers: int = 2,
        sample: int = 10_000,
        cache: str | None = None,
        cache_gb: float | None = None,
    ) -> None:
        check_decoding(background, crop)
        if not 0 <= workers <= MOST:
            raise UserError(f"`workers` is {workers}, but must be a number from 0 to {MOST}.")
        if sample < 2:
            raise UserError(f"`sample` is {sample}, but must be at least 2 images.")
        self.root, self.background, self.crop = root, background, crop
        self.workers, self.sample, self.cache, self.cache_gb = workers, sample, cache, cache_gb
        self.shards = Shards(root, cache, cache_gb)
        super().__init__(self.shards.class_names, image_size, grayscale, batch_size, mirror=mirror)
        self.decoding = Decoding(self.image_size, self.channels, background, crop)

    @property
    def split_rule(self) -> str:
        """How the held-out images were chosen, when the shards were made."""
        return self.shards.held_out_by

    def setup(self, stage: str | None = None) -> None:
        """Check the batch size; images are decoded on demand."""
        if stage == "fit":
            self._loader(train=True)

    def counts(self, train: bool) -> list[int]:
        """Number of training or held-out images of each class, by label."""
        return self.shards.counts[train]

    def load(self, train: bool) -> tuple[Tensor, Tensor]:
        """Decode all held-out images, or the sample of training images."""
        count = min(sum(self.counts(train)), self.sample if train else 2**62)
        return self.shards.decoded(train, count, self.decoding)

    def _loader(self, train: bool) -> ResidentLoader:
        if not train:
            return super()._loader(train)
        size = self.images_of_epoch()
        none = torch.empty(0, self.channels, *sides(self.image_size), dtype=torch.uint8)
        order = EpochShuffle(size, *self._sharing(size, train))
        kind = partial(StreamedLoader, self.shards, self.decoding, self.workers)
        return self._loader_of(kind, none, torch.empty(0, dtype=torch.int64), order)


class StreamedLoader(ResidentLoader):
    """The batches of `ResidentLoader`, from litdata's loader and in its order.

    Its state holds litdata's. With it, the rest of an epoch is that of the uninterrupted one; it
    keeps the number of workers that it began with. All ranks see equally many batches. Together
    they see other batches than one rank would.

    Args:
        shards: the images.
        decoding: what they become.
        workers: processes of this rank that read and decode.
        resident: arguments of `ResidentLoader`, without images: of the order its size counts.
        options: likewise.
    """

    def __init__(
        self, shards: Shards, decoding: Decoding, workers: int, *resident: Any, **options: Any
    ) -> None:
        super().__init__(*resident, **options)
        self.shards, self.decoding, self.workers = shards, decoding, workers
        self._engine: Any = None
        self._kept: dict[str, int] | None = None

    def batches(self, first: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
        """All batches of the current epoch after its first images; see the base class.

        Raises:
            UserError: the shards can't be read, or the epoch began in another way.
        """
        epoch, step = self.sampler.epoch, self.batch_size * self.sampler.world_size
        workers = self._workers_of_the_rest() if first else self.workers
        with self.shards.readable():
            dataset = self.shards.dataset(
                True,
                Decoded(self.decoding),
                shuffle=True,
                item_shuffle_window=0,  # of a chunk: all its images
                drop_last=True,
                seed=seed,
            )
            self._check(dataset.distributed_env)
            self._engine = engine().StreamingDataLoader(
                dataset,
                batch_size=self.batch_size,
                num_workers=workers,
                drop_last=True,
                pin_memory=self.device.type == "cuda",
                worker_init_fn=heed_the_training_alone,
                generator=torch.Generator(),  # torch's own numbers are the training's
            )
            if first:
                self._engine.load_state_dict(self._whole_state())
            else:
                self._engine.current_epoch = epoch
            iterator = iter(self._engine)
        for start in range(first, len(self) * step, step):
            with self.shards.readable():
                pixels, labels = next(iterator)
            flips = None
            if self.mirror:
                random = numpy.random.default_rng((seed, epoch, OF_FLIPS, start, self.sampler.rank))
                flips = torch.from_numpy(random.random(len(pixels)) < 0.5).to(self.device)
            pixels = pixels.to(self.device, non_blocking=True)
            yield self._shown(pixels, flips), labels.to(self.device, non_blocking=True)

    def state_dict(self) -> dict[str, Any]:
        """Return the position, with the numbers of litdata's own state."""
        kept = self._kept
        if self._engine and not self._resume:
            state = self._engine.state_dict()
            numbers = (state["dataset"] | state).items()
            kept = {name: value for name, value in numbers if type(value) is int}
        return super().state_dict() | ({"engine": kept} if kept else {})

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Let the next iteration continue after this position."""
        super().load_state_dict(state_dict)
        self._kept = state_dict.get("engine")

    def _whole_state(self) -> dict[str, Any]:
        """The kept numbers in a state of litdata, whose names and folders are today's."""
        state: dict[str, Any] = self._engine.state_dict()
        kept = self._kept or {}
        for part in (state, state["dataset"]):
            part |= {name: value for name, value in kept.items() if name in part}
        return state

    def _workers_of_the_rest(self) -> int:
        began = self._kept or {}
        shares = began.get("batch_size"), began.get("world_size")
        if shares != (self.batch_size, self.sampler.world_size):
            raise UserError(
                f"`batch_size` is {self.batch_size} on {self.sampler.world_size} process(es), but"
                f" the run stopped in the middle of an epoch with {shares[0]} on {shares[1]}: give"
                " the same until its end; shards can't be shared out anew within an epoch."
            )
        workers = began["num_workers"]
        if not began["latest_worker_idx"] < workers <= MOST:
            raise UserError(f"the checkpoint's loader had {workers:,} workers: that can't be")
        return self.workers if max(self.workers, 1) == workers else workers

    def _check(self, seen: Any) -> None:
        """Refuse variables of the environment that tell litdata of other processes."""
        ours = self.sampler.world_size, self.sampler.rank
        if (seen.world_size, seen.global_rank) != ours:
            raise UserError(
                f"litdata takes this process for number {seen.global_rank} of {seen.world_size},"
                f" but it is {ours[1]} of {ours[0]}: unset WORLD_SIZE and GLOBAL_RANK."
            )


def heed_the_training_alone(worker: int) -> None:
    """Have a worker process outlive signals to all processes of a job (Ctrl+C, `scancel`).

    The training saves on them, for which it may need more batches. It alone ends its workers.
    """
    parent = parent_process()
    if parent is None or not hasattr(signal, "sigwaitinfo"):  # on macOS and Windows
        return
    started_by, spared = parent.pid, (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
    signal.pthread_sigmask(signal.SIG_BLOCK, spared)

    def heed() -> None:
        while signal.sigwaitinfo(spared).si_pid != started_by:
            pass
        os._exit(0)

    Thread(target=heed, name="signals", daemon=True).start()
