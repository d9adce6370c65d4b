"""A call of every function of `diffusion` that takes arrays, to try other namespaces than NumPy's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ddpm_np import diffusion as d
from ddpm_np.backend import of
from ddpm_np.diffusion.schedule import TABLES

NOT_OF_ARRAYS = {  # tables on the host, names, types, and `draw`, `step_noise`, which make arrays from a Backend
    "Denoiser", "PREDICTS", "Received", "Reverse", "SCHEDULES", "SPACINGS", "Schedule", "affine_bound_16",
    "affine_nll", "affine_vlb", "constant_schedule", "cosine_schedule", "draw", "first_noise", "jsd_schedule",
    "linear_schedule", "named_schedule", "quadratic_schedule", "sigmoid_schedule", "step_noise", "timesteps",
    "warmup10_schedule", "warmup50_schedule", "zero_terminal_snr", "Preconditioning",
}
NEEDS_LOG_NDTR = {"decoder_log_likelihood", "discretised bound", "discretised trajectory", "hybrid_loss", "send"}


def column(t: Any, x: Any) -> Any:
    """Return t as (N, 1, …) in x's dtype."""
    xp = of(x)
    return xp.reshape(xp.astype(t, x.dtype), (x.shape[0],) + (1,) * (x.ndim - 1))


def model(x: Any, t: Any) -> Any:
    """An ε_θ in array-API names that depends on t: tanh(x)/(1 + t)."""
    return of(x).tanh(x) / (1 + column(t, x))


def double(x: Any, t: Any) -> Any:
    """A net with a second output: tanh of half the first."""
    first = model(x, t)
    return of(x).concat((first, of(x).tanh(first * 0.5)), axis=x.ndim - 1)


def with_label(x: Any, t: Any, y: Any) -> Any:
    """A net with labels."""
    return model(x, t) * (1 + column(y, x))


def arrays(rng: np.random.Generator, T: int, shape: tuple[int, ...], dtype: Any) -> dict[str, Any]:
    """Host arrays for the calls below."""
    return {
        "x": rng.standard_normal(shape).astype(dtype), "noise": rng.standard_normal(shape).astype(dtype),
        "noises": rng.standard_normal((T + 1, *shape)).astype(dtype), "t": rng.integers(1, T + 1, shape[0]),
        "mask": rng.random(shape) < 0.5, "fractions": np.linspace(0, 1, 3),
        "levels": (rng.integers(0, 256, shape) / 127.5 - 1).astype(dtype),
    }


def at(a: dict[str, Any]) -> Callable[..., Any]:
    """Return noise by step."""
    return lambda t, *rest: a["noises"][t, ...]


def reverse(s: d.Schedule, **options: Any) -> d.Reverse:
    """The reverse process with the model above."""
    return d.Reverse(s, model, **options)


def chain(items: Any) -> list[Any]:
    """The arrays of a chain of (t, x_t), or of (t, x_t, x̂₀): the first x̂₀ of `interpolate` is None."""
    return [array for _, *arrays in items for array in arrays if array is not None]


def trajectory(s: d.Schedule, a: dict[str, Any], levels: int | None = None) -> list[Any]:
    """Appendix A on one trajectory."""
    from ddpm_np.diffusion import appendix_a as lines

    x = d.q_trajectory(s, a["levels"], a["noises"])
    tr = d.Trajectory(reverse(s, variance="large"), x, levels)
    numbered = [getattr(lines, f"equation_{i}")(tr) for i in (3, 17, 18, 19, 20, 21, 22, 23)]
    marginal = d.Gaussian(s, 0.1, 0.5).log_q
    return [x, lines.log_p_joint(tr), *numbered, lines.equation_24(tr, marginal), lines.equation_25(tr, marginal)]


def every_kind(call: Callable[[str], Any]) -> list[Any]:
    return [part for predicts in d.PREDICTS for part in call(predicts)]


def plain(name: str) -> Callable[[d.Schedule, dict[str, Any]], Any]:
    """A call of a function of (schedule, x, t, y)."""
    return lambda s, a: getattr(d, name)(s, a["x"], a["t"], a["noise"])


CALLS: dict[str, Callable[[d.Schedule, dict[str, Any]], Any]] = {
    "q_step": lambda s, a: d.q_step(s, a["x"], a["t"], a["noise"]),
    "q_sample": lambda s, a: d.q_sample(s, a["x"], a["t"], a["noise"]),
    "q_posterior": lambda s, a: d.q_posterior(s, a["x"], a["noise"], a["t"]),
    "posterior_mean": lambda s, a: d.posterior_mean(s, a["x"], a["noise"], a["t"]),
    **{name: plain(name) for name in (
        "predict_x0", "predict_eps", "mean_from_eps", "eps_from_mean", "x0_from_mean", "velocity", "x0_from_velocity",
        "eps_from_velocity", "score_from_eps", "eps_from_score")},
    "Coefficients": lambda s, a: [
        k.rows(s.beta + 1) if name is None else getattr(k, name)
        for k in [s.at(a["t"], like=a["x"])] for name in (*TABLES, None)],
    "predict": lambda s, a: every_kind(
        lambda p: d.predict(reverse(s, predicts=p, clip=p != "v"), a["x"], a["t"])[:2]),
    "log_variance": lambda s, a: [d.log_variance(s, v, a["t"], a["x"]) for v in ("small", "large", s.beta + 1)],
    "learned_range_log_variance": lambda s, a: d.learned_range_log_variance(s, a["x"], a["t"]),
    "learned_range_variance": lambda s, a: d.learned_range_variance(s, a["x"], a["t"]),
    "p_mean_variance": lambda s, a: [
        part for clip in (False, True) for v in ("small", "large", s.beta + 1)
        for part in d.p_mean_variance(reverse(s, variance=v, clip=clip), a["x"], a["t"])],
    "p_mean_log_variance": lambda s, a: every_kind(
        lambda p: d.p_mean_log_variance(reverse(s, predicts=p), a["x"], a["t"])),
    "p_sample": lambda s, a: [d.p_sample(reverse(s, clip=c), a["x"], a["t"], a["noise"]) for c in (False, True)],
    "ancestral": lambda s, a: chain(d.ancestral(reverse(s), a["x"], at(a))),
    "last": lambda s, a: d.last(d.ancestral(reverse(s), a["x"], at(a))),
    "progressive": lambda s, a: chain(d.ancestral(reverse(s), a["x"], at(a), start=2)),
    "sample_with": lambda s, a: d.sample_with(reverse(s, variance="large", clip=True), a["x"], a["noises"]),
    "respace": lambda s, a: chain(d.ancestral(d.respace(reverse(s), [1, s.T]), a["x"], at(a))),
    "ddim_sigma": lambda s, a: d.ddim_sigma(s, a["t"], a["t"] - 1, 0.5, a["x"]),
    "ddim_step": lambda s, a: [d.ddim_step(reverse(s, clip=eta == 0), a["x"], a["t"], a["t"] - 1, eta, a["noise"])
                               for eta in (0.0, 0.5)],
    "ddim": lambda s, a: chain(d.ddim(reverse(s), a["x"], [s.T, 1], at(a), eta=0.5)),
    "ddim_invert": lambda s, a: chain(d.ddim_invert(reverse(s), a["x"], [s.T, 1], iterations=2)),
    "langevin_step": lambda s, a: d.langevin_step(a["x"], a["noise"], 0.1, a["noise"]),
    "annealed_langevin": lambda s, a: chain(d.annealed_langevin(reverse(s), a["x"], [s.T, 1], at(a), per_level=2)),
    "guided": lambda s, a: d.guided(with_label, a["t"], 0, 0.5)(a["x"], a["t"]),
    "interpolate": lambda s, a: chain(d.interpolate(
        reverse(s), a["x"][0, ...], a["noise"][0, ...], 2, a["fractions"], a["noise"][0, ...], a["x"][0, ...],
        lambda t: of(a["x"]).concat([a["noises"][t, :1, ...]] * 3, axis=0))),
    "inpaint": lambda s, a: chain(d.inpaint(reverse(s), a["x"], a["mask"], a["noise"],
                                            lambda what, t, k: a["noises"][t, ...], repeats=2)),
    "simple_loss": lambda s, a: every_kind(
        lambda p: [d.simple_loss(s, model, a["x"], a["t"], a["noise"], predicts=p)]),
    "target": lambda s, a: every_kind(lambda p: [d.target(s, a["x"], a["x"], a["t"], a["noise"], p)]),
    "score_matching_loss": lambda s, a: d.score_matching_loss(s, model, a["x"], a["t"], a["noise"]),
    "bound_loss": lambda s, a: d.bound_loss(s, model, a["x"], a["t"], a["noise"], levels=None),
    "hybrid_loss": lambda s, a: d.hybrid_loss(s, double, a["levels"], a["t"], a["noise"]),
    "min_snr_weight": lambda s, a: [d.min_snr_weight(s, a["t"], a["x"], predicts=p) for p in ("eps", "x0", "v")],
    "p2_weight": lambda s, a: [d.p2_weight(s, a["t"], a["x"], gamma=0.5, predicts=p) for p in ("eps", "x0", "v")],
    "dpm_solver_1_step": lambda s, a: d.dpm_solver_1_step(reverse(s), a["x"], 0 * a["t"] + 2, 0 * a["t"] + 1),
    "edm_preconditioning": lambda s, a: list(d.edm_preconditioning(of(a["x"]).square(a["x"]) + 0.1)),
    "bound_weight": lambda s, a: [d.bound_weight(s, a["t"], v, predicts=p, dtype=str(a["x"].dtype).rpartition(".")[2])
                                  for v in ("small", "large") for p in ("eps", "x0", "v", "mean")],
    "optimal_variance": lambda s, a: [
        d.optimal_variance(s, a["t"], of(a["x"]).square(a["x"]), predicts=p) for p in ("eps", "x0", "v", "mean")],
    "kl": lambda s, a: d.kl(a["x"], a["noise"], a["noise"], a["x"]),
    "log_normal": lambda s, a: d.log_normal(a["x"], a["noise"], a["x"]),
    "decoder_log_likelihood": lambda s, a: [
        d.decoder_log_likelihood(a["levels"], a["x"], scale) for scale in (-1.0, a["noise"])],
    "prior_kl": lambda s, a: d.prior_kl(s, a["x"]),
    "vlb_term": lambda s, a: d.vlb_term(reverse(s), a["x"], a["noise"], a["t"], levels=None),
    "vlb_terms": lambda s, a: chain(d.vlb_terms(reverse(s), a["x"], at(a), levels=None)),
    "vlb": lambda s, a: d.vlb(reverse(s, variance="large"), a["x"], a["noises"], levels=None),
    "discretised bound": lambda s, a: d.vlb(reverse(s), a["levels"], a["noises"]),
    "discretised trajectory": lambda s, a: trajectory(s, a, 256),
    "mean_mismatch": lambda s, a: d.mean_mismatch(reverse(s), a["x"], a["noise"], a["t"]),
    "mean_mismatch_from_noise": lambda s, a: d.mean_mismatch_from_noise(reverse(s), a["x"], a["t"], a["noise"]),
    "mean_mismatch_simplified": lambda s, a: d.mean_mismatch_simplified(reverse(s), a["x"], a["t"], a["noise"]),
    "mismatch_constant": lambda s, a: d.mismatch_constant(s, a["t"], a["x"], "large"),
    "weighted_noise_loss": lambda s, a: d.weighted_noise_loss(reverse(s), a["x"], a["t"], a["noise"]),
    "eq12_weight": lambda s, a: d.eq12_weight(s, a["t"], dtype=str(a["x"].dtype).rpartition(".")[2]),
    "q_trajectory": lambda s, a: d.q_trajectory(s, a["x"], a["noises"]),
    "Trajectory": trajectory,
    "send": lambda s, a: [part for received in d.send(reverse(s), a["levels"], at(a)) for part in received[1:]],
    "distortion": lambda s, a: d.distortion(a["x"], a["noise"]),
    "Gaussian": lambda s, a: [f(a["x"], a["t"]) for g in [d.Gaussian(s, 0.1, 0.5)] for f in (g.eps, g.x0, g.log_q)],
    "Mixture": lambda s, a: [f(a["x"], a["t"]) for m in [mixture(s, a)] for f in (m.eps, m.x0, m.log_q)],
    "atoms": lambda s, a: [d.atoms(s, np.stack([np.zeros(a["x"].shape[1:]), np.ones(a["x"].shape[1:])])).eps(
        a["x"], a["t"])],
}


def mixture(s: d.Schedule, a: dict[str, Any]) -> d.Mixture:
    """Two Gaussians of the images' shape."""
    shape = tuple(a["x"].shape[1:])
    return d.Mixture(s, [0.3, 0.7], np.stack([np.zeros(shape), np.full(shape, 0.5)]), [0.2, 0.4])


def results(name: str, schedule: d.Schedule, values: dict[str, Any]) -> list[Any]:
    """Return the results of a call as a list of arrays."""
    found = CALLS[name](schedule, values)
    return list(found) if isinstance(found, (tuple, list)) else [found]
