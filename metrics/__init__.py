"""Feature networks, and scores of generated images."""

from metrics.classifier import DomainClassifier, domain_classifier
from metrics.features import FeatureNetwork
from metrics.inception import InceptionFeatures, inception_weights
from metrics.pixels import PixelFeatures
from metrics.references import make_references, score_beside_training
from metrics.scorer import Scorer, make_scorer
from metrics.scores import Images, distance_to, score, score_by_class

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
