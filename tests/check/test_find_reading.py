"""A file is read for its definitions only, functions are only asked, and the configuration corrects what was found."""
# ruff: noqa: NPY002 - the legacy functions are those that are replaced

import json

import numpy as np
import pytest
from found_scripts import SCRIPTS

from ddpm_np.check import FAIL, UNVERIFIED, run
from ddpm_np.check.find import configuration, find
from ddpm_np.check.find.finding import files
from ddpm_np.check.find.randomness import Closed, Draws, OutOfNumbers, closed, handed
from ddpm_np.check.find.report import lines
from ddpm_np.check.find.source import Source
from ddpm_np.cli import main


def written(folder, text, name="script.py"):
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file


def test_only_definitions_are_run(tmp_path):
    file = written(tmp_path, """
import argparse, math
import tensorflow_of_another_name as tf
from plots_of_another_name import show as display
open("trained.txt", "w").write("x")
raise SystemExit(3)
T, ROOT = 10, math.sqrt(4)
model = train_for_days(T)
if __name__ == "__main__":
    T = 99
@tf.function
def half(x):
    return x / ROOT
class Net(tf.keras.Module):
    width = 3
""")
    source = Source(file)
    module = source.load()
    assert (module.T, module.half(3.0), module.Net.width) == (10, 1.5, 3)
    assert not hasattr(module, "model")
    assert not (tmp_path / "trained.txt").exists()
    assert {"tensorflow_of_another_name", "plots_of_another_name"} <= source.stubbed


def test_a_neighbour_is_read_in_the_same_way(tmp_path):
    written(tmp_path, "def root(x):\n    return x ** 0.5\nraise RuntimeError('it trains')\n", "helpers.py")
    module = Source(written(tmp_path, "from helpers import root, missing\n")).load()
    assert module.root(9) == 3


def test_a_folder_gives_the_files_that_speak_of_the_mathematics(tmp_path):
    written(tmp_path, SCRIPTS["functions"].text, "process.py")
    written(tmp_path, "def show(images):\n    return images\n", "plots.py")
    assert [file.name for file in files(tmp_path)] == ["process.py"]
    assert {"q_sample", "predict_x0"} <= set(find(tmp_path).taken)


def test_code_that_is_asked_cannot_write_or_connect(tmp_path):
    import socket

    with closed(), pytest.raises(Closed):
        (tmp_path / "a").write_text("x", encoding="utf-8")
    with socket.socket() as unconnected, closed(), pytest.raises(Closed):
        unconnected.connect(("127.0.0.1", 9))
    (tmp_path / "b").write_text("x", encoding="utf-8")


def test_functions_that_train_or_save_are_never_called(tmp_path):
    text = SCRIPTS["betas_given"].text + f"""
    def train(self, model, x_start, t):
        open({str(tmp_path / "called.txt")!r}, "w").write("x")
    def q_step(self, x, t, noise):
        np.save({str(tmp_path / "called.npy")!r}, x)
"""
    assert "q_sample" in find(written(tmp_path, text)).taken
    assert not list(tmp_path.glob("called*"))


def test_random_numbers_are_handed_over_in_order():
    first, second = np.ones((2, 1)), np.full((2, 1), 2.0)
    with handed(Draws([first, second], np.array([5, 6]))):
        assert (np.random.randn(2, 1) == first).all()
        assert (np.random.normal(1.0, 2.0, size=(2, 1)) == 5.0).all()
        assert np.random.randint(0, 9, size=2).tolist() == [5, 6]
        with pytest.raises(OutOfNumbers):
            np.random.standard_normal((2, 1))
    assert np.random.randn(3).shape == (3,)


def test_a_function_of_another_name_with_a_mistake_is_not_failed(tmp_path):
    """Nothing says that it is meant as q_sample: no verdict."""
    text = SCRIPTS["unusual_names"].text.replace("np.sqrt(1 - a) * rauschen", "(1 - a) * rauschen")
    finding = find(written(tmp_path, text))
    assert "q_sample" not in finding.taken
    assert run(finding, ["4"], examples=0)["4"].verdict == UNVERIFIED


CHOICES = {
    "a net that predicts x0": ("betas_given", "x0 = self.predict_start_from_noise(x, t, model(x, t))",
                               "x0 = model(x, t)"),
    "a sampler without noise": ("own_schedule", "np.random.standard_normal(x.shape) if i > 0 else 0", "0"),
    "fewer steps": ("own_schedule", "range(self.noise_steps)", "range(0, self.noise_steps, 2)"),
    "the absolute error": ("functions", "(e - model(x, t)) ** 2", "abs(e - model(x, t))"),
    "ends of its own": ("own_schedule", "beta_start=1e-4, beta_end=0.02", "beta_start=1e-3, beta_end=0.05"),
    "a process that keeps the signal": ("betas_given", "np.sqrt(a) * x_start + np.sqrt(1 - a) * noise",
                                        "x_start + np.sqrt((1 - a) / a) * noise"),
    "a straight line to the noise": ("betas_given", "np.sqrt(a) * x_start + np.sqrt(1 - a) * noise",
                                     "a * x_start + (1 - a) * noise"),
}


@pytest.mark.parametrize("what", CHOICES)
def test_another_choice_is_no_mistake(what, tmp_path):
    name, before, after = CHOICES[what]
    assert before in SCRIPTS[name].text
    report = run(find(written(tmp_path, SCRIPTS[name].text.replace(before, after))), examples=0)
    assert [result.equation for result in report.results if result.verdict == FAIL] == []


MIXED = "np.sqrt(a) * x_{0} + np.sqrt(1 - a) * noise"
LINEAR = "np.linspace(beta_start, beta_end, noise_steps)"
REWRITES = {
    "powers": ("betas_given", MIXED.format("start"), "a ** 0.5 * x_start + (1 - a) ** 0.5 * noise"),
    "the sum in another order": ("functions", MIXED.format("0"), "noise * (1 - a) ** 0.5 + x_0 * a ** 0.5"),
    "logarithms": ("dict_of_tables", "np.cumprod(1 - betas)", "np.exp(np.cumsum(np.log1p(-betas)))"),
    "one fraction": ("functions", "x_t / np.sqrt(a) - np.sqrt(1 / a - 1) * eps",
                     "(x_t - np.sqrt(1 - a) * eps) / np.sqrt(a)"),
    "other arguments first": ("from_one", "forward_diffusion(self, x0, t, eps)", "forward_diffusion(self, t, eps, x0)"),
    "single precision": ("own_schedule", LINEAR, LINEAR + ".astype(np.float32)"),
}


@pytest.mark.parametrize("what", REWRITES)
def test_a_rewrite_holds_as_well(what, tmp_path):
    name, before, after = REWRITES[what]
    assert before in SCRIPTS[name].text
    report = run(find(written(tmp_path, SCRIPTS[name].text.replace(before, after))), examples=0)
    assert [result.equation for result in report.results if result.verdict == FAIL] == []
    assert {r.equation for r in report.results if r.verdict != UNVERIFIED} >= set(SCRIPTS[name].holds)


def test_the_configuration_names_it(tmp_path):
    text = SCRIPTS["unusual_names"].text.replace("np.sqrt(1 - a) * rauschen", "(1 - a) * rauschen")
    file = written(tmp_path, text)
    answers = written(tmp_path, '[methods.q_sample]\nfunction = "Verrauscher.mische"\nindex_base = 0\n', "answers.toml")
    finding = find(file, configuration.read(answers))
    result = run(finding, ["4"], examples=0)["4"]
    assert (result.verdict, "a missing root" in result.hint) == (FAIL, True)


def test_a_function_can_be_left_out(tmp_path):
    file = written(tmp_path, SCRIPTS["betas_given"].text)
    answers = written(tmp_path, '[methods.q_sample]\nfunction = ""\n', "answers.toml")
    assert "q_sample" not in find(file, configuration.read(answers)).taken


def test_a_loop_that_is_asked_wrongly_is_a_question_and_no_mistake(tmp_path):
    text = SCRIPTS["own_schedule"].text.replace("def sample(self, model, n):", "def sample(self, model, n, prompts):")
    finding = find(written(tmp_path, text))
    assert "sample" not in finding.taken
    assert run(finding, ["1"], examples=0)["1"].verdict == UNVERIFIED


def test_what_was_found_is_written_and_read_again(tmp_path):
    file = written(tmp_path, SCRIPTS["scalar_t"].text)
    first = find(file)
    again = find(file, configuration.read(written(tmp_path, configuration.write(first), "ddpm-check.toml")))
    assert {name: taken.reading for name, taken in first.taken.items()} == {
        name: taken.reading for name, taken in again.taken.items()}
    assert first.conventions == again.conventions


@pytest.mark.parametrize(("text", "said"), [
    ("[methods.q_smaple]\nfunction = \"f\"\n", "q_smaple"),
    ("[methods.q_sample]\nname = \"f\"\n", "must be a table with a function"),
    ("[methods.q_sample]\nfunction = \"f\"\ntime = \"later\"\n", "time must be one of"),
    ("[conventions]\nunit = \"hartley\"\n", "unit must be one of"),
    ("[method]\n", "methods, arguments and conventions"),
    ("q_sample", "cannot be read"),
])
def test_a_wrong_configuration_gets_one_line(text, said, tmp_path):
    with pytest.raises(ValueError, match=said):
        configuration.read(written(tmp_path, text, "answers.toml"))


def test_the_report_says_what_was_taken_for_what(tmp_path):
    said = "\n".join(lines(find(written(tmp_path, SCRIPTS["own_schedule"].text))))
    assert "noise_images(x = x_0, t) -> q_sample; by its numbers; index base 0; images as (N, C, H, W)" in said
    assert "its schedule is replaced where it is made" in said


def test_the_command_checks_a_file(tmp_path, capsys):
    file = written(tmp_path, SCRIPTS["own_schedule"].text)
    report, answers = tmp_path / "report.json", tmp_path / "ddpm-check.toml"
    command = ["check", "--find", str(file), "--equation", "4", "--config", str(answers), "--json", str(report)]
    assert main(command) == 0
    assert "q_sample" in capsys.readouterr().out
    assert json.loads(report.read_text(encoding="utf-8"))["results"][0]["verdict"] == "CONVENTION"
    assert "Diffusion.noise_images" in answers.read_text(encoding="utf-8")
    assert main(command) == 0


@pytest.mark.parametrize(("more", "said"), [
    (["--find", "nothing.py"], "there is no file or folder"),
    (["--config", "a.toml"], "give --find too"),
    (["--find", "x.py", "--dtype", "float32"], "leave out"),
])
def test_a_wrong_command_gets_one_line(more, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["check", *more]) == 2
    assert said in capsys.readouterr().err


def test_nothing_found_is_said(tmp_path, capsys):
    assert main(["check", "--find", str(written(tmp_path, "x = 3\n"))]) == 2
    assert "nothing in" in capsys.readouterr().err
