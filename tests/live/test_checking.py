"""The check after a change, as a page asks for it: what is put in place, what is said of it, and the way back."""

from __future__ import annotations

import inspect
import json

import pytest
from ddpm_live import calls, checking
from ddpm_live.calls import Trouble
from mistakes import ours, source_of

from ddpm_np.check import PASS, run
from ddpm_np.check.code import named
from ddpm_np.check.registry import chosen
from ddpm_np.check.targets import ddpm_np

POSTERIOR = "diffusion.posterior.q_posterior"
IDS = [entry.id for entry in chosen(None)]


@pytest.fixture(autouse=True)
def _as_it_was():
    yield
    checking.put({})


def changed(name=POSTERIOR, old="beta_tilde", new="beta"):
    source = source_of(named(name))
    assert old in source
    return {name: source.replace(old, new)}


def verdicts(items):
    return {item["equation"]: item for item in items if "equation" in item}


def test_the_package_as_it_is_passes_and_no_line_is_compared():
    items = list(checking.check({}, []))
    assert {found["verdict"] for found in verdicts(items).values()} == {PASS}
    assert list(verdicts(items)) == IDS
    assert items[-1] == {"checked": len(IDS)}
    assert len(items) == len(IDS) + 1


def test_the_pages_own_equations_come_first_and_the_others_in_the_papers_order():
    order = list(verdicts(checking.check({}, ["log-variance", "6", "7"])))
    assert order[:3] == ["6", "7", "log-variance"]
    assert order[3:] == [id for id in IDS if id not in order[:3]]


def test_a_change_says_which_equation_breaks_by_which_numbers_and_which_line():
    items = list(checking.check(changed(), ["6", "7"], ["posterior.variance"]))
    found = verdicts(items)
    assert {id for id, item in found.items() if item["verdict"] != PASS} == {"6", "7"}
    assert found["7"]["counterexample"] == "T=2, β=(9/25, 7/16), t=2: β̃_t got 7/16, expected 63/256"
    assert found["7"]["hint"] == "these are the numbers of β_t: the large variance for the small"
    assert [item["line"] for item in items if "line" in item] == ["posterior.variance"]


def test_lines_are_compared_with_their_code_one_an_item_so_that_the_page_can_stop():
    items = list(checking.check(changed(), []))
    assert len(items) == len(IDS) + len(checking._tied()) + 1


def test_the_next_check_undoes_what_is_no_longer_changed():
    right = named(POSTERIOR).__code__
    list(checking.check(changed(), []))
    assert named(POSTERIOR).__code__ is not right
    other = changed("diffusion.forward.q_sample", "*", "+")
    list(checking.check(other, []))
    assert named(POSTERIOR).__code__ is right
    list(checking.check({}, []))
    assert run(ddpm_np, ["4", "7"]).count(PASS) == 2


def test_a_default_value_is_changed_too():
    name = "diffusion.schedules.linear_schedule"
    before = inspect.signature(named(name)).parameters["beta_max" if "beta_max" in inspect.signature(
        named(name)).parameters else list(inspect.signature(named(name)).parameters)[-1]].default
    source = source_of(named(name))
    assert f"= {before!r}" in source
    checking.put({name: source.replace(f"= {before!r}", "= 0.5")})
    assert 0.5 in (parameter.default for parameter in inspect.signature(named(name)).parameters.values())
    checking.put({})
    assert before in (parameter.default for parameter in inspect.signature(named(name)).parameters.values())


@pytest.mark.parametrize(("source", "message"), [
    ("def q_posterior(schedule, x_0, x_t, t):\n    return (\n", "line 2: '(' was never closed"),
    ("q_posterior = 3", "there is no def q_posterior in it"),
    ("def q_posterior(schedule, x_t, x_0, t):\n    return x_0, x_t\n",
     "the parameters of q_posterior must stay schedule, x_0, x_t, t"),
    ("@undefined\ndef q_posterior(schedule, x_0, x_t, t):\n    return x_0, x_t\n",
     "NameError: name 'undefined' is not defined"),
])
def test_what_cannot_be_put_in_place_is_said_in_one_line_and_nothing_is_changed(source, message):
    checking.put(changed())
    code = named(POSTERIOR).__code__
    with pytest.raises(Trouble, match=f"^{POSTERIOR}.*") as trouble:
        list(checking.check({POSTERIOR: source}, []))
    assert message in str(trouble.value)
    assert "\n" not in str(trouble.value)
    assert named(POSTERIOR).__code__ is code


def test_a_change_that_raises_is_a_failure_not_a_crash():
    source = "def q_posterior(schedule, x_0, x_t, t):\n    return missing\n"
    items = list(checking.check({POSTERIOR: source}, ["7"]))
    assert verdicts(items)["7"]["verdict"] == "FAIL"
    assert "missing" in verdicts(items)["7"]["counterexample"]
    [broken] = [item["broken"] for item in items if item.get("line") == "posterior.variance"]
    assert "raises NameError: name 'missing' is not defined at T=2" in broken


@pytest.mark.parametrize("change", ours.MISTAKES[::17], ids=str)
def test_the_reds_are_those_of_the_checker(change):
    function = named(change.place)
    name = f"{function.__module__}.{function.__qualname__}".removeprefix("ddpm_np.")
    page = verdicts(checking.check({name: change.applied(source_of(function))}, []))
    checking.put({})
    with ours.planted(change):
        expected = {result.equation: result.verdict for result in run(ddpm_np, examples=0).results}
    assert {id: item["verdict"] for id, item in page.items()} == expected
    assert set(change.equations) & {id for id, item in page.items() if item["verdict"] != PASS}


def test_random_cases_can_be_asked_for():
    [item] = checking.check_further("4")
    assert item["verdict"] == PASS


def test_a_call_is_advanced_item_by_item_in_json_and_can_be_stopped():
    calls.start(1, "check", json.dumps({"changes": {}, "first": ["4"]}))
    assert json.loads(calls.advance(1))["equation"] == "4"
    calls.stop(1)
    with pytest.raises(KeyError):
        calls.advance(1)
    calls.start(2, "check_further", json.dumps({"equation": "7", "examples": 0}))
    assert json.loads(calls.advance(2))["verdict"] == PASS
    assert calls.advance(2) == ""
    with pytest.raises(KeyError):
        calls.advance(2)
