"""Take what keeps some of the steps, the functions that choose them, and the draws of t and of noise."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from ddpm_np.check.cases import plain_cases
from ddpm_np.check.find import names
from ddpm_np.check.find.calling import Reading, undirected
from ddpm_np.check.find.found import Finding, Taken
from ddpm_np.check.find.making import KEPT, Made, Subject
from ddpm_np.check.find.randomness import closed
from ddpm_np.check.find.trying import Trials


def fewer_steps(subject: Subject, made: Made, trials: Trials, found: Finding) -> None:
    """Take respaced objects, a function that chooses steps, and the draws of a sampler and of x_t."""
    _respaced(subject, made, found)
    _steps(subject, made, found)
    _draw_noise(subject, made, found)
    _draw_t(subject, made, trials, found)


def _respaced(subject: Subject, made: Made, found: Finding) -> None:
    """Take the class that is given the steps to keep; without it DDIM's steps are not asked for either."""
    case, entry = plain_cases()[1], found.taken.get("p_mean_variance")
    table = next((name for name, values in made.tables.items()
                  if len(values) == case.T and np.allclose(values, case.betas)), "")
    if subject.shorter is None or not table or "respace" in found.taken or entry is None or (
            entry.subject is not subject):
        return
    try:
        shorter = subject.respaced(case.betas, np.array([2, 3, 6])).tables[table]
    except Exception as error:
        found.notes.append(f"{subject.name} with {KEPT}: {type(error).__name__}: {error}")
        return
    if len(shorter) == 3:
        found.taken["respace"] = Taken("respace", subject, Reading(table, ()), "parameter", "maker")


def _steps(subject: Subject, made: Made, found: Finding) -> None:
    """Take a function of T and of a list with the number of steps, which returns integers."""
    function = made.functions.get("space_timesteps")
    if function is None or "timesteps" in found.taken:
        return
    ask = partial(_chosen, function)
    try:
        whole = ask(6, 3).dtype.kind == "i"
    except Exception as error:
        found.notes.append(f"space_timesteps: {type(error).__name__}: {error}")
        return
    if whole:
        reading = Reading("space_timesteps", (), parts={"ask": ask})
        found.taken["timesteps"] = Taken("timesteps", subject, reading, "integers", "maker")


def _chosen(function: Callable[..., Any], T: int, n: int) -> np.ndarray:
    with closed():
        return np.array(sorted(function(T, [n]), reverse=True), dtype=np.intp)


def _draw_noise(subject: Subject, made: Made, found: Finding) -> None:
    """Take q_sample for the noise that it draws if it is given none."""
    entry = found.taken.get("q_sample")
    if entry is None or entry.subject is not subject or entry.reading.time != "batch" or "t" not in (
            entry.reading.kinds):
        return
    optional = inspect.signature(made.functions[entry.reading.function]).parameters
    noise = next((name for name, kind in entry.reading.given if kind == "noise"), None)
    if noise is None or optional[noise].default is not None:
        return
    t = np.full(8, plain_cases()[1].T)
    values = {"x_0": np.zeros((8, 2)), "t": t}
    try:
        first, again = (undirected(made, entry.reading, values) for _ in range(2))
    except Exception:
        return
    key = entry.reading.parts["value"]
    if key in first and not np.array_equal(first[key], again[key]):
        found.taken["draw_noise"] = Taken("draw_noise", subject, entry.reading, "name")


def _draw_t(subject: Subject, made: Made, trials: Trials, found: Finding) -> None:
    """Take a sampler of t that is made of the object and is named uniform."""
    if "draw_t" in found.taken:
        return
    for name, cls in subject.classes.items():
        method = getattr(cls, "sample", None)
        if not name.lower().startswith("uniform") or method is None:
            continue
        made_of = [p for p in inspect.signature(cls).parameters.values() if p.default is p.empty]
        asked = [(p, "n" if "n" in names.kinds(p) else "device") for p in list(inspect.signature(
            method).parameters)[1:] if names.kinds(p) & {"n", "device"}]
        if len(made_of) == 1 and "diffusion" in made_of[0].name and [kind for _, kind in asked].count("n") == 1:
            reading = Reading(f"{name}.sample", tuple(asked), trials.bases[0], parts={"class": cls})
            found.taken["draw_t"] = Taken("draw_t", subject, reading, "integers", "sampler")
            return
