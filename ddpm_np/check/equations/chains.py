"""Whole chains with given noise for an affine net, recomputed step by step from the exact tables.

They are Algorithm 2, DDIM and its inverse, Langevin dynamics, interpolation, inpainting, and Algorithms 3 and 4.
"""

from __future__ import annotations

from functools import cache
from itertools import pairwise, product
from typing import Any, NamedTuple

import numpy as np

from ddpm_np.check.cases import plain_cases
from ddpm_np.check.comparison import Check
from ddpm_np.check.equations import sampler  # noqa: F401 - registers (1) and DDIM
from ddpm_np.check.equations.appendix import decoder_log_likelihood
from ddpm_np.check.equations.extensions import BITS, per_image
from ddpm_np.check.equations.reverse import CLIPS, VARIANCES, affine
from ddpm_np.check.exact import Case
from ddpm_np.check.registry import checks, equation

equation("ddim-inversion", "DDIM inversion, from an image to its noise",
         r"x_t = \sqrt{\bar\alpha_t}\,\frac{x_s-\sqrt{1-\bar\alpha_s}\,\epsilon}{\sqrt{\bar\alpha_s}}+"
         r"\sqrt{1-\bar\alpha_t}\,\epsilon,\quad \epsilon = \epsilon_\theta(x_s,t),\ \epsilon_\theta(x_t,t),\ \dots",
         "Song, Meng & Ermon 2021, section 4.3", "diffusion.ddim.ddim_invert")
equation("langevin", "a step of Langevin dynamics", r"x+\frac{\delta}{2}\nabla\log p(x)+\sqrt{\delta}\,z",
         "Song & Ermon 2019, (4)", "diffusion.langevin.langevin_step")
equation("annealed-langevin", "annealed Langevin dynamics",
         r"\delta_t = c\,(1-\bar\alpha_t),\quad x\leftarrow x\sqrt{\bar\alpha_t/\bar\alpha_s}\ "
         r"\mathrm{between\ levels}",
         "Song & Ermon 2019, algorithm 1", "diffusion.langevin.annealed_langevin")
equation("interpolation", "interpolation of two images in latent space",
         r"\bar x_t = (1-\lambda)\,x_t+\lambda\,x'_t,\quad \bar x_0\sim p_\theta(x_0\mid\bar x_t)",
         "Ho et al. 2020, section 4.3", "diffusion.editing.interpolate")
equation("inpainting", "inpainting with resampling",
         r"x_{t-1} = m\odot x_{t-1}^{known}+(1-m)\odot x_{t-1}^{unknown},\quad x_t\sim q(x_t\mid x_{t-1})",
         "Lugmayr et al. 2022, algorithm 1", "diffusion.editing.inpaint")
equation("algorithm-3", "the rate up to x_t", r"\mathrm{rate}_t = L_T+\sum_{s>t}L_{s-1}",
         "Ho et al. 2020, Algorithm 3 and section 4.3", "diffusion.compression.send")
equation("algorithm-4", "the receiver's estimate of x₀, and its distortion",
         r"\hat x_0(x_t),\quad \mathrm{distortion}_t = \frac{255}{2}\sqrt{\|x_0-\hat x_0\|^2/D}",
         "Ho et al. 2020, Algorithm 4 and section 4.3", "diffusion.compression.send",
         "diffusion.compression.distortion")

A, B, C = 0.75, 0.5, -0.25  # the net's output is A·x + B·t/T + C


class Chain(NamedTuple):
    """A schedule, x_T (N, …), noises (T + 1, N, …), whose row 0 must not be used, and the options of the chain."""

    case: Case
    x: np.ndarray
    noises: np.ndarray
    predicts: str
    clip: bool
    variance: str

    def x0(self, x: np.ndarray, t: int, clip: bool | None = None) -> np.ndarray:
        """Return x̂₀, by (15) or as the net predicts it."""
        k, said = self.case.table, A * x + B * t / self.case.T + C
        if self.predicts == "eps":
            said = (x - k.sqrt_one_minus_alpha_bar[t] * said) / k.sqrt_alpha_bar[t]
        return np.clip(said, -1, 1) if (self.clip if clip is None else clip) else said

    def eps(self, x: np.ndarray, t: int, clip: bool | None = None) -> np.ndarray:
        """Return the ε̂ that belongs to x̂₀."""
        k = self.case.table
        return (x - k.sqrt_alpha_bar[t] * self.x0(x, t, clip)) / k.sqrt_one_minus_alpha_bar[t]

    def down(self, x: np.ndarray, t: int, z: np.ndarray | None = None) -> np.ndarray:
        """Take a step of Algorithm 2, with z = noises[t] unless given."""
        k = self.case.table
        sigma = np.sqrt((k.small if self.variance == "small" else k.large)[t])
        return k.x0[t] * self.x0(x, t) + k.xt[t] * x + (sigma * (self.noises[t] if z is None else z) if t > 1 else 0)

    def sampled(self, x_0: np.ndarray, t: int, z: np.ndarray) -> np.ndarray:
        """Return x_t of (4)."""
        k = self.case.table
        return k.sqrt_alpha_bar[t] * x_0 + k.sqrt_one_minus_alpha_bar[t] * z

    @property
    def model(self) -> Any:
        return affine(self.case, A, B, C)

    @property
    def prediction(self) -> dict[str, Any]:
        """The options that DDIM and Langevin dynamics take."""
        return {"predicts": self.predicts, "clip": self.clip}

    @property
    def options(self) -> dict[str, Any]:
        return {**self.prediction, "variance": self.variance}

    @property
    def scale(self) -> float:
        """The scale of a chain's errors."""
        return 10 / self.case.table.sqrt_alpha_bar[-1]


@cache
def chains() -> tuple[Chain, ...]:
    """Return chains of two steps of one number with any options, and of six steps of two images with two of them."""
    rng, found = np.random.default_rng(0), []
    every = list(product(("eps", "x0"), CLIPS, VARIANCES))
    for case, shape, combinations in ((plain_cases()[0], (1, 1), every),
                                      (plain_cases()[1], (2, 3, 1), (every[-1], every[0]))):
        x, noises = rng.integers(-8, 9, shape) / 4, rng.integers(-8, 9, (case.T + 1, *shape)) / 4
        noises[0] = 1e6
        found += [Chain(case, x, noises, *options) for options in combinations]
    return tuple(found)


def _compare(check: Check, c: Chain, name: str, got: Any, want: list[tuple[Any, ...]]) -> None:
    """Compare a chain of (t, x_t) or (t, x_t, x̂₀): its steps, each x_t, and the estimate that it was drawn from."""
    steps, wanted = [int(item[0]) for item in got], [item[0] for item in want]
    check.true(steps == wanted, f"{c.case!r}: {name} yields t = {steps}, expected {wanted}")
    for item, (t, x, *estimate) in zip(got, want, strict=True):
        check.equal(f"x_{t} of {name}", item[1], x, case=c.case, scale=c.scale)
        for x0 in estimate:
            check.equal(f"the x̂₀ from which x_{t} of {name} was drawn", item[2], x0, case=c.case, scale=c.scale)


@checks("1", first=chains, needs=["ancestral"], aspect="response", method="closed form")
def ancestral_step_by_step(check: Check, c: Chain) -> None:
    """Check chains from T and from T − 1, with the x̂₀ of each step."""
    for start in (None, c.case.T - 1):
        got = check(c.case).call("ancestral", c.model, c.x, lambda t: c.noises[t], start=start, **c.options)
        _compare(check, c, "Algorithm 2", got, _algorithm_2(c, start or c.case.T))


def _algorithm_2(c: Chain, start: int) -> list[tuple[int, np.ndarray, np.ndarray]]:
    x, found = c.x, []
    for t in range(start, 0, -1):
        x0, x = c.x0(x, t), c.down(x, t)
        found.append((t - 1, x, x0))
    return found


@checks("ddim-12", first=chains, needs=["ddim"], aspect="ddim_step_goes_to_s", method="closed form")
def ddim_step_by_step(check: Check, c: Chain) -> None:
    """Check chains over all and over two of the steps, with and without noise."""
    k = c.case.table
    for steps in ([c.case.T, 1], list(range(c.case.T, 0, -1))):
        for eta in (0.0, 0.5):
            x, want = c.x, []
            for t, s in pairwise([*steps, 0]):
                left = 1 - k.alpha_bar[t] / k.alpha_bar[s]
                sigma = eta * np.sqrt(k.one_minus_alpha_bar[s] / k.one_minus_alpha_bar[t] * left)
                x0, eps = c.x0(x, t), c.eps(x, t)
                x = k.sqrt_alpha_bar[s] * x0 + np.sqrt(k.one_minus_alpha_bar[s] - sigma**2) * eps + (
                    sigma * c.noises[t])
                want.append((s, x, x0))
            got = check(c.case).call("ddim", c.model, c.x, steps, lambda t: c.noises[t], eta=eta, **c.prediction)
            _compare(check, c, f"DDIM, η = {eta}", got, want)


@checks("ddim-inversion", first=chains, needs=["ddim_invert"], method="closed form")
def inversion_step_by_step(check: Check, c: Chain) -> None:
    k, T = c.case.table, c.case.T
    for steps, iterations in (([T, 1], 1), (list(range(T, 0, -1)), 1), ([T], 3)):
        x, want = c.x, []
        for s, t in pairwise([0, *reversed(steps)]):
            below = x
            for _ in range(iterations):
                eps = c.eps(x, t, clip=False)
                x = k.sqrt_alpha_bar[t] / k.sqrt_alpha_bar[s] * (below - k.sqrt_one_minus_alpha_bar[s] * eps) + (
                    k.sqrt_one_minus_alpha_bar[t] * eps)
            want.append((t, x))
        got = check(c.case).call("ddim_invert", c.model, c.x, steps, iterations=iterations, predicts=c.predicts)
        _compare(check, c, "DDIM inversion", got, want)


@checks("ddim-inversion", first=chains, needs=["ddim_invert", "ddim"], method="round trip")
def inversion_and_back(check: Check, c: Chain) -> None:
    """Check that DDIM maps the end of the inversion back to the image, which is exact for a net of t alone."""
    target, steps = check(c.case), list(range(c.case.T, 0, -1))
    model = affine(c.case, 0.0, B, C)
    there = target.call("ddim_invert", model, c.x, steps)
    back = target.call("ddim", model, there[-1][1], steps)
    check.equal("x₀ after DDIM inversion and DDIM", back[-1][1], c.x, case=c.case, scale=c.scale)


@checks("langevin", first=chains, needs=["langevin_step"], method="formula")
def langevin_step_is_its_formula(check: Check, c: Chain) -> None:
    """Check a step for independent x, score and z, with one δ for all images or one for each."""
    x, score, z = c.x, c.noises[1], c.noises[2]
    for delta in (0.25, np.array([0.25, 2.0])[: len(x)].reshape((-1,) + (1,) * (x.ndim - 1))):
        want = x + delta / 2 * score + np.sqrt(delta) * z
        got = check(c.case).array("langevin_step", x.shape, x, score, delta, z)
        check.equal("x + δ/2·s + √δ·z", got, want, at={"x": x, "s": score, "z": z},
                    scale=np.abs(x) + np.abs(score) + 2 * np.abs(z), mistakes={
                        "δ·s: a missing ½": x + delta * score + np.sqrt(delta) * z, "δ·z: a missing root": want + (
                            delta - np.sqrt(delta)) * z, "√(2δ)·z": want + (np.sqrt(2) - 1) * np.sqrt(delta) * z,
                        "−δ/2·s": want - delta * score, "no noise": want - np.sqrt(delta) * z})


@checks("langevin", first=lambda: (0.1, 1.0, 2.5), needs=["langevin_step"], method="stationary variance")
def langevin_settles_in_one_over_one_less_a_quarter(check: Check, delta: float) -> None:
    """Check the stationary variance V = 1/(1 − δ/4) of V = A²·V + B² on N(0, 1), where s = −x."""
    target, one = check(plain_cases()[0]), np.ones((1, 1))
    kept = target.array("langevin_step", (1, 1), one, -one, delta, 0 * one)
    new = target.array("langevin_step", (1, 1), 0 * one, 0 * one, delta, one)
    check.equal("the stationary variance", new**2 / (1 - kept**2), one / (1 - delta / 4), at={"δ": delta}, slack=10)


@checks("annealed-langevin", first=chains, needs=["annealed_langevin"], method="closed form")
def annealed_langevin_step_by_step(check: Check, c: Chain) -> None:
    k, size, x, want = c.case.table, 0.25, c.x, []
    steps = [c.case.T, 1]
    for before, t in pairwise([c.case.T, *steps]):
        x = x * k.sqrt_alpha_bar[t] / k.sqrt_alpha_bar[before]
        for z in (c.noises[t], c.noises[1] / 2):
            delta, x0 = size * k.one_minus_alpha_bar[t], c.x0(x, t)
            x = x - delta / 2 * c.eps(x, t) / k.sqrt_one_minus_alpha_bar[t] + np.sqrt(delta) * z
        want.append((t, x, x0))
    want.append((0, c.x0(x, steps[-1]), c.x0(x, steps[-1])))

    def noise_at(t: int, i: int) -> np.ndarray:
        return c.noises[1] / 2 if i else c.noises[t]

    got = check(c.case).call("annealed_langevin", c.model, c.x, steps, noise_at, per_level=2, size=size, **c.prediction)
    _compare(check, c, "annealed Langevin dynamics", got, want)


@checks("interpolation", first=chains, needs=["interpolate"], method="closed form")
def interpolation_mixes_and_decodes(check: Check, c: Chain) -> None:
    """Check interpolations from t = T, 1 and 0 with a row for each λ."""
    first, second, z_first, z_second = c.x[0], c.noises[1][0], c.noises[2][0], 0.5 - c.x[0]
    share = np.array([0.0, 0.25, 1.0])
    column = share.reshape((3,) + (1,) * first.ndim)
    for depth in (c.case.T, 1, 0):
        mixed = (1 - column) * c.sampled(first, depth, z_first) + column * c.sampled(second, depth, z_second)
        want: list[tuple[Any, ...]] = [(depth, mixed)]
        for t in range(depth, 0, -1):
            x = want[-1][1]
            want.append((t - 1, c.down(x, t, c.noises[t][:1]), c.x0(x, t)))
        got = check(c.case).call("interpolate", c.model, first, second, depth, share, z_first, z_second,
                                 lambda t: np.concatenate([c.noises[t][:1]] * 3), **c.options)
        _compare(check, c, f"interpolation from t = {depth}", got, want)
        check.true(got[0][2] is None, f"{c.case!r}: interpolation yields an x̂₀ with the mixed x_t, which is not drawn "
                                      "from an estimate")


@checks("inpainting", first=chains, needs=["inpaint"], method="closed form")
def filling_in_step_by_step(check: Check, c: Chain) -> None:
    """Check inpainting, twice at each t: the known part by (4), the unknown part by Algorithm 2, then back by (2).

    The image is nan where it is unknown.
    """
    k, x, want = c.case.table, c.x, []
    image, mask = c.noises[1] / 2, (np.arange(c.x.size) % 2 == 0).reshape(c.x.shape)
    if c.x.size == 1:
        mask = ~mask
    noise = {"step": 1.0, "known": -0.5, "back": 0.25}
    asked: list[tuple[str, int, int]] = []

    def noise_at(what: str, t: int, i: int) -> np.ndarray:
        asked.append((str(what), int(t), int(i)))
        return (noise[str(what)] + i) * c.noises[max(int(t), 1)]

    for t in range(c.case.T, 0, -1):
        for i in range(2 if t > 1 else 1):
            kept, x0 = c.sampled(image, t - 1, noise_at("known", t, i)), c.x0(x, t)
            x = lower = np.where(mask, kept, c.down(x, t, noise_at("step", t, i)))
            if t > 1 and i == 0:
                x = k.sqrt_alpha[t] * lower + k.sqrt_beta[t] * noise_at("back", t, i)
        want.append((t - 1, lower, x0))
    by_hand = sorted(asked)
    asked.clear()
    known = np.where(mask, image, np.nan)
    got = check(c.case).call("inpaint", c.model, known, mask, c.x, noise_at, repeats=2, **c.options)
    _compare(check, c, "inpainting", got, want)
    check.true(sorted(asked) == by_hand, f"{c.case!r}: inpainting draws noise for {sorted(asked)}, expected {by_hand}")
    check.true((np.asarray(got[-1][1])[mask] == image.astype(np.asarray(got[-1][1]).dtype)[mask]).all(),
               f"{c.case!r}: the known pixels of the result differ from the image's")


@cache
def sent() -> tuple[tuple[int, list[tuple[int, np.ndarray, np.ndarray, np.ndarray]]], ...]:
    """Return (t, rate, distortion, x̂₀) for t = T, …, 0 of each chain, with a decoder of nine levels."""
    found = []
    for number, c in enumerate(chains()):
        k, T, x_0 = c.case.table, c.case.T, _image(c)
        rate = BITS * per_image(0.5 * (k.alpha_bar[T] * x_0**2 - k.alpha_bar[T] - np.log1p(-k.alpha_bar[T])))
        received = []
        for t in range(T, 0, -1):
            x_t = c.sampled(x_0, t, c.noises[t])
            x0 = c.x0(x_t, t)
            received.append((t, rate, 4 * np.sqrt(per_image((x_0 - x0) ** 2)), x0))
            mean, sigma2 = k.x0[t] * x0 + k.xt[t] * x_t, (k.small if c.variance == "small" else k.large)[t]
            if t == 1:
                term = -decoder_log_likelihood(x_0, mean, np.sqrt(sigma2), 9)
            else:
                tilde = k.x0[t] * x_0 + k.xt[t] * x_t
                term = 0.5 * (np.log(sigma2 / k.beta_tilde[t]) - 1 + (k.beta_tilde[t] + (tilde - mean) ** 2) / sigma2)
            rate = rate + BITS * per_image(term)
        received.append((0, rate, 0 * rate, x_0))
        found.append((number, received))
    return tuple(found)


def _image(c: Chain) -> np.ndarray:
    """Return data on the grid of nine levels."""
    return np.clip(np.round(2 * c.noises[1]) / 4, -1, 1)


def _received(check: Check, c: Chain) -> Any:
    return check(c.case).call("send", c.model, _image(c), lambda t: c.noises[t], levels=9, **c.options)


@checks("algorithm-3", first=sent, needs=["send"], method="closed form")
def rate_is_the_sum_of_terms(check: Check, drawn: Any) -> None:
    c, want = chains()[drawn[0]], drawn[1]
    got = _received(check, c)
    check.true([int(item[0]) for item in got] == [item[0] for item in want],
               f"{c.case!r}: expected a message for each t = T, …, 0")
    total = want[-1][1]
    for item, (t, rate, _, _) in zip(got, want, strict=True):
        check.equal(f"the rate at t = {t}", item[1], rate, case=c.case, scale=c.scale**2, mistakes={
            "nats": rate / BITS, "what is still to be sent": total - rate})


@checks("algorithm-4", first=sent, needs=["send"], method="closed form")
def distortion_of_what_is_received(check: Check, drawn: Any) -> None:
    c, want = chains()[drawn[0]], drawn[1]
    for item, (t, _, distortion, x0) in zip(_received(check, c), want, strict=True):
        check.equal(f"x̂₀ at t = {t}", item[3], x0, case=c.case, scale=c.scale)
        check.equal(f"the distortion at t = {t}", item[2], distortion, case=c.case, scale=4 * c.scale,
                    mistakes={"the mean square": distortion**2, "in the units of [−1, 1]": distortion / 4})


@checks("algorithm-4", first=chains, needs=["distortion"], method="formula")
def distortion_is_in_levels(check: Check, c: Chain) -> None:
    want = np.sqrt(per_image((c.x - c.noises[1]) ** 2)) * 127.5
    got = check(c.case).array("distortion", want.shape, c.x, c.noises[1])
    check.equal("√(mean (x₀ − x̂₀)²), 0–255", got, want, mistakes={
        "a factor 255": 2 * want, "in the units of [−1, 1]": want / 127.5, "a factor 256/2": want * 128 / 127.5})
