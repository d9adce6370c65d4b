"""Group normalisation, with or without SiLU, on the CPU: few passes, in place, over images that fit the cache.

Sums over the pixels of an image are products with a row of ones, one image at a time; sums over the batch run over
those. With A = Σ g and B = Σ g·x̂ over an image's pixels, everything the gradient needs is a number a channel:
gbias = Σₙ A, gscale = Σₙ B, and gx = (scale·g − mean(scale·A) − x̂·mean(scale·B))/√(v + ε), the means over a group.
"""

from __future__ import annotations

import numpy as np

from ddpm_np.ops.norm import group_norm, group_norm_silu

_NUMBERS = 1 << 16  # of an array at a time: measured best of 2¹³ to 2¹⁷ on five shapes, small ones above all


def _suits(x, scale, bias, *, groups, eps):
    return x.ndim == 4 and x.size > 0 and x.dtype == scale.dtype == bias.dtype and x.dtype.char in "fd" and (
        x.shape[3] % groups == 0)


def _chunks(n, numbers_each):
    size = max(1, _NUMBERS // numbers_each)
    return (slice(i, min(i + size, n)) for i in range(0, n, size))


def _pixel_sums(ones, x):
    """Σ over the pixels of each image: (1, M) and (k, M, C) -> (k, 1, C)."""
    return np.matmul(ones, x)


def _over_group(sums, groups):
    """Each channel's sum replaced by that of its group: (k, 1, C) -> (k, 1, C)."""
    k, _, c = sums.shape
    total = sums.reshape(k, groups, c // groups).sum(axis=2)  # (k, G)
    return np.repeat(total, c // groups, axis=1)[:, None, :]


def _normalise(x, groups, eps, ones, out):
    """out = x̂ of a few images; returns 1/√(v + ε), (k, 1, C)."""
    size = x.shape[1] * x.shape[2] // groups
    np.subtract(x, _over_group(_pixel_sums(ones, x), groups) / size, out=out)
    variance = _over_group(_pixel_sums(ones, np.square(out)), groups) / size
    inverse = 1 / np.sqrt(variance + x.dtype.type(eps))
    out *= inverse
    return inverse


def _input_gradient(g, x_hat, inverse, scale, groups, ones, out):
    """out = gx of a few images from g, the gradient of scale·x̂ + bias; returns A and B, (k, 1, C)."""
    size = g.shape[1] * g.shape[2] // groups
    a = _pixel_sums(ones, g)
    b = _pixel_sums(ones, g * x_hat)
    along_m = _over_group(a * scale, groups) * (inverse / size)
    along_v = _over_group(b * scale, groups) * (inverse / size)
    np.multiply(g, scale * inverse, out=out)
    out -= x_hat * along_v
    out -= along_m
    return a, b


@group_norm.kernel("numpy", when=_suits, saves=("x_hat", "inverse", "scale", "ones"))
def normalise(x, scale, bias, *, groups, eps):
    """GroupNorm."""
    n, h, w, c = x.shape
    m = h * w
    flat, ones = np.ascontiguousarray(x).reshape(n, m, c), np.ones((1, m), x.dtype)
    y, x_hat, inverse = np.empty_like(flat), np.empty_like(flat), np.empty((n, 1, c), x.dtype)
    for part in _chunks(n, m * c):
        inverse[part] = _normalise(flat[part], groups, eps, ones, x_hat[part])
        np.multiply(x_hat[part], scale, out=y[part])
        y[part] += bias

    def vjp(g):
        g = g.reshape(n, m, c)
        gx, a, b = np.empty(g.shape, g.dtype), np.empty((n, 1, c), g.dtype), np.empty((n, 1, c), g.dtype)
        for part in _chunks(n, m * c):
            a[part], b[part] = _input_gradient(g[part], x_hat[part], inverse[part], scale, groups, ones, gx[part])
        return gx.reshape(n, h, w, c), b.sum(axis=(0, 1)), a.sum(axis=(0, 1))

    return y.reshape(n, h, w, c), vjp


@group_norm_silu.kernel("numpy", when=_suits, saves=("x_hat", "inverse", "scale", "ones", "s", "y"))
def normalise_silu(x, scale, bias, *, groups, eps):
    """GroupNorm and SiLU in one go: with s = σ(h), y = h·s, the gradient of h is g·(s + y·(1 − s))."""
    n, h, w, c = x.shape
    m = h * w
    flat, ones = np.ascontiguousarray(x).reshape(n, m, c), np.ones((1, m), x.dtype)
    y, s, x_hat = (np.empty((n, m, c), x.dtype) for _ in range(3))
    inverse = np.empty((n, 1, c), x.dtype)
    for part in _chunks(n, m * c):
        inverse[part] = _normalise(flat[part], groups, eps, ones, x_hat[part])
        h_part, s_part = y[part], s[part]  # y holds h until σ(h) is known
        np.multiply(x_hat[part], scale, out=h_part)
        h_part += bias
        np.negative(h_part, out=s_part)
        with np.errstate(over="ignore"):  # e^{-h} = inf gives σ = 0, which is right
            np.exp(s_part, out=s_part)
        s_part += 1
        np.reciprocal(s_part, out=s_part)
        h_part *= s_part

    def vjp(g):
        g = g.reshape(n, m, c)
        gx, a, b = np.empty(g.shape, g.dtype), np.empty((n, 1, c), g.dtype), np.empty((n, 1, c), g.dtype)
        for part in _chunks(n, m * c):
            gh = 1 - s[part]
            gh *= y[part]
            gh += s[part]
            gh *= g[part]
            a[part], b[part] = _input_gradient(gh, x_hat[part], inverse[part], scale, groups, ones, gx[part])
        return gx.reshape(n, h, w, c), b.sum(axis=(0, 1)), a.sum(axis=(0, 1))

    return y.reshape(n, h, w, c), vjp
