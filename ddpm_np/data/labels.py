"""Labels: whole numbers from 0, one for each image, checked wherever they come from."""

from __future__ import annotations

from typing import Any

import numpy as np

from ddpm_np.data.errors import DataError, one_line

_LARGEST = 2**53  # up to it a float is the whole number that it shows
_ADVICE = "np.unique(labels, return_inverse=True)[1] numbers any labels so"


def whole_labels(labels: Any, n: int, source: Any) -> np.ndarray:
    """Return labels as int64 after checking that they are whole numbers from 0, one for each image.

    Floats are accepted if they are whole: 3.0 is the label 3.

    Parameters
    ----------
    labels : array or sequence of shape (N,)
        The labels.
    n : int
        Number of images, N.
    source : str or Path
        Where they come from, for the message.

    Returns
    -------
    int64 array of shape (N,)
        The labels.

    Raises
    ------
    DataError
        If they are not numbers, negative, fractional, not finite, or not N.

    Examples
    --------
    >>> whole_labels([0, 2, 1.0], 3, "mine.npz")
    array([0, 2, 1])
    >>> whole_labels([0.1, 2], 2, "mine.npz")
    Traceback (most recent call last):
    ddpm_np.data.errors.DataError: mine.npz has the label 0.1 (of image 0): labels are whole numbers from 0; ...
    """
    try:
        array = np.asarray(labels)
    except Exception as error:  # sequences of several lengths, arrays of a device
        raise DataError(f"{source} has labels that are no array ({one_line(error)}): expected one whole number for "
                        "each image") from error
    if array.shape != (n,):
        raise DataError(f"{source} has {n:,} images and labels of shape {array.shape}: expected one label for each "
                        "image")
    if n == 0:
        return np.zeros(0, np.int64)
    if array.dtype.kind not in "iuf":
        raise DataError(f"{source} has labels of dtype {array.dtype}, such as {one_line(repr(array.tolist()[0]))}: "
                        f"labels are whole numbers from 0; {_ADVICE}")
    numbers = array.astype(np.float64) if array.dtype.kind == "f" else array
    with np.errstate(invalid="ignore"):
        good = (numbers >= 0) & (numbers <= _LARGEST) & (numbers == np.floor(numbers))  # false for NaN
    if not good.all():
        place = int(np.argmin(good))
        raise DataError(f"{source} has the label {array[place].item()} (of image {place:,}): labels are whole numbers "
                        f"from 0; {_ADVICE}")
    return array.astype(np.int64)
