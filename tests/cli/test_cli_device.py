"""The command line with ``--backend cupy``, on the strict fake of CuPy, beside the same commands with NumPy.

Float32 sums are added in another order on the device: losses and weights agree to about 1e-6, and images to a level.
"""

from __future__ import annotations

import json
import os
import shutil
import signal

import fake_cupy
import numpy as np
import pytest
from fake_cupy import counts
from PIL import Image

from ddpm_np import load
from ddpm_np.backend import of, to_host
from ddpm_np.cli import main
from ddpm_np.training.trainer import Trainer

pytestmark = pytest.mark.usefixtures("one_blas_thread")
BACKENDS = ("numpy", "cupy")
SMALL = ["--preset", "digits", "--batch-size", "16", "--set", "shards=1", "--set", "model.channels=8", "--set",
         "model.groups=4", "--set", "model.dropout=0.1", "--set", "T=4", "--set", "beta_end=0.6", "--set", "ema=0.5",
         "--set", "warmup=2", "--set", "log_every=1"]
LABELLED = ["--set", "model.num_classes=11", "--set", "learning_rate=0.01"]
WEIGHTS = 2e-5  # of weights after 3 steps of up to 1e-2; 1e-6 is met


@pytest.fixture(autouse=True)
def device():
    """A fresh fake, with a GPU's layouts; what is trained for all tests meets the awkward ones."""
    with fake_cupy.installed("plain") as module:
        yield module


def call(*arguments):
    """Run a command, which must succeed."""
    assert main([*map(str, arguments), "--debug"]) == 0


def weights(folder):
    """Return the weights of a run, the last and the average, by name."""
    loaded = load(folder)
    return {f"{kind} {name}": to_host(p.data) for kind, net in (("model", loaded.model), ("ema", loaded.ema.model))
            for name, p in net.named_parameters()}


def assert_same_weights(folder, other, tolerance=WEIGHTS):
    """Assert that two runs have the same weights to rounding."""
    expected, found = weights(other), weights(folder)
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert np.abs(found[name] - array).max() <= tolerance, name


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run of three steps on each backend: with labels, and without."""
    folder = tmp_path_factory.mktemp("runs")
    with fake_cupy.installed("awkward"):
        for backend in BACKENDS:
            for name, extra in (("labelled", LABELLED), ("plain", [])):
                call("train", *SMALL, *extra, "--steps", 3, "--backend", backend, "--quiet", "--out",
                     folder / name / backend)
    return folder


def records(folder):
    """Return the records of a run."""
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("name", ["labelled", "plain"])
def test_training_on_the_device_equals_training_on_the_host(runs, name):
    ours, theirs = records(runs / name / "cupy"), records(runs / name / "numpy")
    assert [r["step"] for r in ours] == [r["step"] for r in theirs] == [1, 2, 3]
    for record, expected in zip(ours, theirs, strict=True):
        for key in ("loss", "grad_norm", "learning_rate"):
            assert record[key] == pytest.approx(expected[key], rel=1e-4), key
    assert_same_weights(runs / name / "cupy", runs / name / "numpy")
    for picture in ("loss.png", "samples-000003.png"):
        assert (runs / name / "cupy" / picture).stat().st_size > 1000


@pytest.mark.parametrize(("first", "second"), [("cupy", "cupy"), ("cupy", "numpy"), ("numpy", "cupy")])
def test_a_run_is_resumed_on_either_backend(runs, tmp_path, first, second):
    """Where the backend changes, the run stays the same, to rounding; no --override is needed."""
    expected = tmp_path / "expected"
    call("train", *SMALL, "--steps", 5, "--backend", "numpy", "--quiet", "--out", expected)
    run = shutil.copytree(runs / "plain" / first, tmp_path / "run")
    call("train", "--resume", "--steps", 5, "--backend", second, "--quiet", "--out", run)
    assert [r["step"] for r in records(run)] == [1, 2, 3, 4, 5]
    assert_same_weights(run, expected)


def test_a_checkpoint_of_either_backend_opens_on_the_other(runs):
    for saved in BACKENDS:
        for opened in BACKENDS:
            loaded = load(runs / "plain" / saved, backend=opened)
            p = next(p for _, p in loaded.model.named_parameters())
            assert of(p.data).name == opened


def test_kernels_reference_and_fast_train_the_same(runs, tmp_path):
    call("train", *SMALL, "--steps", 3, "--backend", "cupy", "--kernels", "reference", "--quiet", "--out", tmp_path)
    assert_same_weights(tmp_path, runs / "plain" / "numpy")


@pytest.mark.parametrize("kernels", ["fast", "reference"])
def test_a_step_uploads_a_batch_and_copies_back_a_record(tmp_path, monkeypatch, kernels):
    """Nothing else, in whole runs of the command."""
    steps, step = [], Trainer.step

    def watched(self, *args):
        before = counts.uploads, counts.transfers, counts.hidden_uploads
        result = step(self, *args)
        steps.append(tuple(b - a for a, b in zip(before, (counts.uploads, counts.transfers, counts.hidden_uploads),
                                                 strict=True)))
        return result

    monkeypatch.setattr(Trainer, "step", watched)
    call("train", *SMALL, *LABELLED, "--steps", 4, "--backend", "cupy", "--kernels", kernels, "--quiet", "--out",
         tmp_path)
    assert steps[1:] == [(2, 0, 0)] * 3  # images and labels


def test_ctrl_c_saves_a_checkpoint_that_can_be_resumed(runs, tmp_path, monkeypatch, capsys, default_sigint):
    step = Trainer.step

    def interrupted(self, *args):
        result = step(self, *args)
        if self.steps == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return result

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", interrupted)
        assert main(["train", *SMALL, "--steps", "3", "--backend", "cupy", "--quiet", "--out", str(tmp_path)]) == 130
    assert "finishing the step and saving" in capsys.readouterr().err
    assert [path.name for path in tmp_path.glob("checkpoint-*")] == ["checkpoint-00000002.safetensors"]
    call("train", "--resume", "--steps", 3, "--backend", "cupy", "--quiet", "--out", tmp_path)
    assert_same_weights(tmp_path, runs / "plain" / "numpy")


def sampled(runs, tmp_path, name, *options):
    """Return the images that a run on each backend gives, and the device's counts."""
    found = []
    for backend in BACKENDS:
        counts.reset()
        out = tmp_path / f"{backend}.npz"
        call("sample", runs / name / "numpy", "-n", 3, *options, "--backend", backend, "--quiet", "--out", out)
        with np.load(out) as file:
            found.append(file["images"].astype(int))
    return (*found, counts)


@pytest.mark.parametrize("options", [
    (), ("--sampler", "ddim", "--steps", 3, "--eta", 0.5), ("--sampler", "ddim", "--steps", 3),
    ("--sampler", "langevin", "--steps", 2), ("--label", 3), ("--label", 3, "--guidance", 1.5),
    ("--kernels", "reference"), ("--weights", "model", "--variance", "small", "--no-clip"),
    ("--steps", 4, "--spacing", "quadratic"), ("--progressive",), ("--batch-size", 2),
], ids=lambda options: " ".join(map(str, options)) or "ddpm")
def test_samples_of_the_device_are_those_of_the_host(runs, tmp_path, options):
    expected, found, counted = sampled(runs, tmp_path, "labelled", *options)
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= 1
    assert np.mean(found != expected) < 0.01
    assert expected.std() > 10
    assert counted.hidden_uploads == 0
    assert counted.transfers <= (2 if "--batch-size" in options else 11 if "--progressive" in options else 1)


def test_pictures_of_samples(runs, tmp_path):
    for options in ((), ("--progressive",)):
        pictures = []
        for backend in BACKENDS:
            out = tmp_path / f"{backend}.png"
            call("sample", runs / "plain" / "cupy", "-n", 2, *options, "--backend", backend, "--quiet", "--out", out)
            with Image.open(out) as picture:
                pictures.append(np.asarray(picture).astype(int))
        assert np.abs(pictures[0] - pictures[1]).max() <= 1


def assert_near(found, expected, where=""):
    """Assert two JSON values equal, numbers to 1e-3 of the larger."""
    if isinstance(expected, dict):
        assert found.keys() == expected.keys(), where
        for key in expected:
            assert_near(found[key], expected[key], f"{where}/{key}")
    elif isinstance(expected, list):
        assert len(found) == len(expected), where
        for i, pair in enumerate(zip(found, expected, strict=True)):
            assert_near(*pair, f"{where}/{i}")
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, rel=1e-3, abs=1e-4), where
    elif not isinstance(expected, str):
        assert found == expected, where


@pytest.mark.parametrize("options", [("--images", 4, "--batch-size", 3), ("--what", "samples", "-n", 20)],
                         ids=["bits", "samples"])
def test_evaluations_of_the_device_are_those_of_the_host(runs, tmp_path, options):
    found = []
    for backend in BACKENDS:
        counts.reset()
        run = shutil.copytree(runs / "plain" / "numpy", tmp_path / backend)
        call("evaluate", run, *options, "--backend", backend, "--quiet")
        found.append(json.loads((run / "evaluation.json").read_text()))
    assert counts.hidden_uploads == 0
    assert_near(found[1], found[0])


def test_plots_of_the_device_are_those_of_the_host(runs, tmp_path):
    for what in ("progressive", "latents", "interpolation", "neighbours"):
        pictures = []
        for backend in BACKENDS:
            counts.reset()
            out = tmp_path / f"{what}-{backend}.png"
            call("plot", what, runs / "plain" / "numpy", "--backend", backend, "--quiet", "--out", out)
            with Image.open(out) as picture:
                pictures.append(np.asarray(picture.convert("L")).astype(int))
        assert np.abs(pictures[0] - pictures[1]).max() <= 2, what
        assert counts.hidden_uploads == 0, what


def test_plots_after_an_evaluation_on_the_device(runs, tmp_path):
    run = shutil.copytree(runs / "plain" / "cupy", tmp_path / "run")
    call("evaluate", run, "--images", 3, "--backend", "cupy", "--quiet")
    for what in ("bound", "rate-distortion", "loss"):
        call("plot", what, run, "--quiet")
        assert (run / f"{what}.png").stat().st_size > 1000


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_checker_verifies_the_equations_on_the_device(tmp_path, dtype):
    report = tmp_path / "report.json"
    call("check", "--examples", 0, "--backend", "cupy", "--dtype", dtype, "--json", report)
    verdicts = {r["equation"]: r["verdict"] for r in json.loads(report.read_text())["results"]}
    assert len(verdicts) > 50
    assert set(verdicts.values()) <= ({"PASS"} if dtype == "float64" else {"PASS", "PRECISION"})


def test_export_and_import_of_a_run_trained_on_the_device(runs, tmp_path):
    for backend in BACKENDS:
        call("export", runs / "plain" / backend, "--out", tmp_path / f"{backend}-folder")
        out = tmp_path / f"{backend}.npz"
        call("sample", tmp_path / f"{backend}-folder", "-n", 2, "--backend", "cupy", "--quiet", "--out", out)
    call("import", tmp_path / "cupy-folder", "--preset", "digits", "--set", "batch_size=16", "--out", tmp_path / "run")
    call("train", "--resume", "--steps", 2, "--backend", "cupy", "--quiet", "--out", tmp_path / "run")
    assert records(tmp_path / "run")[-1]["step"] == 2
    with np.load(tmp_path / "cupy.npz") as ours, np.load(tmp_path / "numpy.npz") as theirs:
        assert np.abs(ours["images"].astype(int) - theirs["images"].astype(int)).max() <= 1
