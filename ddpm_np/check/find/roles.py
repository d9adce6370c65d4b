"""What a function may turn out to be: the methods of a check target, with what each is given and what it must return.

The numbers expected here are this package's. They decide only what a function is taken for; whether it is right the
checker then decides by its own sources, on other numbers too.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from ddpm_np.check.cases import plain_cases
from ddpm_np.check.exact import Case
from ddpm_np.check.targets import ddpm_np as ours

Combination = tuple[str, bool]  # the reverse variance, and whether x̂₀ is clipped
COMBINATIONS: tuple[Combination, ...] = (("small", False), ("large", False), ("small", True), ("large", True))


@dataclass(frozen=True)
class Role:
    """A method of a check target.

    Parameters
    ----------
    name : str
        The method.
    needs : tuple of str
        Kinds of arguments that it must be given, in the usual order.
    draws : tuple of str
        Kinds among them that a function may draw for itself.
    images : bool
        Whether it returns images, affine in those that it is given.
    """

    name: str
    needs: tuple[str, ...]
    draws: tuple[str, ...] = ()
    images: bool = True


ROLES: dict[str, Role] = {role.name: role for role in (
    Role("q_sample", ("x_0", "t", "noise"), ("noise", "t")),
    Role("q_posterior", ("x_0", "x_t", "t")),
    Role("predict_x0", ("x_t", "t", "eps")),
    Role("mean_from_eps", ("x_t", "t", "eps")),
    Role("p_mean_variance", ("model", "x_t", "t")),
    Role("p_sample", ("model", "x_t", "t", "noise"), ("noise",)),
    Role("sample", ("model", "x_T"), ("x_T",)),
    Role("simple_loss", ("model", "x_0", "t", "noise"), ("t", "noise"), images=False),
    Role("ddim_step", ("model", "x_t", "t", "eta", "noise"), ("noise",)),
    Role("q_step", ("x_prev", "t", "noise"), ("noise",)),
    Role("predict_eps", ("x_t", "t", "x_0")),
    Role("x0_from_mean", ("x_t", "t", "x_prev")),
    Role("velocity", ("x_0", "t", "noise")),
    Role("x0_from_velocity", ("x_t", "t", "v")),
    Role("eps_from_velocity", ("x_t", "t", "v")),
    Role("score_from_eps", ("x_t", "t", "eps")),
    Role("vlb_term", ("model", "x_0", "x_t", "t"), images=False),
    Role("vlb", ("model", "x_0"), images=False),
    Role("prior_kl", ("x_0",), images=False),
    Role("kl", ("mean1", "logvar1", "mean2", "logvar2"), images=False),
    Role("decoder_log_likelihood", ("x_0", "mean", "log_scale"), images=False),
)}


@dataclass(frozen=True)
class Probe:
    """Arguments for one trial: t is the paper's, all arrays (N, …) or (N,).

    Parameters
    ----------
    case : Case
        The schedule.
    values : dict
        Arguments by kind.
    """

    case: Case
    values: dict[str, Any]

    @property
    def t(self) -> np.ndarray:
        """The steps (N,)."""
        return self.values["t"]


@cache
def probe(role: str, which: int = 0) -> Probe:
    """Return the arguments of a trial: every t of six steps, with images that a clip changes.

    Parameters
    ----------
    role : str
        The method.
    which : int
        0 for pairs of numbers; 1 for images of 2×2×3, one more of them than there are rows.

    Returns
    -------
    Probe
        The arguments.
    """
    case = plain_cases()[1]
    rng = np.random.default_rng(which)
    t = np.array([1, 2, 3, 4, 5, 6, 2, 5])
    shape = (len(t), 2) if which == 0 else (len(t), 3, 2, 2)

    def quarters() -> np.ndarray:
        return rng.integers(-8, 9, shape) / 4 + 0.125

    values: dict[str, Any] = {"t": t, "T": case.T, "n": len(t), "eta": 0.5}
    for kind in ("x_0", "x_t", "x_prev", "noise", "eps", "v", "mean1", "logvar1", "mean2", "logvar2", "x_T"):
        values[kind] = quarters()
    values["noises"] = np.concatenate([np.zeros((1, *shape)), rng.integers(-8, 9, (case.T, *shape)) / 4 + 0.125])
    if role in ("vlb", "vlb_term", "prior_kl", "decoder_log_likelihood"):
        values["x_0"] = rng.integers(1, 255, shape) * 2 / 255 - 1
        values["mean"] = values["x_0"] + rng.integers(-4, 5, shape) / 200
        values["log_scale"] = np.full(shape, -4.0)
    tilt = np.linspace(0.5, 1.5, case.T + 1)

    def model(x: np.ndarray, t: np.ndarray) -> np.ndarray:
        return 0.3 * x + (tilt[t] / 2).reshape(-1, *[1] * (x.ndim - 1))

    values["model"] = model
    return Probe(case, values)


@cache
def _ours() -> Any:
    return ours(plain_cases()[1].betas)


@cache
def wanted(role: str, which: int = 0) -> dict[Any, Any]:
    """Return what a method must return for a `probe`, for each combination of options that it has.

    Parameters
    ----------
    role : str
        The method.
    which : int
        The probe.

    Returns
    -------
    dict
        Arrays by combination, or by None for a method without options.
    """
    p = probe(role, which)
    v, target = p.values, _ours()
    method = getattr(target, role)
    if role in ("p_mean_variance", "p_sample", "sample"):
        found = {}
        for variance, clip in COMBINATIONS:
            arguments = {"p_mean_variance": (v["model"], v["x_t"], v["t"]),
                         "p_sample": (v["model"], v["x_t"], v["t"], v["noise"]),
                         "sample": (v["model"], v["x_T"], v["noises"])}[role]
            found[variance, clip] = method(*arguments, variance=variance, clip=clip)
        return found
    if role == "ddim_step":
        return {None: method(v["model"], v["x_t"], v["t"], v["t"] - 1, v["eta"], v["noise"])}
    if role == "vlb":
        return {None: method(v["model"], v["x_0"], v["noises"])}
    return {None: method(*(v[kind] for kind in ROLES[role].needs))}
