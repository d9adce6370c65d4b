"""Layers: modules that own parameters, and the initialisers that give those their first values.

A layer states its parameters as shapes with an initialiser; `Module.initialise` makes the arrays, each from
random numbers named by the parameter, so that a weight depends on the seed and its name alone.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from typing import Any

from ddpm_np.autograd.tensor import Tensor
from ddpm_np.backend import Backend, get_backend, to_host
from ddpm_np.nn.init import Initialiser


class Parameter:
    """A parameter that has a shape and an initialiser, and no numbers yet."""

    def __init__(self, shape: tuple[int, ...], init: Initialiser):
        self.shape, self.init = shape, init


class Module:
    """A part of a network: its parameters and sub-modules are its attributes, in the order of assignment.

    Subclasses define ``__call__``. A list of Modules as an attribute is a sub-module for each index.
    """

    training = True

    def children(self) -> Iterator[tuple[str, Any]]:
        """(name, Tensor | Parameter | Module) of the direct parts."""
        for name, value in vars(self).items():
            if isinstance(value, (Tensor, Parameter, Module)):
                yield name, value
            elif isinstance(value, list):
                yield from ((f"{name}.{i}", part) for i, part in enumerate(value) if isinstance(part, Module))

    def modules(self) -> Iterator[Module]:
        """This module and all below it."""
        yield self
        for _, part in self.children():
            if isinstance(part, Module):
                yield from part.modules()

    def named_parameters(self, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
        """(dotted name, Tensor) of each parameter, in a fixed order."""
        for name, part in self.children():
            if isinstance(part, Module):
                yield from part.named_parameters(f"{prefix}{name}.")
            elif isinstance(part, Parameter):
                raise RuntimeError(f"{prefix}{name} has no numbers yet: call initialise() first")
            else:
                yield prefix + name, part

    def parameters(self) -> list[Tensor]:
        """All parameters, in the order of `named_parameters`."""
        return [p for _, p in self.named_parameters()]

    def initialise(self, seed: int = 0, dtype: str = "float32", backend: str | Backend = "numpy",
                   prefix: str = "") -> Module:
        """Give every parameter its first values: a function of `seed` and its name. Returns this module."""
        device = get_backend(backend)
        for name, part in list(self.children()):
            if isinstance(part, Module):
                part.initialise(seed, dtype, device, f"{prefix}{name}.")
            elif isinstance(part, Parameter):
                values = part.init(device, seed, prefix + name, part.shape)
                setattr(self, name, Tensor(device.xp.astype(values, getattr(device.xp, dtype)), requires_grad=True))
        return self

    def fill(self, state: dict[str, Any], dtype: str = "float32", backend: str | Backend = "numpy") -> Module:
        """Give every parameter the numbers of its name in `state`, nothing being drawn first. Returns this module.

        The names and shapes must be this net's: nothing larger than `state` is ever made. Arrays that are on the
        backend in that dtype already are taken as they are, not copied.
        """
        device = get_backend(backend)
        parts = dict(self._unfilled())
        check_state(state, {name: part.shape for name, (_, _, part) in parts.items()})
        for name, (owner, attribute, _) in parts.items():
            values = device.to_device(state[name], getattr(device.xp, dtype))
            setattr(owner, attribute, Tensor(values, requires_grad=True))
        return self

    def _unfilled(self, prefix: str = "") -> Iterator[tuple[str, tuple[Module, str, Parameter]]]:
        """(dotted name, (owner, attribute, Parameter)) of each parameter that has no numbers yet."""
        for name, part in list(self.children()):
            if isinstance(part, Module):
                yield from part._unfilled(f"{prefix}{name}.")
            elif isinstance(part, Parameter):
                yield prefix + name, (self, name, part)

    def train(self) -> Module:
        """Switch to training: dropout drops."""
        for module in self.modules():
            module.training = True
        return self

    def eval(self) -> Module:
        """Switch to evaluation: dropout is the identity."""
        for module in self.modules():
            module.training = False
        return self

    def settings(self) -> list[Any]:
        """What its attributes are beside parameters and sub-modules: the values themselves."""
        return [self.training, *(value for value in vars(self).values() if not isinstance(value, (Tensor, Module)))]

    def clone(self, parameter: Callable[[Tensor], Tensor]) -> Module:
        """The same network with ``parameter(p)`` in the place of each parameter p, called in their order."""
        new = copy.copy(self)
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                setattr(new, name, parameter(value))
            elif isinstance(value, Module):
                setattr(new, name, value.clone(parameter))
            elif isinstance(value, list):
                setattr(new, name, [v.clone(parameter) if isinstance(v, Module) else v for v in value])
        return new

    def state_dict(self) -> dict[str, Any]:
        """Each parameter's array by name: the arrays themselves, not copies."""
        return {name: p.data for name, p in self.named_parameters()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Copy arrays (host or device) into the parameters of the same names; all must be there and fit."""
        own = dict(self.named_parameters())
        check_state(state, {name: tuple(p.shape) for name, p in own.items()})
        for name, p in own.items():
            p.data = state[name]

    def __call__(self, *args: Any, **kwargs: Any) -> Tensor:
        raise NotImplementedError(f"{type(self).__name__} does not define __call__")


def check_state(state: dict[str, Any], shapes: dict[str, tuple[int, ...]]) -> None:
    """Raise ValueError unless `state` has an array of the right shape for each name, and no other."""
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
    """(number of numbers, number of tensors)."""
    sizes = [math.prod(p.shape) for p in module.parameters()]
    return sum(sizes), len(sizes)


def host_state(module: Module) -> dict[str, Any]:
    """`Module.state_dict` as NumPy arrays."""
    return {name: to_host(array) for name, array in module.state_dict().items()}
