"""Find the reading in which a function gives the numbers of a method, by trying.

A function's parameters are given what their names allow; parameters of unknown names are given anything that is still
needed. For each such way the index base, the layout of the images and the form of t are tried.
"""

from __future__ import annotations

import inspect
import itertools
import time
from collections.abc import Callable, Collection, Iterator
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np

from ddpm_np.check.find.calling import ASKED, LAYOUTS, TIMES, Reading, perform
from ddpm_np.check.find.making import Made
from ddpm_np.check.find.matching import (
    another_process,
    by_place,
    first_part,
    loss_part,
    near,
    part_of,
    spread,
    variance_part,
    x0_part,
)
from ddpm_np.check.find.names import ROLE_NAMES, kinds
from ddpm_np.check.find.roles import COMBINATIONS, ROLES, Role, probe, wanted

EXTRAS = ("shape", "n", "device", "clip", "none", "T", "seq", "level", "betas", "alphas", "alpha_bars",
          "sqrt_alpha_bars", "sqrt_one_minus_alpha_bars", "rng", "true")
AT_MOST = 12  # ways to give a function its arguments that are tried for one method
TRIALS = 40  # of one function for one method


def ways(function: Callable[..., Any], role: Role, held: Collection[str] = (),
         ) -> Iterator[tuple[tuple[tuple[str, str], ...], bool]]:
    """Yield the ways to give a function what a method is given, those by names alone first.

    Parameters
    ----------
    function : callable
        The function.
    role : Role
        The method.
    held : collection of str
        Attributes of the function's object, which a parameter of such a name is given.

    Yields
    ------
    tuple of (str, str)
        Parameters and kinds.
    bool
        Whether every name is a usual one for its kind.

    Examples
    --------
    >>> def noisy(x0, t, noise=None): ...
    >>> next(ways(noisy, ROLES["q_sample"]))
    ((('x0', 'x_0'), ('t', 't'), ('noise', 'noise')), True)
    """
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    if all(p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in parameters):
        called = {getattr(function, "__name__", ""), getattr(function, "name", "")}
        if called & ROLE_NAMES.get(role.name, frozenset()):  # no names: the method's arguments, in order
            yield tuple((str(i), kind) for i, kind in enumerate(role.needs)), True
        return
    needs = (*role.needs, *(("eps",) if "model" in role.needs else ("model",) if "eps" in role.needs else ()))
    choices: list[list[tuple[str, str, bool]]] = []
    for p in parameters:
        if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD):
            continue
        allowed = kinds(p.name)
        here = [(p.name, kind, True) for kind in needs if kind in allowed]
        here += [(p.name, kind, True) for kind in EXTRAS if kind in allowed and (p.default is p.empty or kind in (
            "clip", "device", "true"))]
        if p.default is not p.empty:
            here.append((p.name, "", True))
        elif not allowed and p.name in held:
            here = [(p.name, "own", True)]
        elif not allowed:
            here = [(p.name, kind, False) for kind in needs]
        if not here:
            return
        choices.append(here)
    found = []
    for chosen in itertools.islice(itertools.product(*choices), 400):
        given = [(name, kind) for name, kind, _ in chosen if kind]
        used = [kind for _, kind in given]
        once = [kind for kind in used if kind != "own"]
        if len(set(once)) == len(once) and _covered(set(used), role):
            found.append((tuple(given), all(sure for *_, sure in chosen)))
    found.sort(key=lambda way: (not way[1], -len(way[0])))
    yield from found[:AT_MOST]


def _covered(used: set[str], role: Role) -> bool:
    """Return whether a function gets what a method must be given: the rest it draws, or has as its own net."""
    missing = set(role.needs) - used - set(role.draws) - {"model"}
    if "level" in used:
        missing -= {"t"}
    if "model" in role.needs and "eps" in used:
        return not missing and "model" not in used
    if "eps" in missing:
        missing -= {"eps"}  # its own net's answer
    if role.name == "sample" and "x_T" not in used and not used & {"shape", "n"}:
        return False
    return not missing


class Trials:
    """Trials on one object: what succeeded is tried first for the next function.

    Parameters
    ----------
    made : Made
        The object for the schedule of the probes.
    deadline : float
        Time at which to stop, as of `time.process_time`.
    """

    def __init__(self, made: Made, deadline: float):
        self.made, self.deadline = made, deadline
        self.bases, self.layouts, self.times = [0, 1], list(LAYOUTS), list(TIMES)
        self.doubled = [False, True]
        self.meaning: Callable[..., Any] | None = None  # makes what a net predicts of its ε
        self.held = set(getattr(made.object, "__dict__", ())) if not isinstance(made.object, ModuleType) else set()
        self.errors: dict[tuple[str, str], str] = {}  # what a function raised, by function and method

    def exact(self, name: str, role: Role) -> Reading | None:
        """Return the reading in which a function gives a method's numbers, or None.

        Parameters
        ----------
        name : str
            The function.
        role : Role
            The method.

        Returns
        -------
        Reading or None
            The first that succeeds.
        """
        left = TRIALS * (3 if name in ROLE_NAMES.get(role.name, ()) else 1)
        for given, _ in ways(self.made.functions[name], role, self.held):
            for reading in self._variants(name, given, role):
                left -= 1
                if left < 0 or time.process_time() > self.deadline:
                    return None
                found = self.matched(reading, role)
                if found is not None and not self._hides(found, role):
                    self._prefer(found)
                    return found
        return None

    def _hides(self, reading: Reading, role: Role) -> bool:
        """Return whether a reading asks less than a function takes, and with more of it the numbers are others.

        So it is with one t, or one image, at a time, where a batch mixes them up; and with an x_T that is left out.
        """
        if (role.name == "q_sample" and reading.time in ("equal", "alone")) or (
                role.name == "simple_loss" and reading.time.startswith("alone")):
            fuller = reading.changed(time="batch")
        elif role.name == "p_sample" and reading.time.startswith("alone"):
            fuller = reading.changed(time="equal")
        elif role.name == "sample" and "x_T" not in reading.kinds:
            function = self.made.functions[reading.function]
            name = next((p.name for p in inspect.signature(function).parameters.values()
                         if p.name in ("noise", "x_T") and p.default is None), "")
            fuller = reading.changed(given=(*reading.given, (name, "x_T")))
            if not name:
                return False
        else:
            return False
        found, want = self.tried(fuller, role), wanted(role.name)
        return found is not None and first_part(found, want[None] if None in want else want["small", False], role,
                                                ) is not None

    def named(self, name: str, role: Role) -> Reading | None:
        """Return the reading nearest to a method's numbers of a function whose names leave no doubt, or None.

        Parameters
        ----------
        name : str
            The function.
        role : Role
            The method.

        Returns
        -------
        Reading or None
            None also if the function raises, or returns what a mistake cannot make of the method's result.
        """
        best: tuple[float, Reading] | None = None
        for given, sure in ways(self.made.functions[name], role, self.held):
            if not sure or self._another_net(name, given, role):
                continue
            for reading in self._variants(name, given, role):
                if reading.base != self.bases[0] or time.process_time() > self.deadline or self._hides(reading, role):
                    continue
                near = self._distance(reading, role)
                if near is not None and (best is None or near[0] < best[0]):
                    best = near
            if best is not None:
                return best[1]
        return None

    def _another_net(self, name: str, given: tuple[tuple[str, str], ...], role: Role) -> bool:
        """Return whether a function is right for a net that predicts x₀ or v: a choice, and no mistake."""
        if not {"model", "eps"} & set(role.needs):
            return False
        kept, table = self.meaning, probe(role.name).case.table
        for meaning in ("x0", "v"):
            self.meaning = partial(_as, meaning, table.sqrt_alpha_bar, table.sqrt_one_minus_alpha_bar)
            try:
                if any(self.matched(reading, role) is not None for reading in self._variants(name, given, role)
                       if reading.base == self.bases[0] and reading.layout == self.layouts[0]):
                    self.errors[name, role.name] = f"it is right for a net that predicts {meaning}"
                    return True
            finally:
                self.meaning = kept
        return False

    def told(self, name: str, role: Role, entry: dict[str, Any]) -> Reading | None:
        """Return the reading of a function that the configuration names, whatever its numbers are.

        Parameters
        ----------
        name : str
            The function.
        role : Role
            The method.
        entry : dict
            What the configuration says of it: `arguments`, `index_base`, `time`, `layout`.

        Returns
        -------
        Reading or None
            The one with the method's numbers, else the nearest; None if the function cannot be called so.
        """
        if "arguments" in entry:
            given = [(tuple(entry["arguments"].items()), True)]
        else:
            given = list(ways(self.made.functions[name], role, self.held))
        best: tuple[float, Reading] | None = None
        for arguments, _ in given:
            for reading in self._variants(name, arguments, role):
                if any(key in entry and entry[key] != value for key, value in (
                        ("index_base", reading.base), ("time", reading.time), ("layout", reading.layout))):
                    continue
                found = self.matched(reading, role)
                if found is not None:
                    self._prefer(found)
                    return found
                near_by = self._distance(reading, role)
                if near_by is not None and (best is None or near_by[0] < best[0]):
                    best = near_by
        return None if best is None else best[1]

    def _variants(self, name: str, given: tuple[tuple[str, str], ...], role: Role) -> Iterator[Reading]:
        used = {kind for _, kind in given}
        timed = "t" in used
        indexed = timed or "model" in role.needs or "t" in role.draws
        times = self.times if timed else ["batch", "alone"] if "t" in role.needs and "level" not in used else ["batch"]
        for how in times:
            for layout in self.layouts:
                for base in self.bases if indexed else self.bases[:1]:
                    for doubled in self.doubled if "model" in role.needs and "eps" not in used else (False,):
                        yield Reading(name, given, base, how, layout, doubled=doubled)

    def _prefer(self, reading: Reading) -> None:
        for options, value in ((self.bases, reading.base), (self.layouts, reading.layout), (self.times, reading.time),
                               (self.doubled, reading.doubled)):
            if value in options:
                options.remove(value)  # type: ignore[arg-type]
                options.insert(0, value)  # type: ignore[arg-type]

    def tried(self, reading: Reading, role: Role, which: int = 0, clip: bool = False,
              v: float = -1.0) -> dict[Any, np.ndarray] | None:
        """Return the parts of a function's result for a probe, or None if it raised."""
        p = probe(role.name, which)
        kept = {kind: value for kind, value in p.values.items()
                if kind in role.needs or kind in ("t", "n", "T", "noises")}
        kept["v_range"] = np.array(v)
        if "t" not in role.needs:
            kept.pop("t")
        if "eps" in kept and "eps" not in reading.kinds:
            eps = kept.pop("eps")
            kept["model"] = lambda x, t: eps
        if self.meaning is not None and "model" in kept:
            kept["model"] = partial(self.meaning, kept["model"])
        elif self.meaning is not None:
            kept["eps"] = self.meaning(lambda x, t: p.values["eps"], kept["x_t"], kept["t"])
        try:
            return perform(self.made, reading, kept, drawn(role, reading), clip)
        except Exception as error:
            text = f"{type(error).__name__}: {error}"
            if self.errors.setdefault((reading.function, role.name), text).startswith("NotImplementedError"):
                self.errors[reading.function, role.name] = text
            return None

    def matched(self, reading: Reading, role: Role) -> Reading | None:
        """Return a reading with the parts of the result that are the method's, if it gives the method's numbers."""
        found = self.tried(reading, role)
        if found is None:
            return None
        complete = self._complete(reading, role, found)
        if complete is None or reading.layout != "any" or not role.images:
            return complete
        larger = self.tried(complete, role, 1)
        if larger is None or self._complete(reading, role, larger, 1) is None:
            return None
        return complete

    def _complete(self, reading: Reading, role: Role, found: dict[Any, np.ndarray], which: int = 0) -> Reading | None:
        p, want = probe(role.name, which), wanted(role.name, which)
        if role.name == "p_mean_variance":
            return self._mean_variance(reading, found, which)
        if role.name in ("p_sample", "sample"):
            clipped = self.tried(reading, role, which, True) if "clip" in reading.kinds else None
            results: list[tuple[Any, Any]] = [(False, found), *([(True, clipped)] if clipped else [])]
            combinations, key = [], None
            for combination in COMBINATIONS:
                for clip, parts in results:
                    if "clip" in reading.kinds and clip != combination[1]:
                        continue
                    if reading.doubled and combination[0] == "large":
                        here = part_of(self.tried(reading, role, which, clip, 1.0) or {}, want[combination], role)
                    else:
                        here = part_of(parts, want[combination], role)
                    if here is not None:
                        key = here[0]
                        combinations.append(combination)
                        scale = here[1]
                        break
            if not combinations:
                return None
            combinations += _ignored(reading, combinations, found, clipped, key)
            extra = x0_part(found, which) if role.name == "p_sample" else {}
            if extra.get("clipped") and (combinations[0][0], True) not in combinations:
                combinations.append((combinations[0][0], True))  # it clips x̂₀, and so is asked about that too
            return reading.changed(parts={"value": key, **extra}, combinations=tuple(combinations), scale=scale)
        if role.name == "q_posterior":
            here = part_of(found, want[None][0], role)
            if here is None:
                return None
            posterior: dict[str, Any] = {"value": here[0]}
            later = p.t > 1
            for key, array in found.items():
                variance = spread(array, p.values["x_t"])
                if variance is not None and near(variance[later], want[None][1][later]):
                    posterior["variance"] = key
            return reading.changed(parts={**posterior, **by_place(reading.function, found)})
        if role.name == "q_sample" and "t" not in reading.kinds and "level" not in reading.kinds:
            found = {ASKED: found[ASKED]} if ASKED in found else {}
        if role.name == "simple_loss":
            return loss_part(reading, found, want[None])
        here = part_of(found, want[None], role)
        return None if here is None else reading.changed(parts={"value": here[0]}, scale=here[1])

    def _mean_variance(self, reading: Reading, found: dict[Any, np.ndarray], which: int) -> Reading | None:
        role = ROLES["p_mean_variance"]
        p, want = probe(role.name, which), wanted(role.name, which)
        clips = (False, True) if "clip" in reading.kinds else (None,)
        combinations, parts = [], {}
        for clip in clips:
            result = found if not clip else self.tried(reading, role, which, True) or {}
            for combination in COMBINATIONS:
                if clip is not None and combination[1] != clip:
                    continue
                mean, variance, x0 = want[combination]
                if reading.doubled and combination[0] == "large":
                    continue  # what a learned range ends at, β_t at t = 1 too, is no choice of the large variance
                where = part_of(result, mean, role)
                spread_at = variance_part(result, variance, p)
                if where is None or spread_at is None:
                    continue
                combinations.append(combination)
                x0_at = part_of({k: v for k, v in result.items() if k != ASKED}, x0, role)
                parts = {"value": where[0], **spread_at, **({"x0": x0_at[0]} if x0_at else {})}
        if not combinations:
            return None
        clipped = self.tried(reading, role, which, True) if "clip" in reading.kinds else None
        combinations += _ignored(reading, combinations, found, clipped, parts["value"])
        stated = by_place(reading.function, found).get("variance")
        if stated and "log_variance" in parts:
            parts["stated"] = stated  # beside its logarithm, which alone counts at t = 1
        return reading.changed(parts=parts, combinations=tuple(combinations))

    def _distance(self, reading: Reading, role: Role) -> tuple[float, Reading] | None:
        """Return how far a function is from a method, if its result can be a mistake of it."""
        found, want = self.tried(reading, role), wanted(role.name)
        if found is None:
            return None
        expected = want[None] if None in want else want["small", False]
        expected = expected[0] if isinstance(expected, (tuple, list)) else expected
        value = first_part(found, expected, role)
        named = by_place(reading.function, found)
        if role.name == "p_mean_variance" and (value is None or named.get("value") != value[0]):
            return None  # which part is the variance, only names say
        if value is None or not np.isfinite(value[1]).all():
            return None
        if role.images and "model" not in role.needs:
            solved = self._coefficients(reading, role, value[0])
            if solved is None or (role.name == "q_sample" and another_process(solved)):
                return None
            self.tried(reading, role)  # what the net was asked last
        drawn_noise = self.made.hook.drawn - ("x_T" not in reading.kinds)
        if role.name == "sample":
            calls, T = [int(t[0]) for _, t in self.made.hook.asked], probe(role.name).case.T
            if drawn_noise < 1 or len(calls) < T - 1 or calls != list(range(calls[0], calls[0] - len(calls), -1)):
                return None  # a sampler of fewer steps or without noise is another one, and no mistake
        if role.name in ("p_sample", "ddim_step") and "noise" not in reading.kinds and self.made.hook.drawn < 1:
            return None
        combinations: tuple[Any, ...] = ()
        if role.name == "p_mean_variance":
            combinations = (("small", False), *([("small", True)] if "clip" in reading.kinds else []))
        if role.name in ("p_sample", "sample"):
            best = min(COMBINATIONS, key=lambda c: float(np.abs(value[1] - want[c]).max()))
            combinations = (best,)
            expected = want[best]
        distance = float(np.abs(value[1] - expected).max() / np.abs(expected).max())
        return distance, reading.changed(parts={"value": value[0], **named}, combinations=combinations)

    def _coefficients(self, reading: Reading, role: Role, key: Any) -> np.ndarray | None:
        """Return the a_t and b_t of a result a_t·x + b_t·y of two images, (steps, 2); None if it is none."""
        p = probe(role.name)
        of = [kind for kind in role.needs if kind not in ("t", "model")]
        found = self.tried(reading, role)
        if found is None or key not in found:
            return None
        value, result = found[key].reshape(p.values[of[0]].shape), []
        for step in np.unique(p.t):
            rows = p.t == step
            columns = np.stack([p.values[kind][rows].ravel() for kind in of], 1)
            wanted_here = value[rows].ravel()
            solved, *_ = np.linalg.lstsq(columns, wanted_here, rcond=None)
            result.append(solved)
            if len(wanted_here) > len(of) and (
                    np.abs(columns @ solved - wanted_here).max() > 1e-3 * np.abs(wanted_here).max()):
                return None
        return np.array(result)


def _ignored(reading: Reading, combinations: list[tuple[str, bool]], found: dict[Any, np.ndarray],
             clipped: dict[Any, np.ndarray] | None, key: Any) -> list[tuple[str, bool]]:
    """Return the combinations with a clip of x̂₀ that a parameter's name promises, if it changes nothing."""
    if any(clip for _, clip in combinations) or not {name for name, kind in reading.given if kind == "clip"} & {
            "clip_denoised", "clip_x_start", "clip_x0"} or clipped is None or key not in clipped:
        return []
    return [(variance, True) for variance, _ in combinations] if np.array_equal(clipped[key], found[key]) else []


def _as(meaning: str, signal: np.ndarray, noise: np.ndarray, model: Callable[..., Any], x: np.ndarray,
        t: np.ndarray) -> np.ndarray:
    """Return x̂₀, or v, of a net that predicts ε."""
    c, s = (table[t].reshape(-1, *[1] * (x.ndim - 1)) for table in (signal, noise))
    eps = model(x, t)
    x0 = (x - s * eps) / c
    return x0 if meaning == "x0" else c * eps - s * x0


def drawn(role: Role, reading: Reading) -> tuple[str, ...]:
    """Return the kinds that are handed over to a function that draws them."""
    found = [kind for kind in role.draws if kind not in reading.kinds]
    if role.name in ("sample", "vlb"):
        found.append("noises")
    return tuple(found)
