"""Take tables, schedules, a time embedding and draws of t for what they are."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from ddpm_np.check.cases import plain_cases
from ddpm_np.check.exact import Case
from ddpm_np.check.find import names
from ddpm_np.check.find.calling import Reading, perform
from ddpm_np.check.find.found import Finding, Taken
from ddpm_np.check.find.making import Made, Subject
from ddpm_np.check.find.matching import near
from ddpm_np.check.find.roles import ROLES, probe
from ddpm_np.check.find.schedules import embeddings, schedules
from ddpm_np.check.find.trying import Trials, ways

LINEAR = Case(list(np.linspace(0.1, 0.35, 6)))


def tables(subject: Subject, made: Made, case: Case, found: Finding) -> bool:
    """Take tables by their numbers, and ᾱ by its name too; return False if β cannot have got in whole.

    A table with a name of ᾱ and other numbers is a mistake only if it is one in an object with its own schedule too.
    """
    k = case.table
    with np.errstate(divide="ignore"):
        logs = np.log(k.beta_tilde[1:])
    wanted = {"alpha_bar": (k.alpha_bar[1:], names.ALPHA_BAR, slice(None)),
              "posterior_variance": (k.beta_tilde[1:], names.POSTERIOR_VARIANCE, slice(1, None)),
              "posterior_log_variance_clipped": (logs, names.LOG_VARIANCE, slice(1, None))}
    consistent = True
    for method, (want, usual, rows) in wanted.items():
        ordered = sorted(made.tables, key=[*usual, *made.tables].index)
        for name in ordered:
            table = made.tables[name].astype(np.float64)
            if len(table) not in (case.T, case.T + 1) or not near(table[-case.T:][rows], want[rows]):
                continue
            if (method == "alpha_bar" and len(table) > case.T and abs(table[0] - 1) > 1e-6) or (
                    method == "posterior_log_variance_clipped" and name not in usual):
                continue
            clipped = method == "posterior_variance" and table[-case.T] > 0
            reading = Reading(name, (), parts={"clipped": bool(clipped)})
            found.taken.setdefault(method, Taken(method, subject, reading, "numbers", "table"))
            if clipped:
                found.notes.append(f"{subject.name}.{name} has β̃₂ at t = 1, for its logarithm: taken as 0 in (7)")
            break
        else:
            named = [name for name in ordered if name in usual and len(made.tables[name]) in (case.T, case.T + 1)]
            if named and method == "alpha_bar":
                consistent = subject.consistent(named[0])
                if len(made.tables[named[0]]) > case.T and not _asks_from_one(made, case):
                    found.questions.append(('[conventions]\nindex_base = 1',
                                            f"{subject.name}.{named[0]} has {case.T + 1} elements for {case.T} steps, "
                                            "and is not the product of the α of the last: which belongs to the first?"))
                elif consistent:
                    found.taken.setdefault(method, Taken(method, subject, Reading(named[0], ()), "name", "table"))
                else:
                    found.notes.append(f"{subject.name}.{named[0]} does not follow from the β that were put in, but "
                                       "does with the object's own schedule: no verdict")
    return consistent



def _nothing(x: np.ndarray, t: np.ndarray) -> np.ndarray:
    return 0 * x


def _asks_from_one(made: Made, case: Case) -> bool:
    """Return whether the steps at which a loss asks its net are 1..T, so that element 0 of a table is the data's."""
    x = np.zeros((64, 1))
    for name, function in made.functions.items():
        for given, _ in ways(function, ROLES["simple_loss"]) if names.may_be_called(name) else ():
            if any(kind == "t" for _, kind in given):
                continue
            try:
                perform(made, Reading(name, given, 1, "batch", "NCHW"), {"model": _nothing, "x_0": x, "noise": x},
                        () if any(kind == "noise" for _, kind in given) else ("noise",))
            except Exception:
                continue
            if made.hook.asked and set(np.concatenate([t for _, t in made.hook.asked])) == set(range(1, case.T + 1)):
                return True
    return False



def posterior_variance(subject: Subject, made: Made, trials: Trials, found: Finding) -> None:
    """Find β̃_t as a function of t, for a posterior that returns its mean only; without it there is no posterior."""
    entry = found.taken.get("q_posterior")
    if entry is not None and "log_variance" in entry.reading.parts:
        found.taken.setdefault("posterior_log_variance_clipped", Taken(
            "posterior_log_variance_clipped", entry.subject, entry.reading, entry.how))
    if entry is None or "variance" in entry.reading.parts or "posterior_variance" in found.taken:
        return
    t = probe("q_posterior").t
    want = plain_cases()[1].table.beta_tilde[t]
    for name, function in made.functions.items():
        parameters = [name for name, p in parameters_of(function).items() if p.default is p.empty]
        if len(parameters) != 1 or "t" not in names.kinds(parameters[0]) or not names.may_be_called(name):
            continue
        for base in trials.bases:
            for how in ("batch", "one by one"):
                reading = Reading(name, ((parameters[0], "t"),), base, how)
                try:
                    parts = perform(made, reading, {"t": t})
                except Exception:
                    continue
                for key, value in parts.items():
                    if value.shape[:1] == t.shape and near(value.reshape(len(t), -1)[t > 1, 0], want[t > 1]):
                        found.taken["posterior_variance"] = Taken(
                            "posterior_variance", subject, reading.changed(parts={"value": key}), "numbers")
                        return
    del found.taken["q_posterior"]
    found.notes.append(f"{entry.subject.name}.{entry.reading.function} gives the posterior's mean (7), but its "
                       "variance was not found")



def draw_t(subject: Subject, made: Made, trials: Trials, found: Finding, functions: dict[str, Any]) -> None:
    for name in functions:
        if name not in names.ROLE_NAMES["draw_t"] or "draw_t" in found.taken:
            continue
        parameters = inspect.signature(functions[name]).parameters
        given = [(p, "n" if "n" in names.kinds(p) else "device") for p in parameters if names.kinds(p) & {
            "n", "device"}]
        if [kind for _, kind in given].count("n") == 1:
            reading = Reading(name, tuple(given), trials.bases[0])
            found.taken["draw_t"] = Taken("draw_t", subject, reading, "integers")



def times(subject: Subject, made: Made, found: Finding) -> None:
    """Take functions that make schedules, and one that embeds a time."""
    earlier = found.taken["schedule"].reading.parts if "schedule" in found.taken else {}
    makers = schedules(made.functions)
    if makers:
        better = {name: maker for name, maker in makers.items()
                  if name not in earlier or (earlier[name][2] == "name" and maker[2] == "numbers")}
        names_ = ", ".join(dict.fromkeys(maker[0] for maker in {**earlier, **better}.values()))
        how = "numbers" if all(maker[2] == "numbers" for maker in {**earlier, **better}.values()) else "name"
        reading = Reading(names_, (), parts={**earlier, **better})
        found.taken["schedule"] = Taken("schedule", subject, reading, how, "maker")
    if "time_embedding" not in found.taken:
        embedder = embeddings(subject.embedders, made.torch)
        if embedder is not None:
            name, ask, convention = embedder
            reading = Reading(name, (), parts={"ask": ask})
            found.taken["time_embedding"] = Taken("time_embedding", subject, reading, "numbers", "maker")
            found.conventions["embedding"] = convention



def parameters_of(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """Return a function's parameters; none of a function that has no signature."""
    try:
        return dict(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return {}

