"""Charts of runs over the images seen: a colour a group, a thin line a run, a thick one their mean.

Backgrounds are transparent and axes gray, so that they can be read on white and on black.
"""

from collections.abc import Mapping, Sequence
from io import BytesIO

import numpy as np

from minmax.errors import UserError

Curve = tuple[Sequence[float], Sequence[float]]
"""Images seen, and values."""

GRAY = "#808080"
# Okabe and Ito's, which people who see colours differently can tell apart; black is last.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#999999", "#F0E442")
FEATURES = ("inception", "domain", "pixels")
QUANTITIES = {
    "generator_loss": ("loss of the generator", ["loss/generator"]),
    "discriminator_loss": (
        "loss of the discriminator",
        ["loss/discriminator"],
    ),
    "accuracy_real": ("accuracy on real images", ["accuracy/real"]),
    "accuracy_fake": ("accuracy on generated images", ["accuracy/fake"]),
    "accuracy_pairs": ("share of pairs with the real image above", ["accuracy/pairs"]),
    "frechet_distance": (
        "Frechet distance (lower is better)",
        [f"metric/fid_{name}" for name in FEATURES],
    ),
    "recall": ("recall (higher is better)", [f"metric/recall_{name}" for name in FEATURES]),
    "class_entropy": ("how evenly classes are drawn (1: evenly)", ["metric/class_entropy"]),
    "pairwise_distance": (
        "distance between generated images, over real ones",
        ["samples/pairwise_distance"],
    ),
    "nearest": (
        "distance to the nearest training image, over held-out ones",
        [f"metric/nearest_{name}" for name in FEATURES],
    ),
    "class_match": ("images of the class asked for", ["metric/class_match"]),
    "generator_gradient": ("gradient norm of the generator", ["gradient_norm/generator"]),
    "discriminator_gradient": (
        "gradient norm of the discriminator",
        ["gradient_norm/discriminator"],
    ),
    "penalty_norm": ("gradient norm that the penalty pulls to 1", ["penalty/norm"]),
}
"""For each chart its title, and the log names of what it shows, of which a run has one at most."""
SHARES = (
    "accuracy_real",
    "accuracy_fake",
    "accuracy_pairs",
    "recall",
    "class_entropy",
    "class_match",
)
LOGARITHMIC = ("frechet_distance", "generator_gradient", "discriminator_gradient")
POINTS = 60


def chart(quantity: str, curves: Mapping[str, Sequence[Curve]]) -> bytes | None:
    """A PNG of one quantity; None if no run has it.

    Args:
        quantity: one of `QUANTITIES`.
        curves: of each group, a curve a run.

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
    if quantity in LOGARITHMIC and lowest > 0:
        axis.set_yscale("log")
        axis.yaxis.set_major_formatter(LogFormatter())  # 6, not 6 x 10^0
        axis.yaxis.set_minor_formatter(LogFormatter(minor_thresholds=(2, 0.4)))
    if quantity in SHARES:
        axis.set_ylim(-0.03, 1.03)
    axis.set_title(QUANTITIES[quantity][0], color=GRAY, fontsize="medium")
    axis.set_xlabel("real images seen", color=GRAY)
    axis.tick_params(colors=GRAY, which="both")
    axis.grid(alpha=0.3, color=GRAY)
    for spine in axis.spines.values():
        spine.set_color(GRAY)
    for columns in (4, 3, 2, 1):  # as many as there is room for
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
    """Means of at most `POINTS` equal stretches of a curve."""
    parts = min(POINTS, len(values))
    xs, ys = (np.array_split(np.asarray(part, float), parts) for part in (images, values))
    return np.array([x.mean() for x in xs]), np.array([y.mean() for y in ys])


def mean_curve(runs: Sequence[Curve]) -> tuple[np.ndarray, np.ndarray]:
    """Mean of the smoothed curves, as far as all of them go."""
    smoothed = [smooth(*run) for run in runs]
    longest = max((x for x, _ in smoothed), key=len)
    xs = longest[longest <= min(x[-1] for x, _ in smoothed) + 1]
    return xs, np.mean([np.interp(xs, x, y) for x, y in smoothed], axis=0)
