"""Adam, with warm-up.

`adam_step` is the definition; `fused_update` is its fast twin, which `Adam` runs unless `kernels("reference")` is
chosen. All that follows from the step number is computed on the parameters' device, and a gradient that is not finite
leaves every number unchanged by a flag on the device, so that no step waits for it.
"""

from __future__ import annotations

from collections.abc import Sequence

from ddpm_np import arguments
from ddpm_np.autograd.op import chosen_kernels
from ddpm_np.autograd.tensor import Tensor
from ddpm_np.backend import Array, asarray, of
from ddpm_np.training.ema import EMA
from ddpm_np.training.flat import Flat, norm_by_blocks
from ddpm_np.training.fused_update import Factors, fused_factors, fused_update


def adam_step(theta: Array, g: Array, m: Array, v: Array, k: int | Array, lr: float | Array,
              betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8) -> tuple[Array, Array, Array]:
    """Make one update by Adam: θ ← θ − η·m̂/(√v̂ + ε).

    Parameters
    ----------
    theta, g, m, v : arrays of one shape
        Parameters, their gradient, and the moving averages of the gradient and of its square (zeros at first).
    k : int or array of shape ()
        The update's number, from 1.
    lr : float or array of shape ()
        The learning rate η.
    betas : (float, float)
        β₁ and β₂.
    eps : float
        ε.

    Returns
    -------
    theta, m, v : arrays
        After the update, in the dtype of `theta`.

    Notes
    -----
    Algorithm 1 of Kingma & Ba (2015). Verified by ``ddpm-np check --equation adam``.

    Examples
    --------
    >>> import numpy as np
    >>> theta, zero = np.array([1.0, 1.0]), np.zeros(2)
    >>> adam_step(theta, np.array([3.0, -0.5]), zero, zero, k=1, lr=0.1)[0].round(6)
    array([0.9, 1.1])
    """
    b1, b2 = betas
    m = b1 * m + (1 - b1) * g
    v = b2 * v + (1 - b2) * g**2
    m_hat = m / (1 - b1**k)
    v_hat = v / (1 - b2**k)
    new = theta - lr * m_hat / (of(v_hat).sqrt(v_hat) + eps)
    return of(new).astype(new, theta.dtype), m, v


class Adam:
    """Adam on a net's parameters, which it changes in place.

    m ← β₁m + (1 − β₁)g, v ← β₂v + (1 − β₂)g², m̂ = m/(1 − β₁ᵏ), v̂ = v/(1 − β₂ᵏ), θ ← θ − η_k·m̂/(√v̂ + ε), with k the
    update's number from 1. Warm-up: η_k = lr·min((k − 1)/warmup, 1), so that the first update has rate 0, as in the
    authors' code, which reads the step before it increments it.

    Parameters
    ----------
    parameters : sequence of Tensors
        Leaves of one dtype. Their data become views of one array, ``flat.data``.
    lr : float
        η.
    betas : (float, float)
        β₁ and β₂.
    eps : float
        ε.
    warmup : int
        Updates until the full rate; 0: no warm-up.

    Attributes
    ----------
    flat : Flat
        The parameters and their gradient, end to end.
    m, v : arrays of shape (P,)
        The moving averages of the gradient and of its square.
    updates : float64 array of shape ()
        The number of updates made, on the device.

    Raises
    ------
    ValueError
        If an option is out of range, there are no parameters, or some are optimised together with others already.
    TypeError
        If the parameters have several dtypes.

    Notes
    -----
    Kingma & Ba (2015), Algorithm 1. Verified by ``ddpm-np check --equation adam``.

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
        for name, beta in zip(("β₁", "β₂"), betas, strict=True):
            arguments.number(name, beta, least=0, below=1)
        for name, number in (("lr", lr), ("eps", eps)):
            arguments.number(name, number, least=0)
        arguments.count("warmup", warmup, 0)
        self.flat = Flat.of(parameters)
        xp = self.flat.xp
        self.lr, self.betas, self.eps, self.warmup = lr, betas, eps, warmup
        self.m, self.v = self.flat.buffer(), self.flat.buffer()  # (P,), (P,)
        self.updates = xp.zeros((), dtype=xp.float64)

    def rate(self) -> Array:
        """Return the learning rate η of the next update.

        Returns
        -------
        float64 array of shape ()
            On the parameters' device.
        """
        xp = self.flat.xp
        full = self.lr * xp.ones_like(self.updates)
        return full if self.warmup == 0 else full * xp.clip(self.updates / self.warmup, None, 1.0)

    def step(self) -> None:
        """Make one update from each parameter's `.grad`; none if a gradient is not finite."""
        self.flat.gather()
        self.update(asarray(self.flat.xp.isfinite(norm_by_blocks(self.flat.grad))))

    def update(self, ok: Array, scale: Array | None = None) -> None:
        """Make one update from ``flat.grad``.

        Parameters
        ----------
        ok : bool array of shape ()
            If false, nothing changes.
        scale : array of shape (), optional
            Factor on the gradient, in the parameters' dtype.
        """
        if chosen_kernels() == "reference":
            xp, flat = self.flat.xp, self.flat
            g = xp.where(ok, flat.grad if scale is None else flat.grad * scale, xp.zeros_like(flat.grad))  # (P,)
            new = adam_step(flat.data, g, self.m, self.v, self.updates + 1, self.rate(), self.betas, self.eps)
            for array, updated in zip((flat.data, self.m, self.v), new, strict=True):
                array[...] = xp.where(ok, updated, array)
        else:
            fused_update(self.flat, self.m, self.v, self.factors(ok, scale))
        self.count(ok)

    def factors(self, ok: Array, scale: Array | None, ema: EMA | None = None) -> Factors:
        """Return the factors of the next update for `fused_update`.

        Parameters
        ----------
        ok : bool array of shape ()
            Whether the update counts.
        scale : array of shape () or None
            Factor on the gradient.
        ema : EMA, optional
            A moving average to be updated in the same pass.

        Returns
        -------
        Factors
            Numbers on the device.
        """
        return fused_factors(ok, scale, self.updates + 1, self.rate(), self.betas, self.eps, self.flat.data.dtype,
                             None if ema is None else ema.share(ok))

    def count(self, ok: Array) -> None:
        """Count an update.

        Parameters
        ----------
        ok : bool array of shape ()
            Whether it was made.
        """
        xp = self.flat.xp
        self.updates = self.updates + xp.where(ok, xp.ones_like(self.updates), xp.zeros_like(self.updates))
