"""scripts/environment.py: Ctrl-C during the set-up is one plain line, and the next run can continue."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


@pytest.fixture
def environment(monkeypatch, tmp_path):
    """The script with an empty folder as its project."""
    monkeypatch.syspath_prepend(SCRIPTS)
    import environment

    monkeypatch.setattr(environment, "ROOT", tmp_path)
    monkeypatch.setattr(environment, "FOLDER", tmp_path / ".venv")
    (tmp_path / "pyproject.toml").write_text("[project]\n", "utf-8")
    yield environment
    del sys.modules["environment"]


@pytest.mark.parametrize("stage", ["creating", "installing"])
def test_ctrl_c_during_the_set_up_is_one_line_and_status_130(environment, monkeypatch, capsys, stage):
    def create(folder, with_pip):
        environment.python().parent.mkdir(parents=True)
        environment.python().touch()
        if stage == "creating":
            raise KeyboardInterrupt

    def pip(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(environment.venv, "create", create)
    monkeypatch.setattr(environment, "_pip", pip)
    with pytest.raises(SystemExit) as stop:
        environment.prepare("test")
    assert stop.value.code == 130
    assert capsys.readouterr().err == "stopped by Ctrl-C; the same command continues the set-up\n"
    assert environment.python().exists() == (stage == "installing")  # a Python without pip would never get one
    assert not list(environment.FOLDER.glob("installed-*"))


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_lets_the_running_command_end_by_itself(environment, monkeypatch, tmp_path, kind):
    """SIGTERM is passed on; Ctrl-C reaches both by the terminal. The command's status is the script's."""
    monkeypatch.setattr(environment, "python", lambda: Path(sys.executable))
    code = ("import pathlib, signal, sys, time\n"
            "def save(*_): time.sleep(0.5); pathlib.Path('saved').touch(); sys.exit(7)\n"
            "signal.signal(signal.SIGTERM, save); pathlib.Path('ready').touch()\n"
            "time.sleep(60 if sys.argv[1] == '15' else 1); save()")

    def send():
        while not (tmp_path / "ready").exists():
            time.sleep(0.02)
        os.kill(os.getpid(), kind)

    thread = threading.Thread(target=send)
    before = signal.getsignal(kind)
    thread.start()
    assert environment.run("-c", code, str(int(kind))) == 7
    thread.join()
    assert (tmp_path / "saved").exists()
    assert signal.getsignal(kind) is before


def test_requirements_are_installed_once_for_each_change(environment, monkeypatch, tmp_path):
    calls = []
    monkeypatch.setattr(environment.venv, "create", lambda *_, **__: environment.python().parent.mkdir(parents=True))
    monkeypatch.setattr(environment, "_pip", lambda *arguments: calls.append(arguments[-1]) or 0)
    file = tmp_path / "docs" / "requirements.txt"
    file.parent.mkdir()
    for text, installs in (("sphinx==1\n", 1), ("sphinx==1\n", 0), ("sphinx==2\n", 1)):
        calls.clear()
        file.write_text(text, "utf-8")
        environment.prepare(requirements=file)
        assert calls.count(str(file)) == installs
        environment.python().touch()


def test_requirements_that_cannot_be_installed_are_one_line(environment, monkeypatch, tmp_path):
    monkeypatch.setattr(environment.venv, "create", lambda *_, **__: environment.python().parent.mkdir(parents=True))
    monkeypatch.setattr(environment, "_pip", lambda *arguments: int("--requirement" in arguments))
    (tmp_path / "requirements.txt").write_text("none==1\n", "utf-8")
    with pytest.raises(SystemExit) as stop:
        environment.prepare(requirements=tmp_path / "requirements.txt")
    assert "check the network, then run this again" in str(stop.value)
    assert not list(environment.FOLDER.glob("installed-*-requirements.txt"))
