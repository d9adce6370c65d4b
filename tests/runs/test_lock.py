"""One run at a time writes in a folder; the lock ends with its holder, however that ends."""

from __future__ import annotations

import errno
import gc
import os
import re
import signal
import subprocess
import sys
import threading
import time

import pytest

from ddpm_np import file_lock, load
from ddpm_np.cli import main
from ddpm_np.config import Config
from ddpm_np.interop import diffusers
from ddpm_np.runs import Run, import_run
from ddpm_np.runs.history import path_of
from ddpm_np.runs.lock import NAME, FolderInUse, FolderLock
from ddpm_np.runs.metrics import read_metrics

VALUES = ["T=5", "beta_end=0.6", "channels=8", "groups=4", "model.attention_resolutions=[]", "steps=6", "batch_size=4",
          "ema=0.5", "log_every=1", "save_every=2", "sample_every=1000"]
TAKE = ("import sys, time; from ddpm_np.runs.lock import FolderLock; lock = FolderLock(sys.argv[1]); lock.take(); "
        "print('taken', flush=True); time.sleep(600)")


@pytest.fixture(autouse=True)
def _no_pictures(monkeypatch):
    monkeypatch.setattr("ddpm_np.viz.plot_loss", lambda path, records: None)
    monkeypatch.setattr("ddpm_np.runs.run.save_samples", lambda *arguments: None)


def config(*values):
    return Config.preset("digits").with_values([*VALUES, *values])


def start(folder, *values):
    return Run.start(config(*values), folder, workers=1, say=lambda line: None)


def resume(folder, **options):
    return Run.resume(folder, workers=1, say=pytest.fail, **options)


def taken(folder):
    lock = FolderLock(folder)
    lock.take(pytest.fail)
    return lock


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the lock of a folder with a run."""
    folder = tmp_path / "run"
    with start(folder) as run:
        list(run)
    process = subprocess.Popen([sys.executable, "-c", TAKE, str(folder)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "taken\n"
    yield folder, process
    process.kill()
    process.communicate()


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_second_writer_is_refused_in_a_line_that_names_the_first(holder, tmp_path, capsys):
    folder, process = holder
    (folder / ".checkpoint-00000008.safetensors.0a1b2c3d.tmp").write_bytes(b"")  # not even leftovers are touched
    before = content(folder)
    diffusers.save_pipeline(load(folder).model, config().diffusion, tmp_path / "published")
    sets = [word for value in VALUES for word in ("--set", value)]
    for arguments in (["train", *sets], ["train", "--resume"], ["import", str(tmp_path / "published")]):
        assert main([*arguments, "--out", str(folder)]) == 2
        err = capsys.readouterr().err
        assert re.fullmatch(rf"ddpm-np: error: {re.escape(str(folder))} is in use by another run \(process "
                            rf"{process.pid} on \S+, since \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d\): wait for it or end it, "
                            "or name another folder\n", err)
    assert content(folder) == before


def test_readers_are_welcome(holder, tmp_path):
    folder, _ = holder
    assert main(["sample", str(folder), "-n", "1", "--quiet", "--out", str(tmp_path / "a.png")]) == 0
    assert main(["evaluate", str(folder), "--images", "1", "--quiet"]) == 0
    assert load(folder).step == 6


@pytest.mark.skipif(os.name == "nt", reason="signals of another kind")
def test_a_killed_process_does_not_keep_the_lock(holder):
    folder, process = holder
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert (folder / NAME).exists()
    assert resume(folder).step == 6


@pytest.mark.skipif(sys.platform != "linux", reason="workers are forked on Linux alone")
def test_the_workers_of_a_killed_run_do_not_keep_the_lock(tmp_path):
    """They may be at a long task when their parent is killed: here they are stopped."""
    program = ("import sys, time; from ddpm_np.runs.lock import FolderLock; from ddpm_np.parallel.processes import "
               "WorkerProcesses; lock = FolderLock(sys.argv[1]); lock.take(); "
               "workers = WorkerProcesses(lambda worker, message: message, 2); "
               "[workers.send(i, i) or workers.receive(i) for i in range(2)]; "
               "print(*[process.pid for process in workers._processes], flush=True); time.sleep(600)")
    parent = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    workers = [int(word) for word in parent.stdout.readline().split()]
    try:
        for worker in workers:
            os.kill(worker, signal.SIGSTOP)
        with pytest.raises(FolderInUse, match=f"process {parent.pid} "):
            taken(tmp_path)
        parent.kill()
        parent.wait()
        assert all(os.path.exists(f"/proc/{worker}") for worker in workers)
        assert taken(tmp_path).held
    finally:
        for worker in workers:  # before the output is waited for, which they hold open
            os.kill(worker, signal.SIGKILL)
        parent.kill()
        parent.communicate()


def test_a_lock_is_released_by_the_end_by_closing_and_by_collection(tmp_path):
    run = start(tmp_path / "ended")
    list(run)
    taken(tmp_path / "ended").release()
    run = start(tmp_path / "closed")
    assert next(iter(run)).step == 1
    run.close()
    taken(tmp_path / "closed").release()
    run = start(tmp_path / "collected")
    assert (tmp_path / "collected" / NAME).exists()
    del run
    gc.collect()
    assert not list((tmp_path / "collected").iterdir())


def test_a_closed_run_writes_no_more_and_still_samples(tmp_path):
    with start(tmp_path) as run:
        assert next(iter(run)).step == 1
    for use in (run.save, lambda: list(run)):
        with pytest.raises(RuntimeError, match=r"no longer writes in .*go on with Run\.resume"):
            use()
    assert run.sample(1).shape == (1, 8, 8, 1)


def test_a_run_that_ended_saves_again_unless_another_went_on(tmp_path):
    run = start(tmp_path)
    list(run)
    assert run.save() == path_of(tmp_path, 6)
    run.close()
    run = resume(tmp_path, change=lambda saved: saved.replace(steps=8))
    list(run)
    with resume(tmp_path, change=lambda saved: saved.replace(steps=10)) as longer:
        list(longer)
    with pytest.raises(RuntimeError, match="no longer writes"):
        run.save()
    assert [record["step"] for record in read_metrics(tmp_path / "metrics.jsonl")] == list(range(1, 11))


def test_a_cell_that_is_run_again_takes_the_folder_over(tmp_path):
    """The object of its first run is still alive then."""
    first = start(tmp_path)
    loop = iter(first)
    assert [next(loop).step for _ in range(4)] == [1, 2, 3, 4]
    second = resume(tmp_path)
    assert second.step == 4
    with pytest.raises(RuntimeError, match="no longer writes"):
        next(loop)
    with pytest.raises(RuntimeError, match="no longer writes"):
        first.save()
    del first, loop
    gc.collect()
    assert [record.step for record in second] == [5, 6]


def test_a_refused_second_run_leaves_the_first_as_it_was(tmp_path):
    first = start(tmp_path)
    loop = iter(first)
    assert [next(loop).step for _ in range(3)] == [1, 2, 3]
    with pytest.raises(ValueError, match="already holds a run"):
        start(tmp_path)
    with pytest.raises(ValueError, match="another configuration"):
        resume(tmp_path, change=lambda saved: saved.replace(seed=5))
    assert [record.step for record in loop] == [4, 5, 6]


def test_a_run_that_is_writing_is_not_taken_over(tmp_path):
    run, refused = start(tmp_path), []

    def on_step(step):
        def other():
            with pytest.raises(FolderInUse, match="another run of this process is writing there"):
                start(tmp_path)
            refused.append(step)

        if step in (1, 4):
            thread = threading.Thread(target=other)
            thread.start()
            thread.join()

    assert [record.step for record in run.train(on_step)] == [1, 2, 3, 4, 5, 6]
    assert refused == [1, 4]


def test_without_locks_a_run_goes_on_and_says_so(tmp_path, monkeypatch):
    def unsupported(file):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(file_lock, "acquire", unsupported)
    said = []
    run = Run.start(config(), tmp_path, workers=1, say=said.append)
    assert [record.step for record in run][-1] == 6
    assert [line for line in said if "cannot be locked" in line] == [
        f"{tmp_path} cannot be locked ({os.strerror(errno.ENOLCK)}): see to it that no other run writes there"]


def test_an_import_holds_the_lock_while_it_writes_and_no_longer(tmp_path):
    with start(tmp_path / "run", "steps=1") as run:
        list(run)
    diffusers.save_pipeline(run.net.model, config().diffusion, tmp_path / "published")
    import_run(tmp_path / "published", tmp_path / "imported", "digits")
    assert [path.name for path in (tmp_path / "imported").iterdir()] == ["checkpoint-00000000.safetensors"]
    lock = taken(tmp_path / "other")
    lock.busy = True
    with pytest.raises(FolderInUse, match="is in use"):
        import_run(tmp_path / "published", tmp_path / "other", "digits")
    lock.release()


def test_many_takers_have_it_one_at_a_time(tmp_path):
    """Each adds to a number in a file, which loses counts if two read it at once."""
    program = ("import sys, time\nfrom ddpm_np.runs.lock import FolderInUse, FolderLock\n"
               "lock, done = FolderLock(sys.argv[1] + '/run'), 0\n"
               "while done < 40:\n"
               "    try: lock.take()\n"
               "    except FolderInUse: time.sleep(0.0005); continue\n"
               "    n = int(open(sys.argv[1] + '/n').read())\n"
               "    open(sys.argv[1] + '/n', 'w').write(str(n + 1)); done += 1\n"
               "    lock.release()\n")
    (tmp_path / "n").write_text("0")
    processes = [subprocess.Popen([sys.executable, "-c", program, str(tmp_path)]) for _ in range(3)]
    deadline = time.monotonic() + 120
    try:
        assert [process.wait(max(1, deadline - time.monotonic())) for process in processes] == [0, 0, 0]
    finally:
        for process in processes:
            process.kill()
    assert (tmp_path / "n").read_text() == "120"
