"""Makes a checkpoint of an average whose width is chosen after the training."""

from pathlib import Path

import torch
from torch import Tensor

from gan_modules import GANModule
from gan_modules.networks.spectral import power_iterate
from gan_modules.parts.average import averaged_state
from minmax.callbacks.averages import FOLDER, states_by_width
from minmax.checkpoints.reading import model_of, read_checkpoint
from minmax.checkpoints.weighing import first_difference, load_weighed, shapes_of
from minmax.errors import UserError
from minmax.files import whole
from minmax.generation.post_hoc import Profile, checked_factors

TAKEN = ("pytorch-lightning_version", "images_seen", "global_step", "class_names", "settings")
"""What the file takes from `last.ckpt`, besides the model. It can be drawn from, not resumed."""


def write_average(run: Path, width: float, output: Path) -> int:
    """Write a checkpoint whose first average has this width, at the run's last checkpoint.

    Returns:
        The number of kept averages of which it is made.

    Raises:
        UserError: the run has kept none, or too few.
    """
    last = run / "checkpoints" / "last.ckpt"
    checkpoint = read_checkpoint(last)  # once: a training may save meanwhile
    model, _ = model_of(checkpoint, last)
    if not model.ema_widths:
        raise UserError(
            f"{run} has kept no averages of which others can be made: train it with "
            "--model.init_args.ema_widths '[0.05, 0.1]'"
        )
    kept = kept_by(run, model)
    factors = checked_factors([*kept], Profile(model.images_seen, width))
    average = model.averages[0]
    for name, value in averaged_state(average).items():
        terms = zip(factors.tolist(), kept.values(), strict=True)
        total = torch.stack([factor * state[name].double() for factor, state in terms]).sum(0)
        # Factors may be negative, and variances may not.
        least = 0.0 if name.endswith("running_var") else -torch.inf
        with torch.no_grad():
            value.copy_(total.clamp(min=least))
    power_iterate(average)
    content = {name: checkpoint[name] for name in TAKEN if name in checkpoint}
    content["hyper_parameters"] = checkpoint["hyper_parameters"]
    with whole(output) as part:
        torch.save(content | {"state_dict": model.state_dict()}, part)
    return len(kept)


def kept_by(run: Path, model: GANModule) -> dict[Profile, dict[str, Tensor]]:
    """All kept averages: those of the model, and those in the run's folder.

    Files from after the model are of a training that was thrown away.
    """
    seen = model.images_seen
    newest = states_by_width(model)
    kept = {Profile(seen, width): state for width, state in newest.items()}
    for file in sorted((run / FOLDER).glob("*.pt")):
        images, averages = read_averages(file, model)
        if images < seen:
            kept |= {Profile(images, width): state for width, state in averages.items()}
    return kept


def read_averages(file: Path, model: GANModule) -> tuple[int, dict[float, dict[str, Tensor]]]:
    """Read a file of the callback `Averages`, without running code in it.

    Raises:
        UserError: it is damaged, or of another generator.
    """
    wanted = shapes_of(averaged_state(model.generator))
    try:
        content = load_weighed(file, mmap=True)
        images, averages = int(content["images_seen"]), dict(content["averages"])
        for width, state in averages.items():
            if not isinstance(width, float) or not images > 0:
                raise ValueError("it has no width, or no images")
            if (difference := first_difference(shapes_of(state), wanted)) is not None:
                raise ValueError(difference)
    except Exception as error:  # a damaged file can make torch raise anything
        reason = str(error).partition("\n")[0]
        raise UserError(
            f"{file} is refused: it is damaged, or of another generator ({reason}). Delete it; the "
            "other averages may do without"
        ) from error
    return images, averages
