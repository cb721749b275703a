"""What each lever gains in a step that is replayed as CUDA graphs, in bfloat16."""

from collections.abc import Callable
from functools import partial

import torch
from torch import nn

from datamodules.chunks import PixelFile
from datamodules.loader import ResidentLoader
from datamodules.mapping import mapped
from datamodules.prefetching import PrefetchingLoader
from gan_modules import ACGAN, FastGAN, InfoGAN
from gan_modules.networks.convolution import Conv2d
from gan_modules.parts import MixedBatch
from minmax.benchmarks.driven import Driven, endless
from minmax.benchmarks.levers import LEVERS
from minmax.benchmarks.replayed import Replayed
from minmax.gpu.systems import Options, Row, System, build, write
from minmax.gpu.timing import rate, use_precision

SECONDS = 0.4
HEAD = (
    "The step of each system in bfloat16, replayed as CUDA graphs: images a second, and times as "
    "fast with a lever switched (off, if the step has it). `host` has the images in main memory, "
    "`mapped` in a mapped file, from which a thread reads them ahead into pinned memory and copies "
    "them on a stream of its own; with `cudnn.benchmark` cuDNN tries its kernels; `convolutions` "
    "are the project's, whose second gradients are convolutions with small kernels, everywhere; "
    "`MixedBatch` shows real and generated images in one pass (other numbers behind batch norm)."
)


def from_host(system: System, options: Options) -> ResidentLoader:
    """The images in main memory, each batch copied when it is asked for."""
    loader = system.loader
    images, labels = loader.images.cpu(), loader.labels.cpu()
    given = (loader.batch_size, loader.sampler, loader.device)
    return ResidentLoader(images, labels, *given, mirror=loader.mirror, values=loader.values)


def from_file(system: System, options: Options) -> ResidentLoader:
    """The images in a mapped file."""
    held = from_host(system, options)
    count, channels, height, width = held.images.shape
    file = PixelFile(options.details / f"{system.name}.npy", (count, height, width, channels))
    file.allocate()
    images = mapped(file)
    images.copy_(held.images)
    given = (held.batch_size, held.sampler, held.device)
    return PrefetchingLoader(file, images, held.labels, *given, mirror=held.mirror)


LOADERS = {"host": from_host, "mapped": from_file}


def trying_kernels(loop: Driven) -> None:
    """Have cuDNN try its kernels and take the fastest; `measured` ends it."""
    torch.backends.cudnn.benchmark = True


def own_convolutions(loop: Driven) -> None:
    """Replace torch's convolutions by the project's."""
    torchs = [layer for layer in loop.module.modules() if type(layer) is nn.Conv2d]
    if not torchs:
        raise RuntimeError("the networks have none of torch's convolutions")
    for layer in torchs:
        layer.__class__ = Conv2d


def mixed_batch(loop: Driven) -> None:
    """Show real and generated images to the discriminator in one pass."""
    if isinstance(loop.module, ACGAN | InfoGAN | FastGAN):
        raise RuntimeError("the step shows them in two by itself")
    loop.module.batches = MixedBatch()
    loop.module.batches.check(loop.module.discriminator)


SWITCHES = {
    "cudnn.benchmark": trying_kernels,
    "convolutions": own_convolutions,
    "MixedBatch": mixed_batch,
    **LEVERS,
}


def loops_of(system: System, options: Options) -> dict[str, Callable[[], Driven]]:
    """How each loop of a system is made, by the name of what is switched."""
    given = (system.module, system.loader, use_precision("bf16-mixed"))

    def switched(lever: Callable[[Driven], None]) -> Driven:
        loop = Replayed(*given)
        lever(loop)
        return loop

    def fed(make: Callable[[System, Options], ResidentLoader]) -> Driven:
        loop = Replayed(*given)
        loop.batches = endless(make(system, options))
        return loop

    loops: dict[str, Callable[[], Driven]] = {"no graphs": lambda: Driven(*given)}
    loops |= {name: partial(fed, make) for name, make in LOADERS.items()}
    return loops | {name: partial(switched, lever) for name, lever in SWITCHES.items()}


def measured(make: Callable[[], Driven]) -> float | str:
    """Images a second of a loop, or why it can't be timed."""
    try:
        return rate(make(), SECONDS)
    except Exception as error:  # the others are wanted
        return f"{type(error).__name__}: {error}".strip().splitlines()[0][:60]
    finally:
        torch.backends.cudnn.benchmark = False


def main(arguments: list[str] | None = None) -> None:
    """Write the table."""
    options, rows = Options.of(arguments, __doc__), list[Row]()
    for name in options.systems:
        system = build(name, options)
        given = (system.module, system.loader, use_precision("bf16-mixed"))
        row: Row = {"system": name, "images/s": measured(partial(Replayed, *given))}
        rows.append(row)
        loops = loops_of(system, options)
        for lever in options.in_time(list(loops)):
            value = measured(loops[lever])
            numbers = isinstance(value, float) and isinstance(row["images/s"], float)
            row[lever] = value / row["images/s"] if numbers else value
            write(options, HEAD, rows)


if __name__ == "__main__":
    main()
