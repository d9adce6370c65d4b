"""Compare two sets of images by figures that state everything they depend on."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ddpm_np import arguments
from ddpm_np.backend import Array
from ddpm_np.data.dataset import Images
from ddpm_np.evaluate.distances import Estimate, fid, inception_score, kid, precision_recall
from ddpm_np.evaluate.features import Classifies, Features, checked_images

WEIGHTS = {"ema": "EMA weights", "model": "last weights, not averaged", "none": "real images, no weights",
           "unknown": "unknown weights"}
LEAST = 20  # images on each side


@dataclass(frozen=True)
class Figure:
    """A measured quality of a set of images, with everything that it depends on.

    Attributes
    ----------
    name : str
        FID, KID, IS, precision or recall.
    value : float
        The number.
    error : float
        Its standard error.
    method : str
        How the standard error was estimated.
    features : str
        Name of the features.
    samples : int
        Number of images judged.
    reference : str
        Data set and split that they were compared with.
    references : int
        Number of reference images.
    weights : str
        Weights that generated the images: ``"ema"`` (the moving average), ``"model"`` (the last ones), ``"none"`` (real
        images) or ``"unknown"``.

    Raises
    ------
    ValueError
        If a text is empty, `weights` is unknown, or a number is not finite.

    Examples
    --------
    >>> print(Figure("FID", 12.3456, 0.234, "bootstrap of 50", "pixels", 1000, "mnist train", 2000, "ema"))
    FID 12.35 ± 0.23 (standard error: bootstrap of 50); features: pixels; 1,000 samples against 2,000 of mnist train;
    EMA weights
    """

    name: str
    value: float
    error: float
    method: str
    features: str
    samples: int
    reference: str
    references: int
    weights: str

    def __post_init__(self) -> None:
        for what in ("name", "method", "features", "reference"):
            if not getattr(self, what).strip():
                raise ValueError(f"a figure's {what} is empty: state what the number depends on")
        arguments.one_of("weights", self.weights, WEIGHTS)
        if not (math.isfinite(self.value) and 0 <= self.error < math.inf):
            raise ValueError(f"{self.name} is {self.value} with error {self.error}: expected finite numbers")

    def __str__(self) -> str:
        places = max(0, 1 - math.floor(math.log10(self.error))) if self.error else 6  # two digits of the error
        return (f"{self.name} {self.value:.{places}f} ± {self.error:.{places}f} (standard error: {self.method}); "
                f"features: {self.features}; {self.samples:,} samples against {self.references:,} of {self.reference}; "
                f"{WEIGHTS[self.weights]}")


def compare(samples: Array, reference: Array, features: Features, *, reference_name: str, weights: str,
            seed: int = 0) -> list[Figure]:
    """Compute FID, KID, precision and recall of samples against a reference.

    The Inception Score follows if the features are a classifier's. KID is the mean over subsets of 1,000 images, or of
    a tenth of the smaller set if that is fewer.

    Parameters
    ----------
    samples : array of shape (N, H, W, C)
        Images in [−1, 1], N ≥ 20.
    reference : array of shape (M, H, W, C)
        Images in [−1, 1], M ≥ 20.
    features : Features
        The features to compare by.
    reference_name : str
        Data set and split of the reference, such as ``"mnist train"``.
    weights : str
        Weights that generated the samples: ``"ema"``, ``"model"``, or ``"none"`` for real images.
    seed : int
        Seed of the bootstrap, subsets and splits.

    Returns
    -------
    list of Figure
        FID, KID, precision, recall and perhaps IS, in this order.

    Raises
    ------
    ValueError
        If there are too few images, their shapes differ, a value lies outside [−1, 1], or a feature is not finite.

    Examples
    --------
    >>> from ddpm_np.data import open_dataset
    >>> from ddpm_np.evaluate import Pixels
    >>> x = open_dataset("digits").scaled(slice(None))
    >>> figures = compare(x[:100], x[100:200], Pixels(), reference_name="digits 100 to 199", weights="none")
    >>> [figure.name for figure in figures]
    ['FID', 'KID', 'precision', 'recall']
    """
    arguments.seed(seed)
    samples, reference = checked_images(samples), checked_images(reference)
    n, m = len(samples), len(reference)
    if min(n, m) < LEAST:
        raise ValueError(f"expected at least {LEAST} samples and {LEAST} of the reference, got {n} and {m}: draw more "
                         "images")
    if samples.shape[1:] != reference.shape[1:]:
        raise ValueError(f"the samples are {samples.shape[1:]} images and the reference {reference.shape[1:]}: compare "
                         "with the data set that the net was trained on")

    def figure(name: str, estimate: Estimate) -> Figure:
        return Figure(name, *estimate, features.name, n, reference_name, m, weights)

    def generator() -> np.random.Generator:
        return np.random.default_rng(seed)  # one for each figure, so that no figure depends on the others

    x, y = features(samples), features(reference)  # (N, F), (M, F)
    precision, recall = precision_recall(x, y)
    figures = [
        figure("FID", fid(x, y, generator())),
        figure("KID", kid(x, y, generator(), min(1000, min(n, m) // 10))),
        figure("precision", precision),
        figure("recall", recall),
    ]
    if isinstance(features, Classifies):
        figures.append(figure("IS", inception_score(features.probabilities(samples), generator())))
    return figures


def floor(train: Images, test: Images, features: Features, *, images: int = 10_000, seed: int = 0) -> list[Figure]:
    """Compute `compare` of real images, the train split against the test split: the result of a perfect sampler.

    Samples cannot be expected to come nearer to one split than the other split does. Part of the distance is due to
    the features, which were trained on the train split.

    Parameters
    ----------
    train : Images
        The train split, which takes the samples' place.
    test : Images
        The test split, the reference.
    features : Features
        The features to compare by.
    images : int
        Images drawn from each split without repetition; all of the smaller split if it has fewer.
    seed : int
        Seed of the choice of images and of `compare`.

    Returns
    -------
    list of Figure
        The figures of `compare`, with ``weights="none"``.

    Raises
    ------
    ValueError
        As `compare` does.
    """
    arguments.seed(seed)
    images = min(arguments.count("images", images), len(train), len(test))
    generator = np.random.default_rng(seed)
    x, y = (data.scaled(np.sort(generator.permutation(len(data))[:images])) for data in (train, test))
    return compare(x, y, features, reference_name=f"{test.name} test (samples: {train.name} train)", weights="none",
                   seed=seed)
