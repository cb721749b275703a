"""Feature networks: their recipe, their identity, and their files."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch_fidelity.feature_extractor_inceptionv3 as fidelity
from torch import Tensor
from torch.nn import functional as F

from datamodules import Digits
from minmax.metrics.classifier import DomainClassifier, accuracy, train_classifier
from minmax.metrics.inception import InceptionFeatures, inception_weights
from minmax.metrics.pixels import PixelFeatures
from minmax.metrics.scorer import Scorer, make_scorer
from minmax.metrics.scores import score

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def digits() -> Digits:
    return Digits()


@pytest.fixture(scope="module")
def scorer(digits: Digits, classifier_of_digits: None) -> Scorer:
    return make_scorer(digits, "domain", None, CPU)


class TestPixels:
    def test_average_pooled_grays(self) -> None:
        images = torch.randint(256, (3, 3, 8, 8)).to(torch.uint8)
        features, logits = PixelFeatures(2)(images)
        blocks = images.double().view(3, 3, 2, 4, 2, 4).mean(dim=(1, 3, 5)) / 255
        torch.testing.assert_close(features.double(), blocks.flatten(1), rtol=0, atol=1e-6)
        assert logits is None


class TestClassifier:
    def test_accuracy_and_shapes(self, digits: Digits, scorer: Scorer) -> None:
        assert scorer.accuracy is not None
        assert scorer.accuracy > 0.95
        images, labels = digits.split(train=False)
        seen = scorer.see(images)
        assert seen.features.shape == (179, 128)
        assert seen.logits is seen.class_logits
        assert seen.logits is not None
        assert (seen.logits.argmax(1) == labels).double().mean().item() == scorer.accuracy
        assert isinstance(scorer.network, DomainClassifier)
        assert accuracy(scorer.network, images, labels) == scorer.accuracy

    def test_images_of_other_sizes_are_resized(self, digits: Digits, scorer: Scorer) -> None:
        large = F.interpolate(digits.split(train=False)[0], (64, 64), mode="nearest")
        seen = scorer.see(large).class_logits
        assert seen is not None
        right = (seen.argmax(1) == digits.split(train=False)[1]).double().mean()
        assert right == pytest.approx(scorer.accuracy, abs=0.02)

    def test_the_recipe_is_seeded_and_leaves_random_numbers_alone(self) -> None:
        images = torch.randint(256, (40, 1, 32, 32)).to(torch.uint8)
        labels = torch.arange(40) % 4
        states = []
        for seed in (1, 2):
            torch.manual_seed(seed)
            before = torch.get_rng_state()
            network = train_classifier(images, labels, 4, CPU)
            assert torch.equal(before, torch.get_rng_state())
            assert not any(module.training for module in network.modules())
            states.append(network.identity())
        assert states[0] == states[1]
        assert states[0].startswith("domain-1-")
        assert train_classifier(images, 3 - labels, 4, CPU).identity() != states[0]

    def test_it_learns_from_every_image(self) -> None:
        """20 epochs of 40 images in batches of 40: each is seen, also those at the end."""
        images = torch.zeros(40, 1, 32, 32, dtype=torch.uint8)
        images[20:] = 255
        network = train_classifier(images, torch.arange(40) // 20, 2, CPU)
        assert accuracy(network, images, torch.arange(40) // 20) == 1

    def test_it_is_kept_with_its_accuracy(
        self, digits: Digits, scorer: Scorer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def train(*arguments: object) -> DomainClassifier:
            raise AssertionError("trained again")

        monkeypatch.setattr("minmax.metrics.classifier.train_classifier", train)
        again = make_scorer(Digits(image_size=56), "domain", None, CPU)
        assert again.network.identity() == scorer.network.identity()
        assert again.accuracy == scorer.accuracy
        with pytest.raises(AssertionError, match="trained again"):
            make_scorer(Digits(classes=["1", "7"]), "domain", None, CPU)

    def test_it_never_leaves_eval_mode(self, scorer: Scorer) -> None:
        assert not scorer.network.train().training
        assert not any(module.training for module in scorer.network.modules())


class TestReal:
    def test_cached_is_as_fresh(self, digits: Digits, scorer: Scorer) -> None:
        fresh = scorer.real(digits, True, 50)
        again = Scorer(scorer.network, scorer.classifier).to(CPU)
        kept = again.real(digits, True, 50)
        assert torch.equal(fresh.features, kept.features)
        assert torch.equal(fresh.labels, kept.labels)
        order = torch.randperm(1618, generator=torch.Generator().manual_seed(0))[:50]
        images, labels = digits.split(train=True)
        assert torch.equal(fresh.labels, labels[order])
        torch.testing.assert_close(fresh.features, scorer.see(images[order]).features)
        assert not torch.equal(scorer.real(digits, True, 50, seed=1).labels, fresh.labels)

    def test_other_data_is_another_entry(self, digits: Digits, scorer: Scorer) -> None:
        scorer.real(digits, True, 50)
        other = Digits(classes=["3", "5"])
        seen = Scorer(scorer.network, scorer.classifier).to(CPU).real(other, True, 50)
        images, labels = other.split(train=True)
        order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))[:50]
        torch.testing.assert_close(seen.features, scorer.see(images[order]).features)
        assert torch.equal(seen.labels, labels[order])

    def test_all_sizes_are_compared_with_the_same(self, digits: Digits, scorer: Scorer) -> None:
        again = Scorer(scorer.network, scorer.classifier).to(CPU)
        large = Digits(image_size=56)
        assert torch.equal(again.real(large, False).features, scorer.real(digits, False).features)
        assert again.data_hash(large, True) == scorer.data_hash(digits, True)
        assert again.data_hash(large, True) != again.data_hash(large, False)


class TestOrder:
    """Real against real is near the floor; every damage is seen, and more damage scores worse."""

    def value(self, digits: Digits, scorer: Scorer, images: Tensor) -> dict[str, float]:
        return score(scorer.real(digits, False), scorer.see_all(images, ""), "d", 0)

    def test_damages(self, digits: Digits, scorer: Scorer) -> None:
        images, labels = (part[:800] for part in digits.split(train=True))
        random = torch.Generator().manual_seed(0)
        noise = torch.randn(images.shape, generator=random)

        def noisy(std: float) -> Tensor:
            return (images + 255 * std * noise).round().clamp(0, 255).byte()

        def blurred(times: int) -> Tensor:
            pixels = images.float()
            for _ in range(times):
                pixels = F.avg_pool2d(F.pad(pixels, (2, 2, 2, 2), mode="replicate"), 5, 1)
            return pixels.round().byte()

        def of_classes(count: int) -> Tensor:
            return images[labels < count]

        whole = self.value(digits, scorer, images)
        for damaged in (
            [noisy(0.2), noisy(0.8)],
            [blurred(1), blurred(9)],
            [of_classes(8), of_classes(1)],
        ):
            values = [whole, *(self.value(digits, scorer, part) for part in damaged)]
            for name in ("fid_d", "kid_d"):
                found = [value[name] for value in values]
                assert found == sorted(found)
                assert found[1] > 1.3 * found[0]
        assert values[0]["class_entropy"] > 0.99
        entropies = [value["class_entropy"] for value in values]
        assert entropies == sorted(entropies, reverse=True)
        assert values[-1]["recall_d"] < 0.2 < 0.7 < values[0]["recall_d"]
        assert values[-1]["precision_d"] > 0.8


class TestInception:
    @pytest.fixture(scope="class")
    def weights(self, tmp_path_factory: pytest.TempPathFactory) -> Path:
        """Random weights in a file with the layout of the real one."""
        folder = tmp_path_factory.mktemp("weights")
        torch.save({}, folder / "empty.pth")
        with pytest.MonkeyPatch.context() as patch:
            network = fidelity.FeatureExtractorInceptionV3
            patch.setattr(network, "load_state_dict", lambda *arguments: None)
            torch.manual_seed(0)
            made = network("x", ["2048"], str(folder / "empty.pth"))
        torch.save(made.state_dict(), folder / "weights.pth")
        return folder / "weights.pth"

    def test_features_of_gray_and_colour(self, weights: Path) -> None:
        network = InceptionFeatures(weights)
        gray = torch.randint(256, (2, 1, 32, 32)).to(torch.uint8)
        features, logits = network(gray)
        assert features.shape == (2, 2048)
        assert logits.shape == (2, 1008)
        again, _ = network(gray.repeat(1, 3, 1, 1))
        torch.testing.assert_close(features, again)
        extractor = fidelity.FeatureExtractorInceptionV3("x", ["2048"], str(weights))
        (wanted,) = extractor(gray.repeat(1, 3, 1, 1))
        torch.testing.assert_close(features, wanted)
        assert not any(parameter.requires_grad for parameter in network.parameters())

    def test_ways_to_the_weights(
        self, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
        asked: list[str] = []

        def download(url: str, file: str, hash_prefix: str) -> None:
            asked.append(url)
            raise OSError("no route to host")

        monkeypatch.setattr(torch.hub, "download_url_to_file", download)
        assert inception_weights(str(weights), False) == weights
        both_ways = r"`Quality.inception_weights`.*`Quality.allow_download`"
        with pytest.raises(FileNotFoundError, match=both_ways):
            inception_weights(None, False)
        with pytest.raises(FileNotFoundError, match=r"nowhere.pth: there is no such file"):
            inception_weights("nowhere.pth", True)
        assert asked == []
        with pytest.raises(ConnectionError, match=r"no route to host.*inception_weights"):
            inception_weights(None, True)
        (url,) = asked
        kept = tmp_path / "checkpoints" / Path(url).name
        kept.write_bytes(weights.read_bytes())
        assert inception_weights(None, False) == kept

    @pytest.mark.parametrize("content", ["other weights", "no file of torch", "code"])
    def test_wrong_files(
        self, content: str, tmp_path: Path, evil: Callable[[Path], object]
    ) -> None:
        file = tmp_path / "weights.pth"
        if content == "other weights":
            torch.save({"weight": torch.zeros(3)}, file)
        elif content == "code":
            torch.save(evil(tmp_path / "ran"), file)
        else:
            file.write_text("?")
        with pytest.raises(ValueError, match="doesn't hold the Inception network"):
            InceptionFeatures(file)
        assert not (tmp_path / "ran").exists()

    @pytest.fixture
    def evil(self) -> Callable[[Path], object]:
        class Evil:
            def __init__(self, path: Path) -> None:
                self.path = path

            def __reduce__(self) -> tuple[object, tuple[object, ...]]:
                return open, (str(self.path), "w")

        return Evil
