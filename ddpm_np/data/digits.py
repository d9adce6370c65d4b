"""The handwritten digits of the UCI repository, inside the package.

Optical Recognition of Handwritten Digits, the test part (1,797 images of 8×8, levels 0..16): E. Alpaydin and
C. Kaynak, 1998, https://doi.org/10.24432/C50P49, licence CC BY 4.0. The file is scikit-learn's: 64 levels and the
label a row, unchanged.
"""

from __future__ import annotations

import gzip
from importlib import resources

import numpy as np

from ddpm_np.data.dataset import Dataset


def digits() -> Dataset:
    """1,797 digits, 8×8×1, 17 levels, labels 0..9."""
    packed = (resources.files(__package__) / "digits.csv.gz").read_bytes()
    rows = np.loadtxt(gzip.decompress(packed).decode("ascii").splitlines(), delimiter=",", dtype=np.int64)  # (1797, 65)
    return Dataset("digits", rows[:, :64].astype(np.uint8).reshape(-1, 8, 8, 1), rows[:, 64], levels=17)
