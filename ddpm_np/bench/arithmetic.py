"""Count floating-point operations: multiplications and additions of products, convolutions as if computed directly."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ddpm_np.autograd.tensor import no_grad
from ddpm_np.bench.instrument import instrumented
from ddpm_np.bench.nets import Net
from ddpm_np.bench.timing import OURS, Turns, in_turn
from ddpm_np.models import UNet, UNetConfig

_SIDE = 2048  # rows and columns of the matrices whose product measures the machine's rate


def is_convolution(name: str) -> bool:
    """Return whether an op, given by name or label, is a convolution, with or without an upsampling before it."""
    return name.startswith(("conv2d", "upsample_conv2d"))


def flops_of(name: str, arrays: Sequence[Any], result: Any) -> int:
    """Count the operations of an op's forward: 2 for each multiply-add, 0 for ops that are not products.

    Each of the two gradients of a product takes as many again.

    Parameters
    ----------
    name : str
        Name of the op.
    arrays : sequence of array
        Its inputs.
    result : array
        Its output.

    Returns
    -------
    int
        Floating-point operations.

    Examples
    --------
    >>> flops_of("linear", [np.zeros((4, 3)), np.zeros((3, 5))], np.zeros((4, 5)))
    120
    """
    if is_convolution(name):
        kh, kw, c, _ = arrays[1].shape
        return 2 * math.prod(result.shape) * kh * kw * c
    if name.startswith(("linear", "matmul")):
        return 2 * math.prod(result.shape) * arrays[0].shape[-1]
    if name.startswith("attention"):
        (*stack, length, d), keys, e = arrays[0].shape, arrays[1].shape[-2], arrays[2].shape[-1]
        return 2 * math.prod(stack) * length * keys * (d + e)
    return 0


def forward_flops(config: UNetConfig) -> dict[str, int]:
    """Return the operations of a forward pass of one image: of convolutions, and of all products."""
    found = {"convolutions": 0, "products": 0}

    def see(_: str, name: str, arrays: Sequence[Any], result: Any) -> None:
        flops = flops_of(name, arrays, result)
        found["products"] += flops
        found["convolutions"] += flops * is_convolution(name)

    net = UNet(config).eval()
    x = np.zeros((1, *config.size, config.in_channels), np.float32)
    with instrumented(on_forward=see), no_grad():
        net(x, np.ones(1, np.int64))
    return found


def step_flops(net: Net) -> dict[str, float]:
    """Return the operations of a training step: three times a forward pass, since each product has two gradients."""
    return {name: 3.0 * net.batch * flops for name, flops in forward_flops(net.config).items()}


def sgemm(threads: int) -> Callable[[], Any]:
    """Return a function that multiplies two 2048×2048 float32 matrices with the given number of threads."""
    from threadpoolctl import ThreadpoolController

    a, b = np.random.default_rng(0).standard_normal((2, _SIDE, _SIDE), dtype=np.float32)
    out, blas = np.empty_like(a), ThreadpoolController()

    def run() -> None:
        with blas.limit(limits=threads, user_api="blas"):
            np.matmul(a, b, out=out)

    return run


def rates(step: Callable[[], Any], flops: float, workers: int, turns: int, **options: Any) -> Turns:
    """Measure GFLOP/s of sgemm with all threads, of sgemm with one, and of a training step, in turn.

    The rates take the place of times. The order matters: for tens of milliseconds after a product BLAS's threads wait
    for the next one in a busy loop, and would slow a step that came directly after the product with all threads.
    """
    sides = {f"sgemm, {workers} threads": sgemm(workers), "sgemm, one thread": sgemm(1), OURS: step}
    product = 2.0 * _SIDE**3
    found = in_turn(sides, turns, **options)
    return dataclasses.replace(found, times={
        name: [(flops if name == OURS else product) / seconds / 1e9 for seconds in times]
        for name, times in found.times.items()})
