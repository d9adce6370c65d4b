"""The exercise: its gaps are unverified, its solution passes, and filling a gap turns its own equations to PASS."""

from __future__ import annotations

import ast
import importlib.util
import re
import sys
import textwrap
from functools import cache
from pathlib import Path

import pytest

from ddpm_np.check import PASS, UNVERIFIED, run
from ddpm_np.check.registry import EQUATIONS
from ddpm_np.check.report import line

BOOK = Path(__file__).resolve().parents[2] / "docs"
FOLDER = BOOK / "exercise"
sys.path.insert(0, str(BOOK / "_ext"))
from book import exercise  # noqa: E402 - it is on the path now

GAPS = [gap.method for gap in exercise.gaps()]


@cache
def load(name):
    sys.path.insert(0, str(FOLDER))
    try:
        spec = importlib.util.spec_from_file_location(f"exercise_{name}", FOLDER / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(FOLDER))
    return module.Diffusion


def test_the_chapters_are_the_solution_with_gaps():
    """`python scripts/exercise.py` writes them."""
    assert {path.stem for path in (FOLDER / "chapters").glob("*.py")} == set(exercise.order())
    assert {path.stem for path in (FOLDER / "solutions").glob("*.py")} == set(exercise.order())
    for chapter in exercise.chapters():
        assert (FOLDER / "chapters" / f"{chapter.name}.py").read_text("utf-8") == chapter.source
        assert ast.dump(ast.parse(chapter.source)) != ast.dump(ast.parse(exercise.solved(chapter.name)))


def test_the_solution_has_the_classes_of_the_exercise_and_nothing_else():
    texts = [ast.parse((FOLDER / f"{name}.py").read_text("utf-8")) for name in ("diffusion", "solution")]
    bodies = [[ast.unparse(node) for node in tree.body[1:]] for tree in texts]
    assert [text.replace("from chapters.", "from solutions.") for text in bodies[0]] == bodies[1]


def test_the_page_counts_the_gaps():
    page = (FOLDER / "README.md").read_text("utf-8")
    assert f"{len(GAPS)} functions in {len(exercise.chapters())} chapters" in page
    assert len(set(GAPS)) == len(GAPS)


def test_every_gap_is_unverified():
    results = run(load("diffusion")).results
    assert {result.verdict for result in results} == {UNVERIFIED}
    assert len(results) == len(EQUATIONS)


def test_the_solution_passes_every_equation():
    results = run(load("solution")).results
    assert {result.equation for result in results if result.verdict == PASS} == set(EQUATIONS)


def test_filling_the_gaps_one_by_one_turns_equations_to_pass_and_none_to_fail():
    """Those equations are run that the new function can change."""
    empty, solution = load("diffusion"), load("solution")
    # the solution's methods call one another, so those that are not yet filled in stay hidden, not gone
    passed = set()
    for count, method in enumerate(GAPS, 1):
        hidden = {name: getattr(empty, name) for name in GAPS[count:]}
        ids = [id for id in EQUATIONS if method in exercise.lacking(id)]
        report = run(type("Partly", (solution,), hidden), ids, examples=0)
        assert not report.failed, method
        now = {result.equation for result in report.results if result.verdict == PASS}
        assert passed & set(ids) <= now
        passed |= now
    assert passed == set(EQUATIONS)


@pytest.mark.parametrize("chapter", exercise.chapters(), ids=lambda chapter: chapter.name)
def test_every_gap_has_two_or_three_hints_and_nothing_else_has(chapter):
    assert set(exercise.hints(chapter.name)) == {gap.method for gap in chapter.gaps}
    assert all(2 <= len(gap.hints) <= 3 for gap in chapter.gaps)
    assert chapter.text.endswith(".")


@pytest.mark.parametrize("gap", exercise.gaps(), ids=lambda gap: gap.method)
def test_no_hint_but_the_last_gives_a_line_of_the_solution_away(gap):
    given = set(gap.empty.splitlines())
    lines = [text.strip() for text in gap.solution.splitlines() if text not in given]
    spoken = [hint.replace(" ", "") for hint in gap.hints[:-1]]
    for text in lines:
        code = text.removeprefix("return ").partition("  # ")[0].replace(" ", "")
        assert len(code) < 12 or not any(code in hint for hint in spoken), text


def test_every_gap_serves_an_equation_and_every_equation_a_gap():
    served = {gap.method: exercise.serves(gap.method) for gap in exercise.gaps()}
    assert all(served.values())
    assert {id for ids in served.values() for id in ids} == set(EQUATIONS)
    assert served["q_sample"] == ["4", "9"]
    assert served["chain_end"] == ["16", "oracle-gaussian"]  # by way of affine_nll, and of a name made by getattr


def test_the_exercise_in_one_file_passes_when_its_gaps_are_filled(tmp_path):
    text = exercise.in_one_file()
    for gap in exercise.gaps():
        empty = textwrap.indent(gap.empty, "    ")
        assert text.count(empty) == 1, gap.method
        text = text.replace(empty, textwrap.indent(gap.solution, "    "))
    names = {}
    exec(compile(text, "diffusion.py", "exec"), names)
    assert {result.verdict for result in run(names["Diffusion"], examples=0).results} == {PASS}


def test_the_checkers_page_names_every_method_that_an_equation_needs():
    page = (BOOK / "checker.md").read_text("utf-8")
    needs = {need for entry in EQUATIONS.values() for prop in entry.properties for need in prop.needs}
    ranged = {f"equation_{number}" for number in range(17, 24)}
    assert "equation_17 … equation_23" in page
    assert {need for need in needs - ranged if not re.search(rf"\b{need}\b", page)} == set()


def test_the_page_shows_what_the_checker_says():
    solution = load("solution")

    class Wrong(solution):
        def q_sample(self, x_0, t, noise):
            a = self.column(self.alpha_bar(), t, x_0)
            return a**0.5 * x_0 + (1 - a) * noise

    result = run(Wrong, ["4"])["4"]
    page = (FOLDER / "README.md").read_text("utf-8")
    assert result.counterexample in page
    assert result.hint in page
    assert line(result).partition("1e-09")[0] in page


@pytest.mark.parametrize("path", sorted(FOLDER.rglob("*.py")), ids=lambda path: path.relative_to(FOLDER).as_posix())
def test_the_files_need_nothing_but_numpy(path):
    tree = ast.parse(path.read_text("utf-8"))
    modules = {a.name for node in ast.walk(tree) if isinstance(node, ast.Import) for a in node.names}
    modules |= {node.module.partition(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert modules <= {"__future__", "chapters", "given", "itertools", "math", "numpy", "solutions"}
