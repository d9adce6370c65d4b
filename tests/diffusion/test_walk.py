"""The walk from `p_sample` to its arithmetic is short: what a reader has to open."""

from __future__ import annotations

import sys

import numpy as np

from ddpm_np.diffusion import Reverse, linear_schedule, p_sample


def test_p_sample_is_at_most_three_frames_from_its_arithmetic():
    """Down to (7) and to μ + σ·z, leaving out the look-up of coefficients, the checks of shapes and the net."""
    helpers = {"at", "rows", "_on_device", "same_shape", "split_output", "of", "plain", "__getattr__"}
    stack, found = [], {}

    def watch(frame, event, argument):
        name = frame.f_code.co_name
        if "ddpm_np/diffusion" not in frame.f_code.co_filename or name in helpers:
            return
        if event == "call":
            stack.append(name)
            found[name] = len(stack)
        elif event == "return":
            stack.pop()

    x, t = np.zeros((1, 2)), np.array([2])
    reverse = Reverse(linear_schedule(10), lambda x_t, t: 0 * x_t)
    sys.setprofile(watch)
    try:
        p_sample(reverse, x, t, x)
    finally:
        sys.setprofile(None)
    assert found["p_sample"] == 1
    assert found["p_mean_log_variance"] == found["add_noise"] == 2  # add_noise: μ + σ·z
    assert found["posterior_mean"] == found["log_variance"] == found["predict"] == 3  # (7), σ², the net
