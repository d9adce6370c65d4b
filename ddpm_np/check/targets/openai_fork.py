"""A copy of OpenAI's `GaussianDiffusion`: where it lies in a checkout, how it is called, which conventions it keeps.

What it needs is found by trying on a schedule of two steps. A convention is found by asking the checker itself: it is
taken if an equation holds, on the fixed cases, with that convention and with no other; otherwise it is left at ours.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache, partial
from itertools import product
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np

from ddpm_np.check.calls import described
from ddpm_np.check.targets.asking import conventions_of
from ddpm_np.check.targets.checkouts import Checkout
from ddpm_np.check.targets.finding import dotted, found, path_and_rest, root_of
from ddpm_np.check.targets.peers import imported

FILE, CLASS = "gaussian_diffusion.py", "GaussianDiffusion"
EMBEDDING = "def timestep_embedding("
PLAIN = np.array([0.36, 0.4375])  # the β that a call is tried on
KINDS = {"small": "FIXED_SMALL", "large": "FIXED_LARGE", "range": "LEARNED_RANGE"}
BESIDE = ("respace", "losses", "diffusion_utils", "resample", "timestep_sampler")  # modules of its package


class Form(NamedTuple):
    """How a copy is called: through `SpacedDiffusion`, with learned ranges, with a mask for its net."""

    spaced: bool = False
    learned: bool = False
    masked: bool = False


class Settings(dict):
    """RePaint's `conf`: every switch off, and its schedule without a jump back."""

    def __getattr__(self, name: str) -> Any:
        return self.get(name, False)

    def pget(self, name: str, default: Any = None) -> Any:
        return default


class Fork:
    """The class of one checkout: a factory of targets, betas -> an object of the adapter.

    Parameters
    ----------
    adapter : callable
        (this fork, betas) -> the target.
    checkout : Checkout
        Its modules.
    name : str
        Its module's name.
    embedding : str
        Name of the module with ``timestep_embedding``; empty if there is none.
    """

    def __init__(self, adapter: Callable[[Fork, np.ndarray], Any], checkout: Checkout, name: str, embedding: str = ""):
        self.adapter, self.checkout = adapter, checkout
        self.troubles: list[str] = []
        self.module = checkout.module(name)
        if not isinstance(getattr(self.module, CLASS, None), type):
            raise ValueError(f"--target: {name} has no class {CLASS}")
        package = name.rpartition(".")[0]
        beside = [f"{package}.{other}" if package else other for other in BESIDE]
        self._modules = [self.module, *filter(None, map(self._optional, [*beside, *filter(None, [embedding])]))]
        self.conventions: dict[str, Any] = {"index_base": 0}
        self.axis = 1  # the channels', along which a learned range is appended
        self.form = self._form()
        self.axis = self._axis()
        self.conventions = conventions_of(self)
        self.notes = tuple(self._notes())

    @classmethod
    def at(cls, where: str, adapter: Callable[[Fork, np.ndarray], Any]) -> Fork:
        """Return the class of PATH[:PACKAGE]."""
        path, package = path_and_rest(where)
        imported("torch", "PyTorch")
        file = found(path, package, FILE, f"class {CLASS}")
        root = root_of(path, file)
        near = [*file.parent.glob("*.py"), *root.glob("*.py"), *root.glob("*/*.py")]
        embeddings = (dotted(other, root) for other in near if EMBEDDING in other.read_text("utf-8", "replace"))
        return cls(adapter, Checkout(dict.fromkeys([root, file.parent])), dotted(file, root), next(embeddings, ""))

    def __call__(self, betas: np.ndarray) -> Any:
        return self.adapter(self, betas)

    def _optional(self, name: str) -> ModuleType | None:
        """Return a module that the class does without; None if it is not there or cannot be imported."""
        if not any((Path(folder) / f"{name.replace('.', '/')}.py").is_file() for folder in self.checkout.folders):
            return None
        try:
            return self.checkout.module(name)
        except ValueError as error:
            self.troubles.append(str(error).removeprefix("--target: "))
            return None

    def function(self, name: str) -> Callable[..., Any]:
        """Return a function or a class of its modules, or a static method of a class there.

        Parameters
        ----------
        name : str
            Its name.

        Returns
        -------
        callable
            It, called inside the checkout, with RePaint's switch ``use_scale`` on.

        Raises
        ------
        NotImplementedError
            If there is none.
        """
        holders = [holder for module in self._modules for holder in (module, *filter(
            lambda found: isinstance(found, type), vars(module).values()))]
        found = next((getattr(holder, name) for holder in holders if name in vars(holder)), None)
        if found is None:
            raise NotImplementedError(f"it has no {name}")
        scales = name == "get_named_beta_schedule" and "use_scale" in _parameters(found)
        return partial(self._call, found, **{"use_scale": True} if scales else {})  # as RePaint's own scripts do

    def _call(self, function: Callable[..., Any], *args: Any, **options: Any) -> Any:
        torch: Any = imported("torch", "PyTorch")
        with self.checkout.inside(), torch.no_grad(), patch.object(torch.Tensor, "cuda", lambda x, *device: x):
            return function(*args, **options)  # "cuda": some loops move their steps to a GPU, whatever they are given

    def made(self, betas: np.ndarray, variance: str, steps: tuple[int, ...] = ()) -> Any:
        """Return an object of the class.

        Parameters
        ----------
        betas : float64 array of shape (T,)
            β₁..β_T.
        variance : str
            "small", "large" or "range".
        steps : tuple of int
            The steps to keep, counted from 0; empty: all.

        Returns
        -------
        object
            A `GaussianDiffusion`; with `steps`, or if the copy works so only, a `SpacedDiffusion`.
        """
        known, options = _parameters(getattr(self.module, CLASS)), dict[str, Any](betas=betas)
        for name, kind, value in (("model_mean_type", "ModelMeanType", "EPSILON"), ("loss_type", "LossType", "MSE"),
                                  ("model_var_type", "ModelVarType", KINDS[variance])):
            if name in known:
                values = getattr(self.module, kind, None)
                if values is not None and not hasattr(values, value):
                    raise NotImplementedError(f"it has no {kind}.{value}")
                options[name] = value.lower() if values is None else getattr(values, value)
        if "discretized_t0" in known:
            options["discretized_t0"] = True  # point-e's switch for the decoder
        if "model_var_type" not in known and variance == "large":
            raise NotImplementedError("its variance cannot be chosen")
        if "conf" in known:
            jumps = {"t_T": len(betas), "n_sample": 1, "jump_length": 1, "jump_n_sample": 1}
            options["conf"] = Settings(schedule_jump_params=jumps)
        if not steps and not self.form.spaced:
            return self._call(getattr(self.module, CLASS), **options)
        return self.function("SpacedDiffusion")(use_timesteps=set(steps or range(len(betas))), **options)

    def ask(self, made: Any, method: str, *args: Any, **options: Any) -> Any:
        """Call a method of such an object, with what its signature asks for besides.

        Parameters
        ----------
        made : object
            The object.
        method : str
            The method's name.
        *args, **options : object
            Its arguments.

        Returns
        -------
        object
            Its result.

        Raises
        ------
        NotImplementedError
            If there is no such method, or it does not take one of the options.
        """
        base = getattr(self.module, CLASS)  # a SpacedDiffusion overrides methods that a copy's base lacks
        if not hasattr(base, method):
            raise NotImplementedError(f"it has no {method}")
        known = _parameters(getattr(base, method))
        lacking = [name for name in options if name not in known]
        if lacking:
            raise NotImplementedError(f"its {method} takes no {lacking[0]}")
        besides: dict[str, Any] = {"progress": False, "device": "cpu", "conf": getattr(made, "conf", None),
                                   "model_kwargs": {}}
        if self.form.masked:
            x = next(value for value in (*args, *options.values()) if hasattr(value, "dim") and value.dim() == 4)
            mask = imported("torch", "PyTorch").ones((len(x), 1, 1, x.shape[-1]), dtype=bool)
            besides["model_kwargs"] = {"y": {"mask": mask}}
        return self._call(getattr(made, method), *args, **options,
                          **{name: value for name, value in besides.items() if name in known})

    def _form(self) -> Form:
        """Return the plainest form in which a step's mean can be asked for."""
        said: list[str] = []
        for form in sorted((Form(*switches) for switches in product((False, True), repeat=3)), key=sum):
            self.form = form
            try:
                self(PLAIN).p_mean_variance(lambda x, t: 0.1 * x, np.ones((2, 3)), np.arange(2))
                return form
            except Exception as error:  # somebody's code can raise anything
                said.append(described(error))
        self.troubles.append(f"p_mean_variance raised {said[0]}")
        return Form()

    def _axis(self) -> int:
        """Return the axis along which the class takes a learned range: 1 for images, 2 for videos."""
        for self.axis in (1, 2):
            try:
                self(PLAIN).learned_range_variance(np.ones((2, 3)), np.arange(2))
                return self.axis
            except Exception:  # somebody's code can raise anything
                continue
        return 1

    def _notes(self) -> list[str]:
        """Say what was replaced and found by trying."""
        found = [(self.form.learned, "learned ranges only: v = −1 stands for the small variance, v = 1 for the large"),
                 (self.form.spaced, "the class runs as SpacedDiffusion only"),
                 (self.form.masked, "its net takes a mask, which is all ones")]
        told = [*(line for is_so, line in found if is_so), *self.troubles]
        if self.conventions:
            shown = ", ".join(f"{name} {value!r}" for name, value in self.conventions.items())
            told.append(f"conventions, each the only one that fits: {shown}")
        if self.checkout.stubs:
            told.append(f"stubs stand for modules that cannot be imported here: {', '.join(self.checkout.stubs)}")
        return told


@cache
def _parameters(function: Callable[..., Any]) -> tuple[str, ...]:
    return tuple(inspect.signature(function).parameters)
