"""The machine's name, peak speed and memory in use."""

import platform
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from minmax.benchmarks.counting import Work


def peak(device: torch.device, dtype: torch.dtype) -> float:
    """Floating point operations per second of the faster of two large operations.

    They are a product of two 2048x2048 matrices, and a 3x3 convolution of 256 channels.
    """
    options: dict[str, Any] = {"device": device, "dtype": dtype}
    matrix = torch.randn(2048, 2048, **options)
    maps = torch.randn(32, 256, 32, 32, **options).to(memory_format=torch.channels_last)
    kernel = torch.randn(256, 256, 3, 3, **options).to(memory_format=torch.channels_last)
    return max(
        speed(device, lambda: matrix @ matrix),
        speed(device, lambda: nn.functional.conv2d(maps, kernel, padding=1)),
    )


def speed(device: torch.device, operation: Callable[[], Any], repeats: int = 5) -> float:
    """Floating point operations per second of an operation."""
    work = Work()
    with work:
        operation()
    synchronize(device)
    start = time.perf_counter()
    for _ in range(repeats):
        operation()
    synchronize(device)
    return repeats * work.flop / (time.perf_counter() - start)


def synchronize(device: torch.device) -> None:
    """Wait until the device has finished its work."""
    if device.type == "cuda":
        torch.cuda.synchronize()


def most_memory(device: torch.device) -> int:
    """Peak memory in bytes: of the GPU if it is one, else of the process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def device_name(device: torch.device) -> str:
    """The name of the GPU or the processor."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):  # not Linux, or not x86
        return platform.machine()
