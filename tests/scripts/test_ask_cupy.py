"""What scripts/ask_cupy.py and scripts/compile_formulas.py put to CuPy is what reached the fake."""

from __future__ import annotations

import contextlib
import importlib
import json
import re
from pathlib import Path

import fake_cupy
import numpy as np
import pytest
from device_calls import name_formulas, recorded
from fake_cupy import formulas, functions, signatures, ufuncs
from formulas_in_c import package_formulas

from ddpm_np.backend import get_backend

ROOT = Path(__file__).resolve().parents[2]


def sample():
    """Return a record of a few calls, as JSON gives it back."""
    with fake_cupy.installed(), contextlib.ExitStack() as stack:
        xp = get_backend("cupy").xp
        x = xp.asarray(np.ones(3, np.float32))
        record = stack.enter_context(recorded())  # without the calls by which a backend tries the device
        for _ in range(2):  # the second time is no other kind of call
            x *= 2
            xp.where(x > 0, x, 0.0)
            xp.clip(x, None, np.float64(1))
            xp.exp(x, dtype="float64")
            xp.sum(x > 0)
        name_formulas(record)
        silu = next(formula for name, formula in package_formulas().items() if name.endswith(".SILU"))
        silu(xp, x)
    return json.loads(json.dumps(record.as_json()))


def test_calls_are_recorded_once_with_what_decides_their_dtypes():
    f, b = ["array", "float32"], ["array", "bool"]
    found = [(c["function"], c["operands"], c["dtype"], c["out"], c["gives"]) for c in sample()["dtypes"]]
    assert found == [
        ("multiply", [f, ["int", ""]], None, "float32", ["float32"]),
        ("greater", [f, ["int", ""]], None, None, ["bool"]),
        ("where", [b, f, ["float", ""]], None, None, ["float32"]),
        ("clip", [f, ["number", "float32"], ["number", "float64"]], None, None, ["float64"]),
        ("exp", [f], "float64", None, ["float64"]),
        ("sum", [b], None, None, ["int64"]),
    ]


def test_formulas_are_recorded_by_the_constants_that_define_them():
    found = {entry["constant"]: entry for entry in sample()["formulas"]}
    assert found.keys() == package_formulas().keys()
    called = {name: entry["calls"] for name, entry in found.items() if entry["calls"]}
    assert called == {"ddpm_np.kernels.cupy_elementwise.SILU": [
        {"operands": [["array", "float32"]], "outputs": [], "gives": ["float32"]}]}


def test_after_a_record_the_fake_is_as_before():
    def watched():
        return (ufuncs.call, ufuncs.find_loop, functions.call_numpy, formulas.ElementwiseKernel.__init__,
                formulas.ReductionKernel.__call__)

    before = watched()
    with recorded():
        assert all(new is not old for new, old in zip(watched(), before, strict=True))
    assert watched() == before


def test_ci_asks_the_cupy_whose_signatures_the_fake_has():
    text = (ROOT / ".ci" / "cupy.txt").read_text("utf-8")
    assert re.findall(r"^cupy-\w+==(.*)$", text, re.MULTILINE) == [signatures.VERSION]


def test_cupy_has_the_same_dtypes_and_wrong_records_are_found(monkeypatch):
    """.ci/run compares all calls of the package; here a few, where CuPy is installed, with a GPU or without."""
    pytest.importorskip("cupy", reason="CuPy is not installed", exc_type=ImportError)
    monkeypatch.syspath_prepend(ROOT / "scripts")
    ask_cupy = importlib.import_module("ask_cupy")
    calls = sample()["dtypes"]
    assert ask_cupy.differences(calls) == []
    assert all(ask_cupy.differences([call]) for call in ask_cupy.planted(calls))
