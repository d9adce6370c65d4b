"""Images in NumPy's own files: ``.npz`` (an array called images, perhaps one called labels), ``.npy``, ``.npy.gz``."""

from __future__ import annotations

import gzip
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from ddpm_np.data.dataset import DataError, Dataset

_MOST_BYTES = 1 << 34  # of one array: a file's header can claim anything


def read_file(path: str | Path) -> Dataset:
    """The data set of a ``.npz``, ``.npy`` or ``.npy.gz`` file.

    Images are uint8 (N, H, W), (N, H, W, 1), (N, H, W, 3), or (N, H, W, 4), whose last channel is opacity: those are
    laid on white. Nothing is unpickled.
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
        raise DataError(f"{path} is no array file that can be read ({error})") from error
    if images.dtype != np.uint8 or images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[3] not in (1, 3, 4)):
        raise DataError(f"{path}: images must be uint8 of shape (N, H, W), (N, H, W, 1), (N, H, W, 3) or (N, H, W, 4), "
                        f"they are {images.dtype} of shape {images.shape}")
    images = images[..., None] if images.ndim == 3 else images
    if images.shape[3] == 4:
        images = on_white(images)
    if labels is not None and labels.shape != (len(images),):
        raise DataError(f"{path} has {len(images)} images and labels of shape {labels.shape}")
    return Dataset(path.name, images, labels)


def on_white(images: np.ndarray) -> np.ndarray:
    """RGBA bytes (N, H, W, 4) laid on white: (N, H, W, 3), rounded to the nearest level."""
    opacity = images[..., 3:].astype(np.uint32)  # (N, H, W, 1)
    return ((images[..., :3] * opacity + 255 * (255 - opacity) + 127) // 255).astype(np.uint8)
