"""Every function of `diffusion` refuses what is no batch, no noise and no t in one line that is its own."""

from __future__ import annotations

import traceback

import numpy as np
import pytest
from diffusion_calls import CALLS, arrays, results

from ddpm_np.diffusion import linear_schedule

N, SCHEDULE = 3, linear_schedule(4, end=0.4)
RIGHT = arrays(np.random.default_rng(0), SCHEDULE.T, (N, 2, 2, 1), "float64")
T, X = RIGHT["t"], RIGHT["x"]
WRONG = {
    "t": [2, [1, 2, 3], T * 1.0, T > 2, T[:1], T[:, None], T * 0 - 1, T * 0 + SCHEDULE.T + 1, None],
    "x": [X.tolist(), None, X[:2], X[..., 0], np.array(1.0), X.astype(object), (255 * X).astype(np.uint8)],
    "noise": [X.tolist(), None, 0.5, X[:1], X[..., 0], X[:, :1]],
}
# Elementwise functions broadcast; the others take such an argument from the harness itself, which indexes it
ELEMENTWISE = {"kl", "log_normal", "decoder_log_likelihood"}
OF_THE_HARNESS = {"guided", "interpolate", "ddim_sigma", "ddim_step", "eq12_weight", "bound_weight", "optimal_variance",
                  "Mixture", "atoms", "dpm_solver_1_step", "edm_preconditioning"}


@pytest.mark.parametrize("argument", WRONG)
@pytest.mark.parametrize("name", sorted(set(CALLS) - ELEMENTWISE - OF_THE_HARNESS))
def test_a_wrong_array_is_refused_by_the_package_itself(name, argument):
    """Unless the call does not use it, and then its results are those of right arrays."""
    expected = [np.asarray(r).tobytes() for r in results(name, SCHEDULE, RIGHT)]
    for wrong in WRONG[argument]:
        error, got = outcome(name, {**RIGHT, argument: wrong})
        if error is not None:
            where = traceback.extract_tb(error.__traceback__)[-1]
            assert "raise" in (where.line or ""), f"{name}, {wrong!r}: {error!r} by {where}"
            assert "\n" not in str(error)
        elif argument != "x":  # images of another size or rank are as good where no other array has their shape
            assert [np.asarray(r).tobytes() for r in got] == expected, f"{name} took {wrong!r}"


def outcome(name, values):
    """The error of a call, or its results."""
    try:
        return None, results(name, SCHEDULE, values)
    except (TypeError, ValueError) as error:
        return error, None


@pytest.mark.parametrize("name", ["q_step", "predict_eps", "mean_from_eps", "eps_from_mean", "score_from_eps",
                                  "predict", "p_sample", "min_snr_weight", "p2_weight",
                                  "posterior_mean"])
def test_t_0_is_refused_where_an_equation_divides_by_its_noise(name):
    with pytest.raises(ValueError, match="t counts from 1 to T = 4, got values from 0 to 0"):
        results(name, SCHEDULE, {**RIGHT, "t": T * 0})


def test_arrays_of_another_library_are_refused_with_their_conversion():
    torch = pytest.importorskip("torch")
    for name in ("q_sample", "q_posterior", "predict", "ancestral", "ddim", "simple_loss", "prior_kl"):
        with pytest.raises(TypeError, match=r"got torch.Tensor: convert it with .detach\(\).cpu\(\).numpy\(\) first"):
            results(name, SCHEDULE, {**RIGHT, "x": torch.tensor(X)})
    for name in ("q_sample", "predict", "log_variance"):
        with pytest.raises(TypeError, match=r"got torch\.Tensor"):
            results(name, SCHEDULE, {**RIGHT, "t": torch.tensor(T)})
    with pytest.raises(TypeError, match=r"got torch\.Tensor"):
        results("q_sample", SCHEDULE, {**RIGHT, "noise": torch.tensor(X)})
