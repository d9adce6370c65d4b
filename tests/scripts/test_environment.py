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
