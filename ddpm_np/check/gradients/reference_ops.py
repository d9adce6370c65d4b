"""Every op in NumPy and SciPy alone, for checking values: a vjp that matches a wrong forward is wrong too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.special


def silu(x: Any) -> Any:
    """Return x·σ(x)."""
    return x * scipy.special.expit(x)


def convolution(x: Any, w: Any, b: Any = None, *, stride: int = 1, padding: Any = ((0, 0), (0, 0))) -> Any:
    """Convolve by one einsum over all windows: (N, H, W, C), (kh, kw, C, O) -> (N, H', W', O)."""
    padded = np.pad(x, ((0, 0), *padding, (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, w.shape[:2], axis=(1, 2))  # (N, H+, W+, C, kh, kw)
    y = np.einsum("nijcpq,pqco->nijo", windows[:, ::stride, ::stride], w, optimize=True)
    return y if b is None else y + b


def normalisation(x: Any, scale: Any, bias: Any, *, groups: int, eps: float) -> Any:
    """Apply group normalisation, each group of each image by itself."""
    y = np.empty_like(x)
    for image, out in zip(x, y, strict=True):
        for channels in np.split(np.arange(x.shape[3]), groups):
            group = image[:, :, channels]
            out[:, :, channels] = (group - group.mean()) / np.sqrt(group.var() + eps)
    return y * scale + bias


def attend(q: Any, k: Any, v: Any) -> Any:
    """Return softmax(Q Kᵀ/√D) V."""
    p = scipy.special.softmax(np.einsum("...ld,...sd->...ls", q, k) / np.sqrt(q.shape[-1]), axis=-1)
    return np.einsum("...ls,...se->...le", p, v)


def dense(x: Any, w: Any, b: Any = None) -> Any:
    """Return x W + b on the last axis."""
    return np.einsum("...d,de->...e", x, w) + (0 if b is None else b)


def repeated(x: Any, factor: int = 2) -> Any:
    """Repeat every pixel factor × factor times."""
    return np.repeat(np.repeat(x, factor, axis=1), factor, axis=2)


EXPECTED: dict[str, Callable[..., Any]] = {
    "add": np.add, "subtract": np.subtract, "multiply": np.multiply, "divide": np.divide, "negative": np.negative,
    "pow": np.power, "square": np.square, "sqrt": np.sqrt, "exp": np.exp, "expm1": np.expm1, "log": np.log,
    "log1p": np.log1p, "sin": np.sin, "cos": np.cos, "tanh": np.tanh, "sigmoid": scipy.special.expit, "silu": silu,
    "log_ndtr": scipy.special.log_ndtr, "clip": np.clip, "where": np.where,
    "dropout": lambda x, keep, scale: np.where(keep, x * scale, 0.0),
    "astype": lambda x, dtype: x.astype(dtype),
    "matmul": lambda a, b: np.einsum("...ik,...kj->...ij", a, b),
    "linear": dense,
    "softmax": lambda x: scipy.special.softmax(x, axis=-1),
    "attention": attend,
    "conv2d": convolution,
    "upsample_conv2d": lambda x, w, b=None: convolution(repeated(x), w, b, padding=((1, 1), (1, 1))),
    "group_norm": normalisation,
    "group_norm_silu": lambda *arrays, **static: silu(normalisation(*arrays, **static)),
    "sum": np.sum,
    "mean": np.mean,
    "reshape": lambda x, shape: np.array(x.ravel().tolist()).reshape(shape),
    "permute_dims": np.transpose, "broadcast_to": np.broadcast_to,
    "concat": lambda *xs, axis: np.concatenate(xs, axis=axis),
    "getitem": lambda x, index: x[index],
    "upsample_nearest": repeated,
}
EXACT = {"dropout", "add", "subtract", "multiply", "divide", "negative", "square", "clip", "where", "astype", "reshape",
         "permute_dims", "broadcast_to", "concat", "getitem", "upsample_nearest"}
VALUE = 2e-14  # error in units of the largest number; EXACT ops only move numbers, or round once as NumPy does
