"""The lock of a run's folder: one run at a time writes there, and anyone may read."""

from __future__ import annotations

import contextlib
import os
import socket
import time
import warnings
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ddpm_np import file_lock
from ddpm_np.storage import naming

NAME = ".lock"
_CONTENT = 200  # bytes
_held: weakref.WeakValueDictionary[str, FolderLock] = weakref.WeakValueDictionary()  # in this process, by real path


class FolderInUse(ValueError):
    """A folder in which another run writes."""


class FolderLock:
    """The right to write in a run's folder, which one run has at a time.

    It is a lock of the operating system on the file ``.lock``, so it ends with the process, however that ends. Worker
    processes forked meanwhile do not hold it. The file names its holder and is deleted when the lock is released.

    Within a process, a new lock takes the folder over from an older one that is not `busy`: in a notebook, the object
    of a cell that is run again would otherwise keep its successor out. The older run can then write no more.

    Parameters
    ----------
    folder : str or Path
        The run's folder.

    Attributes
    ----------
    folder : Path
        The folder.
    held : bool
        Whether the lock is held.
    busy : bool
        Whether the holder is writing at the moment: set and cleared by it.
    """

    def __init__(self, folder: str | Path):
        self.folder, self.held, self.busy = Path(folder), False, False
        self._file: int | None = None
        self._made: list[Path] = []  # folders, the innermost first
        self._before: FolderLock | None = None

    def take(self, say: Callable[[str], Any] = warnings.warn) -> None:
        """Take the lock; the folder is made if it does not exist.

        Parameters
        ----------
        say : callable
            Called with a line if the file system has no locks. The folder is then used without one.

        Raises
        ------
        FolderInUse
            If another process has it, or a run of this process that is writing at the moment.
        OSError
            If the folder cannot be made.
        """
        key = os.path.realpath(self.folder)
        other = _held.get(key)
        if other is not None and other.held and other.busy:
            raise FolderInUse(f"{self.folder} is in use: another run of this process is writing there at the moment")
        if other is not None and other.held:
            self._before, self._file, other.held, other._file = other, other._file, False, None
        else:
            self._made = [path for path in (self.folder, *self.folder.parents) if not path.exists()]
            with naming(self.folder):
                self.folder.mkdir(parents=True, exist_ok=True)
            try:
                self._file = self._locked_file()
            except OSError as error:
                say(f"{self.folder} cannot be locked ({error.strerror}): see to it that no other run writes there")
        self.held = True
        _held[key] = self

    def _locked_file(self) -> int:
        """Open the file and lock it; write into it who holds it."""
        path = self.folder / NAME
        while True:
            file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                if not file_lock.acquire(file):
                    who = os.read(file, _CONTENT).decode("utf-8", "replace").strip()
                    raise FolderInUse(f"{self.folder} is in use by another run ({who or 'in another process'}): wait "
                                      "for it or end it, or name another folder")
                if file_lock.is_at(file, path):
                    with contextlib.suppress(OSError):  # a full disk, say: the lock holds without its holder's name
                        os.ftruncate(file, 0)
                        os.write(file, _holder().encode()[:_CONTENT])
                    return file
            except BaseException:
                os.close(file)
                raise
            os.close(file)  # its holder released it, and deleted the file, after it was opened here

    def release(self) -> None:
        """Release the lock, if it is held."""
        if not self.held:
            return
        self.held = False
        if self._file is not None:
            path, file, self._file = self.folder / NAME, self._file, None
            with contextlib.suppress(OSError):
                if os.name == "posix" and file_lock.is_at(file, path):
                    path.unlink()  # while it is locked: whoever opened it before sees that it is gone
            os.close(file)
            with contextlib.suppress(OSError):
                if os.name != "posix":
                    path.unlink()  # not possible while another process has it open

    def give_back(self) -> None:
        """Undo `take`: an older run of this process has the folder again, and a folder made for the lock is deleted."""
        before, file = self._before, self._file
        if before is not None and self.held:
            self.held, self._file = False, None
            before.held, before._file = True, file
            _held[os.path.realpath(self.folder)] = before
            return
        self.release()
        for folder in self._made:
            with contextlib.suppress(OSError):  # something else is in it
                folder.rmdir()

    def confirm(self) -> None:
        """Forget what `give_back` would need."""
        self._before, self._made = None, []


@contextlib.contextmanager
def taken(folder: str | Path, say: Callable[[str], Any] = warnings.warn) -> Iterator[FolderLock]:
    """Take the lock of a run's folder, and give it back if an exception ends the context.

    Parameters
    ----------
    folder : str or Path
        The folder; made if it does not exist.
    say : callable
        As in `FolderLock.take`.

    Yields
    ------
    FolderLock
        The lock, which is still held after the context.

    Raises
    ------
    FolderInUse
        If another run writes there.
    """
    lock = FolderLock(folder)
    lock.take(say)
    try:
        yield lock
    except BaseException:
        lock.give_back()
        raise
    lock.confirm()


def _holder() -> str:
    """Return a line about this process."""
    return f"process {os.getpid()} on {socket.gethostname()}, since {time.strftime('%Y-%m-%d %H:%M:%S')}\n"


def _leave() -> None:
    """Close the locks' files in a forked process, which would hold the locks on after its parent was killed."""
    for lock in list(_held.values()):
        lock.held = False
        if lock._file is not None:
            os.close(lock._file)
            lock._file = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave)
