"""The mathematics and the ops in the array API's own names: array-api-strict runs them, and gets NumPy's numbers.

array-api-strict has what the standard has and nothing else: no mixing with NumPy, no promotion between kinds, no
partial indices. What runs on it leans on no habit of NumPy's that another namespace need not share.
"""

from __future__ import annotations

from typing import Any

import array_api_strict
import numpy as np
import pytest
from diffusion_calls import CALLS, NEEDS_LOG_NDTR, NOT_OF_ARRAYS, arrays, results
from hypothesis import given, settings
from hypothesis import strategies as st

from ddpm_np import diffusion
from ddpm_np.autograd import ops
from ddpm_np.autograd.ops.examples import Example, examples

CANNOT = {
    "log_ndtr": "the standard has no ln Φ",
}
ROUNDING = 1e-14  # array-api-strict computes with NumPy: 0 is met


def strict(x: Any) -> Any:
    """A NumPy array, or NumPy's dtype, as array-api-strict's; the rest as it is."""
    if isinstance(x, type) and issubclass(x, np.generic):
        return getattr(array_api_strict, x.__name__)
    return array_api_strict.asarray(x) if isinstance(x, np.ndarray) else x


def assert_equal(found: Any, expected: Any, what: str = "") -> None:
    """A strict array with NumPy's dtype, shape and numbers."""
    assert type(found) is type(strict(np.zeros(1))), what
    found = np.asarray(found)
    assert (found.shape, found.dtype) == (np.shape(expected), np.asarray(expected).dtype), what
    assert np.max(np.abs(found - expected) / np.maximum(1, np.abs(expected)), initial=0) <= ROUNDING, what


def partial(example: Example) -> bool:
    """Whether an index leaves axes unnamed, or has None beside an int: NumPy's own ways, which a caller may use."""
    (x,), (index,) = example.arrays, example.extra
    parts = index if isinstance(index, tuple) else (index,)
    named = sum(part is not None and part is not Ellipsis for part in parts)
    return None in parts or (named < x.ndim and not any(part is Ellipsis for part in parts))


@pytest.mark.parametrize("name", sorted(set(ops.REGISTRY) - set(CANNOT)))
def test_op_definitions_run_on_array_api_strict(name):
    rng = np.random.default_rng(sorted(ops.REGISTRY).index(name))
    tried = 0
    for example in examples(name, rng):
        if name == "getitem" and partial(example):
            continue
        tried += 1
        define = ops.REGISTRY[name].define
        y, vjp = define(*example.inputs, **example.static)
        g = rng.standard_normal(np.shape(y)).astype(np.asarray(y).dtype)
        found, found_vjp = define(*map(strict, example.inputs), **example.static)
        assert_equal(found, y, str(example))
        for new, old in zip(found_vjp(strict(g)), vjp(g), strict=True):
            assert (new is None) == (old is None)
            if old is not None:
                assert_equal(*(part() if callable(part) else part for part in (new, old)), str(example))
    assert tried >= 3


@pytest.mark.parametrize("name", CANNOT)
def test_ops_listed_as_unsupported_do_not_run(name):
    """The list above has no op that would run."""
    example = examples(name, np.random.default_rng(0))[0]
    with pytest.raises(AttributeError, match="has no attribute"):
        ops.REGISTRY[name].define(*map(strict, example.inputs), **example.static)


@pytest.mark.parametrize("name", ["matmul", "linear", "conv2d", "group_norm", "silu", "sigmoid", "softmax"])
def test_complex_forwards_run_on_array_api_strict(name):
    """Forwards that take complex numbers as the analytic functions they are; `attention` follows from two of them."""
    example = examples(name, np.random.default_rng(1))[0]
    arrays = [None if a is None else a + 0.25j * a[::-1] for a in example.arrays]
    y, _ = ops.REGISTRY[name].define(*arrays, **example.static)
    found, _ = ops.REGISTRY[name].define(*map(strict, arrays), **example.static)
    assert found.dtype == array_api_strict.complex128
    assert_equal(found, y)


def test_every_public_diffusion_function_is_tested():
    """Names that `diffusion` gains come here too, or are listed as not taking arrays."""
    new = set(diffusion.__all__) - set(CALLS) - NOT_OF_ARRAYS
    assert not new, f"try these in diffusion_calls.py: {sorted(new)}"


@pytest.mark.parametrize("name", sorted(set(CALLS) - NEEDS_LOG_NDTR))
@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_diffusion_functions_run_on_array_api_strict(name, data):
    T = data.draw(st.integers(2, 6), "T")
    shape = (data.draw(st.integers(1, 4), "n"), *data.draw(st.sampled_from([(3,), (2, 3, 1)]), "shape"))
    dtype = data.draw(st.sampled_from([np.float32, np.float64]), "dtype")
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32), "seed"))
    schedule = diffusion.Schedule.from_betas(rng.uniform(1e-4, 0.9, T))
    values = arrays(rng, T, shape, dtype)
    expected = results(name, schedule, values)
    found = results(name, schedule, {k: strict(a) for k, a in values.items()})
    for new, old in zip(found, expected, strict=True):
        assert old.dtype == dtype
        assert_equal(new, old)
