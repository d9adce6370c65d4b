"""The clip of the gradient's global norm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ddpm_np.autograd.tensor import Tensor
from ddpm_np.backend import asarray, of
from ddpm_np.training.flat import blocks, global_norm, squares


def clip_scale(norm: Any, max_norm: float | None, dtype: Any) -> tuple[Any, Any]:
    """What brings a gradient of a norm to a norm of at most `max_norm`: min(1, max_norm/(norm + 1e-6)).

    Returns
    -------
    scale, ok : 0-d arrays
        1 where there is no `max_norm` or the norm is not finite; and whether it is finite.
    """
    xp = of(norm)
    ok = asarray(xp.isfinite(norm))
    scale = xp.ones_like(norm) if max_norm is None else xp.clip(max_norm / (norm + 1e-6), None, 1.0)
    return xp.astype(xp.where(ok, scale, xp.ones_like(norm)), dtype), ok


def clip_flat(flat: Any, max_norm: float | None) -> tuple[Any, Any]:
    """Scale a flat gradient in place to a norm of at most `max_norm`; a gradient that is not finite becomes 0.

    Returns
    -------
    norm, ok : 0-d arrays
        The norm before (float64), and whether it was finite.
    """
    xp = of(flat)
    norm = global_norm(squares(flat))
    scale, ok = clip_scale(norm, max_norm, flat.dtype)
    for block in blocks(flat):
        part = flat[block]
        if xp.name != "numpy" or not ok:  # on the host the flag is at hand, and this pass seldom needed
            part[...] = xp.where(ok, part, xp.zeros_like(part))
        part *= scale
    return norm, ok


def clip_grad_norm(parameters: Sequence[Tensor], max_norm: float) -> Any:
    """Scale all `.grad` in place by min(1, max_norm/(‖g‖ + 1e-6)), ‖g‖ the norm over all of them together.

    Parameters
    ----------
    parameters
        Leaf Tensors; those without a gradient are passed over.
    max_norm
        Positive.

    Returns
    -------
    0-d array
        ‖g‖ before scaling. If it is not finite, all gradients become 0 (Pascanu et al. 2013; PyTorch's 1e-6).
    """
    if not max_norm > 0:
        raise ValueError(f"max_norm must be positive, got {max_norm}")
    having = [p for p in parameters if p.grad is not None]
    if not having:
        raise ValueError("no parameter has a gradient: call backward first")
    xp = of(having[0].data)
    flat = xp.concat([xp.reshape(p.grad, (-1,)) for p in having])  # (P,)
    norm, _ = clip_flat(flat, max_norm)
    start = 0
    for p in having:
        p.grad[...] = xp.reshape(flat[start : start + p.size], p.shape)
        start += p.size
    return norm
