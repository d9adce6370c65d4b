"""The clip of the gradient's global norm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ddpm_np import arguments
from ddpm_np.autograd.tensor import Tensor
from ddpm_np.backend import Array, asarray, of
from ddpm_np.training.flat import norm_by_blocks, unique


def global_norm(g: Array) -> Array:
    """Return the norm of a gradient, √Σ g².

    `norm_by_blocks` is its fast twin.

    Parameters
    ----------
    g : array of shape (P,)
        The gradient of all parameters, end to end.

    Returns
    -------
    float64 array of shape ()
        ‖g‖.

    Examples
    --------
    >>> import numpy as np
    >>> float(global_norm(np.array([3.0, 4.0])))
    5.0
    """
    xp = of(g)
    return asarray(xp.sqrt(xp.sum(xp.square(xp.astype(g, xp.float64)))))


def clip_scale(norm: Array, max_norm: float | None, dtype: Any) -> tuple[Array, Array]:
    """Return the factor that brings a gradient's norm to at most `max_norm`: min(1, max_norm/(norm + 1e-6)).

    Parameters
    ----------
    norm : array of shape ()
        The gradient's global norm.
    max_norm : float or None
        The largest norm allowed; None: no clip.
    dtype : dtype
        The gradient's dtype.

    Returns
    -------
    scale : array of shape ()
        The factor, in `dtype`; 1 where there is no clip or the norm is not finite.
    ok : bool array of shape ()
        Whether the norm is finite.

    Notes
    -----
    Pascanu et al. (2013), with PyTorch's 1e-6. Verified by ``ddpm-np check --equation norm-clip``.

    Examples
    --------
    >>> import numpy as np
    >>> scale, ok = clip_scale(np.asarray(4.0), 1.0, np.float32)
    >>> round(float(scale), 6), bool(ok)
    (0.25, True)
    """
    xp = of(norm)
    ok = asarray(xp.isfinite(norm))
    scale = xp.ones_like(norm) if max_norm is None else xp.clip(max_norm / (norm + 1e-6), None, 1.0)
    return xp.astype(xp.where(ok, scale, xp.ones_like(norm)), dtype), ok


def clip_grad_norm(parameters: Sequence[Tensor], max_norm: float) -> Array:
    """Scale all `.grad` in place so that their global norm is at most `max_norm`.

    The factor is min(1, max_norm/(‖g‖ + 1e-6)), with ‖g‖ the norm of all gradients together. If ‖g‖ is not finite, all
    gradients become 0.

    Parameters
    ----------
    parameters : sequence of Tensors
        Leaves; those without a gradient and those that do not require one are skipped. One that comes twice
        counts once.
    max_norm : float
        Positive.

    Returns
    -------
    array of shape ()
        ‖g‖ before scaling.

    Raises
    ------
    ValueError
        If `max_norm` is not positive, or no parameter has a gradient.

    Notes
    -----
    Pascanu et al. (2013), with PyTorch's 1e-6. Verified by ``ddpm-np check --equation norm-clip``.

    Examples
    --------
    >>> p = Tensor([3.0, 4.0], requires_grad=True)
    >>> (p * p / 2).sum().backward()
    >>> float(clip_grad_norm([p], 1.0))
    5.0
    >>> p.grad.round(6)
    array([0.6, 0.8], dtype=float32)
    """
    arguments.number("max_norm", max_norm, above=0)
    having = [p for p in unique(parameters) if p.grad is not None and p.requires_grad]
    if not having:
        raise ValueError("no parameter has a gradient: call backward first")
    xp = of(having[0].data)
    flat = xp.concat([xp.reshape(p.grad, (-1,)) for p in having])  # (P,)
    norm = norm_by_blocks(flat)
    scale, ok = clip_scale(norm, max_norm, flat.dtype)
    for p in having:
        p.grad[...] = xp.where(ok, p.grad, xp.zeros_like(p.grad)) * scale
    return norm
