"""A net, an objective and data as a user writes them: the same bits with any number of workers, PyTorch's weights."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
import threading
from functools import partial

import numpy as np
import pytest
from gradient_inputs import generator
from small_run import BETAS, bits

from ddpm_np.autograd import ops
from ddpm_np.autograd.op import kernels
from ddpm_np.autograd.tensor import Tensor
from ddpm_np.diffusion import Schedule, q_sample, simple_loss
from ddpm_np.nn import Conv2d, Dropout, Linear, Module, Parameter, ones
from ddpm_np.training.trainer import Trainer

MASK = np.ones((8, 8, 1), np.float32)  # a global of this module, which nets and objectives below read
WORKERS = (1, 2, 4)


class Block(Module):
    def __init__(self, width):
        self.conv, self.dropout = Conv2d(width, width), Dropout(0.3)
        self.gain, self.mask, self.skip = 1.0, np.ones(width, np.float32), True

    def __call__(self, h):
        y = self.dropout(ops.silu(self.conv(h))) * self.mask * self.gain
        return h + y if self.skip else y


class Net(Module):
    """A small convolutional net: a block that is used twice, parts in containers, a head."""

    def __init__(self, width=4, seed=0):
        self.stem = Conv2d(1, width)
        block = Block(width)
        self.blocks = {"first": block, "second": (Block(width), [block])}
        self.scale = [Parameter((width,), ones)]
        self.head = Conv2d(width, 1)
        self.initialise(seed)

    def __call__(self, x, t):
        h = self.stem(x * MASK) * self.scale[0]
        h = h + np.reshape(np.asarray(t, np.float32) / 20, (-1, 1, 1, 1))
        for block in (self.blocks["first"], self.blocks["second"][0], self.blocks["second"][1][0]):
            h = block(h)
        return self.head(h)


class Objective:
    power = 1.0

    def __init__(self):
        self.weights = np.ones(21, np.float32)

    def __call__(self, schedule, model, x_0, t, noise):
        return simple_loss(schedule, model, x_0, t, noise) * self.weights[t] * self.power


def weighted(schedule, model, x_0, t, noise, *, weights, extra={"by": 1.0}):  # noqa: B006 - a user may change it
    difference = (model(q_sample(schedule, x_0, t, noise), t) - noise) * MASK
    return ops.mean(ops.square(difference), axis=(1, 2, 3)) * weights[t] * extra["by"]


def data(k, n=8):
    return generator("own", k).uniform(-1, 1, (n, 8, 8, 1)).astype(np.float32)


def trainer(objective=simple_loss, net=None, **options):
    return Trainer(net or Net(), Schedule.from_betas(BETAS), objective,
                   **{"lr": 1e-2, "warmup": 0, "ema": 0.5, "shards": 4, **options})


def change_the_net(trained, steps):
    net = trained.model
    for change in (lambda: vars(net.blocks["first"]).update(gain=0.5),
                   lambda: net.blocks["first"].mask.__setitem__(1, 0.0),
                   lambda: vars(net.blocks["second"][0]).update(skip=False),
                   lambda: vars(net.blocks["first"].dropout).update(p=0.6), net.eval, net.train,
                   lambda: setattr(net.head.bias, "requires_grad", False),
                   lambda: setattr(net.stem.weight, "data", net.stem.weight.data * 2),
                   lambda: MASK.__setitem__(slice(0, 3), 0.0), lambda: setattr(Block, "extra", 1)):
        steps()
        change()
    steps()


def change_the_objective(trained, steps):
    weights = np.ones(21, np.float32)
    trained.objective = partial(weighted, weights=weights)
    steps()
    weights[5:] = 3.0
    steps()
    weighted.__kwdefaults__["extra"]["by"] = 0.5
    steps()
    MASK[2:5] = 0.0
    steps()
    cell = 1.0

    def closure(*arguments):
        return simple_loss(*arguments) * cell

    trained.objective = closure
    steps()
    cell = 0.25
    steps()
    trained.objective = Objective()
    steps()
    trained.objective.weights[:] = np.linspace(0, 2, 21)
    steps()
    trained.objective.power = 2.0
    steps()
    Objective.power = 0.5
    del trained.objective.power
    steps()


def change_the_trainer(trained, steps):
    for name, value in (("seed", 7), ("clip", 0.05), ("clip", None), ("shards", 3), ("shards", 4), ("recompute", True)):
        steps()
        setattr(trained, name, value)
    steps()
    trained.schedule.sqrt_alpha_bar = trained.schedule.sqrt_alpha_bar / 2
    trained.adam.lr = 0.1
    steps()


@pytest.fixture(autouse=True)
def _restored():
    yield
    MASK[:] = 1.0
    Objective.power = 1.0
    weighted.__kwdefaults__["extra"]["by"] = 1.0


@pytest.mark.parametrize("changes", [change_the_net, change_the_objective, change_the_trainer])
def test_workers_see_what_is_changed_between_steps(changes):
    found = []
    for workers in WORKERS:
        MASK[:], Objective.power = 1.0, 1.0
        weighted.__kwdefaults__["extra"]["by"] = 1.0
        trained, losses = trainer(workers=workers), []

        def steps(trained=trained, losses=losses):
            for _ in range(3):  # of which the last are in threads
                losses.append(float(trained.step(data(len(losses)))["loss"]))

        changes(trained, steps)
        found.append((losses, bits(trained)))
    assert found[0] == found[1] == found[2]


def test_workers_label_dropout_too():
    class Labelled(Net):
        def __call__(self, x, t, y):
            return super().__call__(x, t) * np.reshape(y.astype(np.float32), (-1, 1, 1, 1))

    def trained(workers):
        it = trainer(net=Labelled(), workers=workers, no_label=5)
        for k, p in enumerate((0.1, 0.9, 0.0)):
            it.label_dropout = p
            it.step(data(k), np.arange(8) % 5)
        return bits(it)

    assert trained(1) == trained(2) == trained(4)
    with pytest.raises(ValueError, match="labels must be ints from 0, got float64"):
        trainer(net=Labelled(), no_label=5).step(data(0), np.zeros(8))


# Code that stores values


class Running(Net):
    """A net that divides by a running mean of what it has seen."""

    def __init__(self):
        super().__init__()
        self.mean, self.calls = np.ones(1, np.float32), 0

    def __call__(self, x, t):
        self.mean *= 0.9
        self.mean += 0.1 * np.abs(x).mean()
        self.calls += 1
        return super().__call__(x / self.mean, t)


class Lazy(Net):
    """A net that makes a table when it is first called."""

    table = None

    def __call__(self, x, t):
        if self.table is None:
            self.table = np.linspace(0.5, 1.0, 21, dtype=np.float32)
        self.thread = None if threading.current_thread() is threading.main_thread() else self.thread
        return super().__call__(x, t) * np.reshape(self.table[t], (-1, 1, 1, 1))

    thread = None


def counting(log, *arguments):
    log.append(len(log))
    return simple_loss(*arguments) * (1 + len(log) % 3)


@pytest.mark.parametrize("make", [lambda: {"net": Running()}, lambda: {"net": Lazy()},
                                  lambda: {"objective": partial(counting, [])}])
def test_a_net_or_objective_that_stores_values_is_called_in_order(make):
    found = []
    for workers in WORKERS:
        trained = trainer(workers=workers, **make())
        losses = [float(trained.step(data(k))["loss"]) for k in range(4)]
        found.append((losses, bits(trained), getattr(trained.model, "calls", None)))
    assert found[0] == found[1] == found[2]


class Threads:
    """The threads that called; as an object of the package it is not looked into."""

    __module__ = "ddpm_np.training"

    def __init__(self):
        self.seen, self.together = set(), None

    def note(self):
        self.seen.add(threading.get_ident())
        if self.together is not None:
            self.together.wait(30)  # for the other thread


def test_code_that_stores_nothing_runs_in_several_threads_and_is_watched():
    threads, quiet = Threads(), True

    class Watching(Net):
        def __call__(self, x, t):
            threads.note()
            if not quiet:
                self.stored = object()
            return super().__call__(x, t)

    trained = trainer(net=Watching(), workers=2)
    trained.step(data(0))
    threads.seen.clear()
    threads.together = threading.Barrier(2)
    for k in (1, 2):
        trained.step(data(k))
    assert len(threads.seen) == 2
    quiet = False
    before = bits(trained)
    with pytest.raises(RuntimeError, match=r"stored a value while several threads called it.*or use workers=1"):
        trained.step(data(3))
    assert bits(trained) == before
    threads.together = None
    trained.step(data(3))  # one after another
    assert trained.steps == 4


# Weights that are shared


class Tied(Module):
    """Two layers with one weight; a layer used twice; a cycle back to the parent."""

    def __init__(self, copies=False):
        self.a, self.b = Linear(3, 3), Linear(3, 3)
        self.b.weight = self.a.weight
        self.twice = [self.a, self.a]
        self.out = Linear(3, 3)
        self.out.parent = self
        self.initialise(3, "float64")

    def __call__(self, x, t):
        return self.out(self.twice[1](ops.tanh(self.b(ops.tanh(self.a(x))))))


def points(k, n=8):
    return generator("points", k).uniform(-1, 1, (n, 3))


def distance(schedule, model, x_0, t, noise):
    return ops.mean(ops.square(model(x_0, t) - x_0[:, ::-1]), axis=1)


def torch_tied(net):
    torch = pytest.importorskip("torch")
    layers = {name: torch.nn.Linear(3, 3, dtype=torch.float64) for name in ("a", "b", "out")}
    for name, layer in layers.items():
        ours = getattr(net, name)
        layer.weight.data = torch.tensor(ours.weight.data.T.copy())
        layer.bias.data = torch.tensor(ours.bias.data.copy())
    layers["b"].weight = layers["a"].weight
    module = torch.nn.ModuleDict(layers)

    def call(x):
        return module["out"](module["a"](torch.tanh(module["b"](torch.tanh(module["a"](x))))))

    return torch, module, call


def test_tied_weights_have_one_name_and_stay_one():
    net = Tied()
    names = [name for name, _ in net.named_parameters()]
    assert names == ["a.weight", "a.bias", "b.bias", "out.weight", "out.bias"]
    assert net.a.weight is net.b.weight
    clone = net.clone(lambda p: Tensor(p.data.copy()))
    assert clone.a.weight is clone.b.weight
    assert clone.twice == [clone.a, clone.a]
    assert clone.out.parent is clone
    state = {name: array.copy() for name, array in net.state_dict().items()}
    net.load_state_dict({**state, "b.weight": state["a.weight"], "twice.1.weight": state["a.weight"],
                         "twice.0.bias": state["a.bias"]})
    with pytest.raises(ValueError, match=r"a.weight and b.weight are one parameter of this net, but two arrays"):
        net.load_state_dict({**state, "b.weight": state["a.weight"] + 1})
    with pytest.raises(ValueError, match="1 unknown"):
        net.load_state_dict({**state, "c.weight": state["a.weight"]})


@pytest.mark.parametrize("choice", ["fast", "reference"])
@pytest.mark.parametrize("workers", WORKERS)
def test_tied_weights_train_as_in_pytorch(workers, choice):
    """Adam, clip of the norm, average: each weight counts once; frozen and unfrozen in the middle."""
    net = Tied()
    torch, module, call = torch_tied(net)
    trained = trainer(distance, net, lr=1e-2, clip=0.3, ema=0.7, workers=workers, shards=4)
    adam = torch.optim.Adam(module.parameters(), lr=1e-2)
    average = torch.optim.swa_utils.AveragedModel(
        module, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.7))
    average.update_parameters(module)  # the first update copies
    with kernels(choice):
        for k in range(12):
            if k in (3, 8):
                net.a.weight.requires_grad = k == 8
                module["a"].weight.requires_grad_(k == 8)
            x = torch.tensor(points(k))
            adam.zero_grad()
            (call(x) - x.flip(1)).square().mean().backward()
            norm = torch.nn.utils.clip_grad_norm_(module.parameters(), 0.3)
            adam.step()
            average.update_parameters(module)
            log = trained.step(points(k))
            np.testing.assert_allclose(float(log["grad_norm"]), float(norm), rtol=1e-9)
    for name in ("a", "b", "out"):
        for ours, theirs in ((net, module), (trained.ema.model, average.module)):
            np.testing.assert_allclose(getattr(ours, name).weight.data, theirs[name].weight.detach().numpy().T,
                                       rtol=1e-9)
            np.testing.assert_allclose(getattr(ours, name).bias.data, theirs[name].bias.detach().numpy(), rtol=1e-9)


# Frozen parameters


@pytest.mark.parametrize("choice", ["fast", "reference"])
def test_frozen_parameters_do_not_move_with_any_number_of_workers(choice):
    """Before a run, in its middle, unfrozen, and a parameter that no loss depends on."""
    def trained(workers):
        net = Net()
        net.unused = Linear(2, 2).initialise(5)
        net.stem.bias.requires_grad = False
        it = trainer(net=net, workers=workers)
        names = [name for name, _ in net.named_parameters()]
        with kernels(choice):
            for k in range(10):
                net.head.weight.requires_grad = k not in range(3, 7)
                before = {name: [part.tobytes() for part in parts] for name, *parts in zip(
                    names, *(it.flat.views(a) for a in (it.flat.data, it.adam.m, it.adam.v)), strict=True)}
                it.step(data(k))
                still = {name for name, *parts in zip(
                    names, *(it.flat.views(a) for a in (it.flat.data, it.adam.m, it.adam.v)), strict=True)
                    if [part.tobytes() for part in parts] == before[name]}
                assert still == {"stem.bias", "unused.weight", "unused.bias"} | (
                    {"head.weight"} if k in range(3, 7) else set())
        counts = dict(zip(names, map(int, it.adam.counts_by_parameter()), strict=True))
        assert (counts["stem.bias"], counts["unused.bias"], counts["head.weight"], counts["head.bias"]) == (0, 0, 6, 10)
        return bits(it)

    assert trained(1) == trained(2) == trained(4)


# Copies


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))],
                         ids=["copy", "deepcopy", "pickle"])
@pytest.mark.parametrize("workers", [1, 2])
def test_a_copied_trainer_continues_with_the_same_bits_and_leaves_the_other(duplicate, workers):
    trained = trainer(net=Tied(), objective=distance, workers=workers)
    for k in range(3):
        trained.step(points(k))
        trained.model.out.bias.requires_grad = k == 0
    other, before = duplicate(trained), bits(trained)
    assert other.model.a.weight is other.model.b.weight
    assert bits(other) == before
    for k in range(3, 6):
        other.step(points(k))
    assert bits(trained) == before
    assert np.shares_memory(other.ema.model.a.weight.data, other.ema.data)
    for k in range(3, 6):
        trained.step(points(k))
    assert bits(other) == bits(trained)
    alone = duplicate(trained.model)
    assert [p.data.tobytes() for p in alone.parameters()] == [p.data.tobytes() for p in trained.model.parameters()]


def test_a_trainer_continues_in_a_spawned_process(tmp_path):
    """And its net with the ops that it holds."""
    script = tmp_path / "spawned.py"
    script.write_text("""
import multiprocessing, pickle, sys
import numpy as np
from ddpm_np.autograd import ops
from ddpm_np.diffusion import linear_schedule, simple_loss
from ddpm_np.nn import Linear, Module
from ddpm_np.training import Trainer

class Net(Module):
    def __init__(self):
        self.a, self.b, self.activation = Linear(2, 8), Linear(8, 2), ops.silu
        self.initialise()
    def __call__(self, x, t):
        return self.b(self.activation(self.a(x)))

def steps(trainer, first):
    for k in range(first, first + 2):
        trainer.step(np.random.default_rng(k).uniform(-1, 1, (4, 2)))
    return trainer

if __name__ == "__main__":
    trainer = steps(Trainer(Net(), linear_schedule(10), workers=2, warmup=0), 0)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        there = pool.apply(steps, (trainer, 2))
    steps(trainer, 2)
    assert there.flat.data.tobytes() == trainer.flat.data.tobytes() and there.steps == 4
    print("same")
""")
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.strip() == "same", done.stderr


def test_a_trainer_trains_in_another_thread():
    trained, same = trainer(workers=2), trainer(workers=2)
    thread = threading.Thread(target=lambda: [trained.step(data(k)) for k in range(2)])
    thread.start()
    thread.join()
    for k in range(2):
        same.step(data(k))
    assert bits(trained) == bits(same)


# What comes in


@pytest.mark.parametrize(("result", "kind", "words"), [
    (lambda y: y.mean(), ValueError, r"one loss for each image, shape \(8,\), got \(\): take the mean over all axes"),
    (lambda y: y, ValueError, r"shape \(8,\), got \(8, 8, 8, 1\)"),
    (lambda y: y.mean(axis=(1, 2, 3)) * np.ones((8, 1)), ValueError, r"got \(8, 8\)"),
    (lambda y: y.mean(axis=(1, 2)), ValueError, r"got \(8, 1\)"),
    (lambda y: y.data.mean(axis=(1, 2, 3)), TypeError, "must return a Tensor of shape .N,., got ndarray"),
    (lambda y: None, TypeError, "got NoneType"), (lambda y: [y.mean()] * 8, TypeError, "got list"),
])
def test_objectives_that_do_not_return_one_loss_for_each_image_are_refused(result, kind, words):
    def objective(schedule, model, x_0, t, noise):
        return result(ops.square(model(x_0, t) - noise))

    trained = trainer(objective, shards=1)
    before = bits(trained)
    with pytest.raises(kind, match=words):
        trained.step(data(0))
    assert bits(trained) == before


@pytest.mark.parametrize(("x", "kind", "words"), [
    (np.zeros((2, 8, 8, 1), np.uint8), TypeError, r"floating numbers in \[-1, 1\], got dtype uint8: scale them first"),
    (np.zeros((2, 8, 8, 1), bool), TypeError, "got dtype bool"),
    (np.zeros((2, 8, 8, 1), complex), TypeError, "got dtype complex128"),
    (np.arange(128).reshape(2, 8, 8, 1) * 2.0, ValueError, "got whole numbers from 0 to 254: scale them first"),
    (np.full((2, 8, 8, 1), 2.0), ValueError, "got whole numbers from 2 to 2"),
    (np.linspace(0, 255, 128).reshape(2, 8, 8, 1), ValueError, "got values from 0 to 255"),
    (np.float32(0.0), ValueError, "a batch needs at least one image, got shape"),
])
def test_images_that_are_not_scaled_are_refused(x, kind, words):
    with pytest.raises(kind, match=words):
        trainer().step(x)


def test_latents_and_standardised_data_are_taken():
    assert np.isfinite(trainer().step(data(0) * 30)["loss"])
    trainer().step([[[[0.5]] * 8] * 8])  # a list
    with np.errstate(all="ignore"):
        assert not np.isfinite(trainer().step(data(0) * np.inf)["loss"])  # see TrainingDiverged


def test_a_parameter_that_is_replaced_is_refused():
    trained = trainer()
    trained.model.head.bias = Tensor(np.zeros(1, np.float32), requires_grad=True)
    with pytest.raises(RuntimeError, match=r"not those that this trainer was made with: assign values to them"):
        trained.step(data(0))
