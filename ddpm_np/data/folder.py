"""A folder of images of any size, mode and orientation, read on demand.

Each image is turned upright by its EXIF tag, composited onto white if it is transparent, converted to grey or RGB,
resized to cover the net's size, and cropped at the centre.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from ddpm_np.data.dataset import DataError, scale

SUFFIXES = frozenset((".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"))
_MOST_PIXELS = 100_000_000  # limit for one image: a small file can claim to unpack to many gigabytes


class ImageFolder:
    """The images below a folder, as a data set that keeps only their paths in memory.

    Parameters
    ----------
    folder : str or Path
        The folder, searched recursively; hidden files and folders are skipped. If every image lies in a sub-folder,
        the first-level sub-folder is its class.
    shape : tuple of int
        (H, W, C) that each image is resized and cropped to, C being 1 or 3.
    threads : int
        Images read at a time.

    Raises
    ------
    DataError
        If the folder does not exist or has no images, or C is neither 1 nor 3.
    """

    levels = 256

    def __init__(self, folder: str | Path, shape: tuple[int, int, int], threads: int = 4):
        self.folder, self.shape = Path(folder), shape
        self.name = f"folder:{folder}"
        if shape[2] not in (1, 3):
            raise DataError(f"a folder gives images of 1 or 3 channels, but the net takes {shape[2]}")
        if not self.folder.is_dir():
            raise DataError(f"there is no folder {folder}")
        self.paths = sorted(self._find())
        if not self.paths:
            raise DataError(f"{folder} has no images (looked for {', '.join(sorted(SUFFIXES))})")
        parents = [path.relative_to(self.folder).parts[:-1] for path in self.paths]
        self.labels = None
        if all(parents):
            classes = sorted({parts[0] for parts in parents})
            self.labels = np.array([classes.index(parts[0]) for parts in parents], dtype=np.int64)
        self._readers = ThreadPoolExecutor(threads, thread_name_prefix="images")

    def _find(self) -> list[Path]:
        found = []
        for root, folders, files in os.walk(self.folder):
            folders[:] = [name for name in folders if not name.startswith(".")]
            found += [Path(root, name) for name in files
                      if Path(name).suffix.lower() in SUFFIXES and not name.startswith(".")]
        return found

    def __len__(self) -> int:
        return len(self.paths)

    def raw(self, index: Any) -> np.ndarray:
        """Return the images at `index` as bytes, (n, H, W, C) uint8."""
        paths = [self.paths[i] for i in np.arange(len(self))[index].reshape(-1)]
        images = self._readers.map(lambda path: read_image(path, self.shape), paths)
        return np.stack(list(images)) if paths else np.zeros((0, *self.shape), np.uint8)

    def scaled(self, index: Any) -> np.ndarray:
        """Return the images at `index` in [−1, 1], (n, H, W, C) float32."""
        return scale(self.raw(index), self.levels)


def read_image(path: Path, shape: tuple[int, int, int]) -> np.ndarray:
    """Read an image file as bytes of the given shape.

    Parameters
    ----------
    path : Path
        The file.
    shape : tuple of int
        (H, W, C) of the result, C being 1 or 3.

    Returns
    -------
    uint8 array of shape (H, W, C)
        The image.

    Raises
    ------
    DataError
        If the file is not an image, is damaged, or claims more than 100 million pixels.
    """
    from PIL import Image, ImageOps

    h, w, c = shape
    mode = "RGB" if c == 3 else "L"
    try:
        with Image.open(path) as image:
            if image.width * image.height > _MOST_PIXELS:
                raise DataError(f"{path} claims {image.width}×{image.height} pixels: images of more than "
                                f"{_MOST_PIXELS:,} pixels are refused")
            image.draft(mode, (2 * w, 2 * h))  # a JPEG is decoded at a fraction of its size if that is enough
            upright = ImageOps.exif_transpose(image)
            if upright.mode in ("RGBA", "LA", "PA") or "transparency" in upright.info:
                solid = upright.convert("RGBA")
                upright = Image.alpha_composite(Image.new("RGBA", solid.size, "white"), solid)
            elif upright.mode.startswith("I") or upright.mode == "F":
                upright = _sixteen_bits(upright)
            fitted = ImageOps.fit(upright.convert(mode), (w, h), Image.Resampling.LANCZOS)
    except DataError:
        raise
    except Exception as error:  # the decoder of a damaged image can raise anything
        raise DataError(f"{path} is not a readable image ({type(error).__name__}: {error})") from error
    return np.asarray(fitted, dtype=np.uint8).reshape(shape)


def _sixteen_bits(image: Any) -> Any:
    """Convert a 16-bit or 32-bit image to bytes, 65,535 to 255; PIL's own conversion would clip at 255."""
    from PIL import Image

    values = np.asarray(image, dtype=np.float64)
    top = 65535.0 if values.max(initial=0) > 255 else 255.0
    return Image.fromarray(np.clip(values * (255 / top) + 0.5, 0, 255).astype(np.uint8))
