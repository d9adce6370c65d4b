"""The command line on any terminal: encodings, closed streams, a full disk, no home, signals, killed workers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ddpm_np.arguments import closest
from ddpm_np.cli import main
from ddpm_np.cli.messages import line_of
from ddpm_np.cli.parser import COMMANDS
from ddpm_np.cli.streams import transliterated
from ddpm_np.config import Config
from ddpm_np.data import DataError
from ddpm_np.data.published import cache

pytestmark = pytest.mark.skipif(os.name == "nt", reason="descriptors and signals of POSIX")
TINY = ["--set", "T=4", "--set", "beta_end=0.6", "--set", "model.channels=8", "--set", "model.groups=4"]
RUN = [  # arguments, and the file that is written
    (["train", *TINY, "--steps", "1", "--batch-size", "8", "--out", "r"], "r/checkpoint-00000001.safetensors"),
    (["sample", "{run}", "-n", "1"], "samples.png"),
    (["evaluate", "{run}", "--images", "1", "--json", "e.json"], "e.json"),
    (["check", "--equation", "7", "--json", "c.json"], "c.json"),
    (["plot", "schedule"], "schedule.png"),
    (["toy", "moons", "--T", "2", "--steps", "1", "--out", "t"], "t/flow.gif"),
    (["export", "{run}", "--out", "x"], "x/model_index.json"),
    (["import", "{folder}", "--out", "i"], "i/checkpoint-00000000.safetensors"),
    (["info"], None),
]
SHORT = [case for case in RUN if case[0][0] in ("evaluate", "train", "info")]


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    """A run of one step, and the diffusers folder made from it."""
    place = tmp_path_factory.mktemp("terminals")
    made = {"run": str(place / "run"), "folder": str(place / "folder")}
    assert main(["train", *TINY, "--steps", "1", "--batch-size", "8", "--quiet", "--out", made["run"]]) == 0
    assert main(["export", made["run"], "--out", made["folder"]]) == 0
    return made


def run(arguments, cwd, redirect="", **variables):
    """Run a command through a shell with redirections; return the status, standard output and standard error."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2]), **variables}
    environment = {name: value for name, value in environment.items() if value is not None}
    command = ["bash", "-c", f'"$@" {redirect}', "bash", sys.executable, "-m", "ddpm_np", *arguments]
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, timeout=120, check=False)
    return done.returncode, done.stdout, done.stderr


def given(arguments, paths):
    return [argument.format(**paths) for argument in arguments]


@pytest.mark.parametrize("case", RUN, ids=lambda case: case[0][0])
def test_an_encoding_without_greek_changes_no_result(case, paths, tmp_path):
    arguments, file = case
    status, out, err = run(given(arguments, paths), tmp_path, PYTHONIOENCODING="ascii")
    assert status == 0, err
    assert out.isascii()
    assert out
    assert b"Traceback" not in err
    assert file is None or (tmp_path / file).stat().st_size > 0


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_help_is_printed_in_any_encoding(encoding, monkeypatch):
    import io

    for command in COMMANDS:
        stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
        monkeypatch.setattr(sys, "stdout", stream)
        with pytest.raises(SystemExit) as stop:
            main([command, "--help"])
        assert stop.value.code == 0
        text = stream.buffer.getvalue().decode(encoding)
        assert f"usage: ddpm-np {command}" in text
        assert "\\u" not in text
        if command == "sample" and encoding == "ascii":
            assert "sigma^2 of a step: beta_tilde or beta" in text
        if command == "sample" and encoding == "utf-8":
            assert "σ² of a step: β̃ or β" in text


def test_the_locale_c_is_an_encoding_like_others(tmp_path):
    status, out, err = run(["sample", "--help"], tmp_path, LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0",
                           PYTHONIOENCODING=None)
    assert (status, err) == (0, b"")
    assert b"beta_tilde or beta" in out


def test_all_characters_that_the_package_prints_have_a_transliteration():
    package = Path(main.__code__.co_filename).parents[1]
    files = [*package.glob("cli/*.py"), *package.glob("check/**/*.py"), *package.glob("bench/*.py")]
    text = "".join(path.read_text("utf-8") for path in files if path.stem != "streams")
    shown = transliterated(text, "ascii")
    assert shown.isascii()
    assert shown.count("\\u") == text.count("\\u")
    assert shown.count("\\x") == text.count("\\x")


@pytest.mark.parametrize("redirect", [">&-", "2>&-", "<&-", "> /dev/full", "2> /dev/full", "<&- >&- 2>&-", "| true"])
@pytest.mark.parametrize("case", SHORT, ids=lambda case: case[0][0])
def test_streams_that_cannot_be_used_change_no_result(case, redirect, paths, tmp_path):
    arguments, file = case
    pipe = redirect == "| true"
    redirect += "; exit ${PIPESTATUS[0]}" * pipe
    status, _, err = run(given(arguments, paths), tmp_path, redirect)
    assert status == 0, err
    assert file is None or (tmp_path / file).stat().st_size > 0
    full = b"ddpm-np: standard output: No space left on device: not everything could be printed\n"
    lines = [line for line in err.splitlines(keepends=True) if b"steps" not in line]  # the warning of a short run
    assert lines == [full] * (redirect == "> /dev/full")


@pytest.mark.parametrize("case", [case for case in RUN if case[0][0] in ("sample", "plot", "export", "import")],
                         ids=lambda case: case[0][0])
def test_closed_streams_and_files_that_take_their_place(case, paths, tmp_path):
    """Without care a file is opened as descriptor 1, and what the C library or a child prints goes into it."""
    arguments, file = case
    status, _, err = run(given(arguments, paths), tmp_path, "<&- >&-")
    assert status == 0, err
    assert file is None or (tmp_path / file).stat().st_size > 0


@pytest.mark.parametrize("redirect", [">&-", "2>&-", "> /dev/full", "2> /dev/full"])
def test_an_error_keeps_its_status_and_its_line(redirect, tmp_path):
    status, out, err = run(["sample", "nothing"], tmp_path, redirect)
    assert status == 2
    assert out == b""
    assert err.count(b"\n") == (redirect[0] == ">")


def test_a_command_that_only_prints_ends_when_nobody_reads(tmp_path):
    arguments = ["check", "--equation", "2", "--equation", "4", "--equation", "7"]
    status, _, err = run(arguments, tmp_path, "| true; exit ${PIPESTATUS[0]}")
    assert (status, err) == (141, b"")
    status, _, err = run([*arguments, "--json", "c.json"], tmp_path, "| true; exit ${PIPESTATUS[0]}")
    assert (status, err) == (0, b"")
    assert json.loads((tmp_path / "c.json").read_text("utf-8"))["failed"] is False


@pytest.mark.parametrize("home", ["/proc/1/nothing", "/dev/null"])
def test_a_home_that_cannot_be_written_to_is_no_matter_where_none_is_needed(home, paths, tmp_path):
    variables = {"HOME": home, **dict.fromkeys(["XDG_CACHE_HOME", "DDPM_NP_DATA", "MPLCONFIGDIR", "XDG_CONFIG_HOME"])}
    assert run(given(["plot", "loss", "{run}", "--out", "l.png"], paths), tmp_path, **variables)[::2] == (0, b"")
    status, _, err = run(["plot", "forward", "--preset", "mnist"], tmp_path, **variables)
    assert status == 2
    assert err.count(b"\n") == 1
    assert b"set the environment variable DDPM_NP_DATA" in err
    arguments = given(["evaluate", "{run}", "--what", "samples", "-n", "20", "--quiet", "--json", "e.json"], paths)
    found = run(arguments, tmp_path, **variables)
    assert found[0] == 0
    assert b"the classifier cannot be kept for the next time" in found[2]
    assert found[2].count(b"\n") == 1
    assert (tmp_path / "e.json").exists()


def test_the_cache_needs_no_home_if_a_variable_names_it(monkeypatch, tmp_path):
    def nobody():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", nobody)
    monkeypatch.delenv("DDPM_NP_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache() == tmp_path / "ddpm_np"
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    with pytest.raises(DataError, match=r"there is no home folder.*DDPM_NP_DATA"):
        cache()
    monkeypatch.setenv("DDPM_NP_DATA", str(tmp_path / "own"))
    assert cache() == tmp_path / "own"


def interrupted(arguments, cwd, ready, kinds):
    """Start a command, wait until `ready` says so, send the signals to its group; return the status and the lines."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    process = subprocess.Popen([sys.executable, "-m", "ddpm_np", *arguments], cwd=cwd, env=environment, text=True,
                               stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True)
    try:
        deadline = time.monotonic() + 60
        while not ready(process.pid) and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        for kind in kinds:
            os.killpg(process.pid, kind)
        err = process.communicate(timeout=60)[1]
    finally:
        process.kill()
    return process.returncode, err.splitlines()


def has_workers(pid):
    return bool(Path(f"/proc/{pid}/task/{pid}/children").read_text().split())


def has_numpy(pid):
    return "numpy" in Path(f"/proc/{pid}/maps").read_text()


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.usefixtures("default_sigint")
@pytest.mark.parametrize(("kinds", "status", "line"), [
    ([signal.SIGINT], 130, "ddpm-np: stopped by Ctrl-C"),
    ([signal.SIGINT, signal.SIGINT, signal.SIGINT], 130, "ddpm-np: stopped by Ctrl-C"),
    ([signal.SIGTERM], 143, "ddpm-np: stopped by SIGTERM"),
], ids=["once", "thrice", "SIGTERM"])
@pytest.mark.parametrize(("arguments", "ready"), [
    (["sample", "{run}", "-n", "200000", "--batch-size", "100", "--workers", "2", "--quiet"], has_workers),
    (["evaluate", "{run}", "--images", "1797", "--batch-size", "1", "--quiet"], has_numpy),
    (["check"], has_numpy),
], ids=["sample", "evaluate", "check"])
def test_a_signal_is_one_line(arguments, ready, kinds, status, line, paths, tmp_path):
    assert interrupted(given(arguments, paths), tmp_path, ready, kinds) == (status, [line])


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_killed_worker_is_one_line_and_the_run_can_be_resumed(tmp_path):
    arguments = ["train", *TINY, "--batch-size", "8", "--set", "log_every=1", "--set", "save_every=1", "--quiet",
                 "--out", str(tmp_path / "run")]
    process = subprocess.Popen([sys.executable, "-m", "ddpm_np", *arguments, "--steps", "100000", "--workers", "2"],
                               text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                               env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])})
    try:
        deadline = time.monotonic() + 60
        while not list(tmp_path.glob("run/*.safetensors")) or not has_workers(process.pid):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        worker = int(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()[0])
        os.kill(worker, signal.SIGKILL)
        err = process.communicate(timeout=60)[1].splitlines()
    finally:
        process.kill()
    assert process.returncode == 1
    assert len([line for line in err if line.startswith("ddpm-np: stopped")]) == 1
    assert not [line for line in err if not line.startswith("ddpm-np: ")]
    assert "worker process 0 was killed by signal 9, perhaps because memory ran out: use fewer workers" in err[-1]
    assert err[-1].endswith("--resume")
    last = max(int(path.stem.partition("-")[2]) for path in tmp_path.glob("run/checkpoint-*.safetensors"))
    assert main(["train", "--resume", "--steps", str(last + 1), "--quiet", "--out", str(tmp_path / "run")]) == 0


def test_numpys_own_words_about_memory_are_put_plainly(capsys, monkeypatch):
    import numpy as np

    from ddpm_np.cli import info

    monkeypatch.setattr(info, "run", lambda args: np.empty((10**9, 10**6), np.float32))
    assert main(["info"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("ddpm-np: error: out of memory for an array of 3.55 PiB, (1000000000, 1000000) of float32: ")
    assert "batch_size" in err
    assert err.count("\n") == 1
    for shape in ((2**62, 2**62), (2**70,)):
        monkeypatch.setattr(info, "run", lambda args, shape=shape: np.empty(shape))
        assert main(["info"]) == 2
        assert "larger than this machine can address: make it smaller" in capsys.readouterr().err


@pytest.mark.parametrize(("error", "line"), [
    (MemoryError("a step needs 8 GiB: --set shards=4"), "a step needs 8 GiB: --set shards=4"),
    (MemoryError(), "out of memory: make it smaller"),
    (RecursionError("maximum recursion depth exceeded"), "nested too deeply"),
    (ImportError("No module named 'torch'"), "No module named 'torch': install"),
    (UnicodeEncodeError("utf-8", "a\udcff", 1, 2, "surrogates"), r"'a\udcff' is no text that utf-8 can encode"),
    (UnicodeDecodeError("utf-8", b"a\xff", 1, 2, "invalid"), "not in utf-8: byte 0xff at position 1"),
    (IsADirectoryError(21, "Is a directory", "a\nb"), r"'a\nb': Is a directory"),
    (OSError("two\nlines"), "two lines"),
], ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "")
def test_every_error_is_one_line(error, line):
    assert line in line_of(error)
    assert "\n" not in line_of(error)


@pytest.mark.parametrize("arguments", [
    ["sample", "{run}", "-n", "1", "--out", "{bad}.png"], ["plot", "schedule", "--out", "{bad}.png"],
    ["evaluate", "{run}", "--images", "1", "--json", "{bad}"], ["check", "--equation", "7", "--json", "{bad}"],
    ["train", *TINY, "--steps", "1", "--out", "{bad}"], ["toy", "moons", "--steps", "1", "--T", "2", "--out", "{bad}"],
    ["export", "{run}", "--out", "{bad}"], ["import", "{folder}", "--out", "{bad}"],
    ["bench", "--what", "arithmetic", "--json", "{bad}"], ["sample", "{bad}"], ["evaluate", "{bad}"],
    ["import", "{bad}", "--out", "new"], ["check", "--target", "{bad}.py:f"],
    ["train", "--preset", "digits", "--dataset", "folder:{bad}", "--out", "new"],
    ["train", "--dataset", "mnist", "--data-dir", "{bad}", "--out", "new"], ["plot", "loss", "{bad}"],
], ids=lambda arguments: " ".join(arguments[:2]))
@pytest.mark.parametrize("bad", ["file/x", "n" * 300, f"no/{'n' * 300}/x"], ids=["in a file", "long", "long folder"])
def test_a_path_that_cannot_be_is_one_line(arguments, bad, paths, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    assert main([argument.format(bad=bad, **paths) for argument in arguments]) == 2
    err = capsys.readouterr().err
    assert err.startswith("ddpm-np: error: ")
    assert err.count("\n") == 1


def test_a_result_that_cannot_be_written_is_refused_before_the_work(paths, tmp_path, monkeypatch, capsys):
    from ddpm_np.cli import sample

    monkeypatch.setattr(sample, "run", lambda args: pytest.fail("the work began"))
    (tmp_path / "folder.png").mkdir()
    for bad in (tmp_path / "folder.png", Path("/dev/null/x.png")):
        assert main(["sample", paths["run"], "--out", str(bad)]) == 2
        assert capsys.readouterr().err.count("\n") == 1


def test_a_name_that_is_no_text_is_a_name(paths, tmp_path):
    name = os.fsdecode(b"\xff.png")
    status, out, err = run(["plot", "schedule", "--out", name], tmp_path)
    assert (status, err) == (0, b"")
    assert out == b"\\udcff.png\n"
    assert (tmp_path / name).stat().st_size > 0


def test_the_advice_for_an_unknown_key_is_the_same_each_time():
    with pytest.raises(ValueError, match="did you mean 'learning_rate'"):
        Config.preset("digits").with_values(["lr=1"])
    with pytest.raises(ValueError, match="there are image_size, in_channels, channels, "):
        Config.preset("digits").with_values(["zzz=1"])
    assert closest("bs", ["beta_start", "batch_size"]) == "did you mean 'beta_start' or 'batch_size'?"
