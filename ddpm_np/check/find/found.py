"""A check target made of what was found: each method calls the function that was taken for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from ddpm_np.check.exact import Case
from ddpm_np.check.find.calling import Reading, parts, perform, undirected
from ddpm_np.check.find.making import Made, Subject
from ddpm_np.check.find.matching import spread
from ddpm_np.check.find.randomness import closed
from ddpm_np.check.find.roles import ROLES
from ddpm_np.check.find.trying import drawn

CLIPPED = "p_sample, clipped"  # another function for a step with a clip


def option(variance: str, clip: bool) -> str:
    """Return the name of a constructor's options.

    Parameters
    ----------
    variance : str
        The reverse variance.
    clip : bool
        Whether x̂₀ is clipped.

    Returns
    -------
    str
        The name, for `Subject.of`.
    """
    return f"{variance}, clipped" if clip else variance


@dataclass(frozen=True)
class Taken:
    """A function, or a table, that was taken for a method.

    Parameters
    ----------
    method : str
        The method of a check target.
    subject : Subject
        The class or module it belongs to.
    reading : Reading
        How it is called; for a table, `function` is its name.
    how : str
        "numbers", "name", "integers", "parameter" or "configuration": what it was taken by.
    kind : str
        "function"; "table" for an attribute; or the kind of a function that is asked in another way.
    """

    method: str
    subject: Subject
    reading: Reading
    how: str
    kind: str = "function"


@dataclass
class Finding:
    """What was found, and what was not.

    Parameters
    ----------
    name : str
        The file, or the folder.

    Attributes
    ----------
    taken : dict
        What was taken for each method.
    questions : list of (str, str)
        Each a line of configuration, and the question that it answers.
    notes : list of str
        What could not be read or asked.
    conventions : dict
        Conventions that the target declares.
    """

    name: str
    taken: dict[str, Taken] = field(default_factory=dict)
    questions: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    conventions: dict[str, Any] = field(default_factory=dict)

    def __call__(self, betas: np.ndarray) -> Found:
        return Found(self.taken, self.conventions, betas)

    @property
    def __name__(self) -> str:
        return self.name



class Found:
    """The methods that were found, for one schedule.

    Parameters
    ----------
    taken : dict
        What was taken for each method.
    conventions : dict
        Declared conventions.
    betas : array
        β₁..β_T.
    """

    def __init__(self, taken: dict[str, Taken], conventions: dict[str, Any], betas: np.ndarray):
        self._taken, self.conventions, self._betas = taken, conventions, betas
        for entry in {id(entry.subject): entry for entry in taken.values()}.values():
            entry.subject.of(betas)  # a schedule that cannot be had is said now
        self._methods: dict[str, Callable[..., Any]] = {
            name: getattr(self, f"_{name}", None) or self._plain(name) for name in taken
            if name in ROLES or hasattr(self, f"_{name}")}
        for method in ("p_sample", "p_mean_variance"):
            if "mean_from_eps" not in taken and method in taken and (
                    self._can(method, "small", False) or self._can(method, "large", False)):
                self._methods["mean_from_eps"] = partial(self._mean_of_a_step, method)
        if "p_mean_variance" not in taken and "p_sample" in taken and (
                "predict_x0" in taken or taken["p_sample"].how != "name"):
            self._methods["p_mean_variance"] = self._step_apart
        if "draw_t" not in taken and "simple_loss" in taken and "t" not in taken["simple_loss"].reading.kinds:
            self._methods["draw_t"] = self._t_of_the_loss

    def __getattr__(self, name: str) -> Any:
        methods = self.__dict__.get("_methods", {})
        if name not in methods:
            raise AttributeError(name)
        return methods[name]

    def __dir__(self) -> list[str]:
        return ["conventions", *self._methods]

    # Calls

    def _made(self, method: str, variance: str = "small", clip: bool = False) -> Made:
        subject = self._entry(method, clip).subject
        options = subject.of(self._betas).options
        return subject.of(self._betas, option(variance if variance in options else "small",
                                              clip and "clipped" in options))

    def _entry(self, method: str, clip: bool = False) -> Taken:
        """Return what was taken for a method; for a step with a clip it can be another function."""
        return self._taken[CLIPPED if method == "p_sample" and clip and CLIPPED in self._taken else method]

    def _t(self, t: np.ndarray) -> np.ndarray:
        """Return the paper's t."""
        return t + 1 - self.conventions.get("index_base", 1)

    def _model(self, model: Callable[..., Any]) -> Callable[..., Any]:
        base = self.conventions.get("index_base", 1)
        return lambda x, t: np.asarray(model(x, t - 1 + base))

    def _perform(self, method: str, values: dict[str, Any], variance: str = "small", clip: bool = False,
                 ) -> dict[Any, np.ndarray]:
        entry = self._entry(method, clip)
        if entry.reading.doubled:
            values = {**values, "v_range": np.array(1.0 if variance == "large" else -1.0)}
        return perform(self._made(method, variance, clip), entry.reading, values, drawn(ROLES[method], entry.reading),
                       clip)

    def _can(self, method: str, variance: str, clip: bool) -> bool:
        return (variance, clip) in self._entry(method, clip).reading.combinations

    def _need(self, method: str, variance: str, clip: bool) -> None:
        if not self._can(method, variance, clip):
            raise NotImplementedError(f"{self._taken[method].reading.function} has not the option")

    def _part(self, method: str, found: dict[Any, np.ndarray], what: str, like: np.ndarray,
              clip: bool = False) -> np.ndarray:
        array = found[self._entry(method, clip).reading.parts[what]]
        return array.reshape(like.shape) if array.size == like.size else array

    def _plain(self, method: str) -> Callable[..., Any]:
        role = ROLES[method]

        def asked(*args: np.ndarray) -> np.ndarray:
            values: dict[str, Any] = dict(zip(role.needs, args, strict=True))
            if "t" in values:
                values["t"] = self._t(values["t"])
            if "eps" in values and "eps" not in self._taken[method].reading.kinds:
                eps = values["eps"]
                values["model"] = lambda x, t: eps
            like = next(value for kind, value in values.items() if kind != "t")
            return self._part(method, self._perform(method, values), "value", like)

        return asked

    def _alpha_bar(self) -> np.ndarray:
        table = self._made("alpha_bar").tables[self._taken["alpha_bar"].reading.function]
        return np.concatenate(([1.0], table)) if len(table) == len(self._betas) else table

    def _x0_from_mean(self, x_t: np.ndarray, t: np.ndarray, mean: np.ndarray) -> np.ndarray:
        """Return x̂₀ of μ; beyond the protocol, so t is the paper's."""
        found = self._perform("x0_from_mean", {"x_t": x_t, "t": t, "x_prev": mean})
        return self._part("x0_from_mean", found, "value", x_t)

    def _posterior_log_variance_clipped(self, t: np.ndarray) -> np.ndarray:
        entry = self._taken["posterior_log_variance_clipped"]
        if entry.kind == "function":
            x = np.zeros((len(t), 1))
            found = perform(entry.subject.of(self._betas), entry.reading, {"x_0": x, "x_t": x, "t": self._t(t)})
            return found[entry.reading.parts["log_variance"]].reshape(t.shape)
        table = self._made("posterior_log_variance_clipped").tables[entry.reading.function]
        return table[self._t(t) - 1 + (len(table) - len(self._betas))]

    def _q_posterior(self, x_0: np.ndarray, x_t: np.ndarray, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        steps = self._t(t)
        found = self._perform("q_posterior", {"x_0": x_0, "x_t": x_t, "t": steps})
        mean = self._part("q_posterior", found, "value", x_t)
        if "variance" in self._taken["q_posterior"].reading.parts:
            variance = spread(found[self._taken["q_posterior"].reading.parts["variance"]], x_t)
        else:  # at t = 1 a table may have β̃₂, for its logarithm; the posterior is a point there
            beta_tilde = self._posterior_variance(steps)
            clipped = self._taken["posterior_variance"].reading.parts.get("clipped")
            variance = spread(np.where(steps == 1, 0.0, beta_tilde) if clipped else beta_tilde, x_t)
        assert variance is not None
        return mean, variance.copy()

    def _posterior_variance(self, steps: np.ndarray) -> np.ndarray:
        """Return β̃_t (N,) of a table, or of a function of t."""
        entry = self._taken["posterior_variance"]
        made = entry.subject.of(self._betas)
        if entry.kind == "table":
            table = made.tables[entry.reading.function]
            return table[steps - 1 + (len(table) - len(self._betas))]
        return np.asarray(perform(made, entry.reading, {"t": steps})[entry.reading.parts["value"]], dtype=np.float64)

    def _p_mean_variance(self, model: Any, x_t: np.ndarray, t: np.ndarray, variance: str = "small",
                         clip: bool = False) -> tuple[np.ndarray, ...]:
        self._need("p_mean_variance", variance, clip)
        parts = self._taken["p_mean_variance"].reading.parts
        values: dict[str, Any] = {"model": self._model(model), "x_t": x_t, "t": self._t(t)}
        found = self._perform("p_mean_variance", values, variance, clip)
        logs = "log_variance" in parts
        spread_out = spread(found[parts["log_variance" if logs else "variance"]], x_t)
        assert spread_out is not None
        sigma2 = np.exp(spread_out) if logs else spread_out.copy()
        if "stated" in parts:
            sigma2 = self._stated(found[parts["stated"]], sigma2, values["t"])
        mean = self._part("p_mean_variance", found, "value", x_t)
        return mean, sigma2, self._x0_of("p_mean_variance", found, values, t, clip)

    def _x0_of(self, method: str, found: dict[Any, np.ndarray], values: dict[str, Any], t: np.ndarray, clip: bool,
               ) -> np.ndarray:
        """Return the x̂₀ of a step: a part of its result, or that of predict_x0, clipped where the step clips."""
        x_t = values["x_t"]
        parts = self._entry(method, clip).reading.parts
        if "x0" in parts and (clip or not parts.get("clipped")):
            return self._part(method, found, "x0", x_t, clip)
        if "predict_x0" not in self._taken:
            if self._taken[method].how == "name":
                raise NotImplementedError("the code shows no x̂₀")
            return self._x0_by_the_mean(self._part(method, found, "value", x_t, clip), x_t, values["t"])
        x0 = self._methods["predict_x0"](x_t, t, values["model"](x_t, values["t"]))
        return np.clip(x0, -1, 1) if clip else x0

    def _x0_by_the_mean(self, mean: np.ndarray, x_t: np.ndarray, steps: np.ndarray) -> np.ndarray:
        """Return the x̂₀ whose posterior (7) has the mean of a step."""
        rows = Case(self._betas.tolist()).rows(steps, x_t)
        return (mean - rows.xt * x_t) / rows.x0

    def _p_sample(self, model: Any, x_t: np.ndarray, t: np.ndarray, noise: np.ndarray, variance: str = "small",
                  clip: bool = False) -> np.ndarray:
        self._need("p_sample", variance, clip)
        values = {"model": self._model(model), "x_t": x_t, "t": self._t(t), "noise": noise}
        return self._part("p_sample", self._perform("p_sample", values, variance, clip), "value", x_t, clip)

    def _mean_of_a_step(self, method: str, x_t: np.ndarray, t: np.ndarray, eps: np.ndarray) -> np.ndarray:
        """Return μ_θ: the mean of a step, or a step without noise."""
        variance = "small" if self._can(method, "small", False) else "large"
        if method == "p_sample":
            return self._p_sample(lambda x, s: eps, x_t, t, 0 * x_t, variance)
        values = {"model": lambda x, s: eps, "x_t": x_t, "t": self._t(t)}
        return self._part(method, self._perform(method, values, variance), "value", x_t)

    def _step_apart(self, model: Any, x_t: np.ndarray, t: np.ndarray, variance: str = "small",
                    clip: bool = False) -> tuple[np.ndarray, ...]:
        """Return mean, variance and x̂₀ of a step: its result for z = 0 and z = 1."""
        self._need("p_sample", variance, clip)
        values = {"model": self._model(model), "x_t": x_t, "t": self._t(t), "noise": 0 * x_t}
        found = self._perform("p_sample", values, variance, clip)
        mean = self._part("p_sample", found, "value", x_t, clip)
        one = self._part("p_sample", self._perform("p_sample", {**values, "noise": 0 * x_t + 1}, variance, clip),
                         "value", x_t, clip)
        return mean, (one - mean) ** 2, self._x0_of("p_sample", found, values, t, clip)

    def _sample(self, model: Any, x_T: np.ndarray, noises: np.ndarray, variance: str = "small",
                clip: bool = False) -> np.ndarray:
        self._need("sample", variance, clip)
        entry = self._taken["sample"]
        if entry.kind == "steps":
            return self._by_steps(model, x_T, noises, variance, clip)
        values = {"model": self._model(model), "x_T": x_T, "noises": noises}
        result = self._part("sample", self._perform("sample", values, variance, clip), "value", x_T)
        return 2 * result - 1 if entry.reading.scale == 2 else result

    def _by_steps(self, model: Any, x: np.ndarray, noises: np.ndarray, variance: str, clip: bool) -> np.ndarray:
        base = self.conventions.get("index_base", 1)
        for t in range(len(self._betas), 0, -1):
            x = self._p_sample(model, x, np.full(len(x), t - 1 + base), noises[t], variance, clip)
        return x

    def _simple_loss(self, model: Any, x_0: np.ndarray, t: np.ndarray, noise: np.ndarray) -> np.ndarray:
        values = {"model": self._model(model), "x_0": x_0, "t": self._t(t), "noise": noise}
        found = self._perform("simple_loss", values)
        value = found[self._taken["simple_loss"].reading.parts["value"]]
        return value.reshape(len(x_0), -1).mean(axis=1)

    def _vlb_term(self, model: Any, x_0: np.ndarray, x_t: np.ndarray, t: np.ndarray, variance: str = "small",
                  ) -> np.ndarray:
        self._need_variance("vlb_term", variance)
        values = {"model": self._model(model), "x_0": x_0, "x_t": x_t, "t": self._t(t)}
        return self._part("vlb_term", self._perform("vlb_term", values, variance), "value", np.empty(len(x_0)))

    def _vlb(self, model: Any, x_0: np.ndarray, noises: np.ndarray, variance: str = "small") -> np.ndarray:
        self._need_variance("vlb", variance)
        values = {"model": self._model(model), "x_0": x_0, "noises": noises}
        return self._part("vlb", self._perform("vlb", values, variance), "value", np.empty(len(x_0)))

    def _prior_kl(self, x_0: np.ndarray) -> np.ndarray:
        return self._part("prior_kl", self._perform("prior_kl", {"x_0": x_0}), "value", np.empty(len(x_0)))

    def _learned_range_variance(self, v: np.ndarray, t: np.ndarray) -> np.ndarray:
        """Return σ_t² of a net whose second half is v."""
        entry = self._taken["learned_range_variance"]
        values: dict[str, Any] = {"model": lambda x, s: 0 * x, "x_t": 0 * v, "t": self._t(t), "v_range": v}
        found = perform(self._made("learned_range_variance", "learned"), entry.reading, values)
        logs = "log_variance" in entry.reading.parts
        result = spread(found[entry.reading.parts["log_variance" if logs else "variance"]], v)
        assert result is not None
        sigma2 = np.exp(result) if logs else result.copy()
        stated = entry.reading.parts.get("stated")
        return sigma2 if stated is None else self._stated(found[stated], sigma2, values["t"])

    def _stated(self, variance: np.ndarray, sigma2: np.ndarray, steps: np.ndarray) -> np.ndarray:
        """Return the variance that is stated beside its logarithm, but at t = 1, where it may be β̃₁ = 0."""
        found = spread(variance, sigma2)
        assert found is not None
        return np.where((steps == 1).reshape(-1, *[1] * (sigma2.ndim - 1)), sigma2, found)

    def _need_variance(self, method: str, variance: str) -> None:
        entry = self._taken[method]
        if variance == "large" and "large" not in entry.subject.of(self._betas).options:
            raise NotImplementedError("its variance is one")

    def _t_of_the_loss(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """Return the t at which the loss asks the net."""
        entry = self._taken["simple_loss"]
        made = entry.subject.of(self._betas)
        seed_all(rng, made)
        x = np.zeros((n, 1))
        reading = entry.reading.changed(time="batch")
        perform(made, reading, {"model": lambda x, t: 0 * x, "x_0": x, "noise": x},
                tuple(k for k in ("noise",) if k not in reading.kinds))
        return made.hook.asked[-1][1] - 1 + self.conventions.get("index_base", 1)

    def _ddim_step(self, model: Any, x_t: np.ndarray, t: np.ndarray, t_prev: np.ndarray, eta: float,
                   noise: np.ndarray) -> np.ndarray:
        """Take the step of each image in an object that keeps t_prev and t; the net is asked for the whole batch."""
        entry, result, steps = self._taken["ddim_step"], np.empty_like(x_t), self._t(t)
        net = self._model(model)
        for i, before in enumerate(self._t(t_prev).tolist()):
            kept = np.array([before, steps[i]] if before > 0 else [steps[i]])

            def ask(x: np.ndarray, t: np.ndarray, i: int = i) -> np.ndarray:
                images, times = x_t.copy(), steps.copy()
                images[i], times[i] = x.reshape(x_t[i].shape), t[0]
                return net(images, times)[i:i + 1]

            values = {"model": ask, "x_t": x_t[i:i + 1], "t": np.array([len(kept)]), "eta": eta,
                      "noise": noise[i:i + 1]}
            found = perform(entry.subject.respaced(self._betas, kept), entry.reading, values,
                            drawn(ROLES["ddim_step"], entry.reading))
            result[i] = found[entry.reading.parts["value"]].reshape(x_t[i].shape)
        return result

    def _respace(self, model: Any, steps: list[int]) -> tuple[np.ndarray, np.ndarray, Callable[..., np.ndarray]]:
        """Return β', ᾱ' and what the net of an object with these steps of the paper says."""
        entry, levels, n = self._taken["respace"], self._taken.get("alpha_bar"), len(steps)
        if levels is None or levels.subject is not entry.subject:
            raise NotImplementedError("its table of ᾱ was not found")
        made = entry.subject.respaced(self._betas, np.array(sorted(steps)))
        alpha_bar = made.tables[levels.reading.function]

        def respaced(x: np.ndarray, t: np.ndarray) -> np.ndarray:
            said: list[np.ndarray] = []

            def ask(x: np.ndarray, t: np.ndarray) -> np.ndarray:
                said.append(np.asarray(model(x, t)))
                return said[-1]

            perform(made, self._taken["p_mean_variance"].reading, {"model": ask, "x_t": x, "t": t})
            return np.asarray(said[-1])

        return (made.tables[entry.reading.function][:n],
                np.concatenate(([1.0], alpha_bar))[:n + 1] if len(alpha_bar) <= max(n, 2) else alpha_bar[:n + 1],
                respaced)

    def _timesteps(self, n: int) -> np.ndarray:
        steps = self._taken["timesteps"].reading.parts["ask"](len(self._betas), n)
        return steps + self.conventions.get("index_base", 1)  # theirs are counted from 0

    def _draw_noise(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        """Return the noise that q_sample draws: its x_T of x₀ = 0 in units of that of noise 1."""
        entry, values = self._taken["draw_noise"], {"x_0": np.zeros(shape), "t": np.full(shape[0], len(self._betas))}
        made, key = entry.subject.of(self._betas), entry.reading.parts["value"]
        unit = perform(made, entry.reading, {**values, "noise": np.ones(shape)})[key].reshape(shape)
        seed_all(rng, made)
        return undirected(made, entry.reading, values)[key].reshape(shape) / unit

    def _draw_t(self, rng: np.random.Generator, n: int) -> np.ndarray:
        entry = self._taken["draw_t"]
        made = entry.subject.of(self._betas)
        seed_all(rng, made)
        if entry.kind == "sampler":
            given = {name: n if kind == "n" else "cpu" for name, kind in entry.reading.given}
            with closed():
                steps = parts(entry.reading.parts["class"](made.object).sample(**given))
            whole = next(values for values in steps.values() if values.dtype.kind in "iu")
            return whole.reshape(-1) - entry.reading.base + self.conventions.get("index_base", 1)
        found = perform(made, entry.reading, {"x_T": np.zeros((n, 1)), "noise": np.zeros(n)})
        return next(iter(found.values())).reshape(-1) - entry.reading.base + self.conventions.get("index_base", 1)

    def _time_embedding(self, t: np.ndarray, dim: int) -> np.ndarray:
        entry = self._taken["time_embedding"]
        return entry.reading.parts["ask"](t, dim)

    def _schedule(self, name: str, T: int) -> np.ndarray:
        asked = self._taken["schedule"].reading.parts
        if name not in asked:
            raise NotImplementedError(name)
        return asked[name][1](T)


def seed_all(rng: np.random.Generator, made: Made) -> None:
    """Seed NumPy's and PyTorch's global generators from a generator."""
    np.random.seed(int(rng.integers(2**32)))  # noqa: NPY002 - the code may draw from it
    if made.torch is not None:
        made.torch.manual_seed(int(rng.integers(2**62)))


