"""Adam and the moving average in one pass, block by block: the fast twin of `adam_step` and `EMA.update`.

Each block of parameters stays in the CPU's cache for all operations on it; a GPU computes one formula. All numbers of
an update that do not depend on the element are computed first, so that several workers can each update a span of
blocks.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ddpm_np.backend import Array, of
from ddpm_np.formulas import Formula
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


FACTORS = Formula(  # b1 − b1 is 0 and rate − rate is 0, in double precision: `where` takes two numbers of one type
    "adam_factors", "bool ok, float64 k, float64 rate, float64 b1, float64 b2",
    "T keep_m, T keep_v, T add_m, T add_v, T step, T root",
    "keep_m = where(ok, b1, b1 - b1 + 1); keep_v = where(ok, b2, b2 - b2 + 1); add_m = where(ok, 1 - b1, b1 - b1); "
    "add_v = where(ok, 1 - b2, b2 - b2); step = where(ok, rate / (1 - pow(b1, k)), rate - rate); "
    "root = where(ok, 1 / sqrt(1 - pow(b2, k)), rate - rate)")
_NUMBERS = "T g, bool ok, T scale, T keep_m, T keep_v, T add_m, T add_v, T step, T root, T eps"
_ADAM = ("T h = where(ok, g * scale, T(0)); m = keep_m * m + add_m * h; v = keep_v * v + add_v * (h * h); "
         "p = p - step * m / (sqrt(v) * root + eps)")
ADAM = Formula("adam", _NUMBERS, "T p, T m, T v", _ADAM)
MOVE = Formula("moving_average", "T p, T share", "T average", "average = average + share * (p - average)")
ADAM_AND_MOVE = Formula("adam_and_average", f"{_NUMBERS}, T share", "T p, T m, T v, T average", f"{_ADAM}; {MOVE.code}")


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
    xp, (b1, b2) = of(k), betas
    if xp.name == "cupy":
        keep_m, keep_v, add_m, add_v, step, root = numbers = [xp.empty((), dtype=dtype) for _ in range(6)]
        FACTORS(xp, ok, k, rate, b1, b2, *numbers)
        return Factors(ok, scale, keep_m, keep_v, add_m, add_v, step, root, eps)
    zero = xp.zeros_like(k)

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
    if xp.name == "cupy":
        _update_at_once(flat, m, v, update, ema)
        return

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


def _update_at_once(flat: Flat, m: Array, v: Array, update: Update, ema: EMA | None) -> None:
    """Update parameters, moments and average on a GPU, whose cores take a part of the arrays as a whole."""
    xp, size = flat.xp, flat.data.shape[0]
    together = ema is not None and [part[:2] for part in update.parts] == [(0, size)]
    for first, end, (ok, scale, keep_m, keep_v, add_m, add_v, step, root, eps) in update.parts:
        part = slice(first, end)
        numbers = flat.grad[part], ok, 1 if scale is None else scale, keep_m, keep_v, add_m, add_v, step, root, eps
        if together and ema is not None:
            ADAM_AND_MOVE(xp, *numbers, update.share, flat.data[part], m[part], v[part], ema.data[part])
        else:
            ADAM(xp, *numbers, flat.data[part], m[part], v[part])
    if ema is not None and not together:
        MOVE(xp, flat.data, update.share, ema.data)
