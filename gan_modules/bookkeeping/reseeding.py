"""Random numbers of a batch as a function of where the training stands.

A resumed training then draws the same numbers as an uninterrupted one, and no device's random state
has to be saved (`tests/gan_modules/test_reproducibility.py`).
"""

import numpy as np
import torch


def reseed(seed: int, images_seen: int, rank: int, device: torch.device) -> None:
    """Seed this process's generators of random numbers for a batch.

    Args:
        seed: seed of the training.
        images_seen: real images trained on so far, the batch included, over all ranks.
        rank: rank of this process.
        device: device of the model.
    """
    entropy = np.random.SeedSequence([seed, images_seen, rank])
    state = int(entropy.generate_state(1, np.uint64)[0])
    # torch.manual_seed formats a traceback for each kind of absent device: 0.5 ms.
    torch.default_generator.manual_seed(state)
    if device.type != "cpu":
        torch.get_device_module(device).manual_seed(state)
