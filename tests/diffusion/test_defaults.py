"""Defaults of options: one for each option everywhere, as the docstrings state."""

from __future__ import annotations

import inspect
import pkgutil
from dataclasses import FrozenInstanceError
from importlib import import_module

import numpy as np
import pytest

from ddpm_np import diffusion
from ddpm_np.diffusion import SCHEDULES, Mixture, Reverse, linear_schedule, named_schedule
from ddpm_np.diffusion.oracle.affine import entropy

DEFAULTS = {"variance": "small", "clip": False, "levels": 256, "predicts": "eps"}
OWN = {("hybrid_loss", "variance"): "learned_range"}
FUNCTIONS = [name for name in diffusion.__all__ if inspect.isfunction(getattr(diffusion, name))]
OF_REVERSE = {"predicts", "variance", "clip"}
WITHOUT_REVERSE = {  # objectives, as a Trainer calls them, and functions of one option alone
    "simple_loss": {"predicts"}, "target": {"predicts"}, "score_matching_loss": {"predicts"},
    "min_snr_weight": {"predicts"}, "p2_weight": {"predicts"},
    "bound_loss": {"predicts", "variance"}, "hybrid_loss": {"predicts", "variance"},
    "log_variance": {"variance"}, "log_variance_at": {"variance"}, "mismatch_constant": {"variance"},
    "eq12_weight": {"variance"}, "bound_weight": {"predicts", "variance"}, "optimal_variance": {"predicts"},
    "_gain": {"predicts"},
}
WITH_DEFAULTS = [name for name in [*FUNCTIONS, "Reverse"] if any(
    option in DEFAULTS and parameter.default is not parameter.empty
    for option, parameter in inspect.signature(getattr(diffusion, name)).parameters.items())]


@pytest.mark.parametrize("name", WITH_DEFAULTS)
def test_every_option_has_one_default(name):
    for option, parameter in inspect.signature(getattr(diffusion, name)).parameters.items():
        if option in DEFAULTS and parameter.default is not parameter.empty:
            assert parameter.default == OWN.get((name, option), DEFAULTS[option]), f"{name}({option}=…)"


def test_every_option_is_taken_by_several_functions():
    found = [option for name in FUNCTIONS for option in inspect.signature(getattr(diffusion, name)).parameters]
    assert all(found.count(option) >= 3 for option in DEFAULTS if option != "clip")
    assert set(inspect.signature(Reverse).parameters) == {"schedule", "model", *OF_REVERSE}


def test_no_sampler_repeats_an_option_of_the_reverse_process():
    """In all modules of `diffusion` but the oracles, whose `variance` is the data's."""
    found, takes_reverse = {}, set()
    for module in pkgutil.iter_modules(diffusion.__path__, "ddpm_np.diffusion."):
        functions = {} if module.ispkg else vars(import_module(module.name))
        for name, function in functions.items():
            if inspect.isfunction(function) and function.__module__ == module.name:
                parameters = set(inspect.signature(function).parameters)
                found |= {name: parameters & OF_REVERSE} if parameters & OF_REVERSE else {}
                takes_reverse |= {name} if "reverse" in parameters else set()
    assert found == WITHOUT_REVERSE
    assert takes_reverse >= {"p_sample", "ancestral", "draw", "ddim", "annealed_langevin", "inpaint", "vlb", "send"}
    assert not takes_reverse & set(found)


def test_reverse_has_these_defaults_and_is_frozen():
    schedule = linear_schedule(3)
    reverse = Reverse(schedule, np.sin)
    assert (reverse.schedule, reverse.model) == (schedule, np.sin)
    assert {option: getattr(reverse, option) for option in OF_REVERSE} == {o: DEFAULTS[o] for o in OF_REVERSE}
    with pytest.raises(FrozenInstanceError):
        reverse.clip = True
    with pytest.raises(ValueError, match="predicts must be one of 'eps', 'x0', 'mean', 'v', got 'noise'"):
        Reverse(schedule, np.sin, "noise")


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
