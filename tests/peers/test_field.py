"""docs/peers-of-the-field.md: its record, its tables, and the adapters of scripts/peers on code of the same shape."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ddpm_np.check import run

pytestmark = pytest.mark.peers  # with PyTorch, where it is

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE, RECORD = ROOT / "docs" / "peers-of-the-field.md", ROOT / "docs" / "peers" / "record.json"
SHAPE = ROOT / "tests" / "support" / "shapes" / "trainer"


@pytest.fixture
def peers(monkeypatch):
    """The package scripts/peers, which is not on the path of tests."""
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "peers"]:
        del sys.modules[name]


def record():
    return json.loads(RECORD.read_text("utf-8"))


@pytest.mark.usefixtures("peers")
def test_the_tables_of_the_page_are_those_of_the_record():
    from peers.record import tables

    shown = PAGE.read_text("utf-8").partition("<!-- tables -->")[2].partition("<!-- end of tables -->")[0]
    assert shown.strip() == tables(record())


@pytest.mark.usefixtures("peers")
def test_the_record_has_every_repository_of_the_table_at_its_commit():
    from peers.record import GROUPS, key
    from peers.table import REPOSITORIES

    entries = record()
    assert list(entries) == [key(repository) for repository in REPOSITORIES]
    assert all(entries[key(r)]["commit"] == r.commit and entries[key(r)]["file"] == r.file for r in REPOSITORIES)
    assert len({r.name for r in REPOSITORIES}) >= 25
    equations = {e for entry in entries.values() for results in entry["targets"].values() for e in results}
    assert equations <= {e for group in GROUPS.values() for e in group}


def test_every_failure_of_the_record_is_written_up():
    """Each FAIL is of an equation that the findings or the choices name."""
    findings = PAGE.read_text("utf-8").partition("## Findings")[2]
    for name, entry in record().items():
        for results in entry["targets"].values():
            for equation, (verdict, reason) in results.items():
                if verdict == "FAIL":
                    assert reason, f"{name}: {equation}"
                    assert equation.replace("L_0", "L₀") in findings, f"{name}: {equation} is not written up"


def test_every_block_of_the_page_has_an_output_and_is_short():
    text = PAGE.read_text("utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```\n+```text\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert len(blocks) == text.count("```python") >= 14
    assert all(printed.strip() not in ("", "?") and len(code.splitlines()) <= 15 for code, printed in blocks)
    assert not [code for code, _ in blocks if "ddpm_np" in code]


def test_a_run_gives_the_record():
    """A new run of every adapter and block, for which DDPM_NP_CHECKOUTS names the folder of checkouts."""
    folder = os.environ.get("DDPM_NP_CHECKOUTS")
    if not folder:
        pytest.skip("DDPM_NP_CHECKOUTS does not name a folder of checkouts")
    pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'ddpm_np[peers]'")
    done = subprocess.run([sys.executable, str(ROOT / "scripts" / "peers.py"), folder, "--check"], capture_output=True,
                          text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.usefixtures("peers")
@pytest.mark.parametrize(("right", "wrong", "equations"), [
    ("", "", set()),
    ("* x + (1 - bar).sqrt() * noise", "* x + (1 - bar) * noise", {"4", "9", "14"}),
    ("if step else mean", "", {"1"}),
    ("torch.clip(self.predict_xstart_from_eps(x_t, t, self.model(x_t, t)), -1, 1)\n",
     "self.predict_xstart_from_eps(x_t, t, self.model(x_t, t)); torch.clip(x_0, -1, 1)\n", {"1", "clip"}),
    ("torch.randint(self.T,", "torch.randint(1, self.T,", {"algorithm-1"})])
def test_an_adapter_finds_what_is_wrong_in_a_trainer_and_nothing_else(right, wrong, equations, tmp_path):
    pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'ddpm_np[peers]'")
    from peers.trainers import w86763777

    text = (SHAPE / "diffusion.py").read_text("utf-8")
    assert right in text
    (tmp_path / "diffusion.py").write_text(text.replace(right, wrong) if right else text, "utf-8")
    report = run(w86763777(tmp_path), examples=1)
    assert {result.equation for result in report.results if result.verdict == "FAIL"} == equations
    held = {result.equation for result in report.results if result.verdict in ("PASS", "PRECISION", "CONVENTION")}
    assert {"4", "7", "11", "14", "15", "sigma"} - equations <= held


@pytest.mark.usefixtures("peers")
def test_what_differs_from_the_record_is_named():
    spec = importlib.util.spec_from_file_location("peers_script", ROOT / "scripts" / "peers.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    known = {"a/b": {"commit": "1", "blob": "2", "targets": {"": {"4": ["pass", ""], "7": ["prec", ""]}}}}
    assert script.differences(known, known) == []
    other = {"a/b": {"commit": "1", "blob": "3", "targets": {"": {"4": ["FAIL", "x"]}}}}
    assert script.differences(other, known) == ["a/b: the blob is 3, not 2", "a/b  4: ['FAIL', 'x'], not ['pass', '']",
                                                "a/b  7: None, not ['prec', '']"]
