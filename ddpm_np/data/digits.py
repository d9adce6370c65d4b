"""The handwritten digits of the UCI repository, inside the package.

Optical Recognition of Handwritten Digits, the test part (1,797 images of 8×8, levels 0..16): E. Alpaydin and
C. Kaynak, 1998, https://doi.org/10.24432/C50P49, licence CC BY 4.0. The file is scikit-learn's, unchanged: a row has
the 64 values of an image and its label.
"""

from __future__ import annotations

import gzip
from importlib import resources

import numpy as np

from ddpm_np.data.dataset import Dataset


def digits() -> Dataset:
    """Open the 1,797 handwritten digits: 8×8×1, 17 levels, labels 0..9.

    Returns
    -------
    Dataset
        The data set.
    """
    packed = (resources.files(__package__) / "digits.csv.gz").read_bytes()
    rows = np.loadtxt(gzip.decompress(packed).decode("ascii").splitlines(), delimiter=",", dtype=np.int64)  # (1797, 65)
    return Dataset("digits", rows[:, :64].astype(np.uint8).reshape(-1, 8, 8, 1), rows[:, 64], levels=17)
