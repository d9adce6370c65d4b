"""Φ⁻¹, ln Φ and erfcx without SciPy, beside SciPy's; and the package where SciPy is not installed."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import scipy.special

from ddpm_np import special
from ddpm_np.backend import Namespace, _namespace_of, get_backend

ENDS = [0.0, -0.0, 1e-300, -1e-300, np.inf, -np.inf, np.nan]
NUMBERS = {
    "erfcx": np.concatenate([np.linspace(-26, 60, 4001), [-0.46875, 0.46875, 4.0, 1e5, 1e200, -30.0], ENDS]),
    "log_ndtr": np.concatenate([np.linspace(-60, 30, 4001), [-1e3, -1e8, -1e-3], ENDS]),
    "ndtri": np.concatenate([np.linspace(0, 1, 4001), np.logspace(-320, -1, 999), 1 - np.logspace(-16, -1, 999),
                             [0.075, 0.925, np.exp(-25.0), -1.0, 2.0], ENDS]),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_values_are_scipys(name):
    x = NUMBERS[name]
    rounding = 1e-15 * (1 + x * x) if name == "log_ndtr" else 1e-15  # exp(−x²/2) has the exponent's digits
    with np.errstate(all="ignore"):
        got, want = getattr(special, name)(x), getattr(scipy.special, name)(x)
        error = np.where(got == want, 0.0, np.abs(got - want) / np.maximum(np.abs(want), 1e-323))
    assert np.array_equal(np.isnan(got), np.isnan(want))
    assert (np.nan_to_num(error) <= np.nan_to_num(2 * rounding)).all()


@pytest.mark.parametrize("name", NUMBERS)
def test_shape_and_dtype_are_those_of_the_argument(name):
    function, x = getattr(special, name), np.full((2, 1, 3), 0.25)
    assert function(x).shape == x.shape
    assert function(x[:0]).shape == (0, 1, 3)
    assert function(x.astype(np.float32)).dtype == np.float32
    assert function(x.astype(np.float32))[0, 0, 0] == np.float32(function(0.25))
    assert isinstance(function(0.25), np.float64)
    assert x[0, 0, 0] == 0.25


def test_the_first_library_that_is_installed_is_used():
    assert Namespace("a", np, "no_such_library.special", "ddpm_np.special").ndtri is special.ndtri
    assert Namespace("a", np, "scipy.special", "ddpm_np.special").ndtri is scipy.special.ndtri
    assert get_backend().xp.ndtri is scipy.special.ndtri
    assert _namespace_of("a", "numpy", "no_such_library", "ddpm_np.special").ndtri is special.ndtri
    with pytest.raises(ModuleNotFoundError, match="no_such_library"):
        _ = Namespace("a", np, "no_such_library.special").ndtri


def test_int64_indices_and_scalars_are_taken_on_every_platform():
    xp = get_backend().xp
    table = np.arange(5.0)
    for kind in (np.int64, np.int32, np.int8, np.uint8):
        assert xp.take(table, np.array([3, 1], kind), axis=0).tolist() == [3.0, 1.0]
    with pytest.raises(TypeError, match="same_kind"):
        xp.take(table, np.array([1.0]), axis=0)
    assert xp.astype(np.float64(1.5), np.float32) == 1.5
    assert xp.astype(table, np.float64, copy=False) is table


def test_the_equations_hold_without_scipy():
    """In an interpreter that has no SciPy, neither it nor SymPy is needed to check this package."""
    code = """
import sys
sys.modules["scipy"] = None  # as if it were not installed
from ddpm_np.check import run
from ddpm_np.check.targets import ddpm_np
report = run(ddpm_np, examples=1)
assert {result.verdict for result in report.results} == {"PASS"}, report
del sys.modules["scipy"]
assert not {name.partition(".")[0] for name in sys.modules} & {"scipy", "sympy"}
print(len(report.results))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert int(done.stdout) > 60, done.stderr
