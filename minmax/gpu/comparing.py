"""Whether a GPU computes what the CPU does: every configuration, and every part by itself.

Some steps from the same weights, with the same images and the same random numbers, with plain
gradient descent. Compared are the losses, the gradients of the last updates and the buffers, each
by the norm of its difference over the norm of the CPU's in float64.
"""

from collections.abc import Callable
from functools import partial
from math import isfinite
from typing import Any

import torch
from torch import Tensor, nn

from gan_modules import GAN, GANModule, parts
from gan_modules.base import Batch
from gan_modules.networks import Critic32, DCGAN32Generator
from gan_modules.networks.layers import Dropout
from gan_modules.parts import OptimizerSchedule
from minmax.benchmarks.driven import without_trainer
from minmax.gpu.same_numbers import SameNumbers
from minmax.gpu.systems import Options, Row, build, tabulate

LIMIT = 1e-6
STEPS, IMAGES = 3, 8
HEAD = (
    f"Greatest relative difference from the CPU's float64 after {STEPS} steps of {IMAGES} images. "
    f"Up to {LIMIT:g} in float64 passes. In float32 (without TF32) rounding may turn a leaky ReLU "
    "from one side to the other, on the CPU as well: then a gradient differs by percents."
)
CPU = torch.device("cpu")
DESCENT = partial(torch.optim.SGD, lr=0.01)
Values = dict[str, Tensor]
Made = Callable[[], tuple[GANModule, list[Batch]]]
"""Makes a variant and its batches, on the CPU."""


def trained(
    module: GANModule, batches: list[Batch], device: torch.device, dtype: torch.dtype
) -> Values:
    """Losses, gradients and buffers of a copy of a variant after a step on each batch."""
    driven = without_trainer(module).to(device, dtype)
    for layer in driven.modules():
        if type(layer) is Dropout:  # on a CPU it draws other numbers than on a GPU
            layer.__class__ = nn.Dropout  # type: ignore[assignment]
    values: Values = {}
    for number, (images, classes) in enumerate(batches):
        torch.manual_seed(number)
        driven.begin_batch(len(images))
        batch = images.to(device, dtype), classes.to(device)
        with SameNumbers():  # type: ignore[no-untyped-call]
            driven.training_step(batch, number)
        values |= {f"{n} {number}": v.detach().cpu() for n, v in driven.observed.items()}
    for name, network in driven.named_children():
        gradients = [p.grad.flatten() for p in network.parameters() if p.grad is not None]
        if gradients:
            values[f"gradients of the {name}"] = torch.cat(gradients).cpu()
    values |= {n: b.cpu() for n, b in driven.named_buffers() if b.is_floating_point()}
    return values


def difference(mine: Values, wanted: Values) -> tuple[float, str]:
    """The greatest relative difference, and what differs so much."""
    greatest = (0.0, "")
    for name, value in wanted.items():
        size = max(value.double().norm().item(), 1e-6)
        apart = (mine[name].double() - value.double()).norm().item() / size
        if apart != apart:
            return apart, name
        greatest = max(greatest, (apart, name))
    return greatest


def compared(make: Made, device: torch.device) -> Row:
    """A row: a variant on the device against the CPU."""
    module, batches = make()
    module.generator_optimizer = module.discriminator_optimizer = DESCENT
    module.schedules = (OptimizerSchedule(), OptimizerSchedule())
    on_cpu, on_device = (partial(trained, module, batches, d) for d in (CPU, device))
    wanted = on_cpu(torch.float64)
    exact, where = difference(on_device(torch.float64), wanted)
    short, _ = difference(on_device(torch.float32), wanted)
    of_cpu, _ = difference(on_cpu(torch.float32), wanted)
    return {
        "float64": exact,
        "float32": short,
        "the CPU's float32": of_cpu,
        "passes": "yes" if exact <= LIMIT and isfinite(short) else "no",
        "where": where,
    }


def of_config(name: str, options: Options) -> tuple[GANModule, list[Batch]]:
    """A configuration, with few images in a batch."""
    system = build(name, options)
    return system.module.cpu(), first_batches(system.loader)


def first_batches(loader: Any) -> list[Batch]:
    """Small batches of a loader's images, on the CPU."""
    images, classes = next(iter(loader))
    images, classes = images.cpu(), classes.cpu()
    return [
        (images.roll(-IMAGES * n, 0)[:IMAGES], classes.roll(-IMAGES * n, 0)[:IMAGES])
        for n in range(STEPS)
    ]


def parts_alone() -> dict[str, dict[str, Any]]:
    """Each game, penalty, change of images and way of batches, as an option of `GAN`."""
    kinds = {
        "game": parts.Game,
        "penalty": parts.Penalty,
        "augment": parts.Augment,
        "batches": parts.SeparateBatches,
    }
    made: dict[str, dict[str, Any]] = {
        "TopK": {"game": parts.TopK(parts.Hinge())},
        "LazyPenalty": {"penalty": parts.LazyPenalty(parts.R1(), 2)},
        "SoftLabels": {"game": parts.CrossEntropy(parts.SoftLabels(), parts.LabelFlips(0.3))},
        "LeCam from the start": {"penalty": parts.LeCam(start_images=0)},
        "ADA in full": {"augment": parts.ADA(0.6, filter=1.0, noise=1.0, cutout=1.0)},
    }
    for name in parts.__all__:
        kind = getattr(parts, name)
        for option, base in kinds.items():
            if isinstance(kind, type) and issubclass(kind, base) and kind is not parts.Augment:
                try:
                    made.setdefault(name, {option: kind()})
                except TypeError:  # it needs arguments, or is a base class
                    continue
    return made


def of_part(chosen: dict[str, Any]) -> tuple[GANModule, list[Batch]]:
    """Small networks with a part."""
    torch.manual_seed(0)
    options: dict[str, Any] = {"channels": 3, "image_size": 32, "num_classes": 2, "latent_dim": 16}
    module = GAN(
        generator=partial(DCGAN32Generator, width=8),
        discriminator=partial(Critic32, width=8),
        generator_optimizer=DESCENT,
        discriminator_optimizer=DESCENT,
        **(options | chosen),
    )
    random = torch.Generator().manual_seed(1)
    images = torch.rand(STEPS, IMAGES, 3, 32, 32, generator=random) * 2 - 1
    return module, [(batch, torch.arange(IMAGES) % 2) for batch in images]


def main(arguments: list[str] | None = None) -> None:
    """Write the table."""
    options = Options.of(arguments, __doc__)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    cases: dict[str, Made] = {n: partial(of_part, chosen) for n, chosen in parts_alone().items()}
    cases |= {name: partial(of_config, name, options) for name in options.systems}
    compare = partial(compared, device=options.device)
    rows = tabulate(options, HEAD, list(cases), lambda name: [compare(cases[name])])
    if any(row.get("passes") != "yes" for row in rows):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
