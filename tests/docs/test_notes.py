"""The five notes that the project started from: every number of docs/notes-checked.md is computed here.

A test of a finding returns its numbers as the page writes them, in bold and in order; the decorator compares the two.
What is right is computed with the package, what a note says by its own words in plain NumPy, SciPy or fractions.
Nothing here is random but a few trajectories on which identities hold whatever they are.
"""

from __future__ import annotations

import functools
import itertools
import math
import re
import warnings
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from scipy import linalg, stats
from strategies import assert_close, case, from_ks, root

import ddpm_np
from ddpm_np.autograd.tensor import Tensor
from ddpm_np.diffusion import (
    Schedule,
    linear_schedule,
    log_variance,
    mean_from_eps,
    p_mean_variance,
    p_sample,
    posterior_mean,
    predict_eps,
    predict_x0,
    q_posterior,
    q_sample,
    q_step,
    simple_loss,
)

PAGE = (Path(ddpm_np.__file__).parent.parent / "docs" / "notes-checked.md").read_text("utf-8")
VERDICTS = ("Right", "Harmless", "Imprecise", "Wrong")
LINEAR = linear_schedule(1000)  # the paper's
THIRDS = from_ks([Fraction(1, 3), Fraction(1, 2)])  # β = (9/25, 7/16), every root rational
NATS_TO_BITS = 1 / math.log(2)
BOLD = re.compile(r"\*\*(.+?)\*\*", re.DOTALL)


def findings():
    """{number: (verdict, text)} of the page: the items of its numbered lists."""
    body = re.sub(r"^#.*$", "\n", PAGE, flags=re.MULTILINE)
    items = re.findall(r"^(\d+)\. \*(\w+)\.\* (.*?)(?=\n\n|\n\d+\. |\Z)", body, re.MULTILINE | re.DOTALL)
    return {int(number): (verdict, " ".join(text.split())) for number, verdict, text in items}


FOUND = findings()
TESTED = []


def finding(*which):
    """Make a test of a function that returns the numbers of these findings, written as on the page."""
    def wrap(function):
        TESTED.extend(which)

        @functools.wraps(function)
        def test():
            written = [number for i in which for number in BOLD.findall(FOUND[i][1])]
            assert written == function(), f"finding {', '.join(map(str, which))}"
        return test
    return wrap


def show(x, digits=4):
    """A number with so many digits, as the page writes it: 2.018e-5, 0.006353, 1.4."""
    plain = f"{float(x):.{digits}g}"
    mantissa, _, exponent = f"{float(x):.{digits - 1}e}".partition("e")
    if float(plain) == 0 or 1e-3 <= abs(float(plain)) < 1e3:
        return plain
    return f"{mantissa.rstrip('0').rstrip('.') if '.' in mantissa else mantissa}e{int(exponent)}"


def at(t):
    return np.array([t])


def all_coefficients(function, schedule):
    """What `function(schedule, x, t, y)` multiplies x and y by at t = 1..T: (T, 2)."""
    t = np.arange(1, schedule.T + 1)
    one, zero = np.ones((schedule.T, 1)), np.zeros((schedule.T, 1))
    return np.concatenate([function(schedule, one, t, zero), function(schedule, zero, t, one)], axis=1)


def coefficients(function, schedule, t):
    """The two of `all_coefficients` at one t."""
    return all_coefficients(function, schedule)[t - 1]


def seven(schedule, x_0, t, x_t):
    """`posterior_mean` with t in the place where the others have it."""
    return posterior_mean(schedule, x_0, x_t, t)


# The page and its tests.

def test_every_finding_is_numbered_once_and_has_a_verdict():
    assert list(FOUND) == list(range(1, len(FOUND) + 1))
    assert len(re.findall(r"^\d+\. ", PAGE, re.MULTILINE)) == len(FOUND)
    assert {verdict for verdict, _ in FOUND.values()} == set(VERDICTS)


def test_every_bold_number_has_a_test_and_every_test_a_bold_number():
    bold = [number for number, (_, text) in FOUND.items() if BOLD.search(text)]
    assert sorted(TESTED) == bold
    assert sum(len(BOLD.findall(text)) for _, text in FOUND.values()) == len(BOLD.findall(PAGE))


def test_the_verdicts_are_counted_right():
    """The table at the top: how many findings of each verdict there are in each note."""
    rows = re.findall(r"^\| (\d{3}) \| (.*?) \|$", PAGE, re.MULTILINE)
    sections = re.split(r"^## Note (\d{3}).*$", PAGE, flags=re.MULTILINE)[1:]
    wanted = []
    for note, section in zip(sections[::2], sections[1::2], strict=True):
        said = re.findall(r"^\d+\. \*(\w+)\.\*", section, re.MULTILINE)
        wanted.append((note, " | ".join(str(said.count(verdict)) for verdict in VERDICTS)))
    assert rows == wanted
    assert [note for note, _ in wanted] == ["000", "001", "002", "003", "004"]


def test_numbers_that_are_not_computed_are_inputs_or_the_papers():
    """Outside bold type and code a number with a point or an exponent is an input, or a figure of the paper."""
    given = {"1e-4", "0.02", "0.5", "0.3", "0.1", "0.01", "1e-5"}
    papers = {"1.97", "3.75", "3.70"}
    for number, (_, text) in FOUND.items():
        plain = re.sub(r"`[^`]*`", "", BOLD.sub("", text))
        assert set(re.findall(r"\d+(?:\.\d+)?e-?\d+|\d+\.\d+", plain)) <= given | papers, number


def test_findings_that_are_referred_to_exist():
    references = re.findall(r"findings? ((?:\d+(?:, | and )?)+)", " ".join(PAGE.split()))
    assert references
    for number in itertools.chain.from_iterable(re.findall(r"\d+", reference) for reference in references):
        assert int(number) in FOUND


# Data where everything is known: N(m, s²), by closed form and by Gauss–Hermite sums that are exact for it.

NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(3)
WEIGHTS = WEIGHTS / WEIGHTS.sum()


def best_eps(schedule, m, s):
    """E[ε | x_t] for data N(m, s²): √(1 − ᾱ_t)·(x_t − √ᾱ_t·m)/v_t, v_t = ᾱ_t·s² + 1 − ᾱ_t."""
    def model(x, t):
        a = schedule.alpha_bar[t][:, None]
        return np.sqrt(1 - a) * (x - np.sqrt(a) * m) / (a * s**2 + 1 - a)
    return model


def bound_terms(schedule, model, m, s, variance):
    """L_T, L_{t−1} for t = 2..T and L₀ of (5) in nats, averaged over data N(m, s²), for an affine model.

    L₀ is −ln of the density of x₀, not of a bin. All three are quadratic in (x₀, ε), so 3×3 nodes are exact.
    """
    t = np.arange(1, schedule.T + 1)
    x_0, eps = (np.tile(v.ravel(), (schedule.T, 1)) for v in np.meshgrid(m + s * NODES, NODES))  # (T, 9)
    weights = np.outer(WEIGHTS, WEIGHTS).ravel()
    x_t = q_sample(schedule, x_0, t, eps)
    mean_p, variance_p, _ = p_mean_variance(schedule, model, x_t, t, variance=variance)
    mean_q, variance_q = q_posterior(schedule, x_0, x_t, t)
    later = slice(1, None)
    ratio = variance_q[later] / variance_p[later]
    distance = (mean_q - mean_p)[later] ** 2 / variance_p[later]
    kl = 0.5 * (ratio + distance - 1 - np.log(ratio)) @ weights  # (T−1,)
    decoder = -stats.norm.logpdf(x_0[0], mean_p[0], np.sqrt(variance_p[0])) @ weights
    a = schedule.alpha_bar[-1]
    return 0.5 * (a * (s**2 + m**2) - a - np.log1p(-a)), kl, decoder


def prior_kl(schedule, x_0_squared=1.0):
    """L_T in nats for a dimension whose square is, on average, `x_0_squared`."""
    a = schedule.alpha_bar[-1]
    return 0.5 * (a * x_0_squared - a - math.log1p(-a))


def end_of_chain(schedule, model, variance):
    """Mean and variance of x₀ after Algorithm 2 on standard normal noise, for an affine model: exactly."""
    t = np.arange(1, schedule.T + 1)
    one, zero = np.ones((schedule.T, 1)), np.zeros((schedule.T, 1))
    offset, moved, shaken = (p_sample(schedule, model, x, t, z, variance=variance)[:, 0]
                             for x, z in ((zero, zero), (one, zero), (zero, one)))  # (T,) each
    mean, square = 0.0, 1.0
    for b, a, z in zip(offset[::-1], moved[::-1], shaken[::-1], strict=True):
        mean, square = (a - b) * mean + b, (a - b) ** 2 * square + (z - b) ** 2
    return mean, square


NORMAL = best_eps(LINEAR, 0.0, 1.0)  # data N(0, 1)
NARROW = best_eps(LINEAR, 0.3, 0.5)  # data N(0.3, 0.5²)


# Note 000.

@finding(2)
def test_the_reverse_step_depends_on_the_data():
    """Var[x₁ | x₂] from the covariance of (x₁, x₂), for data N(m, 1) and for one point."""
    found = []
    for s in (1, 0):
        beta, a1 = LINEAR.beta[2], LINEAR.alpha_bar[1]
        v1 = a1 * s**2 + 1 - a1
        v2 = (1 - beta) * v1 + beta
        found.append(v1 - (1 - beta) * v1**2 / v2)
    assert_close(found, [LINEAR.beta[2], LINEAR.beta_tilde[2]], 1e-11)
    return [show(v) for v in found]


def reverse_of_two_points(beta):
    """q(x₁ | x₂) on a grid, by Bayes' rule on densities: x₀ = ±1, ᾱ₁ = 1/2, then one step of `beta`.

    Returns the excess kurtosis at x₂ = 0, and the divergence from the normal law of the same moments, mean over x₂.
    """
    x1, x2 = np.linspace(-6, 6, 1201), np.linspace(-5, 5, 201)[:, None]
    prior = sum(stats.norm.pdf(x1, sign * math.sqrt(0.5), math.sqrt(0.5)) for sign in (-1, 1)) / 2
    joint = prior * stats.norm.pdf(x2, math.sqrt(1 - beta) * x1, math.sqrt(beta))  # (x₂, x₁)
    step = x1[1] - x1[0]
    marginal = joint.sum(1) * step
    q = joint / marginal[:, None]
    mean = (q * x1).sum(1, keepdims=True) * step
    variance = (q * (x1 - mean) ** 2).sum(1, keepdims=True) * step
    kurtosis = (q[100] * (x1 - mean[100]) ** 4).sum() * step / variance[100, 0] ** 2 - 3
    log_ratio = np.log(np.maximum(q, 1e-300)) - stats.norm.logpdf(x1, mean, np.sqrt(variance))
    kl = (q * log_ratio).sum(1) * step
    # The package's posterior is the law for one x₀: two of them, as likely at x₂ = 0, have the same moments.
    s = Schedule.from_betas([0.5, beta])
    means, spread = q_posterior(s, np.array([[1.0, -1.0]]), np.zeros((1, 2)), at(2))
    assert_close(variance[100], spread[0, :1] + means[0, :1] ** 2, 1e-9)
    assert_close(kurtosis, -2 * means[0, 0] ** 4 / variance[100, 0] ** 2, 1e-6)
    return kurtosis, (marginal * kl).sum() / marginal.sum()


@finding(3)
def test_the_reverse_of_a_gaussian_step_is_gaussian_only_for_small_steps_or_gaussian_data():
    found = [reverse_of_two_points(beta) for beta in (0.02, 0.5)]
    return [show(v, 3) for kurtosis_and_kl in found for v in kurtosis_and_kl]


@finding(4)
def test_a_reverse_process_equal_to_q_leaves_only_the_mismatch_at_the_end():
    """σ_t² = Var[x_{t−1} | x_t] and the best mean: L = H(x₀) + KL(q(x_T) ‖ p(x_T)), equation (16)."""
    m, s, a = 0.3, 0.5, LINEAR.alpha_bar
    v = a * s**2 + 1 - a
    exact = np.array([1, *(v[:-1] * LINEAR.beta[1:] / v[1:])])
    L_T, kl, L_0 = bound_terms(LINEAR, NARROW, m, s, exact)
    gap = L_T + kl.sum() + L_0 - 0.5 * math.log(2 * math.pi * math.e * s**2)
    mismatch = 0.5 * (v[-1] + a[-1] * m**2 - 1 - math.log(v[-1]))
    assert_close(gap, mismatch, 1e-6)
    return [show(mismatch, 2)]


@finding(5, 6, 7)
def test_the_papers_steps_are_small_and_need_not_grow():
    assert_close(LINEAR.beta[1:], np.linspace(1e-4, 2e-2, 1000), 1e-15)
    constant = 1 - LINEAR.alpha_bar[-1] ** (1 / 1000)
    assert_close(Schedule.from_betas([constant] * 1000).alpha_bar[-1], LINEAR.alpha_bar[-1], 1e-12)
    with pytest.raises(SyntaxError):
        compile("n_times = 1000, beta_minmax=[1e-4, 2e-2]", "the first line as it stands", "exec")
    return [show(LINEAR.sqrt_alpha.min(), 3), show(constant), show(LINEAR.alpha_bar[-1])]


@finding(8)
def test_a_schedule_in_float32_loses_digits_at_the_start():
    beta = np.linspace(1e-4, 0.02, 1000).astype(np.float32)
    alpha_bar = np.cumprod(1 - beta)
    assert alpha_bar.dtype == np.float32
    error = np.abs((1 - alpha_bar) / LINEAR.one_minus_alpha_bar[1:] - 1)
    assert error.argmax() == 0
    assert coefficients(seven, LINEAR, 1).tolist() == [1, 0]
    return [show(error[0], 3), show(beta[0] / (1 - alpha_bar[0]), 5)]


@finding(9, 10)
def test_detach_copies_nothing_and_cuts_the_gradient():
    signal, noise = coefficients(q_sample, LINEAR, 500)
    exact = case(LINEAR.beta[1:]).exact.marginal(500)
    assert_close([signal, noise], [float(v) for v in exact], 1e-12)
    x_0 = Tensor(np.ones((1, 1)), requires_grad=True)
    q_sample(LINEAR, x_0, at(500), np.ones((1, 1))).backward(np.ones((1, 1)))
    assert_close(x_0.grad, np.array([[signal]]), 1e-15)
    return [show(signal), show(noise), show(x_0.grad[0, 0])]


@finding(11)
def test_a_density_is_not_a_sample():
    """x_{t−1} = 1, β = 9/25, ε = 1."""
    s, one = THIRDS.schedule, np.ones((1, 1))
    sample = q_step(s, one, at(1), one)[0, 0]
    return [show(sample), show(stats.norm.pdf(sample, 0.8, 0.6))]


# Note 001.

@finding(13)
def test_after_a_thousand_steps_a_little_of_the_image_is_left():
    L_T = prior_kl(LINEAR)
    variance = LINEAR.one_minus_alpha_bar[-1]
    assert_close(L_T, 0.5 * (LINEAR.alpha_bar[-1] + variance - 1 - math.log(variance)), 1e-10)
    return [show(LINEAR.sqrt_alpha_bar[-1]), show(L_T), show(L_T * NATS_TO_BITS)]


@finding(14, 38)
def test_noise_that_is_only_added_makes_the_variance_grow():
    """Unit variance, x_t = x_{t−1} + √β_t·z against equation (2)."""
    variance, kept = 1.0, 1.0
    for gain, noise in all_coefficients(q_step, LINEAR):
        variance, kept = variance + noise**2, gain**2 * kept + noise**2
    assert_close(kept, 1.0, 1e-12)
    assert_close(variance, 1 + LINEAR.beta.sum(), 1e-12)
    return [show(variance), show(1 + LINEAR.beta.sum()), show(round(kept, 12))]


@finding(16)
def test_a_step_without_the_square_root_on_its_gain():
    signal, variance = 1.0, 1.0
    for beta in LINEAR.beta[1:]:
        signal, variance = (1 - beta) * signal, (1 - beta) ** 2 * variance + beta
    assert_close(signal, LINEAR.alpha_bar[-1], 1e-12)
    return [show(signal), show(LINEAR.sqrt_alpha_bar[-1]), show(variance, 3)]


@finding(18)
def test_beta_is_a_variance():
    return [show(coefficients(q_step, LINEAR, t)[1]) for t in (1, 1000)]


# Note 002.

@finding(21)
def test_ten_memorised_images_have_the_greatest_inception_score():
    """exp E KL(p(y | x) ‖ p(y)) of one image a class, each classified without a doubt."""
    p = np.eye(10)
    marginal = p.mean(0)
    kl = [np.sum(row[row > 0] * np.log(row[row > 0] / marginal[row > 0])) for row in p]
    return [show(math.exp(np.mean(kl)))]


@finding(22)
def test_the_frechet_distance_sees_two_moments():
    """±1 against N(0, 1): equal means and variances; the true distance pairs ±1 with the two halves."""
    points = np.array([-1.0, 1.0])
    fid = (points.mean() - 0) ** 2 + points.var() + 1 - 2 * math.sqrt(points.var() * 1)
    z = np.linspace(0, 12, 240_001)
    true = 2 * np.trapezoid((z - 1) ** 2 * stats.norm.pdf(z), z)
    assert_close(true, 2 - 2 * math.sqrt(2 / math.pi), 1e-8)
    return [show(fid), show(true)]


@finding(23, 68, 71)
def test_a_bound_is_not_a_difference_of_distributions():
    """N(0, 1), σ_t² = β_t and the best mean: p_θ is q, and L is the entropy of the data."""
    L_T, kl, L_0 = bound_terms(LINEAR, NORMAL, 0.0, 1.0, np.array([1, *LINEAR.beta[1:]]))
    bound = L_T + kl.sum() + L_0
    assert_close(bound, 0.5 * math.log(2 * math.pi * math.e), 1e-11)
    mean, variance = end_of_chain(LINEAR, NORMAL, np.array([1, *LINEAR.beta[1:]]))
    assert abs(mean) < 1e-12
    assert_close(variance + LINEAR.beta[1], 1.0, 1e-8)  # with the noise of σ₁ that the last step leaves out: N(0, 1)
    expected = -bound
    return [show(bound, 5), show(bound, 5), show(expected, 5), show(L_0), show(bound, 5), show(L_T + kl.sum() - L_0)]


def eq12_weight(sigma2, t):
    """β_t²/(2σ_t²·α_t·(1 − ᾱ_t))."""
    return LINEAR.beta[t] ** 2 / (2 * sigma2 * LINEAR.alpha[t] * LINEAR.one_minus_alpha_bar[t])


@finding(24, 85)
def test_the_weights_that_l_simple_drops():
    """Against (μ̃ − μ_θ)²/2σ² for a prediction of ε that is 1 off, through (7) and (15)."""
    found = []
    for variance, t in itertools.product(("large", "small"), (2, 1000)):
        x_t = q_sample(LINEAR, np.full((1, 1), 0.4), at(t), np.full((1, 1), -0.7))
        mean, sigma2, _ = p_mean_variance(LINEAR, lambda x, t: 0 * x + 0.3, x_t, at(t), variance=variance)
        through_7 = (posterior_mean(LINEAR, np.full((1, 1), 0.4), x_t, at(t)) - mean) ** 2 / (2 * sigma2)
        weight = eq12_weight(sigma2[0, 0], t)
        assert_close(through_7[0, 0], weight, 1e-9)
        found.append(weight)
    return [show(found[0]), show(found[1]), show(found[2], 3), show(found[3], 3), show(found[2] / found[3], 3)]


def stationary_variance(gain, noise_variance):
    """Of x ← gain·x + noise, by repeating it."""
    variance = 1.0
    for _ in range(5000):
        variance = gain**2 * variance + noise_variance
    return variance


@finding(26, 27, 47)
def test_langevin_steps_with_and_without_the_length_of_the_step():
    """N(0, 1), ε = 0.1: the drift times ε, the drift alone, and the drift at the new point."""
    eps = 0.1
    right = stationary_variance(1 - eps / 2, eps)
    without = stationary_variance(1 - 1 / 2, eps)
    implicit = stationary_variance(1 / (1 + eps / 2), eps / (1 + eps / 2) ** 2)
    assert_close([right, without, implicit], [1 / (1 - eps / 4), eps / (1 - 1 / 4), 1 / (1 + eps / 4)], 1e-12)
    delta = 0.02
    after, kept = (1 - delta / 2) ** 2 + delta, sum(v**2 for v in coefficients(q_step, LINEAR, 1000))
    assert_close(kept, 1.0, 1e-15)
    return [show(right, 5), show(without), show(right, 5), show(implicit, 5), show(right, 5), show(after, 5)]


@finding(28)
def test_many_short_langevin_steps_may_be_a_short_way():
    variance = 0.0
    for _ in range(1000):
        variance = (1 - 1e-5 / 2) ** 2 * variance + 1e-5
    return [show(variance, 3)]


def relaxation_time(score, slope):
    """1/λ₁ of dx = ½·score·dt + dw: λ the spectrum of −½∂² + score²/8 + slope/4, which has the same eigenvalues."""
    x = np.linspace(-12, 12, 4001)
    h = x[1] - x[0]
    potential = score(x) ** 2 / 8 + slope(x) / 4
    values = linalg.eigvalsh_tridiagonal(1 / h**2 + potential, np.full(len(x) - 1, -0.5 / h**2), select="i",
                                         select_range=(0, 1))
    assert abs(values[0]) < 1e-4  # the stationary law
    return 1 / (values[1] - values[0])


@finding(30)
def test_langevin_dynamics_may_take_long_to_forget():
    """N(0, 1), and two normal laws at ±4, whose score is −x + 4·tanh(4x)."""
    one = relaxation_time(lambda x: -x, lambda x: -1 + 0 * x)
    two = relaxation_time(lambda x: -x + 4 * np.tanh(4 * x), lambda x: -1 + 16 / np.cosh(4 * x) ** 2)
    assert_close(one, 2.0, 1e-4)
    return [show(one, 3), show(two, 2)]


@finding(31)
def test_a_score_is_the_gradient_of_the_logarithm():
    """N(0, 1) at x = 1 by the complex step."""
    x = 1 + 1e-30j
    density = np.exp(-x * x / 2) / math.sqrt(2 * math.pi)
    eps = NORMAL(np.ones((1, 1)), at(500))
    score = -eps / LINEAR.sqrt_one_minus_alpha_bar[500]
    assert_close(score, -np.ones((1, 1)), 1e-9)  # data N(0, 1) stay N(0, 1)
    return [show(density.imag / 1e-30, 3), show(np.log(density).imag / 1e-30, 3)]


@finding(32, 36, 48)
def test_what_a_latent_variable_knows_of_the_image():
    """N(0, 1): I(x₀; x_t) = −½·log₂(1 − ᾱ_t), which is also what the terms of (5) from T down to t add up to."""
    L_T, kl, _ = bound_terms(LINEAR, NORMAL, 0.0, 1.0, np.array([1, *LINEAR.beta[1:]]))
    bits, errors = [], []
    for t in (1000, 500, 100, 1):
        bits.append(-0.5 * math.log(LINEAR.one_minus_alpha_bar[t]) * NATS_TO_BITS)
        assert_close((L_T + kl[t - 1:].sum()) * NATS_TO_BITS, bits[-1], 1e-9)
        x0_hat = predict_x0(LINEAR, np.ones((1, 1)), at(t), NORMAL(np.ones((1, 1)), at(t)))[0, 0]  # E[x₀ | x_t]/x_t
        errors.append(1 - x0_hat**2)
        assert_close(errors[-1], LINEAR.one_minus_alpha_bar[t], 1e-9)
    return [show(bits[0], 2), *(show(b, 3) for b in bits[1:]), *(show(e, 3) for e in errors[2:]), show(bits[0], 2)]


@finding(33)
def test_the_size_of_a_step_decides_whether_its_reverse_is_gaussian():
    """β that reach ᾱ_T = ᾱ₁₀₀₀ of the paper in 10 and in 1000 equal steps; and a step of 1/2 in any number of them."""
    betas = [1 - LINEAR.alpha_bar[-1] ** (1 / T) for T in (10, 1000)]
    for T, beta in zip((10, 1000), betas, strict=True):
        assert_close(Schedule.from_betas([beta] * T).alpha_bar[-1], LINEAR.alpha_bar[-1], 1e-11)
    return [*(show(b) for b in betas), *(show(reverse_of_two_points(b)[1], 2) for b in betas)]


# Note 003.

@finding(41)
def test_every_x_t_is_correlated_with_all_earlier_ones():
    """x_{t+1}, x_t, x_{t−1} of data N(0, 1): correlated, and not once x_t is known; x₁₀₀ and x₀ are correlated too."""
    gain = math.prod(all_coefficients(q_step, LINEAR)[:100, 0])
    assert_close(gain, LINEAR.sqrt_alpha_bar[100], 1e-12)
    a, b = LINEAR.sqrt_alpha[[100, 101]]
    covariance = np.array([[1, a, a * b], [a, 1, b], [a * b, b, 1]])
    given = covariance[0, 2] - covariance[0, 1] * covariance[1, 2] / covariance[1, 1]
    assert abs(given) < 1e-15
    return [show(abs(round(given, 12))), show(gain)]


@finding(43)
def test_two_noises_merge_where_they_are_independent():
    (g1, g2), (n1, n2) = map(root, THIRDS.exact.alpha[1:]), THIRDS.exact.beta[1:]
    assert THIRDS.exact.marginal(2) == (g1 * g2, Fraction(4, 5))
    assert g2**2 * n1 + n2 == 1 - (g1 * g2) ** 2
    same = float(g2) * math.sqrt(n1) + math.sqrt(n2)
    assert_close(coefficients(q_sample, THIRDS.schedule, 2), [0.6, 0.8], 1e-14)
    return [str(g1 * g2), str(Fraction(4, 5)), show(same)]


@finding(45)
def test_the_signal_vanishes_only_if_the_betas_sum_to_infinity():
    """β_t = 1/(t + 1)²: ᾱ_t = (t + 2)/(2t + 2), which never falls below 1/2."""
    alpha_bar = Fraction(1)
    for t in range(1, 1001):
        alpha_bar *= 1 - Fraction(1, (t + 1) ** 2)
        assert alpha_bar == Fraction(t + 2, 2 * t + 2)
    limit = Fraction(1, 2)
    return [show(prior_kl(LINEAR)), str(limit), show(math.sqrt(limit))]


# Note 004.

@finding(49)
def test_all_the_noise_can_be_injected_at_once():
    """T steps of (2) have the coefficients of one (4)."""
    signal, variance = 1.0, 0.0
    for gain, noise in all_coefficients(q_step, LINEAR):
        signal, variance = gain * signal, gain**2 * variance + noise**2
    assert_close([signal, math.sqrt(variance)], coefficients(q_sample, LINEAR, 1000), 1e-12)
    return ["1e-12"]


@finding(54, 55)
def test_the_ends_of_the_other_two_schedules():
    start, end = 1e-4, 0.02
    quad = np.linspace(start**0.5, end**0.5, 1000) ** 2
    sigmoid = 1 / (1 + np.exp(-np.linspace(-6, 6, 1000))) * (end - start) + start
    assert_close(quad[[0, -1]], [start, end], 1e-14)
    quad_, sigmoid_ = Schedule.from_betas(quad), Schedule.from_betas(sigmoid)
    return [show(quad_.alpha_bar[-1], 3), show(prior_kl(quad_), 3), show(prior_kl(quad_) / prior_kl(LINEAR), 3),
            show(sigmoid[0]), show(sigmoid[-1]), show(100 * (sigmoid[0] / start - 1), 2),
            show(sigmoid_.alpha_bar[-1], 3)]


@finding(59)
def test_uniform_noise_gives_another_end_of_the_chain():
    """ε uniform on [0, 1): mean 1/2, variance 1/12. The mean by the loop, the variance by both ways."""
    mean, variance = 0.0, 0.0
    centre, spread = stats.uniform.mean(), stats.uniform.var()
    for gain, noise in all_coefficients(q_step, LINEAR):
        mean, variance = gain * mean + noise * centre, gain**2 * variance + noise**2 * spread
    assert_close(variance, LINEAR.one_minus_alpha_bar[-1] / 12, 1e-12)
    after = np.sqrt(LINEAR.alpha_bar[-1] / LINEAR.alpha_bar[1:])  # what is left of the noise of each step
    assert_close(mean, np.sum(np.sqrt(LINEAR.beta[1:]) * after) / 2, 1e-12)
    return [str(Fraction(1, 2)), str(Fraction(1, 12)), show(mean), show(variance), show(math.sqrt(variance))]


def trajectory(x_0, n_steps, betas, noise):
    """The note's loop: a list that begins with the data, one entry more a step."""
    xs = [x_0]
    for n in range(n_steps):
        xs.append(math.sqrt(1 - betas[n]) * xs[-1] + math.sqrt(betas[n]) * noise)
    return xs


@finding(60)
def test_entry_0_of_the_trajectory_is_the_data():
    betas = LINEAR.beta[1:]
    data, noise = trajectory(1.0, 1000, betas, 0.0), trajectory(0.0, 1000, betas, 1.0)
    assert (data[0], noise[0]) == (1, 0)
    assert_close([data[1], noise[1]], coefficients(q_step, LINEAR, 1), 1e-15)
    assert_close(data, LINEAR.sqrt_alpha_bar, 1e-12)  # entry t is the paper's x_t
    return [str(len(data)), show(noise[0] ** 2), show(noise[1] ** 2)]


@finding(64)
def test_a_variance_taken_for_a_standard_deviation():
    """N(0, 1) and the exact ε: what the chain ends with if σ_t is β_t instead of √β_t."""
    beta = LINEAR.beta[1:]
    mean, variance = end_of_chain(LINEAR, NORMAL, np.array([1, *beta**2]))
    by_hand = 1.0
    for t in range(1000, 0, -1):
        by_hand = LINEAR.alpha[t] * by_hand + (LINEAR.beta[t] ** 2 if t > 1 else 0)
    assert_close([mean, variance], [0.0, by_hand], 1e-9, scale=1.0)
    return [show(math.sqrt(beta[-1]), 3), show(math.sqrt(beta[-1]) / beta[-1], 3), show(math.sqrt(variance), 2)]


def pieces(size, axis):
    """How many pieces of `size` an axis is cut into: the meaning of a whole number in torch.split."""
    return len(range(0, axis, size))


@finding(65)
def test_torch_split_takes_the_size_of_a_chunk():
    assert pieces(2, 4) == 2
    return [str(pieces(2, width)) for width in (4, 32)] + [str(pieces(2, 6))]


@finding(66)
def test_a_log_variance_taken_for_a_variance():
    log_var = float(log_variance(LINEAR, "small", at(2), np.zeros((1, 1)))[0, 0])
    with np.errstate(invalid="ignore"):
        assert np.isnan(np.sqrt(log_var))
    sigma = math.exp(0.5 * log_var)
    assert_close(sigma**2, LINEAR.beta_tilde[2], 1e-12)
    step = [p_sample(LINEAR, lambda x, t: 0 * x, np.zeros((1, 1)), at(2), np.full((1, 1), z)) for z in (0.0, 1.0)]
    assert_close(step[1] - step[0], np.full((1, 1), sigma), 1e-12)
    return [show(math.exp(log_var)), show(log_var), show(sigma, 3), show(-log_var / sigma, 3)]


def log_normal(x, mean, variance):
    """Sum over dimensions of the logarithm of a normal density."""
    return float(np.sum(stats.norm.logpdf(x, mean, np.sqrt(variance))))


def derivation(c, model, sigma2, x):
    """The nine lines of note 004 on one trajectory x (T+1, D): numbers, the last two of them as in its last two lines.

    Line 1 takes q(x_{1:T} | x₀) as one normal law with covariance (1 − ᾱ_s)·√(ᾱ_t/ᾱ_s), the others as steps.
    """
    s, T = c.schedule, c.exact.T
    a = [float(v) for v in c.exact.alpha_bar]

    def p(t):
        mean, variance, _ = p_mean_variance(s, model, x[[t]], at(t), variance=sigma2)
        return log_normal(x[t - 1], mean, variance)

    def step(t):
        return log_normal(x[t], math.sqrt(1 - s.beta[t]) * x[t - 1], s.beta[t])

    def marginal(t):
        return log_normal(x[t], math.sqrt(a[t]) * x[0], 1 - a[t])

    def posterior(t):
        return log_normal(x[t - 1], *q_posterior(s, x[[0]], x[[t]], at(t)))

    ts, prior = range(2, T + 1), log_normal(x[T], 0, 1)
    covariance = [[(1 - a[min(i, j)]) * math.sqrt(a[max(i, j)] / a[min(i, j)]) for j in range(1, T + 1)]
                  for i in range(1, T + 1)]
    joint = sum(stats.multivariate_normal.logpdf(x[1:, d], np.sqrt(a[1:]) * x[0, d], covariance)
                for d in range(x.shape[1]))
    first = step(1) - p(1)
    ratios = sum(posterior(t) - p(t) for t in ts)

    def kl(t):
        (mean, variance), (mean_p, variance_p, _) = (
            q_posterior(s, x[[0]], x[[t]], at(t)), p_mean_variance(s, model, x[[t]], at(t), variance=sigma2))
        terms = variance / variance_p + (mean - mean_p) ** 2 / variance_p - 1 - np.log(variance / variance_p)
        return 0.5 * float(np.sum(terms))

    return [
        joint - prior - sum(p(t) for t in range(1, T + 1)),
        math.log(math.prod(math.exp(step(t)) for t in range(1, T + 1)) / (
            math.exp(prior) * math.prod(math.exp(p(t)) for t in range(1, T + 1)))),
        -prior + sum(step(t) - p(t) for t in range(1, T + 1)),
        -prior + sum(step(t) - p(t) for t in ts) + first,
        -prior + sum(posterior(t) - p(t) + marginal(t) - marginal(t - 1) for t in ts) + first,
        -prior + ratios + sum(marginal(t) - marginal(t - 1) for t in ts) + first,
        -prior + ratios + marginal(T) - marginal(1) + first,
        marginal(T) - prior + ratios - p(1),
        0.5 * float(np.sum(a[T] * x[0] ** 2 - a[T] - math.log1p(-a[T]))) + sum(kl(t) for t in ts) - p(1),
    ]


@finding(69)
def test_every_line_of_the_derivation_of_the_bound():
    """Lines 1 to 8 agree on any trajectory whatever, for a model that is not linear; the last only on average."""
    rng = np.random.default_rng(0)
    for _ in range(5):
        c = case(rng.uniform(0.05, 0.9, 5))
        sigma2 = rng.uniform(0.2, 2, c.exact.T + 1)
        lines = derivation(c, lambda x, t: np.sin(x) + t[:, None] / 3, sigma2, rng.standard_normal((6, 2)))
        assert_close(lines[:8], np.full(8, lines[0]), 1e-11, scale=1 + abs(lines[0]))

    def model(x, t):
        return 0.3 * x + 0.1 * t[:, None]

    sigma2 = np.array([1, *THIRDS.schedule.beta[1:]])
    lines = derivation(THIRDS, model, sigma2, np.array([[1.0], [1.0], [1.0]]))
    average = np.zeros(9)
    for i, j, k in itertools.product(range(3), repeat=3):  # x₀ ~ N(0.3, 0.5²) and the noises of two steps
        x = np.full((3, 1), 0.3 + 0.5 * NODES[i])
        for t, z in ((1, NODES[j]), (2, NODES[k])):
            x[[t]] = q_step(THIRDS.schedule, x[[t - 1]], at(t), np.full((1, 1), z))
        average += WEIGHTS[i] * WEIGHTS[j] * WEIGHTS[k] * np.array(derivation(THIRDS, model, sigma2, x))
    assert_close(average, np.full(9, average[0]), 1e-12)
    L_T, kl, L_0 = bound_terms(THIRDS.schedule, model, 0.3, 0.5, sigma2)
    assert_close(L_T + kl.sum() + L_0, average[0], 1e-12)
    return ["1e-11", show(lines[7]), show(lines[8]), show(average[0])]


@finding(72)
def test_a_loss_without_data_is_zero_for_a_net_that_has_seen_none():
    """The input √ᾱ_t + √(1 − ᾱ_t)·ε is (4) at x₀ = 1: solved for ε, it scores 0; on data N(0.3, 0.5²) it does not."""
    t = np.arange(1, 1001)
    noise = np.tile(NODES, (1000, 1))  # (1000, 3)

    def solved(x, t):
        return predict_eps(LINEAR, x, t, np.ones_like(x))

    without = simple_loss(LINEAR, solved, np.ones_like(noise), t, noise)
    assert without.max() < 1e-20
    with_data, floor = (
        sum(w * v * simple_loss(LINEAR, model, np.full((1000, 1), 0.3 + 0.5 * z), t, np.full((1000, 1), e))
            for z, w in zip(NODES, WEIGHTS, strict=True) for e, v in zip(NODES, WEIGHTS, strict=True))
        for model in (solved, NARROW))  # (1000,) each; the losses are quadratic in x₀ and ε, so the sums are exact
    a = LINEAR.alpha_bar[1:]
    assert_close(floor, a * 0.25 / (a * 0.25 + 1 - a), 1e-9)
    assert_close(with_data, a / (1 - a) * (0.25 + 0.49), 1e-9)
    return [show(round(without.mean(), 12)), show(floor.mean()), show(with_data.mean(), 3)]


@finding(73)
def test_alpha_is_not_alpha_bar():
    s = LINEAR
    assert_close(coefficients(q_step, s, 1000)[0], s.sqrt_alpha[1000], 1e-15)
    assert_close(coefficients(q_sample, s, 1000)[0], s.sqrt_alpha_bar[1000], 1e-15)
    return [show(s.sqrt_alpha[1000], 3), show(s.sqrt_beta[1000], 3), show(s.sqrt_alpha_bar[1000])]


@finding(76)
def test_the_term_at_the_end_is_constant_but_not_always_small():
    """β from 1e-4 to 0.02 in 100 steps. L_T has no parameter of the net in either."""
    short = linear_schedule(100)
    assert_close(prior_kl(short), -0.5 * math.log(short.one_minus_alpha_bar[-1]), 1e-12)
    return [show(prior_kl(LINEAR)), show(short.sqrt_alpha_bar[-1], 3), show(prior_kl(short), 3)]


@finding(79)
def test_the_two_variances_of_the_paper():
    """Each is exact for one kind of data (N(0, 1), a point), and for N(0.3, 0.5²) neither."""
    ratio = LINEAR.beta_tilde[1:] / LINEAR.beta[1:]
    spread = []
    for variance in ("large", "small"):
        mean, square = end_of_chain(LINEAR, NARROW, variance)
        assert abs(mean - 0.3) < 1e-3
        spread.append(math.sqrt(square))
    assert LINEAR.beta_tilde[1] == 0
    return [show(ratio[1]), show(1 - ratio[999], 1), show(spread[0], 5), show(spread[1], 5), show(LINEAR.beta_tilde[1])]


@finding(80)
def test_the_posterior_in_fractions():
    """Two normal densities, x₁ given x₀ and x₂ given x₁, multiplied: precisions add."""
    b1, b2 = THIRDS.exact.beta[1:]
    first, gain = map(root, THIRDS.exact.alpha[1:])
    precision = gain**2 / b2 + 1 / b1
    want = (first / b1 / precision, gain / b2 / precision, 1 / precision)
    assert want == THIRDS.exact.posterior(2)
    got = (*coefficients(seven, THIRDS.schedule, 2), THIRDS.schedule.beta_tilde[2])
    assert_close(got, [float(v) for v in want], 1e-14)
    return [str(v) for v in want]


@finding(81, 82)
def test_equations_11_and_12_in_fractions():
    """x₀ = ε = 1 and ε_θ = 0 at t = 2, σ² = β̃₂: both forms of μ_θ, and both sides of (12)."""
    e = THIRDS.exact
    signal, noise = e.marginal(2)
    x_t = signal + noise
    gain = 1 / root(e.alpha[2])
    c0, ct, tilde = e.posterior(2)
    mu_theta = gain * x_t  # ε_θ = 0
    assert c0 * x_t / signal + ct * x_t == mu_theta
    mu_tilde = c0 + ct * x_t
    assert gain * (x_t - e.beta[2] / noise) == mu_tilde  # (10), with the true ε
    assert mu_tilde == c0 * (x_t - noise) / signal + ct * x_t  # (9)
    weight = e.beta[2] ** 2 / (2 * tilde * e.alpha[2] * (1 - e.alpha_bar[2]))
    assert weight == (mu_tilde - mu_theta) ** 2 / (2 * tilde)
    got = mean_from_eps(THIRDS.schedule, np.full((1, 1), 1.4), at(2), np.zeros((1, 1)))
    assert_close(got, np.full((1, 1), float(mu_theta)), 1e-14)
    return [str(mu_theta), str(weight)]


@finding(83)
def test_a_step_of_algorithm_2_as_the_note_writes_it():
    rng = np.random.default_rng(1)
    t = np.array([1, 2, 500, 1000])
    x, z = rng.standard_normal((2, 4, 3))
    alpha, a, sigma = (v[t][:, None] for v in (LINEAR.alpha, LINEAR.alpha_bar, np.sqrt(LINEAR.beta_tilde)))
    eps = np.tanh(x)
    want = (x - (1 - alpha) / np.sqrt(1 - a) * eps) / np.sqrt(alpha) + sigma * np.where(t > 1, 1, 0)[:, None] * z
    got = p_sample(LINEAR, lambda x, t: np.tanh(x), x, t, z)
    assert_close(got, want, 1e-11, scale=1 + abs(x))
    return ["1e-11"]


@finding(84)
def test_the_constant_of_equation_8():
    """KL(q ‖ p) at t = 2 with equal means: ½·(ln σ²/β̃ + β̃/σ² − 1)."""
    found = []
    for variance in ("large", "small"):
        def true(x, t):
            return predict_eps(LINEAR, x, t, np.full_like(x, 0.4))

        x_t = np.full((1, 1), 0.9)
        mean_p, variance_p, _ = p_mean_variance(LINEAR, true, x_t, at(2), variance=variance)
        mean_q, variance_q = q_posterior(LINEAR, np.full((1, 1), 0.4), x_t, at(2))
        assert_close(mean_p, mean_q, 1e-12)
        grid = mean_q + np.sqrt(variance_q) * np.linspace(-9, 9, 2001)
        log_q = stats.norm.logpdf(grid, mean_q, np.sqrt(variance_q))
        log_p = stats.norm.logpdf(grid, mean_p, np.sqrt(variance_p))
        kl = np.trapezoid(np.exp(log_q) * (log_q - log_p), grid)[0]
        ratio = float(variance_q[0, 0] / variance_p[0, 0])
        assert abs(kl - 0.5 * (ratio - 1 - math.log(ratio))) < 1e-12
        found.append(kl)
    return [show(found[0]), show(abs(round(found[1], 12)))]


@finding(86)
def test_the_loss_of_algorithm_1_as_the_note_writes_it():
    rng = np.random.default_rng(2)
    t = np.array([1, 2, 500, 1000])
    x_0, noise = rng.standard_normal((2, 4, 3))
    a = LINEAR.alpha_bar[t][:, None]
    want = np.linalg.norm(noise - np.tanh(np.sqrt(a) * x_0 + np.sqrt(1 - a) * noise), axis=1) ** 2
    assert_close(3 * simple_loss(LINEAR, lambda x, t: np.tanh(x), x_0, t, noise), want, 1e-12)
    return ["1e-12"]


@pytest.mark.peers
def test_findings_about_pytorch_itself():
    """Findings 8, 10, 55, 59 and 65, with the calls that the notes make."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'ddpm_np[peers]'")
        x = torch.zeros(2, 6, 32, 32)
        assert x.detach().data_ptr() == x.data_ptr()
        assert x.clone().data_ptr() != x.data_ptr()
        draws = torch.rand_like(torch.zeros(1000))
        assert draws.min() >= 0
        assert draws.max() < 1
        assert [len(torch.split(torch.zeros(1, 6, 8, w), 2, dim=-1)) for w in (4, 32, 6)] == [2, 16, 3]
        assert [p.shape[1] for p in torch.chunk(x, 2, dim=1)] == [3, 3]
        betas = torch.linspace(1e-4, 0.02, 1000)
        assert betas.dtype == torch.float32
        left = 1 - torch.cumprod(1 - betas, 0)
        assert show(float(left[0]) / 1e-4 - 1, 3).lstrip("-") == BOLD.findall(FOUND[8][1])[0]
        sigmoid = torch.sigmoid(torch.linspace(-6, 6, 1000)) * (0.02 - 1e-4) + 1e-4
        assert [show(float(sigmoid[i])) for i in (0, -1)] == BOLD.findall(FOUND[55][1])[:2]
