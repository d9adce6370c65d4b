"""Algorithm 2, ancestral sampling: from noise to images, from any step on, with x̂₀ as it goes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from ddpm_np.backend import Array, Backend, Ints, get_backend, of
from ddpm_np.diffusion.images import same_shape, times
from ddpm_np.diffusion.reverse import Reverse, p_mean_log_variance
from ddpm_np.diffusion.schedule import Schedule

NoiseAt = Callable[[int], Array]  # t -> standard normal numbers (N, …)


def p_sample(reverse: Reverse, x_t: Array, t: Ints, noise: Array) -> Array:
    """Draw x_{t−1} = μ_θ(x_t, t) + σ_t·z, one step of Algorithm 2, with z = 0 at t = 1.

    Checked as: algorithm-2.

    Parameters
    ----------
    reverse
        The reverse process p_θ(x_{t−1} | x_t).
    x_t, noise
        Arrays (N, …); `noise` is z, ignored for images at t = 1.
    t
        Int array (N,), 1..T.

    Returns
    -------
    (N, …)
        x_{t−1}.
    """
    return step(reverse, x_t, t, noise)[0]


def step(reverse: Reverse, x_t: Array, t: Ints, noise: Array) -> tuple[Array, Array]:
    """`p_sample`, with the x̂₀ from which x_{t−1} was drawn; (N, …) each."""
    same_shape("noise", noise, x_t)
    mean, log_sigma2, x0_hat = p_mean_log_variance(reverse, x_t, t)
    space, xp = of(log_sigma2), of(x_t)
    sigma = space.sqrt(space.exp(log_sigma2))  # (N, 1, …), or (N, …) where it is learned
    not_last = xp.reshape(t > 1, (x_t.shape[0],) + (1,) * (x_t.ndim - 1))  # (N, 1, …)
    z = xp.where(not_last, noise, xp.zeros_like(noise))  # (N, …)
    return mean + sigma * z, x0_hat


def ancestral(reverse: Reverse, x_T: Array, noise_at: NoiseAt, *,
              start: int | None = None) -> Iterator[tuple[int, Array, Array]]:
    """Algorithm 2, from T or any other step: yields (t − 1, x_{t−1}, x̂₀(x_t)) for t = start, …, 1.

    The last x is x₀. The x̂₀ of each step are what the paper calls progressive generation (section 4.3, figure 6).

    Checked as: 1.

    Parameters
    ----------
    reverse
        The reverse process.
    x_T
        (N, …), x at `start`: standard normal at T.
    noise_at
        t -> z (N, …); called once for each t from `start` to 2: there is no noise in the last step.
    start
        The first t, 0..T; None for T.

    Yields
    ------
    (t, x_t, x0_hat)
        x_t (N, …) and the estimate x̂₀ (N, …) from which it was drawn.
    """
    T, x = reverse.schedule.T, x_T
    start = T if start is None else start
    if not 0 <= start <= T:
        raise ValueError(f"start must be from 0 to T = {T}, got {start}")
    for t in range(start, 0, -1):
        noise = noise_at(t) if t > 1 else of(x).zeros_like(x)
        x, x0_hat = step(reverse, x, times(x, t), noise)
        yield t - 1, x, x0_hat


def last(chain: Iterator[tuple[Any, ...]]) -> Array:
    """The last x of a chain of (t, x_t, …): x₀ of a sampler."""
    return deque(chain, maxlen=1)[0][1]


def sample_with(reverse: Reverse, x_T: Array, noises: Array) -> Array:
    """Algorithm 2 with given noise: `noises` (T + 1, N, …), row t used at step t, rows 0 and 1 unused; x₀ (N, …).

    Checked as: 1.
    """
    return last(ancestral(reverse, x_T, lambda t: noises[t, ...]))


def first_noise(backend: Backend, seed: int, schedule: Schedule, first: int, n: int, shape: tuple[int, ...],
                dtype: str = "float32") -> Array:
    """x_T of the images `first` .. `first + n − 1` of a seed, (n, *shape): the same in any batch, for any sampler."""
    return backend.normal(seed, "sample/x_T", schedule.T, first, n, shape, dtype)


def step_noise(backend: Backend, seed: int, first: int, n: int, shape: tuple[int, ...], dtype: str = "float32",
               purpose: str = "sample") -> NoiseAt:
    """t -> z of step t of those images, (n, *shape)."""
    return lambda t: backend.normal(seed, purpose, t, first, n, shape, dtype)


def draw(reverse: Reverse, n: int, shape: tuple[int, ...], *, seed: int = 0, first: int = 0, dtype: str = "float32",
         backend: str | Backend = "numpy") -> Iterator[tuple[int, Array, Array]]:
    """Algorithm 2 for the images `first` .. `first + n − 1` of a seed, as `ancestral` yields them.

    Image i's noise is a function of (seed, i, t) alone: it comes out the same in whatever batch it is drawn.

    Parameters
    ----------
    reverse
        The reverse process.
    n
        Number of images.
    shape
        Of one image, (H, W, C).
    """
    device = get_backend(backend)
    x_T = first_noise(device, seed, reverse.schedule, first, n, shape, dtype)  # (n, *shape)
    return ancestral(reverse, x_T, step_noise(device, seed, first, n, shape, dtype))
