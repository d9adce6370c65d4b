"""Each op of the registry as PyTorch computes it, with the same arguments."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'ddpm_np[peers]'")
F = torch.nn.functional


def to_torch(array, grad=True):
    tensor = torch.from_numpy(np.array(array))
    return tensor.requires_grad_(grad and tensor.is_floating_point())


def nchw(x):
    """(N, H, W, C) -> (N, C, H, W)."""
    return x.permute(0, 3, 1, 2)


def nhwc(x):
    """(N, C, H, W) -> (N, H, W, C)."""
    return x.permute(0, 2, 3, 1)


def conv2d(x, w, b, *, stride, padding):
    (top, bottom), (left, right) = padding
    return nhwc(F.conv2d(F.pad(nchw(x), (left, right, top, bottom)), w.permute(3, 2, 0, 1), b, stride))


def group_norm(x, scale, bias, *, groups, eps):
    return nhwc(F.group_norm(nchw(x), groups, scale, bias, eps))


def reduction(function):
    """A reduction whose axis () is no axis: for PyTorch it is all of them."""
    def reduce(x, *, axis=None, keepdims=False):
        if axis == () or x.ndim == 0:
            return x.clone()
        return function(x, dim=tuple(range(x.ndim)) if axis is None else axis, keepdim=keepdims)
    return reduce


def getitem(x, index):
    """x[index] for any index of NumPy's: PyTorch has no negative steps."""
    return x.flatten()[torch.from_numpy(np.arange(x.numel()).reshape(x.shape)[index].copy())]


THEIRS = {
    "conv2d": conv2d,
    "group_norm": group_norm,
    "group_norm_silu": lambda *arrays, **static: F.silu(group_norm(*arrays, **static)),
    "silu": F.silu,
    "sigmoid": torch.sigmoid,
    "softmax": lambda x: torch.softmax(x, dim=-1),
    "attention": F.scaled_dot_product_attention,
    "linear": lambda x, w, b: F.linear(x, w.T, b),
    "log_ndtr": torch.special.log_ndtr,
    "tanh": torch.tanh,
    "upsample_nearest": lambda x, factor: nhwc(F.interpolate(nchw(x), scale_factor=factor, mode="nearest")),
    "where": torch.where,
    "dropout": lambda x, keep, scale: x * keep * scale,
    "clip": torch.clip,
    "matmul": torch.matmul,
    "pow": torch.pow,
    "log1p": torch.log1p,
    "expm1": torch.expm1,
    **{name: getattr(torch, name) for name in (
        "add", "subtract", "multiply", "divide", "negative", "square", "sqrt", "exp", "log", "sin", "cos",
        "broadcast_to")},
    "astype": lambda x, dtype: x.to(getattr(torch, np.dtype(dtype).name)),
    "concat": lambda *xs, axis: torch.cat(xs, axis),
    "getitem": getitem,
    "mean": reduction(torch.mean),
    "permute_dims": torch.permute,
    "reshape": lambda x, shape: x.reshape(shape),
    "sum": reduction(torch.sum),
    "upsample_conv2d": lambda x, w, b: conv2d(
        nhwc(F.interpolate(nchw(x), scale_factor=2, mode="nearest")), w, b, stride=1, padding=((1, 1), (1, 1))),
}
