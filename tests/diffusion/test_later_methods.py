"""DPM-Solver-1, P2 weights, zero terminal SNR and EDM's coefficients: known numbers, limits, what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from ddpm_np.diffusion import (
    Reverse,
    Schedule,
    cosine_schedule,
    ddim_step,
    dpm_solver_1_step,
    edm_preconditioning,
    linear_schedule,
    min_snr_weight,
    p2_weight,
    zero_terminal_snr,
)

LINEAR = linear_schedule(1000)


def test_dpm_solver_1_is_ddim_over_many_steps_and_in_single_precision():
    reverse, x = Reverse(LINEAR, lambda x, t: np.tanh(x)), np.linspace(-3, 3, 12).reshape(4, 3)
    t, s = np.array([1000, 700, 20, 2]), np.array([900, 1, 19, 1])
    want = ddim_step(reverse, x, t, s)
    np.testing.assert_allclose(dpm_solver_1_step(reverse, x, t, s), want, rtol=1e-11)
    single = dpm_solver_1_step(reverse, x.astype(np.float32), t, s)
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, want, rtol=1e-5)


def test_dpm_solver_1_clips_as_its_reverse_process_does():
    clipped, x = Reverse(LINEAR, lambda x, t: -x, clip=True), np.full((1, 2), 3.0)
    np.testing.assert_allclose(dpm_solver_1_step(clipped, x, np.array([500]), np.array([400])),
                               ddim_step(clipped, x, np.array([500]), np.array([400])), rtol=1e-12)


@pytest.mark.parametrize(("t", "s", "words"), [(5, 5, "smaller t_prev"), (5, 6, "smaller t_prev"), (5, 0, "1"),
                                               (1001, 5, "1000")])
def test_dpm_solver_1_goes_down_to_a_step_with_noise(t, s, words):
    with pytest.raises(ValueError, match=words):
        dpm_solver_1_step(Reverse(LINEAR, lambda x, t: x), np.zeros((1, 1)), np.array([t]), np.array([s]))


def test_p2_weights_of_the_papers_schedule():
    t, x = np.array([1, 500, 1000]), np.zeros((3, 1))
    snr = LINEAR.alpha_bar[t] / LINEAR.one_minus_alpha_bar[t]
    np.testing.assert_allclose(p2_weight(LINEAR, t, x), 1 - LINEAR.alpha_bar[t], rtol=1e-12)  # k = γ = 1: 1/(1 + SNR)
    np.testing.assert_allclose(p2_weight(LINEAR, t, x, 1.0, 0.0), np.ones(3))
    np.testing.assert_allclose(p2_weight(LINEAR, t, x, 2.0, 0.5, "x0"), snr / np.sqrt(2 + snr), rtol=1e-12)
    assert (np.diff(p2_weight(LINEAR, t, x)) > 0).all()  # as min-SNR, it weighs noisy steps more
    assert (np.diff(min_snr_weight(LINEAR, t, x)) >= 0).all()


def test_p2_weights_refuse_a_prediction_without_a_weight():
    with pytest.raises(ValueError, match="predicts must be"):
        p2_weight(LINEAR, np.array([1]), np.zeros((1, 1)), predicts="mean")


@pytest.mark.parametrize("schedule", [LINEAR, cosine_schedule(50), Schedule.from_betas([0.1, 0.2])])
def test_a_rescaled_schedule_keeps_its_first_step_and_ends_without_signal(schedule):
    new = zero_terminal_snr(schedule)
    assert new.T == schedule.T
    assert new.beta[1] == schedule.beta[1]
    assert (new.beta[-1], new.alpha_bar[-1]) == (1, 0)
    assert (new.alpha_bar[2:] < schedule.alpha_bar[2:]).all()
    gain, rest = np.polyfit(schedule.sqrt_alpha_bar[1:], new.sqrt_alpha_bar[1:], 1)
    np.testing.assert_allclose(new.sqrt_alpha_bar[1:], gain * schedule.sqrt_alpha_bar[1:] + rest, atol=1e-12)


def test_rescaling_twice_changes_nothing_more():
    once = zero_terminal_snr(LINEAR)
    np.testing.assert_allclose(zero_terminal_snr(once).beta, once.beta, rtol=1e-11)


def test_a_schedule_of_one_step_cannot_be_rescaled():
    with pytest.raises(ValueError, match="T ≥ 2"):
        zero_terminal_snr(Schedule.from_betas([0.5]))


def test_edm_at_its_ends():
    """Without noise the network's part is 0; in pure noise its output is the image itself, scaled by σ_d."""
    near, far = (edm_preconditioning(np.array([sigma]), 0.5) for sigma in (1e-6, 1e6))
    np.testing.assert_allclose((near.skip[0], near.out[0], far.skip[0], far.out[0]), (1, 0, 0, 0.5), atol=1e-5)


def test_edm_makes_variances_one_on_drawn_data():
    rng, sigma = np.random.default_rng(0), 0.7
    x_0 = 0.5 * rng.standard_normal(200_000)
    noisy, c = x_0 + sigma * rng.standard_normal(200_000), edm_preconditioning(np.array(sigma))
    assert abs((c.into * noisy).var() - 1) < 0.02
    assert abs(((x_0 - c.skip * noisy) / c.out).var() - 1) < 0.02
