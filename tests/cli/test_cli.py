"""The command line as a person meets it: files, messages, exit statuses."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ddpm_np import load, sample
from ddpm_np.cli import main
from ddpm_np.cli.parser import COMMANDS, build_parser
from ddpm_np.data import to_levels
from ddpm_np.runs.checkpoint import CheckpointError


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of a run of four steps, with a space and another alphabet in its name."""
    folder = tmp_path_factory.mktemp("runs") / "a run 숫자"
    assert main(["train", "--steps", "4", "--batch-size", "8", "--out", str(folder)]) == 0
    return folder


def test_train_writes_metrics_pictures_and_a_checkpoint(run):
    records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert records[-1]["step"] == 4
    assert set(records[-1]) == {"step", "loss", "grad_norm", "learning_rate", "images_per_second"}
    assert 0.1 < records[-1]["loss"] < 3
    for name in ("loss.png", "samples-000004.png", "checkpoint-00000004.safetensors"):
        assert (run / name).stat().st_size > 1000, name
    with Image.open(run / "samples-000004.png") as picture:
        assert picture.mode == "L"
        assert min(picture.size) > 500


def test_the_same_command_gives_the_same_files(run, tmp_path):
    main(["train", "--steps", "4", "--batch-size", "8", "--out", str(tmp_path), "--workers", "1"])
    for name in ("checkpoint-00000004.safetensors", "samples-000004.png"):
        assert (tmp_path / name).read_bytes() == (run / name).read_bytes(), name


def test_another_seed_gives_another_run(run, tmp_path):
    main(["train", "--steps", "1", "--batch-size", "8", "--seed", "1", "--out", str(tmp_path)])
    ours, other = load(run).model.state_dict(), load(tmp_path).model.state_dict()
    assert not np.array_equal(ours["conv_in.weight"], other["conv_in.weight"])


def test_sample_as_numbers_and_in_any_batch(run, tmp_path):
    out = tmp_path / "deep" / "s.npz"
    assert main(["sample", str(run), "-n", "5", "--batch-size", "3", "--out", str(out)]) == 0
    with np.load(out) as file:
        images = file["images"]
    assert images.shape == (5, 8, 8, 1)
    assert images.dtype == np.uint8
    whole = sample(load(run), 5)
    assert np.array_equal(images, to_levels(whole))
    assert np.array_equal(sample(load(run), 2, first=3, workers=1), whole[3:])
    assert not np.array_equal(sample(load(run), 5, weights="model"), whole)
    assert not np.array_equal(sample(load(run), 5, variance="large"), whole)


@pytest.mark.parametrize("what", ["schedule", "forward", "loss"])
def test_plots(run, tmp_path, what):
    out = tmp_path / f"{what}.png"
    assert main(["plot", what, *([str(run)] if what == "loss" else []), "--out", str(out)]) == 0
    with Image.open(out) as picture:
        assert len(picture.convert("RGB").getcolors(1 << 24)) > 20  # something is drawn on it


def test_info(capsys):
    assert main(["info"]) == 0
    out = capsys.readouterr().out
    for word in ("numpy", "openblas", "cifar10", "digits", "backend cupy"):
        assert word in out


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_examples(command, capsys):
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert stop.value.code == 0
    assert f"ddpm-np {command}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["train", "--preset", "digts"], "did you mean 'digits'?"),
        (["train", "--dataset", "digit"], "--dataset digit needs a --preset"),
        (["train", "--dataset", "digit", "--preset", "digits"], "did you mean 'digits'?"),
        (["train", "--dataset", "folder:{file}", "--preset", "digits"], "there is no folder"),
        (["train", "--dataset", "mnist", "--data-dir", "{file}"], "there is no folder"),
        (["train", "--preset", "cifar10", "--dataset", "digits"], "choose the preset that goes with the data set"),
        (["train", "--out", "{file}/run"], "Not a directory"),
        (["sample", "{file}"], "is not a whole safetensors file"),
        (["sample", "{file}-that-is-not"], "no checkpoint at"),
        (["sample", "{run}", "--eta", "1"], "--eta has no effect with --sampler ddpm: leave it out"),
        (["sample", "{run}", "--sampler", "ddim", "--variance", "small"],
         "--variance has no effect with --sampler ddim"),
        (["sample", "{run}", "--guidance", "2"], "--guidance has no effect with no --label"),
        (["sample", "{run}", "--spacing", "leading"], "--spacing has no effect with no --steps"),
        (["evaluate", "{run}", "-n", "50"], "-n has no effect with --what bits"),
        (["evaluate", "{run}", "--what", "floor", "--steps", "2"], "--steps has no effect with --what floor"),
        (["evaluate", "{run}", "--what", "samples", "--samples", "{file}", "--sampler", "ddim"],
         "--sampler has no effect with --samples, whose images are drawn already"),
        (["sample", "{run}", "--out", "s.gif"], "--out must end in .png or .npz, got s.gif"),
        (["plot", "loss"], "plot loss needs a run's folder"),
        (["plot", "loss", "{file}-that-is-not"], "no checkpoint at"),
        (["sample", "digts"], "no checkpoint at digts: did you mean digits?"),
        (["evaluate", "digts"], "no checkpoint at digts: did you mean digits?"),
        (["plot", "latents", "digts"], "no checkpoint at digts: did you mean digits?"),
        (["export", "digts", "--out", "{file}-new"], "no checkpoint at digts: did you mean digits?"),
        (["import", "digts", "--out", "{file}-new"], "no checkpoint at digts: did you mean digits?"),
        (["train", "--resume", "--out", "{file}-that-is-not"], "no checkpoint in"),
        (["sample", "digits", "--label", "10"], "labels must be from 0 to 9"),
        (["plot", "loss", "digits"], "no record of training at digits-metrics.jsonl"),
    ],
)
def test_bad_input_is_one_line_and_status_2(arguments, said, run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "a file"
    file.write_text("no run")
    status = main([a.format(file=file, run=run) for a in arguments])
    err = capsys.readouterr().err
    assert status == 2
    assert err.startswith("ddpm-np: error: ")
    assert err.count("\n") == 1
    assert said in err


def options_with_numbers():
    """Yield (command, option, type) for every option that takes a number."""
    commands = next(action for action in build_parser()._actions if action.dest == "command")
    for name, parser in commands.choices.items():
        for action in parser._actions:
            has_number = isinstance(action.default, (int, float)) or action.type not in (None, Path)
            if has_number and action.nargs != 0:
                yield name, parser, action


def test_every_number_of_every_command_has_a_range(capsys):
    """An option that is out of range, or no number, is refused in one line before anything is opened."""
    wrong = {"count": ("0", "-1", "1.5", "x", "9007199254740993"), "index": ("-1", "1e3", ""),
             "fraction": ("1.5", "nan"), "seed": ("-1", "18446744073709551616", "0.5"),
             "positive": ("0", "-1", "inf"), "finite": ("nan", "inf", "x")}
    tried = 0
    for command, parser, action in options_with_numbers():
        assert action.type.__module__ == "ddpm_np.cli.options", (command, action.option_strings)
        for value in wrong[action.type.__name__]:
            with pytest.raises(SystemExit) as stop:
                parser.parse_args([f"{action.option_strings[-1]}={value}"] if action.nargs is None
                                  else [action.option_strings[-1], value, value])
            said = capsys.readouterr().err
            assert stop.value.code == 2
            assert said.count("\n") == 1
            assert re.match(rf"ddpm-np: error: \S*{action.option_strings[-1]}\S* must be ", said), said
            tried += 1
    assert tried > 100


@pytest.mark.parametrize("arguments", [["trian"], [], ["train", "--step-count", "3"], ["train", "--backend", "torch"]])
def test_a_misspelt_command_line_is_one_line_and_status_2(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    err = capsys.readouterr().err
    assert stop.value.code == 2
    assert err.startswith("ddpm-np: error: ")
    assert err.count("\n") == 1


def test_debug_shows_the_traceback():
    with pytest.raises(ValueError, match="digts"):
        main(["train", "--preset", "digts", "--debug"])


@pytest.mark.parametrize("damage", ["cut", "flip", "foreign"])
def test_a_damaged_checkpoint_is_refused(run, tmp_path, damage):
    content = bytearray((run / "checkpoint-00000004.safetensors").read_bytes())
    if damage == "cut":
        content = content[:-1000]
    elif damage == "flip":
        content[-5] ^= 4
    else:
        from safetensors.numpy import save

        content = save({"model/x": np.zeros(3)}, {"format": "pt"})
    path = tmp_path / "damaged.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointError):
        load(path)


@pytest.mark.skipif(os.name == "nt", reason="signals of another kind")
@pytest.mark.usefixtures("default_sigint")
def test_ctrl_c_finishes_the_step_and_saves(tmp_path):
    arguments = ["train", "--steps", "100000", "--batch-size", "4", "--out", tmp_path / "r"]
    command = [sys.executable, "-m", "ddpm_np", *arguments]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 60
        while not (tmp_path / "r" / "metrics.jsonl").exists() or not (tmp_path / "r" / "metrics.jsonl").read_text():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert "Traceback" not in err
    steps = load(tmp_path / "r").step
    assert f"{steps} steps in" in out.replace(",", "")
    last = json.loads((tmp_path / "r" / "metrics.jsonl").read_text().splitlines()[-1])
    assert last["step"] == steps


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("learning_rat=1", "did you mean 'learning_rate'?"),
        ("training.learning_rat=1", "did you mean 'learning_rate'?"),
        ("trainin.steps=1", "did you mean 'training'?"),
        ("steps=many", "training.steps must be int, got 'many'"),
        ("flip=1", "training.flip must be true or false, got 1"),
        ("channel_multipliers=[1, true]", "model.channel_multipliers must be a list of numbers"),
        ("channels=30", "30 channels do not divide into 8 groups"),
        ("save_every=0", "save_every must be at least 1, got 0"),
        ("warmup=-1", "warmup must be at least 0, got -1"),
        ("seed=18446744073709551616", "seed must be an int from 0 to 2**64 - 1"),
        ("ema=1.5", "ema must be from 0 to 1, got 1.5"),
        ("clip=0", "clip must be positive, got 0"),
        ("clip=none", "training.clip must be number, got 'none'"),
        ("T=0", "T must be from 1 to 1,000,000, got 0"),
        ("schedule=jsd", "--set predicts=v"),
        ("steps", "expected key=value, got 'steps'"),
        ("schedule=cosin", "schedule must be one of"),
    ],
)
def test_values_of_the_recipe_are_checked(value, said, tmp_path, capsys):
    assert main(["train", "--set", value, "--out", str(tmp_path / "run")]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_values_of_the_recipe_are_used_and_quiet_is_quiet(tmp_path, capsys):
    values = ["channels=8", "model.channel_multipliers=[1]", "attention_resolutions=[]", "T=7", "learning_rate=1"]
    sets = [word for value in values for word in ("--set", value)]
    assert main(["train", "--steps", "2", *sets, "--quiet", "--out", str(tmp_path)]) == 0
    assert capsys.readouterr().err == ""
    config = load(tmp_path).config
    assert (config.model.channels, config.model.channel_multipliers, config.diffusion.T) == (8, (1,), 7)
    assert config.training.learning_rate == 1
