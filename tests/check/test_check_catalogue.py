"""The checker finds every planted mistake, by a property of the equation it breaks, and passes every rewrite."""

from __future__ import annotations

import pytest
from mistakes import REFERENCE, changed_reference, conventions, ours, parted, reference, rewrites, source_of
from reference_target import Reference

from ddpm_np.check import (
    CONVENTION,
    FAIL,
    PASS,
    PRECISION,
    UNVERIFIED,
    equations,  # noqa: F401 - fills the registry
    run,
)
from ddpm_np.check import code as check_code
from ddpm_np.check.registry import EQUATIONS
from ddpm_np.check.target import METHODS
from ddpm_np.check.targets import ddpm_np

FUNCTIONS = [(entry.id, name) for entry in EQUATIONS.values() for name in entry.functions]


def named(values: list) -> list:
    """Turn values into test parameters with their names as ids."""
    return [pytest.param(value, id=str(value)) for value in values]


def assert_found(report, change) -> None:
    """Every equation that the mistake breaks fails, with a counterexample."""
    for result in report.results:
        assert result.verdict == FAIL, f"{change}: ({result.equation}) is {result.verdict}, error {result.error}"
        assert result.counterexample


@pytest.mark.parametrize("change", named(reference.MISTAKES))
def test_a_mistake_in_the_reference_is_found(change):
    assert_found(run(changed_reference(change), change.equations), change)


@pytest.mark.parametrize("change", named(ours.MISTAKES))
def test_a_mistake_in_our_own_function_is_found(change):
    with ours.planted(change):
        report = run(ddpm_np, change.equations)
    assert_found(report, change)


@pytest.mark.parametrize(("equation", "function"), FUNCTIONS)
def test_every_function_of_an_equation_has_a_catalogued_mistake(equation, function):
    """Together with the test above: a mistake in any of them would be noticed."""
    known = [change for change in ours.MISTAKES if ours.covers(change, function) and equation in change.equations]
    assert known, f"no catalogued mistake in {function} breaks ({equation}): add one to tests/support/mistakes/ours.py"


@pytest.mark.parametrize("change", named(rewrites.EQUIVALENT + rewrites.NO_BUGS))
def test_equivalent_rewrites_pass(change):
    for result in run(changed_reference(change), change.equations).results:
        assert result.verdict == PASS, f"{change}: ({result.equation}) {result.verdict}, {result.counterexample}"


@pytest.mark.parametrize("change", named([c for c in rewrites.EQUIVALENT if c.place == "q_posterior"]))
def test_rounding_where_the_exact_value_is_zero_is_no_failure(change):
    """At t = 1, μ̃ is x₀; computed by way of the noise it is 6e-17 in some draws where x₀ is 0."""
    for result in run(changed_reference(change), ["7"], seed=1, examples=20).results:
        assert result.verdict == PASS, f"{change}: ({result.equation}) {result.verdict}, {result.counterexample}"


@pytest.mark.parametrize("convention", named(conventions.CONVENTIONS))
def test_a_declared_convention_is_no_failure(convention):
    allowed = PRECISION if "precision" in convention.declared else CONVENTION
    for result in run(convention.declaring(), convention.equations).results:
        assert result.verdict == allowed, f"{convention}: ({result.equation}) {result.verdict}, {result.counterexample}"


@pytest.mark.parametrize("convention", named(conventions.CONVENTIONS))
def test_a_declared_convention_fails_no_other_equation(convention):
    for result in run(convention.declaring(), examples=1).results:
        assert result.verdict != FAIL, f"{convention}: ({result.equation}) {result.counterexample}"


@pytest.mark.parametrize("convention", named(conventions.CONVENTIONS))
def test_an_undeclared_convention_fails_and_is_named(convention):
    results = run(convention.factory, convention.equations).results
    assert {result.verdict for result in results} == {FAIL}
    assert any(convention.hint in result.hint + result.counterexample for result in results), [r.hint for r in results]


def test_the_reference_passes_every_equation_the_protocol_covers():
    """Only properties that need more than the protocol are UNVERIFIED."""
    report = run(Reference)
    assert not report.failed
    beyond = {id for id, entry in EQUATIONS.items()
              if not any(set(prop.needs) <= set(METHODS) for prop in entry.properties)}
    assert {result.equation for result in report.results if result.verdict == UNVERIFIED} == beyond
    assert report.count(PASS) == len(EQUATIONS) - len(beyond)


def test_the_reference_implements_the_whole_protocol():
    assert [name for name in METHODS if not callable(getattr(Reference, name, None))] == []


def test_every_method_of_the_protocol_has_mistakes():
    places = {change.place for change in reference.MISTAKES}
    assert set(METHODS) - places == set()


def test_the_catalogue_is_large():
    assert len(reference.MISTAKES) >= 440
    assert len(ours.MISTAKES) >= 390
    assert len(rewrites.EQUIVALENT) >= 70
    assert len(rewrites.NO_BUGS) >= 24
    names = [str(change) for change in reference.MISTAKES + ours.MISTAKES + rewrites.EQUIVALENT + rewrites.NO_BUGS]
    assert len(set(names)) == len(names)


def test_a_planted_mistake_is_removed_afterwards():
    change = ours.MISTAKES[0]
    code = check_code.named(change.place).__code__
    with ours.planted(change):
        assert check_code.named(change.place).__code__ is not code
    assert check_code.named(change.place).__code__ is code
    with pytest.raises(ZeroDivisionError), ours.planted(change):
        raise ZeroDivisionError
    assert check_code.named(change.place).__code__ is code
    assert not run(ddpm_np, change.equations).failed


def test_a_catalogued_change_must_apply_to_the_source():
    """An entry that no longer fits the source fails the test, rather than pass for a mistake that was found."""
    change = reference.MISTAKES[0]
    with pytest.raises(AssertionError, match="occurs 0 times"):
        change.applied("nothing of it")
    head, source, tail = parted(REFERENCE, change.place)
    assert head + source + tail == REFERENCE


def test_a_docstring_may_quote_its_formula():
    """Entries are looked for in the code alone."""
    function = check_code.named("diffusion.forward.q_sample")
    assert "Equation (4)" in function.__doc__
    assert "Equation (4)" not in source_of(function)
    assert source_of(function).startswith("def q_sample(")
