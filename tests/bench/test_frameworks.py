"""The frameworks beside PyTorch: what is missing is named, and what is there computes what our net computes."""

from __future__ import annotations

import re
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from random_net import net

from ddpm_np import bench
from ddpm_np.bench import frameworks, hold, net_cases, pytorch, tables, timing
from ddpm_np.bench.timing import EAGER, OURS
from ddpm_np.models import UNetConfig

TINY = bench.Net("tiny", UNetConfig(4, 1, 4, (1, 2), 1, (2,), dropout=0.1, groups=2), 4, 2)
RNG = np.random.default_rng(0)
X, T = RNG.standard_normal((3, 8, 8, 1), dtype=np.float32), np.array([1, 7, 1000])


@pytest.fixture(autouse=True)
def short_turns(monkeypatch):
    monkeypatch.setattr(net_cases, "_STRETCH", 0.01)
    monkeypatch.setattr(timing, "_PAUSE", 0.0)
    monkeypatch.setattr(timing, "QUIET", 1e9)


@pytest.fixture
def one_framework(monkeypatch):
    """A framework of the name "Other", as a module to be changed."""
    module = types.SimpleNamespace(WHAT=("forward",), why_absent=lambda: None, side=lambda what, net, workers: list)
    monkeypatch.setattr(frameworks, "FRAMEWORKS", {"Other": "other"})
    monkeypatch.setattr(frameworks, "import_module", lambda name: module)
    return module


def test_a_framework_that_is_missing_is_named(monkeypatch):
    for module in ("jax", "onnxruntime", "onnx", "onnxscript", "tinygrad", "torch", "diffusers"):
        monkeypatch.setitem(sys.modules, module, None)
    found, notes = frameworks.sides("forward", TINY, 2)
    assert found == {}
    assert [note.partition(" was not measured: ")[0] for note in notes] == ["JAX", "ONNX Runtime", "tinygrad"]
    assert all("not installed: pip install" in note for note in notes)
    assert frameworks.sides("sample", TINY, 2) == ({}, [])


def test_a_framework_takes_its_turn_beside_pytorch(monkeypatch, one_framework):
    monkeypatch.setattr(pytorch, "why_absent", lambda: "it is hidden")
    together, apart = net_cases.compare("forward", TINY, 1, 1)
    assert list(together.values) == [OURS, "Other"]
    assert list(apart.values) == [OURS]
    assert [row[4] for row in tables.rows(together)] == ["PyTorch", "Other"]
    assert tables.rows(together)[0][3] == "absent"
    (batch,) = (result for result in net_cases.compare("forward", TINY, 1, 1, part="batches")[:1])
    assert (batch.what, list(batch.values)) == ("batches", [OURS])
    ours = batch.values[OURS][0]
    assert tables.rows(batch)[0][8] == tables.number(1e3 * ours / 4)  # ms an image


def test_a_framework_that_fails_is_a_note(one_framework):
    def fail(what, net, workers):
        raise RuntimeError("no such op\nand more")

    one_framework.side = fail
    assert frameworks.sides("forward", TINY, 2) == (
        {}, ["Other was not measured: RuntimeError: no such op"])


def test_a_framework_that_is_very_slow_takes_no_turns(monkeypatch, one_framework):
    now = iter([0.0, 60.0])
    monkeypatch.setattr(frameworks, "time", types.SimpleNamespace(perf_counter=lambda: next(now)))
    assert frameworks.sides("forward", TINY, 2) == ({}, ["Other was not measured: one call takes 60.0 s"])


def test_what_cannot_be_held_is_not_measured_beside_what_is(monkeypatch, one_framework):
    monkeypatch.setattr(frameworks, "FRAMEWORKS", {"ONNX Runtime": "other"})
    monkeypatch.setenv(hold.VARIABLE, "avx2")
    assert frameworks.sides("forward", TINY, 2) == (
        {}, ["ONNX Runtime was not measured: ONNX Runtime cannot be held to avx2"])
    monkeypatch.delenv(hold.VARIABLE)
    assert list(frameworks.sides("forward", TINY, 2)[0]) == ["ONNX Runtime"]


def test_nothing_else_in_the_package_imports_them():
    package = Path(bench.__file__).parents[1]
    own = {package / "bench" / f"{module}.py" for module in frameworks.FRAMEWORKS.values()}
    assert all(path.exists() for path in own)
    asked = re.compile(r"""(?:import|from|imported\(|import_module\() ?["']?(?:jax|onnx|onnxruntime|tinygrad)\b""")
    found = {path for path in package.rglob("*.py") if asked.search(path.read_text("utf-8"))}
    assert found <= own
    assert {path.stem for path in found} >= {"jax_net", "tinygrad_net"}


@pytest.mark.peers
@pytest.mark.parametrize("config", [{}, {"downsample_padding": "symmetric"}])
def test_the_net_in_jax_is_ours(config):
    jax_net = pytest.importorskip("jax") and frameworks.import_module("ddpm_np.bench.jax_net")
    model = net(**config)
    got = np.asarray(jax_net.forward(model.config, jax_net.weights_of(model), X, T)())
    assert np.abs(got - model(X, T).data).max() < 1e-4  # of values around 1: sines of angles up to 1000 in float32


@pytest.mark.peers
def test_jax_learns():
    jax_net = pytest.importorskip("jax") and frameworks.import_module("ddpm_np.bench.jax_net")
    model = net(dropout=0.1)
    weights = jax_net.weights_of(model)
    before = {name: np.array(array) for name, array in weights.items()}
    step = jax_net.training(model.config, weights, np.zeros((64, 8, 8, 1), np.float32))
    losses = [step() for _ in range(40)]
    assert np.mean(losses[-5:]) < 0.9 * np.mean(losses[:5])
    assert all(np.array_equal(weights[name], array) for name, array in before.items())  # the step has its own


@pytest.mark.peers
def test_the_net_in_tinygrad_is_ours():
    pytest.importorskip("tinygrad")
    tinygrad_net = frameworks.import_module("ddpm_np.bench.tinygrad_net")
    if reason := tinygrad_net.why_absent():
        pytest.skip(reason)
    model = net()
    run = tinygrad_net.forward(model.config, tinygrad_net.weights_of(model), X, T)
    for _ in range(3):  # the third call replays what the second one recorded
        assert np.abs(run().transpose(0, 2, 3, 1) - model(X, T).data).max() < 1e-4


@pytest.mark.peers
def test_the_net_in_onnx_runtime_is_diffusers():
    onnx_runtime = frameworks.import_module("ddpm_np.bench.onnx_runtime")
    if reason := onnx_runtime.why_absent():
        pytest.skip(reason)
    torch = pytest.importorskip("torch")
    theirs = pytorch.build(TINY.config).eval()
    got = onnx_runtime.forward(theirs, TINY.images(), TINY.times(), 1)()
    with torch.inference_mode():
        images = torch.from_numpy(TINY.images().transpose(0, 3, 1, 2).copy())
        expected = theirs(images, torch.from_numpy(TINY.times() - 1)).sample.numpy()
    assert np.abs(got - expected).max() < 1e-4


@pytest.mark.peers
def test_what_is_installed_is_measured():
    pytest.importorskip("diffusers")
    with pytorch.threads(1):
        (step,) = net_cases.compare("step", TINY, 1, 1)
    absent = {note.partition(" was not measured")[0] for note in step.notes}
    assert EAGER[0] in step.values
    assert ("JAX" in step.values) != ("JAX" in absent)
