"""Draws the curves of runs in one picture, with one row of panels for each run."""

from collections.abc import Sequence
from pathlib import Path

from minmax.errors import UserError
from minmax.files import whole
from minmax.metrics.table import SCORES
from minmax.scalars import read_scalars

PANELS = {
    "losses": ("loss/generator", "loss/discriminator"),
    "accuracy of the discriminator": ("accuracy/real", "accuracy/fake", "accuracy/pairs"),
    "distance to the data (lower is better)": [
        name for distance in ("fid", "energy") for name in SCORES[distance].log_names()
    ],
}


def draw(runs: Sequence[Path], output: Path) -> None:
    """Draw losses, accuracies and the score of each run over the images seen.

    Raises:
        UserError: matplotlib is missing or can't write such a file, or a folder holds no scalars.
    """
    try:
        from matplotlib.backend_bases import FigureCanvasBase
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UserError('curves are drawn by matplotlib: pip install ".[report]"') from error

    kinds = FigureCanvasBase.get_supported_filetypes()
    if output.suffix[1:].lower() not in kinds:
        raise UserError(f"--output {output} must end in .png or .svg (also {', '.join(kinds)})")
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
            else:
                axis.text(0.5, 0.5, "none yet", ha="center", transform=axis.transAxes)
            if title.startswith("accuracy"):
                axis.set_ylim(-0.03, 1.03)
    with whole(output) as part:
        figure.savefig(part, dpi=110)
