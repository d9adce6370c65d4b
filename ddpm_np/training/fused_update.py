"""Adam and the moving average in one pass, block by block: the fast twin of `adam_step` and `EMA.update`.

Each block of parameters stays in the CPU's cache for all operations on it. All numbers of an update that do not depend
on the element are computed first, so that several workers can each update a span of blocks.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ddpm_np.backend import Array, of
from ddpm_np.training.ema import EMA
from ddpm_np.training.flat import Flat, Span, map_blocks


class Factors(NamedTuple):
    """The numbers of one update by Adam: arrays of shape () in the parameters' dtype, unless noted.

    m ← keep_m·m + add_m·g, v ← keep_v·v + add_v·g², θ ← θ − step·m/(√v·root + ε).

    Attributes
    ----------
    ok : bool array of shape ()
        Whether the update counts; if not, the other factors leave every number unchanged.
    scale : array or None
        Factor on the gradient.
    keep_m, keep_v, add_m, add_v : arrays
        β₁, β₂, 1 − β₁, 1 − β₂.
    step, root : arrays
        η/(1 − β₁ᵏ) and 1/√(1 − β₂ᵏ): the two bias corrections.
    eps : float
        ε.
    """

    ok: Array
    scale: Array | None
    keep_m: Array
    keep_v: Array
    add_m: Array
    add_v: Array
    step: Array
    root: Array
    eps: float


class Update(NamedTuple):
    """One update: of which parameters, with which numbers.

    Attributes
    ----------
    parts : tuple of (int, int, Factors)
        (first, end) of parts of the flat arrays, with the factors of Adam. Other parts have no gradient and stay.
    share : array or None
        1 − d of the moving average θ̄ ← θ̄ + share·(θ − θ̄), which is that of all parts; None: no average.
    """

    parts: tuple[tuple[int, int, Factors], ...]
    share: Array | None


def fused_factors(ok: Array, scale: Array | None, k: Array, rate: Array, betas: tuple[float, float], eps: float,
                  dtype: Any) -> Factors:
    """Return the factors of an update.

    Parameters
    ----------
    ok : bool array of shape ()
        Whether the update counts.
    scale : array of shape () or None
        Factor on the gradient.
    k, rate : float64 arrays of shape ()
        The update's number from 1, and its learning rate η.
    betas : (float, float)
        β₁ and β₂.
    eps : float
        ε.
    dtype : dtype
        The parameters' dtype.

    Returns
    -------
    Factors
        Numbers on the device of `k`.
    """
    xp, (b1, b2), zero = of(k), betas, of(k).zeros_like(k)

    def number(x: Array, otherwise: Array) -> Array:
        """Return x where the update counts, else the number that changes nothing; in the parameters' dtype."""
        return xp.astype(xp.where(ok, x, otherwise), dtype)

    return Factors(ok, scale, number(b1 + zero, 1 + zero), number(b2 + zero, 1 + zero), number(1 - b1 + zero, zero),
                   number(1 - b2 + zero, zero), number(rate / (1 - b1**k), zero),
                   number(1 / xp.sqrt(1 - b2**k), zero), eps)


def fused_update(flat: Flat, m: Array, v: Array, update: Update, ema: EMA | None = None,
                 span: Span | None = None) -> None:
    """Update parameters and moments in place from ``flat.grad``, and then the moving average.

    Parameters
    ----------
    flat : Flat
        Parameters and gradient.
    m, v : arrays of shape (P,)
        Moments.
    update : Update
        The parts to be updated, and the numbers of this update.
    ema : EMA, optional
        The moving average of the same parameters.
    span : (int, int), optional
        (first, end) of the blocks to update; all if not given.
    """
    xp = flat.xp

    def update_part(part: slice, factors: Factors) -> None:
        ok, scale, keep_m, keep_v, add_m, add_v, step, root, eps = factors
        p, g, m_block, v_block = flat.data[part], flat.grad[part], m[part], v[part]
        if xp.name != "numpy" or not ok:  # on the host the flag can be read, and this pass is seldom needed
            g = xp.where(ok, g, xp.zeros_like(g))
        if scale is not None:
            g = g * scale
        m_block *= keep_m
        m_block += add_m * g
        v_block *= keep_v
        v_block += add_v * (g * g)
        p -= step * m_block / (xp.sqrt(v_block) * root + eps)

    def update_block(block: slice) -> None:
        for first, end, factors in update.parts:
            if max(first, block.start) < min(end, block.stop):
                update_part(slice(max(first, block.start), min(end, block.stop)), factors)
        if ema is not None:
            ema.move(block, update.share)

    map_blocks(flat.data, update_block, span)
