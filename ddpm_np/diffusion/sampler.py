"""Algorithm 2, ancestral sampling: from noise to images, from any step on, with the estimate x̂₀ at each step."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from ddpm_np import arguments
from ddpm_np.backend import Array, Backend, Ints, get_backend, of
from ddpm_np.diffusion.images import same_shape, times
from ddpm_np.diffusion.reverse import Reverse, p_mean_log_variance
from ddpm_np.diffusion.schedule import Schedule

NoiseAt = Callable[[int], Array]  # t -> standard normal numbers (N, …)


def p_sample(reverse: Reverse, x_t: Array, t: Ints, noise: Array) -> Array:
    """Step of Algorithm 2: x_{t−1} = μ_θ(x_t, t) + σ_t·z, with z = 0 at t = 1.

    Checked as: algorithm-2.

    Parameters
    ----------
    reverse : Reverse
        The reverse process p_θ(x_{t−1} | x_t).
    x_t : array of shape (N, …)
        Noisy images.
    t : int array of shape (N,)
        Steps, 1..T.
    noise : array of shape (N, …)
        Noise z ~ N(0, I), ignored at t = 1.

    Returns
    -------
    array of shape (N, …)
        Images x_{t−1}.

    Raises
    ------
    ValueError
        If `noise` has another shape than `x_t`, or a t is out of range (not checked on CuPy).

    Notes
    -----
    Algorithm 2 of Ho et al. (2020). Verified by ``ddpm-np check --equation algorithm-2``.

    Examples
    --------
    >>> import numpy as np
    >>> from ddpm_np.diffusion import Schedule
    >>> schedule = Schedule.from_betas([9 / 25, 7 / 16])  # √α₂ = 3/4
    >>> reverse = Reverse(schedule, lambda x_t, t: 0 * x_t, variance=np.array([1.0, 1.0, 4.0]))
    >>> p_sample(reverse, np.array([[3.0]]), np.array([2]), np.array([[0.5]])).round(12)  # 3/(3/4) + 2·0.5
    array([[5.]])
    """
    mean, log_sigma2, _ = p_mean_log_variance(reverse, x_t, t)
    return add_noise(mean, log_sigma2, t, noise)


def add_noise(mean: Array, log_sigma2: Array, t: Ints, noise: Array) -> Array:
    """Add σ_t·z to the mean of x_{t−1}, and nothing at t = 1.

    Checked as: algorithm-2.

    Parameters
    ----------
    mean : array of shape (N, …)
        μ_θ(x_t, t).
    log_sigma2 : array of shape (N, 1, …) or (N, …)
        ln σ_t².
    t : int array of shape (N,)
        Steps, 1..T.
    noise : array of shape (N, …)
        Noise z ~ N(0, I).

    Returns
    -------
    array of shape (N, …)
        Images x_{t−1}.

    Raises
    ------
    ValueError
        If `noise` has another shape than `mean`.

    Notes
    -----
    Line 4 of Algorithm 2 of Ho et al. (2020). Verified by ``ddpm-np check --equation algorithm-2``.
    """
    same_shape("noise", noise, mean)
    space, xp = of(log_sigma2), of(noise)
    sigma = space.sqrt(space.exp(log_sigma2))  # (N, 1, …), or (N, …) where it is learned
    not_last = xp.reshape(t > 1, (noise.shape[0],) + (1,) * (noise.ndim - 1))  # (N, 1, …)
    z = xp.where(not_last, noise, xp.zeros_like(noise))  # (N, …)
    return mean + sigma * z


def ancestral(reverse: Reverse, x_T: Array, noise_at: NoiseAt, *,
              start: int | None = None) -> Iterator[tuple[int, Array, Array]]:
    """Algorithm 2: x_{t−1} = μ_θ(x_t, t) + σ_t·z for t = T, …, 1, or from any other step on.

    The last x is x₀. The estimates x̂₀ are the paper's progressive generation (section 4.3, figure 6).

    Checked as: 1.

    Parameters
    ----------
    reverse : Reverse
        The reverse process p_θ(x_{t−1} | x_t).
    x_T : array of shape (N, …)
        The images at `start`: standard normal noise at T.
    noise_at : callable
        Maps t to the noise z of shape (N, …); called once for each t from `start` to 2.
    start : int, optional
        The first t, 0..T; T by default.

    Yields
    ------
    t : int
        The step reached: start − 1, …, 0.
    x_t : array of shape (N, …)
        Images at that step.
    x0_hat : array of shape (N, …)
        Estimate x̂₀ from which they were drawn.

    Raises
    ------
    ValueError
        If `start` is out of range.

    Notes
    -----
    Equation (1) and Algorithm 2 of Ho et al. (2020). Verified by ``ddpm-np check --equation 1``.

    Examples
    --------
    >>> import numpy as np
    >>> from ddpm_np.diffusion import Schedule
    >>> reverse = Reverse(Schedule.from_betas([9 / 25, 7 / 16]), lambda x_t, t: 0 * x_t)
    >>> for t, x, x0_hat in ancestral(reverse, np.array([[0.6]]), lambda t: np.zeros((1, 1))):
    ...     print(t, x.round(12), x0_hat.round(12))  # ε_θ = 0 and z = 0: x₁ = x₂/(3/4), x₀ = x₁/(4/5)
    1 [[0.8]] [[1.]]
    0 [[1.]] [[1.]]
    """
    T, x = reverse.schedule.T, x_T
    start = T if start is None else start
    arguments.count("start", start, 0, T)
    for t in range(start, 0, -1):
        noise = noise_at(t) if t > 1 else of(x).zeros_like(x)
        now = times(x, t)  # (N,)
        mean, log_sigma2, x0_hat = p_mean_log_variance(reverse, x, now)
        x = add_noise(mean, log_sigma2, now, noise)
        yield t - 1, x, x0_hat


def last(chain: Iterator[tuple[Any, ...]]) -> Array:
    """Return the last x of a sampler's chain: x₀.

    Parameters
    ----------
    chain : iterator of tuples
        The tuples (t, x_t, …) that a sampler yields.

    Returns
    -------
    array of shape (N, …)
        The images of the last tuple.

    Raises
    ------
    ValueError
        If there is none.

    Examples
    --------
    >>> last(iter([(1, "x_1"), (0, "x_0")]))
    'x_0'
    """
    end = deque(chain, maxlen=1)
    if not end:
        raise ValueError("the chain has no steps: start it at t = 1 or above")
    return end[0][1]


def sample_with(reverse: Reverse, x_T: Array, noises: Array) -> Array:
    """Algorithm 2 with given noise: x₀ as a function of x_T and z_T, …, z₂.

    Checked as: 1.

    Parameters
    ----------
    reverse : Reverse
        The reverse process p_θ(x_{t−1} | x_t).
    x_T : array of shape (N, …)
        Standard normal noise.
    noises : array of shape (T + 1, N, …)
        Standard normal noise: row t is z at step t, rows 0 and 1 are unused.

    Returns
    -------
    array of shape (N, …)
        Images x₀.

    Notes
    -----
    Equation (1) and Algorithm 2 of Ho et al. (2020). Verified by ``ddpm-np check --equation 1``.
    """
    return last(ancestral(reverse, x_T, lambda t: noises[t, ...]))


def first_noise(backend: Backend, seed: int, schedule: Schedule, first: int, n: int, shape: tuple[int, ...],
                dtype: str = "float32") -> Array:
    """Return x_T of the images `first` .. `first + n − 1` of a seed: the same in any batch and for any sampler.

    Parameters
    ----------
    backend : Backend
        Where to make the array.
    seed : int
        The seed.
    schedule : Schedule
        The schedule, for its T.
    first : int
        Number of the first image.
    n : int
        How many images.
    shape : tuple of int
        Shape of one image, (H, W, C).
    dtype : str
        Floating dtype.

    Returns
    -------
    array of shape (n, *shape)
        Standard normal noise.
    """
    return backend.normal(seed, "sample/x_T", schedule.T, first, n, shape, dtype)


def step_noise(backend: Backend, seed: int, first: int, n: int, shape: tuple[int, ...], dtype: str = "float32",
               purpose: str = "sample") -> NoiseAt:
    """Return a function from t to the noise z of that step, for the images `first` .. `first + n − 1` of a seed.

    Parameters
    ----------
    backend : Backend
        Where to make the arrays.
    seed : int
        The seed.
    first : int
        Number of the first image.
    n : int
        How many images.
    shape : tuple of int
        Shape of one image, (H, W, C).
    dtype : str
        Floating dtype.
    purpose : str
        Name of the random stream; streams of different names are independent.

    Returns
    -------
    callable
        Maps t to standard normal noise of shape (n, *shape).
    """
    return lambda t: backend.normal(seed, purpose, t, first, n, shape, dtype)


def draw(reverse: Reverse, n: int, shape: tuple[int, ...], *, seed: int = 0, first: int = 0, dtype: str = "float32",
         backend: str | Backend = "numpy") -> Iterator[tuple[int, Array, Array]]:
    """Sample images by Algorithm 2, as `ancestral`, with the noise of a seed.

    The noise of image i is a function of (seed, i, t) alone, so that the image is the same in any batch, on a GPU
    up to rounding.

    Parameters
    ----------
    reverse : Reverse
        The reverse process p_θ(x_{t−1} | x_t).
    n : int
        How many images.
    shape : tuple of int
        Shape of one image, (H, W, C).
    seed : int
        The seed.
    first : int
        Number of the first image: `first` .. `first + n − 1` are drawn.
    dtype : str
        Floating dtype.
    backend : str or Backend
        Where to compute.

    Returns
    -------
    iterator of (int, array, array)
        The triples (t, x_t, x̂₀) for t = T − 1, …, 0.

    Examples
    --------
    >>> from ddpm_np.diffusion import Gaussian, linear_schedule
    >>> schedule = linear_schedule(50, end=0.4)
    >>> reverse = Reverse(schedule, Gaussian(schedule, 0.0, 0.25).eps)  # the exact net of data N(0, 0.25)
    >>> pair, second = last(draw(reverse, 2, (8, 8, 1))), last(draw(reverse, 1, (8, 8, 1), first=1))
    >>> bool((pair[1] == second[0]).all())
    True
    """
    device = get_backend(backend)
    x_T = first_noise(device, seed, reverse.schedule, first, n, shape, dtype)  # (n, *shape)
    return ancestral(reverse, x_T, step_noise(device, seed, first, n, shape, dtype))
