"""Charts over the images seen: one colour for each group, thin lines for runs, thick for means.

Backgrounds are transparent and axes gray, to be readable on white and on black.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Literal

import numpy as np

from minmax.errors import UserError
from minmax.metrics.table import SCORES

Curve = tuple[Sequence[float], Sequence[float]]
"""Images seen, and values."""

GRAY = "#808080"
# Okabe and Ito's, which colour-blind people can tell apart, with gray instead of black.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#999999", "#F0E442")


@dataclass(frozen=True)
class Quantity:
    """What a chart shows.

    Attributes:
        title: of the chart.
        names: log names of its curve; a run has at most one of them.
        scale: of its values; a share lies between 0 and 1.
    """

    title: str
    names: list[str]
    scale: Literal["linear", "share", "logarithmic"] = "linear"


OF_TRAINING = {
    "generator_loss": Quantity("loss of the generator", ["loss/generator"]),
    "discriminator_loss": Quantity("loss of the discriminator", ["loss/discriminator"]),
    "accuracy_real": Quantity("accuracy on real images", ["accuracy/real"], "share"),
    "accuracy_fake": Quantity("accuracy on generated images", ["accuracy/fake"], "share"),
    "accuracy_pairs": Quantity(
        "share of pairs with the real image above", ["accuracy/pairs"], "share"
    ),
    "pairwise_distance": Quantity(
        "distance between generated images, over real ones", ["samples/pairwise_distance"]
    ),
    "generator_gradient": Quantity(
        "gradient norm of the generator", ["gradient_norm/generator"], "logarithmic"
    ),
    "discriminator_gradient": Quantity(
        "gradient norm of the discriminator", ["gradient_norm/discriminator"], "logarithmic"
    ),
    "penalty_norm": Quantity("gradient norm that the penalty pulls to 1", ["penalty/norm"]),
    "slope_real": Quantity("mean squared slope at real images", ["penalty/r1"], "logarithmic"),
    "overfitting": Quantity(
        "held-out logits, from training (0) to generated images' (1)", ["overfitting/held_out"]
    ),
    "augment_p": Quantity("probability of augmentation", ["augment/p"], "share"),
}


def quantities() -> dict[str, Quantity]:
    """All charted quantities, by the charts' file names."""
    return OF_TRAINING | {
        score.name: Quantity(score.headline, score.log_names(), score.scale)
        for score in SCORES.values()
        if score.charted
    }


POINTS = 60


def chart(quantity: Quantity, curves: Mapping[str, Sequence[Curve]]) -> bytes | None:
    """A PNG of one quantity; None if no run has it.

    Args:
        quantity: what the curves show.
        curves: for each group, one curve for each run.

    Raises:
        UserError: matplotlib is missing.
    """
    try:
        from matplotlib.figure import Figure
        from matplotlib.ticker import LogFormatter
    except ImportError as error:
        raise UserError('charts are drawn by matplotlib: pip install ".[report]"') from error
    if not any(curves.values()):
        return None
    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    axis = figure.subplots()
    for index, (name, runs) in enumerate(curves.items()):
        colour = COLOURS[index % len(COLOURS)]
        for run in runs:
            axis.plot(*smooth(*run), color=colour, alpha=0.35, linewidth=0.8)
        if runs:
            axis.plot(*mean_curve(runs), color=colour, linewidth=2, label=name)
    lowest = min(min(values) for runs in curves.values() for _, values in runs)
    if quantity.scale == "logarithmic" and lowest > 0:
        axis.set_yscale("log")

        class Digits(LogFormatter):
            """Labels as 6, not 6 x 10^0, and as 0.095, not 1e-01, where the curve needs it."""

            def __call__(self, x: float, pos: int | None = None) -> str:
                return f"{x:.4g}" if super().__call__(x, pos) else ""

        axis.yaxis.set_major_formatter(Digits())
        axis.yaxis.set_minor_formatter(Digits(minor_thresholds=(2, 0.4)))
    if quantity.scale == "share":
        axis.set_ylim(-0.03, 1.03)
    axis.set_title(quantity.title, color=GRAY, fontsize="medium")
    axis.set_xlabel("real images seen", color=GRAY)
    axis.tick_params(colors=GRAY, which="both")
    axis.grid(alpha=0.3, color=GRAY)
    for spine in axis.spines.values():
        spine.set_color(GRAY)
    for columns in (4, 3, 2, 1):  # as many as fit
        legend = figure.legend(
            loc="outside lower center", ncols=columns, labelcolor=GRAY, framealpha=0
        )
        if columns == 1 or legend.get_window_extent().width <= figure.bbox.width:
            break
        legend.remove()
    content = BytesIO()
    figure.savefig(content, dpi=130, transparent=True, format="png")
    return content.getvalue()


def smooth(images: Sequence[float], values: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """Smooth a curve: the means of at most `POINTS` equal stretches."""
    parts = min(POINTS, len(values))
    xs, ys = (np.array_split(np.asarray(part, float), parts) for part in (images, values))
    return np.array([x.mean() for x in xs]), np.array([y.mean() for y in ys])


def mean_curve(runs: Sequence[Curve]) -> tuple[np.ndarray, np.ndarray]:
    """Mean of the smoothed curves, up to the end of the shortest."""
    smoothed = [smooth(*run) for run in runs]
    longest = max((x for x, _ in smoothed), key=len)
    xs = longest[longest <= min(x[-1] for x, _ in smoothed) + 1]
    return xs, np.mean([np.interp(xs, x, y) for x, y in smoothed], axis=0)
