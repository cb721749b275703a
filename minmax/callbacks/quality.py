"""Scores the generated images in validations and tests."""

from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from time import perf_counter
from typing import Any, cast

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn
from torch import Tensor
from torchvision.utils import make_grid, save_image
from tqdm import tqdm

from datamodules import ImageDataModule
from gan_modules import GANModule
from gan_modules.base import MOST_CLASSES
from minmax.callbacks.hooks import GANCallback, data_of, is_trial
from minmax.class_counts import refuse_few
from minmax.errors import UserError
from minmax.files import whole
from minmax.metrics.inception import inception_weights
from minmax.metrics.manifolds import distance_to
from minmax.metrics.of_classes import least_mode_kl
from minmax.metrics.references import make_references, score_beside_training
from minmax.metrics.scorer import BATCH, Scorer, make_scorer
from minmax.metrics.scores import score, score_by_class
from minmax.metrics.seen import Images
from minmax.metrics.table import Features, scores_of

PACKAGES = ("lightning", "torch", "torchmetrics", "torchvision")
MOST_NEAR = 100_000
"""Training images among which a validation seeks the nearest."""
PICTURED = 32
NEEDS = {
    "domain": "images of at least two classes",
    "inception": "images",
    "pixels": "images",
    "points": "points in the plane",
}
"""What each feature network can score."""


class Quality(GANCallback):
    """Scores the images of the averaged generator, or of the generator if there is no average.

    Validation compares with training images and chooses the best checkpoint, so the choice
    never uses held-out images; `test` compares with held-out images. Scores are logged as
    `metric/fid_FEATURES` and so on.

    Args:
        features: the feature network. `domain`: a classifier trained on the data's own
            labels; `inception`: the network of published scores; `pixels`: thumbnails; `points`:
            coordinates, of points in the plane. If None, that of the data: `domain` if it has
            classes, else `pixels`.
        count: number of generated images, and of real ones at most; if None, that of the data:
            10,000 images, or 2,500 points.
        every_images: real images trained on from one validation to the next; if None,
            the trainer's own `val_check_interval` and `check_val_every_n_epoch` decide.
        inception_weights: path of the Inception network's weights.
        allow_download: download these weights if they are missing.
        seed: of the latents, and of the choice of real images.
        average: which average of the generator draws, in pictures too: 1 is the first, 0 the
            generator itself. None: the first, or the generator if there is none.
    """

    def __init__(
        self,
        features: Features | None = None,
        count: int | None = None,
        every_images: int | None = None,
        inception_weights: str | None = None,
        allow_download: bool = False,
        seed: int = 0,
        average: int | None = None,
    ) -> None:
        if count is not None and count < 10:
            raise UserError(f"`Quality.count` must be at least 10 images, got {count}")
        if every_images is not None and every_images < 1:
            raise UserError(f"`Quality.every_images` must be at least 1, got {every_images}")
        if abs(seed) >= 2**53:
            raise UserError(f"`Quality.seed` must be below 2**53, got {seed}")
        self.features = features
        self.count = count
        self.every_images = every_images
        self.inception_weights = inception_weights
        self.allow_download = allow_download
        self.seed = seed
        self.average = average
        self.report: dict[str, Any] = {}
        self.neighbours: Tensor | None = None
        self._weights: Path | None = None
        self._scorer: Scorer | None = None
        self._usual: float | None = None
        self._data: ImageDataModule | None = None
        self._interval: int | None = None

    def save_neighbours(self, file: Path) -> bool:
        """Save a test's pairs of a generated and its nearest training image, four in a row.

        Returns:
            Whether there are any: points have none.
        """
        if self.neighbours is None:
            return False
        with whole(file) as part:
            save_image(make_grid(self.neighbours.flatten(0, 1).float() / 255, nrow=8), part)
        return True

    @property
    def score_name(self) -> str:
        """Log name of the score that chooses the best checkpoint."""
        features = str(self.features)
        return f"metric/{scores_of(features)[0].full_name(features)}"

    @property
    def score_protocol(self) -> dict[str, int | str] | None:
        """The options of the scores and the feature network; None before there is one."""
        if self._scorer is None:
            return None
        return {
            "count": self._count,
            "seed": self.seed,
            "average": self._average,
            "features": self._scorer.network.identity(),
        }

    # Before the first score

    def refuse(self, trainer: Trainer, data: ImageDataModule, stage: str) -> None:
        """Refuse at once data or options that would fail after hours."""
        if not isinstance(data, ImageDataModule):
            raise UserError("scores need an ImageDataModule: give one as `datamodule`")
        self.features = self.features or cast(Features, data.features[0])
        if self.features not in data.features:
            raise UserError(
                f"`Quality.features` {self.features} needs {NEEDS[self.features]}, and this is "
                f"{type(data).__name__} of {data.num_classes} class(es): choose "
                f"{', or '.join(data.features)}"
            )
        if self.features == "inception" and trainer.is_global_zero and self._weights is None:
            self._weights = inception_weights(self.inception_weights, self.allow_download)
        by_us = (trainer.check_val_every_n_epoch, trainer.val_check_interval) == (
            None,
            self._interval,
        )
        if stage == "fit" and self.every_images is not None and not by_us:
            for name, default in (("check_val_every_n_epoch", 1), ("val_check_interval", 1.0)):
                if (given := getattr(trainer, name)) != default:
                    raise UserError(
                        f"`Quality.every_images` and `Trainer.{name}` {given} (of the "
                        "configuration, maybe) both say when to score: give "
                        f"`Trainer.{name}` {default} to score every so many images"
                    )

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Choose what draws and how much, and set how often to validate."""
        assert isinstance(pl_module, GANModule)
        data = data_of(trainer)
        self.refuse(trainer, data, stage)  # from Python nobody has asked before
        pl_module.draw_with(self.average)
        self._average = pl_module.average_drawn
        self._count = self.count or data.scored
        # Distances between so many of Inception's features would take a minute.
        self._near = self._count if self.features == "inception" else MOST_NEAR
        if data.counted and self._count != data.scored:
            rank_zero_warn(
                f"`Quality.count` is {self._count:,}, but modes of {type(data).__name__} are "
                f"counted in {data.scored:,} draws: fewer miss modes and raise mode_kl. "
                "Compare them only with runs of the same count, or give --quality.count "
                f"{data.scored}"
            )
        if stage == "fit" and self.every_images is not None:
            images_a_batch = data.batch_size * trainer.world_size
            trainer.check_val_every_n_epoch = None
            self._interval = max(1, round(self.every_images / images_a_batch))
            trainer.val_check_interval = self._interval

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Make the networks and the real images' features now, so that failures come early."""
        assert isinstance(pl_module, GANModule)
        if trainer.limit_val_batches and not is_trial(trainer):
            scorer = self._prepared(trainer, pl_module)
            if trainer.is_global_zero:
                for train, count in ((True, self._count), (True, self._near), (False, self._count)):
                    scorer.real(data_of(trainer), train, count, self.seed)

    def _prepared(self, trainer: Trainer, module: GANModule) -> Scorer:
        """The scorer of these data, made once on rank 0 and sent to all ranks."""
        if self._scorer is None or self._data is not data_of(trainer):
            self._data, self._usual = data_of(trainer), None
            refuse_few(self._data)
            # The statistics need float64, which Apple's GPUs don't have.
            device = torch.device("cpu") if module.device.type == "mps" else module.device
            scorer, name = None, str(self.features)
            # Lightning evaluates in inference mode, where no classifier can be trained.
            with torch.inference_mode(False):
                if trainer.is_global_zero:
                    scorer = make_scorer(data_of(trainer), name, self._weights, device)
                self._scorer = trainer.strategy.broadcast(scorer)
            assert self._scorer is not None
            self._scorer.to(device)
            accuracy = self._scorer.accuracy
            features = f"features {self._scorer.network.identity()}"
            if accuracy is not None:
                features += f" of a classifier, right on {accuracy:.1%} of held-out images"
            rank_zero_info(f"Scores compare {data_of(trainer).values.things} by the {features}.")
        return self._scorer

    # Scores

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Score against training images, and log the scores over the images trained on."""
        assert isinstance(pl_module, GANModule)
        if trainer.sanity_checking or is_trial(trainer):
            return
        real, fake = self._compared(trainer, pl_module, train=True)
        result = None
        if real is not None:
            scorer, data = self._prepared(trainer, pl_module), data_of(trainer)
            near = scorer.real(data, True, self._near, self.seed)
            if self._usual is None:  # held-out images only set a scale, the same for all scores
                self._usual = distance_to(near, scorer.real(data, False, self._count, self.seed))
            # 0 if all held-out images are among the training images.
            nearness = distance_to(near, fake) / self._usual if self._usual > 0 else None
            shares = scorer.network.shares
            result = score(real, fake, str(self.features), self.seed, nearness, shares)
        self._log(trainer, pl_module, result)

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Score generated images, training images and noise against held-out images.

        Sets on rank 0 `report`, and `neighbours`: some generated images, each with its nearest
        training image, uint8 `[n, 2, C, H, W]`; of points there are none.
        """
        assert isinstance(pl_module, GANModule)
        if is_trial(trainer):
            return
        start = perf_counter()
        real, fake = self._compared(trainer, pl_module, train=False)
        result = None
        if real is not None:
            self.report = self._reported(trainer, pl_module, real, fake)
            self.report["protocol"]["seconds"] = round(perf_counter() - start, 1)
            result = self.report["scores"]
        self._log(trainer, pl_module, result)

    def _log(self, trainer: Trainer, module: GANModule, result: dict[str, float] | None) -> None:
        result = trainer.strategy.broadcast(result)
        assert result is not None
        many = trainer.world_size > 1  # values are equal on all ranks; avoids Lightning's warning
        for name, value in result.items():
            shown = f"metric/{name}" == self.score_name
            module.log(f"metric/{name}", value, prog_bar=shown, sync_dist=many)

    def _reported(
        self, trainer: Trainer, module: GANModule, real: Images, fake: Images
    ) -> dict[str, Any]:
        """The report: scores of the generated images and the references, and the protocol."""
        data, scorer = data_of(trainer), self._prepared(trainer, module)
        references = make_references(data, scorer, real, self._count, self.seed)
        scores, index = score_beside_training(
            data, scorer, real, fake, self.seed, references.usual_distance
        )
        if data.values.pictures:
            self.neighbours = self._neighbours(trainer, module, fake.labels, index)
        report = {
            "scores": scores,
            "references": references.scores,
            "protocol": self._protocol(trainer, module, scorer, len(real.features)),
        }
        if fake.labels is not None and data.num_classes <= MOST_CLASSES:
            report["classes"] = score_by_class(
                real, fake, data.class_names, str(self.features), self.seed
            )
        return report

    def _neighbours(
        self, trainer: Trainer, module: GANModule, labels: Tensor | None, index: Tensor
    ) -> Tensor:
        """Some generated images, each with its nearest training image, `[n, 2, C, H, W]`."""
        latents = module.seeded_latents(self._count, self.seed)[:PICTURED]
        labels = module.sample_labels(self._count) if labels is None else labels
        asked = labels[:PICTURED].to(module.device)
        drawn = self._draw(trainer, module, latents, asked).cpu()
        training, _ = data_of(trainer).split(train=True)
        copies = training[index[:PICTURED].to(training.device)].cpu()
        return torch.stack([drawn, copies], dim=1)

    def _protocol(
        self, trainer: Trainer, module: GANModule, scorer: Scorer, real_images: int
    ) -> dict[str, Any]:
        """Everything that a score depends on."""
        data, side = data_of(trainer), scorer.network.image_size
        extra: dict[str, Any] = {}
        if data.counted:
            counts = torch.tensor(data.counts(train=True), dtype=torch.float64)
            extra["mode_kl_floor"] = round(least_mode_kl(counts / counts.sum(), self._count), 4)
        return {
            "data": type(data).__name__,
            "class_names": data.class_names,
            "training_sha256": scorer.data_hash(data, train=True),
            "held_out_sha256": scorer.data_hash(data, train=False),
            "split": "held-out",
            "held_out_by": data.split_rule,
            "real_images": real_images,
            "generated_images": self._count,
            "features": scorer.network.identity(),
            "modes": scorer.network.modes,
            "classifier_accuracy": scorer.accuracy,
            "image_size": data.image_size,
            "resize": f"to {side}x{side}, bilinear, antialiased" if side else "none",
            "seed": self.seed,
            "precision": str(trainer.precision),
            "weights": module.weights_drawn,
            "checkpoint": str(trainer.ckpt_path),
            "images_seen": module.images_seen,
            "versions": {name: version(name) for name in PACKAGES},
            **extra,
        }

    # Generated images

    def _compared(
        self, trainer: Trainer, module: GANModule, train: bool
    ) -> tuple[Images | None, Images]:
        """The real images on rank 0, and the generated ones on all ranks.

        For any number of ranks, generated image i has the i-th latent of one seeded stream, and
        the class of the i-th real image.
        """
        scorer, zero = self._prepared(trainer, module), trainer.is_global_zero
        real = scorer.real(data_of(trainer), train, self._count, self.seed) if zero else None
        classes = trainer.strategy.broadcast(None if real is None else real.labels)
        assert classes is not None
        latents = module.seeded_latents(self._count, self.seed)
        labels = classes.to(module.device)[torch.arange(self._count) % len(classes)]
        ranks = trainer.world_size
        mine = torch.arange(trainer.global_rank, -(-self._count // ranks) * ranks, ranks)
        bar = trainer.progress_bar_callback
        silent = not zero or bar is None or bar.is_disabled  # type: ignore[attr-defined]
        parts = []
        with tqdm(
            total=self._count, desc="Scoring", unit="image", leave=False, disable=silent
        ) as progress:
            for indices in torch.split(mine % self._count, BATCH):
                drawn = self._draw(trainer, module, latents[indices], labels[indices])
                parts.append(scorer.see(drawn))
                progress.update(len(indices) * ranks)
        fake = Images.joined(parts)
        if ranks > 1:

            def interleaved(part: Tensor) -> Tensor:
                together = trainer.strategy.all_gather(part).transpose(0, 1).flatten(0, 1)
                return together[: self._count]

            fake = fake.map(interleaved)
        asked, categories = labels if module.conditional else None, module.categories_of(latents)
        fake = replace(fake, labels=asked, categories=categories)
        return real, fake.map(lambda given: given.to(scorer.device))

    def _draw(self, trainer: Trainer, module: GANModule, latents: Tensor, labels: Tensor) -> Tensor:
        """Draw images `[N, C, H, W]`, as data are stored, in the run's precision."""
        with trainer.precision_plugin.forward_context():
            return data_of(trainer).values.stored(module.sample(latents, labels))
