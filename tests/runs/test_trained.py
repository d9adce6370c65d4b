"""The trained net in the package: what its file holds, that it draws what is asked for, and how its name is found."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from ddpm_np import load, sample, trained
from ddpm_np.backend import to_host
from ddpm_np.config import Config
from ddpm_np.data import digits
from ddpm_np.evaluate import train_classifier
from ddpm_np.models import UNet, UNetConfig
from ddpm_np.runs import Run, checkpoint, import_run, weights
from ddpm_np.runs.load import beside, located
from ddpm_np.sampling import Sampler

DIGITS = trained.path_of("digits")
FEW = Sampler("ddim", 10)


@pytest.fixture(scope="module")
def net():
    return load("digits")


def test_the_file_is_small_and_holds_half_precision_with_licence_credit_and_figures():
    kept = weights.read(DIGITS)
    assert DIGITS.stat().st_size <= 1_500_000
    assert {str(array.dtype) for array in kept.tensors.values()} == {"float16"}
    assert kept.licence.startswith("MIT")
    assert "CC BY 4.0" in kept.credit
    assert set(kept.figures["guided"]) == {"0", "1", "2", "4"}


def test_it_is_the_net_of_its_preset_with_ten_labels_and_an_unconditional_class(net):
    assert net.config == Config.preset("digits-labels").replace(steps=net.step)
    assert (net.no_label, net.config.model.num_classes, net.schedule.T) == (10, 11, 100)
    assert net.model is net.ema.model


def test_weights_are_those_of_the_file_widened():
    kept = weights.read(DIGITS)
    for dtype in ("float32", "float64"):
        opened = load("digits", dtype=dtype).model.state_dict()
        assert opened.keys() == kept.tensors.keys()
        for name, array in opened.items():
            assert str(array.dtype) == dtype
            np.testing.assert_array_equal(to_host(array), kept.tensors[name].astype(dtype))


def test_images_are_functions_of_seed_and_number_alone(net):
    labels = np.array([0, 3, 3, 9])
    whole = sample(net, 4, seed=5, sampler=FEW, labels=labels, guidance=2.0)
    assert whole.tobytes() == sample("digits", 4, seed=5, sampler=FEW, labels=labels, guidance=2.0, batch_size=3,
                                     workers=1).tobytes()
    assert whole[2:].tobytes() == sample(net, 2, seed=5, first=2, sampler=FEW, labels=labels[2:],
                                         guidance=2.0).tobytes()


def test_samples_are_of_the_label_that_was_asked_for(net):
    """Fixed seeds; guesses would be right for 5 of 50."""
    judge, labels = train_classifier(digits()), np.arange(50) % 10
    for strength, least in ((0.0, 45), (2.0, 48)):
        images = sample(net, 50, seed=3, sampler=FEW, labels=labels, guidance=strength)
        assert (judge.probabilities(images).argmax(1) == labels).sum() >= least


def test_a_changed_byte_is_refused(tmp_path):
    content = bytearray(DIGITS.read_bytes())
    content[-1000] ^= 1
    (tmp_path / "digits").write_bytes(content)
    with pytest.raises(checkpoint.CheckpointError, match="has changed since it was written"):
        load(tmp_path / "digits")


# ------------------------------------------------------------------------------------------------- names and paths

def test_a_path_comes_before_the_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert located("digits") == DIGITS
    weights.save("digits", kept())
    assert load("digits").step == 3
    assert str(beside("digits", "a.png")) == "a.png"


def test_a_path_is_no_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for path in ("./digits", tmp_path / "digits", "runs/digits"):
        with pytest.raises(FileNotFoundError, match="no checkpoint at"):
            load(path)


def test_a_folder_without_checkpoints_that_hides_the_name_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "digits").mkdir()
    with pytest.raises(FileNotFoundError, match="the folder digits holds no checkpoint, and hides the trained net"):
        load("digits")


@pytest.mark.parametrize(("given", "said"), [
    ("digts", "did you mean digits?"), ("./digitss", "did you mean digits?"), ("run/digits", "did you mean digits?"),
    ("runs/mien", "did you mean runs/mine?"), ("mine/best.safetensor", "did you mean mine/best.safetensors?"),
    ("flowers", "or a trained net of the package (digits)")])
def test_a_misspelt_name_or_path_gets_the_closest_one(tmp_path, monkeypatch, given, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "mine").mkdir(parents=True)
    (tmp_path / "runs" / "mine" / "checkpoint-00000001.safetensors").touch()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "best.safetensors").touch()
    with pytest.raises(FileNotFoundError) as error:
        load(given)
    assert f"no checkpoint at {given.removeprefix('./')}: " in str(error.value)
    assert said in str(error.value)


def test_a_copy_opens_under_any_name(tmp_path, net):
    shutil.copy(DIGITS, tmp_path / "mine.safetensors")
    assert load(tmp_path / "mine.safetensors").config == net.config


# ---------------------------------------------------------------------------------------------------- training on

def test_it_is_no_state_of_a_run(tmp_path, monkeypatch):
    """Without Adam's moments nothing can be resumed: both ways to try it end in the command that helps."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match="start a run from it with ddpm-np import digits --out DIR"):
        Run.resume("digits")
    shutil.copy(DIGITS, tmp_path / "checkpoint-00006000.safetensors")
    with pytest.raises(checkpoint.CheckpointError, match=r"averaged weights alone.* with ddpm-np import"):
        checkpoint.read("checkpoint-00006000.safetensors")
    said = []
    with pytest.raises(checkpoint.CheckpointError, match="none of the 1 checkpoints"):
        Run.resume(tmp_path, say=said.append)
    assert "averaged weights alone" in said[0]


def test_a_run_starts_from_its_weights_by_its_own_recipe(tmp_path, net):
    import_run("digits", tmp_path / "more", change=lambda config: config.replace(steps=50))
    with Run.resume(tmp_path / "more", workers=1, say=lambda line: None) as run:
        assert (run.step, run.config.training.learning_rate) == (0, net.config.training.learning_rate)
        assert run.config.model == net.config.model
        assert sample(run.net, 2, sampler=FEW, labels=4).tobytes() == sample(net, 2, sampler=FEW, labels=4).tobytes()
    with pytest.raises(ValueError, match="model and diffusion are fixed by digits"):
        import_run("digits", tmp_path / "other", change=lambda config: config.with_values(["T=50"]))


def test_a_run_starts_from_another_runs_average(tmp_path):
    config = Config.preset("digits").with_values(["T=4", "channels=8", "steps=2", "batch_size=8", "log_every=1",
                                                  "save_every=2", "sample_every=2", "ema=0.5"])
    with Run.start(config, tmp_path / "first", workers=1, say=lambda line: None) as first:
        list(first)
    import_run(tmp_path / "first", tmp_path / "second")
    saved = checkpoint.read(tmp_path / "second" / "checkpoint-00000000.safetensors")
    assert saved.config.training == config.training
    for which in ("model", "ema"):
        for name, array in saved.weights(which).items():
            np.testing.assert_array_equal(array, to_host(first.net.ema.model.state_dict()[name]))
    with Run.resume(tmp_path / "second", workers=1, say=lambda line: None) as second:
        assert [record.step for record in second] == [1, 2]


# ---------------------------------------------------------------------------------------------- files of weights

def kept(**figures):
    model = UNet(UNetConfig(8, 1, 4, (1,), 1, (), groups=2))
    return weights.Weights(Config(model.config), 3, weights.halved(model.state_dict()), "MIT", "nobody's data", figures)


def test_a_file_of_weights_comes_back_and_has_the_same_bytes_again(tmp_path):
    given = kept(share=0.5, errors=[1, 2])
    weights.save(tmp_path / "a", given)
    weights.save(tmp_path / "b", given)
    found = weights.read(tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert (found.config, found.step, found.licence, found.credit, found.figures) == (
        given.config, 3, "MIT", "nobody's data", {"share": 0.5, "errors": [1, 2]})
    assert {name: array.tobytes() for name, array in found.tensors.items()} == {
        name: array.tobytes() for name, array in given.tensors.items()}


def test_a_file_without_its_metadata_is_refused(tmp_path):
    weights.save(tmp_path / "a", kept())
    content = (tmp_path / "a").read_bytes()
    (tmp_path / "b").write_bytes(content.replace(b"ddpm_np weights 1", b"ddpm_np weights 9"))
    with pytest.raises(checkpoint.CheckpointError, match="its format is 'ddpm_np weights 9'"):
        weights.read(tmp_path / "b")
    with pytest.raises(checkpoint.CheckpointError, match="its format is 'ddpm_np weights 9'"):
        load(tmp_path / "b")


@pytest.mark.parametrize("value", [np.inf, np.nan, 65_520.0, -1e30])
def test_what_half_precision_cannot_hold_is_refused(value):
    with pytest.raises(ValueError, match="w has values beyond ±65,504 or not finite"):
        weights.halved({"w": np.array([1.0, value])})


def test_halved_is_the_nearest_half_precision_number():
    """Within half a unit in the last place: 2⁻¹¹ of the value, from the smallest normal number on."""
    x = np.random.default_rng(0).normal(size=1000).astype(np.float32)
    found = weights.halved({"w": x})["w"].astype(np.float64)
    assert (abs(found - x) <= 2.0**-11 * abs(x) + 2.0**-25).all()


def test_the_header_of_the_file_is_plain_json():
    content = DIGITS.read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    assert json.loads(header["__metadata__"]["config"])["training"]["dataset"] == "digits"
    assert len(header["__metadata__"]["sha256"]) == 64
