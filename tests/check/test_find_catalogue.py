"""The catalogue of mistakes in a class of the shape of OpenAI's, through `find`: found or a question, seldom passed."""

from __future__ import annotations

import os

import pytest

pytest.importorskip("torch", reason="PyTorch is not installed")

from mistakes import openai_shape as shape

from ddpm_np.check import FAIL, UNVERIFIED, run
from ddpm_np.check.find import find

pytestmark = pytest.mark.peers  # with PyTorch, where it is

EVERY = 1 if os.environ.get("DDPM_NP_FIND_ALL") else 10
QUESTIONS = {  # what `find` leaves UNVERIFIED with a question: it can be a choice, or its name leaves a doubt
    "__init__: betas reversed",
    "__init__: 1 − √ᾱ",
    "q_sample: x₀ not scaled",
    "p_mean_variance: clips to [0, 1] from below alone",
    "p_sample_loop: upwards",
    "training_losses: x₀ for the noise",
    "training_losses: the net sees x₀",
    "training_losses: the absolute value",
    "training_losses: half of it",
    "training_losses: the mean over the batch",
    "training_losses: fresh noise for x_t",
    "training_losses: t one later",
    "timestep_embedding: frequencies from 1000",
    "timestep_embedding: frequencies from 2",
    "timestep_embedding: sines alone",
    "timestep_embedding: no sign",
    "timestep_embedding: t of a thousand",
}


def sample(changes: list) -> list:
    return [pytest.param(change, id=str(change)) for change in changes[::EVERY]]


def verdicts(folder, text: str, equations) -> dict[str, str]:
    file = folder / "gaussian_diffusion.py"
    file.write_text(text, encoding="utf-8")
    return {result.equation: result.verdict for result in run(find(file), equations, examples=0).results}


@pytest.mark.parametrize("change", sample(shape.MISTAKES))
def test_a_mistake_is_found_or_asked_about(change, tmp_path):
    found = set(verdicts(tmp_path, shape.changed_shape(change), change.equations).values())
    assert (UNVERIFIED if str(change) in QUESTIONS else FAIL) in found
    assert str(change) not in QUESTIONS or FAIL not in found


@pytest.mark.parametrize("change", sample([*shape.EQUIVALENT, *shape.CONVENTIONS]))
def test_what_is_no_mistake_has_no_failure(change, tmp_path):
    equations = [equation for equation in change.equations if "=" not in equation]
    assert FAIL not in verdicts(tmp_path, shape.changed_shape(change), equations).values()
