"""Files written whole or not at all; leftovers; and errors that name the file and say what to do."""

from __future__ import annotations

import errno
import os
import subprocess
import sys

import numpy as np
import pytest

from ddpm_np import storage, viz
from ddpm_np.runs.metrics import MetricsLog, read_metrics
from ddpm_np.storage import naming, open_atomically, remove_leftovers, write_atomically
from ddpm_np.training.trainer import Record


def full(*arguments):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("write", [
    lambda path: write_atomically(path, [b"new"]),
    lambda path: viz.save_images(path.with_suffix(".png"), np.zeros((4, 8, 8, 1))),
    lambda path: viz.plot_loss(path.with_suffix(".png"), [{"step": 1, "loss": 1.0, "grad_norm": 1.0}]),
], ids=["bytes", "picture", "plot"])
def test_a_full_disk_names_the_file_and_leaves_the_old_one(tmp_path, write, monkeypatch):
    path = tmp_path / "a.png"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left") as error:
        write(path)
    assert error.value.filename == str(path)
    assert error.value.errno == errno.ENOSPC
    assert "MB left; delete files there that you do not need" in error.value.strerror
    assert [(each.name, each.read_bytes()) for each in tmp_path.iterdir()] == [("a.png", b"old")]


def test_an_error_keeps_its_kind_and_the_name_it_has(tmp_path):
    with pytest.raises(PermissionError) as error, naming(tmp_path / "a"):
        raise PermissionError(errno.EACCES, "no", "another")
    assert (error.value.filename, error.value.strerror) == ("another", "no")
    with pytest.raises(PermissionError) as error, naming(tmp_path / "a"):
        raise PermissionError(errno.EACCES, "no")
    assert (error.value.filename, error.value.strerror) == (str(tmp_path / "a"), "no")


def test_a_log_on_a_full_disk_has_whole_lines(tmp_path, monkeypatch):
    """Half of a line is written before the disk is full; the same log goes on when there is room."""
    path = tmp_path / "metrics.jsonl"

    class HalfFull:
        def __init__(self, file):
            self.file, self.writes = file, 0

        def write(self, data):
            self.writes += 1
            return self.file.write(data[:7]) if self.writes == 1 else full()

        def __getattr__(self, name):
            return getattr(self.file, name)

    with MetricsLog(path, 0, 1) as log:
        log.write(Record(1, 0.5, 1.0, 1e-3, 10.0))
        file, log._file = log._file, HalfFull(log._file)
        with pytest.raises(OSError, match="delete files there") as error:
            log.write(Record(2, 0.5, 1.0, 1e-3, 10.0))
        assert error.value.filename == str(path)
        assert [record["step"] for record in read_metrics(path, pytest.fail)] == [1]
        log._file = file
        log.write(Record(2, 0.5, 1.0, 1e-3, 10.0))
    assert log.records == read_metrics(path, pytest.fail)
    assert [record["step"] for record in log.records] == [1, 2]


def test_leftovers_are_deleted_and_writes_under_way_are_not(tmp_path):
    for name in (".a.png.0f0f0f0f.tmp", ".b.json.77.tmp"):
        (tmp_path / name).write_bytes(b"")
    for name in (".tmp", "a.tmp", ".hidden", ".a.notes.tmp"):  # not ours
        (tmp_path / name).write_bytes(b"")
    with open_atomically(tmp_path / "c") as file:
        file.write(b"c")
        remove_leftovers(tmp_path)
        assert len([path for path in tmp_path.iterdir() if path.name.startswith(".c.")]) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == [".a.notes.tmp", ".hidden", ".tmp", "a.tmp", "c"]


def test_the_next_write_of_a_file_deletes_its_leftovers(tmp_path):
    for name in (".a.0f0f0f0f.tmp", ".b.0f0f0f0f.tmp"):
        (tmp_path / name).write_bytes(b"")
    write_atomically(tmp_path / "a", [b"a"])
    assert sorted(path.name for path in tmp_path.iterdir()) == [".b.0f0f0f0f.tmp", "a"]


@pytest.mark.skipif(os.name == "nt", reason="without these locks the file's age decides")
def test_a_write_under_way_in_another_process_is_not_a_leftover(tmp_path):
    program = ("import sys; from ddpm_np.storage import open_atomically\n"
               "with open_atomically(sys.argv[1]) as file:\n"
               "    file.write(b'whole'); print('open', flush=True); sys.stdin.readline()\n")
    process = subprocess.Popen([sys.executable, "-c", program, str(tmp_path / "a")], stdout=subprocess.PIPE,
                               stdin=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "open\n"
        remove_leftovers(tmp_path)
        process.communicate("go on\n", timeout=60)
        assert process.returncode == 0
    finally:
        process.kill()
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a", b"whole")]


def test_without_locks_only_old_files_are_leftovers(tmp_path, monkeypatch):
    def unsupported(file):
        raise OSError(errno.ENOLCK, "no locks")

    monkeypatch.setattr(storage.file_lock, "acquire", unsupported)
    for name, age in ((".a.0f0f0f0f.tmp", 3600), (".b.0f0f0f0f.tmp", 3 * 24 * 3600)):
        (tmp_path / name).write_bytes(b"")
        then = (tmp_path / name).stat().st_mtime - age
        os.utime(tmp_path / name, (then, then))
    remove_leftovers(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".a.0f0f0f0f.tmp"]
    write_atomically(tmp_path / "a", [b"a"])
    assert (tmp_path / "a").read_bytes() == b"a"


@pytest.mark.skipif(os.name == "nt", reason="links and pipes of another kind")
def test_links_are_followed_and_pipes_are_written_to(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "target").write_bytes(b"old")
    (tmp_path / "link").symlink_to(tmp_path / "there" / "target")
    write_atomically(tmp_path / "link", [b"new"])
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "there" / "target").read_bytes() == b"new"
    os.mkfifo(tmp_path / "pipe")
    reader = subprocess.Popen(["cat", str(tmp_path / "pipe")], stdout=subprocess.PIPE)
    write_atomically(tmp_path / "pipe", [b"through"])
    assert reader.communicate(timeout=60)[0] == b"through"
    assert (tmp_path / "pipe").is_fifo()


def test_long_names_and_names_with_patterns_are_written(tmp_path):
    for name in ("ü" * 120, "a" * 250, "[a]*?.png"):
        write_atomically(tmp_path / name, [b"a"])
        assert (tmp_path / name).read_bytes() == b"a"


@pytest.mark.parametrize(("save", "words"), [
    (lambda path: viz.save_images(path, np.zeros((1, 8, 8, 1))), "is not the name of a picture: let it end in .png"),
    (lambda path: viz.plot_loss(path, [{"step": 1, "loss": 1.0, "grad_norm": 1.0}]), "it must end in one of .*png"),
], ids=["picture", "plot"])
def test_an_unknown_format_is_refused_in_a_line(tmp_path, save, words):
    with pytest.raises(ValueError, match=words):
        save(tmp_path / "a.xyz")
    assert not list(tmp_path.iterdir())
