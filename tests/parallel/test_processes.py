"""Worker processes: what they share, how they end, and how a step fails when one of them does."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from functools import partial

import numpy as np
import pytest
from small_run import BETAS, batch, bits, net

from ddpm_np.autograd import ops
from ddpm_np.autograd.ops import kernels
from ddpm_np.diffusion import Schedule, bound_loss, linear_schedule, simple_loss
from ddpm_np.models import UNet, UNetConfig
from ddpm_np.parallel.processes import (
    WorkerDied,
    WorkerPool,
    WorkerProcesses,
    can_fork,
    shared_zeros,
)
from ddpm_np.training.trainer import Trainer

pytestmark = pytest.mark.skipif(not can_fork(), reason="worker processes are for Linux")


def trainer(**options):
    return Trainer(net(), Schedule.from_betas(BETAS), **{"lr": 1e-2, "warmup": 0, **options})


def alive(process):
    """Whether a process is there, and not only waiting to be buried."""
    try:
        with open(f"/proc/{process}/stat", encoding="ascii") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def gone(process, seconds=10):
    end = time.monotonic() + seconds
    while alive(process) and time.monotonic() < end:
        time.sleep(0.01)
    return not alive(process)


def test_shared_arrays_are_written_by_workers():
    array = shared_zeros(5, "float32")
    assert (array.shape, array.dtype, array.any()) == ((5,), np.float32, False)
    own = np.zeros(5)

    def work(worker, message):
        array[worker] = own[worker] = message
        return os.getpid(), float(own[worker])

    workers = WorkerProcesses(work, 2)
    for worker in range(2):
        workers.send(worker, 7.0 + worker)
    found = [workers.receive(worker) for worker in range(2)]
    assert [number for _, number in found] == [7.0, 8.0]
    assert len({os.getpid(), *(process for process, _ in found)}) == 3
    assert array.tolist() == [7, 8, 0, 0, 0]
    assert not own.any()
    workers.close()
    assert all(gone(process) for process, _ in found)
    assert shared_zeros(0, "float64").shape == (0,)


def test_an_error_comes_back_with_its_words_and_the_worker_goes_on():
    def work(worker, message):
        return 1 / message if message else np.linalg.inv(np.zeros((2, 2)))

    workers = WorkerProcesses(work, 1)
    workers.send(0, 0)
    with pytest.raises(RuntimeError, match="LinAlgError: Singular matrix") as caught:
        workers.receive(0)
    assert "in worker process" in caught.value.__notes__[0]
    workers.send(0, 4)
    assert workers.receive(0) == 0.25


def test_workers_end_with_the_object_and_with_the_parent():
    workers = WorkerProcesses(lambda worker, message: os.getpid(), 1)
    workers.send(0, None)
    process = workers.receive(0)
    del workers
    assert gone(process)
    program = ("import os, signal; from ddpm_np.parallel.processes import WorkerProcesses\n"
               "both = [WorkerProcesses(lambda worker, message: os.getpid(), 2) for _ in range(2)]\n"
               "for workers in both:\n"
               "    for k in range(2):\n        workers.send(k, None); print(workers.receive(k))\n"
               "import sys; sys.stdout.flush()\n{end}")
    for end in ("os.kill(os.getpid(), signal.SIGKILL)", "", "raise SystemExit(3)"):
        done = subprocess.run([sys.executable, "-c", program.format(end=end)], capture_output=True, text=True,
                              timeout=60, check=False)
        processes = done.stdout.split()
        assert len(processes) == 4
        assert done.stderr == ""
        assert all(gone(process) for process in processes)


def test_objectives_of_others_run_in_threads():
    """They may read and store what a process would not see: here a list, so that they are called one by one."""
    seen = []

    def closure(*arguments):
        seen.append((len(arguments[2]), threading.get_ident()))
        return simple_loss(*arguments)

    by_threads, by_processes = trainer(objective=closure, shards=2, workers=2), trainer(shards=2, workers=2)
    for k in range(2):
        by_threads.step(batch(k)), by_processes.step(batch(k))
    assert seen == [(3, threading.get_ident())] * 4
    assert by_threads.sharded.pool.processes is None
    assert by_processes.sharded.pool.processes is not None
    assert bits(by_threads) == bits(by_processes)


@pytest.mark.parametrize(("shards", "workers"), [(2, 2), (5, 2), (3, 3), (5, 4), (4, 1)])
def test_any_number_of_processes_gives_the_same_bits(shards, workers):
    alone, several = trainer(shards=shards, workers=1), trainer(shards=shards, workers=workers)
    for k in range(3):
        first, second = alone.step(batch(k)), several.step(batch(k))
        assert float(first["loss"]) == float(second["loss"])
        assert float(first["grad_norm"]) == float(second["grad_norm"])
    assert bits(alone) == bits(several)


@pytest.mark.parametrize(("shards", "workers"), [(2, 2), (3, 2)])
def test_processes_take_spans_of_the_update_too(shards, workers):
    """Of a net so large that it is worth it; batches of another number of shards come in between."""
    trainers = [Trainer(UNet(UNetConfig.preset("digits")), Schedule.from_betas(BETAS), shards=shards, workers=w,
                        lr=1e-2, warmup=0, ema=0.9, clip=0.5) for w in (1, workers)]
    for n in (2, 3, 1, 3):
        results = [t.step(batch(n, n)) for t in trainers]
        assert float(results[0]["grad_norm"]) == float(results[1]["grad_norm"])
    assert bits(trainers[0]) == bits(trainers[1])


def test_a_pool_maps_in_order_and_forks_anew_for_another_state():
    here, settings = os.getpid(), {"factor": 2}

    def work(task):
        return settings["factor"] * task, os.getpid()

    pool = WorkerPool()
    assert pool.size == 0
    assert pool.map(work, [5]) == [(10, here)]
    pool.fork(work, 2, [settings], [2])
    first = pool.map(work, [1, 2, 3])
    assert [value for value, _ in first] == [2, 4, 6]
    assert len({process for _, process in first}) == 3
    assert first[0][1] == here
    pool.fork(work, 1, [settings], [2])  # there are enough
    assert pool.size == 2
    assert pool.map(work, [4, 5]) == [(8, here), (10, first[1][1])]
    settings["factor"] = 3
    pool.fork(work, 2, [settings], [3])
    second = pool.map(work, [1, 2, 3])
    assert [value for value, _ in second] == [3, 6, 9]
    assert not {process for _, process in second[1:]} & {process for _, process in first[1:]}
    with pytest.raises(TypeError):
        pool.map(work, [1, {}, 2])  # a dict times 3
    assert pool.size == 0
    assert all(gone(process) for _, process in second[1:])


def test_another_objective_may_need_threads():
    """Processes that were forked for the first objective know nothing of the buffers that more workers need."""
    calls = []

    def closure(*arguments):
        calls.append(1)
        return simple_loss(*arguments)

    def trained(workers):
        it = Trainer(UNet(UNetConfig.preset("digits")), Schedule.from_betas(BETAS), shards=4, lr=1e-2)
        for k, w in enumerate(workers):
            it.workers, it.objective = w, simple_loss if k == 0 else closure
            it.step(batch(k, 4))
        return bits(it)

    assert trained([2, 4]) == trained([1, 1])


def test_workers_see_what_has_changed():
    """Weights, net, schedule, objective and its arguments, seed, kernels, frozen parameters: as without workers."""
    @contextlib.contextmanager
    def default(predicts):
        before, simple_loss.__kwdefaults__["predicts"] = simple_loss.__kwdefaults__["predicts"], predicts
        try:
            yield
        finally:
            simple_loss.__kwdefaults__["predicts"] = before

    def changes(trained):
        trained.step(batch(0))
        trained.model.conv_in.weight.data = trained.model.conv_in.weight.data * 2
        trained.step(batch(1))
        trained.seed = 5
        trained.step(batch(2))
        trained.model.mid_block.resnets[0].dropout.p = 0.5
        trained.step(batch(3))
        trained.model.mid_block.resnets[0].dropout, trained.model.mid_block.resnets[1].dropout = (
            trained.model.mid_block.resnets[1].dropout, trained.model.mid_block.resnets[0].dropout)
        trained.step(batch(7))
        trained.model.mid_block.eval()
        trained.step(batch(8))
        trained.model.conv_in.padding = ((0, 2), (0, 2))
        trained.step(batch(9))
        trained.schedule = linear_schedule(20, 0.1, 0.5)
        trained.step(batch(10))
        trained.schedule.sqrt_alpha_bar = trained.schedule.sqrt_alpha_bar * 0.5
        trained.step(batch(11))
        trained.objective = partial(bound_loss, variance=(table := np.linspace(0.01, 0.3, 21)))
        trained.step(batch(12))
        table *= 2
        trained.step(batch(13))
        trained.objective, trained.recompute, trained.clip = partial(simple_loss, predicts="x0"), True, 0.1
        trained.step(batch(14))
        trained.adam.m = trained.adam.m * 2
        trained.shards = 3
        trained.step(batch(15))
        with default("x0"):
            trained.objective = simple_loss
            trained.step(batch(16))
        trained.step(batch(17))
        with kernels("reference"):
            trained.step(batch(4))
        trained.model.conv_out.bias.requires_grad = False
        trained.step(batch(5))
        return bits(trained)

    alone = changes(trainer(shards=2, workers=1))
    for workers in (2, 4):
        assert changes(trainer(shards=2, workers=workers)) == alone


def test_processes_are_kept_while_nothing_changes():
    trained = trainer(shards=2, workers=2)
    pools = []
    for k in range(4):
        if k == 3:
            trained.seed += 1
        trained.step(batch(k))
        pools.append(trained.sharded.pool.processes)
    assert pools[0] is pools[1] is pools[2]
    assert pools[3] is not pools[2]


def test_a_worker_that_dies_is_one_plain_error_and_the_next_step_has_another():
    trained = trainer(shards=2, workers=2)
    trained.step(batch(0))
    before = bits(trained)
    os.kill(trained.sharded.pool.processes._processes[0].pid, signal.SIGKILL)
    with pytest.raises(WorkerDied, match="worker process 0 was killed by signal 9, perhaps because memory ran out"):
        trained.step(batch(1))
    assert bits(trained) == before
    other = trainer(shards=2, workers=1)
    other.step(batch(0)), other.step(batch(1)), trained.step(batch(1))
    assert bits(trained) == bits(other)


def test_an_error_in_a_shard_leaves_the_weights():
    trained = trainer(shards=2, workers=2, objective=fails_where_it_is_bright)
    trained.step(batch(0))
    before = bits(trained)
    for bad in (0, 5):  # in the parent's shard, in the worker's
        x = batch(1)
        x[bad] = 2.0
        with pytest.raises(ValueError, match="too bright"):
            trained.step(x)
        assert bits(trained) == before
    trained.step(batch(1))
    assert bits(trained) != before


def of_the_package(objective):
    """Let a function run in worker processes, as those of the package do."""
    objective.__module__ = simple_loss.__module__
    return objective


@of_the_package
def fails_where_it_is_bright(schedule, model, x_0, t, noise):
    if x_0.max() > 1:
        raise ValueError("too bright")
    return simple_loss(schedule, model, x_0, t, noise)


def test_ctrl_c_in_the_middle_of_a_step():
    """Workers leave it to the parent, whose step ends at once; the next one starts with fresh workers."""
    trained = trainer(shards=2, workers=2, objective=slow)
    trained.step(batch(0))
    before, worker = bits(trained), trained.sharded.pool.processes._processes[0].pid
    os.kill(worker, signal.SIGINT)
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may start what it runs without one
    try:
        threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
        with pytest.raises(KeyboardInterrupt):
            trained.step(batch(1))
    finally:
        signal.signal(signal.SIGINT, handler)
    assert bits(trained) == before
    assert gone(worker)
    trained.step(batch(1))
    assert bits(trained) != before


@of_the_package
def slow(schedule, model, x_0, t, noise):
    time.sleep(0.3)
    return ops.square(model(x_0, t)).mean(axis=(1, 2, 3))
