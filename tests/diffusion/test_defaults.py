"""What functions do when they are not told otherwise: the same everywhere, and what their docstrings say."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

from ddpm_np import diffusion
from ddpm_np.diffusion import SCHEDULES, Mixture, linear_schedule, named_schedule
from ddpm_np.diffusion.oracle_affine import entropy

DEFAULTS = {"variance": "small", "clip": False, "levels": 256, "predicts": "eps"}
OWN = {("draw", "variance"): "large", ("draw", "clip"): True, ("hybrid_loss", "variance"): "learned_range"}
FUNCTIONS = [name for name in diffusion.__all__ if inspect.isfunction(getattr(diffusion, name))]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_option_has_one_default(name):
    for option, parameter in inspect.signature(getattr(diffusion, name)).parameters.items():
        if option in DEFAULTS and parameter.default is not parameter.empty:
            assert parameter.default == OWN.get((name, option), DEFAULTS[option]), f"{name}({option}=…)"


def test_every_option_is_taken_by_several_functions():
    found = [option for name in FUNCTIONS for option in inspect.signature(getattr(diffusion, name)).parameters]
    assert all(found.count(option) >= 3 for option in DEFAULTS)


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules_default_to_the_papers_endpoints(name):
    alone, by_name, given = SCHEDULES[name](7), named_schedule(name, 7), SCHEDULES[name](7, 1e-4, 0.02)
    np.testing.assert_array_equal(alone.beta, by_name.beta)
    np.testing.assert_array_equal(alone.beta, given.beta)


@pytest.mark.parametrize("weights", [[0.3, 0.3], [0.7, 0.7]])
def test_mixture_weights_must_sum_to_one(weights):
    with pytest.raises(ValueError, match="must sum to 1"):
        Mixture(linear_schedule(3), weights, np.zeros((2, 1)), [1.0, 1.0])


def test_entropy_of_degenerate_data_is_refused():
    with pytest.raises(ValueError, match="the entropy is −∞"):
        entropy(np.array([1.0, 0.0]))
    assert np.isfinite(entropy(np.array([1.0, 0.5]))).all()
