"""Call a function in a certain reading: its arguments by kind, its t, its images' layout; and take its result apart."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any
from unittest.mock import patch

import numpy as np

from ddpm_np.check.find.hook import net
from ddpm_np.check.find.making import Made
from ddpm_np.check.find.randomness import Draws, closed, handed
from ddpm_np.check.find.replacing import array_for
from ddpm_np.check.find.stubs import Stub

IMAGES = ("x_0", "x_t", "x_prev", "noise", "eps", "v", "x_T", "mean1", "logvar1", "mean2", "logvar2", "mean",
          "log_scale")
LAYOUTS = ("any", "NCHW", "flat")
TIMES = ("batch", "one by one", "equal", "alone", "alone, a tensor", "column")  # how t is handed over
LAST = "its images before the last clip"  # key of a loop's images before it makes pictures of them
ASKED = "what it asks the net"  # key of what a function asked its net, if it asked once


@dataclass(frozen=True)
class Reading:
    """How a function is called, and where in its result the numbers are.

    Parameters
    ----------
    function : str
        The function's name.
    given : tuple of (str, str)
        Parameters and the kinds they are given.
    base : int
        The first step of its t.
    time : str
        One of `TIMES`: t for the whole batch; an int, or an array, for the images of equal t; each image by itself.
    layout : str
        "any": images as they are; "NCHW": as (N, D, 1, 1); "flat": as (N, D).
    parts : dict
        Keys of the result's parts by what they are.
    combinations : tuple
        Options that it was found to have.
    scale : float
        2 for images (x + 1)/2, which are put on −1..1 again.
    doubled : bool
        Whether the net's output has a second half, for a learned variance.
    """

    function: str
    given: tuple[tuple[str, str], ...]
    base: int = 1
    time: str = "batch"
    layout: str = "any"
    parts: dict[str, Any] = field(default_factory=dict)
    combinations: tuple[tuple[str, bool], ...] = ()
    scale: float = 1.0
    doubled: bool = False

    @property
    def kinds(self) -> frozenset[str]:
        """The kinds of arguments that the function is given."""
        return frozenset(kind for _, kind in self.given)

    def changed(self, **changes: Any) -> Reading:
        """Return the reading with some attributes changed."""
        return replace(self, **changes)


def perform(made: Made, reading: Reading, values: dict[str, Any], draws: tuple[str, ...] = (),
            clip: bool = False) -> dict[Any, np.ndarray]:
    """Call a function and return the parts of its result by their keys, the batch put together again.

    Parameters
    ----------
    made : Made
        The object for a schedule.
    reading : Reading
        How to call the function.
    values : dict
        Arguments by kind; t is the paper's.
    draws : tuple of str
        Kinds that are handed over where the function draws random numbers: "noise", "noises", "x_T", "t".
    clip : bool
        The value of a parameter that says whether x̂₀ is clipped.

    Returns
    -------
    dict
        Arrays by key, each as the function returned it, joined along the first axis.
    """
    function = made.functions[reading.function]
    if "eps" in reading.kinds and "eps" not in values:
        values = {**values, "eps": np.asarray(values["model"](values["x_t"], values["t"]))}
    rows = _groups(values, reading.time)
    collected: list[tuple[np.ndarray, dict[Any, np.ndarray]]] = []
    for here in rows:
        part = {kind: value[here] if kind in (*IMAGES, "t") and isinstance(value, np.ndarray) else
                value[:, here] if kind == "noises" else value for kind, value in values.items()}
        like = next((part[kind] for kind in IMAGES if kind in part), None)
        shape = like.shape if like is not None else ()
        made.hook.shape, made.hook.base, made.hook.asked = shape, reading.base, []
        made.hook.second, made.hook.ask = None, lambda x, t: 0 * x
        if reading.doubled:
            v = values.get("v_range", np.array(-1.0))
            made.hook.second = v[here].ravel() if v.ndim else v
        if "model" in part:
            made.hook.ask = part["model"]
            if len(rows) > 1 and "x_t" in part and "x_t" in reading.kinds and "x_0" not in reading.kinds:
                out = np.asarray(values["model"](values["x_t"], values["t"]))[here]
                made.hook.ask = lambda x, t, out=out: out  # type: ignore[misc]
        given = {name: getattr(made.object, name) if kind == "own" else given_to(kind, part, reading, made, clip)
                 for name, kind in reading.given}
        handed_over = _draws(part, reading, draws)
        with closed(), handed(handed_over), _gradients_off(made.torch), _last_clip(made) as last:
            result = called(function, given)
            found = parts(result)
        made.hook.drawn = handed_over.drawn
        if last:
            found[LAST] = last[-1]
        if len(made.hook.asked) == 1:
            found[ASKED] = made.hook.asked[0][0]
        collected.append((here, found))
    if reading.time in ("batch", "column") or "t" not in values:
        return collected[0][1]
    n = sum(len(here) for here, _ in collected)
    keys = [key for key in collected[0][1] if all(key in found for _, found in collected)]
    return {key: _joined(n, [(here, found[key]) for here, found in collected]) for key in keys}


def undirected(made: Made, reading: Reading, values: dict[str, Any]) -> dict[Any, np.ndarray]:
    """Call a function without its noise, and let it draw.

    Parameters
    ----------
    made : Made
        The object for a schedule.
    reading : Reading
        How the function is called with noise.
    values : dict
        The other arguments by kind; t is the paper's.

    Returns
    -------
    dict
        The parts of its result by their keys, images in the layout of the values.
    """
    given = {name: given_to(kind, values, reading, made, False) for name, kind in reading.given if kind != "noise"}
    with closed():
        found = parts(called(made.functions[reading.function], given))
    like = next(values[kind] for kind in IMAGES if kind in values)
    return {key: value.reshape(like.shape) if value.size == like.size and value.shape == laid_out(
        like, reading.layout).shape else value for key, value in found.items()}


def called(function: Callable[..., Any], given: dict[str, Any]) -> Any:
    """Call a function with arguments by name, those that it takes by position only by position."""
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return function(*given.values())
    positional = [name for name, p in parameters.items() if p.kind is p.POSITIONAL_ONLY and name in given]
    return function(*(given[name] for name in positional),
                    **{name: value for name, value in given.items() if name not in positional})


def _groups(values: dict[str, Any], time: str) -> list[np.ndarray]:
    n = next((len(values[kind]) for kind in ("t", *IMAGES) if isinstance(values.get(kind), np.ndarray)), 0)
    if time in ("batch", "column") or "t" not in values:
        return [np.arange(n)]
    t = values["t"]
    if time.startswith("alone"):
        return [np.array([i]) for i in range(n)]
    return [np.flatnonzero(t == step) for step in np.unique(t)]


def given_to(kind: str, values: dict[str, Any], reading: Reading, made: Made, clip: bool) -> Any:
    """Return what a parameter of a kind is given, as the code takes it."""
    if kind in IMAGES:
        return array_for(laid_out(values[kind], reading.layout), made.torch)
    if kind == "t":
        t = values["t"] - 1 + reading.base
        if reading.time in ("one by one",):
            return int(t[0])
        if reading.time == "alone, a tensor":
            return array_for(t[0], made.torch)
        return array_for(t[:, None] if reading.time == "column" else t, made.torch)
    if kind == "model":
        return net(made.hook, made.torch)
    if kind == "level":
        shape = laid_out(np.asarray(next(values[k] for k in IMAGES if k in values)), reading.layout).shape
        return array_for(made.hook.levels[values["t"] - 1].reshape(-1, *[1] * (len(shape) - 1)), made.torch)
    if kind == "shape":
        return laid_out(values["x_T"], reading.layout).shape
    if kind == "clip":
        return clip
    tables = {"betas": made.hook.betas, "alphas": 1 - made.hook.betas, "alpha_bars": made.hook.levels**2,
              "sqrt_alpha_bars": made.hook.levels, "sqrt_one_minus_alpha_bars": np.sqrt(1 - made.hook.levels**2)}
    if kind in tables:
        return array_for(tables[kind], made.torch)
    n = len(values.get("x_T", values.get("x_0", ())))
    return {"device": "cpu", "none": None, "true": True, "n": n, "T": made.hook.T,
            "seq": list(range(reading.base, made.hook.T + reading.base)), "rng": None}.get(kind, values.get(kind))


def laid_out(x: np.ndarray, layout: str) -> np.ndarray:
    """Return images in a layout of `LAYOUTS`."""
    if layout == "any":
        return x[:, None] if x.ndim == 1 else x
    flat = x.reshape(len(x), -1)
    return flat[:, :, None, None] if layout == "NCHW" else flat


def _draws(values: dict[str, Any], reading: Reading, draws: tuple[str, ...]) -> Draws:
    normals = []
    if "x_T" in draws and "x_T" not in reading.kinds:
        normals.append(values["x_T"])
    if "noise" in draws and "noise" not in reading.kinds:
        normals.append(values["noise"])
    if "noises" in draws:
        normals += list(values["noises"][:0:-1])
    t = values["t"] - 1 + reading.base if "t" in draws and "t" not in reading.kinds else None
    return Draws([laid_out(np.asarray(x), reading.layout) for x in normals], t)


@contextlib.contextmanager
def _gradients_off(torch: Any) -> Iterator[None]:
    if torch is None:
        yield
        return
    with torch.no_grad():
        yield


@contextlib.contextmanager
def _last_clip(made: Made) -> Iterator[list[np.ndarray]]:
    """Keep what is clipped first after the last question to the net: images that are then made pictures."""
    kept: list[np.ndarray] = []
    if made.torch is None:
        yield kept
        return
    counted = [-1]

    def noting(real: Callable[..., Any]) -> Callable[..., Any]:
        def clipped(x: Any, *args: Any, **options: Any) -> Any:
            if len(made.hook.asked) != counted[0] and hasattr(x, "detach"):
                counted[0] = len(made.hook.asked)
                kept[:] = [x.detach().numpy().copy()]
            return real(x, *args, **options)

        return clipped

    torch = made.torch
    with contextlib.ExitStack() as stack:
        for owner in (torch, torch.Tensor):
            for name in ("clamp", "clip"):
                stack.enter_context(patch.object(owner, name, noting(getattr(owner, name))))
        yield kept


def parts(result: Any, prefix: tuple[Any, ...] = (), depth: int = 0) -> dict[Any, np.ndarray]:
    """Return the arrays in a result by their keys: () for a result that is one array.

    Parameters
    ----------
    result : object
        What a function returned: an array, or a tuple, list or dict of them, or an object with such attributes.
    prefix : tuple
        The key so far.
    depth : int
        How deep it lies.

    Returns
    -------
    dict
        Arrays by key. Of a longer list only the first and the last elements.

    Examples
    --------
    >>> list(parts((np.zeros(2), {"x": np.ones(3)})))
    [(0,), (1, 'x'), (-1, 'x')]
    """
    if result is None or isinstance(result, (str, Stub)) or depth > 3:
        return {}
    if isinstance(result, dict):
        items: Any = result.items()
    elif isinstance(result, (tuple, list)):
        items = [(i, result[i]) for i in range(len(result))] if len(result) <= 6 else []
        items += [(-1, result[-1])] if result else []
    elif hasattr(result, "detach"):
        return {prefix: result.detach().cpu().numpy()}
    elif isinstance(result, (np.ndarray, np.generic, float, int)):
        return {prefix: np.asarray(result)}
    elif hasattr(result, "__next__"):
        items = [(-1, list(result)[-1:])]
    elif hasattr(result, "__dict__"):
        items = vars(result).items()
    else:
        return {}
    found: dict[Any, np.ndarray] = {}
    for key, value in items:
        found |= parts(value, (*prefix, key), depth + 1)
    return found


def _joined(n: int, pieces: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Put the results for groups of images together; numbers without an axis of images belong to each of the group."""
    first = pieces[0][1]
    result = np.empty((n, *first.shape[1:]) if first.ndim else (n,), np.result_type(first, *[p for _, p in pieces]))
    for here, piece in pieces:
        result[here] = piece
    return result
