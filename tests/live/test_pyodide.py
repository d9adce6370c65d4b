"""The equations are checked in Pyodide, a 32-bit platform with NumPy 2.0 and no SciPy, as they are here.

The environment variable PYODIDE names a folder with core/ (Pyodide 0.27.7) and wheels/ (NumPy, and those of the pure
packages that the checker needs); Node.js runs it. The tests are skipped where one of them is absent.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parent.parent


@pytest.fixture(scope="module")
def pyodide() -> dict[str, Any]:
    """What `verdicts` prints in Pyodide."""
    folder, node = os.environ.get("PYODIDE", ""), shutil.which("node")
    if not (Path(folder) / "core" / "pyodide.mjs").is_file():
        pytest.skip("PYODIDE names no folder with core/pyodide.mjs and wheels/")
    if node is None:
        pytest.skip("Node.js is not installed")
    return printed([node, HERE / "check_in_pyodide.mjs", folder, ROOT, HERE / "verdicts.py"])


@pytest.fixture(scope="module")
def here(pyodide: dict[str, Any]) -> dict[str, Any]:
    """What it prints in this Python."""
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests" / "support")])
    return printed([sys.executable, HERE / "verdicts.py"], PYTHONPATH=path)


def printed(command: list[Any], **variables: str) -> dict[str, Any]:
    """Run a command and return the JSON of the last line that it prints."""
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=300, check=False,
                          env={**os.environ, **variables})
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("cases", ["plain", "random"])
def test_every_equation_has_the_same_verdict_on_as_many_cases(pyodide, here, cases):
    assert pyodide[cases] == here[cases]
    assert {verdict for verdict, _ in pyodide[cases].values()} == {"PASS"}
    assert len(pyodide[cases]) > 60


def test_mistakes_turn_the_same_equations_red(pyodide, here):
    planted = {name for name in here if ": " in name}
    assert len(planted) >= 10
    for name in planted:
        assert pyodide[name] == here[name], name
        assert here[name], name


def test_random_words_and_integers_are_the_same(pyodide, here):
    """Words are 64 bits wide on either platform, and counters and integers larger than 32 bits are met."""
    for name in ("words", "integers"):
        assert pyodide[name] == here[name]


def test_nothing_heavy_is_imported_without_random_cases(pyodide):
    assert pyodide["imported"] == []


def test_a_second_check_takes_seconds(pyodide):
    """Measured: 1.1 s for all equations and 0.15 s for the slowest; other load is allowed for."""
    every, slowest = pyodide["seconds"]
    assert every < 10
    assert slowest < 2
