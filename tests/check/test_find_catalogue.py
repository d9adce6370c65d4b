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
NOT_SEEN = {"rows: in half precision"}  # nearer than 2e-3: its verdict is PRECISION


def sample(changes: list) -> list:
    return [pytest.param(change, id=str(change)) for change in changes[::EVERY]]


def verdicts(folder, text: str, equations) -> dict[str, str]:
    file = folder / "gaussian_diffusion.py"
    file.write_text(text, encoding="utf-8")
    return {result.equation: result.verdict for result in run(find(file), equations, examples=0).results}


@pytest.mark.parametrize("change", sample(shape.MISTAKES))
def test_a_mistake_is_found_or_asked_about(change, tmp_path):
    found = verdicts(tmp_path, shape.changed_shape(change), change.equations)
    if str(change) not in NOT_SEEN:
        assert FAIL in found.values() or UNVERIFIED in found.values()


@pytest.mark.parametrize("change", sample([*shape.EQUIVALENT, *shape.CONVENTIONS]))
def test_what_is_no_mistake_has_no_failure(change, tmp_path):
    equations = [equation for equation in change.equations if "=" not in equation]
    assert FAIL not in verdicts(tmp_path, shape.changed_shape(change), equations).values()
