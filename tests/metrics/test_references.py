"""Training images and noise are scored once, and never taken for those of another protocol."""

import inspect
from typing import Any

import pytest
import torch

from datamodules import Digits
from minmax.metrics import Scorer, make_references, make_scorer
from minmax.metrics.references import References
from minmax.metrics.scores import nearest

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
    original = inspect.getsource
    for changed in ("minmax.metrics.scores", "minmax.metrics.references"):
        monkeypatch.setattr(
            "minmax.metrics.references.inspect.getsource",
            lambda module, changed=changed: original(module) + "#" * (module.__name__ == changed),
        )
        with pytest.raises(AssertionError, match="scored again"):
            references()
