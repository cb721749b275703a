"""`python cli.py benchmark`: time a configuration beside plain loops of the same training."""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

EPILOG = "All other arguments are those of `cli.py fit`: --config FILE, --trainer.precision, ..."


def main(arguments: Sequence[str]) -> None:
    """Run the command."""
    options = argparse.ArgumentParser(
        prog="cli.py benchmark", description=__doc__, epilog=EPILOG, allow_abbrev=False
    )
    options.add_argument("--output", required=True, type=Path, help="FILE.json; replaced if there")
    options.add_argument("--rounds", type=int, default=5, help="turns of each loop (5)")
    options.add_argument("--seconds", type=float, default=5.0, help="least length of a turn (5)")
    options.add_argument(
        "--each-lever", action="store_true", help="also the fastest loop with each lever changed"
    )
    chosen, training = options.parse_known_args(arguments)
    if chosen.rounds < 1 or chosen.seconds <= 0:
        raise ValueError("--rounds must be at least 1, and --seconds positive")
    if not chosen.output.parent.is_dir():
        raise ValueError(f"--output: there is no folder {chosen.output.parent}")
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result.json"
        callback = {
            "output": result,
            "started": time.time(),
            "rounds": chosen.rounds,
            "seconds": chosen.seconds,
            "each_lever": str(chosen.each_lever).lower(),
        }
        command = [sys.executable, str(Path(__file__).parent.parent / "cli.py"), "fit", *training]
        command += ["--trainer.callbacks+", "benchmarks.rounds.Rounds"]
        for name, value in callback.items():
            command.append(f"--trainer.callbacks.init_args.{name}={value}")
        command += [f"--trainer.default_root_dir={folder}/run", "--trainer.limit_val_batches=0"]
        command += ["--trainer.max_epochs=-1", "--trainer.max_time=null"]
        # Its standard output would say where the run is that is thrown away.
        code = subprocess.run(command, stdout=subprocess.DEVNULL).returncode
        if code or not result.exists():
            sys.exit(code or "error: the training ended before it was timed")
        measured = json.loads(result.read_text())
    measured["command"] = ["cli.py", "benchmark", *arguments]
    chosen.output.write_text(json.dumps(measured, indent=2) + "\n")
    print(table(measured))
    print(f"\nThe figures are in {chosen.output}")


def table(measured: dict[str, Any]) -> str:
    """The figures of a benchmark as a table in Markdown, a row a loop.

    The ratios are medians over the rounds, each loop against the plain one of its own round.
    """
    rates = measured["images_per_second"]
    peak = median(measured["peak_flop_per_second"])
    lines = [
        f"{measured['variant']}, batch {measured['batch_size']}, {measured['precision']}, "
        f"{measured['device']}, {measured['threads']} threads: first step after "
        f"{measured['seconds_to_first_step']:.1f} s, {measured['memory_bytes'] / 2**20:,.0f} MiB, "
        f"peak {peak / 1e9:,.0f} GFLOP/s\n",
        "| loop | images/s (least, greatest) | x plain | x limit | GFLOP/s | of the peak |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, values in rates.items():
        plain, limit = (
            f"{median(a / b for a, b in zip(values, rates[other], strict=True)):.2f}"
            if other in rates
            else "-"
            for other in ("plain", "limit")
        )
        speed = median(values) * measured["flop_per_image"][name]
        lines.append(
            f"| {name} | {median(values):,.0f} ({min(values):,.0f}, {max(values):,.0f}) | "
            f"{plain} | {limit} | {speed / 1e9:,.1f} | {speed / peak:.0%} |"
        )
    return "\n".join(lines)
