"""Download published files with a progress bar, resuming interrupted transfers and verifying checksums."""

from __future__ import annotations

import errno
import hashlib
import http.client
import os
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from ddpm_np.data.errors import DataError, one_line

OTHER_FOLDER = "set the environment variable DDPM_NP_DATA to a folder that can be written to"
_CHUNK = 1 << 18


@dataclass(frozen=True)
class RemoteFile:
    """A file that can be downloaded.

    Parameters
    ----------
    name : str
        Name of the local file.
    urls : tuple of str
        Addresses, tried in order.
    size : int
        Size in bytes.
    checksum : str
        ``"md5:…"`` or ``"sha256:…"``, as published.
    """

    name: str
    urls: tuple[str, ...]
    size: int
    checksum: str


def fetch(file: RemoteFile, folder: Path) -> Path:
    """Return the path of a file in `folder`, downloading it if it is missing.

    An interrupted transfer is resumed where it stopped.

    Parameters
    ----------
    file : RemoteFile
        The file.
    folder : Path
        Local folder, made if it does not exist.

    Returns
    -------
    Path
        The local file.

    Raises
    ------
    DataError
        If no server delivers the file with the right checksum, or the folder cannot be written to.
    """
    path = folder / file.name
    if path.is_file() and path.stat().st_size == file.size:
        return path
    partial = writable(folder) / f"{file.name}.part"
    problems = []
    for url in file.urls:
        try:
            _transfer(url, partial, file.size)
        except (http.client.HTTPException, OSError) as error:
            problems.append(f"{url}: {one_line(getattr(error, 'reason', error))}")
            continue
        if digest(partial, file.checksum) != file.checksum:
            partial.unlink()
            problems.append(f"{url}: the file it sent does not have the checksum {file.checksum}")
            continue
        os.replace(partial, path)
        return path
    raise DataError(f"{file.name} could not be downloaded ({'; '.join(problems)}): put it into {folder} yourself, or "
                    "name its folder with --data-dir")


def writable(folder: Path) -> Path:
    """Make a folder, and check that files can be kept in it, before the work on them begins.

    Parameters
    ----------
    folder : Path
        The folder.

    Returns
    -------
    Path
        The same.

    Raises
    ------
    DataError
        If it cannot be made or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise DataError(f"files cannot be kept in {folder} ({error.strerror}): {OTHER_FOLDER}") from error
    return folder


def digest(path: Path, like: str) -> str:
    """Compute the checksum of a file.

    Parameters
    ----------
    path : Path
        The file.
    like : str
        A checksum of the kind to compute, such as ``"md5:…"``.

    Returns
    -------
    str
        The kind and the hexadecimal digits, ``"md5:…"``.
    """
    kind = like.partition(":")[0]
    with open(path, "rb") as file:
        return f"{kind}:{hashlib.file_digest(file, kind).hexdigest()}"


def _transfer(url: str, partial: Path, size: int) -> None:
    """Append the missing part of the file at `url` to `partial`."""
    from tqdm import tqdm

    have = partial.stat().st_size if partial.exists() else 0
    if have >= size:
        return
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    with urllib.request.urlopen(request, timeout=30) as answer:
        if have and answer.status != 206:  # the server sends the whole file again
            have = 0
        bar = tqdm(total=size, initial=have, unit="B", unit_scale=True, desc=partial.stem, leave=False)
        with bar, open(partial, "ab" if have else "wb") as out:
            while have < size and (chunk := answer.read(min(_CHUNK, size - have))):
                out.write(chunk)
                have += len(chunk)
                bar.update(len(chunk))
    if have < size:
        raise OSError(f"the transfer ended after {have:,} of {size:,} bytes")
