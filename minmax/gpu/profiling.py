"""Where the time of a step goes: kernels, the gaps between them, and how busy the device is."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from torch._C._autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from minmax.benchmarks.driven import Driven
from minmax.benchmarks.machine import synchronize
from minmax.benchmarks.replayed import Replayed, period, warm_steps
from minmax.gpu.systems import Options, Row, System, build, tabulate, tried
from minmax.gpu.timing import use_precision

HEAD = (
    "A step of each system in bfloat16, driven without a trainer and replayed as CUDA graphs; the "
    "mean of three turns of the generator, or more with lazy terms. Busy is the share of the time "
    "from the first kernel to the end of the last one in which a kernel ran; the longest kernels "
    "are those with the most time together."
)
Kernel = tuple[str, float, float]
"""Name, begin and end in microseconds."""


def kernels_of(loop: Driven, steps: int) -> list[Kernel]:
    """What ran on the device in some steps; on a CPU, the operations."""
    device = loop.module.device
    on_gpu = device.type == "cuda"
    # Recording the host's operations too would slow it, and lengthen the gaps.
    activities = [ProfilerActivity.CUDA if on_gpu else ProfilerActivity.CPU]
    wanted = DeviceType.CUDA if on_gpu else DeviceType.CPU
    synchronize(device)
    with profile(activities=activities) as recorded:
        for _ in range(steps):
            loop.step()
        synchronize(device)
    return [
        (event.name, event.time_range.start, event.time_range.end)
        for event in recorded.events() or ()
        if event.device_type == wanted
        and not getattr(event, "is_user_annotation", False)  # spans of several kernels
        and event.time_range.end > event.time_range.start
    ]


def summary(kernels: Sequence[Kernel], steps: int) -> Row:
    """The figures of one step: times in milliseconds, and the five longest kernels."""
    ordered = sorted(kernels, key=lambda kernel: kernel[1])
    busy, gaps, end = 0.0, 0, ordered[0][1]
    for _, begin, last in ordered:
        gaps += begin > end
        busy += max(0.0, last - max(begin, end))
        end = max(end, last)
    span = end - ordered[0][1]
    return {
        "kernels": round(len(ordered) / steps),
        "kernel time, ms": sum(last - begin for _, begin, last in ordered) / steps / 1000,
        "a step, ms": span / steps / 1000,
        "busy": f"{busy / span:.0%}",
        "gaps": round(gaps / steps),
        "gaps, ms": (span - busy) / steps / 1000,
        "longest": "; ".join(longest(ordered, steps)),
    }


def longest(kernels: Iterable[Kernel], steps: int) -> list[str]:
    """The five names that take the most time, with their milliseconds and number in a step."""
    each: dict[str, list[float]] = defaultdict(list)
    for name, begin, end in kernels:
        each[name].append(end - begin)
    first = sorted(each, key=lambda name: -sum(each[name]))[:5]
    return [
        f"{name[:60]} {sum(each[name]) / steps / 1000:.3g} ms, {len(each[name]) / steps:.3g}x"
        for name in first
    ]


def main(arguments: list[str] | None = None) -> None:
    """Write the table."""
    options = Options.of(arguments, __doc__)
    kinds = (Driven, Replayed) if options.device.type == "cuda" else (Driven,)

    def rows_of(name: str) -> list[Row]:
        system = build(name, options)
        return [
            {"step": kind.__name__} | row
            for kind in kinds
            for row in tried(lambda kind: [row_of(system, kind)], kind)
        ]

    tabulate(options, HEAD, options.systems, rows_of)


def row_of(system: System, kind: type[Driven]) -> Row:
    """The figures of a system's step, driven or replayed."""
    loop = kind(system.module, system.loader, use_precision("bf16-mixed"))
    steps = period(loop) * -(-3 * system.module.discriminator_steps // period(loop))
    for _ in range(warm_steps(loop)):
        loop.step()
    return summary(kernels_of(loop, steps), steps)


if __name__ == "__main__":
    main()
