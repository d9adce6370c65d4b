"""The tape: gradients of any graph, accumulated where paths meet, stopped by `stop_gradient`, each leaf's its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ddpm_np.autograd import ops
from ddpm_np.autograd.ops import OPS
from ddpm_np.autograd.tape import undo_broadcasting
from ddpm_np.autograd.tensor import Tensor, gradients, no_grad
from ddpm_np.check.gradients.derivatives import STEP, Findings

GRAPH = 1e-12  # error of a gradient through some twenty ops, in units of its largest number

OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "a + b": lambda a, b: a + b, "a − b": lambda a, b: a - b, "a·b": lambda a, b: a * b, "a/b": lambda a, b: a / b,
    "a @ b": lambda a, b: a @ b, "−a·b": lambda a, b: -a * b, "a² + b": lambda a, b: a**2 + b,
}
SHAPES = [((3,), (3,)), ((2, 3), (3,)), ((2, 1), (3,)), ((4, 2, 3), (2, 1)), ((2, 3), ()), ((1, 3), (2, 1)),
          ((1,), (2, 1, 2)), ((1, 1), (1,))]


def check_tape(found: Findings, rng: np.random.Generator) -> None:
    """Check operators, graphs, broadcasting, `stop_gradient`, `no_grad`, and the leaves' `.grad`."""
    check_broadcasting(found, rng)
    check_operators(found, rng)
    for name, build in GRAPHS.items():
        check_graph(name, build, found, rng)
    for k in range(8):
        check_graph(f"random graph {k}", random_graph(rng), found, rng)
    check_cuts(found, rng)
    check_leaves(found, rng)


def leaf(rng: np.random.Generator, *shape: int) -> Tensor:
    """Return a leaf of numbers between 1/2 and 2 in magnitude, of either sign."""
    return Tensor(rng.uniform(0.5, 2, shape) * rng.choice([-1.0, 1.0], shape), requires_grad=True)


def check_graph(name: str, build: Callable[[Any, Any], Any], found: Findings, rng: np.random.Generator,
                shapes: tuple[tuple[int, ...], tuple[int, ...]] = ((3,), (2, 1))) -> None:
    """Check the gradients of a function of two leaves, element by element with the complex step."""
    leaves = [leaf(rng, *shape) for shape in shapes]
    y = build(*leaves)
    g = rng.standard_normal(y.shape)
    for i, got in enumerate(gradients(y, leaves, g)):
        x = leaves[i].data
        want = np.zeros(x.shape)
        for index in np.ndindex(x.shape):
            moved = [a.data.astype(np.complex128) for a in leaves]
            moved[i][index] += 1j * STEP
            want[index] = np.sum(g * np.imag(build(*moved)) / STEP)
        shown = " and ".join(str(np.round(a.data, 3).tolist()) for a in leaves) if y.size <= 6 else f"shapes {shapes}"
        found.true(got is not None, f"{name}: leaf {i} has no gradient")
        found.equal(f"{name} at {shown}: the gradient of leaf {i}", got, want, GRAPH, 0.1)


def check_operators(found: Findings, rng: np.random.Generator) -> None:
    """Check the operators of two Tensors, and of a Tensor and an array on either side."""
    for name, f in OPERATORS.items():
        shapes = ((2, 3), (3, 2)) if "@" in name else ((2, 3), (1, 3))
        check_graph(name, f, found, rng, shapes)
        a, b = (leaf(rng, *shape) for shape in shapes)
        want = f(a.data, b.data)
        for y in (f(a, b), f(a.data, b), f(a, b.data)):
            found.equal(f"{name} of shapes {shapes}", y.data, want, 1e-15)
        for i, y in enumerate((f(a, b.data), f(a.data, b))):
            g = rng.standard_normal(want.shape)
            one, both = gradients(y, [(a, b)[i]], g)[0], gradients(f(a, b), [a, b], g)[i]
            found.equal(f"{name} with an array: the gradient of the Tensor", one, both, 1e-15)


def _diamond(a: Any, b: Any) -> Any:
    xp = OPS if isinstance(a, Tensor) else np
    shared = a * xp.sin(a)
    return (shared + xp.exp(shared)) * b


def _short_and_long(a: Any, b: Any) -> Any:
    xp = OPS if isinstance(a, Tensor) else np
    y = a
    for _ in range(7):
        y = xp.tanh(y) + 0.3 * a
    return y * a + b


def _many_uses(a: Any, b: Any) -> Any:
    return a * a + a - b * a + a * b + b + b


GRAPHS = {
    "a + a + b": lambda a, b: a + a + b,
    "a·a + a − b·a + a·b + b + b": _many_uses,
    "(s + eˢ)·b, s = a·sin a": _diamond,
    "y·a + b, y = tanh(…) + 0.3·a seven times": _short_and_long,
    "a slice twice": lambda a, b: a[1:] * a[:2] + b,
}


def random_graph(rng: np.random.Generator) -> Callable[[Any, Any], Any]:
    """Return a function of two arrays or Tensors: twelve ops on earlier results, and the sum of them all."""
    steps = [(str(rng.choice(["add", "multiply", "subtract", "tanh", "square"])), *rng.integers(100, size=2))
             for _ in range(12)]

    def build(a: Any, b: Any) -> Any:
        xp = OPS if isinstance(a, Tensor) else np
        nodes = [a, b]
        for what, i, j in steps:
            x, y = nodes[i % len(nodes)], nodes[j % len(nodes)]
            new = getattr(xp, what)(x) if what in ("tanh", "square") else getattr(xp, what)(x, y)
            nodes.append(new * (0.1 if what == "square" else 0.4))
        return sum(nodes[1:], nodes[0])

    return build


def check_broadcasting(found: Findings, rng: np.random.Generator) -> None:
    """Check that broadcasting is undone by sums over the repeated axes."""
    for pair in SHAPES:
        shape = np.broadcast_shapes(*pair)
        g = rng.standard_normal(shape)
        for small in pair:
            want = np.zeros(small)
            for index in np.ndindex(*shape):
                place = index[len(shape) - len(small):]
                want[tuple(0 if n == 1 else i for i, n in zip(place, small, strict=True))] += g[index]
            found.equal(f"a gradient of shape {shape} for an input of shape {small}", undo_broadcasting(g, small), want,
                        1e-14, 1.0)
        a, b = (leaf(rng, *s) for s in pair)
        for x, got in zip((a, b), gradients(a + b, [a, b], g), strict=True):
            found.equal(f"a + b of shapes {pair}: the gradient of shape {x.shape}", got, undo_broadcasting(g, x.shape),
                        1e-14, 1.0)


def check_cuts(found: Findings, rng: np.random.Generator) -> None:
    """Check that `stop_gradient` and `no_grad` stop gradients and leave values unchanged."""
    x = leaf(rng, 3)
    g = rng.standard_normal(3)
    held = OPS.stop_gradient(x * x)
    found.equal("stop_gradient(x·x)", held.data, x.data**2, 0.0)
    found.true(not held.requires_grad, "stop_gradient(x·x) still requires a gradient",
               "it returns a Tensor with a tape: return one without")
    found.equal("x·stop_gradient(x·x): the gradient", gradients(x * held, [x], g)[0], g * x.data**2, 1e-15)
    with no_grad():
        y = x * 2
    found.true(not y.requires_grad and y.node is None, "inside no_grad, x·2 requires a gradient")
    found.true((x * 2).requires_grad, "after no_grad, x·2 requires no gradient")
    constant = Tensor(np.ones(3))
    found.true(not (constant * 2).requires_grad, "2 times a Tensor without gradient requires one")
    (constant * x).backward(g)
    found.true(constant.grad is None, "a Tensor that requires no gradient was given one")
    found.true(gradients(x * 2, [leaf(rng, 2)], g)[0] is None, "a leaf that is not in the graph was given a gradient")


LEAVES: dict[str, tuple[Callable[[Tensor], Tensor], int]] = {
    "x": (lambda x: x, 1), "x + x": (lambda x: x + x, 2), "x + x + x": (lambda x: x + x + x, 3),
    "x reshaped": (lambda x: ops.reshape(x, (3, 2)), 1), "x transposed": (lambda x: ops.permute_dims(x, (1, 0)), 1),
    "x repeated 4 times": (lambda x: ops.broadcast_to(x, (4, 2, 3)), 4),
    "x in float32": (lambda x: ops.astype(x, np.float32), 1),
    "x beside x": (lambda x: ops.concat(x, x, axis=0), 2), "the sum of x": (lambda x: x.sum(), 1),
    "x + 0": (lambda x: x + np.zeros((2, 3)), 1),
}


def check_leaves(found: Findings, rng: np.random.Generator) -> None:
    """Check that `.grad` accumulates over backward passes, is writable, has the leaf's dtype and shares no memory."""
    for name, (build, times) in LEAVES.items():
        x, other = leaf(rng, 2, 3), leaf(rng, 2, 3)
        y = build(x + 0 * other) if name != "x" else x
        g = np.full(y.shape, 0.5, y.dtype)
        y.backward(g)
        want = np.full((2, 3), 0.5 * times)
        found.equal(f"{name}: the leaf's grad", x.grad, want, 0.0)
        found.true(x.grad.dtype == x.dtype, f"{name}: the leaf's grad is {x.grad.dtype}, expected {x.dtype}")
        found.true(x.grad.flags.writeable, f"{name}: the leaf's grad is read-only")
        found.true(g.flags.writeable, f"{name}: backward made the cotangent read-only")
        beside = {"the cotangent": g, "the data": x.data, "another leaf's grad": other.grad}
        for what, array in beside.items():
            found.true(array is None or not np.shares_memory(x.grad, array),
                       f"{name}: the leaf's grad shares memory with {what}")
        first = x.grad
        build(x).backward(g)
        found.equal(f"{name}: the leaf's grad after a second backward", x.grad, 2 * want, 0.0)
        found.true(x.grad is first, f"{name}: a second backward made a new grad array")
        found.equal(f"{name}: the cotangent after backward", g, np.full(y.shape, 0.5), 0.0)
