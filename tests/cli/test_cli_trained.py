"""The commands that need a trained net, each on a small checkpoint."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from ddpm_np.cli import main
from ddpm_np.data import open_dataset

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
    assert "bits per dimension of 3 images of digits (" in capsys.readouterr().out


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
        assert figure["reference"] == "digits"
        assert figure["weights"] == "ema"
        assert figure["features"] in said
    drawn = {"step": 3, "T": 6, "sampler": "ddpm", "steps": 6, "weights": "ema", "seed": 0}
    assert json.loads(out.read_text())["samples"]["drawn"] == drawn
    assert main(["evaluate", str(run), "--what", "floor", "--json", str(out)]) == 2
    assert "has no test images" in capsys.readouterr().err
    file = tmp_path / "drawn.npz"
    assert main(["sample", str(run), "-n", "30", "--quiet", "--out", str(file)]) == 0
    for kept in (file, tmp_path / "generated.npz"):  # drawn by sample, and by evaluate above: the same figures
        assert main(["evaluate", str(run), "--what", "samples", "--samples", str(kept), "--json", str(out)]) == 0
        again = json.loads(out.read_text())["samples"]
        assert again["drawn"] == drawn
        assert again["figures"] == figures


def images_without_labels(folder, n=40):
    """Write n of the digits without their labels, and return the file."""
    np.savez(folder / "plain.npz", images=open_dataset("digits").images[:n] * 15)
    return folder / "plain.npz"


def test_images_without_labels_are_compared_by_pixels(run, tmp_path, capsys):
    """No classifier can be trained on them: said, and the other figures are computed."""
    arguments = ["evaluate", str(run), "--what", "samples", "-n", "30", "--quiet", "--json", str(tmp_path / "e.json")]
    assert main([*arguments, "--dataset", str(images_without_labels(tmp_path))]) == 0
    assert "have no labels to train a classifier on: figures are by pixels alone" in capsys.readouterr().err
    figures = json.loads((tmp_path / "e.json").read_text())["samples"]["figures"]
    assert {(figure["name"], figure["features"]) for figure in figures} == {
        (name, "pixels") for name in ("FID", "KID", "precision", "recall")}
    assert {figure["reference"] for figure in figures} == {"plain.npz"}


def test_what_can_be_known_before_the_images_are_drawn_is_said_before(run, tmp_path, monkeypatch, capsys):
    def never(*args, **options):
        raise AssertionError("images were drawn")

    monkeypatch.setattr("ddpm_np.runs.sample.sample", never)
    arguments = ["evaluate", str(run), "--what", "samples", "--quiet", "--json", str(tmp_path / "e.json")]
    few = images_without_labels(tmp_path, n=19)
    large = tmp_path / "large.npz"
    np.savez(large, images=np.zeros((30, 16, 16), np.uint8))
    for options, said in ((["-n", "19"], "-n is 19: the figures need at least 20 images on each side"),
                          (["--dataset", str(few)], "'plain.npz' has 19: the figures need at least 20"),
                          (["--dataset", str(large)], "are (16, 16, 1), those of the net (8, 8, 1)"),
                          (["--steps", "7"], "from 1 to 6, got 7")):
        assert main([*arguments, *options]) == 2
        assert said in capsys.readouterr().err


def test_a_classifier_that_cannot_be_kept_is_used_all_the_same(run, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DDPM_NP_DATA", str(tmp_path / "file"))
    (tmp_path / "file").write_text("not a folder")
    arguments = ["evaluate", str(run), "--what", "samples", "-n", "30", "--quiet", "--json", str(tmp_path / "e.json")]
    assert main(arguments) == 0
    assert "the classifier cannot be kept for the next time" in capsys.readouterr().err
    figures = json.loads((tmp_path / "e.json").read_text())["samples"]["figures"]
    assert {figure["name"] for figure in figures} >= {"FID", "IS"}


def test_bits_do_not_depend_on_how_many_images_are_evaluated_at_a_time(run, tmp_path):
    """An image has its noise by its place among the chosen ones, in whatever batch it is."""
    results = []
    for size in ("1", "3", "100"):
        out = tmp_path / f"{size}.json"
        assert main(["evaluate", str(run), "--images", "7", "--batch-size", size, "--quiet", "--json", str(out)]) == 0
        results.append(json.loads(out.read_text()))
    assert results[0] == results[1] == results[2]


def test_images_of_unknown_origin_are_called_so(run, tmp_path, monkeypatch):
    monkeypatch.setenv("DDPM_NP_DATA", str(tmp_path))
    file, out = images_without_labels(tmp_path), tmp_path / "e.json"
    assert main(["evaluate", str(run), "--what", "samples", "--samples", str(file), "--json", str(out)]) == 0
    found = json.loads(out.read_text())["samples"]
    assert found["drawn"] == {}
    assert {figure["weights"] for figure in found["figures"]} == {"unknown"}


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
    (["plot", "progressive", "{run}", "--steps", "7"], "the number of steps must be from 1 to 6, got 7"),
    (["sample", "{run}", "--label", "1"], "trained without labels"),
    (["evaluate", "{run}", "--images", "1798"], "images must be from 1 to 1,797, got 1798: 'digits' has no more"),
    (["evaluate", "{run}", "--split", "test"], "'digits' has no test images of its own: leave --split out"),
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


# ------------------------------------------------------------------------------------- the trained net of the package

def test_the_net_of_the_package_is_drawn_from_by_its_name(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    few = ["--sampler", "ddim", "--steps", "4", "--quiet"]
    for extra in ([], ["--label", "3"], ["--label", "3", "--guidance", "2"]):
        assert main(["sample", "digits", "-n", "4", *extra, *few]) == 0
        assert "of training: samples.png" in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["samples.png"]


def test_files_about_the_net_of_the_package_have_its_name_in_the_working_folder(tmp_path, monkeypatch, capsys):
    """No folder digits is made, which would hide the net from then on, and nothing is written into the package."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DDPM_NP_DATA", str(tmp_path / "data"))
    assert main(["plot", "bound", "digits"]) == 2
    assert "digits-evaluation.json has no bits per dimension: run ddpm-np evaluate digits" in capsys.readouterr().err
    assert main(["evaluate", "digits", "--images", "1", "--quiet"]) == 0
    assert main(["evaluate", "digits", "--what", "samples", "-n", "20", "--steps", "3", "--quiet"]) == 0
    assert main(["plot", "bound", "digits"]) == 0
    assert main(["plot", "progressive", "digits", "--steps", "3", "--quiet"]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {
        "digits-evaluation.json", "digits-generated.npz", "digits-bound.png", "digits-progressive.png", "data"}
    assert main(["plot", "latents", "nothing", "--quiet"]) == 2
    assert not (tmp_path / "nothing").exists()


@pytest.mark.parametrize("arguments", [["sample"], ["evaluate", "--images", "1"], ["export", "--out", "new"]])
def test_last_weights_of_a_net_that_has_one_set_are_refused(tmp_path, monkeypatch, capsys, arguments):
    monkeypatch.chdir(tmp_path)
    assert main([*arguments, "digits", "--weights", "model"]) == 2
    assert "--weights model has no effect with digits, which has one set of weights" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_the_net_of_the_package_is_exported_imported_and_listed(tmp_path, capsys):
    assert main(["export", "digits", "--out", str(tmp_path / "theirs")]) == 0
    assert main(["import", "digits", "--out", str(tmp_path / "ours"), "--set", "steps=5"]) == 0
    assert "train it with: ddpm-np train --resume" in capsys.readouterr().out
    assert main(["import", str(tmp_path / "theirs"), "--out", str(tmp_path / "again")]) == 2
    assert "a net with labels and without an unconditional class" in capsys.readouterr().err
    assert main(["info"]) == 0
    assert "digits: 8×8, labels 0 to 9, 702,753 parameters" in capsys.readouterr().out
