"""The coefficients around a net of EDM (Karras et al. 2022), whose noisy images are x₀ + σ·n."""

from __future__ import annotations

from typing import NamedTuple

from ddpm_np import arguments
from ddpm_np.backend import Array, of


class Preconditioning(NamedTuple):
    """The coefficients of D(x; σ) = c_skip·x + c_out·F(c_in·x) and the loss's weight, each of the shape of σ."""

    skip: Array
    out: Array
    into: Array
    weight: Array


def edm_preconditioning(sigma: Array, sigma_data: float = 0.5) -> Preconditioning:
    """Return EDM's coefficients, by which a net's input and its target have variance 1, and every σ the same weight.

    c_skip = σ_d²/(σ² + σ_d²), c_out = σ·σ_d/√(σ² + σ_d²), c_in = 1/√(σ² + σ_d²), λ = (σ² + σ_d²)/(σ·σ_d)².

    Checked as: edm.

    Parameters
    ----------
    sigma : array
        Standard deviations of the noise, positive.
    sigma_data : float
        Standard deviation of the data, σ_d.

    Returns
    -------
    Preconditioning
        c_skip, c_out, c_in (`into`) and λ (`weight`).

    Raises
    ------
    ValueError
        If `sigma_data` is not positive.

    Notes
    -----
    Table 1 of Karras et al. (2022). Verified by ``ddpm-np check --equation edm``.

    Examples
    --------
    >>> import numpy as np
    >>> [c.round(4) for c in edm_preconditioning(np.array([4.0]), 3.0)]  # σ² + σ_d² = 5²
    [array([0.36]), array([2.4]), array([0.2]), array([0.1736])]
    """
    arguments.number("sigma_data", sigma_data, above=0)
    total = of(sigma).sqrt(sigma**2 + sigma_data**2)
    out = sigma * sigma_data / total
    return Preconditioning((sigma_data / total) ** 2, out, 1 / total, 1 / out**2)
