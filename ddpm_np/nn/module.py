"""Modules: parts of a network that own parameters and other modules.

A layer declares its parameters as shapes with an initialiser; `Module.initialise` makes the arrays, each from random
numbers named by the parameter, so that a weight depends on the seed and its name alone.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from typing import Any

from ddpm_np.autograd.tensor import Tensor
from ddpm_np.backend import Array, Backend, get_backend, to_host
from ddpm_np.nn.init import Initialiser


class Parameter:
    """A parameter that is declared but has no values yet.

    Parameters
    ----------
    shape : tuple of int
    init : callable
        The `Initialiser` of its first values.
    """

    def __init__(self, shape: tuple[int, ...], init: Initialiser) -> None:
        self.shape, self.init = shape, init


class Module:
    """A part of a network: its parameters and sub-modules are its attributes, in the order of assignment.

    Subclasses define ``__call__``. An attribute that is a list of Modules counts as one sub-module for each index.

    Attributes
    ----------
    training : bool
        Whether dropout drops; see `train` and `eval`.
    """

    training = True

    def children(self) -> Iterator[tuple[str, Any]]:
        """Iterate over the direct parts.

        Yields
        ------
        name : str
        part : Tensor, Parameter or Module
        """
        for name, value in vars(self).items():
            if isinstance(value, (Tensor, Parameter, Module)):
                yield name, value
            elif isinstance(value, list):
                yield from ((f"{name}.{i}", part) for i, part in enumerate(value) if isinstance(part, Module))

    def modules(self) -> Iterator[Module]:
        """Iterate over this module and all modules below it.

        Yields
        ------
        Module
        """
        yield self
        for _, part in self.children():
            if isinstance(part, Module):
                yield from part.modules()

    def named_parameters(self, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
        """Iterate over the parameters, in the order in which they were assigned.

        Parameters
        ----------
        prefix : str
            Put before each name.

        Yields
        ------
        name : str
            The attributes' names from this module down, with dots between.
        parameter : Tensor

        Raises
        ------
        RuntimeError
            If a parameter has no values yet.
        """
        for name, part in self.children():
            if isinstance(part, Module):
                yield from part.named_parameters(f"{prefix}{name}.")
            elif isinstance(part, Parameter):
                raise RuntimeError(f"{prefix}{name} has no values yet: call initialise() first")
            else:
                yield prefix + name, part

    def parameters(self) -> list[Tensor]:
        """Return all parameters, in the order of `named_parameters`.

        Returns
        -------
        list of Tensor
        """
        return [p for _, p in self.named_parameters()]

    def initialise(self, seed: int = 0, dtype: str = "float32", backend: str | Backend = "numpy",
                   prefix: str = "") -> Module:
        """Give every parameter its first values, a function of the seed and its name.

        Parameters
        ----------
        seed : int
        dtype : str
            The dtype of the parameters.
        backend : str or Backend
            Where they live.
        prefix : str
            Put before each name.

        Returns
        -------
        Module
            This module.
        """
        device = get_backend(backend)
        for name, part in list(self.children()):
            if isinstance(part, Module):
                part.initialise(seed, dtype, device, f"{prefix}{name}.")
            elif isinstance(part, Parameter):
                values = part.init(device, seed, prefix + name, part.shape)
                setattr(self, name, Tensor(device.xp.astype(values, getattr(device.xp, dtype)), requires_grad=True))
        return self

    def fill(self, state: dict[str, Array], dtype: str = "float32", backend: str | Backend = "numpy") -> Module:
        """Give every parameter the array of its name in `state`, without drawing first values.

        Names and shapes are checked first, so that no array larger than those of `state` is ever made.

        Parameters
        ----------
        state : dict of str to array
            Exactly this module's parameters. Arrays on the backend and of the dtype are shared, not copied.
        dtype : str
            The dtype of the parameters.
        backend : str or Backend
            Where they live.

        Returns
        -------
        Module
            This module.

        Raises
        ------
        ValueError
            If a name is missing or unknown, or a shape is another one.
        """
        device = get_backend(backend)
        parts = dict(self._unfilled())
        check_state(state, {name: part.shape for name, (_, _, part) in parts.items()})
        for name, (owner, attribute, _) in parts.items():
            values = device.to_device(state[name], getattr(device.xp, dtype))
            setattr(owner, attribute, Tensor(values, requires_grad=True))
        return self

    def _unfilled(self, prefix: str = "") -> Iterator[tuple[str, tuple[Module, str, Parameter]]]:
        """Yield (dotted name, (owner, attribute, Parameter)) of each parameter that has no values yet."""
        for name, part in list(self.children()):
            if isinstance(part, Module):
                yield from part._unfilled(f"{prefix}{name}.")
            elif isinstance(part, Parameter):
                yield prefix + name, (self, name, part)

    def train(self) -> Module:
        """Switch to training, in which dropout drops.

        Returns
        -------
        Module
            This module.
        """
        for module in self.modules():
            module.training = True
        return self

    def eval(self) -> Module:
        """Switch to evaluation, in which dropout is the identity.

        Returns
        -------
        Module
            This module.
        """
        for module in self.modules():
            module.training = False
        return self

    def settings(self) -> list[Any]:
        """Return the values of all attributes that are neither parameters nor sub-modules, and the mode.

        Returns
        -------
        list
        """
        return [self.training, *(value for value in vars(self).values() if not isinstance(value, (Tensor, Module)))]

    def clone(self, parameter: Callable[[Tensor], Tensor]) -> Module:
        """Return the same network with other parameters.

        Parameters
        ----------
        parameter : callable
            Called with each parameter in their order; returns the Tensor to put in its place.

        Returns
        -------
        Module
        """
        new = copy.copy(self)
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                setattr(new, name, parameter(value))
            elif isinstance(value, Module):
                setattr(new, name, value.clone(parameter))
            elif isinstance(value, list):
                setattr(new, name, [v.clone(parameter) if isinstance(v, Module) else v for v in value])
        return new

    def state_dict(self) -> dict[str, Array]:
        """Return each parameter's array by name: the arrays themselves, not copies.

        Returns
        -------
        dict of str to array
        """
        return {name: p.data for name, p in self.named_parameters()}

    def load_state_dict(self, state: dict[str, Array]) -> None:
        """Copy arrays into the parameters of the same names.

        Parameters
        ----------
        state : dict of str to array
            Exactly this module's parameters, on the host or on its device.

        Raises
        ------
        ValueError
            If a name is missing or unknown, or a shape is another one.
        """
        own = dict(self.named_parameters())
        check_state(state, {name: tuple(p.shape) for name, p in own.items()})
        for name, p in own.items():
            p.data = state[name]

    def __call__(self, *args: Any, **kwargs: Any) -> Tensor:
        raise NotImplementedError(f"{type(self).__name__} does not define __call__")


def check_state(state: dict[str, Array], shapes: dict[str, tuple[int, ...]]) -> None:
    """Check that `state` has an array of the right shape for each name, and no other.

    Parameters
    ----------
    state : dict of str to array
    shapes : dict of str to tuple of int
        The names and shapes expected.

    Raises
    ------
    ValueError
        If a name is missing or unknown, or a shape is another one.
    """
    missing, unknown = sorted(shapes.keys() - state.keys()), sorted(state.keys() - shapes.keys())
    if missing or unknown:
        raise ValueError(
            f"the weights do not belong to this net: {len(missing)} missing {missing[:3]}, {len(unknown)} unknown "
            f"{unknown[:3]}; build the net from the configuration that the weights were saved with"
        )
    for name, shape in shapes.items():
        if tuple(state[name].shape) != shape:
            raise ValueError(f"{name}: expected shape {shape}, got {tuple(state[name].shape)}")


def count_parameters(module: Module) -> tuple[int, int]:
    """Count a module's parameters.

    Parameters
    ----------
    module : Module

    Returns
    -------
    numbers, tensors : int
        How many numbers, in how many Tensors.
    """
    sizes = [math.prod(p.shape) for p in module.parameters()]
    return sum(sizes), len(sizes)


def host_state(module: Module) -> dict[str, Array]:
    """Return a module's `Module.state_dict` as NumPy arrays.

    Parameters
    ----------
    module : Module

    Returns
    -------
    dict of str to numpy.ndarray
    """
    return {name: to_host(array) for name, array in module.state_dict().items()}
