"""Two sets of images compared: figures that never stand without what they depend on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from ddpm_np.data.dataset import Images
from ddpm_np.evaluate.distances import Estimate, fid, inception_score, kid, precision_recall
from ddpm_np.evaluate.features import Classifies, Features, checked_images

WEIGHTS = {"ema": "EMA weights", "model": "weights as trained last", "none": "real images, no weights"}


@dataclass(frozen=True)
class Figure:
    """A number about a set of images, with all that it means nothing without.

    Attributes
    ----------
    name : str
        FID, KID, IS, precision or recall.
    value, error : float
        The number and its standard error.
    method : str
        How the error was found.
    features : str
        The features' name.
    samples : int
        How many images it is about.
    reference : str
        What they were compared with: data set and split.
    references : int
        How many images of that.
    weights : str
        ``"ema"`` (samples of the average weights), ``"model"`` (of the last ones), ``"none"`` (real images).

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
                raise ValueError(f"a figure's {what} is empty: say what the number depends on")
        if self.weights not in WEIGHTS:
            raise ValueError(f"weights must be 'ema', 'model' or 'none' (real images), got {self.weights!r}")
        if not (math.isfinite(self.value) and 0 <= self.error < math.inf):
            raise ValueError(f"{self.name} is {self.value} with error {self.error}: expected finite numbers")

    def __str__(self) -> str:
        places = max(0, 1 - math.floor(math.log10(self.error))) if self.error else 6  # two digits of the error
        return (f"{self.name} {self.value:.{places}f} ± {self.error:.{places}f} (standard error: {self.method}); "
                f"features: {self.features}; {self.samples:,} samples against {self.references:,} of {self.reference}; "
                f"{WEIGHTS[self.weights]}")


def compare(samples: Any, reference: Any, features: Features, *, reference_name: str, weights: str,
            seed: int = 0) -> list[Figure]:
    """FID, KID, precision and recall of samples against a reference; and IS, where the features give probabilities.

    Parameters
    ----------
    samples, reference
        Images (N, H, W, C) and (M, H, W, C) in [−1, 1], at least 20 each.
    features
        What they are compared by.
    reference_name
        Data set and split of the reference, such as ``"mnist train"``.
    weights
        Which weights the samples were drawn with: ``"ema"``, ``"model"``, or ``"none"`` for real images.
    seed
        Of the bootstrap, subsets and splits.

    Returns
    -------
    list of Figure
        KID over subsets of 1,000, or of a tenth of the smaller set where that is less.

    Raises
    ------
    ValueError
        For too few images, images that do not fit, or features that are not finite.

    Examples
    --------
    >>> from ddpm_np.data import open_dataset
    >>> from ddpm_np.evaluate import Pixels
    >>> x = open_dataset("digits").scaled(slice(None))
    >>> figures = compare(x[:100], x[100:200], Pixels(), reference_name="digits 100 to 199", weights="none")
    >>> [figure.name for figure in figures]
    ['FID', 'KID', 'precision', 'recall']
    """
    samples, reference = checked_images(samples), checked_images(reference)
    n, m = len(samples), len(reference)
    if min(n, m) < 20:
        raise ValueError(f"expected at least 20 samples and 20 of the reference, got {n} and {m}: draw more images")
    if samples.shape[1:] != reference.shape[1:]:
        raise ValueError(f"the samples are {samples.shape[1:]} images and the reference {reference.shape[1:]}: compare "
                         "with the data set that the net was trained on")

    def figure(name: str, estimate: Estimate) -> Figure:
        return Figure(name, *estimate, features.name, n, reference_name, m, weights)

    def generator() -> np.random.Generator:
        return np.random.default_rng(seed)  # a new one each, so that no figure depends on which others there are

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
    """`compare` on real images, the train split against the test split: what a perfect sampler would get.

    Samples cannot be expected to come nearer to one split than the other split does. Part of the distance is the
    features' own: they were trained on the train split.

    Parameters
    ----------
    train, test
        The splits.
    features, seed
        As in `compare`.
    images
        How many of each are drawn, without repetition; fewer where a split has fewer.
    """
    images = min(images, len(train), len(test))
    generator = np.random.default_rng(seed)
    x, y = (data.scaled(np.sort(generator.permutation(len(data))[:images])) for data in (train, test))
    return compare(x, y, features, reference_name=f"{test.name} test (samples: {train.name} train)", weights="none",
                   seed=seed)
