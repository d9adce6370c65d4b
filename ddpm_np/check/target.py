"""An implementation behind the protocol of a check target: called by its own conventions, its results validated.

Every method of the protocol is a method here, with the paper's t and in our units. Where the target declares another
convention (`conventions`), arguments and results are converted, and the use is noted. A missing method raises
`Missing`; a result that is not an array of finite numbers of the right shape raises `Wrong`.
"""

from __future__ import annotations

import contextlib
import inspect
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ddpm_np.check.calls import Calls, Missing, Wrong, arrays_of, described, names_of, offers, stop_if_gpu_failed, takes
from ddpm_np.check.exact import Case
from ddpm_np.check.offered import NotOffered, Offered, asked

Model = Callable[[np.ndarray, np.ndarray], np.ndarray]
First = tuple["Target", tuple[Any, ...], dict[str, Any], list[np.ndarray]]  # a call: arguments, options, numbers

CONVENTIONS: dict[str, tuple[Any, ...]] = {  # the first is ours
    "index_base": (1, 0),
    "unit": ("bits", "nats"),
    "reduction": ("mean", "sum"),
    "precision": ("float64", "float32"),
    "embedding": ("sin_cos", "cos_sin", "sin_cos_half", "cos_sin_half", "interleaved_half"),
    "first_variance": ("clipped", "posterior", "beta"),
    "range": ((-1, 1), (0, 1)),
}
METHODS = (
    "alpha_bar", "q_step", "q_sample", "q_posterior", "posterior_log_variance_clipped", "predict_x0", "predict_eps",
    "mean_from_eps", "score_from_eps", "velocity", "x0_from_velocity", "eps_from_velocity", "p_mean_variance",
    "learned_range_variance", "p_sample", "sample", "ddim_step", "timesteps", "kl", "decoder_log_likelihood",
    "prior_kl", "vlb_term", "vlb", "eq12_weight", "simple_loss", "draw_t", "draw_noise", "time_embedding", "schedule",
)


DEFAULTS = {"variance": "small", "clip": False, "predicts": "eps"}  # of a method that lacks the option


class Declared:
    """A target's conventions, validated; `used` holds the names of those that affected a call."""

    def __init__(self, conventions: Any):
        if not isinstance(conventions, dict):
            raise ValueError(f"conventions must be a dict, got {type(conventions).__name__}")
        unknown = set(conventions) - set(CONVENTIONS)
        if unknown:
            raise ValueError(f"conventions: {sorted(unknown)[0]!r} is unknown: there are {', '.join(CONVENTIONS)}")
        self.values: dict[str, Any] = {}
        for name, allowed in CONVENTIONS.items():
            value = conventions.get(name, allowed[0])
            value = tuple(value) if isinstance(value, list) else value
            if value not in allowed:
                raise ValueError(f"conventions: {name} must be one of {', '.join(map(repr, allowed))}, got {value!r}")
            self.values[name] = value
        self.used: set[str] = set()

    def __getitem__(self, name: str) -> Any:
        """Return a convention's value, noting it as used if it differs from ours."""
        if self.values[name] != CONVENTIONS[name][0]:
            self.used.add(name)
        return self.values[name]

    def describe(self) -> str:
        """Describe the conventions that were used."""
        return ", ".join(f"{name} {self.values[name]!r}" for name in sorted(self.used))


class Target:
    """The object that a factory makes for a case's betas, behind the protocol.

    Parameters
    ----------
    factory : callable
        betas -> object.
    case : Case
        The schedule.
    declared : Declared or None
        Conventions whose `used` set is shared, so that it covers all cases.
    """

    def __init__(self, factory: Callable[[np.ndarray], Any], case: Case, declared: Declared | None = None):
        self.case, self.T, self.calls = case, case.T, Calls(case.betas.copy())
        self._taken: dict[tuple[str, str], bool] = {}  # whether a method takes an option
        self.first: dict[str, First] = {}
        self.offered = Offered()
        try:
            self.object = self.calls.make(factory)
            conventions = getattr(self.object, "conventions", {})
            self.declared = Declared(conventions() if callable(conventions) else conventions)
        except NotImplementedError as error:
            raise Missing(f"a schedule of {case.T} steps ({described(error)})") from error
        except Wrong as error:
            raise Wrong(f"{error}, for {case!r}") from error
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            stop_if_gpu_failed(error)
            raise Wrong(f"the factory raised {described(error)} for {case!r}") from error
        if declared is not None:
            self.declared.used = declared.used  # shared between all cases

    def has(self, method: str) -> bool:
        """Return whether the target has a method of this name."""
        return offers(self.object, method)

    def call(self, method: str, *args: Any, **options: Any) -> Any:
        """Call a method with copies of the arguments; raise `Missing`, for an option `NotOffered`, or `Wrong`.

        The first call of each method is kept.
        """
        if not self.has(method):
            raise Missing(method)
        function = getattr(self.object, method)
        names = NAMES.get(method) or names_of(function, len(args))
        what = asked(names, args, options)
        for name in options:
            if (method, name) not in self._taken:
                self._taken[method, name] = takes(function, name)
        taken = {name: value for name, value in options.items() if self._taken[method, name]}
        for name in set(options) - set(taken):
            if options[name] != DEFAULTS.get(name):
                raise NotOffered(method, what, repr(self.case))
        try:
            result = self.calls(method, function, args, taken, names)
        except NotImplementedError as error:
            raise NotOffered(method, what, repr(self.case), " ".join(str(error).split())) from error
        except (Missing, Wrong, KeyboardInterrupt):  # the first two raised by `calls`, or inside the model
            raise
        except BaseException as error:
            stop_if_gpu_failed(error)
            counts = self.declared.values["index_base"] == 1 and isinstance(error, IndexError)
            hint = "; if it counts t from 0, declare conventions = {'index_base': 0}" if counts else ""
            raise Wrong(f"{method} raised {described(error)}{hint}") from error
        self.offered.answer(method, what)
        if method in METHODS and not any(isinstance(a, np.random.Generator) for a in args):
            self.first.setdefault(method, (self, args, options, [array.copy() for array in arrays_of(result)]))
        return result

    def again(self, method: str, tolerance: float) -> None:
        """Repeat the call of a method that was kept; raise `Wrong` if it gives other numbers.

        A last call with the batch reversed writes other numbers into a buffer that the method may keep, which `calls`
        then finds in the result of the call before.
        """
        target, args, options, before = self.first[method]
        with target.asking(*args, **options):
            now = arrays_of(target.call(method, *args, **options))
            for a, b in zip(before, now, strict=False):
                scale = np.abs(a).max(initial=0.0)
                if a.shape != b.shape or not np.allclose(a, b, rtol=0, atol=tolerance * scale, equal_nan=True):
                    raise Wrong(f"{method} returned other numbers when it was called again with the same arguments")
            if len({len(a) for a in args if isinstance(a, np.ndarray)}) == 1:
                target.call(method, *(a[::-1] if isinstance(a, np.ndarray) else a for a in args), **options)

    def array(self, method: str, shape: tuple[int, ...], *args: Any, **options: Any) -> np.ndarray:
        """Call a method that returns one array of the given shape."""
        with self.asking(*args, **options):
            return self.looked_at(method, self.call(method, *args, **options), shape)

    def arrays(self, method: str, shapes: list[tuple[int, ...] | None], *args: Any, **options: Any) -> list[np.ndarray]:
        """Call a method that returns several arrays of the given shapes; those without a shape are not looked at."""
        with self.asking(*args, **options):
            results = self.call(method, *args, **options)
            if not isinstance(results, (tuple, list)) or len(results) != len(shapes):
                found = f"{len(results)} values" if isinstance(results, (tuple, list)) else type(results).__name__
                raise Wrong(f"{method} returned {found}, expected {len(shapes)} arrays")
            return [self.looked_at(method, result, shape) for result, shape in zip(results, shapes, strict=True)
                    if shape is not None]

    @contextlib.contextmanager
    def asking(self, *args: Any, **options: Any) -> Iterator[None]:
        """Add the arguments of the call to the message of a `Wrong` raised in the context."""
        try:
            yield
        except Wrong as error:
            steps = [a for a in args if isinstance(a, np.ndarray) and a.dtype.kind == "i"]
            asked = [repr(self.case), *(f"t={t.tolist()}" for t in steps[:1] if t.size <= 8),
                     *(f"{name}={value!r}" for name, value in options.items())]
            raise Wrong(f"{error}; asked for {', '.join(asked)}") from error

    def looked_at(self, method: str, result: Any, shape: tuple[int, ...]) -> np.ndarray:
        """Return the result as float64 after checking its shape, dtype and finiteness; raise `Wrong` otherwise."""
        try:
            found = np.asarray(result)
        except Exception as error:
            raise Wrong(f"{method} returned a {type(result).__name__}, not an array: {described(error)}") from error
        if found.dtype.kind != "f":
            what = "nothing" if result is None else f"dtype {found.dtype}"
            raise Wrong(f"{method} returned {what}, expected floating numbers")
        if found.shape != shape:
            raise Wrong(f"{method} returned shape {found.shape}, expected {shape}")
        if found.dtype.itemsize < 8 and self.declared.values["precision"] == "float64":
            raise Wrong(f"{method} returned {found.dtype} for float64 arguments: compute in float64, or declare "
                        "conventions = {'precision': 'float32'}")
        found = found.astype(np.float64)
        if not np.isfinite(found).all():
            index = tuple(int(i[0]) for i in np.nonzero(~np.isfinite(found)))
            raise Wrong(f"{method} returned {found[index]}" + (f" at index {index}" if index else ""))
        return found

    # Into the target's index base

    def steps(self, t: np.ndarray) -> np.ndarray:
        """Convert t to the target's index base."""
        if self.declared["index_base"] == 0:
            return t - 1
        return t

    def model(self, model: Model) -> Model:
        """Wrap a model of the paper's t for a target that calls it with its own index base."""
        base = self.declared["index_base"]

        def ask(x: Any, t: Any) -> np.ndarray:
            x, t = np.array(x), np.asarray(t)  # a copy: the target may use its x again
            if t.dtype.kind not in "iu":
                if (t != np.floor(t)).any():
                    raise Wrong(f"the model was called at t = {t.flat[0]}, which is not an integer")
                t = t.astype(np.int64)
            t = np.broadcast_to(t, x.shape[:1]) + (1 - base)
            if (t < 1).any() or (t > self.T).any():
                raise Wrong(f"the model was called at t = {t[(t < 1) | (t > self.T)][0]}, outside 1..T = {self.T}")
            return np.array(model(x, t))

        return ask

    @property
    def range(self) -> tuple[int, int]:
        """Range of the data, to which x̂₀ is clipped and over which the decoder's 256 levels extend."""
        return self.declared["range"]

    def first_variance(self, t: np.ndarray) -> str:
        """Return the convention for σ₁²: "clipped" (β̃₂), "posterior" (β̃₁ = 0) or "beta" (β₁); used only at t = 1."""
        return self.declared["first_variance"] if (t == 1).any() else "clipped"

    # The protocol

    def alpha_bar(self) -> np.ndarray:
        return self.array("alpha_bar", (self.T + 1,))

    def q_step(self, x_prev: np.ndarray, t: np.ndarray, noise: np.ndarray) -> np.ndarray:
        return self.array("q_step", x_prev.shape, x_prev, self.steps(t), noise)

    def q_sample(self, x_0: np.ndarray, t: np.ndarray, noise: np.ndarray) -> np.ndarray:
        return self.array("q_sample", x_0.shape, x_0, self.steps(t), noise)

    def q_posterior(self, x_0: np.ndarray, x_t: np.ndarray, t: np.ndarray) -> list[np.ndarray]:
        return self.arrays("q_posterior", [x_t.shape] * 2, x_0, x_t, self.steps(t))

    def posterior_log_variance_clipped(self, t: np.ndarray) -> np.ndarray:
        return self.array("posterior_log_variance_clipped", t.shape, self.steps(t))

    def predict_x0(self, x_t: np.ndarray, t: np.ndarray, eps: np.ndarray) -> np.ndarray:
        return self.array("predict_x0", x_t.shape, x_t, self.steps(t), eps)

    def predict_eps(self, x_t: np.ndarray, t: np.ndarray, x_0: np.ndarray) -> np.ndarray:
        return self.array("predict_eps", x_t.shape, x_t, self.steps(t), x_0)

    def mean_from_eps(self, x_t: np.ndarray, t: np.ndarray, eps: np.ndarray) -> np.ndarray:
        return self.array("mean_from_eps", x_t.shape, x_t, self.steps(t), eps)

    def score_from_eps(self, x_t: np.ndarray, t: np.ndarray, eps: np.ndarray) -> np.ndarray:
        return self.array("score_from_eps", x_t.shape, x_t, self.steps(t), eps)

    def velocity(self, x_0: np.ndarray, t: np.ndarray, noise: np.ndarray) -> np.ndarray:
        return self.array("velocity", x_0.shape, x_0, self.steps(t), noise)

    def x0_from_velocity(self, x_t: np.ndarray, t: np.ndarray, v: np.ndarray) -> np.ndarray:
        return self.array("x0_from_velocity", x_t.shape, x_t, self.steps(t), v)

    def eps_from_velocity(self, x_t: np.ndarray, t: np.ndarray, v: np.ndarray) -> np.ndarray:
        return self.array("eps_from_velocity", x_t.shape, x_t, self.steps(t), v)

    def p_mean_variance(self, model: Model, x_t: np.ndarray, t: np.ndarray, **options: Any) -> list[np.ndarray]:
        """Return mean, variance and x̂₀; `options` are variance= and clip=."""
        return self.of_p_mean_variance("mean variance x0", model, x_t, t, **options)

    def of_p_mean_variance(self, wanted: str, model: Model, x_t: np.ndarray, t: np.ndarray,
                           **options: Any) -> list[np.ndarray]:
        """Return those wanted of mean, variance and x0, whatever the others are."""
        shapes = [x_t.shape if part in wanted.split() else None for part in ("mean", "variance", "x0")]
        return self.arrays("p_mean_variance", shapes, self.model(model), x_t, self.steps(t), **options)

    def learned_range_variance(self, v: np.ndarray, t: np.ndarray) -> np.ndarray:
        return self.array("learned_range_variance", v.shape, v, self.steps(t))

    def p_sample(self, model: Model, x_t: np.ndarray, t: np.ndarray, noise: np.ndarray, **options: Any) -> np.ndarray:
        return self.array("p_sample", x_t.shape, self.model(model), x_t, self.steps(t), noise, **options)

    def sample(self, model: Model, x_T: np.ndarray, noises: np.ndarray, **options: Any) -> np.ndarray:
        return self.array("sample", x_T.shape, self.model(model), x_T, noises, **options)

    def ddim_step(self, model: Model, x_t: np.ndarray, t: np.ndarray, t_prev: np.ndarray, eta: float,
                  noise: np.ndarray) -> np.ndarray:
        return self.array("ddim_step", x_t.shape, self.model(model), x_t, self.steps(t), self.steps(t_prev), eta, noise)

    def timesteps(self, n: int) -> np.ndarray:
        """Return the n steps in the paper's index base, in the target's order."""
        result = self.call("timesteps", n)
        try:
            found = np.asarray(result)
        except Exception as error:
            raise Wrong(f"timesteps({n}) returned a {type(result).__name__}: {described(error)}") from error
        if found.ndim != 1 or found.dtype.kind not in "iu":
            raise Wrong(f"timesteps({n}) returned {found.dtype} of shape {found.shape}, expected {n} ints")
        return found.astype(np.int64) + (1 - self.declared["index_base"])

    def kl(self, mean1: np.ndarray, logvar1: np.ndarray, mean2: np.ndarray, logvar2: np.ndarray) -> np.ndarray:
        return self.array("kl", mean1.shape, mean1, logvar1, mean2, logvar2)

    def decoder_log_likelihood(self, x_0: np.ndarray, mean: np.ndarray, log_scale: np.ndarray) -> np.ndarray:
        return self.array("decoder_log_likelihood", x_0.shape, x_0, mean, log_scale)

    def prior_kl(self, x_0: np.ndarray) -> np.ndarray:
        return self.in_bits("prior_kl", x_0, x_0)

    def vlb_term(self, model: Model, x_0: np.ndarray, x_t: np.ndarray, t: np.ndarray, **options: Any) -> np.ndarray:
        return self.in_bits("vlb_term", x_0, self.model(model), x_0, x_t, self.steps(t), **options)

    def vlb(self, model: Model, x_0: np.ndarray, noises: np.ndarray, **options: Any) -> np.ndarray:
        return self.in_bits("vlb", x_0, self.model(model), x_0, noises, **options)

    def in_bits(self, method: str, x_0: np.ndarray, *args: Any, **options: Any) -> np.ndarray:
        """Call a method and convert its result to bits per dimension, (N,)."""
        found = self.array(method, x_0.shape[:1], *args, **options)
        if self.declared["unit"] == "nats":
            found = found / math.log(2)
        if self.declared["reduction"] == "sum":
            found = found / max(1, math.prod(x_0.shape[1:]))
        return found

    def eq12_weight(self, t: np.ndarray, **options: Any) -> np.ndarray:
        return self.array("eq12_weight", t.shape, self.steps(t), **options)

    def simple_loss(self, model: Model, x_0: np.ndarray, t: np.ndarray, noise: np.ndarray) -> np.ndarray:
        found = self.array("simple_loss", x_0.shape[:1], self.model(model), x_0, self.steps(t), noise)
        return found / math.prod(x_0.shape[1:]) if self.declared["reduction"] == "sum" else found

    def draw_t(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """Return n steps in the paper's index base, (n,)."""
        found = np.asarray(self.call("draw_t", rng, n))
        if found.dtype.kind not in "iu" or found.shape != (n,):
            raise Wrong(f"draw_t returned {found.dtype} of shape {found.shape}, expected {n} ints")
        return found.astype(np.int64) + (1 - self.declared["index_base"])

    def draw_noise(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        return self.array("draw_noise", shape, rng, shape)

    def time_embedding(self, t: np.ndarray, dim: int) -> np.ndarray:
        """Return the embedding of the numbers given; t is not converted."""
        return self.array("time_embedding", (len(t), dim), t, dim)

    def schedule(self, name: str, T: int) -> np.ndarray:
        return self.array("schedule", (T,), name, T)


NAMES = {method: tuple(inspect.signature(getattr(Target, method)).parameters)[1:] for method in METHODS}
