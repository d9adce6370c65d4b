"""Which data a run is trained on: a name that holds in any folder, and a digest that tells other data apart."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from ddpm_np.data.dataset import Dataset, Images
from ddpm_np.data.folder import ImageFolder

FILES = (".npz", ".npy", ".npy.gz")  # a data set whose name ends so is a file
FOLDER = "folder:"


def located(name: str) -> str:
    """Return a data set's name with an absolute path, if it has one, so that it means the same in any folder.

    Parameters
    ----------
    name : str
        As in `open_dataset`.

    Returns
    -------
    str
        The name; links in it are kept.

    Examples
    --------
    >>> located("digits")
    'digits'
    >>> located("folder:/data/../photos"), located("/data/a.npz")
    ('folder:/data/../photos', '/data/a.npz')
    """
    prefix = FOLDER if name.startswith(FOLDER) else ""
    path = name.removeprefix(FOLDER)
    if not path or not (prefix or name.lower().endswith(FILES)):
        return name
    return f"{prefix}{Path(path).expanduser().absolute()}"


def identity(dataset: Images) -> dict[str, Any]:
    """Return what tells a data set apart from others: the number of its images and a digest.

    Parameters
    ----------
    dataset : Images
        The data set.

    Returns
    -------
    dict
        ``images``, the number, and ``content``, 16 hexadecimal digits: of all bytes and labels for images in memory, of
        the files' names and sizes for a folder, of the labels for others.

    Examples
    --------
    >>> from ddpm_np.data import open_dataset
    >>> identity(open_dataset("digits"))["images"]
    1797
    """
    found = hashlib.sha256(f"{tuple(dataset.shape)} {dataset.levels}".encode())
    if dataset.labels is not None:
        found.update(np.ascontiguousarray(dataset.labels).data)
    if isinstance(dataset, Dataset):
        found.update(np.ascontiguousarray(dataset.images).data)
    if isinstance(dataset, ImageFolder):
        for path in dataset.paths:
            place = f"{path.relative_to(dataset.folder)} {path.stat().st_size}\n"
            found.update(place.encode("utf-8", "surrogateescape"))
    return {"images": len(dataset), "content": found.hexdigest()[:16]}
