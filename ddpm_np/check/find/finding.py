"""Look through a file for the mathematics in it, and make a check target of what is found."""

from __future__ import annotations

import contextlib
import functools
import inspect
import re
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from ddpm_np.check.cases import plain_cases
from ddpm_np.check.find import making, names
from ddpm_np.check.find.found import Finding, Taken
from ddpm_np.check.find.hook import Hook
from ddpm_np.check.find.making import Made, Subject
from ddpm_np.check.find.replacing import array_for, replaced
from ddpm_np.check.find.roles import COMBINATIONS
from ddpm_np.check.find.source import Source
from ddpm_np.check.find.stubs import Stub
from ddpm_np.check.find.tables import LINEAR
from ddpm_np.check.find.taking import look

SECONDS = 8.0  # of processor time, for all files
EMBEDDER = re.compile("emb|sin|pos", re.I)


def find(path: str | Path, configuration: dict[str, Any] | None = None) -> Finding:
    """Look for the mathematics in a file or a folder.

    Parameters
    ----------
    path : str or Path
        A Python file, or a folder with some.
    configuration : dict or None
        Answers to the questions of an earlier run.

    Returns
    -------
    Finding
        A check target's factory, with what was taken for what.

    Raises
    ------
    ValueError
        If there is no such file, or it is not Python.
    """
    path = Path(path)
    if not path.exists():
        raise ValueError(f"--find: there is no file or folder {path}")
    found, configured = Finding(str(path)), configuration or {}
    started = time.process_time()
    for file in files(path):
        if time.process_time() - started > SECONDS:
            found.notes.append(f"{file.name} and what follows were not read: {SECONDS:.0f} s are over")
            break
        source = Source(file)
        with making.closed():
            module = source.load()
        found.notes += [f"left out: {line}" for line in source.left_out]
        for subject in _subjects(source, module, found, configured):
            if time.process_time() - started > SECONDS:
                found.notes.append(f"{subject.name} was not looked at: {SECONDS:.0f} s are over")
                break
            look(subject, found, configured)
    _conventions(found, configured)
    return found



def files(path: Path) -> list[Path]:
    """Return the files to read: of a folder, those that speak of β and of products of α.

    Parameters
    ----------
    path : Path
        A file or a folder.

    Returns
    -------
    list of Path
        The files.
    """
    if path.is_file():
        return [path]
    found = []
    for file in sorted(path.rglob("*.py")):
        if any(part.startswith(".") or part in ("tests", "test", "venv", "site-packages") for part in file.parts):
            continue
        text = file.read_bytes()
        if b"cumprod" in text or (b"beta" in text and b"alpha" in text and b"sqrt" in text) or b"10000" in text:
            found.append(file)
    return found



def _subjects(source: Source, module: ModuleType, found: Finding, configured: dict[str, Any]) -> Iterable[Subject]:
    """Yield the classes that hold a schedule, and the module itself for its functions."""
    own = {module.__name__, *source.modules}
    for name, value in list(vars(module).items()):
        if isinstance(value, type) and value.__module__ in own and _mentions_schedule(value) and not (
                making.takes_steps(value)):
            home = module if value.__module__ == module.__name__ else source.modules[value.__module__]
            try:
                yield making.class_subject(value, home, configured.get("arguments", {}).get(name, {}))
            except ValueError as error:
                if any(n in names.SAFE for n in vars(value)):
                    found.notes.append(f"class {name}: no object with a given β could be made: {error}")
    functions = {name: value for name, value in vars(module).items() if callable(value) and names.may_be_called(name)
                 and not isinstance(value, (type, Stub)) and (getattr(value, "__module__", None) in own or (
                     type(value).__name__ == "ScriptFunction"))}
    embedders = {name: value for near_by in (module, *source.modules.values()) for name, value in vars(near_by).items()
                 if callable(value) and getattr(value, "__module__", None) in own and EMBEDDER.search(name)}
    if functions or embedders:
        yield _module_subject(source, module, functions, embedders)



def _mentions_schedule(cls: type) -> bool:
    """Return whether a class's own code speaks of β or of α."""
    for value in vars(cls).values():
        code = getattr(inspect.unwrap(value), "__code__", None) if callable(value) else None
        if code is not None:
            said = {*code.co_names, *code.co_varnames, *(c for c in code.co_consts if isinstance(c, str))}
            if any("beta" in word.lower() or "alpha" in word.lower() for word in said if len(word) < 60):
                return True
    return False



def _module_subject(source: Source, module: ModuleType, functions: dict[str, Any], embedders: dict[str, Any],
                    ) -> Subject:
    """Return a module as a subject: its tables made again for each schedule, if it makes any when it is imported."""
    tables = {name for name, value in vars(module).items() if making.table(value) is not None}
    torch = making.torch_of(module)

    def make(betas: np.ndarray, variance: str = "small") -> Made:
        here, theirs = module, functions
        if tables:
            with making.closed(), replaced(module, None, betas, torch):
                here = source.rerun(len(betas), functools.partial(_schedules_of, betas, torch))
            theirs = {name: getattr(here, name) for name in functions if hasattr(here, name)}
        held = {name: making.table(getattr(here, name, None)) for name in tables}
        return Made(dict(theirs), {name: t for name, t in held.items() if t is not None}, Hook(betas), torch, here)

    way = "the tables that it makes when imported are made of β" if tables else "β are arguments of its functions"
    return Subject(module.__name__, make, way, embedders)



def _schedules_of(betas: np.ndarray, torch: Any, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a function that makes a schedule: it returns β."""

    @functools.wraps(function)
    def made(*args: Any, **options: Any) -> Any:
        result = function(*args, **options)
        if getattr(result, "shape", None) != betas.shape:
            return result
        return betas.copy() if isinstance(result, np.ndarray) else array_for(betas, torch)

    return made if names.is_schedule_name(name) else function



def _conventions(found: Finding, configured: dict[str, Any]) -> None:
    """Declare the index base, the precision, the first variance and the loss's sum, as the readings have them."""
    bases = [entry.reading.base for entry in found.taken.values() if entry.kind == "function"
             and ("t" in entry.reading.kinds or entry.method in ("p_sample", "sample", "simple_loss"))]
    declared: dict[str, Any] = dict(found.conventions)
    if bases and sum(base == 0 for base in bases) * 2 >= len(bases):
        declared["index_base"] = 0
    if any(_single(entry) for entry in found.taken.values()):
        declared["precision"] = "float32"
    means = any(method in found.taken and found.taken[method].how == "numbers"
                for method in ("vlb", "vlb_term", "prior_kl"))
    if "simple_loss" in found.taken and found.taken["simple_loss"].reading.parts.get("sum") and not means:
        declared["reduction"] = "sum"
    found.conventions = {**declared, **configured.get("conventions", {})}
    first = _first_variance(found)
    if first and "first_variance" not in found.conventions:
        found.conventions["first_variance"] = first



def _single(entry: Taken) -> bool:
    made = entry.subject.of(LINEAR.betas)
    return made.torch is not None or any(table.dtype.itemsize < 8 for table in made.tables.values())



def _first_variance(found: Finding) -> str:
    """Return the convention for the reverse variance at t = 1, of the object for six steps."""
    case = plain_cases()[1]
    try:
        target = found(case.betas)
        if not hasattr(target, "p_mean_variance"):
            return ""
    except Exception:
        return ""
    t, variance = np.array([1]) - 1 + found.conventions.get("index_base", 1), np.nan
    for which, clip in COMBINATIONS:
        with contextlib.suppress(Exception):
            variance = float(target.p_mean_variance(lambda x, t: 0 * x, np.ones((1, 1)), t, which, clip)[1][0, 0])
            break
    for name, want in (("posterior", 0.0), ("beta", case.table.beta[1]), ("clipped", case.table.beta_tilde[2])):
        if abs(variance - want) < 1e-6 and name != "clipped":
            return name
    return ""

