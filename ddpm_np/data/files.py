"""Images in NumPy's file formats: ``.npz`` (an array images, optionally an array labels), ``.npy``, ``.npy.gz``."""

from __future__ import annotations

import gzip
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from ddpm_np.data.dataset import DataError, Dataset

_MOST_BYTES = 1 << 34  # limit for one array: a file's header can claim anything


def read_file(path: str | Path) -> Dataset:
    """Read the data set in a ``.npz``, ``.npy`` or ``.npy.gz`` file.

    Images are uint8 of shape (N, H, W), (N, H, W, 1), (N, H, W, 3) or (N, H, W, 4). A fourth channel is opacity; such
    images are composited onto white. Nothing is unpickled.

    Parameters
    ----------
    path : str or Path
        The file.

    Returns
    -------
    Dataset
        The data set, named after the file.

    Raises
    ------
    DataError
        If the file is missing or damaged, or its arrays have the wrong dtype or shape.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"there is no file {path}")
    labels = None
    try:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as file:
                if "images" not in file.files:
                    raise DataError(f"{path} has no array called images; it has {', '.join(file.files) or 'none'}")
                images = file["images"]
                labels = file["labels"].astype(np.int64) if "labels" in file.files else None
        else:
            opened: Any = gzip.open(path, "rb") if path.suffix == ".gz" else open(path, "rb")  # noqa: SIM115
            with opened as file:
                images = np.lib.format.read_array(file, allow_pickle=False)
    except DataError:
        raise
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, MemoryError) as error:
        raise DataError(f"{path} is not a readable array file ({error})") from error
    if images.dtype != np.uint8 or images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[3] not in (1, 3, 4)):
        raise DataError(f"{path}: images must be uint8 of shape (N, H, W), (N, H, W, 1), (N, H, W, 3) or (N, H, W, 4), "
                        f"got {images.dtype} of shape {images.shape}")
    images = images[..., None] if images.ndim == 3 else images
    if images.shape[3] == 4:
        images = on_white(images)
    if labels is not None and labels.shape != (len(images),):
        raise DataError(f"{path} has {len(images)} images and labels of shape {labels.shape}: expected one label for "
                        "each image")
    return Dataset(path.name, images, labels)


def on_white(images: np.ndarray) -> np.ndarray:
    """Composite RGBA images onto white, rounding to the nearest level.

    Parameters
    ----------
    images : uint8 array of shape (N, H, W, 4)
        RGBA images.

    Returns
    -------
    uint8 array of shape (N, H, W, 3)
        RGB images.
    """
    opacity = images[..., 3:].astype(np.uint32)  # (N, H, W, 1)
    return ((images[..., :3] * opacity + 255 * (255 - opacity) + 127) // 255).astype(np.uint8)
