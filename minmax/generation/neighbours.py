"""Generated images beside the training images nearest to them."""

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
from minmax.generation.drawing import Pixels
from minmax.metrics.manifolds import nearest
from minmax.metrics.pixels import PixelFeatures
from minmax.run_config import read_run_config, run_folder
from minmax.trust import imported


def beside_nearest(pixels: Pixels, checkpoint: Path) -> Pixels:
    """Each image, and after it the training image whose thumbnail is nearest: `[2 N, H, W, C]`."""
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
    """Those of the checkpoint's run, uint8 `[N, C, H, W]`.

    Raises:
        UserError: its config.yaml is not there, or leads to no data.
    """
    config = run_folder(checkpoint) / "config.yaml"
    try:
        with config_read():
            data = read_run_config(config)["data"]
            options = {**data.get("init_args", {})}
            options.pop("download", None)  # to where a stranger's run says
            class_ = imported(data["class_path"], "data")
            made: ImageDataModule = class_(**options)
        images, _ = made.split(train=True)
    except UserError as error:
        raise UserError(
            f"--nearest needs the data that {config} names, and that failed ({error}): give a "
            "checkpoint in its run's folder, where the data lies as config.yaml says"
        ) from error
    return images.cpu()


@contextmanager
def config_read() -> Iterator[None]:
    """Turn into a line what a config makes others raise that holds anything; not the user's code.

    No parser has looked at its options.
    """
    try:
        yield
    except (
        *(OSError, KeyError, TypeError, ValueError, AttributeError, ImportError, yaml.YAMLError),
    ) as error:
        if isinstance(error, UserError) or passes_through(error, admitted()):
            raise
        raise UserError(f"{type(error).__name__}: {error}") from error
