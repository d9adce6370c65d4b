"""Group normalisation, with or without SiLU, on the CPU: few passes, in place, over images that fit the cache.

Sums over the pixels of an image are products with a row of ones, one image at a time; sums over the batch run over
those. A vector of one number per channel is repeated to a run of pixels, so that NumPy's loops are long (`numpy_runs`).

Where a gradient may be wanted, z = x − m and i = 1/√(v + ε) are kept. With A = Σ g and B = i·Σ g·z over an image's
pixels, the rest of the gradient is one number per channel: gbias = Σₙ A, gscale = Σₙ B, and
gx = i·(scale·g − mean(scale·A) − i·z·mean(scale·B)), the means over a group.
"""

from __future__ import annotations

import functools
import math
from functools import reduce

import numpy as np

from ddpm_np.arguments import is_int
from ddpm_np.autograd.op import Forward
from ddpm_np.autograd.ops.norm import group_norm, group_norm_silu
from ddpm_np.autograd.tape import Gradients
from ddpm_np.autograd.tensor import is_recording, nothing_kept
from ddpm_np.kernels.numpy_runs import long_runs, pixel_sums, pixels_in_a_run, repeated

_LOG2_E = 1 / math.log(2)
_NUMBERS = 1 << 20  # numbers of an array at a time: as fast as any from 2¹⁶ to 2²⁰, or faster


def _suits(x: np.ndarray, scale: np.ndarray, bias: np.ndarray, *, groups: int, eps: float) -> bool:
    return (x.ndim == 4 and x.size > 0 and x.dtype == scale.dtype == bias.dtype and x.dtype.char in "fd"
            and x.shape[3:] == scale.shape == bias.shape and is_int(groups) and groups > 0
            and x.shape[3] % groups == 0)


def _chunks(n: int, numbers_each: int) -> list[slice]:
    """Return slices over n images, of as many images as `_NUMBERS` numbers hold."""
    size = max(1, _NUMBERS // numbers_each)
    return [slice(i, min(i + size, n)) for i in range(0, n, size)]


def _kept(parts: list[slice], shape: tuple[int, ...], dtype: np.dtype) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return an array of `shape` and its `parts`.

    Where no gradient is wanted, it is an array for the largest part, which all parts use in turn.
    """
    if is_recording():
        array = np.empty(shape, dtype)
        return array, [array[part] for part in parts]
    array = np.empty((parts[0].stop, *shape[1:]), dtype)
    return array, [array[: part.stop - part.start] for part in parts]


def _in_runs(x: np.ndarray) -> tuple[np.ndarray, int]:
    """Return a few images as runs of r pixels, and r: (k, M, C) -> (k, M/r, r·C)."""
    k, m, c = x.shape
    r = pixels_in_a_run(m, c)
    return x.reshape(k, m // r, r * c), r


def _over_group(sums: np.ndarray, groups: int) -> np.ndarray:
    """Replace each channel's sum by that of its group: (k, 1, C) -> (k, 1, C)."""
    k, _, c = sums.shape
    if c == groups:
        return sums
    each = sums.reshape(k, groups, c // groups)
    if c // groups <= 4:  # NumPy's sum over so short an axis is a loop for each group
        total = reduce(np.add, (each[:, :, i : i + 1] for i in range(c // groups)))  # (k, G, 1)
    else:
        total = each.sum(axis=2, keepdims=True)
    out = np.empty_like(each)
    out[...] = total
    return out.reshape(k, 1, c)


def _normalise(x: np.ndarray, scale: np.ndarray, bias: np.ndarray, groups: int, eps: float, z: np.ndarray,
               y: np.ndarray) -> np.ndarray:
    """Write z = x − m and y = scale·x̂ + bias of a few images; return i = 1/√(v + ε), (k, 1, C)."""
    size = x.shape[1] * x.shape[2] // groups
    (x_runs, r), (z_runs, _), (y_runs, _) = _in_runs(x), _in_runs(z), _in_runs(y)
    np.subtract(x_runs, repeated(_over_group(pixel_sums(x), groups) / size, r), out=z_runs)
    np.square(z, out=y)
    inverse = 1 / np.sqrt(_over_group(pixel_sums(y), groups) / size + x.dtype.type(eps))
    np.multiply(z_runs, repeated(inverse * scale, r), out=y_runs)
    y_runs += repeated(bias[None, None], r)
    return inverse


def _input_gradient(g: np.ndarray, z: np.ndarray, inverse: np.ndarray, scale: np.ndarray, groups: int,
                    out: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Write gx of a few images from g, the gradient of scale·x̂ + bias; return A and B, (k, 1, C)."""
    size = g.shape[1] * g.shape[2] // groups
    (g_runs, r), (z_runs, _), (out_runs, _) = _in_runs(g), _in_runs(z), _in_runs(out)
    np.multiply(g, z, out=out)
    a, b = pixel_sums(g), pixel_sums(out) * inverse
    along_m = _over_group(a * scale, groups) * (inverse / size)
    along_v = _over_group(b * scale, groups) * (inverse * inverse / size)
    np.multiply(z_runs, repeated(along_v, r), out=out_runs)
    out_runs += repeated(along_m, r)
    g_runs = g_runs * repeated(scale * inverse, r)
    np.subtract(g_runs, out_runs, out=out_runs)
    return a, b


@functools.cache
def _has_fast_exp2() -> bool:
    """Return whether NumPy computes 2^x of float32 by vectors here: with AVX-512, at half of e^x's time."""
    introspect = getattr(np.lib, "introspect", None)  # since NumPy 2.1
    found = introspect.opt_func_info(func_name="^exp2$", signature="float32") if introspect else {}
    return any("X86_V4" in each["current"] or "AVX512" in each["current"]
               for each in found.get("exp2", {}).values())


def _one_plus_exponential(h: np.ndarray, out: np.ndarray) -> None:
    """Write 1 + e^{−h} = 1/σ(h), with e^{−h} = 2^{−h·log₂e} where that is faster."""
    if _has_fast_exp2():
        np.multiply(h, -_LOG2_E, out=out)
        np.exp2(out, out=out)
    else:
        np.negative(h, out=out)
        np.exp(out, out=out)
    out += 1


@group_norm.kernel("numpy", when=_suits, saves=("z", "inverse", "scale"))
def normalise(x: np.ndarray, scale: np.ndarray, bias: np.ndarray, *, groups: int, eps: float) -> Forward:
    """GroupNorm."""
    n, h, w, c = x.shape
    m = h * w
    flat = np.ascontiguousarray(x).reshape(n, m, c)
    y, inverse, parts = np.empty_like(flat), np.empty((n, 1, c), x.dtype), _chunks(n, m * c)
    z, z_parts = _kept(parts, flat.shape, x.dtype)
    with long_runs(c * pixels_in_a_run(m, c)):
        for part, z_part in zip(parts, z_parts, strict=True):
            inverse[part] = _normalise(flat[part], scale, bias, groups, eps, z_part, y[part])
    if not is_recording():
        return y.reshape(n, h, w, c), nothing_kept

    def vjp(g: np.ndarray) -> Gradients:
        g = np.ascontiguousarray(g).reshape(n, m, c)
        gx, a, b = np.empty(g.shape, g.dtype), np.empty((n, 1, c), g.dtype), np.empty((n, 1, c), g.dtype)
        with long_runs(c * pixels_in_a_run(m, c)):
            for part in _chunks(n, m * c):
                a[part], b[part] = _input_gradient(g[part], z[part], inverse[part], scale, groups, gx[part])
        return gx.reshape(n, h, w, c), b.sum(axis=(0, 1)), a.sum(axis=(0, 1))

    return y.reshape(n, h, w, c), vjp


@group_norm_silu.kernel("numpy", when=_suits, saves=("z", "inverse", "scale", "s", "y"))
def normalise_silu(x: np.ndarray, scale: np.ndarray, bias: np.ndarray, *, groups: int, eps: float) -> Forward:
    """GroupNorm and SiLU at once: with s = σ(h), y = h·s, the gradient of h is g·(s + y·(1 − s))."""
    n, h, w, c = x.shape
    m = h * w
    flat = np.ascontiguousarray(x).reshape(n, m, c)
    y, inverse, parts = np.empty_like(flat), np.empty((n, 1, c), x.dtype), _chunks(n, m * c)
    (z, z_parts), (s, s_parts) = (_kept(parts, flat.shape, x.dtype) for _ in range(2))
    with long_runs(c * pixels_in_a_run(m, c)), np.errstate(over="ignore"):  # e^{-h} = inf gives σ = 0, which is right
        for part, z_part, s_part in zip(parts, z_parts, s_parts, strict=True):
            h_part = y[part]  # y holds h until σ(h) is known
            inverse[part] = _normalise(flat[part], scale, bias, groups, eps, z_part, h_part)
            _one_plus_exponential(h_part, s_part)
            h_part /= s_part
            if is_recording():
                np.reciprocal(s_part, out=s_part)
    if not is_recording():
        return y.reshape(n, h, w, c), nothing_kept

    def vjp(g: np.ndarray) -> Gradients:
        g = np.ascontiguousarray(g).reshape(n, m, c)
        gx, a, b = np.empty(g.shape, g.dtype), np.empty((n, 1, c), g.dtype), np.empty((n, 1, c), g.dtype)
        with long_runs(c * pixels_in_a_run(m, c)):
            for part in _chunks(n, m * c):
                gh = 1 - s[part]
                gh *= y[part]
                gh += s[part]
                gh *= g[part]
                a[part], b[part] = _input_gradient(gh, z[part], inverse[part], scale, groups, gx[part])
        return gx.reshape(n, h, w, c), b.sum(axis=(0, 1)), a.sum(axis=(0, 1))

    return y.reshape(n, h, w, c), vjp
