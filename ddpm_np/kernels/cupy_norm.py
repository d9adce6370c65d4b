"""Group normalisation, with or without SiLU, on a GPU: formulas over (N, H·W, G, C/G), in few passes.

The backward pass computes x̂ and σ(h) again from the input, which is in memory anyway: nothing of the input's size is
kept. With gh the gradient of h = scale·x̂ + bias, A = Σ gh and B = Σ gh·x̂ over an image's pixels, gbias = Σₙ A,
gscale = Σₙ B, and gx = i·scale·gh − i·mean(scale·A) − i·x̂·mean(scale·B), the means over a group, i = 1/√(v + ε).
"""

from __future__ import annotations

from typing import Any

from ddpm_np.arguments import is_int
from ddpm_np.autograd.op import Forward
from ddpm_np.autograd.ops.norm import group_norm, group_norm_silu
from ddpm_np.autograd.tape import Gradients, Into
from ddpm_np.backend import Array, of
from ddpm_np.formulas import Formula, Sum
from ddpm_np.kernels.cupy_dense import column_sums

_INPUTS = "T x, T m, T inv, T scale, T bias"
INVERSE = Sum("group_inverse", "T x, T m, T r, T eps", "(x - m) * (x - m) * r", "1 / sqrt(a + eps)")
NORM = Formula("group_norm", _INPUTS, "T y", "y = (x - m) * inv * scale + bias")
NORM_SILU = Formula("group_norm_silu", _INPUTS, "T y", "T h = (x - m) * inv * scale + bias; y = h / (1 + exp(-h))")
SILU_GRADIENT = Formula("group_norm_silu_gradient", f"T g, {_INPUTS}", "T gh",
                        "T h = (x - m) * inv * scale + bias; T s = 1 / (1 + exp(-h)); gh = g * s * (1 + h * (1 - s))")
ALONG_X_HAT = Sum("group_norm_b", "T g, T x, T m, T inv", "g * (x - m) * inv")
OVER_GROUP = Sum("group_norm_over_group", "T sums, T scale, T inv, T r", "sums * scale * inv * r")
INPUT_GRADIENT = Formula("group_norm_gradient", "T g, T x, T m, T inv, T scale, T along_m, T along_v", "T gx",
                         "gx = g * inv * scale - along_m - (x - m) * inv * along_v")


def _suits(x: Array, scale: Array, bias: Array, *, groups: int, eps: float) -> bool:
    return (x.ndim == 4 and x.size > 0 and x.dtype == scale.dtype == bias.dtype and x.dtype.char in "fd"
            and x.shape[3:] == scale.shape == bias.shape and is_int(groups) and groups > 0
            and x.shape[3] % groups == 0)


def _normalise(x: Array, scale: Array, bias: Array, groups: int, eps: float, formula: Formula) -> tuple[Any, ...]:
    """Return the formula's result (N, H, W, C), with its inputs: x, m, i, scale and bias, grouped."""
    xp, (n, h, w, c) = of(x), x.shape
    grouped = xp.reshape(x, (n, h * w, groups, c // groups))  # (N, H·W, G, C/G)
    scale, bias = xp.reshape(scale, (groups, -1)), xp.reshape(bias, (groups, -1))  # (G, C/G)
    r = groups / (h * w * c)
    m = xp.mean(grouped, axis=(1, 3), keepdims=True)  # (N, 1, G, 1)
    i = INVERSE(xp, grouped, m, r, eps, axis=(1, 3), keepdims=True)  # (N, 1, G, 1)
    inputs = grouped, m, i, scale, bias
    return xp.reshape(formula(xp, *inputs), x.shape), inputs


def _gradients(gh: Array, inputs: tuple[Array, ...], shape: tuple[int, ...]) -> Gradients:
    """Return the gradients of x, scale and bias from gh, that of scale·x̂ + bias, grouped."""
    x, m, i, scale, _ = inputs
    xp, (n, pixels, groups, d) = of(gh), x.shape
    a = xp.sum(gh, axis=1, keepdims=True)  # (N, 1, G, C/G)
    b = ALONG_X_HAT(xp, gh, x, m, i, axis=1, keepdims=True)  # (N, 1, G, C/G)

    def gx() -> Array:
        along_m, along_v = (OVER_GROUP(xp, sums, scale, i, 1 / (pixels * d), axis=3, keepdims=True) for sums in (a, b))
        return xp.reshape(INPUT_GRADIENT(xp, gh, x, m, i, scale, along_m, along_v), shape)

    def over_images(sums: Array) -> Into:
        return Into(lambda out: column_sums(xp.reshape(sums, (n, groups * d)), out))

    return gx, over_images(b), over_images(a)


@group_norm.kernel("cupy", when=_suits, saves=("inputs",))
def normalise(x: Array, scale: Array, bias: Array, *, groups: int, eps: float) -> Forward:
    """GroupNorm."""
    y, inputs = _normalise(x, scale, bias, groups, eps, NORM)
    return y, lambda g: _gradients(of(g).reshape(g, inputs[0].shape), inputs, x.shape)


@group_norm_silu.kernel("cupy", when=_suits, saves=("inputs",))
def normalise_silu(x: Array, scale: Array, bias: Array, *, groups: int, eps: float) -> Forward:
    """GroupNorm and SiLU at once."""
    y, inputs = _normalise(x, scale, bias, groups, eps, NORM_SILU)

    def vjp(g: Array) -> Gradients:
        xp = of(g)
        return _gradients(SILU_GRADIENT(xp, xp.reshape(g, inputs[0].shape), *inputs), inputs, x.shape)

    return y, vjp
