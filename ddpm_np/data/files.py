"""Images in NumPy's file formats: ``.npz`` (an array images, optionally an array labels), ``.npy``, ``.npy.gz``."""

from __future__ import annotations

import gzip
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from ddpm_np.data.dataset import Dataset
from ddpm_np.data.errors import DataError, one_line
from ddpm_np.data.labels import whole_labels
from ddpm_np.data.npy import read_npy
from ddpm_np.data.reading import readable

_END = 22  # bytes of a zip's last record, in front of the archive's comment


def read_file(path: str | Path) -> Dataset:
    """Read the data set in a ``.npz``, ``.npy`` or ``.npy.gz`` file.

    Images are uint8 of shape (N, H, W), (N, H, W, 1), (N, H, W, 3) or (N, H, W, 4). A fourth channel is opacity; such
    images are composited onto white. Labels are whole numbers from 0. Nothing is unpickled, and the checksums of
    ``.npz`` and ``.gz`` are verified.

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
    path = Path(os.path.expanduser(path))
    if not os.path.isfile(path):
        raise DataError(f"there is no file {path}")
    labels = None
    with readable(path, "is not a readable array file"):
        if path.suffix.lower() == ".npz":
            images, labels = _read_npz(path)
        else:
            opened: Any = gzip.open(path, "rb") if path.suffix.lower() == ".gz" else open(path, "rb")  # noqa: SIM115
            with opened as file:
                images = read_npy(file, str(path))
    if images.dtype != np.uint8 or images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[3] not in (1, 3, 4)):
        raise DataError(f"{path}: images must be uint8 of shape (N, H, W), (N, H, W, 1), (N, H, W, 3) or (N, H, W, 4), "
                        f"got {images.dtype} of shape {images.shape}")
    if not images.size:
        raise DataError(f"{path} has no images: its array has shape {images.shape}")
    images = images[..., None] if images.ndim == 3 else images
    if images.shape[3] == 4:
        images = on_white(images)
    return Dataset(path.name, images, None if labels is None else whole_labels(labels, len(images), path))


def _read_npz(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the arrays images and labels of a zip of arrays; None for labels that it has not."""
    with zipfile.ZipFile(path) as file:
        members = {name.removesuffix(".npy"): name for name in file.namelist()}
        if "images" not in members:
            raise DataError(f"{path} has no array called images; it has {one_line(', '.join(members) or 'none')}")
        with open(path, "rb") as whole:
            whole.seek(-_END - len(file.comment), os.SEEK_END)
            count = int.from_bytes(whole.read(_END)[10:12], "little")  # modulo 2**16
        if count != len(file.infolist()) % 2**16:
            raise DataError(f"{path} is damaged: it states {count} arrays and lists {len(file.infolist())}")
        for info in file.infolist():
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise DataError(f"{path} is packed in a way that NumPy does not write: save it with np.savez")
            file.open(info).close()  # compares the name with that in the archive's directory, which has no checksum
        arrays = {}
        for name in {"images", "labels"} & members.keys():
            with file.open(members[name]) as member:
                arrays[name] = read_npy(member, f"{path} ({name})")
        return arrays["images"], arrays.get("labels")


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
