"""A folder of images of any size, mode and orientation, read on demand; what it holds besides is counted."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from ddpm_np.arguments import count
from ddpm_np.data.dataset import scale
from ddpm_np.data.errors import DataError, one_line
from ddpm_np.data.pictures import read_image, suffixes

_MOST_KINDS = 8  # kinds of files that a warning lists


class ImageFolder:
    """The images below a folder, as a data set that keeps only their paths in memory.

    Links to folders and files are followed. Below a folder of the first level, each folder is read once, so that links
    in a circle come to an end. `read_image` says how a file becomes an image.

    Parameters
    ----------
    folder : str or Path
        The folder, searched recursively; hidden files and folders are skipped. If every image lies in a sub-folder,
        the first-level sub-folder is its class.
    shape : tuple of int
        (H, W, C) that each image is resized and cropped to, C being 1 or 3.
    threads : int
        Images read at a time.
    say : callable
        Called with a line of text if the folder holds something that is not used.

    Attributes
    ----------
    paths : list of Path
        The images' files, sorted.
    unused : Counter
        Numbers of other files, by suffix or kind.

    Raises
    ------
    DataError
        If the folder does not exist or has no images, a sub-folder cannot be listed, or C is neither 1 nor 3.
    """

    levels = 256

    def __init__(self, folder: str | Path, shape: tuple[int, int, int], threads: int = 4,
                 say: Callable[[str], Any] = warnings.warn):
        if not str(folder).strip():
            raise DataError("folder: names no folder (a variable that is not set?): give folder:PATH, or folder:. for "
                            "the current one")
        self.folder, self.shape = Path(os.path.expanduser(folder)), shape
        self.name = f"folder:{folder}"
        count("threads", threads, 1, 1000)
        if shape[2] not in (1, 3):
            raise DataError(f"a folder gives images of 1 or 3 channels, but the net takes {shape[2]}")
        if not os.path.isdir(self.folder):
            raise DataError(f"there is no folder {self.folder}")
        self.unused: Counter[str] = Counter()
        self.paths = sorted(self._search())
        if not self.paths:
            raise DataError(f"{folder} has no images (of the {len(suffixes())} suffixes that Pillow reads here, such "
                            f"as .png){self._others('; it holds ')}")
        self.labels = self._classes(say)
        if self.unused:
            say(f"{self.name}: images used: {len(self.paths):,}{self._others('; not used: ')}")
        self._readers = ThreadPoolExecutor(threads, thread_name_prefix="images")

    def _search(self) -> list[Path]:
        """Return the paths of all images, and count the rest."""
        top = _identity(self.folder)
        found, folders = self._list(self.folder)
        for folder in folders:
            inside, seen, todo = [], {top}, [folder]  # a class has its own `seen`: another may link to the same folder
            while todo:
                here = todo.pop()
                place = _identity(here)
                if place in seen:
                    self.unused["links to a folder that was read already"] += 1
                    continue
                seen.add(place)
                images, deeper = self._list(here)
                inside += images
                todo += deeper
            if not inside:
                self.unused["folders without an image"] += 1
            found += inside
        return found

    def _list(self, folder: Path) -> tuple[list[Path], list[Path]]:
        """Return the images and the sub-folders of a folder, by name; count the rest."""
        try:
            with os.scandir(folder) as entries:
                names = sorted(entry.name for entry in entries)
        except OSError as error:
            raise DataError(f"{folder} cannot be listed ({one_line(error)}): its images would be missing") from error
        images, folders = [], []
        for path in (folder / name for name in names):
            suffix = path.suffix.lower()
            if path.name.startswith("."):
                self.unused["hidden files or folders"] += 1
            elif os.path.isdir(path):
                folders.append(path)
            elif not os.path.isfile(path):
                self.unused["broken links or special files"] += 1
            elif suffix in suffixes():
                images.append(path)
            else:
                self.unused[suffix or "without a suffix"] += 1
        return images, folders[::-1]

    def _classes(self, say: Callable[[str], Any]) -> np.ndarray | None:
        """Return the label of each image, the number of its first-level folder; None if an image lies beside those."""
        parents = [path.relative_to(self.folder).parts[:-1] for path in self.paths]
        beside = sum(not parts for parts in parents)
        if not beside:
            numbers = {name: number for number, name in enumerate(sorted({parts[0] for parts in parents}))}
            return np.array([numbers[parts[0]] for parts in parents], dtype=np.int64)
        if beside < len(parents):
            say(f"{self.name}: {beside:,} of {len(parents):,} images lie in no sub-folder, so there are no labels")
        return None

    def _others(self, before: str) -> str:
        """Return what is not used, as the end of a sentence; empty if there is nothing."""
        kinds = [f"{kind} {count:,}" for kind, count in self.unused.most_common()]
        rest = sum(count for _, count in self.unused.most_common()[_MOST_KINDS:])
        kinds[_MOST_KINDS:] = [f"others {rest:,}"] if rest else []
        return before + ", ".join(one_line(kind) for kind in kinds) if kinds else ""

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


def _identity(folder: Path) -> tuple[int, int]:
    """Return what all names of a folder have in common."""
    try:
        state = os.stat(folder)
    except OSError as error:
        raise DataError(f"{folder} cannot be read ({one_line(error)})") from error
    return state.st_dev, state.st_ino
