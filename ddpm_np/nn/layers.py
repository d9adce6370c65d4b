"""Layers: dense, convolution, group normalisation, attention and dropout."""

from __future__ import annotations

from typing import Any

import ddpm_np.kernels  # noqa: F401 - registers the fast twins of the ops
from ddpm_np import arguments, backend
from ddpm_np.autograd import ops
from ddpm_np.autograd.ops.conv import Padding
from ddpm_np.autograd.randomness import current_draws
from ddpm_np.autograd.tensor import Tensor
from ddpm_np.backend import Array
from ddpm_np.nn.init import fan_average_uniform, ones, zeros
from ddpm_np.nn.module import Module, Parameter


class Linear(Module):
    """y = x W + b on the last axis: (N, …, d_in) -> (N, …, d_out).

    Parameters
    ----------
    d_in, d_out : int
        The shape of W is (d_in, d_out).
    scale : float
        A factor of the variance of the first weights; see `fan_average_uniform`.

    Raises
    ------
    TypeError, ValueError
        If a width is not an int of at least 1.
    """

    def __init__(self, d_in: int, d_out: int, scale: float = 1.0) -> None:
        for name, value in (("d_in", d_in), ("d_out", d_out)):
            arguments.count(name, value)
        self.weight: Any = Parameter((d_in, d_out), fan_average_uniform(d_in, d_out, scale))
        self.bias: Any = Parameter((d_out,), zeros)

    def __call__(self, x: Array) -> Tensor:
        return ops.linear(x, self.weight, self.bias)


class Conv2d(Module):
    """A convolution with a bias: (N, H, W, c_in) -> (N, H', W', c_out).

    Parameters
    ----------
    c_in, c_out : int
        Channels.
    kernel : int
        The side k of the kernel (k, k, c_in, c_out).
    stride : int
        Pixels from one output to the next.
    padding : ((top, bottom), (left, right)), optional
        Zeros around the image; by default k//2 on every side.
    scale : float
        A factor of the variance of the first weights; see `fan_average_uniform`.

    Raises
    ------
    TypeError, ValueError
        If the channels, the kernel or the stride is not an int of at least 1.
    """

    def __init__(self, c_in: int, c_out: int, kernel: int = 3, *, stride: int = 1, padding: Padding | None = None,
                 scale: float = 1.0) -> None:
        for name, value in (("c_in", c_in), ("c_out", c_out), ("kernel", kernel), ("stride", stride)):
            arguments.count(name, value)
        taps = kernel * kernel
        init = fan_average_uniform(taps * c_in, taps * c_out, scale)
        self.weight: Any = Parameter((kernel, kernel, c_in, c_out), init)
        self.bias: Any = Parameter((c_out,), zeros)
        half = kernel // 2
        self.stride, self.padding = stride, padding or ((half, half), (half, half))

    def __call__(self, x: Array) -> Tensor:
        return ops.conv2d(x, self.weight, self.bias, stride=self.stride, padding=self.padding)


class GroupNorm(Module):
    """Group normalisation of (N, H, W, C), with a scale and a bias for each channel.

    Parameters
    ----------
    channels : int
        C.
    groups : int
        A divisor of C.
    eps : float
        The ε under the root.
    silu : bool
        Whether SiLU follows.

    Raises
    ------
    ValueError
        If the channels do not divide into the groups, or a number is out of range.
    """

    def __init__(self, channels: int, groups: int = 32, eps: float = 1e-6, *, silu: bool = False) -> None:
        for name, value in (("channels", channels), ("groups", groups)):
            arguments.count(name, value)
        arguments.number("eps", eps, least=0)
        if channels % groups:
            raise ValueError(f"{channels} channels do not divide into {groups} groups: choose groups that divide them")
        self.weight: Any = Parameter((channels,), ones)
        self.bias: Any = Parameter((channels,), zeros)
        self.groups, self.eps, self.silu = groups, eps, silu

    def __call__(self, x: Array) -> Tensor:
        norm = ops.group_norm_silu if self.silu else ops.group_norm
        return norm(x, self.weight, self.bias, groups=self.groups, eps=self.eps)


class Attention(Module):
    """The paper's self-attention over all positions of (N, H, W, C), with its normalisation and residual sum.

    y = x + W_out·attention(W_q h, W_k h, W_v h), h = GroupNorm(x).

    Parameters
    ----------
    channels : int
        C.
    groups : int
        A divisor of C, for the normalisation.
    eps : float
        The ε of the normalisation.
    heads : int
        A divisor of C: the channels are split into that many attentions.

    Raises
    ------
    ValueError
        If the channels do not divide into the heads, or into the groups.
    """

    def __init__(self, channels: int, groups: int = 32, eps: float = 1e-6, heads: int = 1) -> None:
        arguments.count("heads", heads)
        arguments.count("channels", channels)
        if channels % heads:
            raise ValueError(f"{channels} channels do not divide into {heads} heads: choose heads that divide them")
        self.group_norm = GroupNorm(channels, groups, eps)
        self.to_q = Linear(channels, channels)
        self.to_k = Linear(channels, channels)
        self.to_v = Linear(channels, channels)
        self.to_out = [Linear(channels, channels, scale=1e-10)]
        self.heads = heads

    def __call__(self, x: Array) -> Tensor:
        if x.ndim != 4:
            raise ValueError(f"expected x of shape (N, H, W, {self.to_q.weight.shape[0]}), got {tuple(x.shape)}")
        n, height, width, c = x.shape
        length, heads = height * width, self.heads
        h = ops.reshape(self.group_norm(x), (n, length, c))  # (N, L, C)

        def split(y: Tensor) -> Tensor:
            """Split the channels into heads: (N, L, C) -> (N, heads, L, C/heads)."""
            if heads == 1:
                return y
            return ops.permute_dims(ops.reshape(y, (n, length, heads, c // heads)), (0, 2, 1, 3))

        y = ops.attention(split(self.to_q(h)), split(self.to_k(h)), split(self.to_v(h)))
        if heads > 1:
            y = ops.reshape(ops.permute_dims(y, (0, 2, 1, 3)), (n, length, c))
        return x + ops.reshape(self.to_out[0](y), (n, height, width, c))


class Dropout(Module):
    """y = x·m/(1 − p) in training, each element of m 0 with probability p and 1 otherwise; y = x in evaluation.

    Parameters
    ----------
    p : float
        The probability of dropping an element, in [0, 1).

    Raises
    ------
    ValueError
        If p is out of range.
    RuntimeError
        If called in training outside `randomness`.
    """

    def __init__(self, p: float) -> None:
        self.p = arguments.number("dropout", p, least=0, below=1)

    def __call__(self, x: Array) -> Array:
        if not self.training or self.p == 0:
            return x
        draws = current_draws()
        if draws is None:
            raise RuntimeError("dropout draws random numbers: call the net inside randomness(seed, step) of "
                               "ddpm_np.autograd.randomness, or call model.eval() first")
        device = backend.backend_of(backend.plain(x))
        purpose = f"dropout/{draws.calls}"
        draws.calls += 1
        n, *shape = x.shape
        keep = device.bernoulli(draws.seed, purpose, draws.step, draws.first, n, tuple(shape), 1 - self.p)
        return ops.dropout(x, keep, 1 / (1 - self.p))
