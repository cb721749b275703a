"""Training images and noise are scored once for each protocol."""

import inspect
from typing import Any

import pytest
import torch

from datamodules import Digits
from minmax.metrics.manifolds import nearest
from minmax.metrics.references import CODE, References, make_references
from minmax.metrics.scorer import Scorer, make_scorer
from minmax.metrics.table import SCORES

pytestmark = pytest.mark.usefixtures("classifier_of_digits")

CPU = torch.device("cpu")
COUNT = 60


def references(size: int = 32, count: int = COUNT, seed: int = 0) -> tuple[References, Scorer]:
    data = Digits(image_size=size)
    scorer = make_scorer(data, "domain", None, CPU)
    return make_references(data, scorer, scorer.real(data, False, 150), count, seed), scorer


def test_floor_and_noise() -> None:
    made, scorer = references()
    floor, noise = made.scores["training images"], made.scores["noise"]
    assert floor["nearest_domain"] == pytest.approx(0, abs=1e-4)
    assert floor["class_match"] > 0.95
    assert "class_match" not in noise
    assert noise["fid_domain"] > 5 * floor["fid_domain"]
    data = Digits()
    held_out = scorer.real(data, False, 150).features
    distances, _ = nearest(held_out, scorer.real(data, True).features)
    assert made.usual_distance == float(distances.median())


def test_they_are_scored_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made, _ = references()

    def score(*arguments: Any) -> None:
        raise AssertionError("scored again")

    monkeypatch.setattr("minmax.metrics.references.score", score)
    assert references()[0] == made
    for other in ({"size": 56}, {"count": COUNT + 1}, {"seed": 1}):
        with pytest.raises(AssertionError, match="scored again"):
            references(**other)
    with monkeypatch.context() as patch:
        patch.setitem(SCORES, "more", SCORES["kid"])
        with pytest.raises(AssertionError, match="scored again"):
            references()
    assert references()[0] == made
    original = inspect.getsource
    names = ("distances", "manifolds", "of_classes", "of_modes", "references", "scores", "table")
    assert {module.__name__ for module in CODE} == {f"minmax.metrics.{name}" for name in names}
    for changed in (module.__name__ for module in CODE):
        monkeypatch.setattr(
            "minmax.metrics.references.inspect.getsource",
            lambda module, changed=changed: original(module) + "#" * (module.__name__ == changed),
        )
        with pytest.raises(AssertionError, match="scored again"):
            references()
