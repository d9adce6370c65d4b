"""The checker's runner: verdicts for any target, counterexamples, conventions, reports."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest

from ddpm_np.check import CONVENTION, FAIL, PASS, PRECISION, UNVERIFIED, run
from ddpm_np.check.exact import Case
from ddpm_np.check.registry import EQUATIONS, chosen
from ddpm_np.check.report import line, table
from ddpm_np.check.search import SHRINK_SECONDS
from ddpm_np.check.target import CONVENTIONS
from ddpm_np.check.targets import ddpm_np


class Right:
    """A correct q(x_t | x₀) in closed form, its posterior, and x̂₀."""

    def __init__(self, betas):
        self.beta = np.concatenate(([0.0], betas))
        self.a = np.cumprod(1 - self.beta)

    def column(self, table, t, x):
        return table[t].reshape(-1, *[1] * (x.ndim - 1))

    def alpha_bar(self):
        return self.a

    def q_sample(self, x_0, t, noise):
        a = self.column(self.a, t, x_0)
        return np.sqrt(a) * x_0 + np.sqrt(1 - a) * noise

    def predict_x0(self, x_t, t, eps):
        a = self.column(self.a, t, x_t)
        return (x_t - np.sqrt(1 - a) * eps) / np.sqrt(a)

    def q_posterior(self, x_0, x_t, t):
        beta, a, before = (self.column(c, s, x_t) for c, s in ((self.beta, t), (self.a, t), (self.a, t - 1)))
        mean = np.sqrt(before) * beta / (1 - a) * x_0 + np.sqrt(1 - beta) * (1 - before) / (1 - a) * x_t
        return mean, (1 - before) / (1 - a) * beta + 0 * x_t


OFFERED = {"alpha-bar", "4", "6", "7", "9", "15"}


def test_correct_methods_pass_and_missing_methods_are_unverified():
    report = run(Right)
    assert {result.equation for result in report.results if result.verdict == PASS} == OFFERED
    assert {result.verdict for result in report.results if result.equation not in OFFERED} == {UNVERIFIED}
    assert not report.failed
    for result in report.results:
        if result.equation in OFFERED:
            assert result.error < 1e-11
            assert result.cases > 4
            assert result.method
        else:
            assert result.hint.startswith("the target lacks ")
            assert np.isnan(result.error)


def test_a_target_without_methods_never_passes():
    assert {result.verdict for result in run(lambda betas: object()).results} == {UNVERIFIED}


def verdict_of(method, equation, give):
    """Return the result of `Right` with one method replaced."""
    mutant = type("Mutant", (Right,), {method: give})
    return run(mutant, [equation])[equation]


def raising(error):
    def method(self, *args):
        raise error
    return method


BAD = {
    "raises": (raising(KeyError("beta")), "q_sample raised KeyError: 'beta'"),
    "wrong shape": (lambda self, x, t, e: Right.q_sample(self, x, t, e)[..., None],
                    "returned shape (6, 1, 1), expected (6, 1)"),
    "one image": (lambda self, x, t, e: Right.q_sample(self, x, t, e)[:1], "returned shape (1, 1), expected (6, 1)"),
    "nan": (lambda self, x, t, e: np.where(e == 0, np.nan, x), "returned nan at index (0, 0)"),
    "inf": (lambda self, x, t, e: x / 0, "returned"),
    "integers": (lambda self, x, t, e: np.zeros(x.shape, int), "returned dtype int64, expected floating numbers"),
    "complex": (lambda self, x, t, e: x + 1j, "returned dtype complex128"),
    "text": (lambda self, x, t, e: "x", "returned dtype <U1"),
    "nothing": (lambda self, x, t, e: None, "returned nothing"),
    "ragged": (lambda self, x, t, e: [[1.0], [1.0, 2.0]], "returned a list, not an array"),
    "single": (lambda self, x, t, e: Right.q_sample(self, x, t, e).astype(np.float32), "declare conventions"),
    "half": (lambda self, x, t, e: Right.q_sample(self, x, t, e).astype(np.float16), "returned float16"),
    "too few arguments": (lambda self, x, t: x, "q_sample raised TypeError"),
    "exits": (raising(SystemExit(3)), "q_sample raised SystemExit: 3"),
    "SystemError": (raising(SystemError("broken")), "q_sample raised SystemError: broken"),
}


@pytest.mark.parametrize("what", BAD)
def test_any_faulty_method_fails_its_equation(what):
    give, words = BAD[what]
    result = verdict_of("q_sample", "4", give)
    assert result.verdict == FAIL
    assert words in result.counterexample
    assert np.isinf(result.error)


def test_the_run_continues_after_a_method_that_raises():
    report = run(type("Mutant", (Right,), {"q_sample": BAD["raises"][0]}))
    assert report.failed
    assert {result.equation for result in report.results if result.verdict == FAIL} == {"4", "9"}
    assert report["7"].verdict == PASS


@pytest.mark.parametrize("value", [None, 3.0, (1.0,), "mean"])
def test_a_method_with_two_results_must_return_two_arrays(value):
    result = verdict_of("q_posterior", "7", lambda self, *args: value)
    assert result.verdict == FAIL
    assert "expected 2 arrays" in result.counterexample


def test_not_implemented_is_unverified():
    result = verdict_of("q_sample", "4", raising(NotImplementedError("later")))
    assert (result.verdict, result.hint) == (UNVERIFIED, "the target lacks q_sample: later")


def test_a_factory_that_raises_fails_every_equation():
    def factory(betas):
        raise RuntimeError("no device")
    results = run(factory).results
    assert {result.verdict for result in results} == {FAIL}
    assert "the factory raised RuntimeError: no device for T=2, β=(9/25, 7/16)" in results[0].counterexample


def test_a_factory_may_support_only_some_schedules():
    def factory(betas):
        if len(betas) > 100:
            raise NotImplementedError("at most 100 steps")
        return Right(betas)
    result = run(factory, ["4"])["4"]
    assert (result.verdict, result.hint) == (
        UNVERIFIED, "the target lacks a schedule of 1000 steps (NotImplementedError: at most 100 steps)")


def test_lists_are_accepted_as_arrays():
    assert verdict_of("q_sample", "4", lambda self, *a: Right.q_sample(self, *a).tolist()).verdict == PASS


def test_a_counterexample_can_be_checked_by_hand():
    result = verdict_of("q_posterior", "7", lambda self, x, y, t: (
        Right.q_posterior(self, x, y, t)[0], self.column(self.beta, t, y) + 0 * y))
    assert result.counterexample == "T=2, β=(9/25, 7/16), t=2: β̃_t got 7/16, expected 63/256"
    assert result.hint == "these are the numbers of β_t: the large variance for the small"


def test_a_mistake_in_rare_cases_is_found_and_shrunk():
    """The result is wrong only where x₀ is 3/4 and T is 3, which no fixed case has."""
    def q_sample(self, x_0, t, noise):
        return Right.q_sample(self, x_0, t, noise) + (x_0 == 0.75) * (len(self.beta) == 4)
    mutant = type("Mutant", (Right,), {"q_sample": q_sample})
    start = time.perf_counter()
    report = run(mutant, ["4"], examples=2000)
    assert report.failed
    assert report["4"].counterexample.startswith("T=3, ")
    assert "x₀=3/4, ε=" in report["4"].counterexample
    assert time.perf_counter() - start < 30 + SHRINK_SECONDS


def test_a_nondeterministic_target_fails_and_the_run_continues():
    class Flaky(Right):
        asked = 0

        def q_sample(self, x_0, t, noise):
            Flaky.asked += 1
            return Right.q_sample(self, x_0, t, noise) + (Flaky.asked == 9)

    for examples in (None, 50):
        Flaky.asked = 0
        report = run(Flaky, ["4", "7"], examples=examples)
        assert (report["4"].verdict, report["7"].verdict) == (FAIL, PASS)


# Conventions


def declared(**conventions):
    """Return `Right` with declared conventions that it does not follow."""
    return type("Declares", (Right,), {"conventions": conventions})


class FromZero(Right):
    """A target whose t counts from 0."""

    def q_sample(self, x_0, t, noise):
        return super().q_sample(x_0, t + 1, noise)


def test_a_difference_is_a_convention_only_if_it_is_declared():
    result = run(FromZero, ["4"])["4"]
    assert result.verdict == FAIL
    FromZero.conventions = {"index_base": 0}
    try:
        result = run(FromZero, ["4"])["4"]
    finally:
        del FromZero.conventions
    assert (result.verdict, result.hint) == (CONVENTION, "declared: index_base 0")
    assert run(declared(index_base=0), ["4"]).failed  # declared, but not done


class Single(Right):
    """A target with tables in float32."""

    def __init__(self, betas):
        super().__init__(betas)
        self.a = np.cumprod((1 - self.beta).astype(np.float32))

    def q_sample(self, x_0, t, noise):
        return super().q_sample(x_0, t, noise).astype(np.float64)


def test_single_precision_is_a_failure_unless_it_is_declared():
    result = run(Single, ["4"])["4"]
    assert result.verdict == FAIL
    assert result.tolerance == 1e-9
    assert 1e-9 < result.error < 2e-4
    assert "declare conventions = {'precision': 'float32'}" in result.hint
    assert result.counterexample
    Single.conventions = {"precision": "float32"}
    try:
        result = run(Single, ["4"])["4"]
        assert result.verdict == PRECISION
        assert result.tolerance == 2e-3
        assert not result.counterexample
        wrong = type("Wrong", (Single,), {"q_sample": lambda self, x, t, e: 1.01 * Right.q_sample(self, x, t, e)})
        assert run(wrong, ["4"]).failed
    finally:
        del Single.conventions
    assert run(declared(precision="float32"), ["4"])["4"].verdict == PASS  # better than it says


@pytest.mark.parametrize(("conventions", "words"), [
    ({"base": 0}, "'base' is unknown: there are index_base, unit"),
    ({"unit": "bytes"}, "unit must be one of 'bits', 'nats', got 'bytes'"),
    ([], "conventions must be a dict, got list")])
def test_unknown_conventions_fail(conventions, words):
    result = run(type("Declares", (Right,), {"conventions": conventions}), ["4"])["4"]
    assert result.verdict == FAIL
    assert words in result.counterexample


def test_our_own_conventions_change_nothing():
    same = {name: values[0] for name, values in CONVENTIONS.items()}
    assert run(declared(**same), ["4"])["4"].verdict == PASS


# Arguments and the report


def test_equations_by_number_or_name():
    assert [e.id for e in chosen([7, "(4)", "ddim-12"])] == ["4", "7", "ddim-12"]
    assert [e.id for e in chosen("7")] == ["7"]
    with pytest.raises(ValueError, match="no equation is called 'ddim12': did you mean 'ddim-12'"):
        run(Right, ["ddim12"])


@pytest.mark.parametrize(("args", "error", "words"), [
    ((3,), TypeError, "a target must be a factory, betas -> object, got int"),
    ((Right, ["4"], 0, -1), ValueError, "examples must be at least 0, got -1")])
def test_wrong_arguments_are_refused(args, error, words):
    with pytest.raises(error, match=words):
        run(*args)


def test_the_same_seed_gives_the_same_report():
    def key(report):
        return [(r.equation, r.verdict, r.error, r.cases) for r in report.results]
    assert key(run(Right, OFFERED, seed=3)) == key(run(Right, OFFERED, seed=3))


def test_zero_examples_run_only_the_fixed_cases():
    assert run(Right, ["4"], examples=0)["4"].cases < run(Right, ["4"])["4"].cases


def test_the_report_as_json_and_as_a_table():
    mutant = type("Mutant", (Right,), {"q_sample": BAD["nan"][0], "conventions": {"precision": "float64"}})
    report = run(mutant, ["4", "7", "2"])
    read = json.loads(json.dumps(report.as_dict()))
    assert read["verdicts"] == {"PASS": 1, "FAIL": 1, "PRECISION": 0, "CONVENTION": 0, "UNVERIFIED": 1}
    assert [r["error"] is None for r in read["results"]] == [True, False, False]
    assert read["results"][1]["error"] == "inf"
    text = table(report)
    assert "returned nan at index (0, 0)" in text
    assert "\x1b[" not in text
    assert "\x1b[1;31mFAIL" in line(report["4"], colour=True)
    assert text.splitlines()[-1].startswith("Mutant: 1 PASS, 1 FAIL, 1 UNVERIFIED; ")
    with pytest.raises(KeyError, match="'15'"):
        report["15"]


def test_our_own_functions_pass_in_both_precisions():
    for dtype in ("float64", "float32"):
        report = run(lambda betas, d=dtype: ddpm_np(betas, dtype=d))
        assert {r.verdict for r in report.results} <= {PASS, PRECISION}
        assert (report["4"].verdict == PASS) == (dtype == "float64")


def test_repr_of_a_case_shows_its_betas():
    assert repr(Case([0.5] * 9)) == "T=9, β=(0.5, 0.5, 0.5, 0.5, 0.5, 0.5, …)"


def test_every_equation_has_properties():
    assert all(entry.properties for entry in EQUATIONS.values())
