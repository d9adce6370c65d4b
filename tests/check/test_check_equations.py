"""The checker's properties under pytest: this package, equation by equation, with more draws than the command takes."""

from __future__ import annotations

import numpy as np
import pytest

import ddpm_np.check.equations  # noqa: F401 - fills the registry
from ddpm_np.check import FAIL, PASS, PRECISION, run
from ddpm_np.check.comparison import Check
from ddpm_np.check.registry import EQUATIONS
from ddpm_np.check.runner import false_alarm, verify
from ddpm_np.check.targets import ddpm_np as ours


@pytest.mark.parametrize("equation", EQUATIONS)
def test_the_equation_holds(equation):
    with np.errstate(all="ignore"):
        result = verify(EQUATIONS[equation], Check(ours), seed=1, examples=40)
    assert result.verdict == PASS, f"{result.counterexample}; {result.hint}"
    assert result.error <= 1e-9
    assert result.method


@pytest.mark.parametrize("equation", EQUATIONS)
def test_the_equation_holds_in_single_precision(equation):
    def single(betas):
        return ours(betas, dtype="float32")

    with np.errstate(all="ignore"):
        result = verify(EQUATIONS[equation], Check(single), seed=2, examples=10)
    assert result.verdict in (PASS, PRECISION), f"{result.counterexample}; {result.hint}"


@pytest.mark.parametrize("seed", range(8))
def test_correct_code_passes_for_every_seed(seed):
    report = run(ours, seed=seed, examples=3)
    assert [r for r in report.results if r.verdict == FAIL] == []


def test_all_statistical_properties_together_fail_right_code_once_in_a_million_runs_at_most():
    assert 0 < false_alarm() <= 1e-6
