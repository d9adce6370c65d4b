"""What a run will need is told before it starts: against what steps really allocate, and with what would fit."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from ddpm_np import cli
from ddpm_np.config import TrainingConfig
from ddpm_np.diffusion import linear_schedule, simple_loss
from ddpm_np.models import UNet, UNetConfig
from ddpm_np.parallel.processes import WorkerProcesses, can_fork
from ddpm_np.runs import run
from ddpm_np.runs.checks import slow_average
from ddpm_np.training import flat, memory
from ddpm_np.training.memory import StepMemory, check_memory, step_memory
from ddpm_np.training.trainer import Trainer


@pytest.mark.parametrize(("preset", "batch", "shards", "workers", "recompute"), [
    ("digits", 64, 4, 2, False), ("mnist", 16, 2, 2, False), ("mnist", 16, 4, 1, False), ("mnist", 9, 1, 3, False),
    ("mnist", 16, 2, 2, True), ("mnist", 32, 2, 1, True)])
def test_the_memory_estimate_matches_a_real_step(monkeypatch, preset, batch, shards, workers, recompute):
    monkeypatch.setattr(flat, "shared_zeros", np.zeros)  # tracemalloc does not see memory shared with processes
    config = UNetConfig.preset(preset)
    needed = step_memory(config, recompute)

    def objective(*args):  # code of others runs in threads: of processes the allocations would not be seen
        return simple_loss(*args)

    first = Trainer(UNet(UNetConfig.preset("digits")), linear_schedule(2), objective, shards=2, workers=2)
    first.step(np.zeros((2, 8, 8, 1), np.float32))  # modules that a first step imports are none of it
    tracemalloc.start()
    try:
        trainer = Trainer(UNet(config), linear_schedule(1000), objective, shards=shards, workers=workers,
                          recompute=recompute)
        x_0 = np.zeros((batch, *config.size, config.in_channels), np.float32)
        trainer.step(x_0)
        tracemalloc.reset_peak()
        trainer.step(x_0)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert 0.85 * peak < needed.total(batch, shards, workers) < 1.4 * peak


@pytest.mark.skipif(not can_fork(), reason="there are no worker processes here")
def test_a_worker_process_shares_the_arrays_of_a_run_and_keeps_no_old_copies():
    trainer = Trainer(UNet(UNetConfig(8, 1, 8, (1,), 1, (), groups=4)), linear_schedule(2))
    arrays = {"weights": trainer.flat.data, "gradient": trainer.flat.grad, "m": trainer.adam.m, "v": trainer.adam.v,
              "average": trainer.ema.data}
    workers = WorkerProcesses(lambda worker, name: arrays[name].sum(), 1)
    try:
        for name, array in arrays.items():
            array[...] = 3
            workers.send(0, name)
            assert workers.receive(0) == 3 * array.size, name
    finally:
        workers.close()


def test_a_net_with_labels_is_counted_too():
    config = UNetConfig(8, 1, 8, (1, 2), 1, (4,), groups=4, num_classes=10)
    numbers = sum(p.data.size for p in UNet(config).parameters())
    assert (step_memory(config).net, step_memory(config).gradient) == (20 * numbers, 4 * numbers)


def test_more_workers_need_more_and_more_shards_need_less():
    step = StepMemory(net=100, gradient=1000, shard=10, image=7)
    assert step.total(8, 1, 2) == 100 + 10 + 8 * 7
    assert step.total(8, 2, 2) == 100 + 1000 + 2 * (10 + 4 * 7)
    assert step.total(8, 2, 1) == 100 + 1000 + 10 + 4 * 7
    assert step.total(8, 8, 2) == 100 + 2 * 1000 + 2 * (10 + 7)
    assert step.total(8, 3, 16) == 100 + 2 * 1000 + 3 * (10 + 3 * 7)
    assert step.total(2, 8, 8) == 100 + 1000 + 2 * (10 + 7)


@pytest.fixture
def small(monkeypatch):
    """A net whose step is known, so that what fits can be worked out by hand."""
    def known(config, recompute=False):
        return StepMemory(10**9, 0, 3 * 10**8, 5 * 10**8) if recompute else StepMemory(10**9, 0, 10**8, 10**9)

    monkeypatch.setattr(memory, "step_memory", known)


@pytest.mark.parametrize(("free", "advice"), [
    (7e9, r"a step needs about 9\.2 GB \(the net 1 GB, each image 1 GB, 2 workers with 4 images each\) and 7 GB are "
          r"free: --set shards=4 needs 5\.2 GB"),
    (3e9, "--set shards=8 with --set recompute=true needs 2.6 GB"),
    (2.5e9, "--set shards=8 with --workers 1 needs 2.1 GB"),
    (2e9, "--set shards=8 with --set recompute=true with --workers 1 needs 1.8 GB"),
    (1.7e9, "one image at a time needs 1.8 GB, so choose a smaller net or image"),
])
def test_a_run_that_does_not_fit_suggests_settings_that_do(small, free, advice):
    with pytest.raises(MemoryError, match=advice):
        check_memory(None, 8, 2, 2, int(free))


def test_a_run_that_recomputes_already_gets_other_suggestions(small):
    with pytest.raises(MemoryError, match=r"each image 0\.5 GB, 2 workers .*: --set shards=8 needs 2\.6 GB"):
        check_memory(None, 8, 2, 2, 3 * 10**9, recompute=True)


@pytest.mark.parametrize("free", [None, 10**10])
def test_a_run_that_fits_or_cannot_be_judged_passes(small, free):
    assert check_memory(None, 8, 2, 2, free) is None


def test_the_command_line_refuses_before_anything_is_written(small, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(run, "free_memory", lambda backend: 7 * 10**9)
    out = tmp_path / "run"
    assert cli.main(["train", "--batch-size", "8", "--set", "shards=2", "--workers", "2", "--out", str(out)]) == 2
    line = capsys.readouterr().err
    assert line.startswith("ddpm-np: error: a step needs about 9.2 GB")
    assert line.count("\n") == 1
    assert not out.exists()


def test_idle_workers_are_pointed_out(tmp_path, capsys):
    arguments = ["train", "--steps", "1", "--set", "shards=2", "--workers", "5", "--quiet", "--batch-size", "2"]
    small = ["--set", "model.channels=8", "--set", "model.groups=4", "--set", "T=2"]
    assert cli.main([*arguments, *small, "--out", str(tmp_path / "run")]) == 0
    said = "5 workers, but a step has only 2 shards for them, so 3 will be idle: --set shards=5"
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(("steps", "decay", "said"), [
    (2000, 0.9999, "is still 82% initial weights, and samples will be noisy: --set ema=0.995 forgets them"),
    (1200, 0.99, None), (10, 0.9999, None), (800_000, 0.9999, None)])
def test_an_average_too_slow_for_the_run_is_pointed_out(steps, decay, said):
    warning = slow_average(TrainingConfig("digits", steps, ema=decay))
    assert (said in warning) if said else warning is None
