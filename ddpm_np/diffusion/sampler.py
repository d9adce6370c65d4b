"""Samplers: from noise to images."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from ddpm_np.backend import Backend, get_backend, of
from ddpm_np.diffusion.reverse import Predictor, p_mean_variance
from ddpm_np.diffusion.schedule import Schedule, same_shape


def p_sample(schedule: Schedule, model: Predictor, x_t: Any, t: Any, noise: Any, *, variance: Any = "small",
             clip: bool = False) -> Any:
    """One step of Algorithm 2: x_{t−1} = μ_θ(x_t, t) + σ_t·z, with z = 0 at t = 1.

    Parameters
    ----------
    model
        ε_θ(x_t, t).
    x_t, noise
        Arrays (N, …); `noise` is z, ignored for images at t = 1.
    t
        Int array (N,), 1..T.
    variance, clip
        As in `p_mean_variance`.

    Returns
    -------
    (N, …)
        x_{t−1}.
    """
    xp = of(x_t)
    same_shape("noise", noise, x_t)
    mean, sigma2, _ = p_mean_variance(schedule, model, x_t, t, variance=variance, clip=clip)
    not_last = xp.reshape(t > 1, (x_t.shape[0],) + (1,) * (x_t.ndim - 1))  # (N, 1, …)
    z = xp.where(not_last, noise, xp.zeros_like(noise))  # (N, …)
    return mean + xp.sqrt(sigma2) * z


def ancestral(schedule: Schedule, model: Predictor, x_T: Any, noise_at: Callable[[int], Any], *,
              variance: Any = "small", clip: bool = False) -> Iterator[tuple[int, Any]]:
    """Algorithm 2 as it goes: yields (t − 1, x_{t−1}) for t = T, …, 1; the last is (0, x₀).

    Parameters
    ----------
    x_T
        (N, …), standard normal.
    noise_at
        t -> z (N, …); called once for each t from T to 2: there is no noise in the last step.
    """
    xp, x = of(x_T), x_T
    for t in range(schedule.T, 0, -1):
        steps = xp.full((x.shape[0],), t, dtype=xp.int64)  # (N,)
        noise = noise_at(t) if t > 1 else xp.zeros_like(x)
        x = p_sample(schedule, model, x, steps, noise, variance=variance, clip=clip)
        yield t - 1, x


def sample_with(schedule: Schedule, model: Predictor, x_T: Any, noises: Any, *, variance: Any = "small",
                clip: bool = False) -> Any:
    """Algorithm 2 with given noise: `noises` (T + 1, N, …), row t used at step t, rows 0 and 1 unused; x₀ (N, …)."""
    chain = ancestral(schedule, model, x_T, lambda t: noises[t, ...], variance=variance, clip=clip)
    return deque(chain, maxlen=1)[0][1]


def draw(schedule: Schedule, model: Predictor, n: int, shape: tuple[int, ...], *, seed: int = 0, first: int = 0,
         variance: Any = "large", clip: bool = True, dtype: str = "float32", backend: str | Backend = "numpy",
         ) -> Iterator[tuple[int, Any]]:
    """Algorithm 2 for the images `first` .. `first + n − 1` of a seed, as `ancestral` yields them.

    Image i's noise is a function of (seed, i, t) alone: it comes out the same in whatever batch it is drawn.

    Parameters
    ----------
    shape
        Of one image, (H, W, C).
    """
    device = get_backend(backend)

    def noise_at(t: int) -> Any:
        return device.normal(seed, "sample", t, first, n, shape, dtype)

    x_T = device.normal(seed, "sample/x_T", schedule.T, first, n, shape, dtype)  # (n, *shape)
    return ancestral(schedule, model, x_T, noise_at, variance=variance, clip=clip)
