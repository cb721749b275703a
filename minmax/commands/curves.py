"""`python cli.py curves`: draw the curves of runs from their TensorBoard files."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

PANELS = {
    "losses": ("loss/generator", "loss/discriminator", "loss/critic"),
    "accuracy of the adversary": ("accuracy/real", "accuracy/fake", "accuracy/pairs"),
    "score (lower is better)": ("metric/fid_inception", "metric/fid_domain", "metric/fid_pixels"),
}


def main(arguments: Sequence[str]) -> None:
    """Run the command."""
    options = argparse.ArgumentParser(prog="cli.py curves", description=__doc__, allow_abbrev=False)
    options.add_argument("runs", nargs="+", help="folders of runs")
    options.add_argument("--output", required=True, help="FILE.png or FILE.svg; replaced if there")
    chosen = options.parse_args(arguments)
    draw([Path(run) for run in chosen.runs], Path(chosen.output))
    print(f"The curves are in {chosen.output}")


def read_scalars(run: Path) -> dict[str, tuple[list[int], list[float]]]:
    """Every scalar of a run by log name: the images seen, and the values.

    Raises:
        ValueError: there is no such folder, or it holds no scalars.
    """
    if not run.is_dir():
        raise ValueError(f"{run} is no folder: give the folder of a run")
    events = EventAccumulator(str(run), size_guidance={"scalars": 0}).Reload()
    names = events.Tags()["scalars"]
    if not names:
        raise ValueError(f"{run} holds no scalars of TensorBoard: give the folder of a run")
    series = {name: events.Scalars(name) for name in names}
    return {name: ([e.step for e in s], [e.value for e in s]) for name, s in series.items()}


def draw(runs: Sequence[Path], output: Path) -> None:
    """Draw a row of panels a run: losses, accuracies, score, over the images seen.

    Raises:
        ValueError: matplotlib is missing, or a folder holds no scalars.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ValueError('curves are drawn by matplotlib: pip install ".[report]"') from error

    scalars = [read_scalars(run) for run in runs]
    figure = Figure(figsize=(4.2 * len(PANELS), 2.8 * len(runs)), layout="constrained")
    axes = figure.subplots(len(runs), len(PANELS), squeeze=False)
    for row, run, series in zip(axes, runs, scalars, strict=True):
        for axis, (title, names) in zip(row, PANELS.items(), strict=True):
            for name in names:
                if name in series:
                    axis.plot(*series[name], label=name.partition("/")[2], linewidth=0.8)
            axis.set_title(f"{run.name}: {title}", fontsize="small")
            axis.set_xlabel("real images seen", fontsize="small")
            axis.tick_params(labelsize="x-small")
            axis.grid(alpha=0.3)
            if axis.lines:
                axis.legend(fontsize="x-small")
            if title.startswith("accuracy"):
                axis.set_ylim(-0.03, 1.03)
    figure.savefig(output, dpi=110)
