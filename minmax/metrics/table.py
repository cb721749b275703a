"""The table of all scores: their names, how they are computed, and which values are better.

To add a score, add a `Score` here. It is then computed in validations and tests, logged,
written to `metrics.json`, and shown in tables and charts; docs/evaluation.md and
docs/logged_values.md explain it. It is computed from `Compared`, in `scores.py`.
Nothing slow is imported here, so that commands that only show scores start quickly.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from minmax.errors import UserError

if TYPE_CHECKING:
    from minmax.metrics.scores import Compared

Features = Literal["domain", "inception", "pixels", "points"]
"""Names of the feature networks."""


@dataclass(frozen=True)
class Score:
    """A score of generated images.

    Attributes:
        name: in tables, and after `metric/` in logs.
        better: which of its values are better.
        title: a few words, over its chart.
        compute: returns its value; None if it can't be computed.
        of_features: it depends on the feature network, whose name it ends with: `fid_domain`.
        of: what it says something about; points have coordinates as features.
        by_class: it is also computed for each class.
        alone: it compares with no other images, and is also computed of the held-out images.
        charted: the report has a chart of it.
        scale: of the chart; a share lies between 0 and 1.
    """

    name: str
    better: Literal["lower", "higher", "near 1"]
    title: str
    compute: "Callable[[Compared], float | None]"
    of_features: bool = True
    of: Literal["images", "points", "both"] = "both"
    by_class: bool = False
    alone: bool = False
    charted: bool = True
    scale: Literal["linear", "share", "logarithmic"] = "linear"

    def full_name(self, features: str) -> str:
        """Its name with these features."""
        return f"{self.name}_{features}" if self.of_features else self.name

    def log_names(self) -> list[str]:
        """All log names that its curve can have; a run has at most one of them."""
        names = [self.full_name(name) for name in get_args(Features) if self in scores_of(name)]
        return [f"metric/{name}" for name in dict.fromkeys(names)]

    @property
    def headline(self) -> str:
        """The title of its charts."""
        suffix = " is better" if self.better in ("lower", "higher") else ""
        return f"{self.title} ({self.better}{suffix})"

    def order(self, value: float) -> float:
        """A key that sorts values, best first."""
        return {"lower": value, "higher": -value, "near 1": abs(value - 1)}[self.better]


_ALL = (
    Score(
        "fid",
        "lower",
        "Frechet distance",
        lambda it: it.frechet_distance(),
        of="images",
        by_class=True,
        scale="logarithmic",
    ),
    Score(
        "energy",
        "lower",
        "energy distance",
        lambda it: it.energy_distance(),
        of_features=False,
        of="points",
        scale="logarithmic",
    ),
    Score(
        "modes",
        "higher",
        "modes drawn at least once",
        lambda it: it.modes(),
        of_features=False,
        alone=True,
    ),
    Score(
        "high_quality",
        "higher",
        "samples of a mode",
        lambda it: it.high_quality(),
        of_features=False,
        scale="share",
    ),
    Score(
        "reverse_kl",
        "lower",
        "divergence of the modes' shares",
        lambda it: it.reverse_kl(),
        of_features=False,
    ),
    Score(
        "kid",
        "lower",
        "kernel distance",
        lambda it: it.kernel_distance(),
        of="images",
        charted=False,
    ),
    Score(
        "precision",
        "higher",
        "precision",
        lambda it: it.manifolds.get("precision"),
        charted=False,
        scale="share",
    ),
    Score("recall", "higher", "recall", lambda it: it.manifolds.get("recall"), scale="share"),
    Score("density", "higher", "density", lambda it: it.manifolds.get("density"), charted=False),
    Score(
        "coverage",
        "higher",
        "coverage",
        lambda it: it.manifolds.get("coverage"),
        charted=False,
        scale="share",
    ),
    Score("is", "higher", "Inception Score", lambda it: it.inception_score(), charted=False),
    Score(
        "class_entropy",
        "higher",
        "how evenly classes are drawn",
        lambda it: it.class_entropy(),
        of_features=False,
        scale="share",
    ),
    Score(
        "class_match",
        "higher",
        "images of the class asked for",
        lambda it: it.class_match(),
        of_features=False,
        by_class=True,
        scale="share",
    ),
    Score(
        "mode_kl",
        "lower",
        "KL of the drawn classes from equal shares",
        lambda it: it.mode_kl(),
        of_features=False,
        alone=True,
        scale="logarithmic",
    ),
    Score(
        "confidence",
        "higher",
        "how sure the classifier is",
        lambda it: it.confidence(),
        of_features=False,
        alone=True,
        charted=False,
        scale="share",
    ),
    Score(
        "code_purity",
        "higher",
        "images of their category's usual class",
        lambda it: it.code_purity(),
        of_features=False,
        scale="share",
    ),
    Score(
        "nearest",
        "near 1",
        "distance to the nearest training image, over held-out ones",
        lambda it: it.nearness,
        of="images",
    ),
)
SCORES = {score.name: score for score in _ALL}
"""By name, in the order of tables; groups of runs are sorted by the first score."""


def scores_of(features: str) -> list[Score]:
    """The scores that exist with these features; the first one chooses the best checkpoint."""
    kind = "points" if features == "points" else "images"
    return [score for score in SCORES.values() if score.of in (kind, "both")]


def score_of(name: str) -> Score:
    """Find a score by its name, which may end in the name of the features.

    Raises:
        UserError: there is no such score.
    """
    of_features = SCORES.get(name.rpartition("_")[0])
    found = of_features if of_features is not None and of_features.of_features else SCORES.get(name)
    if found is None:
        raise UserError(
            f"{name} is no score: there are {', '.join(SCORES)}. Test the run again, or add the "
            "score to the table in minmax/metrics/table.py"
        )
    return found


def mode_of(log_name: str) -> str:
    """`min` or `max`: which value of a score's curve is best.

    Raises:
        UserError: it is no score, or its best value is neither the lowest nor the highest.
    """
    name = log_name.removeprefix("metric/")
    try:
        better = score_of("" if name == log_name else name).better
    except UserError as error:
        raise UserError(
            f"`BestCheckpoint.monitor` {log_name} is no score of this project: give "
            "`BestCheckpoint.mode` as well, min if lower values are better, else max"
        ) from error
    if better == "near 1":
        raise UserError(
            f"`BestCheckpoint.monitor` {log_name}: values near 1 are better, which is neither min "
            "nor max. Choose another score"
        )
    return {"lower": "min", "higher": "max"}[better]
