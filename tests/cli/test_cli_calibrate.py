"""`ddpm-np calibrate` and the line of `ddpm-np info`, with planted measurements."""

from __future__ import annotations

import json
import os

import pytest

from ddpm_np.cli import main
from ddpm_np.kernels import calibration, costs, rates_file
from ddpm_np.kernels.calibration import CHECKED, Choice
from ddpm_np.kernels.costs import DEFAULT, Rates

NEW = Rates(50.0, 2.5, 5.0, 6.0, 30.0, 12.5, 2 << 20)


@pytest.fixture
def file(tmp_path, monkeypatch):
    """The file for this machine, in an empty cache folder, and measurements that take no time."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv(rates_file.VARIABLE)
    times = {0: 3e6, 2: 2e6, 4: 1e6}
    monkeypatch.setattr(calibration, "measure", lambda seconds: NEW)
    monkeypatch.setattr(calibration, "check", lambda rates, seconds: [Choice(shape, 4, 2, times) for shape in CHECKED])
    return rates_file.path(rates_file.key())


def kernels(capsys):
    """Return what `ddpm-np info` says of the choice of kernels."""
    assert main(["info"]) == 0
    found = [line for line in capsys.readouterr().out.splitlines() if line.startswith("kernels")]
    assert len(found) == 1
    return found[0].removeprefix("kernels").strip()


def test_rates_are_measured_printed_kept_and_forgotten(file, capsys):
    assert kernels(capsys) == "chosen by default rates: measure this machine's with ddpm-np calibrate"
    assert main(["calibrate"]) == 0
    out, err = capsys.readouterr()
    assert err == "measuring for three seconds\n"
    assert "default       new\nproducts        90.0      50.0  GFLOP/s" in out
    assert "\ntiles            3.0       2.0  MiB" in out
    assert "    64    8×8   64 to 64      3.00 ms     2.00 ms     1.00 ms  F(4×4), 1.00      F(2×2), 2.00\n" in out
    assert "of the fastest one's time for 6 of 6 shapes\n" in out
    assert out.endswith(f"{file}\nfrom now on kernels are chosen by these rates: results differ from earlier ones by "
                        "rounding\n")
    assert json.loads(file.read_text("utf-8")) == {"key": rates_file.key(), "rates": NEW._asdict()}
    assert costs.kept() == NEW
    assert kernels(capsys) == f"chosen by rates measured here: {file}"
    assert main(["calibrate"]) == 0
    assert "default    before       new\nproducts        90.0      50.0      50.0  GFLOP/s" in capsys.readouterr().out
    assert main(["calibrate", "--forget"]) == 0
    assert capsys.readouterr().out == f"{file}: removed\n"
    assert not file.exists()
    assert main(["calibrate", "--forget"]) == 0
    assert "nothing to forget" in capsys.readouterr().out


def test_a_dry_run_writes_nothing(file, capsys):
    assert main(["calibrate", "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert "products        90.0      50.0" in out
    assert str(file) not in out
    assert not file.parent.exists()


def test_bad_choices_are_said(file, capsys, monkeypatch):
    times = {0: 1e6, 2: 1.1e6, 4: 1.2e6}
    choices = [Choice(CHECKED[0], 4, 0, times), Choice(CHECKED[1], 2, 0, times)]
    monkeypatch.setattr(calibration, "check", lambda *_: choices)
    assert main(["calibrate", "--dry-run"]) == 0
    assert "for 1 of 2 shapes: measure again when the machine has no other work" in capsys.readouterr().out


def test_a_file_that_is_not_used_is_said_and_replaced(file, capsys):
    rates_file.write({**DEFAULT._asdict(), "products": -1})
    assert kernels(capsys) == (f"chosen by default rates: {file} has products = -1, expected a number from 0.1 to "
                               "100000: run ddpm-np calibrate")
    assert main(["calibrate"]) == 0
    assert capsys.readouterr().out.startswith(
        f"{file} has products = -1, expected a number from 0.1 to 100000: it is not used\n")
    assert costs.kept() == NEW


def test_the_variable_is_said(file, capsys, monkeypatch):
    monkeypatch.setenv(rates_file.VARIABLE, "default")
    assert main(["calibrate"]) == 0
    assert "not where DDPM_NP_RATES is default, as it is here: unset it\n" in capsys.readouterr().out
    assert kernels(capsys) == "chosen by default rates: DDPM_NP_RATES is default"
    monkeypatch.setenv(rates_file.VARIABLE, "off")
    assert kernels(capsys).endswith(f"{file}; DDPM_NP_RATES is 'off', expected default: unset it")


def test_a_folder_that_cannot_be_written_is_one_line_before_anything_is_measured(file, tmp_path, capsys, monkeypatch):
    file.parent.write_bytes(b"")  # a file in the folder's place
    monkeypatch.setattr(calibration, "measure", lambda seconds: pytest.fail("it was measured"))
    assert main(["calibrate"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"ddpm-np: error: {file.parent}: ")
    assert err.count("\n") == 1
    assert kernels(capsys).startswith("chosen by default rates")


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="permissions of POSIX, not of its superuser")
def test_a_folder_without_permission_is_one_line(file, tmp_path, capsys):
    tmp_path.chmod(0o500)
    assert main(["calibrate"]) == 2
    assert "Permission denied" in capsys.readouterr().err
    tmp_path.chmod(0o700)


def test_dry_run_and_forget_exclude_each_other(file, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["calibrate", "--dry-run", "--forget"])
    assert stop.value.code == 2
    assert "not allowed with" in capsys.readouterr().err
