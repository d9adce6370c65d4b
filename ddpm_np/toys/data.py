"""Three sets of points in the plane: a swiss roll, two moons, a mixture of five Gaussians.

Each is x₀ = c(u) + σ·z with u ~ U(0, 1) and z ~ N(0, I): a curve or a few points with a little noise around them. The
noise gives the data a density, without which the bound would have no minimum. A curve is a limit of mixtures of points,
so the optimal ε* is known for all three (`Toy.oracle`). Each has a variance of about 1, averaged over both dimensions.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches

import numpy as np

from ddpm_np.backend import get_backend
from ddpm_np.diffusion import Schedule
from ddpm_np.diffusion.oracle import Mixture

WEIGHTS = (0.3, 0.25, 0.2, 0.15, 0.1)  # weights of the mixture's components
RADIUS = 1.4  # radius of the circle of their centres


def roll_curve(u: np.ndarray) -> np.ndarray:
    """Return c(u) = θ·(cos θ, sin θ)/7, θ = (3π/2)·(1 + 2u): one and a half turns of a spiral.

    Parameters
    ----------
    u : array of shape (n,)
        Parameters in (0, 1).

    Returns
    -------
    array of shape (n, 2)
        The points.
    """
    theta = 1.5 * math.pi * (1 + 2 * u)  # (n,)
    return theta[:, None] * np.stack([np.cos(theta), np.sin(theta)], axis=1) / 7


def moons_curve(u: np.ndarray) -> np.ndarray:
    """Return c(u) = ±√2·(cos φ − ½, sin φ − ¼), φ = 2πu modulo π, + for u < ½.

    These are two interlocking half circles. One is the other rotated by 180° about the origin, so the mean is 0.

    Parameters
    ----------
    u : array of shape (n,)
        Parameters in (0, 1).

    Returns
    -------
    array of shape (n, 2)
        The points.
    """
    phi = 2 * math.pi * u % math.pi  # (n,)
    upper = math.sqrt(2) * np.stack([np.cos(phi) - 0.5, np.sin(phi) - 0.25], axis=1)  # (n, 2)
    return np.where(u[:, None] < 0.5, upper, -upper)


def mixture_centres() -> np.ndarray:
    """Return the mixture's centres m_k = 1.4·(cos φ_k, sin φ_k), φ_k = 2πk/5 + π/2.

    Returns
    -------
    array of shape (5, 2)
        The centres.
    """
    phi = 2 * math.pi * np.arange(len(WEIGHTS)) / len(WEIGHTS) + math.pi / 2  # (5,)
    return RADIUS * np.stack([np.cos(phi), np.sin(phi)], axis=1)


def mixture_points(u: np.ndarray) -> np.ndarray:
    """Return c(u) = m_k for u between w₁ + … + w_{k−1} and w₁ + … + w_k.

    Parameters
    ----------
    u : array of shape (n,)
        Parameters in (0, 1).

    Returns
    -------
    array of shape (n, 2)
        A centre for each u.
    """
    return mixture_centres()[np.searchsorted(np.cumsum(WEIGHTS[:-1]), u, side="right")]


@dataclass(frozen=True)
class Toy:
    """A toy distribution: x₀ = c(u) + σ·z, u ~ U(0, 1), z ~ N(0, I).

    Parameters
    ----------
    name : str
        Name of the toy.
    curve : callable
        The curve c, u of shape (n,) in (0, 1) -> points (n, 2).
    sigma : float
        Standard deviation σ of the noise.
    """

    name: str
    curve: Callable[[np.ndarray], np.ndarray]
    sigma: float

    def sample(self, n: int, seed: int = 0, first: int = 0, dtype: str = "float32") -> np.ndarray:
        """Return the points `first` .. `first + n − 1` of a seed, each of which depends on the seed and its number.

        Parameters
        ----------
        n : int
            Number of points.
        seed : int
            The seed.
        first : int
            Number of the first point.
        dtype : str
            Dtype of the result.

        Returns
        -------
        array of shape (n, 2)
            The points.
        """
        device = get_backend()
        u = device.uniform(seed, f"toy/{self.name}/u", 0, first, n, ())  # (n,)
        z = device.normal(seed, f"toy/{self.name}/z", 0, first, n, (2,))  # (n, 2)
        return (self.curve(u) + self.sigma * z).astype(dtype)

    def oracle(self, schedule: Schedule, points: int = 1000) -> Mixture:
        """Return the data as the mixture Σ_k w_k·N(c_k, σ²·I), c_k = c((k + ½)/points), whose optimal ε* is known.

        This is exact for the mixture. For a curve the midpoint rule turns the integral over u into a sum: with 1,000
        points, spaced closer than σ/3, the root mean square error of ε* over the data is at most 0.0002.

        Parameters
        ----------
        schedule : Schedule
            The schedule.
        points : int
            Number of c_k.

        Returns
        -------
        Mixture
            The mixture.
        """
        centres = self.curve((np.arange(points) + 0.5) / points)  # (points, 2)
        centres, counts = np.unique(centres, axis=0, return_counts=True)  # (K, 2), (K,)
        return Mixture(schedule, counts / points, centres, np.full(len(centres), self.sigma**2))


TOYS = {t.name: t for t in (Toy("swiss-roll", roll_curve, 0.06), Toy("moons", moons_curve, 0.1),
                            Toy("mixture", mixture_points, 0.2))}


def toy(name: str) -> Toy:
    """Return the toy of a given name.

    Parameters
    ----------
    name : str
        A name in `TOYS`.

    Returns
    -------
    Toy
        The toy.

    Raises
    ------
    ValueError
        If there is no toy of this name.

    Examples
    --------
    >>> toy("moons").sigma
    0.1
    """
    if name not in TOYS:
        close = get_close_matches(str(name), TOYS, 1)
        raise ValueError(f"no toy is called {name!r}: "
                         + (f"did you mean {close[0]!r}?" if close else f"there are {', '.join(TOYS)}"))
    return TOYS[name]


def swiss_roll(n: int, seed: int = 0) -> np.ndarray:
    """Draw x₀ = θ·(cos θ, sin θ)/7 + 0.06·z, θ uniform on (3π/2, 9π/2).

    Parameters
    ----------
    n : int
        Number of points.
    seed : int
        The seed.

    Returns
    -------
    float32 array of shape (n, 2)
        The points.

    Examples
    --------
    >>> swiss_roll(2).shape, swiss_roll(2).dtype
    ((2, 2), dtype('float32'))
    """
    return TOYS["swiss-roll"].sample(n, seed)


def moons(n: int, seed: int = 0) -> np.ndarray:
    """Draw x₀ = ±√2·(cos φ − ½, sin φ − ¼) + 0.1·z, φ uniform on (0, π), both signs equally likely.

    Parameters
    ----------
    n : int
        Number of points.
    seed : int
        The seed.

    Returns
    -------
    float32 array of shape (n, 2)
        The points.
    """
    return TOYS["moons"].sample(n, seed)


def mixture(n: int, seed: int = 0) -> np.ndarray:
    """Draw x₀ = m_k + 0.2·z, five m_k on a circle of radius 1.4 with weights 0.3, 0.25, 0.2, 0.15, 0.1.

    Parameters
    ----------
    n : int
        Number of points.
    seed : int
        The seed.

    Returns
    -------
    float32 array of shape (n, 2)
        The points.
    """
    return TOYS["mixture"].sample(n, seed)
