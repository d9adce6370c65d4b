"""Data sets: readers, and the order of training."""

from __future__ import annotations

from difflib import get_close_matches

from ddpm_np.data.dataset import Batches, Dataset, to_levels
from ddpm_np.data.digits import digits

__all__ = ["Batches", "Dataset", "digits", "open_dataset", "to_levels"]

READERS = {"digits": digits}


def open_dataset(name: str) -> Dataset:
    """The data set of a name.

    Raises
    ------
    ValueError
        For a name there is none of.
    """
    if name not in READERS:
        close = get_close_matches(name, READERS, 1)
        hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(sorted(READERS))}"
        raise ValueError(f"no data set is called {name!r}: {hint}")
    return READERS[name]()
