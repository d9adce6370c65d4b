"""Algorithm 2, ancestral sampling: from noise to images, from any step on, with x̂₀ as it goes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from ddpm_np.backend import Backend, get_backend, of
from ddpm_np.diffusion.reverse import Predictor, p_mean_variance
from ddpm_np.diffusion.schedule import Schedule, same_shape

NoiseAt = Callable[[int], Any]  # t -> standard normal numbers (N, …)


def p_sample(schedule: Schedule, model: Predictor, x_t: Any, t: Any, noise: Any, *, predicts: str = "eps",
             variance: Any = "small", clip: bool = False) -> Any:
    """One step of Algorithm 2: x_{t−1} = μ_θ(x_t, t) + σ_t·z, with z = 0 at t = 1.

    Checked as: algorithm-2.

    Parameters
    ----------
    model
        ε_θ(x_t, t), or what `predicts` says.
    x_t, noise
        Arrays (N, …); `noise` is z, ignored for images at t = 1.
    t
        Int array (N,), 1..T.
    predicts, variance, clip
        As in `p_mean_variance`.

    Returns
    -------
    (N, …)
        x_{t−1}.
    """
    return _step(schedule, model, x_t, t, noise, predicts=predicts, variance=variance, clip=clip)[0]


def _step(schedule: Schedule, model: Predictor, x_t: Any, t: Any, noise: Any, **options: Any) -> tuple[Any, Any]:
    """x_{t−1} and the x̂₀ that it was drawn by."""
    xp = of(x_t)
    same_shape("noise", noise, x_t)
    mean, sigma2, x0_hat = p_mean_variance(schedule, model, x_t, t, **options)
    not_last = xp.reshape(t > 1, (x_t.shape[0],) + (1,) * (x_t.ndim - 1))  # (N, 1, …)
    z = xp.where(not_last, noise, xp.zeros_like(noise))  # (N, …)
    return mean + xp.sqrt(sigma2) * z, x0_hat


def progressive(schedule: Schedule, model: Predictor, x_t: Any, noise_at: NoiseAt, *, start: int | None = None,
                predicts: str = "eps", variance: Any = "small", clip: bool = False) -> Iterator[tuple[int, Any, Any]]:
    """Algorithm 2 as it goes, from any step: yields (t − 1, x_{t−1}, x̂₀(x_t)) for t = start, …, 1.

    What the paper calls progressive generation (section 4.3, figure 6) is the x̂₀ of each step.

    Checked as: 1.

    Parameters
    ----------
    x_t
        (N, …), x at `start`: standard normal at T.
    noise_at
        t -> z (N, …); called once for each t from `start` to 2: there is no noise in the last step.
    start
        The first t; None for T.
    """
    xp, x = of(x_t), x_t
    start = schedule.T if start is None else start
    if not 0 <= start <= schedule.T:
        raise ValueError(f"start must be from 0 to T = {schedule.T}, got {start}")
    for t in range(start, 0, -1):
        steps = xp.full((x.shape[0],), t, dtype=xp.int64)  # (N,)
        noise = noise_at(t) if t > 1 else xp.zeros_like(x)
        x, x0_hat = _step(schedule, model, x, steps, noise, predicts=predicts, variance=variance, clip=clip)
        yield t - 1, x, x0_hat


def ancestral(schedule: Schedule, model: Predictor, x_T: Any, noise_at: NoiseAt, *, start: int | None = None,
              predicts: str = "eps", variance: Any = "small", clip: bool = False) -> Iterator[tuple[int, Any]]:
    """Algorithm 2: yields (t − 1, x_{t−1}) for t = T (or `start`), …, 1; the last is (0, x₀). As `progressive`.

    Checked as: 1.
    """
    options = {"start": start, "predicts": predicts, "variance": variance, "clip": clip}
    for t, x, _ in progressive(schedule, model, x_T, noise_at, **options):
        yield t, x


def last(chain: Iterator[tuple[int, Any]]) -> Any:
    """What a chain of (t, x_t) ends with: x₀."""
    return deque(chain, maxlen=1)[0][1]


def sample_with(schedule: Schedule, model: Predictor, x_T: Any, noises: Any, *, predicts: str = "eps",
                variance: Any = "small", clip: bool = False) -> Any:
    """Algorithm 2 with given noise: `noises` (T + 1, N, …), row t used at step t, rows 0 and 1 unused; x₀ (N, …).

    Checked as: 1.
    """
    options = {"predicts": predicts, "variance": variance, "clip": clip}
    return last(ancestral(schedule, model, x_T, lambda t: noises[t, ...], **options))


def first_noise(backend: Backend, seed: int, schedule: Schedule, first: int, n: int, shape: tuple[int, ...],
                dtype: str = "float32") -> Any:
    """x_T of the images `first` .. `first + n − 1` of a seed, (n, *shape): the same in any batch, for any sampler."""
    return backend.normal(seed, "sample/x_T", schedule.T, first, n, shape, dtype)


def step_noise(backend: Backend, seed: int, first: int, n: int, shape: tuple[int, ...], dtype: str = "float32",
               purpose: str = "sample") -> NoiseAt:
    """t -> z of step t of those images, (n, *shape)."""
    return lambda t: backend.normal(seed, purpose, t, first, n, shape, dtype)


def draw(schedule: Schedule, model: Predictor, n: int, shape: tuple[int, ...], *, seed: int = 0, first: int = 0,
         predicts: str = "eps", variance: Any = "large", clip: bool = True, dtype: str = "float32",
         backend: str | Backend = "numpy") -> Iterator[tuple[int, Any]]:
    """Algorithm 2 for the images `first` .. `first + n − 1` of a seed, as `ancestral` yields them.

    Image i's noise is a function of (seed, i, t) alone: it comes out the same in whatever batch it is drawn.

    Parameters
    ----------
    shape
        Of one image, (H, W, C).
    """
    device = get_backend(backend)
    x_T = first_noise(device, seed, schedule, first, n, shape, dtype)  # (n, *shape)
    noise_at = step_noise(device, seed, first, n, shape, dtype)
    return ancestral(schedule, model, x_T, noise_at, predicts=predicts, variance=variance, clip=clip)
