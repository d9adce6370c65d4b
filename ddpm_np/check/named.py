"""Targets by name: what ``--target``, the pytest plugin and pyproject.toml take.

This package's own target also has options of its own, a backend and a dtype, which are the command's.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import update_wrapper
from importlib import import_module
from pathlib import Path
from typing import Any

OURS = "ddpm_np"
LIBRARIES = ("diffusers", "lucidrains")
KINDS = {  # modules of ddpm_np.check.targets, and what follows the colon in KIND:PATH
    "openai": "PATH[:PACKAGE]",
    "compvis": "PATH",
    "monai": "PATH",
    "k-diffusion": "PATH",
    "edm": "PATH",
    "authors": "PATH",
}
FORMS = ", ".join(["MODULE:FACTORY", "FILE.py:FACTORY", *(f"{kind}:{form}" for kind, form in KINDS.items()),
                   " or ".join(LIBRARIES)])


def targets(name: str, option: str = "--target") -> dict[str, Callable]:
    """Return the factories that a target's name stands for.

    Parameters
    ----------
    name : str
        One of `FORMS`, or ``"ddpm_np"``. Paths are relative to the current folder, whose modules come first.
    option : str
        What the name was given to, for messages.

    Returns
    -------
    dict
        The factories by name: several for a library, else one.

    Raises
    ------
    ValueError
        In one line, if there is no such target, or importing it raises.

    Examples
    --------
    >>> list(targets("ddpm_np"))
    ['ddpm_np']
    >>> targets("mine.py")
    Traceback (most recent call last):
    ValueError: --target must be MODULE:FACTORY, FILE.py:FACTORY, ... or lucidrains, got 'mine.py'
    """
    kind, colon, where = name.partition(":")
    try:
        if name == OURS:
            return {OURS: import_module("ddpm_np.check.targets").ddpm_np}
        if name in LIBRARIES:
            return import_module(f"ddpm_np.check.targets.{name}").TARGETS
        if colon and kind in KINDS:
            return import_module(f"ddpm_np.check.targets.{kind.replace('-', '_')}").targets(where)
    except ImportError as error:
        raise ValueError(str(error)) from error
    module, colon, factory = name.rpartition(":")
    if not colon or not module or not factory:
        raise ValueError(f"{option} must be {FORMS}, got {name!r}")
    return {name: _attribute(_module(module, option), module, factory, option)}


def _module(name: str, option: str) -> Any:
    """Import a module by name (from the current folder first) or by file; it can import its neighbours."""
    import importlib.util
    import sys

    path = Path(name)
    if path.suffix == ".py" and not path.is_file():
        raise ValueError(f"{option}: there is no file {name}")
    folder = str(path.resolve().parent if path.suffix == ".py" else Path.cwd())
    sys.path.insert(0, folder)
    try:
        if path.suffix != ".py":
            return importlib.import_module(name)
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec is not None
        assert spec.loader is not None
        module = sys.modules[path.stem] = importlib.util.module_from_spec(spec)  # dataclasses look it up there
        spec.loader.exec_module(module)
        return module
    except (Exception, SystemExit) as error:  # the target's own code can raise anything
        text = " ".join(str(error).split())
        raise ValueError(f"{option}: importing {name} raised {type(error).__name__}: {text}") from error
    finally:
        sys.path.remove(folder)


def _attribute(module: Any, name: str, factory: str, option: str) -> Callable:
    from difflib import get_close_matches

    found = getattr(module, factory, None)
    if found is None:
        close = get_close_matches(factory, dir(module), 1)
        raise ValueError(f"{option}: {name} has no {factory}" + (f": did you mean {close[0]}?" if close else ""))
    if not callable(found):
        raise ValueError(f"{option}: {name}:{factory} must be a factory, betas -> object, got {type(found).__name__}")
    return found


class Declaring:
    """A factory whose objects declare other conventions than they would by themselves.

    Parameters
    ----------
    factory : callable
        betas -> object. If the object has a method ``declare(conventions)``, it is called, as `asking` does.
    conventions : dict
        What replaces the object's own, key by key.
    """

    def __init__(self, factory: Callable[[Any], Any], conventions: dict[str, Any]):
        update_wrapper(self, factory, updated=())
        self._factory, self._conventions, self.notes = factory, conventions, getattr(factory, "notes", ())

    def __call__(self, betas: Any) -> Any:
        """Return the factory's object, with these conventions."""
        made = self._factory(betas)
        theirs = getattr(made, "conventions", {})
        declared = {**(theirs() if callable(theirs) else theirs), **self._conventions}
        if callable(getattr(made, "declare", None)):
            made.declare(declared)
        elif made is not None:
            made.conventions = declared
        return made
