"""Three sets of points in the plane: a swiss roll, two moons, a mixture of five Gaussians.

Each is x₀ = c(u) + σ·z with u ~ U(0, 1) and z ~ N(0, I): a curve, or a few points, with a little noise about it. The
noise gives the data a density, without which the bound has no least value; and since a curve is a mixture of as many
points as one likes, the best ε* there can be is known for all three (`Toy.oracle`). All have a variance of about 1, as
a mean over both dimensions.
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

WEIGHTS = (0.3, 0.25, 0.2, 0.15, 0.1)  # of the mixture's components
RADIUS = 1.4  # of the circle that they stand on


def roll_curve(u: np.ndarray) -> np.ndarray:
    """c(u) = θ·(cos θ, sin θ)/7, θ = (3π/2)·(1 + 2u): one turn and a half of a spiral; (n,) -> (n, 2)."""
    theta = 1.5 * math.pi * (1 + 2 * u)  # (n,)
    return theta[:, None] * np.stack([np.cos(theta), np.sin(theta)], axis=1) / 7


def moons_curve(u: np.ndarray) -> np.ndarray:
    """c(u) = ±√2·(cos φ − ½, sin φ − ¼), φ = 2πu modulo π, + for u < ½: two half circles, each through the other.

    One is the other turned by 180° about the origin, so the mean is 0. (n,) -> (n, 2).
    """
    phi = 2 * math.pi * u % math.pi  # (n,)
    upper = math.sqrt(2) * np.stack([np.cos(phi) - 0.5, np.sin(phi) - 0.25], axis=1)  # (n, 2)
    return np.where(u[:, None] < 0.5, upper, -upper)


def mixture_centres() -> np.ndarray:
    """m_k = 1.4·(cos φ_k, sin φ_k), φ_k = 2πk/5 + π/2; (5, 2)."""
    phi = 2 * math.pi * np.arange(len(WEIGHTS)) / len(WEIGHTS) + math.pi / 2  # (5,)
    return RADIUS * np.stack([np.cos(phi), np.sin(phi)], axis=1)


def mixture_points(u: np.ndarray) -> np.ndarray:
    """c(u) = m_k for u between w₁ + … + w_{k−1} and w₁ + … + w_k; (n,) -> (n, 2)."""
    return mixture_centres()[np.searchsorted(np.cumsum(WEIGHTS[:-1]), u, side="right")]


@dataclass(frozen=True)
class Toy:
    """x₀ = c(u) + σ·z, u ~ U(0, 1), z ~ N(0, I).

    Attributes
    ----------
    name : str
    curve : callable
        c, (n,) in (0, 1) -> (n, 2).
    sigma : float
    """

    name: str
    curve: Callable[[np.ndarray], np.ndarray]
    sigma: float

    def sample(self, n: int, seed: int = 0, first: int = 0, dtype: str = "float32") -> np.ndarray:
        """The points `first` .. `first + n − 1` of a seed, (n, 2): each a function of the seed and its number."""
        device = get_backend()
        u = device.uniform(seed, f"toy/{self.name}/u", 0, first, n, ())  # (n,)
        z = device.normal(seed, f"toy/{self.name}/z", 0, first, n, (2,))  # (n, 2)
        return (self.curve(u) + self.sigma * z).astype(dtype)

    def oracle(self, schedule: Schedule, points: int = 1000) -> Mixture:
        """The data as Σ_k w_k·N(c_k, σ²·I), of which everything is known; c_k = c((k + ½)/points).

        Exact for the mixture. A curve's integral over u becomes a sum by the midpoint rule: with 1,000 points,
        which lie nearer to one another than σ/3, ε* is right to 0.0002 (the root of the mean square over the data).
        """
        centres = self.curve((np.arange(points) + 0.5) / points)  # (points, 2)
        centres, counts = np.unique(centres, axis=0, return_counts=True)  # (K, 2), (K,)
        return Mixture(schedule, counts / points, centres, np.full(len(centres), self.sigma**2))


TOYS = {t.name: t for t in (Toy("swiss-roll", roll_curve, 0.06), Toy("moons", moons_curve, 0.1),
                            Toy("mixture", mixture_points, 0.2))}


def toy(name: str) -> Toy:
    """The toy of a name in `TOYS`.

    >>> toy("moons").sigma
    0.1
    """
    if name not in TOYS:
        close = get_close_matches(str(name), TOYS, 1)
        raise ValueError(f"no toy is called {name!r}: "
                         + (f"did you mean {close[0]!r}?" if close else f"there are {', '.join(TOYS)}"))
    return TOYS[name]


def swiss_roll(n: int, seed: int = 0) -> np.ndarray:
    """x₀ = θ·(cos θ, sin θ)/7 + 0.06·z, θ uniform on (3π/2, 9π/2); (n, 2).

    >>> swiss_roll(2).shape, swiss_roll(2).dtype
    ((2, 2), dtype('float32'))
    """
    return TOYS["swiss-roll"].sample(n, seed)


def moons(n: int, seed: int = 0) -> np.ndarray:
    """x₀ = ±√2·(cos φ − ½, sin φ − ¼) + 0.1·z, φ uniform on (0, π) and both signs equally likely; (n, 2)."""
    return TOYS["moons"].sample(n, seed)


def mixture(n: int, seed: int = 0) -> np.ndarray:
    """x₀ = m_k + 0.2·z, five m_k on a circle of radius 1.4 with the weights 0.3, 0.25, 0.2, 0.15, 0.1; (n, 2)."""
    return TOYS["mixture"].sample(n, seed)
