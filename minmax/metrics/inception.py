"""Inception features, as in published scores; the weights come from a file or a download."""

import hashlib
from pathlib import Path

import torch
from torch import Tensor

from minmax.errors import MissingError, UnreachableError, UserError
from minmax.metrics.features import FeatureNetwork

HASH = "6726825d"
FILE = f"weights-inception-2015-12-05-{HASH}.pth"
URL = f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{FILE}"


class InceptionFeatures(FeatureNetwork):
    """The Inception network of the published Frechet Inception Distances.

    torch-fidelity's port, which resizes to 299x299 as TensorFlow 1 did. Gray images get
    three equal channels.

    Args:
        weights: the weights' file, found by `inception_weights`.

    Raises:
        UserError: the file doesn't hold the network.
    """

    name = "inception"

    def __init__(self, weights: Path) -> None:
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

        super().__init__()
        try:
            if weights.name == FILE:
                digest = hashlib.sha256(weights.read_bytes()).hexdigest()
                if not digest.startswith(HASH):
                    raise ValueError("the file is damaged")
            # The library below would run code in an untrusted file; this raises instead.
            torch.load(weights, map_location="cpu", weights_only=True)
            self.network = FeatureExtractorInceptionV3(
                "inception-v3-compat", ["2048", "logits_unbiased"], str(weights)
            )
        except Exception as error:  # a wrong file can make torch raise anything
            reason = str(error).partition("\n")[0]
            raise UserError(
                f"`Quality.inception_weights` {weights} doesn't hold the Inception network "
                f"({reason}): give {FILE} from {URL}"
            ) from error
        self.eval()

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Images uint8 `[N, C, H, W]` to features `[N, 2048]`, class logits `[N, 1008]`."""
        features, logits = self.network(images.expand(-1, 3, -1, -1))
        return features, logits


def inception_weights(path: str | None, allow_download: bool) -> Path:
    """The file of the weights: the given one, an earlier download, or a new download.

    Raises:
        MissingError: there is none, and a download is not allowed.
        UserError: torch-fidelity, which defines the network, is not installed.
        UnreachableError: the download failed.
    """
    try:
        import torch_fidelity  # noqa: F401
    except ImportError as error:
        raise UserError(
            "`Quality.features` inception needs torch-fidelity: pip install '.[inception]', or "
            "choose `Quality.features` domain"
        ) from error
    downloaded = Path(torch.hub.get_dir()) / "checkpoints" / FILE
    chosen = downloaded if path is None else Path(path).expanduser()
    ways = (
        f"give the path of {FILE} ({URL}) with `Quality.inception_weights`, or let it be "
        "downloaded with `Quality.allow_download` true"
    )
    if chosen.is_file():
        return chosen
    if path is not None:
        raise MissingError(f"`Quality.inception_weights` {path}: there is no such file; {ways}")
    if not allow_download:
        raise MissingError(f"`Quality.features` inception: its weights are not here; {ways}")
    downloaded.parent.mkdir(parents=True, exist_ok=True)
    try:
        torch.hub.download_url_to_file(URL, str(downloaded), hash_prefix=HASH)
    except (OSError, RuntimeError) as error:
        raise UnreachableError(
            f"the Inception weights can't be downloaded ({error}): connect to the internet, or "
            f"{ways.partition(', or')[0]}"
        ) from error
    return downloaded
