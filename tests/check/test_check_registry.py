"""The map between equations and functions is complete in both directions."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re

import pytest
from matplotlib import mathtext

import ddpm_np
import ddpm_np.check.equations
from ddpm_np import diffusion
from ddpm_np.check.registry import EQUATIONS, checks, chosen, equation
from ddpm_np.check.runner import false_alarm

NO_FORMULA = {  # in diffusion.__all__, and no equation: names, types, where noise comes from, shorthand
    "PREDICTS", "SCHEDULES", "SPACINGS", "Coefficients", "Denoiser", "Preconditioning", "Received", "Reverse", "draw",
    "first_noise", "last", "step_noise",
}
LISTED = [(entry.id, name) for entry in EQUATIONS.values() for name in entry.functions]
TAG = re.compile(r"^\s*Checked as: (.+)\.$", re.MULTILINE)


def found(name: str):
    """Return the function or class with a name below ddpm_np."""
    module, _, attribute = name.rpartition(".")
    return getattr(importlib.import_module(f"ddpm_np.{module}"), attribute)


def tags(thing) -> list[str]:
    """Return the equation ids that a docstring names."""
    lines = TAG.findall(thing.__doc__ or "")
    assert len(lines) <= 1, f"{thing.__name__} is tagged twice"
    return lines[0].split(", ") if lines else []


def tagged() -> dict[str, list[str]]:
    """Return every function, class and method of the package whose docstring has a tag, by its name below ddpm_np."""
    names = {}
    for info in pkgutil.walk_packages(ddpm_np.__path__, "ddpm_np."):
        if info.name.endswith("__main__") or "cupy" in info.name:
            continue
        module = importlib.import_module(info.name)
        for name, thing in vars(module).items():
            of_its_own = getattr(thing, "__module__", None) == info.name
            if not of_its_own or not (inspect.isclass(thing) or inspect.isfunction(thing)):
                continue
            names[f"{info.name}.{name}".removeprefix("ddpm_np.")] = tags(thing)
            for part, method in vars(thing).items() if inspect.isclass(thing) else ():
                if getattr(method, "__doc__", None):
                    method_name = f"{info.name}.{name}.{part}".removeprefix("ddpm_np.")
                    names[method_name] = TAG.findall(method.__doc__)
    return {name: ids for name, ids in names.items() if ids}


@pytest.mark.parametrize(("id", "name"), LISTED)
def test_a_listed_function_carries_the_id(id, name):
    assert id in tags(found(name)), f"{name}: its docstring says {tags(found(name))}"


def test_every_tag_is_listed():
    listed = {(name, id) for id, name in LISTED}
    assert {(name, id) for name, ids in tagged().items() for id in ids} == listed


def test_a_tag_stands_at_the_end_of_the_prose():
    """It is a line of its own, followed only by examples and sections."""
    for name in tagged():
        lines = inspect.cleandoc(found(name).__doc__).splitlines()
        at = next(i for i, line in enumerate(lines) if line.startswith("Checked as: "))
        assert lines[at - 1] == "", name
        assert at == len(lines) - 1 or lines[at + 1] == "", name
        rest = lines[at + 2:]
        assert not rest or rest[0].startswith(">>>") or set(rest[1]) == {"-"}, f"{name}: {rest[0]}"


def test_everything_public_that_computes_a_formula_is_an_equation():
    public = {name for name in diffusion.__all__ if name not in NO_FORMULA}
    assert {name for name in public if not tags(getattr(diffusion, name))} == set()
    assert set(diffusion.__all__) >= NO_FORMULA
    assert not any(tags(getattr(diffusion, name)) for name in NO_FORMULA)


def test_the_papers_equations_and_algorithms_are_all_there():
    assert {str(number) for number in range(1, 27)} <= set(EQUATIONS)
    assert {f"algorithm-{number}" for number in range(1, 5)} <= set(EQUATIONS)


@pytest.mark.parametrize("entry", EQUATIONS.values(), ids=EQUATIONS)
def test_every_equation_has_the_fields_that_a_report_shows(entry):
    assert entry.title
    assert entry.latex
    assert entry.source
    assert entry.functions
    assert len(set(entry.functions)) == len(entry.functions)
    assert entry.properties
    for prop in entry.properties:
        assert prop.equation == entry.id
        assert prop.method
        assert prop.needs
        assert prop.draws is not None or prop.first()
    assert entry.id == entry.id.strip("()")
    assert len(entry.title) <= 60


@pytest.mark.parametrize("entry", EQUATIONS.values(), ids=EQUATIONS)
def test_the_latex_of_every_equation_renders(entry):
    drawn = mathtext.MathTextParser("path").parse(f"${entry.latex}$")
    assert drawn.width > 0
    assert len(drawn.glyphs) > 3


def test_property_names_are_unique():
    names = [prop.name for entry in EQUATIONS.values() for prop in entry.properties]
    assert sorted(names) == sorted(set(names))


def test_false_alarm_rate_of_a_run_is_below_one_in_a_million():
    assert 0 < false_alarm() <= 1e-6
    assert false_alarm(["7"]) == 0


def test_equations_are_chosen_by_name_and_unknown_names_are_refused():
    assert [entry.id for entry in chosen(["(7)", "4"])] == ["4", "7"]
    assert chosen(7) == [EQUATIONS["7"]]
    with pytest.raises(ValueError, match="no equation is called 'velocitty': did you mean 'velocity'"):
        chosen(["velocitty"])
    with pytest.raises(ValueError, match="equation '7' is already registered"):
        equation("7", "again", "x", "nowhere", "diffusion.posterior.q_posterior")
    with pytest.raises(KeyError, match="no-such"):
        checks("no-such", needs=["q_sample"])(lambda check, drawn: None)
