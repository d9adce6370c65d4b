"""The book's derivations: every line proved, complete, readable, tied to the code, and red for slips of the pen."""

from __future__ import annotations

import importlib
import random
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from matplotlib import mathtext

import ddpm_np
import ddpm_np.check.equations
from ddpm_np.check.derivations import METHODS, SYMBOLS, Relation, book, expand, macros, mutants, prove, relations
from ddpm_np.check.derivations.code_ties import untied
from ddpm_np.check.derivations.pages.winograd import OURS
from ddpm_np.check.registry import EQUATIONS
from ddpm_np.kernels.numpy_winograd import F4

ALL = relations()
IDS = {relation.id: place for place, relation in enumerate(ALL)}


@pytest.mark.parametrize("derivation", book().values(), ids=list(book()))
def test_every_line_of_a_derivation_is_proved(derivation):
    assert derivation.relations
    for relation in derivation.relations:
        verdict = prove(relation)
        assert verdict.proved, f"{relation.id}: {verdict.counterexample}"
        assert verdict.method in METHODS


def test_there_are_at_least_250_lines_and_they_take_less_than_ten_seconds():
    started = time.process_time()
    for relation in ALL:
        prove(relation)
    assert time.process_time() - started < 10
    assert len(ALL) >= 250


def test_every_equation_of_the_registry_has_a_line():
    assert {relation.equation for relation in ALL} - {""} == set(EQUATIONS)


def test_ids_are_unique_anchors_of_their_derivation():
    assert len(IDS) == len(ALL)
    for name, derivation in book().items():
        assert all(relation.id.startswith(f"{name}.") for relation in derivation.relations)
        assert derivation.title
        assert derivation.page


def test_a_line_has_a_reason_and_rests_on_earlier_lines_or_equations():
    for relation in ALL:
        assert relation.why.endswith((".", "…", ":")), relation.why
        for name in relation.on:
            assert name in EQUATIONS or IDS.get(name, len(ALL)) < IDS[relation.id], f"{relation.id} rests on {name}"


@pytest.mark.parametrize("derivation", book().values(), ids=list(book()))
def test_the_latex_of_lines_renders_without_macros(derivation):
    for relation in derivation.relations:
        for text in (relation.latex, *relation.given.values()):
            shown = expand(text)
            assert not any(f"{macro} " in shown or f"{macro}{{" in shown for macro in macros())
            assert mathtext.MathTextParser("path").parse(f"${shown}$").width > 0, relation.id


def test_functions_of_lines_exist():
    for relation in ALL:
        for name in relation.functions:
            parts = name.split(".")
            for split in range(len(parts) - 1, 0, -1):
                try:
                    thing = importlib.import_module(".".join(["ddpm_np", *parts[:split]]))
                except ImportError:
                    continue
                if hasattr(thing, parts[split]):
                    break
            else:
                raise AssertionError(f"{relation.id}: no function is called {name}")


def test_the_documented_figures_are_those_of_the_data():
    text = (Path(ddpm_np.__file__).parent.parent / "docs" / "design" / "derivations.md").read_text("utf-8")
    tied = sum(bool(relation.code) for relation in ALL)
    assert f"{len(ALL)} lines in {len(book())} derivations" in text
    assert f"{tied} tied to code" in text
    for method, count in Counter(relation.method for relation in ALL).items():
        row = next(line for line in text.splitlines() if line.startswith(f"| {method} |"))
        assert row.endswith(f"| {count} |")


def test_a_line_whose_code_computes_something_else_is_red():
    [line] = relations(["posterior.mean"])
    wrong = replace(line, code="d.posterior_mean(s, x_t, x_0, t)")
    assert not prove(wrong).proved
    assert untied(wrong).startswith("d.posterior_mean(s, x_t, x_0, t) = ")


def test_the_line_on_f_4_3_has_the_packages_points():
    """Its code ties it to the package's matrices, but the identity holds at any points."""
    assert tuple(map(float, OURS)) == F4.points
    [line] = relations(["winograd.four-outputs"])
    assert [line.given[f"G_{k}_2"] for k in range(1, 6)] == ["0", r"\frac{5}{8}", r"-\frac{5}{8}", r"\frac{3}{2}",
                                                           r"-\frac{3}{2}"]


def test_symbols_are_written_in_one_way_only():
    shown = [symbol.latex for symbol in SYMBOLS.values() if symbol.macro not in (r"\pone", r"\qone")]
    assert len(set(shown)) == len(shown)
    for relation in ALL:
        for raw in (r"\alpha", r"\beta", r"\epsilon", r"\sigma", r"\bar", r"\tilde", "x_0", "x_t"):
            assert raw not in relation.latex.replace(r"\alpha-", ""), f"{relation.id} writes {raw} without its macro"


def test_a_sample_of_slips_is_red():
    chosen = random.Random(0).sample([relation for relation in ALL if relation.method != "quadrature"], 60)
    slips = [mutants(relation) for relation in chosen]  # a short line has only two
    made = [mutant for found in slips for mutant in random.Random(1).sample(found, min(3, len(found)))]
    survivors = [mutant for mutant in made if not mutant.refutation()]
    assert len(made) > 170
    assert len(survivors) <= 1, [str(mutant) for mutant in survivors]


def test_a_counterexample_shows_the_sides_and_a_point():
    [line] = relations(["forward.step"])
    slip = next(m for m in mutants(line) if str(m) == "forward.step (symbol): 1 − ᾱ_{t−1}")
    shown = slip.refutation()
    assert shown.startswith("α_t·(1 − ᾱ_{t−1}) + β_t = ")
    assert ", 1 − ᾱ_{t−1} = " in shown
    assert " at √" in shown


def test_wrong_lines_of_every_method_are_red():
    wrong = {
        "algebra": r"\frac{\al}{\be} = \frac{1-\be}{\bt}", "moments": r"\E_{\eps}[(\xo+\eps)^2] = \xo^2",
        "calculus": r"\pd{x}{x^3} = 3x", "logarithms": r"\ln(ab) = \ln a-\ln b",
        "finite sums": r"\sum_{t=1}^{T} a_t = \sum_{t=2}^{T} a_t", "sign": r"x-y = x-y \geq 0",
    }
    for method, latex in wrong.items():
        relation = Relation("test.wrong", latex, "Wrong.")
        assert relation.method == method
        assert not prove(relation).proved, latex


def test_what_is_not_in_the_language_is_refused_by_name():
    wrong = {r"\alpha_t = 1": r"no macro is called \\alpha", r"\frac{1}{2": "expected", "a = )": "unexpected"}
    for latex, message in wrong.items():
        with pytest.raises(ValueError, match=message):
            prove(Relation("test.wrong", latex, "Wrong."))


def test_lines_are_chosen_by_id_and_unknown_ones_refused():
    assert [relation.id for relation in relations(["kl.equal"])] == ["kl.equal"]
    assert relations(["velocity"]) == book()["velocity"].relations
    with pytest.raises(ValueError, match=r"no relation is called 'kl.equals': did you mean 'kl.equal'\?"):
        relations(["kl.equals"])
