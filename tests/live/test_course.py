"""The course's calls: verdicts on a reader's functions, together and each alone; what is no Python gets one line."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from ddpm_np.check import FAIL, PASS, UNVERIFIED, run
from ddpm_np.check.registry import EQUATIONS

BOOK = Path(__file__).resolve().parents[2] / "docs"
sys.path[:0] = [str(BOOK / "_ext"), str(BOOK / "_live" / "python")]
from book import exercise  # noqa: E402 - it is on the path now
from ddpm_live import course  # noqa: E402
from ddpm_live.calls import Trouble  # noqa: E402

GAPS = {gap.method: gap for gap in exercise.gaps()}
SOLVED = {method: gap.solution for method, gap in GAPS.items()}
WRONG = SOLVED["q_sample"].replace("np.sqrt(1 - a)", "(1 - a)")


def verdicts(items):
    return {item["equation"]: item["verdict"] for item in items}


def shown(result):
    return {"equation": result.equation, "verdict": result.verdict, "counterexample": result.counterexample,
            "hint": result.hint}


def test_the_gaps_are_those_of_the_book():
    assert {name for name in dir(course.SOLUTION) if course.is_gap(name)} == set(GAPS)


@pytest.mark.parametrize("methods", [[], ["alpha_bar", "q_step"], ["q_posterior", "alpha_bar", "kl"], list(GAPS)],
                         ids=len)
def test_verdicts_are_those_of_a_run(methods):
    answers = {method: SOLVED[method] for method in methods}
    found = list(course.check_exercise(answers, []))
    by_hand = run(type("Mine", (course.EMPTY,), {m: getattr(course.SOLUTION, m) for m in methods}), examples=0)
    assert verdicts(found) == {result.equation: result.verdict for result in by_hand.results}
    assert len(found) == len(EQUATIONS)
    assert (set(verdicts(found).values()) == {PASS}) == (methods == list(GAPS))


def test_a_mistake_gets_its_numbers_and_the_equations_asked_for_come_first():
    answers = {"alpha_bar": SOLVED["alpha_bar"], "q_sample": WRONG}
    found = list(course.check_exercise(answers, ["4"]))
    assert found[0]["equation"] == "4"
    mine = type("Mine", (course.EMPTY,), {m: course.function_of(m, source) for m, source in answers.items()})
    assert {name: found[0][name] for name in shown(run(mine, ["4"], examples=0)["4"])} == shown(
        run(mine, ["4"], examples=0)["4"])
    assert found[0]["hint"] == "these are the numbers of (1 − ᾱ_t)·ε: a missing root"


def test_an_equation_that_needs_a_gap_is_unverified_at_once_and_says_which():
    found = {item["equation"]: item for item in course.check_exercise({}, [])}
    assert set(verdicts(found.values()).values()) == {UNVERIFIED}
    assert found["algorithm-1"]["hint"] == "the target lacks draw_t, draw_noise"


def test_a_gap_that_is_still_empty_is_no_answer():
    assert verdicts(course.check_exercise({"q_sample": GAPS["q_sample"].empty}, []))["4"] == UNVERIFIED
    assert list(course.check_gap("q_sample", GAPS["q_sample"].empty, ["4"])) == []


@pytest.mark.parametrize("method", GAPS)
def test_each_gap_alone_is_right_or_wrong(method):
    """With the solution in all other gaps, the right function passes, and another fails an equation that it serves."""
    ids = exercise.serves(method)
    assert verdicts(course.check_gap(method, SOLVED[method], ids)) == dict.fromkeys(ids, PASS)
    spoilt = f"{SOLVED[method]}\n\n_right = {method}\n\n\ndef {method}(self, *args, **options):\n"
    spoilt += "    return _spoilt(_right(self, *args, **options))\n"
    # what a method returns, changed: numbers, lists and tuples of them
    spoilt += "\n\ndef _spoilt(x):\n    if isinstance(x, (list, tuple)):\n        return type(x)(map(_spoilt, x))\n"
    spoilt += "    return x * 2 if isinstance(x, (int, float, np.ndarray, np.generic)) else x\n"
    assert FAIL in verdicts(course.check_gap(method, spoilt, ids)).values()


@pytest.mark.parametrize(("source", "line"), [
    ("def q_sample(self, x_0, t, noise)\n    return x_0", "q_sample, line 1: expected ':'"),
    ("def q_sample(self, x_0, t, noise):\n    return (x_0\n", "q_sample, line 2: '(' was never closed"),
    ("    return x_0", "q_sample, line 1: unexpected indent"),
    ("x = 1", "q_sample: there must be a function `def q_sample(self, …)` here, not indented"),
    ("def q_smaple(self):\n    pass", "q_sample: there must be a function `def q_sample(self, …)` here, not indented"),
    ("import numpy\n1 / 0\ndef q_sample(self):\n    pass", "q_sample, line 2: ZeroDivisionError: division by zero"),
    ("def q_sample(self):\n    pass\n\nq_sample = 3", "q_sample: it must be a function, got int"),
    ("def q_sample(self, x_0=wrong):\n    pass", "q_sample, line 1: NameError: name 'wrong' is not defined"),
    ("x = '\0'", "q_sample: source code string cannot contain null bytes"),
])
def test_what_is_no_function_gets_one_line(source, line):
    for call in (course.check_exercise({"alpha_bar": SOLVED["alpha_bar"], "q_sample": source}, []),
                 course.check_gap("q_sample", source, ["4"])):
        with pytest.raises(Trouble) as error:
            list(call)
        assert str(error.value) == line


@pytest.mark.parametrize("method", ["column", "gaussian", "__init__", "nothing"])
def test_what_is_given_cannot_be_replaced(method):
    with pytest.raises(Trouble, match=f"{method} is no gap of the exercise"):
        list(course.check_gap(method, f"def {method}(self):\n    pass", []))


def test_a_function_that_raises_fails_its_equation_alone():
    answers = {"alpha_bar": SOLVED["alpha_bar"], "q_step": "def q_step(self, x, t, z):\n    return x.no"}
    by_id = {item["equation"]: item for item in course.check_exercise(answers, [])}
    assert by_id["2"]["verdict"] == FAIL
    assert "q_step raised AttributeError" in by_id["2"]["counterexample"]
    assert by_id["alpha-bar"]["verdict"] == PASS


def test_one_answer_does_not_change_the_exercise():
    before = course.EMPTY.q_sample, np.sqrt
    list(course.check_exercise({"q_sample": f"np = None\n\n\n{WRONG}"}, ["4"]))
    assert (course.EMPTY.q_sample, np.sqrt) == before
    assert verdicts(course.check_gap("q_step", SOLVED["q_step"], ["2"])) == {"2": PASS}
