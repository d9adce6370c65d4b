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
from ddpm_np.backend import Array, Backend, backend_of, get_backend, to_host, to_host_together
from ddpm_np.nn.init import Initialiser
from ddpm_np.nn.parts import parts_in, replaced
from ddpm_np.parallel.contents import held_by

_SETTINGS = frozenset((bool, int, float, str, type(None)))  # types that hold no part
_MOST = 10_000  # objects that are looked into for parts that are not found


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

    Subclasses define ``__call__``. Parts are found in attributes, and in lists, tuples and dicts of any depth, with the
    index or key in their names: ``blocks.0.weight``, ``heads.left.bias``. A part that is held twice is one part: its
    parameters have the name under which they are found first, and are trained, averaged, counted and saved once. A
    Tensor is a parameter unless it was computed by an op.

    Attributes
    ----------
    training : bool
        Whether dropout drops; see `train` and `eval`.
    """

    training = True

    def children(self) -> Iterator[tuple[str, Any]]:
        """Iterate over the direct parts; a part that is held twice comes twice.

        Yields
        ------
        name : str
        part : Tensor, Parameter or Module

        Raises
        ------
        TypeError
            If a part is the value of a dict's key that is neither a str nor an int.
        """
        for name, value in vars(self).items():
            kind = type(value)
            if kind in _SETTINGS:
                continue
            if kind is Tensor or isinstance(value, (Module, Tensor, Parameter)):
                if _is_part(value):
                    yield name, value
            elif isinstance(value, (list, tuple, dict)):
                yield from parts_in(value, name, _is_part)

    def modules(self) -> Iterator[Module]:
        """Iterate over this module and all modules below it, each once.

        Yields
        ------
        Module
        """
        seen = {id(self)}

        def below(module: Module) -> Iterator[Module]:
            yield module
            for _, part in module.children():
                if isinstance(part, Module) and id(part) not in seen:
                    seen.add(id(part))
                    yield from below(part)

        yield from below(self)

    def named_parameters(self, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
        """Iterate over the parameters, each once, in the order in which they were assigned.

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
        ValueError
            If two parameters have one name.
        """
        for name, part in self._named(prefix):
            if isinstance(part, Parameter):
                raise RuntimeError(f"{name} has no values yet: call initialise() first")
            yield name, part

    def _named(self, prefix: str = "") -> Iterator[tuple[str, Any]]:
        """Yield (dotted name, Tensor or Parameter), each part once under its first name."""
        found: dict[str, Any] = {}
        _collect(self, prefix, {id(self)}, found)
        return iter(found.items())

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

        Raises
        ------
        TypeError
            If a part is held where it is not found, see `check_parts`.
        """
        device = get_backend(backend)

        def first(name: str, part: Parameter) -> Tensor:
            values = part.init(device, seed, name, part.shape)
            return Tensor(device.xp.astype(values, getattr(device.xp, dtype)), requires_grad=True)

        return self._give_values(first, prefix)

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
        TypeError
            If a part is held where it is not found, see `check_parts`.
        """
        device = get_backend(backend)
        shapes = {name: part.shape for name, part in self._named() if isinstance(part, Parameter)}
        check_state(state, shapes)
        return self._give_values(lambda name, part: Tensor(
            device.to_device(state[name], getattr(device.xp, dtype)), requires_grad=True))

    def _give_values(self, make: Callable[[str, Parameter], Tensor], prefix: str = "") -> Module:
        """Put a Tensor in the place of every Parameter; one that is held twice stays one."""
        self.check_parts()
        made: dict[int, Tensor] = {}
        declared = []  # keeps the Parameters, and so their ids, until all are replaced
        for name, part in self._named(prefix):
            if isinstance(part, Parameter):
                declared.append(part)
                made[id(part)] = make(name, part)
        done: dict[int, Any] = {}
        for module in list(self.modules()):
            for name, value in list(vars(module).items()):
                new = replaced(value, _is_part, lambda part: made.get(id(part), part), done, fresh=False)
                if new is not value:
                    setattr(module, name, new)
        return self

    def check_parts(self) -> None:
        """Check that no part is held where it is not found: in a set, in another object, in a function.

        Raises
        ------
        TypeError
            If a parameter there is not also found elsewhere: it would not be trained.
        """
        modules = list(self.modules())
        found = {id(part) for module in modules for _, part in module.children()} | {id(module) for module in modules}
        for module in modules:
            for name, value in vars(module).items():
                for hidden in _hidden_in(value, found):
                    raise TypeError(
                        f"{type(module).__name__}.{name} holds a {type(hidden).__name__} with parameters inside a "
                        f"{type(value).__name__}, where they would not be trained: hold it in an attribute, or in a "
                        "list, a tuple or a dict")

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

    def clone(self, parameter: Callable[[Tensor], Tensor]) -> Module:
        """Return the same network with other parameters.

        What is one part here is one part there. Attributes that are not parts are shared, except lists and dicts.

        Parameters
        ----------
        parameter : callable
            Called once with each parameter, in the order of `named_parameters`; returns the Tensor to put in its place.

        Returns
        -------
        Module
        """
        new: dict[int, Any] = {id(p): parameter(p) for p in self.parameters()}
        modules = list(self.modules())
        new |= {id(module): copy.copy(module) for module in modules}
        done: dict[int, Any] = {}
        for module in modules:
            for name, value in vars(module).items():
                vars(new[id(module)])[name] = replaced(value, _is_part, lambda part: new[id(part)], done, fresh=True)
        return new[id(self)]

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
            Exactly this module's parameters, on the host or on its device. Of a parameter that is held twice, it may
            have the other names too, with the same numbers.

        Raises
        ------
        ValueError
            If a name is missing or unknown, a shape is another one, or the arrays of one parameter differ.
        """
        own = dict(self.named_parameters())
        others = self._other_names(own) if len(state) > len(own) else {}
        check_state({name: array for name, array in state.items() if name not in others},
                    {name: tuple(p.shape) for name, p in own.items()})
        for name, first in others.items():
            if name in state and to_host(state[name]).tobytes() != to_host(state[first]).tobytes():
                raise ValueError(f"{first} and {name} are one parameter of this net, but two arrays in the state: "
                                 "build a net that does not share them")
        arrays = [state[name] for name in own]
        if own and (device := backend_of(next(iter(own.values())).data)).name != "numpy":
            arrays = device.to_device_together(arrays)
        for p, array in zip(own.values(), arrays, strict=True):
            p.data = array

    def _other_names(self, own: dict[str, Tensor]) -> dict[str, str]:
        """Return {other name: first name} of the parameters that are held more than once."""
        first = {id(p): name for name, p in own.items()}

        def below(module: Module, prefix: str, above: tuple[int, ...]) -> Iterator[tuple[str, str]]:
            for name, part in module.children():
                if not isinstance(part, Module):
                    yield prefix + name, first[id(part)]
                elif id(part) not in above:
                    yield from below(part, f"{prefix}{name}.", (*above, id(part)))

        return {name: known for name, known in below(self, "", (id(self),)) if name != known}

    def __call__(self, *args: Any, **kwargs: Any) -> Tensor:
        raise NotImplementedError(f"{type(self).__name__} does not define __call__")


def _collect(module: Module, prefix: str, seen: set[int], found: dict[str, Any]) -> None:
    """Add a module's parameters to those found; not a closure, whose cycle would keep a dropped net in memory."""
    for name, part in module.children():
        if id(part) in seen:
            continue
        seen.add(id(part))
        full = prefix + name
        if isinstance(part, Module):
            _collect(part, f"{full}.", seen, found)
        elif full in found:
            raise ValueError(f"two parameters are called {full}: rename an attribute or a dict's key")
        else:
            found[full] = part


def _is_part(value: Any) -> bool:
    """Return whether a value is a part of a module: a Module, a Parameter, or a Tensor that no op has computed."""
    if isinstance(value, Tensor):
        return value.node is None
    return isinstance(value, (Module, Parameter))


def _hidden_in(value: Any, found: set[int]) -> Iterator[Any]:
    """Yield the modules and trainable Tensors below a value, except those found as parts, and what is below them."""
    seen, below = set(found), [value]
    while below and len(seen) < len(found) + _MOST:
        x = below.pop()
        if id(x) in seen:
            continue
        seen.add(id(x))
        if isinstance(x, Module):
            if any(p.requires_grad if isinstance(p, Tensor) else True for _, p in x._named() if id(p) not in found):
                yield x
        elif isinstance(x, (Tensor, Parameter)):
            if isinstance(x, Parameter) or (x.node is None and x.requires_grad):
                yield x
        else:
            below += held_by(x)


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
    state = module.state_dict()
    return dict(zip(state, to_host_together(list(state.values())), strict=True))
