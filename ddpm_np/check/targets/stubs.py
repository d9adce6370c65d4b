"""What stands for a module that cannot be imported, and for its parts.

A repository's file imports packages for training, logging and plotting, which its mathematics does without. A part of
a stub can be named at any time. While files are imported it can also be called, decorate, be inherited from and be
computed with. Whoever uses it later gets NotImplementedError, so that an equation which depends on it is UNVERIFIED.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

_importing = False

USES = [f"__{side}{name}__" for side in ("", "r")
        for name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "or", "and")]
USES += ["__neg__", "__getitem__", "__lt__", "__le__", "__gt__", "__ge__"]


@contextmanager
def importing() -> Iterator[None]:
    """Let parts of stubs be used in this context."""
    global _importing
    before, _importing = _importing, True
    try:
        yield
    finally:
        _importing = before


class Absent(NotImplementedError, AttributeError):
    """A class does not have what the base that a stub stands for may have; to `hasattr` it is an AttributeError."""


class Stub(ModuleType):
    """A module in place of one that cannot be imported.

    Parameters
    ----------
    name : str
        Its name.
    **parts : object
        What it holds, where a part of a stub does not serve.
    """

    __path__: list[str] = []  # noqa: RUF012 - a module's attribute: it has submodules

    def __init__(self, name: str, **parts: Any):
        super().__init__(name)
        self.__dict__.update({part: value for part, value in parts.items() if not part.startswith("__")})
        self.__all__ = [part for part in parts if not part.startswith("_")]  # for import *

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Inert(f"{self.__name__}.{name}")


class Inert:
    """A part of a stub.

    Parameters
    ----------
    name : str
        Its name, for the message.

    Examples
    --------
    >>> Inert("wandb").log(1)
    Traceback (most recent call last):
        ...
    NotImplementedError: it needs wandb.log, which cannot be imported
    """

    def __init__(self, name: str):
        self._name = name

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Inert(f"{self._name}.{name}")

    def _used(self, *operands: Any) -> Inert:
        if not _importing:
            raise NotImplementedError(f"it needs {self._name}, which cannot be imported")
        return self

    def __call__(self, *args: Any, **options: Any) -> Any:
        self._used()
        return args[0] if len(args) == 1 and not options and callable(args[0]) else self

    def __iter__(self) -> Iterator[Any]:
        self._used()
        return iter(())

    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[type, ...]:
        return (type(self._name.rpartition(".")[2], (_Base,), {"_absent": self._name}),)

    def __instancecheck__(self, found: Any) -> bool:
        return False

    def __subclasscheck__(self, found: Any) -> bool:
        return False


for _use in USES:
    setattr(Inert, _use, Inert._used)


class _Base:
    """The base of classes that inherit from a part of a stub: it adds nothing, and says so when it is asked."""

    _absent = ""

    def __init__(self, *args: Any, **options: Any):
        super().__init__()

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)  # type: ignore[misc]  # another base may have one
        except AttributeError:
            said = f"{type(self).__name__} lacks {name}, and {self._absent}, its base, cannot be imported"
            raise Absent(said) from None
