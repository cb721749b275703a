"""Each rule at its thresholds, on made-up curves."""

import math
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from minmax.diagnosis import Curves, Diary, Finding, diagnose, history

EVERY = 100


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stretches of a few values, over any number of images."""
    monkeypatch.setattr("minmax.diagnosis.stretches.SPAN", 0)


def curve(*values: float) -> tuple[list[int], list[float]]:
    return [EVERY * (1 + number) for number in range(len(values))], list(values)


def curves(**named: tuple[float, ...] | list[float]) -> Curves:
    """Names with a double underscore for the slash."""
    return {name.replace("__", "/", 1): curve(*values) for name, values in named.items()}


def names(found: list[Finding]) -> list[str]:
    return [finding.name for finding in found]


def won(real: float, fake: float, loss: float, norm: float) -> Curves:
    return curves(
        accuracy__real=[0.7] * 10 + [real] * 10,
        accuracy__fake=[0.7] * 10 + [fake] * 10,
        loss__generator=[0.7] * 10 + [loss] * 10,
        gradient_norm__generator=[1.0] * 10 + [norm] * 10,
    )


@pytest.mark.parametrize(
    ("found", "case"),
    [
        (True, won(1.0, 1.0, 2.1, 1.0)),
        (True, won(0.97, 0.97, 2.1, 1.0)),
        (True, won(1.0, 1.0, 0.7, 0.009)),
        (False, won(1.0, 1.0, 1.9, 0.011)),
        (False, won(0.96, 1.0, 2.1, 1.0)),
        (False, won(1.0, 0.96, 2.1, 1.0)),
        (False, won(1.0, 1.0, 2.1, 1.0) | curves(accuracy__pairs=[1.0] * 20)),
    ],
)
def test_discriminator_won(found: bool, case: Curves) -> None:
    assert names(diagnose(case)) == ["discriminator_won"] * found
    if found:
        assert diagnose(case)[0].since_images == 11 * EVERY


def judged(varied: float, *scores: float) -> Curves:
    """A discriminator that is never wrong, and what its generator draws."""
    drawn = {"metric/fid_domain": curve(*scores)} if scores else {}
    return won(1.0, 1.0, 4.0, 1.0) | curves(samples__pairwise_distance=[varied] * 20) | drawn


@pytest.mark.parametrize(
    ("found", "case"),
    [
        (False, judged(0.97, 1.68)),  # a single score
        (False, judged(0.97, 1.68, 1.29, 1.48)),
        (False, judged(0.97, 1.68, 1.29, 1.48, 1.37, 1.31)),
        (True, judged(0.97, 1.68, 1.29, 1.48, 1.37, 1.31, 1.33)),  # the best is the fifth last
        (True, judged(0.97, 1.68, 1.29, 1.94)),  # half as much again as the best
        (True, judged(0.97, 1.68, 1.61)),  # it never learned
        (True, judged(0.2, 98.7, 58.5)),  # images that hardly differ
        (True, judged(0.97)),  # nothing speaks for it
    ],
)
def test_a_generator_that_learns_has_not_lost(found: bool, case: Curves) -> None:
    assert names(diagnose(case)) == ["discriminator_won"] * found


@pytest.mark.parametrize("network", ["generator", "discriminator"])
@pytest.mark.parametrize(("found", "factor"), [(True, 101), (False, 99)])
def test_exploding(network: str, found: bool, factor: float) -> None:
    case = {f"gradient_norm/{network}": curve(*[0.5] * 10, *[0.5 * factor] * 10)}
    assert names(diagnose(case)) == ["exploding"] * found


@pytest.mark.parametrize(("found", "norm"), [(True, 101.0), (False, 99.0)])
def test_a_slow_beginning_is_no_measure(
    found: bool, norm: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first ten values are a hundredth of the first stretch's median."""
    monkeypatch.setattr("minmax.diagnosis.stretches.SPAN", 25 * EVERY)
    case = {"gradient_norm/discriminator": curve(*[0.01] * 10, *[1.0] * 15, *[norm] * 30)}
    assert names(diagnose(case)) == ["exploding"] * found


def test_the_start_of_a_lost_game_is_its_first_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("minmax.diagnosis.stretches.SPAN", 25 * EVERY)
    case = won(1.0, 1.0, 2.1, 0.5) | curves(gradient_norm__generator=[8.0] * 10 + [0.5] * 30)
    case = {name: curve(*values, *values[-1:] * 30) for name, (_, values) in case.items()}
    assert "(8 at the start)" in diagnose(case)[0].sentence


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize(
    "name", ["loss/discriminator", "loss_class/real", "gradient_norm/generator"]
)
def test_not_finite(name: str, value: float) -> None:
    assert diagnose({name: curve(1.0)}) == []
    (finding,) = diagnose({"loss/generator": curve(1.0), name: curve(1.0, value)})
    assert (finding.name, finding.since_images) == ("not_finite", 2 * EVERY)
    assert name in finding.sentence


@pytest.mark.parametrize(
    ("found", "values"),
    [
        (True, [1.51] * 20),
        (True, [0.49] * 20),
        (False, [1.49] * 20),
        (False, [0.51] * 20),
        (False, [3.0] * 19),
        (False, [3.0] * 50 + [1.1] * 11),
        (True, [1.1] * 50 + [3.0] * 11),
    ],
)
def test_penalty_off(found: bool, values: list[float]) -> None:
    assert names(diagnose(curves(penalty__norm=values))) == ["penalty_off"] * found


@pytest.mark.parametrize(
    ("found", "values"),
    [
        (True, [0.0, 0.51, 0.51, 0.51]),
        (False, [0.9, 0.51, 0.51, 0.49]),
        (False, [0.9, 0.49, 0.51, 0.51]),
        (False, [0.9, 0.9]),
        (False, [0.9, math.nan, 0.9]),
    ],
)
def test_discriminator_overfits(found: bool, values: list[float]) -> None:
    case = curves(overfitting__held_out=values)
    assert names(diagnose(case)) == ["discriminator_overfits"] * found


@pytest.mark.parametrize(("found", "p"), [(True, 0.81), (True, 0.8), (False, 0.79), (False, 0.0)])
def test_p_runs_away(found: bool, p: float) -> None:
    case = curves(augment__p=[0.0] * 20 + [p] * 20)
    assert names(diagnose(case)) == ["p_runs_away"] * found
    case |= curves(augment__sign=[0.95] * 40)
    assert all("still 0.95" in finding.sentence for finding in diagnose(case))
    assert diagnose(curves(augment__p=[1.0] * 19)) == [], "it may be over soon"


def sloped(right: float, slope: float, kind: str = "r1", sign: str = "real") -> Curves:
    """From a mean squared slope of 1 and accuracies of 0.7."""
    return curves(
        **{f"penalty__{kind}": [1.0] * 10 + [slope] * 20},
        accuracy__real=[0.7] * 10 + [right if sign == "real" else 1.0] * 20,
        accuracy__fake=[0.7] * 10 + [1.0 if sign == "real" else right] * 20,
    )


@pytest.mark.parametrize(
    ("found", "case"),
    [
        ("weak", sloped(0.9, 10.1)),
        ("weak", sloped(0.9, 10.1, "r2", "fake")),
        ("weak", curves(accuracy__pairs=[0.91] * 30) | curves(penalty__r1=[1.0] * 10 + [11] * 20)),
        (None, sloped(0.89, 10.1)),
        (None, sloped(0.89, 10.1, sign="fake")),
        (None, sloped(0.9, 9.9)),
        ("strong", sloped(0.9, 9e-7)),
        ("strong", sloped(0.5, 9e-7, "r2")),
        (None, sloped(0.5, 1.1e-6)),
    ],
)
def test_penalties_of_the_slope(found: str | None, case: Curves) -> None:
    assert names(diagnose(case)) == [f"penalty_too_{found}"] * bool(found)


def test_a_penalty_that_was_strong_for_a_moment() -> None:
    assert diagnose(curves(penalty__r1=[1e-7] * 19)) == []


def leaking(varied: float, **signs: list[float]) -> Curves:
    return curves(samples__pairwise_distance=[varied] * 10, **signs)


@pytest.mark.parametrize(
    ("said", "case"),
    [
        ("12% more generated images than real ones have a gray square", [0.0, 0.11, 0.12]),
        (None, [0.9, 0.11, 0.09]),
        (None, [0.9, 0.09, 0.11]),
        (None, [0.9]),
    ],
)
def test_augmentation_leaks(said: str | None, case: list[float]) -> None:
    found = diagnose(leaking(0.6, leak__squares=case))
    assert names(found) == ["augmentation_leaks"] * bool(said)
    assert all(finding.sentence.startswith(said) for finding in found if said)
    assert diagnose(leaking(0.59, leak__squares=case)) == [], "gray images at the beginning"


def test_all_signs_of_leaks_are_told() -> None:
    healthy = {"borders": 0.09, "brightness": 1.39, "turns": 0.49}
    case = {f"leak__{name}": [value] * 2 for name, value in healthy.items()}
    assert diagnose(leaking(1.0, **case)) == []
    case = {f"leak__{name}": [value + 0.02] * 2 for name, value in healthy.items()}
    (finding,) = diagnose(leaking(1.0, **case))
    for part in ("11% more", "gray border", "1.4 times", "only 49% as upright"):
        assert part in finding.sentence


@pytest.mark.parametrize(
    ("found", "real", "fake"),
    [
        (True, 31.0, 30.0),
        (True, -31.0, -30.0),
        (False, 31.0, 29.9),  # not thirty times as far
        (False, 29.0, 28.9),  # not far
        (False, 100.0, -100.0),
    ],
)
def test_logits_drift(found: bool, real: float, fake: float) -> None:
    case = curves(logits__real=[0.0] * 20 + [real] * 20, logits__fake=[0.0] * 20 + [fake] * 20)
    assert names(diagnose(case)) == ["logits_drift"] * found


@pytest.mark.parametrize("network", ["generator", "discriminator"])
@pytest.mark.parametrize(
    ("found", "ratios"), [(True, (1.11, 1.2)), (False, (1.2, 1.09)), (False, (1.09, 1.2))]
)
def test_spectral_norm_stale(found: bool, ratios: tuple[float, float], network: str) -> None:
    case = {"spectral/discriminator": curve(1.0), f"spectral/{network}": curve(1.0, *ratios)}
    assert names(diagnose(case)) == ["spectral_norm_stale"] * found
    assert all(f"of the {network}" in finding.sentence for finding in diagnose(case))


@pytest.mark.parametrize(
    ("found", "values"),
    [
        (True, [0.0, 0.6] + [0.29] * 10),
        (False, [0.0, 0.6] + [0.31] * 10),
        (False, [0.0, 0.59] + [0.29] * 10),  # it never varied much, and may still come to it
        (False, [0.0] + [0.29] * 6 + [0.7] * 4),  # it has just come to it
        (False, [0.9] * 5 + [0.1] * 5),  # the median of the stretch
        (True, [0.09] * 20),
        (False, [0.11] + [0.09] * 19),
        (False, [0.09] * 19),
    ],
)
def test_collapsed(found: bool, values: list[float]) -> None:
    assert names(diagnose(curves(samples__pairwise_distance=values))) == ["collapsed"] * found


@pytest.mark.parametrize(
    ("found", "values"),
    [
        ("classes_lost", [0.95, 0.74]),
        (None, [0.95, 0.76]),
        (None, [0.59, 0.2]),
        (None, [0.0] * 3),
        ("one_class", [0.0] * 4),
        ("one_class", [0.5, 0.09, 0.09, 0.09, 0.09]),
        (None, [0.09, 0.09, 0.09, 0.11]),
    ],
)
def test_classes(found: str | None, values: list[float]) -> None:
    assert names(diagnose(curves(metric__class_entropy=values))) == ([found] if found else [])


@pytest.mark.parametrize(("found", "value"), [(True, 0.49), (False, 0.51)])
def test_memorising(found: bool, value: float) -> None:
    case = {"metric/nearest_pixels": curve(1.0, value)}
    assert names(diagnose(case)) == ["memorising"] * found
    assert diagnose({"metric/nearest_pixels": curve(value, 1.0)}) == []


def learning(scores: list[float], real: float, fake: float, then: float = 0.5) -> Curves:
    """Accuracies as given for 20 values, and the mean of them for the next 20."""
    return {"metric/fid_pixels": curve(*scores)} | curves(
        accuracy__real=[real] * 20 + [then] * 20, accuracy__fake=[fake] * 20 + [then] * 20
    )


@pytest.mark.parametrize(
    ("found", "case"),
    [
        ("no difference", learning([10, 9.6, 20, 9.6], 1.0, 0.0)),
        ("no difference", learning([10, 9.6, 20, 9.6], 0.0, 0.0)),
        (None, learning([10, 9.6, 20], 1.0, 0.0)),
        (None, learning([10, 9.4, 20, 20], 1.0, 0.0)),
        (None, learning([10, 9.6, 20, 9.6], 1.0, 0.12)),
        (None, learning([10, 9.6, 20, 9.6], 1.0, 0.0, then=0.56)),
        ("don't change", learning([9, 10, 10.008, 10, 10], 0.7, 0.7)),
        (None, learning([9, 10, 10.01, 10, 10], 0.7, 0.7)),
        (None, learning([9, 8, 8, 8, 8], 0.7, 0.7)),  # it did learn
    ],
)
def test_nothing_learned(found: str | None, case: Curves) -> None:
    result = diagnose(case)
    assert names(result) == ["nothing_learned"] * bool(found)
    assert all(found in finding.sentence for finding in result if found)


def test_a_discriminator_without_a_zero_that_sees_nothing() -> None:
    """Accuracies relative to zero mean nothing if the logits have no zero."""
    case = learning([10, 9.6, 20, 9.6], 0.7, 0.7, 0.7)
    for pairs, found in ((0.54, True), (0.56, False)):
        case["accuracy/pairs"] = curve(*[pairs] * 40)
        assert names(diagnose(case)) == ["nothing_learned"] * found


@pytest.mark.parametrize(("found", "span"), [(True, 2400), (False, 2500), (False, 3000)])
def test_stretches_cover_so_many_images(
    found: bool, span: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("minmax.diagnosis.stretches.SPAN", span)
    # 25 values cover 2,400 images. In the last case the older ones outnumber the newer ones.
    norms = [1.0] * 20 + [3.0] * 14 if span == 3000 else [3.0] * 25
    assert names(diagnose(curves(penalty__norm=norms))) == ["penalty_off"] * found


def test_a_failure_begins_and_ends_once() -> None:
    norms = [1.0] * 30 + [3.0] * 30 + [1.0] * 30 + [3.0] * 30
    first, second = history(curves(penalty__norm=norms))
    # Half of the twenty newest decide: ten low ones and ten high ones have a median of 2.
    assert (first.finding.since_images, first.said_at) == (21 * EVERY, 40 * EVERY)
    assert first.until_images == 71 * EVERY
    assert (second.said_at, second.until_images) == (100 * EVERY, None)


def test_a_diary_goes_on_where_it_was() -> None:
    norms = [1.0] * 30 + [3.0] * 30
    whole, parts = Diary(), Diary()
    said = [whole.note(EVERY * n, {"penalty/norm": norm}) for n, norm in enumerate(norms)]
    for n, norm in enumerate(norms):
        parts = Diary(parts.curves, dict(parts.current))
        assert parts.note(EVERY * n, {"penalty/norm": norm}) == said[n]
    assert sum(len(begun) for begun, _ in said) == 1


def test_long_curves_are_thinned_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is dropped changes no finding: curves of random levels give those of whole curves."""
    levels = {
        **dict.fromkeys(("metric/fid_pixels", "gradient_norm/generator"), (10, 0.01, 5, 2000)),
        **dict.fromkeys(("samples/pairwise_distance", "metric/class_entropy"), (0.05, 0.5, 0.9)),
        **dict.fromkeys(("accuracy/real", "accuracy/fake"), (0.5, 0.98, 1.0)),
        **dict.fromkeys(("loss/generator", "penalty/r1"), (1.0, 3.0, 40.0)),
    }
    monkeypatch.setattr("minmax.diagnosis.stretches.SPAN", 20 * EVERY)
    seen = set()
    for seed in range(10):
        random = Random(seed)
        long = {
            name: curve(*(level for _ in range(12) for level in [random.choice(of)] * 30))
            for name, of in levels.items()
        }
        long["metric/fid_pixels"][1][100] = math.nan
        whole = history(long)
        seen |= {episode.finding.name for episode in whole}
        with monkeypatch.context() as patch:
            patch.setattr("minmax.diagnosis.stretches.MIDDLE", 5)
            assert history(long) == whole
            diary = Diary()
            for number in range(360):
                values = {name: values[number] for name, (_, values) in long.items()}
                diary.note(EVERY * (1 + number), values)
        assert all(len(values) <= 2 * 21 + 5 for _, values in diary.curves.values())
    assert {"collapsed", "classes_lost", "exploding", "penalty_too_weak"} <= seen


def test_neither_torch_nor_lightning_is_needed() -> None:
    program = "import sys, minmax.diagnosis; assert not {'torch', 'lightning'} & sys.modules.keys()"
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", program], cwd=root, check=True)
