"""Every op at the edges of its domain: values and gradients are PyTorch's, except where a reason is given."""

from __future__ import annotations

import numpy as np
import pytest
from gradient_inputs import generator
from pytorch_ops import THEIRS, to_torch

from ddpm_np.autograd.ops import REGISTRY, kernels
from ddpm_np.autograd.ops.examples import Example, examples
from ddpm_np.check.gradients.derivatives import differentiate

pytestmark = pytest.mark.peers

inf, nan = np.inf, np.nan
POINTS = np.array([0.0, -0.0, 1.0, -1.0, 0.5, -2.0, 30.0, -30.0, 88.0, -88.0, 1e3, -1e3, inf, -inf, nan])
POWERS = (0, 0.0, 1, 2, 3, -1, -2, 0.5, -0.5, 1.5, inf, nan)
GROUPS = {"groups": 2, "eps": 1e-6}
AROUND = {"stride": 1, "padding": ((1, 1), (1, 1))}


def numbers(*shape):
    return generator("edges", shape).standard_normal(shape)


def of_shapes(*shapes, extra=(), **static):
    return Example(tuple(numbers(*shape) for shape in shapes), extra, static)


def normalisations():
    """Images that are constant, nearly so or empty, groups of one number, and numbers that are not finite."""
    images = [np.full((2, 3, 3, 4), 3.0), np.zeros((2, 3, 3, 4)), numbers(1, 2, 2, 4) * 1e-30, numbers(0, 2, 2, 4),
              np.where(np.arange(16) == 0, inf, 1.0).reshape(1, 2, 2, 4),
              np.where(np.arange(16) == 0, nan, 1.0).reshape(1, 2, 2, 4)]
    of_one_number = [Example((numbers(2, 1, 1, 4), numbers(4), numbers(4)), static={"groups": 4, "eps": eps})
                     for eps in (1e-6, 1.0)]
    far = Example((numbers(1, 2, 2, 4), numbers(4), np.array([1e3, -1e3, 1e30, -1e30])), static=GROUPS)
    return [Example((x, numbers(4), numbers(4)), static=GROUPS) for x in images] + of_one_number + [far]


def reductions():
    shapes = {(0,): (None, 0, ()), (0, 3): (None, 0, -1, (0, -1)), (3, 0): (0, -1), (2, 0, 3): (0, (0, 2)),
              (): (None, ()),
              (2, 3, 4): (None, np.int64(0), np.int64(-1), (0, -1), (-1, 0), [1, 2], ())}
    return [of_shapes(shape, axis=axis, keepdims=keepdims)
            for shape, axes in shapes.items() for axis in axes for keepdims in (False, True)]


def average_exists(example):
    """A mean of no elements is refused; PyTorch's is nan."""
    axis = example.static["axis"]
    return bool(np.sum(np.ones(example.arrays[0].shape), axis=tuple(axis) if isinstance(axis, list) else axis).all())


STRUCTURED = {  # the ops that are not elementwise, and those with more arguments than arrays
    "astype": [Example((POINTS,), (dtype,)) for dtype in ("float32", "float64")],
    "attention": [of_shapes((2, 3, 2), (2, 0, 2), (2, 0, 2)), of_shapes((2, 0, 2), (2, 3, 2), (2, 3, 2)),
                  of_shapes((0, 2, 2), (0, 3, 2), (0, 3, 2)), of_shapes((1, 1, 1), (1, 1, 1), (1, 1, 1)),
                  Example((1e4 * numbers(1, 2, 3), 1e4 * numbers(1, 2, 3), numbers(1, 2, 3))),
                  Example((np.full((1, 1, 2), inf), numbers(1, 2, 2), numbers(1, 2, 2)))],
    "broadcast_to": [of_shapes((1,), extra=((0,),)), of_shapes((), extra=((0, 2),)), of_shapes((0,), extra=((2, 0),))],
    "clip": [Example((POINTS,), bounds) for bounds in ((-1.0, 1.0), (0.0, 0.5), (0.0, 0.0), (1.0, -1.0), (-inf, inf))],
    "concat": [of_shapes((0, 3), (2, 3), axis=0), of_shapes((2, 0), (2, 3), axis=np.int64(-1)),
               of_shapes((0,), axis=0)],
    "conv2d": [of_shapes((0, 3, 3, 2), (3, 3, 2, 2), (2,), **AROUND),
               of_shapes((1, 1, 1, 1), (3, 3, 1, 1), (1,), **AROUND),
               of_shapes((2, 3, 3, 2), (3, 3, 2, 2), (2,), stride=5, padding=((1, 1), (1, 1)))],
    "dropout": [Example((np.array([nan, inf, 1.0]), np.array([True, True, False])), (2.0,))],
    "getitem": [of_shapes((2, 3), extra=(index,)) for index in (
        np.int64(1), np.int32(-1), slice(5, 1), slice(None, None, -1), (..., None), (slice(None), np.int64(2)))],
    "group_norm": normalisations(),
    "group_norm_silu": normalisations(),
    "linear": [of_shapes((0, 3), (3, 2), (2,)), of_shapes((2, 0), (0, 3), (3,)), of_shapes((2, 3), (3, 0), (0,))],
    "matmul": [of_shapes((0, 3), (3, 2)), of_shapes((2, 0), (0, 3)), of_shapes((2, 3), (3, 0)),
               of_shapes((1, 2, 3), (0, 3, 2))],
    "mean": [e for e in reductions() if average_exists(e)],
    "permute_dims": [of_shapes((2, 2, 2), extra=(axes,)) for axes in ((0, -1, 1), (-1, -2, -3), (2, 0, 1), (1, 0, 2))],
    "pow": [Example((POINTS,), (p,)) for p in POWERS],
    "reshape": [of_shapes((2, 3), extra=(shape,)) for shape in (np.int64(6), (-1,), (1, -1, 6))] + [
        of_shapes((0, 3), extra=(shape,)) for shape in ((0,), (3, -1), (-1, 3))],
    "softmax": [Example((np.array(row),)) for row in (
        [0.0, -inf, 1.0], [[-inf, -inf], [0.0, 1.0]], [inf, 0.0], [inf, inf], [nan, 0.0], [1e3, -1e3], [5.0])] + [
        of_shapes((0, 3)), of_shapes((3, 0))],
    "sum": reductions(),
    "upsample_conv2d": [of_shapes((0, 2, 2, 2), (3, 3, 2, 2), (2,)), of_shapes((1, 1, 1, 1), (3, 3, 1, 1), (1,))],
    "upsample_nearest": [of_shapes((1, 1, 1, 1), factor=factor) for factor in (1, 3, np.int64(2))],
    "where": [Example((np.array([True, False]), np.array([1.0, nan]), np.array([inf, 2.0]))),
              Example((np.zeros(0, bool), numbers(), numbers(1)))],
}
EMPTY = [of_shapes(a, b) for a, b in [
    ((0,), (1,)), ((0,), ()), ((1,), (0,)), ((0, 3), (3,)), ((0, 1), (1, 0)), ((2, 0), (1,))]]


def plain(value):
    """PyTorch takes no ints of NumPy's."""
    return int(value) if isinstance(value, np.integer) else value


def at_edges(name):
    """Examples at the edges: for an elementwise op all points, or all pairs of them and empty shapes."""
    if name in STRUCTURED:
        return STRUCTURED[name]
    operands = len(examples(name, generator(name))[0].inputs)
    if operands == 1:
        return [Example((POINTS,)), Example((np.zeros((0, 3)),)), Example((np.array(0.0),))]
    assert operands == 2, f"{name} needs cases in STRUCTURED"
    return [Example(tuple(a.ravel() for a in np.meshgrid(POINTS, POINTS))), *EMPTY]


def ours_is_the_limit(name, example):
    """Where we differ from PyTorch on purpose, as a mask of the first array's elements."""
    x = example.arrays[0]
    if name == "log_ndtr":  # φ/Φ is −x far below 0 and ∞ at −∞; theirs loses its digits and is nan at last
        return x < -100
    if name == "expm1":  # eˣ; theirs is y + 1, which has lost its digits where y is near −1
        return x <= -30
    if name == "pow" and example.extra[0] in (0.5, -0.5, 1.5):  # √−0 and its powers: C's pow says +0 and ∞
        return np.signbit(x) & ((x == 0) | (x == -inf))
    return np.zeros(x.shape, bool)


@pytest.mark.parametrize("choice", ["reference", "fast"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", sorted(REGISTRY))
def test_values_and_gradients_at_the_edges_are_pytorchs(name, dtype, choice):
    rtol, atol = {"float64": (1e-9, 1e-10), "float32": (3e-4, 1e-4)}[dtype]  # 1e-4: rounding times 1/√ε of a group norm
    for case in at_edges(name):
        example = case.with_arrays(a if a.dtype == bool else a.astype(dtype) for a in case.arrays)
        if name.startswith("group_norm") and dtype == "float32" and len(np.unique(example.arrays[0])) == 1:
            continue  # a constant image: x − m is 0, and theirs is a rounding error, times 1/√ε
        theirs = [to_torch(a) for a in example.arrays]
        static = {key: plain(value) for key, value in example.static.items()}
        expected = THEIRS[name](*theirs, *map(plain, example.extra), **static)
        g = generator(name).standard_normal(tuple(expected.shape)).astype(str(expected.dtype).removeprefix("torch."))
        expected.backward(to_torch(g, grad=False))
        with kernels(choice), np.errstate(all="ignore"):
            y = REGISTRY[name](*example.inputs, **example.static)
            grads = differentiate(REGISTRY[name], example, g)
        keep = ~ours_is_the_limit(name, example)
        pairs = [(a, b.grad) for a, b in zip(grads, theirs, strict=True) if b.requires_grad]
        for ours, other in [(y, expected.detach()), *pairs]:
            a, b = np.asarray(ours), other.numpy()
            assert a.shape == b.shape, str(example)
            a, b = (a[keep], b[keep]) if a.shape == keep.shape else (a, b)
            np.testing.assert_allclose(a, b, rtol=rtol, atol=atol, err_msg=str(example))


def test_every_op_has_a_counterpart_in_pytorch():
    assert set(THEIRS) == set(REGISTRY)
