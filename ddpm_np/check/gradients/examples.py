"""Inputs for checking an op's gradient: the op's own examples, random ones of any size, and some large ones.

The large ones have more numbers than a kernel processes at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from ddpm_np.autograd.ops.examples import Example, examples, nonzero

Rng = np.random.Generator


def cases(name: str, rng: Rng) -> list[Example]:
    """Return all examples of an op, from the smallest to the largest, empty ones last."""
    more = _DRAWN[name](rng) if name in _DRAWN else ()
    arrays = (e.with_arrays(None if a is None else np.asarray(a) for a in e.arrays) for e in more)
    return sorted([*examples(name, rng), *arrays], key=lambda e: (e.empty, numbers(e)))


def numbers(example: Example) -> int:
    """Return the total number of elements of the operands."""
    return sum(a.size for a in example.arrays if a is not None)


def _broadcast(rng: Rng) -> Iterator[Example]:
    """Yield pairs of shapes that broadcast, of up to four axes, with divisors away from 0."""
    for _ in range(8):
        shape = rng.integers(1, 5, rng.integers(1, 5))
        a, b = (tuple(int(n) if rng.random() < 0.6 else 1 for n in shape)[rng.integers(len(shape) + 1):]
                for _ in range(2))
        yield Example((rng.standard_normal(a), nonzero(rng, b)))


def _square(rng: Rng) -> Iterator[Example]:
    """Yield a square matrix on the right, for which a missing transpose raises no error."""
    yield Example((rng.standard_normal((2, 3, 3)), rng.standard_normal((3, 3))))


def _conv2d(rng: Rng) -> Iterator[Example]:
    """Yield convolutions of random kernel size, stride and padding, and some on the borders between kernels."""
    for i in range(12):
        n, c, o, kh, kw = (int(k) for k in rng.integers(1, 4, 5))
        padding = tuple(tuple(int(p) for p in rng.integers(0, k, 2)) for k in (kh, kw)) if i % 2 else tuple(
            tuple(int(p) for p in rng.integers(0, 4, 2)) for _ in range(2))
        h, w = (int(rng.integers(max(1, k - sum(p)), 7)) for k, p in zip((kh, kw), padding, strict=True))
        yield _convolution(rng, (n, h, w, c), (kh, kw), o, 1 if i < 6 else int(rng.integers(1, 4)), padding)
    one, right, bottom, wide = ((1, 1), (1, 1)), ((0, 0), (0, 1)), ((0, 1), (0, 0)), ((2, 0), (0, 2))
    for padding in (right, bottom, wide):  # on one side only, and as wide as the kernel
        yield _convolution(rng, (1, 3, 4, 2), (2, 2), 1, 1, padding)
    yield _convolution(rng, (3, 16, 16, 16), (3, 3), 64, 1, one)  # 1.2 MB of patches per image in the backward
    yield _convolution(rng, (3, 40, 40, 8), (3, 3), 4, 1, one)  # 0.9 MB per image in the forward


def _convolution(rng: Rng, x: tuple[int, ...], taps: tuple[int, int], out: int, stride: int,
                 padding: object) -> Example:
    arrays = (rng.standard_normal(x), rng.standard_normal((*taps, x[3], out)), rng.standard_normal(out))
    return Example(arrays, static={"stride": stride, "padding": padding})


def _group_norm(rng: Rng) -> Iterator[Example]:
    """Yield normalisations of random groups with at least four numbers, and with a noticeable ε.

    Without ε, x̂ would be 0/0 in a group of equal numbers.
    """
    for _ in range(8):
        groups, n, h, w = (int(k) for k in rng.integers(1, 5, 4))
        c = groups * int(rng.integers(max(1, -(-4 // (h * w))), 6))
        yield _normalised(rng, (n, h, w, c), groups, float(rng.choice([0.01, 0.1, 2.0])))
    yield _normalised(rng, (3, 16, 32, 64), 8, 1e-6)


def _normalised(rng: Rng, shape: tuple[int, ...], groups: int, eps: float) -> Example:
    c = shape[3]
    arrays = (rng.standard_normal(shape) + rng.uniform(-2, 2), rng.standard_normal(c), rng.standard_normal(c))
    return Example(arrays, static={"groups": groups, "eps": eps})


_DRAWN: dict[str, Callable[[Rng], Iterator[Example]]] = {
    **dict.fromkeys(("add", "subtract", "multiply", "divide"), _broadcast),
    **dict.fromkeys(("matmul", "linear"), _square),
    "conv2d": _conv2d, "group_norm": _group_norm, "group_norm_silu": _group_norm,
}
