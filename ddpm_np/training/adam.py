"""Adam, warm-up, the clip of the gradient's global norm, and the moving average of the weights.

Everything that follows from the step number is computed on the parameters' device, and an update whose gradient
is not finite leaves every number as it was: by a device flag, so that no step waits for the device.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from ddpm_np.autograd.tensor import Tensor
from ddpm_np.backend import asarray
from ddpm_np.training.ema import EMA
from ddpm_np.training.flat import Flat, Span, global_norm, in_span, squares


class Update(NamedTuple):
    """The numbers of one update, 0-d arrays: see `Adam.update`."""

    ok: Any
    scale: Any
    keep_m: Any
    keep_v: Any
    add_m: Any
    add_v: Any
    step: Any
    root: Any
    share: Any


class Adam:
    """Adam, Kingma & Ba (2015), Algorithm 1: θ ← θ − η_k·m̂/(√v̂ + ε).

    m ← β₁m + (1 − β₁)g, v ← β₂v + (1 − β₂)g², m̂ = m/(1 − β₁ᵏ), v̂ = v/(1 − β₂ᵏ), k the update's number from 1.
    Warm-up: η_k = lr·min((k − 1)/warmup, 1), so that the first update has rate 0 (the authors read the step before
    they increment it).

    Parameters
    ----------
    parameters
        Leaf Tensors.
    lr, betas, eps
        η, (β₁, β₂), ε.
    warmup
        Updates until the full rate; 0 for none.

    Examples
    --------
    >>> p = Tensor([1.0], requires_grad=True)
    >>> adam = Adam([p], lr=0.1)
    >>> (p * p).sum().backward()
    >>> adam.step()
    >>> p.data
    array([0.9], dtype=float32)
    """

    def __init__(self, parameters: Sequence[Tensor], lr: float = 2e-4, betas: tuple[float, float] = (0.9, 0.999),
                 eps: float = 1e-8, warmup: int = 0):
        if not (0 <= betas[0] < 1 and 0 <= betas[1] < 1):
            raise ValueError(f"betas must both be in [0, 1), got {betas}")
        if lr < 0 or eps < 0 or warmup < 0:
            raise ValueError(f"lr, eps and warmup must not be negative, got {lr}, {eps}, {warmup}")
        self.flat = Flat.of(parameters)
        xp = self.flat.xp
        self.lr, self.betas, self.eps, self.warmup = lr, betas, eps, warmup
        self.m, self.v = self.flat.buffer(), self.flat.buffer()  # (P,), (P,)
        self.updates = xp.zeros((), dtype=xp.float64)  # how many there have been: on the device

    def rate(self) -> Any:
        """η of the next update, a 0-d float64 array."""
        xp = self.flat.xp
        full = self.lr * xp.ones_like(self.updates)
        return full if self.warmup == 0 else full * xp.clip(self.updates / self.warmup, None, 1.0)

    def step(self) -> None:
        """One update from each parameter's `.grad`; the parameters change in place."""
        self.flat.gather()
        self.update(asarray(self.flat.xp.isfinite(global_norm(squares(self.flat.grad)))))

    def update(self, ok: Any, scale: Any = None, ema: EMA | None = None,
               spread: Callable[[Update], Any] | None = None) -> None:
        """One update from `flat.grad`, and one of the average, in one pass.

        Parameters
        ----------
        ok
            A 0-d flag; if it is false, nothing changes.
        scale
            Of the gradient: a 0-d array in the parameters' dtype, None for 1.
        ema
            The average to move after the parameters.
        spread
            Has several workers `apply` the update, each to a span of blocks; None: this thread does, to all.
        """
        xp = self.flat.xp
        (b1, b2), k, dtype = self.betas, self.updates + 1, self.flat.data.dtype
        zero = xp.zeros_like(k)

        def number(x: Any, otherwise: Any) -> Any:
            """x where the update counts, else what leaves everything as it was; in the parameters' dtype."""
            return xp.astype(xp.where(ok, x, otherwise), dtype)

        # η·m̂/(√v̂ + ε) = step·m/(√v·root + ε): two numbers carry both corrections
        new = Update(ok, scale, number(b1 + zero, 1 + zero), number(b2 + zero, 1 + zero), number(1 - b1 + zero, zero),
                     number(1 - b2 + zero, zero), number(self.rate() / (1 - b1**k), zero),
                     number(1 / xp.sqrt(1 - b2**k), zero), None if ema is None else ema.share(ok))
        if spread is None:
            self.apply(new, ema)
        else:
            spread(new)
        self.updates = self.updates + xp.where(ok, 1 + zero, zero)

    def apply(self, new: Update, ema: EMA | None, span: Span | None = None) -> None:
        """An update of a span of blocks of the parameters and of their average, or of all."""
        xp, flat = self.flat.xp, self.flat
        ok, scale, keep_m, keep_v, add_m, add_v, step, root, share = new

        def update_block(block: slice) -> None:
            p, g, m, v = flat.data[block], flat.grad[block], self.m[block], self.v[block]
            if xp.name != "numpy" or not ok:  # on the host the flag is at hand, and this pass seldom needed
                g = xp.where(ok, g, xp.zeros_like(g))
            if scale is not None:
                g = g * scale
            m *= keep_m
            m += add_m * g
            v *= keep_v
            v += add_v * (g * g)
            p -= step * m / (xp.sqrt(v) * root + self.eps)
            if ema is not None:
                ema.move(block, share)

        in_span(flat.data, update_block, span)
