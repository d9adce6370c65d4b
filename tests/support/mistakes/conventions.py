"""Implementations in another convention: they pass if they declare it and fail if they do not.

Each is the independent implementation behind a thin wrapper, or with one change.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from reference_target import Reference

from mistakes import REFERENCE, Change, changed_reference, parted

Factory = Callable[[np.ndarray], Any]


@dataclass(frozen=True)
class Convention:
    """An implementation, what it has to declare, what changes by that.

    Attributes
    ----------
    name : str
    factory : callable
        Undeclared.
    declared : dict
    equations : tuple of str
        FAIL where it is not declared; where it is, CONVENTION, or PRECISION.
    hint : str
        What at least one of the hints, or counterexamples, says where it is not declared.
    """

    name: str
    factory: Factory
    declared: dict[str, Any]
    equations: tuple[str, ...]
    hint: str = ""

    def declaring(self) -> Factory:
        """The factory, with the convention declared."""
        def factory(betas: np.ndarray) -> Any:
            made = self.factory(betas)
            made.conventions = self.declared
            return made
        return factory

    def __str__(self) -> str:
        return self.name


class Wrapped:
    """The independent implementation with its arguments and results transformed."""

    conventions: dict[str, Any] = {}  # noqa: RUF012 - replaced on the object

    def __init__(self, betas: np.ndarray, arguments: Callable[[str, str, Any], Any],
                 result: Callable[[str, Any, Any], Any]):
        self._inner, self._arguments, self._result = Reference(betas), arguments, result

    def __getattr__(self, name: str) -> Any:
        function = getattr(self._inner, name)
        names = list(inspect.signature(function).parameters)

        def method(*args: Any, **options: Any) -> Any:
            given = [self._arguments(name, key, value) for key, value in zip(names, args, strict=False)]
            return self._result(name, args, function(*given, **options))

        return method


def same(name: str, key: str, value: Any) -> Any:
    return value


def from_zero(betas: np.ndarray) -> Wrapped:
    """t in 0..T − 1, with −1 for the data."""
    def arguments(name: str, key: str, value: Any) -> Any:
        if key == "model":
            return lambda x, t: value(x, np.asarray(t) - 1)
        return value + 1 if key in ("t", "t_prev") and name != "time_embedding" else value

    def result(name: str, args: Any, value: Any) -> Any:
        return np.asarray(value) - 1 if name in ("timesteps", "draw_t") else value

    return Wrapped(betas, arguments, result)


def in_nats(betas: np.ndarray) -> Wrapped:
    return Wrapped(betas, same, lambda name, args, value: value * math.log(2) if name in BITS else value)


def summed(betas: np.ndarray) -> Wrapped:
    """Sums over an image's dimensions instead of means."""
    def result(name: str, args: Any, value: Any) -> Any:
        images = [a for a in args if isinstance(a, np.ndarray)]
        return value * images[0][0].size if name in (*BITS, "simple_loss") else value

    return Wrapped(betas, same, result)


def single(betas: np.ndarray) -> Wrapped:
    """Results in float32, right to its precision."""
    def result(name: str, args: Any, value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(v.astype(np.float32) for v in value)
        return np.asarray(value, dtype=np.float32) if name not in ("timesteps", "draw_t") else value

    return Wrapped(betas, same, result)


def changed(*lines: tuple) -> Factory:
    """The independent implementation with changes, each (place, old, new, count if not once)."""
    return changed_reference(*(Change(place, "another convention", old, new, (), *count)
                               for place, old, new, *count in lines))


def embedding(last: str, joined: str) -> Factory:
    """An embedding with frequencies 10000^(−j/last)."""
    method = parted(REFERENCE, "time_embedding")[1]
    frequencies = method.replace("(half - 1)", last)
    other = frequencies.replace("np.concatenate([np.sin(angles), np.cos(angles)], axis=1)", joined)
    return changed(("time_embedding", method, other))


BITS = ("prior_kl", "vlb_term", "vlb")
SIN_COS = "np.concatenate((np.sin(angles), np.cos(angles)), axis=1)"
COS_SIN = "np.concatenate((np.cos(angles), np.sin(angles)), axis=1)"
INTERLEAVED = "np.stack((np.sin(angles), np.cos(angles)), axis=2).reshape(len(angles), dim)"


def first_variance(value: str) -> Factory:
    """Another σ₁²; the clipped log variance, which is not σ₁², stays."""
    return changed(("__init__", "np.concatenate(([1.0], first, self.", f"np.concatenate(([1.0], {value}, self.", 2),
                   ("__init__", "        self.small =", "        self.first = first\n        self.small ="),
                   ("posterior_log_variance_clipped", "np.log(self.small)[t]",
                    "np.log(np.where(t == 1, self.first, self.beta_tilde[t]))"))


CONVENTIONS = [
    Convention("t counted from 0", from_zero, {"index_base": 0},
               ("2", "4", "7", "11", "15", "1", "algorithm-2", "timesteps", "algorithm-1"), "'index_base': 0"),
    Convention("nats", in_nats, {"unit": "nats"}, ("L_T", "8", "L_0", "5"), "'unit': 'nats'"),
    Convention("sums over dimensions", summed, {"reduction": "sum"}, ("L_T", "8", "L_0", "5", "14"),
               "'reduction': 'sum'"),
    Convention("answers in float32", single, {"precision": "float32"}, ("2", "4", "7", "11", "15"),
               "'precision': 'float32'"),
    Convention("tables in float32", changed(("rows", "table[t]", "np.float64(np.float32(table[t]))")),
               {"precision": "float32"}, ("2", "4", "7", "11", "15"), "'precision': 'float32'"),
    Convention("cosines first", embedding("(half - 1)", COS_SIN), {"embedding": "cos_sin"}, ("time-embedding",),
               "'cos_sin'"),
    Convention("half for half − 1", embedding("half", SIN_COS), {"embedding": "sin_cos_half"}, ("time-embedding",),
               "'sin_cos_half'"),
    Convention("half, cosines first", embedding("half", COS_SIN), {"embedding": "cos_sin_half"}, ("time-embedding",),
               "'cos_sin_half'"),
    Convention("half, interleaved", embedding("half", INTERLEAVED), {"embedding": "interleaved_half"},
               ("time-embedding",), "'interleaved_half'"),
    Convention("β₁ at t = 1", first_variance("self.beta[1:2]"), {"first_variance": "beta"}, ("sigma", "L_0"),
               "'first_variance': 'beta'"),
    Convention("β̃₁ = 0 at t = 1", first_variance("[0.0]"), {"first_variance": "posterior"}, ("sigma",),
               "'first_variance': 'posterior'"),
    Convention("data of [0, 1]", changed(("p_mean_variance", "np.clip(x0_hat, -1, 1)", "np.clip(x0_hat, 0, 1)"),
                                         ("decoder_log_likelihood", "1 / 255", "0.5 / 255", 2),
                                         ("decoder_log_likelihood", "x_0 < -0.999", "x_0 < 0.001")),
               {"range": (0, 1)}, ("clip", "13"), "range"),
]
