"""scripts/mutate.py: which mutants there are, what becomes of them in a tiny project, and that a run goes on."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("cosmic_ray", reason="mutation testing needs cosmic-ray, of the dev extra")

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
sys.path.insert(0, str(SCRIPTS))

from cosmic_ray.mutating import mutate_code  # noqa: E402
from mutation.operators import OPERATORS, OWN  # noqa: E402
from mutation.work import Project, changed, code  # noqa: E402


def mutants(operator, source):
    """All that an operator makes of a line."""
    found = []
    while (text := mutate_code(source + "\n", OPERATORS[operator], len(found))) is not None:
        found.append(text.rstrip("\n"))
    return found


@pytest.mark.parametrize("operator", OWN, ids=lambda operator: operator.__name__)
def test_each_operator_produces_its_documented_example(operator):
    assert operator.after in mutants(operator.__name__, operator.before)
    assert operator.examples()[0].pre_mutation_code == operator.before


@pytest.mark.parametrize(("operator", "source", "expected"), [
    ("DropTerm", "x = a - b + c", ["x = a + c", "x = a - b", "x = -b + c"]),
    ("DropTerm", "x = (a\n     + b)", ["x = (a)", "x = (b)"]),
    ("DropFactor", "x = a * b / c", ["x = a / c", "x = a * b", "x = b / c"]),
    ("DropFactor", "x = a @ b", []),
    ("SwapOperands", "x = a - b - c", ["x = b - a - c", "x = c - (a - b)"]),
    ("SwapOperands", "x = a * b / c", ["x = c / (a * b)"]),
    ("SwapArguments", "x = f(a, b, c, k=d)", ["x = f(b, a, c, k=d)", "x = f(a, c, b, k=d)"]),
    ("SwapArguments", "x = xp.concat((zero, rest))", ["x = xp.concat((rest, zero))"]),
    ("SwapOperands", "x = (a - b) ** 2 + square(c - d) + abs(e - f)", []),
    ("SwapOperands", "x = (a - b) ** 3 + f(c - d)", ["x = (b - a) ** 3 + f(c - d)", "x = (a - b) ** 3 + f(d - c)"]),
    ("SwapArguments", "x = f(a, a)", []),
    ("SwapArguments", "x = isinstance(a, b)", []),
    ("SwapArguments", "x = q_sample(schedule, x_0)", []),
    ("ShiftIndex", "x = a[1:]", ["x = a[:]"]),
    ("ShiftIndex", "x = a[:-1]", ["x = a[:]"]),
    ("ShiftIndex", "x = a[t, s]", ["x = a[t - 1, s]", "x = a[t, s - 1]"]),
    ("ShiftIndex", "x = schedule.at(table, t, x)", ["x = schedule.at(table, t - 1, x)"]),
    ("ShiftIndex", "x = range(1, n, -1)", ["x = range(1, n - 1, -1)"]),
    ("DropFunction", "x = xp.sqrt(a)[1:] * xp.log(b)", ["x = (a)[1:] * xp.log(b)", "x = xp.sqrt(a)[1:] * (b)"]),
    ("DropFunction", "x = a.sum(axis=1)", []),
    ("ExchangeFunction", "x = xp.log1p(min(a, b))", ["x = xp.log(min(a, b))", "x = xp.log1p(max(a, b))"]),
    ("ExchangeFunction", "x = log", []),
    ("ExchangeName", "x = s.alpha[t]", ["x = s.alpha_bar[t]"]),
    ("ExchangeName", "def f(low, high): return f(low, low=1)", ["def f(low, high): return f(high, low=1)"]),
    ("ExchangeName", "def f(low): return low", []),
    ("ExchangeName", "def f(x_0, x_t): return of(x_0).mean(x_t) + s.at(a, x_0, x_t) + x_t.ndim",
     ["def f(x_0, x_t): return of(x_0).mean(x_0) + s.at(a, x_0, x_t) + x_t.ndim",
      "def f(x_0, x_t): return of(x_0).mean(x_t) + s.at(a, x_t, x_t) + x_t.ndim"]),
    ("ExchangeText", 'x = v == "small"', ['x = v == "large"']),
    ("DoubleNumber", "x = 0.5 + 1e-4 + 0.0 + 2", ["x = 1.0 + 1e-4 + 0.0 + 2", "x = 0.5 + 0.0002 + 0.0 + 2",
                                                  "x = 0.5 + 1e-4 + 1.0 + 2"]),
    ("NumberReplacer", "x = 2 + 0.5", ["x = 3 + 0.5", "x = 1 + 0.5"]),
    ("NumberReplacer", "x = a.reshape(b, (-1, *d)) - f(-1)", ["x = a.reshape(b, (-1, *d)) - f(- 2)",
                                                             "x = a.reshape(b, (-1, *d)) - f(- 0)"]),
    ("FlipAssignment", "x /= a", ["x *= a"]),
    ("ReplaceBinaryOperator_Mul_Div", "def f(a, *, b): return g(*a) * b", ["def f(a, *, b): return g(*a) / b"]),
    ("ReplaceBinaryOperator_Pow_Mul", "x = f(**a) ** 2", ["x = f(**a) * 2"]),
    ("ReplaceComparisonOperator_Gt_GtE", "x = a > 0", ["x = a >= 0"]),
    ("ReplaceTrueWithFalse", "x = True", ["x = False"]),
])
def test_mutants_of_each_operator(operator, source, expected):
    assert [" ".join(text.split()) for text in mutants(operator, source)] == [" ".join(e.split()) for e in expected]


@pytest.mark.parametrize("source", [
    "raise Wrong(a - 1, b[t], sqrt(2))", 'x = f"{a - b} of {b[t]}"', "x: tuple[t, f(a, b)]",
    "def f(x: g(a - b)) -> a[t]: ...",
    "@f(1, True)\ndef g(): ...", "__all__ = [a - 1, True]", "from a import beta", '"""Small."""',
])
def test_code_without_mathematics_is_not_mutated(source):
    assert not [text for name in OPERATORS for text in mutants(name, source)]


FORMULA = '''
"""Formulas."""


def distance(a: int, b: int) -> int:
    """|a − b|."""
    return abs(a - b)


def one(x):
    return x * 1


def nobody(x):
    return x - 2
'''
TESTS = '''
import pytest
from tiny.formula import distance, one


def test_distance():
    assert distance(5, 3) == 2


@pytest.fixture(scope="module")
def three():
    return one(3)


def test_before(three): ...


def test_count(three):
    assert three == 3


def test_one():
    assert one(2) == 2


def test_broken():
    assert one(2) == 3
'''
RUN = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import mutate
mutate.SECONDS = float(sys.argv[3])
root = Path(sys.argv[2])
sys.exit(mutate.main(sys.argv[4:], root, "tiny", root / "explained.toml"))
"""


@pytest.fixture
def tiny(tmp_path):
    """A project of one module."""
    for path, text in {"tiny/__init__.py": "", "tiny/formula.py": FORMULA.lstrip(), "tests/test_formula.py": TESTS,
                       "explained.toml": "", "pyproject.toml": "[tool.pytest.ini_options]\n"}.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text, "utf-8")
    return tmp_path


def command(root, *argv, seconds=10.0):
    return [sys.executable, "-c", RUN, str(SCRIPTS), str(root), str(seconds), *argv, "--folder", str(root / "work"),
            "--report", str(root / "report.md")]


def start(root, *argv, seconds=10.0):
    return subprocess.Popen(command(root, *argv, seconds=seconds), text=True, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE)


def finish(process):
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def cells(out):
    """The table's row as {column: text}."""
    head, _, row, *_ = out.strip().splitlines()
    return dict(zip(*([cell.strip() for cell in line.strip("|").split("|")] for line in (head, row)), strict=True))


def test_survey_of_a_tiny_project(tiny):
    """Killed, surviving and untested mutants; a second run does the rest; what is explained is no failure."""
    _, out, err = finish(start(tiny, "formula.py", "--limit", "3"))
    first = cells(out)
    assert int(first["not run"]) > 5
    assert "tests: 1 of them fail" in err
    assert "test_broken" in err
    stored = json.loads((tiny / "work" / "survey-formula.json").read_text())["survey"]
    assert stored["calls"]["formula:one"]["tests"] == [f"tests/test_formula.py::test_{name}" for name in (
        "before", "count", "one")]  # two of them by a fixture that they share

    status, out, err = finish(start(tiny, "formula.py", "--jobs", "2"))
    row = cells(out)
    assert status == 1
    assert "survey" not in err
    assert row["not run"] == "0"
    assert row["timeout, crash"] == "0"
    assert int(row["tests"]) > int(first["tests"])
    assert "x / 1" in err
    assert "formula.py:10: ReplaceBinaryOperator_Mul_Div survives" in err
    report = (tiny / "report.md").read_text("utf-8")
    assert "after: `return x / 1`" in report
    assert "before: `return x - 2`" in report
    assert "nothing calls it" in report
    assert "abs(b - a)" not in report  # the same number: not tried

    survivors = re.findall(r"\(`(.*)`\).*\n  - before: `(.*)`\n  - after: `(.*)`", report)
    assert len(survivors) == int(row["open"])
    entry = ('[[equivalent]]\nmodule = "formula"\nfunction = {}\nbefore = {}\nafter = [{}]\nclass = "same numbers"\n'
             'why = "It is."\n')
    equal = [survivor for survivor in survivors if survivor[0] != "nobody"]
    explained = "".join(entry.format(*map(json.dumps, survivor)) for survivor in equal)
    (tiny / "explained.toml").write_text(explained + entry.format('"one"', '"return 0"', '"return 1"'), "utf-8")
    with (tiny / "tests" / "test_formula.py").open("a") as tests:
        tests.write("\ndef test_nobody():\n    from tiny.formula import nobody\n    assert nobody(3) == 1\n")
    status, out, err = finish(start(tiny, "formula.py", "--again"))
    row = cells(out)
    assert status == 0
    assert (row["open"], row["explained"], row["all"]) == ("0", str(len(equal)), "100.0 %")
    assert [line for line in err.splitlines() if "stale" in line] == ["stale: no survivor is formula: return 0"]
    report = (tiny / "report.md").read_text("utf-8")
    assert "Explained: same numbers" in report
    assert "x - 2" not in report


def test_ctrl_c_stops_a_survey_and_the_next_run_resumes_it(tiny):
    """Ctrl-C at a mutant that hangs ends it and what it started; what was found is kept, the next run has the rest."""
    hangs, ticks = tiny / "hangs", tiny / "ticks"
    (tiny / "tests" / "test_formula.py").write_text(
        "import pathlib, subprocess\nfrom tiny.formula import one\ndef test_one():\n    if one(2) != 2:\n"
        f"        other = subprocess.Popen(['sh', '-c', 'for i in $(seq 99); do echo >> {ticks}; sleep 0.1; done'])\n"
        f"        pathlib.Path({str(hangs)!r}).touch()\n        other.wait()\n", "utf-8")
    process = start(tiny, "formula.py", seconds=100)
    for _ in range(400):
        if hangs.exists():
            break
        time.sleep(0.05)
    busy = subprocess.run(command(tiny, "formula.py"), capture_output=True, text=True, check=False, timeout=60)
    process.send_signal(signal.SIGINT)
    status, out, err = finish(process)
    assert (status, busy.returncode) == (130, 2)
    assert "mutate: error: another run is at work on formula" in busy.stderr
    assert "stopped; the same command goes on from here" in err
    left = int(cells(out)["not run"])
    _, out, _ = finish(start(tiny, "formula.py", "--limit", "0"))
    assert cells(out)["not run"] == str(left)
    assert 0 < left < int(cells(out)["mutants"]) + left
    _, out, _ = finish(start(tiny, "formula.py", seconds=0.5))
    assert cells(out)["not run"] == "0"
    assert cells(out)["timeout, crash"] != "0"
    written = ticks.stat().st_size
    time.sleep(0.5)
    assert ticks.stat().st_size == written > 0


def test_modules_are_found_by_name_and_pattern(tiny):
    project = Project(tiny, "tiny", tiny)
    assert project.modules(["formula.py"]) == project.modules(["tiny/form*"]) == ["formula"]
    with pytest.raises(ValueError, match=r"tiny has no module 'formulas\.py'"):
        project.modules(["formulas.py"])


def test_a_docstring_or_a_comment_is_no_change():
    source = 'def f(x):\n    """One."""\n    return x + 1  # two\n'
    assert code(source) == code(source.replace("One", "Two").replace("two", "one"))
    assert code(source) != code(source.replace("+ 1", "+ 2"))


def test_changed_returns_the_differing_lines():
    assert changed("a\nb\n  c\nd", "a\nB\nC\nd") == ("b c", "B C")


PLANTED = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from mutation.killers import enter, kill
from mutation.work import Project, Source
project = Project(Path(sys.argv[2]), "ddpm_np", Path(sys.argv[2]))
source = Source(project, "diffusion.forward")
mutant = next(m for m in source.mutants() if m.function == "q_sample" and m.operator == sys.argv[3])
text, before, after = source.mutate(mutant)
assert before != after
enter(project)
print(*kill(project, mutant, text, {"check": ["7", "4"], "gradients": [], "tests": []}))
"""


def test_the_check_kills_a_mutant_of_the_package():
    done = subprocess.run([sys.executable, "-c", PLANTED, str(SCRIPTS), str(SCRIPTS.parent), "ExchangeName"],
                          capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.startswith("check (4) FAIL: T=2, β=(9/25, 7/16)")
