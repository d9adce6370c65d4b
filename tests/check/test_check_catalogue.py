"""The checker finds every planted mistake, by a property of the equation it breaks, and no fault in what is right."""

from __future__ import annotations

import pytest
from mistakes import REFERENCE, changed_reference, conventions, ours, parted, reference, rewrites
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
from ddpm_np.check.registry import EQUATIONS
from ddpm_np.check.target import METHODS
from ddpm_np.check.targets import ddpm_np

FUNCTIONS = [(entry.id, name) for entry in EQUATIONS.values() for name in entry.functions]


def named(values: list) -> list:
    """As parameters of a test, by their names."""
    return [pytest.param(value, id=str(value)) for value in values]


def assert_found(report, change) -> None:
    """Every equation that the mistake breaks fails, and says so in numbers."""
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
    """With the test above: the checker would notice."""
    known = [change for change in ours.MISTAKES if ours.covers(change, function) and equation in change.equations]
    assert known, f"no catalogued mistake in {function} breaks ({equation}): add one to tests/support/mistakes/ours.py"


@pytest.mark.parametrize("change", named(rewrites.EQUIVALENT + rewrites.NO_BUGS))
def test_equivalent_rewrites_pass(change):
    for result in run(changed_reference(change), change.equations).results:
        assert result.verdict == PASS, f"{change}: ({result.equation}) {result.verdict}, {result.counterexample}"


@pytest.mark.parametrize("change", named([c for c in rewrites.EQUIVALENT if c.place == "q_posterior"]))
def test_rounding_where_the_exact_value_is_zero_is_no_failure(change):
    """At t = 1 μ̃ is x₀; by way of the noise of x_t it is 6e-17 where x₀ is 0, in some draws."""
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
    """UNVERIFIED is only what needs more than the protocol."""
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
    assert len(reference.MISTAKES) >= 400
    assert len(ours.MISTAKES) >= 150
    assert len(rewrites.EQUIVALENT) >= 50
    assert len(rewrites.NO_BUGS) >= 20
    names = [str(change) for change in reference.MISTAKES + ours.MISTAKES + rewrites.EQUIVALENT + rewrites.NO_BUGS]
    assert len(set(names)) == len(names)


def test_a_planted_mistake_is_removed_afterwards():
    change = ours.MISTAKES[0]
    code = ours.found(change.place).__code__
    with ours.planted(change):
        assert ours.found(change.place).__code__ is not code
    assert ours.found(change.place).__code__ is code
    with pytest.raises(ZeroDivisionError), ours.planted(change):
        raise ZeroDivisionError
    assert ours.found(change.place).__code__ is code
    assert not run(ddpm_np, change.equations).failed


def test_a_catalogued_change_must_apply_to_the_source():
    """A line of the catalogue that no longer fits the source fails, and does not pass for a mistake that was found."""
    change = reference.MISTAKES[0]
    with pytest.raises(AssertionError, match="occurs 0 times"):
        change.applied("nothing of it")
    head, source, tail = parted(REFERENCE, change.place)
    assert head + source + tail == REFERENCE
