"""Put β in the place of the schedule that code makes for itself."""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any
from unittest.mock import patch

import numpy as np

from ddpm_np.check.find.names import is_schedule_name, kinds


@contextlib.contextmanager
def replaced(module: ModuleType, cls: type | None, betas: np.ndarray, torch: Any) -> Iterator[None]:
    """Let the functions that make a schedule return β while the context lasts.

    Parameters
    ----------
    module : module
        The module whose functions are replaced.
    cls : type or None
        The class whose methods are.
    betas : array
        β₁..β_T.
    torch : module or None
        PyTorch, if the module computes with it.
    """
    T = len(betas)

    def instead(real: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(real)
        def made(*args: Any, **options: Any) -> Any:
            parameters = inspect.signature(real).parameters
            name = next((p for p in parameters if "betas" in kinds(p) and parameters[p].default is None), None)
            if name is not None and options.get(name) is None and len(args) <= list(parameters).index(name):
                options[name] = array_for(betas, torch)
                return real(*args, **options)
            result = real(*args, **options)
            if getattr(result, "shape", None) != (T,):
                return result
            return betas.copy() if isinstance(result, np.ndarray) else array_for(betas, torch)

        return made

    def evenly(real: Callable[..., Any], tensor: bool) -> Callable[..., Any]:
        @functools.wraps(real)
        def made(*args: Any, **options: Any) -> Any:
            result = real(*args, **options)
            if getattr(result, "shape", None) != (T,) or not (result[0] > 0) or not (result[-1] < 1):
                return result
            return array_for(betas, torch) if tensor else betas.copy()

        return made

    with contextlib.ExitStack() as stack:
        stack.enter_context(patch.object(np, "linspace", evenly(np.linspace, False)))
        if torch is not None:
            stack.enter_context(patch.object(torch, "linspace", evenly(torch.linspace, True)))
        for name, value in list(vars(module).items()):
            if is_schedule_name(name) and inspect.isfunction(value):
                stack.enter_context(patch.object(module, name, instead(value)))
        for name, value in list(vars(cls).items()) if cls is not None else ():
            if inspect.isfunction(value) and (is_schedule_name(name) or any(
                    "betas" in kinds(p.name) and p.default is None and p.name != "b"
                    for p in inspect.signature(value).parameters.values())):
                stack.enter_context(patch.object(cls, name, instead(value)))
        yield



def array_for(values: np.ndarray, torch: Any) -> Any:
    """Return a copy of an array, as a tensor if PyTorch is given.

    Parameters
    ----------
    values : array
        The array.
    torch : module or None
        PyTorch.

    Returns
    -------
    array or tensor
        The copy.
    """
    values = np.array(values)
    return values if torch is None else torch.from_numpy(values)

