"""scripts/docs.py says in one line what it lacks."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


@pytest.fixture
def docs(monkeypatch):
    """The script, which must not get as far as an environment."""
    monkeypatch.syspath_prepend(SCRIPTS)
    import environment

    import docs

    monkeypatch.setattr(environment, "prepare", lambda **options: pytest.fail("it went on"))
    yield docs
    del sys.modules["docs"], sys.modules["environment"]


@pytest.mark.parametrize("missing", ["node", "npm"])
def test_a_missing_program_is_named(docs, monkeypatch, missing):
    monkeypatch.setattr(docs.shutil, "which", lambda name: None if name == missing else f"/bin/{name}")
    monkeypatch.setattr(docs.subprocess, "run", lambda *_, **__: SimpleNamespace(stdout="v20.1.0\n"))
    with pytest.raises(SystemExit) as stop:
        docs.main()
    assert str(stop.value).startswith(f"error: the book needs {missing}, ")
    assert "apt install nodejs npm" in str(stop.value)


def test_an_old_node_is_named(docs, monkeypatch):
    monkeypatch.setattr(docs.shutil, "which", lambda name: f"/bin/{name}")
    monkeypatch.setattr(docs.subprocess, "run", lambda *_, **__: SimpleNamespace(stdout="v12.22.9\n"))
    with pytest.raises(SystemExit, match=r"18 or newer, this is v12\.22\.9"):
        docs.main()
