"""Samplers by name, and the random numbers of images: a function of the seed and the image's number."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from ddpm_np import arguments, diffusion
from ddpm_np.backend import Array, Backend, Ints, is_floating, of

SAMPLERS = ("ddpm", "ddim", "langevin")


@dataclass(frozen=True)
class ImageNoise:
    """The random numbers of the images `first` .. `first + n − 1` of a seed: the same in any batch.

    On another backend they are the same up to rounding.

    Attributes
    ----------
    backend : Backend
        Where the arrays are made.
    seed : int
    first, n : int
        The number of the first image, and the number of images.
    shape : tuple of int
        (H, W, C) of an image.
    dtype : str

    Examples
    --------
    >>> from ddpm_np.backend import get_backend
    >>> noise = ImageNoise(get_backend("numpy"), seed=0, first=2, n=3, shape=(8, 8, 1))
    >>> noise.at_step(7).shape
    (3, 8, 8, 1)
    """

    backend: Backend
    seed: int
    first: int
    n: int
    shape: tuple[int, ...]
    dtype: str = "float32"

    def x_T(self, schedule: diffusion.Schedule) -> Array:
        """Return x_T, from which every sampler starts.

        Parameters
        ----------
        schedule : Schedule
            β₁..β_T; x_T depends on T.

        Returns
        -------
        array of shape (n, *shape)
            Standard normal.
        """
        return diffusion.first_noise(self.backend, self.seed, schedule, self.first, self.n, self.shape, self.dtype)

    def at_step(self, t: int) -> Array:
        """Return the noise z of a step.

        Parameters
        ----------
        t : int
            The step; each has noise of its own.

        Returns
        -------
        array of shape (n, *shape)
            Standard normal.
        """
        return diffusion.step_noise(self.backend, self.seed, self.first, self.n, self.shape, self.dtype)(t)


@dataclass(frozen=True)
class Sampler:
    """A sampler by name: which chain leads from x_T to images, and by which steps.

    Attributes
    ----------
    name : str
        ``"ddpm"`` (Algorithm 2), ``"ddim"`` or ``"langevin"`` (annealed Langevin dynamics).
    steps : int or None
        Number of the steps 1..T that are visited; None for all of them, and for 50 with DDIM.
    spacing : str
        How those are spaced, see `diffusion.timesteps`.
    eta : float
        DDIM's η, 0 to 1.
    per_level : int
        Steps of Langevin dynamics at each t.
    size : float
        Size of such a step, in units of 1 − ᾱ_t.

    Raises
    ------
    ValueError
        If there is no sampler or spacing of that name, or `steps` is below 1.

    Examples
    --------
    >>> Sampler("ddim", steps=4).visits(1000)
    [1000, 750, 500, 250]
    """

    name: str = "ddpm"
    steps: int | None = None
    spacing: str = "trailing"
    eta: float = 0.0
    per_level: int = 5
    size: float = 0.1

    def __post_init__(self) -> None:
        arguments.one_of("sampler", self.name, SAMPLERS)
        arguments.one_of("spacing", self.spacing, diffusion.SPACINGS)
        if self.steps is not None:
            arguments.count("steps", self.steps)

    def visits(self, T: int) -> list[int]:
        """Return the steps of 1..T that are visited.

        Parameters
        ----------
        T : int
            Number of steps of the schedule.

        Returns
        -------
        list of int
            Descending.

        Raises
        ------
        ValueError
            If `steps` is not from 1 to T, or the spacing is unknown.
        """
        n = self.steps if self.steps is not None else min(50, T) if self.name == "ddim" else T
        return diffusion.timesteps(T, n, self.spacing)

    def chain(self, reverse: diffusion.Reverse, noise: ImageNoise) -> Iterator[tuple[int, Array, Array]]:
        """Run the chain of some images.

        Parameters
        ----------
        reverse : Reverse
            The reverse process p_θ(x_{t−1} | x_t).
        noise : ImageNoise
            The images' random numbers.

        Returns
        -------
        iterator of (t, x_t, x0_hat)
            Down to t = 0 (for Algorithm 2 in fewer steps, t counts the visits); x_t and the prediction of x₀ from which
            it was computed are arrays of shape (n, *shape).

        Raises
        ------
        TypeError
            If the model of `reverse` returns no array of floating numbers.
        ValueError
            If it returns another shape than that of x_t, or than (n, …, 2C) for a learned variance.
        """
        reverse = dataclasses.replace(reverse, model=partial(_array_of, reverse.model))
        x_T, visits = noise.x_T(reverse.schedule), self.visits(reverse.schedule.T)
        if self.name == "ddim":
            return diffusion.ddim(reverse, x_T, visits, noise.at_step, eta=self.eta)
        if self.name == "langevin":
            return diffusion.annealed_langevin(
                reverse, x_T, visits, lambda t, k: noise.at_step(t * self.per_level + k), per_level=self.per_level,
                size=self.size)
        if len(visits) < reverse.schedule.T:
            reverse = diffusion.respace(reverse, visits)
        return diffusion.ancestral(reverse, x_T, noise.at_step)


def _array_of(model: diffusion.Denoiser, x: Array, t: Ints) -> Array:
    """Return the prediction of a model of the caller's, after checking that it is an array."""
    y = model(x, t)
    if not hasattr(y, "shape") or of(y).name == "tensor":
        raise TypeError(f"the model must return an array of shape {tuple(x.shape)}, got {type(y).__name__}: pass "
                        "predictor(net) for a net")
    if not is_floating(y):
        raise TypeError(f"the model must return floating numbers, got dtype {y.dtype}")
    return y
