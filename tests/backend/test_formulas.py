"""Formulas mean the same in C and in Python, and the fake of CuPy refuses what CuPy would."""

from __future__ import annotations

import fake_cupy
import numpy as np
import pytest
from fake_cupy import c_code, formulas
from fake_cupy.array import wrap
from formulas_in_c import Compiled, Text, arrays, compiler, in_python, package_formulas, texts
from gradient_inputs import generator

ULPS = 8  # exp differs by 1 or 2 between libraries, and sums of a few terms keep that
pytestmark = pytest.mark.usefixtures("device")
needs_compiler = pytest.mark.skipif(compiler() is None, reason="needs g++, which is not installed")


@pytest.fixture
def device():
    """A fresh fake device, on which Python computes."""
    with fake_cupy.installed():
        yield


def differences(text, compiled, python=None, n=200):
    """Return the dtypes in which C and Python differ, for positive numbers and for any; Python by `python` if given."""
    found, python = [], python or text
    for T in text.dtypes():
        for positive in (True, False):
            rng = generator("formula", text.name, T, positive)
            given = arrays(rng, text.inputs, T, n, positive), arrays(rng, text.outputs, T, n, positive)
            for new, old in zip(compiled.run(text, T, *given), in_python(python, *given), strict=True):
                if old.dtype.kind != "f":
                    same = np.array_equal(new, old)
                else:
                    finite = np.isfinite(old)
                    assert finite.mean() > 0.2, f"{text.name}: too few finite numbers to compare"
                    allowed = ULPS * np.finfo(old.dtype).eps * np.abs(old[finite]).max()
                    same = (np.array_equal(new[~finite], old[~finite], equal_nan=True)
                            and np.abs(new[finite] - old[finite]).max() <= allowed)
                if not same:
                    found.append(T)
    return found


@needs_compiler
def test_every_formula_is_the_same_in_c_and_python(tmp_path):
    found = [text for name, formula in package_formulas().items() for text in texts(name, formula)]
    compiled = Compiled(found, tmp_path)
    assert len(found) > 10
    assert {text.name: differences(text, compiled) for text in found} == {text.name: [] for text in found}


@needs_compiler
@pytest.mark.parametrize(("code", "other"), [
    ("y = exp(x)", "y = exp(x) + exp(x) / 100000"), ("y = x * scale", "y = x * (scale + scale / 100000)"),
    ("y = (x ^ scale) + 1", "y = (x ^ scale) + 2"), ("y = where(x > 0, x, scale)", "y = where(x < 0, x, scale)")])
def test_two_formulas_that_differ_are_told_apart(code, other, tmp_path):
    text, python = (Text("planted", "T x, T scale", "T y", c) for c in (code, other))
    compiled = Compiled([text], tmp_path)
    assert differences(text, compiled) == []
    assert differences(text, compiled, python) == [T for T in text.dtypes() for _ in range(2)]


@needs_compiler
@pytest.mark.parametrize(("function", "wrong"), [
    ("_where", lambda condition, a, b: np.where(condition, b, a)),
    ("_mulhi", lambda a, b: a * np.uint64(b)),
])
def test_a_difference_between_c_and_python_is_found(function, wrong, tmp_path, monkeypatch):
    text = {"_where": Text("where", "T x, T z", "T y", "y = where(x > 0, x, z)"),
            "_mulhi": Text("mulhi", "T x, T z", "T y", "y = mulhi(x, 5) ^ z")}[function]
    compiled = Compiled([text], tmp_path)
    assert not differences(text, compiled)
    monkeypatch.setattr(c_code, function, wrong)
    assert differences(text, compiled)


@needs_compiler
@pytest.mark.parametrize("code", ["y = x +", "y = absent(x)", "y = where(x > 0, x, 0)"])
def test_a_formula_that_is_no_c_is_found(code, tmp_path):
    with pytest.raises(SyntaxError, match="error"):
        Compiled([Text("wrong", "T x", "T y", code)], tmp_path)


@pytest.mark.parametrize("code", ["y = x * 0.5", "y = x * 1e3", "y = x ** 2", "y = x > 0 ? x : 0", "y = x // 2",
                                  "y = where(x & 4 == 4, x, x)"])
def test_the_fake_refuses_what_is_not_the_same_in_both_languages(code):
    with pytest.raises(SyntaxError):
        formulas.ElementwiseKernel("T x", "T y", code)


@pytest.mark.parametrize("code", ["y = x * (1 / 2)", "y = (x ^ 1) / 3"])
def test_the_fake_refuses_quotients_of_integers(code):
    with pytest.raises(TypeError, match="integers divide without a remainder in C"):
        formulas.ElementwiseKernel("T x", "T y", code)(wrap(np.array([1, 2], np.uint64)))


def test_the_fake_refuses_the_name_of_the_loops_index():
    """CuPy does so too, in these words."""
    with pytest.raises(ValueError, match="Can not use 'i' as a parameter name"):
        formulas.ElementwiseKernel("T x, T i", "T y", "y = x * i")


def test_the_fake_refuses_a_sum_whose_words_cupy_would_change():
    """CuPy has its own name for a sum's only operand and for its result, and replaces the letters wherever they are."""
    for term, result in [("exp(x)", "a"), ("x", "sqrt(a) * many")]:
        with pytest.raises(SyntaxError, match="replaces"):
            formulas.ReductionKernel("T x", "T y", term, "a + b", f"y = {result}", "0")
    formulas.ReductionKernel("T h", "T y", "exp(h)", "a + b", "y = sqrt(a)", "0")
    formulas.ReductionKernel("T x, T r", "T y", "exp(x) * r", "a + b", "y = a", "0")
