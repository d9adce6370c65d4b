"""Inert stand-ins for what a file imports and its mathematics does not need: plots, progress bars, data sets, loggers.

A stand-in has every attribute. Called with a function, a class or something to iterate over, it returns that, as a
decorator or a progress bar does; called with a dict, it returns one whose keys are attributes too.
"""

from __future__ import annotations

import enum
import sys
from collections.abc import Iterable
from types import ModuleType
from typing import Any


class Attributes(dict):
    """A dict whose keys are attributes too."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


class Stub:
    """An object that stands for anything.

    Parameters
    ----------
    name : str
        What it stands for, in dots.
    """

    def __init__(self, name: str):
        self._stub_name = name

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        return Stub(f"{self._stub_name}.{name}")

    def __call__(self, *args: Any, **options: Any) -> Any:
        first = args[0] if args else None
        if isinstance(first, dict):
            return Attributes(first)
        if callable(first) or (isinstance(first, Iterable) and not isinstance(first, (str, bytes))):
            return first
        return Stub(f"{self._stub_name}()")

    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[type, ...]:
        torch = sys.modules.get("torch")
        if self._stub_name.endswith("Module") and torch is not None:
            return (torch.nn.Module,)
        if self._stub_name.endswith("Enum"):
            return (enum.StrEnum if "Str" in self._stub_name else enum.Enum,)
        return ()

    def __enter__(self) -> Stub:
        return self

    def __exit__(self, *error: object) -> None:
        return None

    def __bool__(self) -> bool:
        return False

    def __repr__(self) -> str:
        return f"<stand-in for {self._stub_name}>"


class StubModule(ModuleType):
    """A module each of whose attributes is a `Stub`; it has any submodule."""

    def __init__(self, name: str):
        super().__init__(name)
        self.__path__: list[str] = []
        self.__all__: list[str] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        return Stub(f"{self.__name__}.{name}")
