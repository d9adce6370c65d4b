"""Objects of a class, or functions of a module, for given β: by an argument, or in place of the schedule they make.

Three ways are tried, in this order: the constructor takes β; the functions by which it makes a schedule (``linspace``,
and functions and methods with a schedule's name) return β instead; it takes the two ends of a linear schedule, and β is
one. A way is taken if a table of the object then shows β.
"""

from __future__ import annotations

import contextlib
import enum
import functools
import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np

from ddpm_np.check.find.hook import Hook, net
from ddpm_np.check.find.names import is_schedule_name, kinds
from ddpm_np.check.find.randomness import Draws, Generator, closed
from ddpm_np.check.find.replacing import array_for, replaced
from ddpm_np.check.find.stubs import Stub

CHOICES: dict[str, tuple[str, ...]] = {  # of options of a constructor, as texts or as members of an enumeration
    "mean": ("epsilon", "eps", "pred_noise", "noise", "predict_noise"),
    "small": ("fixed_small", "fixedsmall", "fixed-small", "small"),
    "large": ("fixed_large", "fixedlarge", "fixed-large", "large"),
    "learned": ("learned_range",),
    "loss": ("mse", "l2"),
}
KEPT = "use_timesteps"  # a constructor's argument for the steps to keep


@dataclass
class Made:
    """What a subject is for one schedule.

    Parameters
    ----------
    functions : dict
        Callables by name.
    tables : dict
        Arrays of one axis by name.
    hook : Hook
        What its nets ask.
    torch : module or None
        PyTorch, if it computes with it.
    object : object
        The object, or the module.
    options : tuple of str
        What options of the constructor choose: "large" and "learned" variances, "clipped" x̂₀.
    """

    functions: dict[str, Callable[..., Any]]
    tables: dict[str, np.ndarray]
    hook: Hook
    torch: Any
    object: Any = None
    options: tuple[str, ...] = ()


@dataclass
class Subject:
    """A class or a module, and the way by which it gets its β.

    Parameters
    ----------
    name : str
        The class's name, or the module's.
    make : callable
        ``make(betas, variance="small") -> Made``; NotImplementedError for betas that it cannot have.
    way : str
        How β gets in, in words.
    embedders : dict
        Functions and classes that may embed a time.
    native : callable or None
        Returns the tables with the schedule of its own, for a class whose schedule is replaced.
    shorter : callable or None
        ``shorter(betas, kept) -> Made`` for some of the steps, counted from 0, if a class that derives from it takes
        them.
    classes : dict
        The classes beside it.
    """

    name: str
    make: Callable[..., Made]
    way: str
    embedders: dict[str, Any] = field(default_factory=dict)
    native: Callable[[], dict[str, np.ndarray]] | None = None
    shorter: Callable[[np.ndarray, np.ndarray], Made] | None = None
    classes: dict[str, type] = field(default_factory=dict)
    made: dict[tuple[bytes, str], Made] = field(default_factory=dict)

    def of(self, betas: np.ndarray, variance: str = "small") -> Made:
        """Return what the subject is for these betas, made once.

        Parameters
        ----------
        betas : array
            β₁..β_T.
        variance : str
            The value of a constructor's option for the reverse variance: "small", "large" or "learned"; with
            ", clipped" if an option that clips x̂₀ is to be on.

        Returns
        -------
        Made
            The object.
        """
        key = betas.tobytes(), variance
        if key not in self.made:
            if len(self.made) > 40:
                self.made.clear()
            self.made[key] = self.make(betas, variance)
        return self.made[key]

    def respaced(self, betas: np.ndarray, steps: np.ndarray) -> Made:
        """Return what the subject is for some of the steps.

        Parameters
        ----------
        betas : array
            β₁..β_T.
        steps : int array
            The paper's t of those that are kept. One is kept with a step above it: classes read β̃₂.

        Returns
        -------
        Made
            The object.
        """
        assert self.shorter is not None
        key = betas.tobytes(), str(steps.tolist())
        if key not in self.made:
            if len(self.made) > 40:
                self.made.clear()
            if len(steps) == 1:
                betas, steps = np.append(betas, 0.5), np.append(steps, len(betas) + 1)
            self.made[key] = self.shorter(betas, steps - 1)
        return self.made[key]

    def consistent(self, table: str) -> bool:
        """Return whether a table of ᾱ that is not the product of the α put in is a mistake of the code's.

        Parameters
        ----------
        table : str
            The table's name.

        Returns
        -------
        bool
            False if it is the product for the schedule of the object's own: then β did not get in whole.
        """
        return self.native is None or _replaced_whole(self.native(), table)


def _replaced_whole(tables: dict[str, np.ndarray], name: str) -> bool:
    """Return whether a wrong table of ᾱ is wrong for the object's own β too, and so not for want of β put in."""
    for betas in tables.values():
        if len(betas) == len(tables[name]) and np.allclose(tables[name], np.cumprod(1 - betas), rtol=1e-4):
            return False
    return True


def class_subject(cls: type, module: ModuleType, given: dict[str, Any]) -> Subject:
    """Return a class as a subject.

    Parameters
    ----------
    cls : type
        The class.
    module : module
        The module that defines it.
    given : dict
        Arguments of the constructor that the configuration sets.

    Returns
    -------
    Subject
        The subject.

    Raises
    ------
    ValueError
        If no way was found, with the reason.
    """
    betas = np.linspace(0.1, 0.4, 6) + np.array([0, 0.01, -0.02, 0.03, 0, 0.01])
    linear = np.linspace(0.1, 0.35, 6)
    why = ""
    for way, text in ((_Way.ARGUMENT, "betas is an argument of its constructor"),
                      (_Way.OWN, "its schedule is replaced where it is made"),
                      (_Way.LINEAR, "linear schedules only, by their ends"),
                      (_Way.LINEAR_FROM_0, "linear schedules only, by their ends; its tables begin one step before the "
                                           "first")):
        probe = linear if way in (_Way.LINEAR, _Way.LINEAR_FROM_0) else betas
        try:
            made = _class_made(cls, module, given, way, probe)
        except Exception as error:
            why = why or f"{type(error).__name__}: {error}"
            continue
        if _shows(made.tables, probe):
            native = functools.partial(_native, cls, module, given) if way is _Way.OWN else None
            return Subject(cls.__name__, functools.partial(_class_made, cls, module, given, way), text, native=native,
                           shorter=_shorter(cls, module, given) if way is _Way.ARGUMENT else None,
                           classes={name: other for name, other in vars(module).items() if isinstance(other, type)})
        why = why or "none of its tables shows the β that it was given"
    raise ValueError(why)


def takes_steps(cls: type) -> bool:
    """Return whether a class is given the steps to keep, and derives from one that is given β."""
    parameters = inspect.signature(cls).parameters
    return KEPT in parameters and any("betas" in inspect.signature(base).parameters for base in cls.__mro__[1:-1])


def _shorter(cls: type, module: ModuleType, given: dict[str, Any]) -> Callable[[np.ndarray, np.ndarray], Made] | None:
    """Return what makes objects with some of the steps, if a class beside this one does."""
    for other in vars(module).values():
        if isinstance(other, type) and issubclass(other, cls) and other is not cls and takes_steps(other):
            def shorter(betas: np.ndarray, kept: np.ndarray, other: type = other) -> Made:
                return _class_made(other, module, {**given, KEPT: set(kept.tolist())}, _Way.ARGUMENT, betas)

            return shorter
    return None


class _Way(enum.Enum):
    ARGUMENT, OWN, LINEAR, LINEAR_FROM_0, NATIVE = range(5)


def _native(cls: type, module: ModuleType, given: dict[str, Any]) -> dict[str, np.ndarray]:
    return _class_made(cls, module, given, _Way.NATIVE, np.linspace(0.1, 0.4, 6)).tables


def _class_made(cls: type, module: ModuleType, given: dict[str, Any], way: _Way, betas: np.ndarray,
                variance: str = "small") -> Made:
    torch, hook = torch_of(module), Hook(betas)
    if way in (_Way.LINEAR, _Way.LINEAR_FROM_0) and (
            len(betas) < 2 or np.ptp(np.diff(betas)) > 1e-12 or not 0 < _ends(way, betas)[0] < betas[-1]):
        raise NotImplementedError("only linear schedules get in")
    made = _arguments(cls, module, given, way, betas, hook, torch, variance)
    with closed(), replaced(module, cls, betas, torch) if way is _Way.OWN else contextlib.nullcontext():
        found = cls(**made)
        if not _tables(found) and way is not _Way.ARGUMENT:
            _set_schedule(found, betas)
        elif not _tables(found):
            _set_schedule(found, betas, array_for(betas, torch))
    _give_nets(found, hook, torch)
    if isinstance(getattr(found, "rng", None), np.random.Generator):
        found.rng = Generator(Draws(), found.rng)
    functions = {}
    for name in dir(found):
        if isinstance(inspect.getattr_static(cls, name, None) or vars(found).get(name), property):
            continue
        if name.startswith("__") and name != "__call__":
            continue
        value = getattr(found, name, None)
        owner = getattr(value, "__qualname__", "")
        if callable(value) and not isinstance(value, (type, Stub)) and _theirs(value, module, owner):
            functions[name] = value
    parameters = _parameters(cls)
    options = tuple(which for which in ("large", "learned") if any(
        _option(name.lower(), None, module, which) not in (None, _option(name.lower(), None, module, "small"))
        for name in parameters))
    options += ("clipped",) if any("clip" in kinds(name) for name in parameters) else ()
    return Made(functions, _tables(found), hook, torch, found, options)


def _ends(way: _Way, betas: np.ndarray) -> tuple[float, float]:
    """Return the ends of a linear schedule, as a constructor is given them."""
    if way is _Way.LINEAR_FROM_0:
        return float(2 * betas[0] - betas[1]), float(betas[-1])
    return (float(betas[0]), float(betas[-1])) if way is _Way.LINEAR else (1e-4, 0.02)


def _theirs(function: Any, module: ModuleType, owner: str) -> bool:
    """Return whether a function was defined in the project rather than in PyTorch."""
    where = getattr(inspect.unwrap(function) if not isinstance(function, functools.partial) else function.func,
                    "__module__", "") or ""
    return not where.startswith(("torch", "numpy", "builtins", "ddpm_np")) and bool(owner)


def _arguments(cls: type, module: ModuleType, given: dict[str, Any], way: _Way, betas: np.ndarray, hook: Hook,
               torch: Any, variance: str) -> dict[str, Any]:
    """Choose the constructor's arguments by their names."""
    found: dict[str, Any] = {}
    linear = way in (_Way.LINEAR, _Way.LINEAR_FROM_0)
    for name, p in _parameters(cls).items():
        if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD):
            continue
        allowed, low = kinds(name), name.lower()
        option = _option(low, p.default, module, variance)
        if name in given:
            found[name] = given[name]
        elif option is not None:
            found[name] = option
        elif "model" in allowed:
            found[name] = net(hook, torch)
        elif "betas" in allowed and linear and low.startswith("beta") and not isinstance(p.default, str):
            found[name] = _ends(way, betas)
        elif "betas" in allowed and p.default is not None and isinstance(p.default, str):
            found[name] = "linear" if linear else p.default
        elif "betas" in allowed and way is _Way.ARGUMENT and name != "b":
            found[name] = array_for(betas, torch) if _wants_tensor(cls, torch) else betas.copy()
        elif "T" in allowed:
            found[name] = len(betas)
        elif allowed & {"beta_start", "beta_end"}:
            found[name] = _ends(way, betas)["beta_end" in allowed]
        elif "device" in allowed:
            found[name] = "cpu"
        elif "clip" in allowed:
            found[name] = variance.endswith("clipped")
        elif "image" in low or "img" in low or low in ("size", "horizon", "resolution"):
            found[name] = 1 if not isinstance(p.default, (tuple, list)) and "channel" not in low else (
                type(p.default)([1] * len(p.default)) if isinstance(p.default, (tuple, list)) else 1)
        elif p.default is p.empty:
            found[name] = "linear" if "name" in allowed else 1 if "channel" in low or "dim" in low else None
    return found


def _option(name: str, default: Any, module: ModuleType, variance: str) -> Any:
    """Return the value of an option that names the prediction, the variance or the loss; None if it is none of them."""
    which = ("mean" if any(w in name for w in ("mean_type", "prediction_type", "objective", "parameterization")) else
             variance.partition(",")[0] if "var_type" in name or "variance_type" in name else
             "loss" if "loss_type" in name else "")
    if not which:
        return None
    for enumeration in vars(module).values():
        if isinstance(enumeration, type) and issubclass(enumeration, enum.Enum) and (
                enumeration.__name__.lower().removeprefix("model") in name.replace("_", "")):
            for member in enumeration:
                if member.name.lower() in CHOICES[which]:
                    return member
    written = _texts(module)
    return next((text for text in CHOICES[which] if text in written), default if isinstance(default, str) else None)


@functools.cache
def _source_texts(file: str) -> frozenset[str]:
    import ast

    with open(file, "rb") as f:
        tree = ast.parse(f.read())
    return frozenset(n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str))


def _texts(module: ModuleType) -> frozenset[str]:
    """Return the texts that a module's code contains, in which its options are written."""
    return _source_texts(module.__file__ or "")


def _wants_tensor(cls: type, torch: Any) -> bool:
    """Return whether a constructor computes with its betas by PyTorch."""
    if torch is None:
        return False
    own = cls.__mro__[1] if KEPT in inspect.signature(cls).parameters else cls
    code = inspect.unwrap(own.__init__).__code__  # type: ignore[misc]
    return not {"np", "numpy"} & set(code.co_names)


def _parameters(cls: type) -> dict[str, inspect.Parameter]:
    """Return a constructor's parameters; with the steps to keep, those too that it hands on."""
    found = dict(inspect.signature(cls).parameters)
    if KEPT in found:
        found = {**dict(inspect.signature(cls.__mro__[1]).parameters), **found}
    return found


def _set_schedule(found: Any, betas: np.ndarray, array: Any = None) -> None:
    """Call the method that sets an object's schedule, if its constructor does not."""
    for name in dir(type(found)):
        if not (is_schedule_name(name) and ("set" in name or "register" in name or "init" in name or "make" in name)):
            continue
        method = getattr(found, name)
        arguments: dict[str, Any] = {}
        for p in inspect.signature(method).parameters.values():
            allowed = kinds(p.name)
            if "opt" in p.name or "config" in p.name or "cfg" in p.name:
                arguments[p.name] = _Options(len(betas))
            elif "betas" in allowed and array is not None:
                arguments[p.name] = array
            elif "T" in allowed:
                arguments[p.name] = len(betas)
            elif "device" in allowed:
                arguments[p.name] = "cpu"
        method(**arguments)
        if _tables(found):
            return


class _Options(dict):
    """Options of a schedule under whatever keys the code asks for."""

    def __init__(self, T: int):
        super().__init__()
        self._T = T

    def __missing__(self, key: str) -> Any:
        allowed = kinds(key)
        return (self._T if "T" in allowed else 1e-4 if "beta_start" in allowed else 0.02 if "beta_end" in allowed
                else "linear")

    def __getattr__(self, key: str) -> Any:
        return self[key]


def _give_nets(found: Any, hook: Hook, torch: Any) -> None:
    """Put stand-ins in the place of nets that the object made for itself."""
    if torch is None:
        for name, value in list(vars(found).items()):
            if "model" in kinds(name) and not callable(value):
                setattr(found, name, net(hook))
        return
    for name, value in list(vars(found).items()):
        if "model" in kinds(name) and (value is None or isinstance(value, Stub)):
            setattr(found, name, net(hook, torch))
    for name, child in list(getattr(found, "_modules", {}).items()):
        if not type(child).__module__.startswith("torch.nn") and "model" in kinds(name.removeprefix("ema_")):
            setattr(found, name, net(hook, torch))


def torch_of(module: ModuleType) -> Any:
    """Return PyTorch if a module uses it, else None."""
    torch = sys.modules.get("torch")
    uses = torch is not None and any(value is torch or getattr(value, "__name__", "").startswith("torch.")
                                     for value in vars(module).values() if isinstance(value, ModuleType))
    return torch if uses else None


def _tables(found: Any) -> dict[str, np.ndarray]:
    """Return an object's arrays of one axis, those in its dicts and buffers too."""
    result: dict[str, np.ndarray] = {}
    held = [vars(found)] if hasattr(found, "__dict__") else []
    held += [getattr(found, "_buffers", {})]
    held += [value for value in (held[0] if held else {}).values() if isinstance(value, dict)]
    for names in held:
        for name, value in names.items():
            array = table(value)
            if array is not None and isinstance(name, str):
                result.setdefault(name, array)
    return result


def table(value: Any) -> np.ndarray | None:
    """Return a floating array of one axis, or None if a value is none."""
    if not (hasattr(value, "shape") and hasattr(value, "dtype")) or isinstance(value, Stub):
        return None
    array = np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)
    return array if array.ndim == 1 and len(array) > 1 and array.dtype.kind == "f" else None


def _shows(tables: dict[str, np.ndarray], betas: np.ndarray) -> bool:
    """Return whether a table is β, α or a root of them, perhaps with an element before the first step."""
    wanted = [betas, 1 - betas, np.sqrt(betas), np.sqrt(1 - betas)]
    return any(len(t) in (len(betas), len(betas) + 1) and np.allclose(t[-len(betas):], want, rtol=1e-5, atol=0)
               for t in tables.values() for want in wanted) or any(
        len(t) == len(betas) and np.allclose(t, np.cumprod(1 - betas), rtol=1e-5, atol=0) for t in tables.values())
