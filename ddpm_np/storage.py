"""Files written whole or not at all, safetensors files written tensor by tensor, and digests of tensors."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ddpm_np import file_lock
from ddpm_np.backend import Array, to_host

_NAME = 60  # characters of a file's name in its temporary file's, so that this is a legal name too
_TEMPORARY = re.compile(r"\.(.+)\.[0-9a-f]+\.tmp", re.DOTALL)
_FULL = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC), errno.EFBIG)
_NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL)


def safetensors_pieces(tensors: Mapping[str, Array], metadata: dict[str, str]) -> Iterator[bytes | memoryview]:
    """Yield a safetensors file in pieces: the header's length, the JSON header, then each tensor's bytes.

    A tensor is copied to the host, in C order, only when its piece is due, so memory holds one of them at a time.

    Parameters
    ----------
    tensors : mapping of str to array of float16, float32 or float64
        Arrays of any backend and memory layout, in the order in which they are written.
    metadata : dict of str to str
        The header's ``__metadata__``, in the order in which it is written.

    Yields
    ------
    bytes or memoryview
        The pieces, to be written one after another.

    Raises
    ------
    TypeError
        If a tensor has another dtype.

    Notes
    -----
    The safetensors library's own writer is not used: it orders the metadata differently in each process, and the same
    run should write the same bytes.
    """
    header: dict[str, Any] = {"__metadata__": metadata}
    end = 0
    for name, array in tensors.items():
        start, end = end, end + array.nbytes
        kind = {"float16": "F16", "float32": "F32", "float64": "F64"}.get(str(array.dtype))
        if kind is None:
            raise TypeError(f"{name} is of dtype {array.dtype}: only float16, float32 and float64 are saved")
        header[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # aligns the numbers to 8 bytes
    yield len(text).to_bytes(8, "little")
    yield text
    for array in tensors.values():
        yield np.ascontiguousarray(to_host(array)).reshape(-1).view(np.uint8).data


def cache_folder() -> Path | None:
    """Return ddpm_np in the user's cache folder ($XDG_CACHE_HOME, or ~/.cache where it is unset or empty).

    Returns
    -------
    Path or None
        The folder, which may not exist yet; None for a user without a home folder.
    """
    if shared := os.environ.get("XDG_CACHE_HOME"):
        return Path(shared, "ddpm_np")
    try:
        home = Path.home()
    except RuntimeError:  # no $HOME, and the system does not know the user
        return None
    return home / ".cache" / "ddpm_np" if home.is_absolute() else None


def write_atomically(path: Path, pieces: Iterable[bytes | memoryview]) -> None:
    """Write a file that holds either all the pieces or, if anything fails on the way, what it held before.

    Parameters
    ----------
    path : Path
        The file; its folder is made if it does not exist.
    pieces : iterable of bytes-like
        The content.

    Raises
    ------
    OSError
        As in `open_atomically`.
    """
    with open_atomically(path) as file:
        for piece in pieces:
            file.write(piece)


@contextlib.contextmanager
def open_atomically(path: str | Path) -> Iterator[Any]:
    """Open a file for writing; it takes its place when the context ends, and not at all if anything fails before.

    The content goes to a temporary file in the same folder, which is flushed to disk and renamed; then the folder is
    flushed. What killed processes left of earlier writes of this file is deleted first. A link to a file is followed.
    A device or pipe is written to directly.

    Parameters
    ----------
    path : str or Path
        The file; its folder is made if it does not exist.

    Yields
    ------
    binary file
        The file to write to.

    Raises
    ------
    OSError
        If it cannot be written. The error names `path` and, on a full disk, says what to do.
    """
    path = Path(path)
    path = path.resolve() if path.is_symlink() and path.exists() else path
    with naming(path):
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if path.exists() and not path.is_file():
            with open(path, "wb") as file:
                yield file
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(path.parent, path.name)
        file, temporary = _temporary(path)
        try:
            with file:
                yield file
                file.flush()
                os.fsync(file.fileno())
                if os.name == "posix":
                    os.replace(temporary, path)  # while it is open, and so locked: no other process may remove it
            if os.name != "posix":
                os.replace(temporary, path)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
        if hasattr(os, "O_DIRECTORY"):
            folder = os.open(path.parent, os.O_DIRECTORY)
            try:
                os.fsync(folder)  # only now is the rename itself on disk
            finally:
                os.close(folder)


def _temporary(path: Path) -> tuple[Any, Path]:
    """Open a new file for the content of another, locked as long as it is open where there are locks."""
    while True:
        temporary = path.with_name(f".{path.name[:_NAME]}.{os.urandom(4).hex()}.tmp")
        file = open(temporary, "xb")  # noqa: SIM115 - closed by the caller
        try:
            ours = file_lock.acquire(file.fileno()) and file_lock.is_at(file.fileno(), temporary)
        except OSError:  # no locks here
            ours = True
        if ours:
            return file, temporary
        file.close()  # another process took it for a leftover


def remove_leftovers(folder: str | Path, name: str | None = None,
                     say: Callable[[str], Any] = lambda line: None) -> None:
    """Delete the temporary files that killed processes left behind; those of writes under way stay.

    Parameters
    ----------
    folder : str or Path
        Where to look.
    name : str or None
        The file whose leftovers to delete; None for those of all files.
    say : callable
        Called with a line for each that cannot be deleted.
    """
    try:
        found = [path for path in Path(folder).iterdir() if (match := _TEMPORARY.fullmatch(path.name))
                 and (name is None or match[1] == name[:_NAME])]
    except OSError:
        return
    for path in found:
        try:
            if path.is_file() and _is_abandoned(path):
                path.unlink(missing_ok=True)
        except OSError as error:
            say(f"{path}, a leftover of a killed process, cannot be deleted ({error.strerror}): delete it yourself")


def _is_abandoned(path: Path) -> bool:
    """Return whether no process writes a temporary file: none has it locked; without locks, it is older than a day."""
    if os.name == "posix":
        file = os.open(path, os.O_RDONLY)
        try:
            return file_lock.acquire(file)
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
        finally:
            os.close(file)
    return time.time() - path.stat().st_mtime > 24 * 3600


def append(file: Any, data: bytes) -> None:
    """Append bytes to a file, all of them or none.

    Parameters
    ----------
    file : raw binary file
        Open for appending, without a buffer.
    data : bytes
        What to append.

    Raises
    ------
    OSError
        If it cannot be written; the file is then as long as before.
    """
    end, left = file.seek(0, os.SEEK_END), memoryview(data)
    try:
        while left:
            left = left[file.write(left):]
    except OSError:
        with contextlib.suppress(OSError):
            file.truncate(end)
        raise


@contextlib.contextmanager
def naming(path: str | Path) -> Iterator[None]:
    """Name a file in each OSError of this context that names none; if the disk is full, add what to do.

    Parameters
    ----------
    path : str or Path
        The file that is written.

    Yields
    ------
    None
        Nothing.

    Raises
    ------
    OSError
        Of the same kind, with the name.
    """
    try:
        yield
    except OSError as error:
        named = error.filename is not None and not _TEMPORARY.fullmatch(Path(os.fsdecode(error.filename)).name)
        if error.errno is None or (named and error.errno not in _FULL):
            raise
        file = Path(os.fsdecode(error.filename) if named else path)
        raise OSError(error.errno, f"{error.strerror}{_what_to_free(error.errno, file)}", str(file)) from error


def _what_to_free(number: int, path: Path) -> str:
    """Return what to do about a full disk, as the end of a line; "" for other errors."""
    if number == errno.EFBIG:
        return (": this is the limit of a file's size here (ulimit -f, or the file system): raise it, or name another "
                "folder")
    if number not in _FULL:
        return ""
    left = "your quota is used up"
    if number == errno.ENOSPC:
        import shutil

        with contextlib.suppress(OSError):
            left = f"its disk has {shutil.disk_usage(path.parent).free / 1e6:,.1f} MB left"
    return f": {left}; delete files there that you do not need, old checkpoints for example, or name another folder"


def digest(metadata: dict[str, str], tensors: Mapping[str, np.ndarray]) -> str:
    """Return the SHA-256 of the metadata and of each tensor's name, dtype, shape and bytes.

    Parameters
    ----------
    metadata : dict of str to str
        In any order.
    tensors : mapping of str to array
        In any order.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    found = hashlib.sha256(json.dumps(metadata, sort_keys=True).encode())
    for name in sorted(tensors):
        array: Any = tensors[name]
        found.update(f"{name} {array.dtype} {array.shape}".encode())
        found.update(np.ascontiguousarray(array).data)
    return found.hexdigest()
