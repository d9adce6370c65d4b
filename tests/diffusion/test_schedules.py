"""The named schedules, the spacings of fewer steps, and respacing."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import assert_close, betas, case, mp50, pythagorean, rows

from ddpm_np import Tensor, diffusion
from ddpm_np.diffusion import (
    PREDICTS,
    SCHEDULES,
    SPACINGS,
    Reverse,
    Schedule,
    jsd_schedule,
    linear_schedule,
    mean_from_eps,
    named_schedule,
    p_mean_variance,
    posterior_mean,
    predict_x0,
    prior_kl,
    q_sample,
    respace,
    sample_with,
    timesteps,
    velocity,
    vlb,
)

TS = (1, 2, 3, 9, 10, 11, 1000)


def line(start, end, n):
    """Return n numbers from start to end in equal steps; a single one is the start."""
    return [start + (end - start) * i / (n - 1) if n > 1 else start for i in range(n)]


def cosine(T):
    """Return f(t)/f(0) for t = 0..T in 50 digits, and its β before the clip."""
    f = [mp50.cos((mp50.mpf(t) / T + mp50.mpf("0.008")) / mp50.mpf("1.008") * mp50.pi / 2) ** 2 for t in range(T + 1)]
    return [v / f[0] for v in f], [1 - b / a for a, b in pairwise(f)]


def by_definition(name, T, a, b):
    """Return β₁..β_T as in Ho et al. (get_beta_schedule), Song et al. (sigmoid) and Nichol & Dhariwal (cosine)."""
    if name == "sigmoid":
        return [a + (b - a) / (1 + math.exp(-u)) for u in line(-6, 6, T)]
    if name == "cosine":
        return [float(min(v, mp50.mpf("0.999"))) for v in cosine(T)[1]]
    warm = T // {"warmup10": 10, "warmup50": 2}.get(name, T + 1)
    return {
        "linear": line(a, b, T), "quadratic": [r * r for r in line(a**0.5, b**0.5, T)], "constant": [b] * T,
        "jsd": [float(Fraction(1, T - t + 1)) for t in range(1, T + 1)],
    }.get(name, line(a, b, warm) + [b] * (T - warm))


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("T", TS)
def test_the_betas_of_every_name_are_those_of_its_definition(name, T):
    for got, ends in ((named_schedule(name, T), (1e-4, 0.02)), (named_schedule(name, T, 0.03, 0.2), (0.03, 0.2)),
                      (SCHEDULES[name](T, start=0.3, end=0.1), (0.3, 0.1))):
        assert got.T == T
        assert_close(got.beta[1:], np.array(by_definition(name, T, *ends)),
                     1e-12 if name == "cosine" else 1e-14)


def test_every_name_is_that_of_its_function():
    assert set(SCHEDULES) == {"linear", "quadratic", "sigmoid", "constant", "jsd", "warmup10", "warmup50", "cosine"}
    for name, function in SCHEDULES.items():
        assert function is getattr(diffusion, f"{name}_schedule")
    assert np.array_equal(named_schedule("linear", 1000).beta, linear_schedule(1000).beta)


def test_ends_of_the_sigmoid_schedule():
    """The way from β₁ to β_T is at σ(−6) = 0.25 % at t = 1 and at 99.75 % at T."""
    beta = named_schedule("sigmoid", 1000).beta
    place = (beta[[1, 1000]] - 1e-4) / (0.02 - 1e-4)
    assert_close(place, np.array([1 / (1 + math.exp(6)), 1 / (1 + math.exp(-6))]), 1e-13)
    assert (100 * place).round(2).tolist() == [0.25, 99.75]


@pytest.mark.parametrize("T", [1, 2, 10, 1000])
def test_the_cosine_schedule_in_fifty_digits(T):
    alpha_bar, free = cosine(T)
    schedule = named_schedule("cosine", T)
    assert_close(schedule.beta[1:T], np.array(free[:-1], float), 1e-12)  # as a difference, 4.6e-12
    assert_close(schedule.alpha_bar[:T], np.array(alpha_bar[:-1], float), 1e-12)
    assert (schedule.beta == 0.999).nonzero()[0].tolist() == [T]  # exactly one is clipped
    assert schedule.alpha_bar[1] < 1
    if T == 1000:
        assert f"{schedule.alpha_bar[T]:.3g}" == "2.43e-09"
        assert f"{schedule.beta[1]:.3g}" == "4.13e-05"


@pytest.mark.parametrize("name", SCHEDULES)
def test_invalid_numbers_of_steps_are_refused(name):
    for T in (0, -3):
        with pytest.raises(ValueError, match=f"T must be from 1 to 1,000,000, got {T}"):
            named_schedule(name, T)
    with pytest.raises(TypeError, match=r"T must be an int, got 10\.0"):
        named_schedule(name, 10.0)
    with pytest.raises(TypeError, match="T must be an int, got '10'"):
        named_schedule(name, "10")


@pytest.mark.parametrize(("name", "words"), [
    ("cosin", "no schedule is called 'cosin': did you mean 'cosine'"), ("Linear", "did you mean 'linear'"),
    ("quad", "did you mean 'quadratic'"), ("const", "did you mean 'constant'"),
    ("xyz", "there are linear, quadratic, sigmoid, constant, jsd, warmup10, warmup50, cosine"), (7, "is called 7: "),
])
def test_unknown_schedules_are_refused(name, words):
    with pytest.raises(ValueError, match=words):
        named_schedule(name, 10)


# β_T = 1, where x_T is noise


@pytest.mark.parametrize("T", TS)
def test_every_table_of_jsd_against_fractions(T):
    s, t = jsd_schedule(T), np.arange(1, T + 1)
    signal = [Fraction(T - i, T) for i in range(T + 1)]
    assert_close(s.alpha_bar, np.array(signal, float), 1e-13)
    assert_close(s.one_minus_alpha_bar, np.array([float(1 - v) for v in signal]), 1e-13)
    assert_close(s.alpha[1:], (T - t) / (T - t + 1), 1e-13)
    assert_close(s.beta_tilde[1:], (t - 1) / t / (T - t + 1), 1e-13)
    assert_close(s.posterior_x0[1:], np.sqrt(T / (T - t + 1)) / t, 1e-13)
    assert_close(s.posterior_xt[1:], np.sqrt((T - t) / (T - t + 1)) * (t - 1) / t, 1e-13)
    for name, table in vars(s).items():
        if isinstance(table, np.ndarray):
            assert np.isfinite(table[1:]).all(), name
    assert (s.alpha_bar[T], s.sqrt_alpha_bar[T], s.sqrt_alpha[T], s.one_minus_alpha_bar[T]) == (0, 0, 0, 1)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_jsd_ends_in_pure_noise(dtype):
    s, t = jsd_schedule(4), np.array([4, 4])
    x_0, noise = np.random.default_rng(0).standard_normal((2, 2, 3)).astype(dtype)
    assert np.array_equal(q_sample(s, x_0, t, noise), noise)
    assert np.array_equal(velocity(s, x_0, t, noise), -x_0)
    assert prior_kl(s, x_0).tolist() == [0, 0]
    assert np.array_equal(posterior_mean(s, x_0, noise, t), posterior_mean(s, x_0, 0 * noise, t))  # x_T tells nothing


@pytest.mark.parametrize("T", [1, 2, 5])
@pytest.mark.parametrize("predicts", ["x0", "v", "mean"])
def test_nets_sample_through_a_step_without_signal(T, predicts):
    """A net that knows x₀ samples it from any x_T, without a warning, which would be an error here."""
    s, rng = jsd_schedule(T), np.random.default_rng(1)
    x_0, x_T = rng.standard_normal((2, 3, 2))
    noises = rng.standard_normal((T + 1, 3, 2))

    def model(x, t):
        if predicts == "mean":
            return posterior_mean(s, x_0, x, t)
        if predicts == "x0":
            return x_0
        return velocity(s, x_0, t, diffusion.predict_eps(s, x, t, x_0))

    for variance in ("small", "large"):
        got = sample_with(Reverse(s, model, predicts, variance), x_T, noises)
        assert_close(got, x_0, 1e-13, scale=1.0)
    assert np.isfinite(vlb(Reverse(s, model, predicts), x_0, noises, levels=None)).all()


def test_an_eps_model_is_refused_where_there_is_no_signal():
    s, x = jsd_schedule(4), np.ones((2, 3))
    for call in (predict_x0, mean_from_eps,
                 lambda s, x, t, eps: sample_with(Reverse(s, lambda x, t: x), x, np.ones((5, 2, 3)))):
        with pytest.raises(ValueError, match=r"ᾱ_t = 0 at t = 4: x_t is noise.* use a net that predicts x0 or v") as e:
            call(s, x, np.array([1, 4]), x)
        assert "\n" not in str(e.value)
    for function in (predict_x0, mean_from_eps):
        assert np.isfinite(function(s, x, np.array([1, 3]), x)).all()


def test_an_underflowing_alpha_bar_is_refused_only_if_its_root_underflows_too():
    s, x = Schedule.from_betas([0.999] * 250), np.ones((2, 3))
    assert s.alpha_bar[150] == 0 < s.sqrt_alpha_bar[150]
    assert np.isfinite(predict_x0(s, x, np.array([1, 150]), 0 * x)).all()
    assert np.isfinite(mean_from_eps(s, x, np.array([1, 250]), x)).all()  # (11) needs √α_t alone
    with pytest.raises(ValueError, match="ᾱ_t = 0 at t = 249"):
        predict_x0(s, x, np.array([1, 249]), x)


# Fewer steps


def half_up(x):
    return math.floor(x + Fraction(1, 2))


def spaced(T, n, spacing):
    """Return the definition of each spacing, rising, in Fractions."""
    if spacing == "leading":
        return [1 + i * (T // n) for i in range(n)]
    if spacing == "trailing":
        return [half_up(Fraction(T * i, n)) for i in range(1, n + 1)]
    power = {"linspace": 1, "quadratic": 2}[spacing]
    places = [1 + (T - 1) * Fraction(i, n - 1) ** power for i in range(n)] if n > 1 else [T]
    return [max(half_up(p), i + 1) for i, p in enumerate(places)]


def check_steps(T, n, spacing):
    got = timesteps(T, n, spacing)
    tau = np.array(got)
    assert len(got) == n
    assert tau.dtype == np.int64
    assert tau.min() >= 1
    assert tau.max() <= T
    gaps = -np.diff(tau)
    assert (gaps > 0).all()
    if n == T:
        assert got == list(range(T, 0, -1))
    assert spacing == "leading" or got[0] == T
    assert spacing == "trailing" or (n == 1 and spacing != "leading") or got[-1] == 1
    if spacing in ("linspace", "trailing") and n > 1:
        assert gaps.max() - gaps.min() <= 1
    if spacing == "leading":
        assert set(gaps.tolist()) <= {T // n}
    return got


@pytest.mark.parametrize("spacing", SPACINGS)
def test_timesteps_of_every_number_for_T_up_to_40(spacing):
    for T in range(1, 41):
        for n in range(1, T + 1):
            assert check_steps(T, n, spacing)[::-1] == spaced(T, n, spacing), (T, n)


@pytest.mark.parametrize("spacing", SPACINGS)
def test_timesteps_of_every_number_for_T_1000(spacing):
    for n in range(1, 1001):
        check_steps(1000, n, spacing)


def test_the_default_spacing_is_trailing():
    assert timesteps(1000, 4) == timesteps(1000, 4, "trailing") == [1000, 750, 500, 250]


@pytest.mark.parametrize(("arguments", "words"), [
    *(((10, n), f"the number of steps must be from 1 to 10, got {n}") for n in (0, 11, -1)),
    ((10, 3, "uniform"), "spacing must be one of 'leading', 'trailing', 'linspace', 'quadratic', got 'uniform'"),
])
def test_invalid_spacings_are_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        timesteps(*arguments)


def respaced(schedule, steps):
    """The schedule of fewer steps."""
    return respace(Reverse(schedule, None), steps).schedule


@given(st.data(), pythagorean())
def test_respacing_keeps_the_marginals_in_fractions(data, c):
    """β'_i = 1 − ᾱ_τi/ᾱ_τ(i−1), and every table of the new schedule is that of these β."""
    tau = sorted(data.draw(st.sets(st.integers(1, c.exact.T), min_size=1)))
    a = [c.exact.alpha_bar[t] for t in (0, *tau)]
    want = case([1 - here / before for before, here in pairwise(a)])
    got = respaced(c.schedule, data.draw(st.permutations(tau)))
    assert want.exact.alpha_bar == a
    assert len(tau) == got.T
    for name, table in vars(want.schedule).items():
        if isinstance(table, np.ndarray):
            assert_close(getattr(got, name)[1:], table[1:], 1e-13, 1.0 if "log" in name else None)


@given(st.data(), betas(200, 1e-12))
def test_respacing_keeps_the_marginals(data, beta):
    s = Schedule.from_betas(beta)
    tau = sorted(data.draw(st.sets(st.integers(1, s.T), min_size=1)))
    got = respaced(s, tau)
    for name in ("alpha_bar", "one_minus_alpha_bar", "sqrt_alpha_bar", "sqrt_one_minus_alpha_bar"):
        at = getattr(s, name)[[0, *tau]]
        lost = 1e-15 / (1 - got.beta.max())  # what a β near 1 keeps of α
        assert_close(getattr(got, name), at, 1e-13 + lost, at)


def test_respacing_to_all_steps_changes_nothing():
    for s in (*(named_schedule(name, 50) for name in SCHEDULES), Schedule.from_betas([0.999] * 20 + [1e-4] * 20)):
        assert_close(respaced(s, range(1, s.T + 1)).beta[1:], s.beta[1:], 1e-15)


def test_respacing_to_one_step_and_to_the_last_of_jsd():
    s = linear_schedule(1000)
    assert_close(respaced(s, [1000]).beta, np.array([0, 1 - s.alpha_bar[1000]]), 1e-14)
    assert_close(respaced(s, [1]).beta, s.beta[:2], 1e-15)
    got = respaced(jsd_schedule(10), [10, 5])
    assert_close(got.alpha_bar, np.array([1, 0.5, 0]), 1e-14)
    assert got.beta[2] == 1
    assert respaced(jsd_schedule(10), [10]).beta.tolist() == [0, 1]
    assert_close(respaced(jsd_schedule(10), [3, 8]).alpha_bar, np.array([1, 0.7, 0.2]), 1e-14)


def test_the_respaced_model_is_called_at_the_original_steps():
    calls, x = [], np.arange(8.0).reshape(4, 2)
    reverse = Reverse(linear_schedule(10), lambda x, t: calls.append((x, t)) or x + rows(t, x))
    got = respace(reverse, np.array([9, 2, 5])).model(x, np.array([3, 1, 1, 2]))
    assert calls[0][0] is x
    assert calls[0][1].dtype == np.int64
    assert calls[0][1].tolist() == [9, 2, 2, 5]
    assert np.array_equal(got, x + np.array([[9], [2], [2], [5]]))
    asked = []
    reverse = Reverse(linear_schedule(10), lambda x, t: asked.append(set(t.tolist())) or 0 * x)
    sample_with(respace(reverse, [9, 2, 5]), x, np.zeros((4, 4, 2)))
    assert asked == [{9}, {5}, {2}]


@pytest.mark.parametrize(("steps", "got"), [
    ([], "none"), ([0, 3], "0"), ([3, 11], "11"), ([5, 3, 5], "5 twice"), ([1.5, 3], "1.5"), (np.array([3, -2]), "-2"),
])
def test_invalid_respacings_are_refused(steps, got):
    with pytest.raises(ValueError, match=f"steps must be distinct ints from 1 to T = 10, got {got}$"):
        respaced(linear_schedule(10), steps)


@pytest.mark.parametrize("predicts", PREDICTS)
@pytest.mark.parametrize("variance", ["small", "large", "learned", "learned_range"])
@pytest.mark.parametrize("clip", [False, True])
def test_respacing_keeps_the_other_options(predicts, variance, clip):
    reverse = Reverse(linear_schedule(10), lambda x, t: x, predicts, variance, clip)
    got = respace(reverse, [9, 2, 5])
    assert (got.schedule.T, got.predicts, got.variance, got.clip) == (3, predicts, variance, clip)
    assert reverse.schedule.T == 10


def test_respacing_refuses_a_variance_table():
    """Its T + 1 rows belong to the old steps; respaced with another variance, the process takes a table for the new."""
    s, x = linear_schedule(10), np.ones((2, 3))
    for table in (s.beta, np.ones(11), Tensor(np.ones(11)), np.ones(4)):
        for steps in ([9, 2, 5], range(1, 11)):
            with pytest.raises(ValueError, match=r"^a variance given as a table of T \+ 1 = 11 numbers cannot be "
                               "respaced: respace with variance='small' or 'large', then replace it by a table for the "
                               "new steps$"):
                respace(Reverse(s, lambda x, t: 0 * x, variance=table), steps)
    fewer = replace(respace(Reverse(s, lambda x, t: 0 * x), [9, 2, 5]), variance=np.array([np.nan, 1.0, 4.0, 9.0]))
    _, sigma2, _ = p_mean_variance(fewer, x, np.array([3, 2]))
    assert_close(sigma2, np.array([[9.0], [4.0]]) * x, 1e-14)
