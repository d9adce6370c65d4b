"""The linear and cosine schedules, and the sinusoidal time embedding; the other schedules are in `extensions`."""

from __future__ import annotations

from fractions import Fraction
from functools import cache
from itertools import pairwise

import numpy as np

from ddpm_np.check.cases import plain_cases
from ddpm_np.check.comparison import Check
from ddpm_np.check.exact import mp50
from ddpm_np.check.registry import checks, equation

equation("linear-schedule", "β_t in equal steps", r"\beta_1 = 10^{-4},\ \dots,\ \beta_T = 0.02",
         "Ho et al. 2020, section 4", "diffusion.schedules.linear_schedule")
equation("cosine-schedule", "ᾱ_t by a squared cosine",
         r"\bar\alpha_t = \frac{f(t)}{f(0)},\ f(t) = \cos^2\left(\frac{t/T+s}{1+s}\cdot\frac{\pi}{2}\right),\ s = "
         r"0.008,\ \beta_t = \min\left(1-\frac{\bar\alpha_t}{\bar\alpha_{t-1}},\,0.999\right)",
         "Nichol & Dhariwal 2021, (17)", "diffusion.schedules.cosine_schedule")
equation("time-embedding", "sines and cosines of t",
         r"\omega_j = 10000^{-j/(d/2-1)},\ [\sin t\omega_0,\dots,\sin t\omega_{d/2-1},\cos t\omega_0,\dots]",
         "Ho et al. 2020, the authors' code; Vaswani et al. 2017", "models.unet.time_embedding")

LENGTHS = (2, 10, 1000)
DIMS = (4, 8, 128)
T_EMBEDDED = (0, 1, 7, 999)


@checks("linear-schedule", first=lambda: LENGTHS, needs=["schedule"])
def linear_from_end_to_end(check: Check, T: int) -> None:
    """Check both ends and equal steps for every T, without a factor 1000/T."""
    start, end = Fraction(1, 10_000), Fraction(1, 50)
    want = np.array([float(start + (end - start) * i / (T - 1)) for i in range(T)])
    t = np.arange(1, T + 1)
    got = check(plain_cases()[0]).schedule("linear", T)
    check.equal(f"β_t (linear, T={T})", got, want, at={"t": t}, mistakes=lambda: {
        "1000/T times it, as in guided-diffusion": want * 1000 / T,
        "√β_t in equal steps": np.linspace(1e-2, 0.02**0.5, T) ** 2,
        "the cosine schedule": cosine(T),
        "the end left out: T + 1 steps to 0.02": np.linspace(1e-4, 0.02, T + 1)[:-1],
        "the start left out": np.linspace(1e-4, 0.02, T + 1)[1:],
        "β_t one step late, after β₀ = 0": np.concatenate(([0.0], want[:-1])),
        "α_t": 1 - want,
        "ᾱ_t": np.cumprod(1 - want),
        "0.02 down to 1e-4": want[::-1],
        "logarithms in equal steps": np.geomspace(1e-4, 0.02, T),
        "0.0001 to 0.002": np.linspace(1e-4, 0.002, T),
        "0.001 to 0.02": np.linspace(1e-3, 0.02, T),
        "√β_t in equal steps from 0.00085 to 0.012, latent diffusion's": np.linspace(0.00085**0.5, 0.012**0.5, T) ** 2})


@cache
def cosine(T: int, s: str = "0.008", clip: float = 0.999, power: int = 2, shift: int = 0, over: int = 0) -> np.ndarray:
    """Return β₁..β_T by 50 digits; mistakes add `shift` to t and `over` to T."""
    offset = mp50.mpf(s)
    angles = [(mp50.mpf(t + shift) / (T + over) + offset) / (1 + offset) * mp50.pi / 2 for t in range(T + 1)]
    f = [mp50.cos(angle) ** power for angle in angles]
    betas = np.array([float(1 - after / before) for before, after in pairwise(f)])
    return np.minimum(betas, clip)


@checks("cosine-schedule", first=lambda: LENGTHS, needs=["schedule"], method="50 digits")
def cosine_by_its_definition(check: Check, T: int) -> None:
    want, t = cosine(T), np.arange(1, T + 1)
    got = check(plain_cases()[0]).schedule("cosine", T)
    check.equal(f"β_t (cosine, T={T})", got, want, at={"t": t}, mistakes=lambda: {
        "s = 0": cosine(T, "0"), "s = 0.08": cosine(T, "0.08"), "s = 0.0008": cosine(T, "0.0008"),
        "no clip at 0.999": cosine(T, clip=np.inf), "a clip at 0.9999": cosine(T, clip=0.9999),
        "a clip at 0.99": cosine(T, clip=0.99), "a clip at 0.02": cosine(T, clip=0.02),
        "a clip at 0.5": cosine(T, clip=0.5),
        "cos, without its square": cosine(T, power=1),
        "T − 1 for T": cosine(T, over=-1), "T + 1 for T": cosine(T, over=1),
        "t + 1 for t": cosine(T, shift=1),
        "the linear schedule": np.linspace(1e-4, 0.02, T), "α_t": 1 - want, "ᾱ_t": np.cumprod(1 - want),
        "0.0001 at least": np.maximum(want, 1e-4)})


@cache
def embedding(dim: int, convention: str, shift: int = 0, base: int = 10_000) -> np.ndarray:
    """Return the embeddings of t = 0, 1, 7, 999 by 50 digits, (4, dim), in a convention of `target.CONVENTIONS`."""
    half = dim // 2
    last = half if convention.endswith("_half") else half - 1
    angles = [[(t + shift) * mp50.mpf(base) ** (-mp50.mpf(j) / last) for j in range(half)] for t in T_EMBEDDED]
    sines = np.array([[float(mp50.sin(a)) for a in row] for row in angles])
    cosines = np.array([[float(mp50.cos(a)) for a in row] for row in angles])
    if convention == "interleaved_half":
        return np.stack([sines, cosines], axis=2).reshape(len(angles), dim)
    return np.concatenate([cosines, sines] if convention.startswith("cos") else [sines, cosines], axis=1)


@checks("time-embedding", first=lambda: DIMS, needs=["time_embedding"], method="50 digits")
def embedding_by_its_definition(check: Check, dim: int) -> None:
    target = check(plain_cases()[0])
    convention = target.declared["embedding"]
    want, t = embedding(dim, convention), np.array(T_EMBEDDED)

    def mistakes() -> dict[str, np.ndarray]:
        others = ("sin_cos", "cos_sin", "sin_cos_half", "cos_sin_half", "interleaved_half")
        other = {f"{name!r} (if meant, declare conventions = {{'embedding': {name!r}}})": embedding(dim, name)
                 for name in others if name != convention}
        sines, cosines = want[:, : dim // 2], want[:, dim // 2 :]
        return {**other, "t − 1: nothing is to be subtracted": embedding(dim, convention, -1),
                "t + 1: nothing is to be added": embedding(dim, convention, 1),
                "1000 for 10000": embedding(dim, convention, 0, 1000),
                "a sine for every number": np.concatenate([sines, sines], axis=1),
                "a cosine for every number": np.concatenate([cosines, cosines], axis=1),
                "sines and cosines alternating, 10000^(−j/(d/2 − 1))":
                    np.stack([sines, cosines], 2).reshape(want.shape)}

    got = target.time_embedding(t, dim)
    check.equal(f"the embedding (d={dim}, {convention})", got, want, scale=np.ones_like(want), mistakes=mistakes,
                at={"t": t, "position": np.arange(dim)[None]})
