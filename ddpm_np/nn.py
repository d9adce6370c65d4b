"""Layers: modules that own parameters, and the initialisers that give those their first values.

A layer states its parameters as shapes with an initialiser; `Module.initialise` makes the arrays, each from
random numbers named by the parameter, so that a weight depends on the seed and its name alone.
"""

from __future__ import annotations

import contextlib
import contextvars
import copy
import math
from collections.abc import Callable, Iterator
from typing import Any

import ddpm_np.kernels  # noqa: F401 - registers the fast twins of the ops
from ddpm_np import backend, ops
from ddpm_np.backend import Backend, get_backend, to_host
from ddpm_np.tensor import Tensor

Initialiser = Callable[[Backend, int, str, tuple[int, ...]], Any]


def zeros(device: Backend, seed: int, name: str, shape: tuple[int, ...]) -> Any:
    """All zeros."""
    return device.xp.zeros(shape, dtype=device.xp.float64)


def ones(device: Backend, seed: int, name: str, shape: tuple[int, ...]) -> Any:
    """All ones."""
    return device.xp.ones(shape, dtype=device.xp.float64)


def fan_average_uniform(fan_in: int, fan_out: int, scale: float = 1.0) -> Initialiser:
    """Uniform on ±√(6·scale/(fan_in + fan_out)): variance 2·scale/(fan_in + fan_out) (Glorot & Bengio 2010).

    The paper's authors use scale 1, and 1e-10 for layers that should begin by adding next to nothing.
    """
    limit = math.sqrt(6 * scale / (fan_in + fan_out))

    def initialise(device: Backend, seed: int, name: str, shape: tuple[int, ...]) -> Any:
        u = device.uniform(seed, f"init/{name}", 0, 0, 1, shape)[0]  # shape
        return (2 * u - 1) * limit

    return initialise


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


class Linear(Module):
    """y = x W + b on the last axis; W (in, out)."""

    def __init__(self, d_in: int, d_out: int, scale: float = 1.0):
        self.weight: Any = Parameter((d_in, d_out), fan_average_uniform(d_in, d_out, scale))
        self.bias: Any = Parameter((d_out,), zeros)

    def __call__(self, x: Any) -> Tensor:
        return ops.linear(x, self.weight, self.bias)


class Conv2d(Module):
    """A convolution of (N, H, W, c_in) with a kernel (k, k, c_in, c_out).

    Padding is ((top, bottom), (left, right)); None pads k//2 on every side.
    """

    def __init__(self, c_in: int, c_out: int, kernel: int = 3, *, stride: int = 1,
                 padding: tuple[tuple[int, int], tuple[int, int]] | None = None, scale: float = 1.0):
        taps = kernel * kernel
        init = fan_average_uniform(taps * c_in, taps * c_out, scale)
        self.weight: Any = Parameter((kernel, kernel, c_in, c_out), init)
        self.bias: Any = Parameter((c_out,), zeros)
        half = kernel // 2
        self.stride, self.padding = stride, padding or ((half, half), (half, half))

    def __call__(self, x: Any) -> Tensor:
        return ops.conv2d(x, self.weight, self.bias, stride=self.stride, padding=self.padding)


class GroupNorm(Module):
    """Group normalisation of (N, H, W, C), followed by SiLU if `silu`."""

    def __init__(self, channels: int, groups: int = 32, eps: float = 1e-6, *, silu: bool = False):
        if channels % groups:
            raise ValueError(f"{channels} channels do not divide into {groups} groups: choose groups that divide them")
        self.weight: Any = Parameter((channels,), ones)
        self.bias: Any = Parameter((channels,), zeros)
        self.groups, self.eps, self.silu = groups, eps, silu

    def __call__(self, x: Any) -> Tensor:
        norm = ops.group_norm_silu if self.silu else ops.group_norm
        return norm(x, self.weight, self.bias, groups=self.groups, eps=self.eps)


class Attention(Module):
    """The paper's self-attention over all positions of (N, H, W, C), with its normalisation and residual sum.

    y = x + W_out·attention(W_q h, W_k h, W_v h), h = GroupNorm(x); `heads` share the channels.
    """

    def __init__(self, channels: int, groups: int = 32, eps: float = 1e-6, heads: int = 1):
        if channels % heads:
            raise ValueError(f"{channels} channels do not divide into {heads} heads: choose heads that divide them")
        self.group_norm = GroupNorm(channels, groups, eps)
        self.to_q = Linear(channels, channels)
        self.to_k = Linear(channels, channels)
        self.to_v = Linear(channels, channels)
        self.to_out = [Linear(channels, channels, scale=1e-10)]
        self.heads = heads

    def __call__(self, x: Any) -> Tensor:
        n, height, width, c = x.shape
        length, heads = height * width, self.heads
        h = ops.reshape(self.group_norm(x), (n, length, c))  # (N, L, C)

        def split(y: Tensor) -> Tensor:
            """(N, L, C) -> (N, heads, L, C/heads)."""
            if heads == 1:
                return y
            return ops.permute_dims(ops.reshape(y, (n, length, heads, c // heads)), (0, 2, 1, 3))

        y = ops.attention(split(self.to_q(h)), split(self.to_k(h)), split(self.to_v(h)))
        if heads > 1:
            y = ops.reshape(ops.permute_dims(y, (0, 2, 1, 3)), (n, length, c))
        return x + ops.reshape(self.to_out[0](y), (n, height, width, c))


class _Draws:
    """Where dropout gets its numbers: the images `first`, … of step `step`; each call has its own purpose."""

    def __init__(self, seed: int, step: int, first: int):
        self.seed, self.step, self.first, self.calls = seed, step, first, 0


_draws: contextvars.ContextVar[_Draws | None] = contextvars.ContextVar("draws", default=None)


@contextlib.contextmanager
def randomness(seed: int, step: int, first: int = 0) -> Iterator[None]:
    """A context in which a training net may draw: row i of a batch is image `first` + i of step `step`.

    One forward pass a context: the k-th dropout of the pass draws by the name "dropout/k".
    """
    token = _draws.set(_Draws(seed, step, first))
    try:
        yield
    finally:
        _draws.reset(token)


class Dropout(Module):
    """y = x·m/(1 − p) in training, each element of m 0 with probability p and 1 otherwise; x in evaluation."""

    def __init__(self, p: float):
        if not 0 <= p < 1:
            raise ValueError(f"dropout must be in [0, 1), got {p}")
        self.p = p

    def __call__(self, x: Any) -> Any:
        if not self.training or self.p == 0:
            return x
        draws = _draws.get()
        if draws is None:
            raise RuntimeError("dropout draws numbers: call the net inside nn.randomness(seed, step), or model.eval()")
        device = backend.backend_of(x.data if isinstance(x, Tensor) else x)
        purpose = f"dropout/{draws.calls}"
        draws.calls += 1
        n, *shape = x.shape
        keep = device.bernoulli(draws.seed, purpose, draws.step, draws.first, n, tuple(shape), 1 - self.p)
        return ops.dropout(x, keep, 1 / (1 - self.p))


def count_parameters(module: Module) -> tuple[int, int]:
    """(number of numbers, number of tensors)."""
    sizes = [math.prod(p.shape) for p in module.parameters()]
    return sum(sizes), len(sizes)


def host_state(module: Module) -> dict[str, Any]:
    """`Module.state_dict` as NumPy arrays."""
    return {name: to_host(array) for name, array in module.state_dict().items()}
