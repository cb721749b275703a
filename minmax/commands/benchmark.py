"""`python cli.py benchmark`: time a configuration beside other loops of the same training."""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from minmax import strict_json
from minmax.admission import VARIABLE, add_option, admitted
from minmax.errors import UserError, files_named
from minmax.files import whole
from minmax.reporting.tables import markdown

EPILOG = (
    "All other arguments are those of `cli.py fit`, on one device: --data.init_args.root, "
    "--trainer.accelerator, ..."
)


@files_named()
def main(arguments: Sequence[str]) -> None:
    """Run the command."""
    options = argparse.ArgumentParser(
        prog="cli.py benchmark", description=__doc__, epilog=EPILOG, allow_abbrev=False
    )
    options.add_argument("--config", required=True, action="append", help="repeat it for more rows")
    options.add_argument("--output", required=True, type=Path, help="FILE.json; replaced if there")
    options.add_argument("--rounds", type=int, default=5, help="turns of each loop (5)")
    options.add_argument("--seconds", type=float, default=5.0, help="least length of a turn (5)")
    options.add_argument(
        "--each-lever", action="store_true", help="also the limit with each lever changed"
    )
    options.add_argument(
        "--each-part",
        action="store_true",
        help="also the limit without penalty, without augmentation, without spectral norm",
    )
    options.add_argument(
        "--trainer.precision",
        dest="precisions",
        action="append",
        help="32-true (the default) or bf16-mixed; repeat it for both",
    )
    add_option(options)
    chosen, training = options.parse_known_args(arguments)
    if chosen.rounds < 1 or chosen.seconds <= 0:
        raise UserError("--rounds must be at least 1, and --seconds positive")
    if not chosen.output.parent.is_dir():
        raise UserError(f"--output: there is no folder {chosen.output.parent}")
    results = []
    for precision in chosen.precisions or ["32-true"]:
        for config in chosen.config:
            given = ["--config", config, *training, "--trainer.precision", precision]
            measured = measure(chosen, given)
            results.append({"config": Path(config).stem, **measured})
            print(f"{table(measured)}\n")
            written = {"command": ["cli.py", "benchmark", *arguments], "results": results}
            with whole(chosen.output) as part:
                part.write_text(strict_json.dumps(written, indent=2) + "\n")
    print(summary(results))
    print(f"\nThe figures are in {chosen.output}")


def measure(chosen: argparse.Namespace, training: Sequence[str]) -> dict[str, Any]:
    """Start a training that `minmax.benchmarks.rounds.Rounds` times, and return its figures."""
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result.json"
        callback = {
            "output": result,
            "started": time.time(),
            "rounds": chosen.rounds,
            "seconds": chosen.seconds,
            "each_lever": str(chosen.each_lever).lower(),
            "each_part": str(chosen.each_part).lower(),
        }
        command = [sys.executable, str(Path(__file__).parents[2] / "cli.py"), "fit", *training]
        command += ["--trainer.callbacks+", "minmax.benchmarks.rounds.Rounds"]
        for name, value in callback.items():
            command.append(f"--trainer.callbacks.init_args.{name}={value}")
        command += [f"--trainer.default_root_dir={folder}/run", "--trainer.limit_val_batches=0"]
        for length in ("max_epochs=-1", "max_steps=-1", "max_time=null"):
            command.append(f"--trainer.{length}")
        # Its standard output would name the temporary run folder.
        admits = os.environ | {VARIABLE: " ".join((*admitted(), "minmax.benchmarks"))}
        code = subprocess.run(command, stdout=subprocess.DEVNULL, env=admits).returncode
        if code or not result.exists():
            sys.exit(code or "error: the training ended before it was timed")
        measured: dict[str, Any] = json.loads(result.read_text())
        return measured


def ratio(rates: dict[str, list[float]], loop: str, other: str) -> str:
    """Median over the rounds of one loop's speed divided by another's."""
    if loop not in rates or other not in rates:
        return "-"
    return f"{median(a / b for a, b in zip(rates[loop], rates[other], strict=True)):.2f}"


def spread(values: list[float]) -> str:
    """Median, least and greatest."""
    return f"{median(values):,.0f} ({min(values):,.0f}, {max(values):,.0f})"


def summary(results: list[dict[str, Any]]) -> str:
    """A table in Markdown, one row for each configuration and precision."""
    rows = [
        [
            *("config, batch", "precision", "project, images/s (least, greatest)"),
            *("peers", "plain", "limit", "project / plain", "project / limit", "project / peers"),
            *("project GFLOP/s, of the peak", "first step, s", "memory, MiB"),
        ]
    ]
    for measured in results:
        rates = measured["images_per_second"]
        speed = median(rates["project"]) * measured["flop_per_image"]["project"]
        others = ("peers", "plain", "limit")
        cells = [
            f"{measured['config']}, {measured['batch_size']}",
            measured["precision"],
            spread(rates["project"]),
            *(f"{median(rates[name]):,.0f}" if name in rates else "-" for name in others),
            *(ratio(rates, "project", name) for name in ("plain", "limit", "peers")),
            f"{speed / 1e9:,.0f}, {speed / median(measured['peak_flop_per_second']):.0%}",
            f"{measured['seconds_to_first_step']:.1f}",
            f"{measured['memory_bytes'] / 2**20:,.0f}",
        ]
        rows.append(cells)
    return markdown(rows)


def table(measured: dict[str, Any]) -> str:
    """The figures of a benchmark as a table in Markdown, one row for each loop.

    Ratios compare two loops of the same round; the table shows their median over the rounds.
    """
    rates = measured["images_per_second"]
    peak = median(measured["peak_flop_per_second"])
    head = (
        f"{measured['variant']}, batch {measured['batch_size']}, {measured['precision']}, "
        f"{measured['device']}, {measured['threads']} threads: first step after "
        f"{measured['seconds_to_first_step']:.1f} s, {measured['memory_bytes'] / 2**20:,.0f} MiB, "
        f"peak {peak / 1e9:,.0f} GFLOP/s\n\n"
    )
    rows = [["loop", "images/s (least, greatest)", "x plain", "x limit", "GFLOP/s", "of the peak"]]
    for name, values in rates.items():
        speed = median(values) * measured["flop_per_image"][name]
        ratios = (ratio(rates, name, other) for other in ("plain", "limit"))
        rows.append([name, spread(values), *ratios, f"{speed / 1e9:,.1f}", f"{speed / peak:.0%}"])
    return head + markdown(rows)
