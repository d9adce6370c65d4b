"""The commands that need a trained net, each on a small checkpoint."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from ddpm_np.cli import main

SMALL = ["--set", "T=6", "--set", "beta_end=0.6", "--set", "model.channels=8", "--set", "model.groups=4", "--quiet"]


def trained(folder, *extra):
    """Train for a few steps and return the run's folder."""
    arguments = ["train", "--steps", "3", "--batch-size", "8", *SMALL, *extra, "--out", str(folder)]
    assert main(arguments) == 0
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("run"))


@pytest.mark.parametrize("method", [
    ["--sampler", "ddim", "--steps", "3", "--eta", "0.5"], ["--sampler", "langevin", "--steps", "2"],
    ["--steps", "4", "--spacing", "quadratic", "--variance", "small"], ["--progressive"],
])
def test_sample_with_every_sampler(run, tmp_path, method):
    out = tmp_path / "s.npz"
    assert main(["sample", str(run), "-n", "3", *method, "--quiet", "--out", str(out)]) == 0
    with np.load(out) as file:
        shape = file["images"].shape
        assert file["images"].dtype == np.uint8
    assert shape[0] == 3
    assert shape[-3:] == (8, 8, 1)
    assert (len(shape) == 5) == ("--progressive" in method)
    assert main(["sample", str(run), "-n", "3", *method, "--quiet", "--out", str(tmp_path / "s.png")]) == 0
    with Image.open(tmp_path / "s.png") as picture:
        assert picture.size[0] > 300


def test_a_labelled_net_is_sampled_by_label_and_guidance(tmp_path):
    run = trained(tmp_path / "run", "--set", "model.num_classes=11", "--set", "learning_rate=0.05", "--set", "warmup=1",
                  "--set", "ema=0.1")
    images = {}
    for name, extra in (("any", []), ("three", ["--label", "3"]), ("guided", ["--label", "3", "--guidance", "2"])):
        out = tmp_path / f"{name}.npz"
        assert main(["sample", str(run), "-n", "2", *extra, "--quiet", "--out", str(out)]) == 0
        images[name] = np.load(out)["images"]
    assert not np.array_equal(images["any"], images["three"])
    assert not np.array_equal(images["guided"], images["three"])


@pytest.mark.parametrize("extra", [
    ["--set", "predicts=v", "--set", "schedule=jsd"], ["--set", "predicts=x0", "--set", "schedule=cosine"],
    ["--set", "predicts=mean"], ["--set", "objective=bound"],
    ["--set", "variance=learned_range", "--set", "model.out_channels=2", "--set", "objective=hybrid"],
    ["--set", "variance=learned", "--set", "model.out_channels=2", "--set", "objective=bound"],
], ids=lambda extra: " ".join(extra[1::2]))
def test_every_kind_of_net_is_trained_sampled_and_evaluated(tmp_path, extra, capsys):
    run = trained(tmp_path / "run", *extra)
    assert main(["sample", str(run), "-n", "2", "--quiet", "--out", str(tmp_path / "s.png")]) == 0
    assert main(["evaluate", str(run), "--images", "3", "--quiet"]) == 0
    found = json.loads((run / "evaluation.json").read_text())["bits"]
    assert np.isfinite([*found["unclipped"]["terms"], *found["clipped"]["rate"]]).all()
    assert "bits per dimension of 3 images of digits train" in capsys.readouterr().out


@pytest.mark.parametrize(("values", "words"), [
    (["variance=learned"], "needs out_channels 2, got 1"),
    (["model.out_channels=2"], "needs out_channels 1, got 2"),
    (["objective=hybrid"], "variance 'small' is not trained by the objective 'hybrid': choose simple or bound"),
    (["variance=learned", "model.out_channels=2"], "not trained by the objective 'simple': choose hybrid or bound"),
    (["predicts=noise"], "predicts must be"),
    (["schedule=jds"], "schedule must be"),
    (["model.num_classes=10"], "--set model.num_classes=11"),
])
def test_incompatible_settings_are_refused(tmp_path, capsys, values, words):
    sets = [part for value in values for part in ("--set", value)]
    assert main(["train", *SMALL, *sets, "--out", str(tmp_path / "run")]) == 2
    err = capsys.readouterr().err
    assert words in err
    assert err.count("\n") == 1


def test_evaluate_then_plot(run, capsys):
    assert main(["plot", "bound", str(run)]) == 2
    assert "run ddpm-np evaluate" in capsys.readouterr().err
    assert main(["evaluate", str(run), "--images", "5", "--batch-size", "2", "--quiet"]) == 0
    out = capsys.readouterr().out
    assert "x̂₀ not clipped" in out
    assert "L_T" in out
    for what in ("bound", "rate-distortion"):
        assert main(["plot", what, str(run)]) == 0
        assert (run / f"{what}.png").stat().st_size > 5000


def test_samples_are_compared_with_the_data(run, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("DDPM_NP_DATA", str(tmp_path))
    out = tmp_path / "e.json"
    assert main(["evaluate", str(run), "--what", "samples", "-n", "30", "--quiet", "--json", str(out)]) == 0
    said = capsys.readouterr().out
    figures = json.loads(out.read_text())["samples"]["figures"]
    assert {figure["name"] for figure in figures} == {"FID", "KID", "precision", "recall", "IS"}
    for figure in figures:
        assert figure["samples"] == figure["references"] == 30
        assert figure["reference"] == "digits train"
        assert figure["weights"] == "ema"
        assert figure["features"] in said
    assert json.loads(out.read_text())["samples"]["drawn"] == "ddpm, 6 of 6 steps, seed 0"
    assert main(["evaluate", str(run), "--what", "floor", "--json", str(out)]) == 2
    assert "has no test images" in capsys.readouterr().err
    drawn = tmp_path / "drawn.npz"
    assert main(["sample", str(run), "-n", "30", "--quiet", "--out", str(drawn)]) == 0
    assert main(["evaluate", str(run), "--what", "samples", "--samples", str(drawn), "--json", str(out)]) == 0
    again = json.loads(out.read_text())["samples"]
    assert again["drawn"] == "drawn.npz"
    assert abs(again["figures"][0]["value"] - figures[0]["value"]) < 0.1 * figures[0]["value"]


@pytest.mark.parametrize("what", ["progressive", "latents", "interpolation", "neighbours"])
def test_the_papers_figures(run, tmp_path, what):
    out = tmp_path / "deep" / f"{what}.png"
    assert main(["plot", what, str(run), "--quiet", "--steps", "4", "--out", str(out)]) == 0
    with Image.open(out) as picture:
        assert min(picture.size) > 200
        assert len(set(picture.convert("L").tobytes())) > 20


@pytest.mark.parametrize(("arguments", "words"), [
    (["plot", "latents"], "needs a run's folder"),
    (["plot", "interpolation", "{run}", "--images", "0", "1797"], "has the images 0 to 1796, got 1797"),
    (["plot", "progressive", "{run}", "--steps", "7"], "from 1 to T = 6, got 7"),
    (["sample", "{run}", "--sampler", "ddim", "--eta", "2"], "eta must be from 0 to 1, got 2.0"),
    (["sample", "{run}", "--label", "1"], "trained without labels"),
    (["evaluate", "{run}", "--images", "0"], "images must be from 1 to 1,797, the size of 'digits', got 0"),
    (["evaluate", "{run}", "--split", "test"], "'digits' has no test images"),
    (["evaluate", "{run}/nothing"], "no checkpoint"),
])
def test_wrong_arguments_are_one_line(run, tmp_path, capsys, arguments, words):
    out = [] if arguments[0] == "evaluate" else ["--out", str(tmp_path / "x.png")]
    status = main([argument.format(run=run) for argument in arguments] + out + ["--quiet"])
    err = capsys.readouterr().err
    assert status == 2
    assert words in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("text", ['{"bits": ', "", "[1]", "\0\0\0"], ids=["cut", "empty", "list", "zeros"])
def test_a_damaged_evaluation_is_refused_by_its_name(run, text, tmp_path, capsys):
    damaged = tmp_path / "evaluation.json"
    damaged.write_text(text)
    assert main(["evaluate", str(run), "--images", "1", "--json", str(damaged), "--quiet"]) == 2
    assert f"{damaged} is damaged: delete it, and evaluate again" in capsys.readouterr().err
    assert damaged.read_text() == text
    assert main(["plot", "bound", str(tmp_path)]) == 2
    assert f"{damaged} is damaged" in capsys.readouterr().err
