"""Runs that stop and go on: the end is bit for bit that of a run without the break."""

from __future__ import annotations

import dataclasses
import json
import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from ddpm_np import load
from ddpm_np.cli import main
from ddpm_np.config import Config, differences
from ddpm_np.data import Batches, digits
from ddpm_np.diffusion import simple_loss
from ddpm_np.models import UNet, UNetConfig
from ddpm_np.runs import checkpoint, history
from ddpm_np.training.trainer import Trainer, TrainingDiverged

KILLS = int(os.environ.get("DDPM_NP_KILLS", "2"))  # of each signal; more are tried by hand, see docs/design


def small_run():
    """A configuration with dropout and flips, and a trainer and batches of it."""
    model = UNetConfig(8, 1, 8, (1, 2), 1, (4,), dropout=0.2, groups=4)
    base = Config.preset("digits")
    return dataclasses.replace(base, model=model, training=dataclasses.replace(base.training, batch_size=6, flip=True))


def trainer_of(config, workers):
    settings = config.training
    trainer = Trainer(UNet(config.model), config.diffusion.build(), lr=1e-3, warmup=3, ema=0.9, seed=settings.seed,
                      shards=4, workers=workers)
    return trainer, Batches(digits(), settings.batch_size, settings.seed, settings.flip)


def logged(records):
    return [(r.step, r.loss, r.grad_norm, r.learning_rate) for r in records if r.step % 3 == 0]


@pytest.mark.parametrize("first", [1, 3, 5])
def test_steps_in_two_runs_are_the_steps_of_one(tmp_path, first):
    config, total = small_run(), 8
    whole, batches = trainer_of(config, workers=1)
    records = logged(whole.run(batches, total, log_every=3))
    one, batches = trainer_of(config, workers=2)
    early = logged(one.run(batches, first, log_every=3))
    checkpoint.save(tmp_path / "c.safetensors", one, config)
    two, batches = trainer_of(config, workers=4)
    checkpoint.restore(two, checkpoint.read(tmp_path / "c.safetensors"))
    assert early + logged(two.run(batches, total, log_every=3)) == records
    for name in ("whole", "two"):
        checkpoint.save(tmp_path / f"{name}.safetensors", locals()[name], config)
    assert (tmp_path / "two.safetensors").read_bytes() == (tmp_path / "whole.safetensors").read_bytes()
    assert one.steps == first
    assert not np.array_equal(one.flat.data, two.flat.data)


def test_a_non_finite_number_stops_the_run_and_is_not_saved():
    trainer, _ = trainer_of(small_run(), workers=1)
    good = np.zeros((6, 8, 8, 1), np.float32)
    list(trainer.run([(good, None)] * 2, 2, log_every=1))
    before = trainer.flat.data.copy(), trainer.ema.data.copy(), trainer.adam.m.copy(), float(trainer.adam.updates)
    with pytest.raises(TrainingDiverged, match="between steps 3 and 4 was not finite: try a smaller learning_rate"):
        list(trainer.run([(good * np.nan, None)] * 4, 4, log_every=4))
    after = trainer.flat.data, trainer.ema.data, trainer.adam.m, float(trainer.adam.updates)
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))


def test_a_non_finite_loss_changes_nothing_even_if_its_gradient_is_finite():
    def objective(*arguments):
        return simple_loss(*arguments) + np.float32(np.inf)

    trainer, batches = trainer_of(small_run(), workers=1)
    trainer.adam.warmup, trainer.objective = 0, objective
    before = trainer.flat.data.copy(), trainer.ema.data.copy(), trainer.adam.v.copy()
    result = trainer.step(batches[0][0])
    assert np.isinf(result["loss"])
    assert 0 < result["grad_norm"] < np.inf
    after = trainer.flat.data, trainer.ema.data, trainer.adam.v
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))
    assert trainer.adam.updates == 0


ARGUMENTS = ["train", "--steps", "60", "--batch-size", "4", "--seed", "3"]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """The folder of a run of 60 steps without a break."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    assert main([*ARGUMENTS, "--out", str(folder)]) == 0
    return folder


def metrics(folder):
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "images_per_second"} for line in lines]


def interrupted(folder, kind, delay):
    """Start the run, send it a signal `delay` seconds after its first record; returns its exit status."""
    command = [sys.executable, "-m", "ddpm_np", *ARGUMENTS, "--out", str(folder)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    try:
        deadline = time.monotonic() + 120
        while not ((folder / "metrics.jsonl").exists() and (folder / "metrics.jsonl").read_text()):
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.01)
        time.sleep(delay)
        process.send_signal(kind)
        err = process.communicate(timeout=120)[1]
        assert "Traceback" not in err
        return process.returncode
    finally:
        process.kill()


@pytest.mark.skipif(os.name == "nt", reason="signals of another kind")
@pytest.mark.parametrize("kind", [signal.SIGTERM, signal.SIGKILL])
def test_a_killed_run_resumes_to_the_same_bytes(uninterrupted, tmp_path, kind):
    chance = random.Random(7)
    for i in range(KILLS):
        folder = tmp_path / str(i)
        status = interrupted(folder, kind, chance.uniform(0, 0.6))
        if status == 0:
            continue  # it had ended before
        assert status == (128 + signal.SIGTERM if kind == signal.SIGTERM else -signal.SIGKILL)
        resume = ["--resume"] if list(folder.glob(history.PATTERN)) else []  # none saved yet: from the start
        assert main([*ARGUMENTS, "--out", str(folder), *resume, "--workers", str(1 + i % 2)]) == 0
        name = "checkpoint-00000060.safetensors"
        assert (folder / name).read_bytes() == (uninterrupted / name).read_bytes()
        assert metrics(folder) == metrics(uninterrupted)
        assert not list(folder.glob(".*.tmp")) or kind == signal.SIGKILL


def copied(run, folder):
    folder.mkdir()
    for name in ("metrics.jsonl", "checkpoint-00000060.safetensors"):
        (folder / name).write_bytes((run / name).read_bytes())
    return folder


def test_a_damaged_checkpoint_is_skipped_with_a_warning(uninterrupted, tmp_path, capsys):
    folder = copied(uninterrupted, tmp_path / "run")
    (folder / "checkpoint-00000080.safetensors").write_bytes(b"cut")
    assert main(["train", "--resume", "--steps", "61", "--out", str(folder)]) == 0
    assert "skipped: " in capsys.readouterr().err
    (folder / "checkpoint-00000080.safetensors").write_bytes(b"cut")
    with pytest.warns(UserWarning, match="checkpoint-00000080"):
        assert load(folder).step == 61
    assert checkpoint.read(folder / "checkpoint-00000061.safetensors").step == 61
    for path in folder.glob(history.PATTERN):
        path.write_bytes(b"cut")
    with pytest.raises(checkpoint.CheckpointError, match="none of the 3 checkpoints"):
        history.newest(folder)


def test_another_configuration_is_refused_or_overridden(uninterrupted, tmp_path, capsys):
    folder = copied(uninterrupted, tmp_path / "run")
    arguments = ["train", "--resume", "--steps", "61", "--batch-size", "5", "--out", str(folder)]
    assert main(arguments) == 2
    err = capsys.readouterr().err
    assert "training.batch_size: 4 -> 5" in err
    assert err.count("\n") == 1
    assert main([*arguments, "--override"]) == 0


def test_a_run_is_not_overwritten(uninterrupted, capsys):
    assert main([*ARGUMENTS, "--out", str(uninterrupted)]) == 2
    assert "already holds a run: resume it (--resume" in capsys.readouterr().err


def test_resume_without_a_checkpoint_is_refused(tmp_path, capsys):
    assert main(["train", "--resume", "--out", str(tmp_path)]) == 2
    assert "no checkpoint in" in capsys.readouterr().err


def test_configuration_differences_ignore_the_number_of_steps():
    ours = Config.preset("digits")
    assert differences(ours, ours.replace(steps=7)) == []
    assert differences(ours, ours.replace(seed=7)) == ["training.seed: 0 -> 7"]


@pytest.mark.skipif(os.name == "nt", reason="another kind of limits")
def test_a_full_disk_is_one_line_and_the_last_checkpoint_is_whole(uninterrupted, tmp_path):
    """A limit of 1 MB a file stands for the full disk: a checkpoint has 11 MB."""
    folder = copied(uninterrupted, tmp_path / "run")
    program = ("import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000)); "
               "from ddpm_np.cli import main; sys.exit(main(sys.argv[1:]))")
    command = [sys.executable, "-c", program, "train", "--resume", "--steps", "62", "--quiet", "--out", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2
    assert done.stderr == (f"ddpm-np: error: {folder / 'checkpoint-00000062.safetensors'}: File too large: this is the "
                           "limit of a file's size here (ulimit -f, or the file system): raise it, or name another "
                           "folder\n")
    assert history.newest(folder).step == 60
    assert not list(folder.glob(".*"))
