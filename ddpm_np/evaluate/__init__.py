"""Evaluation of generated images: features, distances between two sets of feature vectors, figures to report."""

from ddpm_np.evaluate.classifiers import classifier_features, load_classifier, save_classifier, train_classifier
from ddpm_np.evaluate.compare import Figure, compare, floor
from ddpm_np.evaluate.distances import (
    Estimate,
    fid,
    frechet_distance,
    inception_score,
    kid,
    polynomial_mmd2,
    precision_recall,
)
from ddpm_np.evaluate.features import ClassifierFeatures, Classifies, Features, Pixels, Training

__all__ = [
    "ClassifierFeatures", "Classifies", "Estimate", "Features", "Figure", "Pixels", "Training", "classifier_features",
    "compare", "fid", "floor", "frechet_distance", "inception_score", "kid", "load_classifier", "polynomial_mmd2",
    "precision_recall", "save_classifier", "train_classifier",
]
