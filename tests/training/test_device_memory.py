"""A device takes a batch in as few shards as fit its memory, measured there, and no run depends on how many."""

from __future__ import annotations

import copy
import math
import pickle
import warnings
from functools import partial

import fake_cupy
import numpy as np
import pytest
import shape_cupy
from device_checks import UNLABELLED, batch, make_trainer, make_unet
from fake_cupy import memory as fake_memory

from ddpm_np import cli
from ddpm_np.backend import get_backend, to_host
from ddpm_np.config import Config
from ddpm_np.diffusion import linear_schedule, simple_loss
from ddpm_np.models import UNet, UNetConfig
from ddpm_np.runs import checkpoint
from ddpm_np.runs.run import Run
from ddpm_np.training import algorithm1, sharding
from ddpm_np.training import trainer as trainer_module
from ddpm_np.training.device_memory import check_device_memory, fewest_shards
from ddpm_np.training.memory import StepMemory
from ddpm_np.training.sharding import ShardedGradient
from ddpm_np.training.trainer import Trainer

pytestmark = pytest.mark.usefixtures("one_blas_thread")
N = 12
IMAGES = np.concatenate([batch(k) for k in range(3)])[:N]
SCHEDULE = linear_schedule(50, 1e-3, 0.1)


@pytest.fixture
def device():
    with fake_cupy.installed():
        yield get_backend("cupy")


def make(device, **options):
    """A trainer in float64, and the calls of its objective."""
    calls = []

    def objective(schedule, model, x_0, t, noise):
        calls.append(len(x_0))
        return simple_loss(schedule, model, x_0, t, noise)

    net = make_unet(UNLABELLED, device)
    return Trainer(net, SCHEDULE, objective, lr=1e-2, warmup=0, **{"shards": 4, "workers": 1, **options}), calls


def leave(free):
    """Fill the device's memory up to so many bytes, of which arrays can take seven eighths."""
    pool = fake_memory.memory
    pool.free_all_blocks()
    pool.others = pool.capacity - pool.used_bytes() - math.ceil(free * 8 / 7)


def needs(trainer, shards, images=N):
    """What a step needs beside the net, and for its images."""
    step = trainer.step_memory(trainer.backend.to_device(IMAGES[:2]))
    return step.total(images, shards, 1) - step.net + IMAGES.nbytes + 1024


def test_a_batch_that_fits_is_one_shard_whatever_the_configuration_says(device):
    trainer, calls = make(device, shards=32)
    trainer.step(IMAGES)
    trainer.step(IMAGES)
    trainer.step(IMAGES[:1])
    trainer.step(IMAGES[:5])
    assert calls == [1, 2, N, N, 1, 5]  # one image and two are measured, once


def test_a_single_image_is_not_measured(device):
    trainer, calls = make(device)
    trainer.step(IMAGES[:1])
    assert calls == [1]


@pytest.mark.parametrize("shards", [1, 2, 3, 4])
def test_a_batch_that_does_not_fit_is_taken_in_as_few_shards_as_do(device, shards):
    """With the gradient of one shard, to rounding; memory is not met full, and what was said is needed."""
    trainer, calls = make(device)
    whole, _ = make(device)
    whole.step(IMAGES)
    gradient = to_host(whole.flat.grad)
    del whole
    leave(needs(trainer, shards))
    calls.clear()
    pool = fake_memory.memory
    pool.peak, before = 0, pool.used_bytes()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trainer.step(IMAGES)
    assert calls == [N // shards] * shards
    said = needs(trainer, shards)
    assert pool.peak - before <= said * 8 / 7
    assert pool.peak - before >= said / 2
    assert np.abs(to_host(trainer.flat.grad) - gradient).max() <= 1e-13 * np.abs(gradient).max()


def test_one_byte_less_is_one_shard_more(device):
    trainer, calls = make(device)
    step = trainer.step_memory(device.to_device(IMAGES[:2]))
    for shards in (1, 2, 3):
        assert fewest_shards(step, N, step.total(N, shards, 1) - step.net) == shards
        assert fewest_shards(step, N, step.total(N, shards, 1) - step.net - 1) > shards
    assert fewest_shards(step, N, step.total(N, N, 1) - step.net - 1) is None
    assert calls == [1, 2]


def test_memory_does_not_grow_from_step_to_step(device):
    trainer, _ = make(device)
    trainer.step(IMAGES)
    trainer.step(IMAGES)
    used = fake_memory.memory.used_bytes()
    trainer.step(IMAGES)
    assert fake_memory.memory.used_bytes() == used


def test_a_buffer_that_is_never_freed_is_seen(device, monkeypatch):
    kept, gradient = [], ShardedGradient.gradient_of_batch

    def leaky(self, *args, **options):
        kept.append(self.flat.buffer())
        return gradient(self, *args, **options)

    monkeypatch.setattr(ShardedGradient, "gradient_of_batch", leaky)
    with pytest.raises(AssertionError):
        test_memory_does_not_grow_from_step_to_step(device)


def test_a_measure_that_forgets_the_gradient_buffer_is_seen(device, monkeypatch):
    def forgetful(self, batch_size, shards, workers):
        return self.net + self.shard + math.ceil(batch_size / shards) * self.image

    monkeypatch.setattr(StepMemory, "total", forgetful)
    with pytest.raises((AssertionError, UserWarning, MemoryError)):
        test_a_batch_that_does_not_fit_is_taken_in_as_few_shards_as_do(device, 3)


def test_memory_that_is_full_in_a_step_is_met_with_twice_the_shards(device):
    """After it was measured, another process takes some. The gradient is right, and one line says so."""
    trainer, calls = make(device)
    other, _ = make(device)
    for _ in range(2):
        other.step(IMAGES)
    trainer.step(IMAGES)
    leave(needs(trainer, 4))
    calls.clear()
    with pytest.warns(UserWarning, match="the device's memory was full with 12 images at a time: from now on it takes "
                                         r"[36]$") as said:
        trainer.step(IMAGES)
    assert len(said) == 1
    assert calls[0] == N
    assert calls[-1] in (3, 6)
    assert np.abs(to_host(trainer.flat.data) - to_host(other.flat.data)).max() < 1e-9
    calls.clear()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trainer.step(IMAGES)
    assert len(set(calls)) == 1


def test_a_step_that_does_not_fit_at_all_raises_cupys_error_and_changes_nothing(device):
    trainer, _ = make(device)
    trainer.step(IMAGES)
    before = to_host(trainer.flat.data)
    leave(10_000)
    with pytest.raises(MemoryError, match="Out of memory allocating") as caught:
        trainer.step(IMAGES)
    assert caught.value.__notes__ == [
        "the gradient of one image at a time does not fit into the device's memory: recompute activations "
        "(recompute=True, --set recompute=true), or choose a smaller net or image"]
    del caught
    assert to_host(trainer.flat.data).tobytes() == before.tobytes()
    assert trainer.steps == 1
    leave(10**9)
    trainer.step(IMAGES)
    assert trainer.steps == 2


def test_recomputation_is_measured_anew(device):
    trainer, calls = make(device)
    trainer.step(IMAGES)
    trainer.recompute = True
    trainer.step(IMAGES)
    assert calls == [1, 2, N] * 2


@pytest.mark.parametrize("copied", [copy.deepcopy, copy.copy])
def test_a_copy_measures_on_its_own_machine(device, copied):
    trainer, _ = make(device)
    trainer.step(IMAGES)
    other = copied(trainer)
    assert other.on_device.steps == other.on_device.counts == {}
    assert other.on_device.parameters == trainer.flat.data.nbytes
    assert pickle.loads(pickle.dumps(trainer.on_device)).backend is trainer.backend


def test_the_host_is_not_measured():
    trainer, calls = make(get_backend("numpy"), shards=3)
    trainer.step(IMAGES)
    assert calls == [4, 4, 4]
    assert trainer.on_device.steps == {}


@pytest.mark.parametrize(("preset", "size", "gigabytes", "shards"), [
    ("cifar10", 128, 141, 1), ("cifar10", 128, 8, 1), ("cifar10", 128, 4, 3), ("ho256", 64, 141, 2),
    ("digits", 64, 1, 1)])
def test_full_size_nets_on_devices_of_several_sizes(preset, size, gigabytes, shards):
    """As the presets have them: what is said is what the second step takes, to two per cent for the large nets."""
    settings = Config.preset(preset)
    with shape_cupy.installed(memory=gigabytes * 10**9):
        trainer = Trainer(UNet(settings.model, backend="cupy"), linear_schedule(1000), shards=settings.training.shards)
        images = np.zeros((size, *settings.model.size, settings.model.in_channels), np.float32)
        trainer.step(images)
        assert set(trainer.on_device.counts.values()) == {shards}
        pool, (step,) = fake_memory.memory, trainer.on_device.steps.values()
        pool.peak = 0
        trainer.step(images)
        least = 0.98 if preset != "digits" else 0.5
        assert least * step.total(size, shards, 1) <= pool.peak <= 1.02 * step.total(size, shards, 1)


GIB = 10**9
KNOWN = {False: StepMemory(net=10 * GIB, gradient=2 * GIB, shard=GIB, image=4 * GIB),
         True: StepMemory(net=10 * GIB, gradient=2 * GIB, shard=GIB, image=2 * GIB)}


@pytest.mark.parametrize(("free", "recompute", "message"), [
    (100, False, None), (7, False, None), (5, True, None),
    (6, False, r"a step needs 7 GB beside the net, with one image at a time, and arrays can take 6 GB of the device's "
               r"memory: --set recompute=true needs 5 GB"),
    (4, True, r"a step needs 5 GB .* can take 4 GB of the device's memory: --batch-size 1 needs 3 GB"),
    (3, False, r"a step needs 7 GB .*: --batch-size 1 with --set recompute=true needs 3 GB"),
    (2, False, r"a step needs 7 GB .* can take 2 GB of the device's memory: choose a smaller net or image"),
])
def test_a_run_that_does_not_fit_a_device_names_settings_that_do(free, recompute, message):
    check = partial(check_device_memory, KNOWN.__getitem__, 8, free * GIB, recompute)
    if message is None:
        check()
        return
    with pytest.raises(MemoryError, match=message):
        check()


def test_a_run_of_which_one_image_does_not_fit_suggests_recomputation_or_a_smaller_net():
    def measure(again, fits):
        if again not in fits:
            raise MemoryError("Out of memory allocating 1,024 bytes")
        return KNOWN[again]

    with pytest.raises(MemoryError, match="the gradient of one image does not fit and arrays can take 6 GB of the "
                                          "device's memory: --set recompute=true needs 5 GB"):
        check_device_memory(partial(measure, fits={True}), 8, 6 * GIB)
    for recompute in (False, True):
        with pytest.raises(MemoryError, match="Out of memory allocating 1,024 bytes") as caught:
            check_device_memory(partial(measure, fits=()), 8, 6 * GIB, recompute)
        assert caught.value.__notes__ == ["the gradient of one image does not fit, and arrays can take 6 GB of the "
                                          "device's memory: choose a smaller net or image"]
    with pytest.raises(ZeroDivisionError):
        check_device_memory(lambda again: 1 // 0, 8, 6 * GIB)


RUN = Config.preset("digits").with_values(["T=4", "channels=8", "groups=4", "steps=2", "batch_size=8", "log_every=1",
                                           "save_every=1", "sample_every=2", "shards=8"])


def test_a_run_measures_before_it_starts_and_once(device, tmp_path, monkeypatch):
    calls, compute = [], algorithm1.gradient_of_batch

    def counted(model, schedule, objective, x_0, **options):
        calls.append(len(x_0))
        return compute(model, schedule, objective, x_0, **options)

    for module in (trainer_module, sharding):
        monkeypatch.setattr(module, "gradient_of_batch", counted)
    with Run.start(RUN, tmp_path / "run", backend="cupy") as run:
        assert calls == [1, 2]
        assert [record.step for record in run] == [1, 2]
    assert calls == [1, 2, 8, 8]


def test_a_resumed_run_has_the_same_weights_in_another_number_of_shards(device, tmp_path):
    """To rounding; the configuration that is kept is the one that was given."""
    weights = []
    for name, free in (("whole", 10**9), ("parts", None)):
        with Run.start(RUN.replace(steps=1), tmp_path / name, backend="cupy") as run:
            list(run)
        with Run.resume(tmp_path / name, lambda saved: saved.replace(steps=3), backend="cupy") as run:
            (step,) = run.trainer.on_device.steps.values()
            leave(free or step.total(8, 4, 1) - step.net + 4_096)
            list(run)
            assert set(run.trainer.on_device.counts.values()) == {1 if free else 4}
            weights.append(to_host(run.trainer.flat.data))
        fake_memory.memory.others = 0
        saved = checkpoint.read(sorted((tmp_path / name).glob("checkpoint-*"))[-1])
        assert saved.config.training.shards == 8
    assert np.abs(weights[0] - weights[1]).max() <= 1e-5


def test_the_command_line_refuses_what_does_not_fit_a_device_before_anything_is_written(device, tmp_path, capsys):
    fake_memory.memory.others = fake_memory.memory.capacity - 2_500_000
    arguments = ["train", "--backend", "cupy", "--steps", "1", "--batch-size", "8", "--set", "shards=2",
                 "--set", "model.image_size=32", "--set", "model.channels=16", "--set", "model.groups=4"]
    assert cli.main([*arguments, "--out", str(tmp_path / "run")]) == 2
    line = capsys.readouterr().err
    assert line.startswith("ddpm-np: error: ")
    assert line.count("\n") == 1
    assert not list((tmp_path / "run").glob("checkpoint*"))


def test_a_run_of_the_device_checks_trainer_is_not_touched(device):
    """The trainer of the device's other checks fits into one shard too."""
    trainer = make_trainer(device)
    trainer.step(batch(0))
    assert list(trainer.on_device.counts.values()) == [1]
    assert isinstance(trainer.model.config, UNetConfig)
