"""Puts generated images beside their nearest training images."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
import yaml
from torch import Tensor

from datamodules import ImageDataModule
from minmax.admission import admitted
from minmax.errors import UserError, passes_through
from minmax.films import Pixels
from minmax.metrics.manifolds import nearest
from minmax.metrics.pixels import PixelFeatures
from minmax.run_config import read_run_config, run_folder
from minmax.trust import imported


def beside_nearest(pixels: Pixels, checkpoint: Path) -> Pixels:
    """Each image, followed by the training image with the nearest thumbnail: `[2 N, H, W, C]`."""
    training = training_images(checkpoint)
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2)
    seen = PixelFeatures()

    def features(images: Tensor) -> Tensor:
        return torch.cat([seen(part)[0] for part in torch.split(images, 1000)])

    _, index = nearest(features(images), features(training))
    copies = training[index].permute(0, 2, 3, 1).numpy()
    pairs: Pixels = np.stack([pixels, copies], axis=1)
    return pairs.reshape(-1, *pixels.shape[1:])


def training_images(checkpoint: Path) -> Tensor:
    """The training images of the checkpoint's run, uint8 `[N, C, H, W]`.

    Raises:
        UserError: its config.yaml is missing, or its data can't be read.
    """
    config = run_folder(checkpoint) / "config.yaml"
    try:
        with config_read():
            data = read_run_config(config)["data"]
            options = {**data.get("init_args", {})}
            options.pop("download", None)  # an untrusted run mustn't choose where to download
            if "://" in str(options.get("root")):  # nor whom to ask
                raise UserError("it lies at a URL")
            class_ = imported(data["class_path"], "data")
            module: ImageDataModule = class_(**options)
        images, _ = module.split(train=True)
    except UserError as error:
        raise UserError(
            f"--nearest needs the data that {config} names, which can't be read ({error}): give a "
            "checkpoint in its run's folder, with the data where config.yaml says"
        ) from error
    return images.cpu()


@contextmanager
def config_read() -> Iterator[None]:
    """Turn errors about a config into one line, except those of the user's code.

    No parser has checked its options, so they can make the data raise anything.

    Raises:
        UserError: the config is wrong.
    """
    try:
        yield
    except (
        *(OSError, KeyError, TypeError, ValueError, AttributeError, ImportError, yaml.YAMLError),
    ) as error:
        if isinstance(error, UserError) or passes_through(error, admitted()):
            raise
        raise UserError(f"{type(error).__name__}: {error}") from error
