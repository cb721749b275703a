"""Which of a study's variants to take, and how sure that is."""

import re
from collections.abc import Sequence
from statistics import mean

from minmax.metrics.table import score_of
from minmax.reporting.comparison import spread
from minmax.reporting.groups import Group

SURE = 0.05
"""Greatest probability of a gap by chance that is called sure."""


def verdict(found: Sequence[Group]) -> str:
    """A sentence on the first score of the last checkpoints.

    A variant of which a run has failed, or has no score, is never the one to take. "Sure" is the
    probability of so large a gap between the best two if both were the same: Welch's t-test,
    one-sided. It doesn't count how many variants there were.

    Args:
        found: the variants in the plan's order; empty text if fewer than two were scored.
    """
    scores = {group.name: group.scores() for group in found if not group.failed}
    names = [name for runs in scores.values() for run in runs for name in run]
    if not names:
        return ""
    found_by = {v: [run.get(names[0]) for run in runs] for v, runs in scores.items()}
    values = {v: [x for x in by if x is not None] for v, by in found_by.items() if None not in by}
    order = score_of(names[0]).order
    ranked = sorted((v for v in values if values[v]), key=lambda v: mean(map(order, values[v])))
    if len(ranked) < 2:
        return ""
    best, second = ranked[:2]
    said = [
        f"By {names[0]} take {best}: {spread(names[0], scores[best])}; then comes {second}: "
        f"{spread(names[0], scores[second])}.",
        certainty([order(v) for v in values[best]], [order(v) for v in values[second]]),
    ]
    if best in ends_of_sweep([group.name for group in found]):
        said.append(f"{best} is at an end of the sweep: try further values.")
    left_out = [group.name for group in found if group.name not in values]
    if left_out:
        said.append(f"Left out, as runs of it failed or have no score: {', '.join(left_out)}.")
    waiting = sum(group.waiting for group in found)
    said += [f"{waiting} runs are not done yet."] if waiting else []
    return " ".join(said)


def ends_of_sweep(variants: Sequence[str]) -> list[str]:
    """The first and last variant, if their names end in numbers that rise or fall: gamma_4."""
    found = [re.search(r"\d*\.?\d+$", name) for name in variants]
    numbers = [float(number[0]) for number in found if number]
    swept = len(numbers) == len(variants) and numbers in (sorted(numbers), sorted(numbers)[::-1])
    return [variants[0], variants[-1]] if swept else []


def certainty(best: Sequence[float], second: Sequence[float]) -> str:
    """How sure it is that the first values are lower in the mean."""
    if min(len(best), len(second)) < 2:
        return "How sure that is can't be said with one seed."
    from scipy.stats import ttest_ind

    chance = float(ttest_ind(best, second, equal_var=False, alternative="less").pvalue)
    if chance <= SURE:
        return f"The gap is beyond chance (p = {chance:.2g})."
    return f"The gap may be chance (p = {chance:.2g}): either will do, or more seeds decide."
