"""Group normalisation, alone and fused with SiLU."""

from __future__ import annotations

from ddpm_np.arguments import count
from ddpm_np.autograd.op import Forward, op
from ddpm_np.autograd.ops.elementwise import silu
from ddpm_np.autograd.tape import Gradients
from ddpm_np.backend import Array, of


@op(saves=("inverse", "scale", "x_hat"))
def group_norm(x: Array, scale: Array, bias: Array, *, groups: int, eps: float) -> Forward:
    """y = scale·x̂ + bias with x̂ = (x − m)/√(v + ε), m and v the mean and variance of an image's group of channels.

    With u = g·scale, gx = (u − mean(u) − x̂·mean(u·x̂))/√(v + ε), the means over the same group: they take out the
    directions that change m and v (Wu & He 2018; v is the biased variance, mean((x − m)²)).

    Parameters
    ----------
    x : array of shape (N, H, W, C)
    scale, bias : array of shape (C,)
    groups : int
        A divisor of C.
    eps : float
        The ε under the root.

    Returns
    -------
    y : array of shape (N, H, W, C)

    Raises
    ------
    ValueError
        If the channels do not divide into the groups, or the shapes do not fit.
    """
    xp = of(x, scale)
    if x.ndim != 4 or not x.shape[3:] == scale.shape == bias.shape:
        raise ValueError("expected x of shape (N, H, W, C) and scale and bias of shape (C,), got "
                         f"{x.shape}, {scale.shape} and {bias.shape}")
    count("groups", groups)
    n, h, w, c = x.shape
    if c % groups:
        raise ValueError(f"{c} channels do not divide into {groups} groups: choose groups that divide the channels")
    grouped, axes = (n, h, w, groups, c // groups), (1, 2, 4)
    per_channel = (groups, c // groups)
    scale, bias = xp.reshape(scale, per_channel), xp.reshape(bias, per_channel)  # (G, C/G)
    x = xp.reshape(x, grouped)  # (N, H, W, G, C/G)
    size = h * w * (c // groups)
    centred = x - xp.sum(x, axis=axes, keepdims=True) / size
    variance = xp.sum(centred * centred, axis=axes, keepdims=True) / size  # (N, 1, 1, G, 1)
    inverse = 1 / xp.sqrt(variance + eps)
    x_hat = centred * inverse

    def vjp(g: Array) -> Gradients:
        g = xp.reshape(g, grouped)

        def gx() -> Array:
            u = g * scale
            along_m = xp.sum(u, axis=axes, keepdims=True) / size
            along_v = x_hat * (xp.sum(u * x_hat, axis=axes, keepdims=True) / size)
            return xp.reshape((u - along_m - along_v) * inverse, (n, h, w, c))

        return (gx, lambda: xp.reshape(xp.sum(g * x_hat, axis=(0, 1, 2)), (c,)),
                lambda: xp.reshape(xp.sum(g, axis=(0, 1, 2)), (c,)))

    return xp.reshape(x_hat * scale + bias, (n, h, w, c)), vjp


@op(saves=("through_norm", "through_silu"))
def group_norm_silu(x: Array, scale: Array, bias: Array, *, groups: int, eps: float) -> Forward:
    """y = SiLU(GroupNorm(x)): one op, so that a kernel may do both at once.

    Parameters
    ----------
    x, scale, bias, groups, eps : as in `group_norm`

    Returns
    -------
    y : array of shape (N, H, W, C)
    """
    h, through_norm = group_norm.define(x, scale, bias, groups=groups, eps=eps)
    y, through_silu = silu.define(h)
    return y, lambda g: through_norm(through_silu(g)[0])
