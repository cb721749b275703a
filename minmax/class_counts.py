"""How many images each class has, and whether they are enough to score."""

from datamodules import ImageDataModule
from datamodules.names import few, short
from minmax.errors import UserError

SHOWN = 20
FEWEST = 2
"""The Frechet distance needs a variance, so two images."""


def class_line(data: ImageDataModule) -> str:
    """Training and held-out images by class; of many classes only the first are listed."""
    train, held_out = data.counts(train=True), data.counts(train=False)
    rows = [
        f"{short(name, 60)} {trained:,} + {held:,}"
        for name, trained, held in zip(data.class_names, train, held_out, strict=True)
    ]
    spread = ""
    if len(rows) > SHOWN:
        ranges = (f"{min(counts):,} to {max(counts):,}" for counts in (train, held_out))
        spread = f" (each {' + '.join(ranges)})"
    again = "" if data.holds_out else " (none is held out: these are the training images)"
    return (
        f"{sum(train):,} training + {sum(held_out):,} held-out {data.values.things}{again}, "
        f"by class: {few(rows, SHOWN)}{spread}"
    )


def refuse_few(data: ImageDataModule) -> None:
    """Refuse to score data with fewer than two training or held-out images."""
    for train, name in ((True, "training"), (False, "held-out")):
        count = sum(data.counts(train))
        if count < FEWEST:
            raise UserError(
                f"scores need at least {FEWEST} {name} images, and this data has {count}: add "
                "images, hold out a larger share (--data.init_args.val_fraction of ImageFolder), "
                "or train without scores: --trainer.limit_val_batches 0"
            )
