"""The sliders' calls beside SciPy and beside definitions written here: densities, Bayes' rule, ends of walks."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest
from ddpm_live import line, sliders, walks
from ddpm_live.calls import CALLS, Trouble, advance, start
from scipy import stats
from strategies import FALSE_ALARM

from ddpm_np.diffusion import linear_schedule

SCHEDULES = ("linear", "cosine", "constant")
DATA = {  # weights, means and standard deviations of x₀
    "points": ([0.5, 0.5], [-1.0, 1.0], [0.0, 0.0]),
    "mixture": ([0.3, 0.5, 0.2], [-1.0, 0.2, 1.2], [0.15, 0.25, 0.1]),
}


def kept(schedule, T):
    """Return ᾱ₀..ᾱ_T by the schedule's definition."""
    paper = np.cumprod(1 - np.concatenate(([0.0], np.linspace(1e-4, 0.02, 1000))))
    if schedule == "linear":
        return paper[[int(np.floor(i * 1000 / T + 0.5)) for i in range(T + 1)]]
    if schedule == "constant":
        return paper[-1] ** (np.arange(T + 1) / T)
    f = np.cos((np.arange(T + 1) / T + 0.008) / 1.008 * np.pi / 2) ** 2
    return np.cumprod(np.concatenate(([1.0], np.maximum(f[1:] / f[:-1], 0.001))))


def only(call, **settings):
    """Return the one item of a call."""
    [item] = CALLS[call](**settings)
    return item


def mixture_pdf(data, x, alpha_bar):
    """Return q(x_t) at the places x by SciPy."""
    return sum(w * stats.norm.pdf(x, np.sqrt(alpha_bar) * m, np.sqrt(alpha_bar * s**2 + 1 - alpha_bar))
               for w, m, s in zip(*DATA[data], strict=True))


def mixture_cdf(data, x, alpha_bar):
    """Return the distribution function of x_t at the places x by SciPy."""
    return sum(w * stats.norm.cdf(x, np.sqrt(alpha_bar) * m, np.sqrt(alpha_bar * s**2 + 1 - alpha_bar))
               for w, m, s in zip(*DATA[data], strict=True))


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize(("T", "t"), [(5, 1), (20, 8), (200, 37)])
def test_forward_is_the_mixture_of_scipy(schedule, data, T, t):
    item, alpha_bar = only("forward", data=data, schedule=schedule, T=T, t=t), kept(schedule, T)[t]
    np.testing.assert_allclose(item["density"], mixture_pdf(data, item["x"], alpha_bar), rtol=1e-7, atol=1e-12)
    np.testing.assert_allclose([item["signal"], item["noise"]], [np.sqrt(alpha_bar), 1 - alpha_bar], rtol=1e-9)


@pytest.mark.parametrize("data", DATA)
def test_density_integrates_to_one_over_the_line_that_is_drawn(data):
    item = only("forward", data=data, T=20, t=3)
    outside = mixture_cdf(data, -3.0, kept("linear", 20)[3]) + 1 - mixture_cdf(data, 3.0, kept("linear", 20)[3])
    assert np.trapezoid(item["density"], item["x"]) == pytest.approx(1 - outside, abs=1e-6)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("data", DATA)
def test_histogram_counts_the_samples_of_the_density(schedule, data):
    """Each bin is binomial with the density's probability."""
    item, alpha_bar = only("forward", data=data, schedule=schedule, T=20, t=6), kept(schedule, 20)[6]
    edges, heights = item["histogram"]["edges"], item["histogram"]["heights"]
    counts = np.rint(heights * sliders.SAMPLES * np.diff(edges)).astype(int)
    assert counts.sum() <= sliders.SAMPLES
    for count, (a, b) in zip(counts, pairwise(edges), strict=True):
        p = mixture_cdf(data, b, alpha_bar) - mixture_cdf(data, a, alpha_bar)
        assert stats.binomtest(count, sliders.SAMPLES, p).pvalue > FALSE_ALARM / 1000


def test_data_of_the_picture():
    points, humps = only("forward", data="points")["data"], only("forward", data="mixture")
    assert points == {"density": None, "points": [[-1.0, 0.5], [1.0, 0.5]]}
    np.testing.assert_allclose(humps["data"]["density"], mixture_pdf("mixture", humps["x"], 1.0), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize(("T", "t"), [(5, 2), (10, 4), (10, 10), (50, 2)])
@pytest.mark.parametrize(("x_0", "x_t"), [(1.0, 0.0), (-0.7, -0.4)])
def test_posterior_is_bayes_rule(schedule, T, t, x_0, x_t):
    """q(x_{t−1}|x₀)·q(x_t|x_{t−1})/q(x_t|x₀), all three by SciPy."""
    item, alpha_bar = only("posterior", schedule=schedule, T=T, t=t, x_0=x_0, x_t=x_t), kept(schedule, T)
    x, alpha = item["x"], alpha_bar[t] / alpha_bar[t - 1]
    prior = stats.norm.pdf(x, np.sqrt(alpha_bar[t - 1]) * x_0, np.sqrt(1 - alpha_bar[t - 1]))
    likelihood = stats.norm.pdf(x_t, np.sqrt(alpha) * x, np.sqrt(1 - alpha))
    evidence = stats.norm.pdf(x_t, np.sqrt(alpha_bar[t]) * x_0, np.sqrt(1 - alpha_bar[t]))
    want = prior * likelihood / evidence
    close = {"rtol": 1e-6, "atol": 1e-9 * want.max()}
    np.testing.assert_allclose(item["prior"], prior, **close)
    np.testing.assert_allclose(item["likelihood"], likelihood, **close)
    np.testing.assert_allclose(item["posterior"], want, **close)
    area = stats.norm.cdf(3, item["mean"], item["variance"] ** 0.5) - stats.norm.cdf(
        -3, item["mean"], item["variance"] ** 0.5)
    np.testing.assert_allclose(item["product"], want / area, rtol=1e-3, atol=1e-4 * want.max())
    if area > 1 - 1e-9:
        assert item["by_bayes"]["mean"] == pytest.approx(item["mean"], abs=1e-6)
        assert item["by_bayes"]["variance"] == pytest.approx(item["variance"], rel=1e-6)


def test_posterior_at_one_is_the_data():
    item = only("posterior", T=10, t=1, x_0=0.7, x_t=-1.3)
    assert item["prior"] is item["product"] is item["posterior"] is None
    assert (item["mean"], item["variance"]) == (pytest.approx(0.7), 0.0)
    assert np.isfinite(item["likelihood"]).all()


def walkers(call, monkeypatch, **settings):
    """Return all items of a walk, and x_t of all walkers in each."""
    seen, at_step = [], walks.at_step
    monkeypatch.setattr(walks, "at_step", lambda data, x, t, x_t: seen.append(x_t) or at_step(data, x, t, x_t))
    return list(CALLS[call](**settings)), [x_t[:, 0] for x_t in seen]


def test_a_long_chain_ends_on_the_data(monkeypatch):
    items, seen = walkers("chain", monkeypatch, data="mixture", T=200)
    assert [item["t"] for item in items] == list(range(200, -1, -1))
    assert stats.kstest(seen[-1], lambda x: mixture_cdf("mixture", x, 1.0)).pvalue > FALSE_ALARM
    np.testing.assert_allclose(items[-1]["density"], mixture_pdf("mixture", items[0]["x"], 1.0), rtol=1e-7, atol=1e-12)
    assert items[-1]["exact_deviation"] == pytest.approx(np.sqrt(sum(
        w * (m**2 + s**2) for w, m, s in zip(*DATA["mixture"], strict=True)) - np.dot(*DATA["mixture"][:2]) ** 2))
    assert items[-1]["deviation"] == pytest.approx(seen[-1].std())


def test_a_short_chain_does_not(monkeypatch):
    _, seen = walkers("chain", monkeypatch, data="mixture", T=2)
    assert stats.kstest(seen[-1], lambda x: mixture_cdf("mixture", x, 1.0)).pvalue < FALSE_ALARM


def test_chain_on_points_ends_on_the_points(monkeypatch):
    items, seen = walkers("chain", monkeypatch, data="points", T=50, variance="large")
    assert items[-1]["density"] is None
    assert np.abs(np.abs(seen[-1]) - 1).max() < 1e-3
    assert stats.binomtest(int((seen[-1] > 0).sum()), seen[-1].size, 0.5).pvalue > FALSE_ALARM


def test_large_variance_is_wider():
    small, large = (list(CALLS["chain"](T=5, variance=variance)) for variance in walks.VARIANCES)
    assert large[-2]["deviation"] > small[-2]["deviation"]


def test_walk_shows_paths_of_its_walkers(monkeypatch):
    items, seen = walkers("ddim", monkeypatch, steps=10, eta=0.3)
    for item, x_t in zip(items, seen, strict=True):
        assert (item["paths"] == x_t[: walks.PATHS]).all()
    assert [item["t"] for item in items] == [*range(1000, -1, -100)]


def test_without_new_noise_ddim_is_a_map_that_keeps_order(monkeypatch):
    _, seen = walkers("ddim", monkeypatch, steps=50, eta=0.0)
    order = np.argsort(seen[0])
    assert all((np.diff(x_t[order]) >= 0).all() for x_t in seen)
    _, again = walkers("ddim", monkeypatch, steps=50, eta=0.0)
    assert all((a == b).all() for a, b in zip(seen, again, strict=True))


def test_ddim_begins_with_the_same_noise_and_crosses_with_new_noise(monkeypatch):
    _, still = walkers("ddim", monkeypatch, steps=50, eta=0.0)
    _, noisy = walkers("ddim", monkeypatch, steps=50, eta=1.0)
    assert (still[0] == noisy[0]).all()
    assert (np.diff(noisy[-1][np.argsort(noisy[0])]) < 0).any()


@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_many_steps_of_ddim_end_on_the_data(monkeypatch, eta):
    _, seen = walkers("ddim", monkeypatch, steps=200, eta=eta)
    assert stats.kstest(seen[-1], lambda x: mixture_cdf("mixture", x, 1.0)).pvalue > FALSE_ALARM


@pytest.mark.parametrize(("call", "settings", "said"), [
    ("forward", {"data": "cats"}, "'points', 'mixture'"),
    ("forward", {"schedule": "linea"}, "'linear', 'cosine', 'constant'"),
    ("forward", {"T": 0}, "T must be .*1.* got 0"),
    ("forward", {"T": 10, "t": 11}, "t must be .*10.* got 11"),
    ("forward", {"t": 0}, "t must be .*1.* got 0"),
    ("forward", {"t": 2.5}, "t must be an int, got 2.5"),
    ("posterior", {"x_0": 7}, "x_0 must be .*3.* got 7"),
    ("posterior", {"x_t": "a"}, "x_t must be a number, got 'a'"),
    ("chain", {"T": 201}, "T must be .*200.* got 201"),
    ("chain", {"variance": "medium"}, "'small'.*'large'.*'medium'"),
    ("ddim", {"eta": 1.5}, "eta must be .*1.* got 1.5"),
    ("ddim", {"steps": 0}, "number of steps must be .* got 0"),
])
def test_bad_settings_are_one_line(call, settings, said):
    with pytest.raises(Trouble, match=said) as trouble:
        list(CALLS[call](**settings))
    assert "\n" not in str(trouble.value)


@pytest.mark.parametrize(("call", "settings"), [
    ("forward", {"T": 1, "t": 1}), ("posterior", {"T": 1, "t": 1}), ("posterior", {"T": 2, "t": 2}),
    ("chain", {"T": 1, "data": "points"}), ("chain", {"T": 2, "schedule": "cosine"}), ("ddim", {"steps": 1}),
])
def test_edges_pass_as_json(call, settings):
    start(1, call, json.dumps(settings))
    items = []
    while text := advance(1):
        items.append(json.loads(text))
    assert items
    assert all(value is not None for value in items[-1]["paths"]) if "paths" in items[-1] else "mean" in items[-1]


def test_pictures_show_a_change_of_the_package(monkeypatch):
    """A mistake in the package's own code moves the samples away from the closed form."""
    right = only("forward", T=20, t=8)
    monkeypatch.setattr(sliders.q_sample, "__code__", wrong_q_sample.__code__)
    wrong = only("forward", T=20, t=8)
    assert (wrong["density"] == right["density"]).all()
    assert abs(wrong["variance"] - 1) > 0.1 > abs(right["variance"] - 1)


def wrong_q_sample(schedule, x_0, t, noise):
    """Drop the root of 1 − ᾱ_t."""
    k = schedule.at(t, like=x_0)
    return k.sqrt_alpha_bar * x_0 + k.one_minus_alpha_bar * noise


def test_linear_over_all_steps_is_the_papers():
    np.testing.assert_allclose(line.schedule_of("linear", 1000).beta, linear_schedule(1000).beta, rtol=1e-12)
