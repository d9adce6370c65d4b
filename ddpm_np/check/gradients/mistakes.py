"""The outputs and gradients of ops with common mistakes in them, to name the mistake behind a wrong array."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.special

from ddpm_np.check.gradients.reference_ops import attend, convolution, normalisation


def _group_norm_mistaken(x: Any, scale: Any, bias: Any, *, groups: int, eps: float) -> dict[str, Any]:
    n, h, w, c = x.shape
    parts = x.reshape(n, h, w, groups, c // groups)
    axes, batch = (1, 2, 4), (0, 1, 2, 4)

    def affine(x_hat: Any) -> Any:
        return x_hat.reshape(x.shape) * scale + bias

    centred, deviation = parts - parts.mean(axes, keepdims=True), parts.std(axes, keepdims=True)
    return {
        "ε outside the root": affine(centred / (deviation + eps)),
        "a variance by n − 1": affine(centred / np.sqrt(parts.var(axes, keepdims=True, ddof=1) + eps)),
        "statistics of the whole batch": affine((parts - parts.mean(batch, keepdims=True))
                                                / np.sqrt(parts.var(batch, keepdims=True) + eps)),
        "no mean taken off": affine(parts / np.sqrt(np.mean(parts**2, axes, keepdims=True) + eps)),
        "one group of all channels": normalisation(x, scale, bias, groups=1, eps=eps),
        "a group for every channel": normalisation(x, scale, bias, groups=c, eps=eps),
    }


def _attention_mistaken(q: Any, k: Any, v: Any) -> dict[str, Any]:
    d, s = q.shape[-1], k.shape[-2]
    return {"scores without 1/√D": attend(q * d**0.5, k, v), "scores times 1/D": attend(q / d**0.5, k, v),
            "scores times √D": attend(q * d, k, v),
            "1/√S, S the number of keys, for 1/√D": attend(q * (d / s) ** 0.5, k, v)}


def _conv2d_mistaken(x: Any, w: Any, b: Any, *, stride: int, padding: Any) -> dict[str, Any]:
    def turned(w: Any = w, b: Any = b, padding: Any = padding) -> Any:
        return convolution(x, w, b, stride=stride, padding=padding)

    return {"the kernel flipped, as signals' convolution has it": turned(w[::-1, ::-1]), "no bias": turned(b=None),
            "padding before and after exchanged": turned(padding=[side[::-1] for side in padding])}


VALUES_MISTAKEN: dict[str, Callable[..., dict[str, Any]]] = {  # an op's inputs -> {mistake: y}
    "group_norm": _group_norm_mistaken,
    "attention": _attention_mistaken,
    "conv2d": _conv2d_mistaken,
    "silu": lambda x: {"σ(x), without x": scipy.special.expit(x), "x·σ(−x)": x * scipy.special.expit(-x)},
    "log_ndtr": lambda x: {"ln Φ(−x)": scipy.special.log_ndtr(-x), "Φ(x), no logarithm": scipy.special.ndtr(x)},
    "upsample_nearest": lambda x, factor: {"tiles, not repeated pixels": np.tile(x, (1, factor, factor, 1))},
}


def _silu_slopes(x: Any) -> dict[str, Any]:
    s = scipy.special.expit(x)
    return {"σ alone, without x·σ·(1 − σ)": s, "x·σ·(1 − σ) alone": x * s * (1 - s), "σ + x·(1 − σ)": s + x * (1 - s)}


def _softmax_back(x: Any, g: Any) -> dict[str, Any]:
    p = scipy.special.softmax(x, axis=-1)
    return {"p·g, Σ g·p not taken off": p * g, "p·(1 − p)·g: the diagonal alone": p * (1 - p) * g,
            "p·(g − Σ g)": p * (g - g.sum(axis=-1, keepdims=True))}


GRADIENTS_MISTAKEN: dict[str, Callable[[Any, Any], dict[str, Any]]] = {  # x and g -> {mistake: gx}
    "silu": lambda x, g: {name: g * slope for name, slope in _silu_slopes(x).items()},
    "softmax": _softmax_back,
    "sigmoid": lambda x, g: {"σ for σ(1 − σ)": g * scipy.special.expit(x)},
    "tanh": lambda x, g: {"1 − y for 1 − y²": g * (1 - np.tanh(x)), "1 − x² for 1 − y²": g * (1 - x * x)},
    "log": lambda x, g: {"1/x²": g / x**2}, "exp": lambda x, g: {"1": g, "y²": g * np.exp(2 * x)},
    "log1p": lambda x, g: {"1/x for 1/(1 + x)": g / x}, "expm1": lambda x, g: {"y for eˣ": g * np.expm1(x)},
    "sin": lambda x, g: {"sin x": g * np.sin(x)}, "cos": lambda x, g: {"cos x": g * np.cos(x)},
    "clip": lambda x, g: {"1 everywhere: also where the number was clipped": g},
}
