"""The definitions of `diffusion`'s functions in 50 digits, from `Exact`'s coefficients."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from diffusion_calls import CALLS, model, reverse

from ddpm_np import diffusion as d
from ddpm_np.check.exact import Exact, mp50
from ddpm_np.check.multiprecision import MPMATH, MpArray

BITS = mp50.mpf(1 / math.log(2))  # the constants of `diffusion` are float64
LOG_2PI = mp50.mpf(math.log(2 * math.pi))


class Definitions:
    """Each function by its equation from `Exact`: in Fractions where the betas are, else in 50 digits."""

    def __init__(self, betas: tuple[Any, ...], a: dict[str, Any]):
        self.e, self.a = Exact(betas), a
        self.x, self.z, self.t = a["x"], a["noise"], a["t"]
        self.eps = model(self.x, self.t)

    def column(self, f: Callable[[int], Any]) -> MpArray:
        """Return f(t) of each image, (N, 1)."""
        return MpArray([[f(int(t))] for t in self.t])

    def columns(self, f: Callable[[int], tuple[Any, ...]]) -> list[MpArray]:
        """Return the columns of an f with several values."""
        return [self.column(lambda t, k=k: f(t)[k]) for k in range(len(f(1)))]

    def combine(self, f: Callable[[int], tuple[Any, ...]], x: MpArray, y: MpArray) -> MpArray:
        """Return a linear equation: the first two values of f times x and y."""
        first, second = self.columns(f)[:2]
        return first * x + second * y

    def sigma2(self, variance: str) -> MpArray:
        return self.column(lambda t: self.e.sigma2(variance, t))

    def model_mean(self) -> MpArray:
        return self.combine(self.e.mean, self.x, self.eps)

    def kl(self, m1: Any, v1: Any, m2: Any, v2: Any) -> MpArray:
        return (MPMATH.log(v2 / v1) + (v1 + (m1 - m2) ** 2) / v2 - 1) / 2

    def log_normal(self, x: Any, mean: Any, variance: Any) -> MpArray:
        return -(LOG_2PI + MPMATH.log(variance) + (x - mean) ** 2 / variance) / 2

    def decoder(self, x: MpArray, mean: MpArray, sigma: MpArray, levels: int) -> MpArray:
        """Return (13) by erfc of each end of a bin, with spare digits for the difference."""
        def tail(u):
            return mp50.erfc(u / mp50.sqrt(2)) / 2

        def one(x, m, s):
            with mp50.workdps(100):
                low, high = (x - mp50.one / (levels - 1) - m) / s, (x + mp50.one / (levels - 1) - m) / s
                inside = tail(low) - tail(high) if low > 0 else tail(-high) - tail(-low)
                return mp50.log(tail(-high) if x == -1 else tail(low) if x == 1 else inside)

        return MpArray(np.frompyfunc(one, 3, 1)(x.values, mean.values, sigma.values))

    def term(self, x_0: MpArray, x_t: MpArray, t: np.ndarray, variance: str, levels: int | None) -> MpArray:
        """Return a term of (5), (N,) bits per dimension."""
        at = Definitions(self.e.beta[1:], {"x": x_t, "noise": self.z, "t": t})
        mean, sigma2 = at.model_mean(), at.sigma2(variance)
        if t[0] > 1:
            nats = at.kl(at.combine(at.e.posterior, x_0, x_t), at.column(lambda t: at.e.posterior(t)[2]), mean, sigma2)
        elif levels is None:
            nats = -at.log_normal(x_0, mean, sigma2)
        else:
            nats = -at.decoder(x_0, mean, MPMATH.sqrt(sigma2 + 0 * mean), levels)
        return nats.sum(axis=1) / x_0.shape[1] * BITS

    def prior(self, x_0: MpArray) -> MpArray:
        signal, noise = self.e.marginal(self.e.T)
        nats = self.kl(MpArray(signal) * x_0, MpArray(noise) ** 2, 0, MpArray(1))
        return nats.sum(axis=1) / x_0.shape[1] * BITS

    def bound(self, x_0: MpArray, variance: str, levels: int | None) -> MpArray:
        total = self.prior(x_0)
        for t in range(1, self.e.T + 1):
            x_t = MpArray(self.e.marginal(t)[0]) * x_0 + MpArray(self.e.marginal(t)[1]) * self.a["noises"][t, ...]
            total = total + self.term(x_0, x_t, np.full(len(x_0), t), variance, levels)
        return total

    def ddim(self, eta: float) -> MpArray:
        """Return DDIM's equation (12) from t to t − 1."""
        x0 = self.combine(self.e.x0_hat, self.x, self.eps)
        here, before = (self.column(lambda t, k=k: self.e.alpha_bar[t - k]) for k in (0, 1))
        sigma2 = eta**2 * (1 - before) / (1 - here) * (1 - here / before)
        return MPMATH.sqrt(before) * x0 + MPMATH.sqrt(1 - before - sigma2) * self.eps + MPMATH.sqrt(sigma2) * self.z

    def edm(self, sigma: MpArray) -> list[MpArray]:
        """Return c_skip, c_out, c_in and λ for σ_d = ½."""
        total = sigma * sigma + 0.25
        return [0.25 / total, 0.5 * sigma / MPMATH.sqrt(total), 1 / MPMATH.sqrt(total), 4 * total / (sigma * sigma)]

    def snr(self) -> MpArray:
        return self.column(lambda t: self.e.alpha_bar[t] / (1 - self.e.alpha_bar[t]))[:, 0]

    def mean_square(self, x: MpArray) -> MpArray:
        return (x * x).sum(axis=1) / x.shape[1]

    def weight_12(self) -> MpArray:
        return self.column(lambda t: self.e.beta[t] ** 2 / self.e.sigma2("small", t) / self.e.alpha[t]
                           / (1 - self.e.alpha_bar[t]) / 2)[:, 0]

    def weight_x0(self) -> MpArray:
        """Return c₀²/(2β̃_t), which at t = 1, where c₀ = 1, is 1/(2β̃₂)."""
        return self.column(lambda t: self.e.posterior(t)[0] ** 2 / self.e.sigma2("small", t) / 2)[:, 0]

    def noised(self) -> MpArray:
        return self.combine(self.e.marginal, self.x, self.z)

    def noise_error(self) -> MpArray:
        return self.z - model(self.noised(), self.t)

    def learned(self) -> MpArray:
        high, low = self.column(lambda t: self.e.beta[t]), self.sigma2("small")
        return MPMATH.exp(MPMATH.log(high) * (self.x + 1) / 2 + MPMATH.log(low) * (1 - self.x) / 2)


DEFINITIONS: dict[str, tuple[Callable[[d.Schedule, dict[str, Any]], Any], Callable[[Definitions], Any]]] = {
    "q_step": (CALLS["q_step"], lambda f: f.combine(f.e.step, f.x, f.z)),
    "q_sample": (CALLS["q_sample"], lambda f: f.noised()),
    "q_posterior": (CALLS["q_posterior"], lambda f: (
        f.combine(f.e.posterior, f.x, f.z), f.columns(f.e.posterior)[2] + 0 * f.x)),
    "predict_x0": (CALLS["predict_x0"], lambda f: f.combine(f.e.x0_hat, f.x, f.z)),
    "predict_eps": (CALLS["predict_eps"], lambda f: f.combine(
        lambda t: (1 / f.e.marginal(t)[1], -f.e.marginal(t)[0] / f.e.marginal(t)[1]), f.x, f.z)),
    "mean_from_eps": (CALLS["mean_from_eps"], lambda f: f.combine(f.e.mean, f.x, f.z)),
    "eps_from_mean": (CALLS["eps_from_mean"], lambda f: f.combine(
        lambda t: (-f.e.mean(t)[0] / f.e.mean(t)[1], 1 / f.e.mean(t)[1]), f.x, f.z)),
    "x0_from_mean": (CALLS["x0_from_mean"], lambda f: f.combine(
        lambda t: (-f.e.posterior(t)[1] / f.e.posterior(t)[0], 1 / f.e.posterior(t)[0]), f.x, f.z)),
    "velocity": (CALLS["velocity"], lambda f: f.combine(
        lambda t: (-f.e.marginal(t)[1], f.e.marginal(t)[0]), f.x, f.z)),
    "x0_from_velocity": (CALLS["x0_from_velocity"], lambda f: f.combine(
        lambda t: (f.e.marginal(t)[0], -f.e.marginal(t)[1]), f.x, f.z)),
    "eps_from_velocity": (CALLS["eps_from_velocity"], lambda f: f.combine(
        lambda t: (f.e.marginal(t)[1], f.e.marginal(t)[0]), f.x, f.z)),
    "score_from_eps": (CALLS["score_from_eps"], lambda f: -f.z / f.columns(f.e.marginal)[1]),
    "p_mean_variance": (
        lambda s, a: [part for v in ("small", "large")
                      for part in d.p_mean_variance(reverse(s, variance=v), a["x"], a["t"])],
        lambda f: [part for v in ("small", "large") for part in (
            f.model_mean(), f.sigma2(v) + 0 * f.x, f.combine(f.e.x0_hat, f.x, f.eps))]),
    "p_sample": (
        lambda s, a: d.p_sample(reverse(s), a["x"], a["t"], a["noise"]),
        lambda f: f.model_mean() + f.column(lambda t: int(t > 1)) * MPMATH.sqrt(f.sigma2("small")) * f.z),
    "learned_range_variance": (CALLS["learned_range_variance"], lambda f: f.learned()),
    "ddim_step": (lambda s, a: [d.ddim_step(reverse(s), a["x"], a["t"], a["t"] - 1, eta, a["noise"])
                                for eta in (0.0, 0.5)],
                  lambda f: [f.ddim(0.0), f.ddim(0.5)]),
    "kl": (CALLS["kl"], lambda f: f.kl(f.x, MPMATH.exp(f.z), f.z, MPMATH.exp(f.x))),
    "log_normal": (CALLS["log_normal"], lambda f: f.log_normal(f.x, f.z, MPMATH.exp(f.x))),
    "decoder_log_likelihood": (
        lambda s, a: d.decoder_log_likelihood(a["levels"], a["x"], a["noise"] - 2, levels=17),
        lambda f: f.decoder(f.a["levels"], f.x, MPMATH.exp(f.z - 2), 17)),
    "prior_kl": (CALLS["prior_kl"], lambda f: f.prior(f.x)),
    "simple_loss": (lambda s, a: d.simple_loss(s, model, a["x"], a["t"], a["noise"]),
                    lambda f: f.mean_square(f.noise_error())),
    "weighted_noise_loss": (CALLS["weighted_noise_loss"], lambda f: f.weight_12() * f.mean_square(f.noise_error())),
    "mean_mismatch_simplified": (  # (10) is (12), whose weight is the square of (11)'s coefficient over 2σ²
        CALLS["mean_mismatch_simplified"], lambda f: f.weight_12() * f.mean_square(f.noise_error())),
    "mean_mismatch_from_noise": (  # and so is (9)
        CALLS["mean_mismatch_from_noise"], lambda f: f.weight_12() * f.mean_square(f.noise_error())),
    "score_matching_loss": (CALLS["score_matching_loss"], lambda f: f.mean_square(
        f.noise_error() / f.columns(f.e.marginal)[1])),
    "eq12_weight": (CALLS["eq12_weight"], lambda f: f.weight_12()),
    "bound_weight": (lambda s, a: [d.bound_weight(s, a["t"], predicts=p) for p in ("eps", "x0", "v")], lambda f: [
        f.weight_12(), f.weight_x0(), f.weight_x0() / (f.snr() + 1)]),
    "optimal_variance": (lambda s, a: d.optimal_variance(s, a["t"], a["x"] * a["x"], predicts="x0"),
                         lambda f: f.columns(f.e.posterior)[2] + f.columns(f.e.posterior)[0] ** 2 * f.x * f.x),
    "p2_weight": (CALLS["p2_weight"], lambda f: [
        (1 if p == "eps" else f.snr() if p == "x0" else f.snr() / (f.snr() + 1)) / MPMATH.sqrt(1 + f.snr())
        for p in ("eps", "x0", "v")]),
    "dpm_solver_1_step": (  # DDIM's with η = 0, from 2 to 1
        CALLS["dpm_solver_1_step"], lambda f: Definitions(f.e.beta[1:], {**f.a, "t": 0 * f.t + 2}).ddim(0.0)),
    "edm_preconditioning": (CALLS["edm_preconditioning"], lambda f: f.edm(f.x * f.x + 0.1)),
    "min_snr_weight": (CALLS["min_snr_weight"], lambda f: [
        MPMATH.clip(f.snr(), 0.0, 5.0) / (f.snr() if p == "eps" else 1 if p == "x0" else f.snr() + 1)
        for p in ("eps", "x0", "v")]),
}
