"""Feature networks, and scores of generated images."""

from minmax.metrics.classifier import DomainClassifier, domain_classifier
from minmax.metrics.features import FeatureNetwork
from minmax.metrics.inception import InceptionFeatures, inception_weights
from minmax.metrics.pixels import PixelFeatures
from minmax.metrics.references import make_references, score_beside_training
from minmax.metrics.scorer import Scorer, make_scorer
from minmax.metrics.scores import Images, distance_to, score, score_by_class

__all__ = [
    "DomainClassifier",
    "FeatureNetwork",
    "Images",
    "InceptionFeatures",
    "PixelFeatures",
    "Scorer",
    "distance_to",
    "domain_classifier",
    "inception_weights",
    "make_references",
    "make_scorer",
    "score",
    "score_beside_training",
    "score_by_class",
]
