"""All rules, one for each failure."""

from collections.abc import Callable

from minmax.diagnosis.leaks import augmentation_leaks
from minmax.diagnosis.networks import logits_drift, spectral_norm_stale
from minmax.diagnosis.overfitting import discriminator_overfits, p_runs_away
from minmax.diagnosis.penalties import penalty_off, penalty_too_strong, penalty_too_weak
from minmax.diagnosis.samples import classes_lost, collapsed, memorising, nothing_learned, one_class
from minmax.diagnosis.stretches import Curves, Finding
from minmax.diagnosis.updates import discriminator_won, exploding, not_finite

RULES: tuple[Callable[[Curves], Finding | None], ...] = (
    not_finite,
    exploding,
    discriminator_won,
    discriminator_overfits,
    p_runs_away,
    augmentation_leaks,
    logits_drift,
    spectral_norm_stale,
    penalty_off,
    penalty_too_weak,
    penalty_too_strong,
    collapsed,
    classes_lost,
    one_class,
    memorising,
    nothing_learned,
)


def diagnose(curves: Curves) -> list[Finding]:
    """The failures that the newest values show."""
    return [finding for rule in RULES if (finding := rule(curves)) is not None]
