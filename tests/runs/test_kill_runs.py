"""scripts/kill_runs.py in small: three kills and a full disk, and the end is that of a run without a break."""

from __future__ import annotations

import importlib.util
import os
from collections import Counter
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "kill_runs.py"


class Moments:
    """Chosen moments in place of random ones: three kills, the disk full at the second start."""

    def __init__(self):
        self.moments = iter((1.6, 2.2))

    def randrange(self, least, most=None):
        return 3 if most is not None else 1

    def uniform(self, least, most):
        return next(self.moments)

    def choice(self, options):
        return options[0]


@pytest.mark.skipif(os.name == "nt", reason="signals of another kind")
def test_a_run_killed_beside_a_full_disk_ends_as_without_a_break(tmp_path):
    """The limit on a file's size stands for the full disk: a test mounts nothing."""
    spec = importlib.util.spec_from_file_location("kill_runs", SCRIPT)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    whole, disk, counts = tmp_path / "whole", tmp_path / "disk", Counter()
    disk.mkdir()
    assert script.ended(whole, 1)[0] == 0
    assert script.killed(disk, Moments(), True, False, counts) == ""
    assert counts["full disks"] == 1
    assert (disk / "run" / script.LAST).read_bytes() == (whole / script.LAST).read_bytes()
    assert script.records(disk / "run") == script.records(whole)
    assert not list((disk / "run").glob(".*"))
