"""Differentiable operations: each a definition, forward and vjp in one screen, on any array namespace.

To add one: define it with ``@op`` in a module of this package and import it here; give it inputs in `examples` and an
independent value in ``ddpm_np/check/gradients/reference_ops.py``. Tests and checker find it in the registry.
"""

from ddpm_np.autograd.op import REGISTRY, Op, images_together, kernels, op
from ddpm_np.autograd.ops.attention import attention, softmax
from ddpm_np.autograd.ops.conv import conv2d, upsample_conv2d
from ddpm_np.autograd.ops.elementwise import (
    add,
    astype,
    clip,
    cos,
    divide,
    dropout,
    exp,
    expm1,
    log,
    log1p,
    log_ndtr,
    multiply,
    negative,
    pow_,
    sigmoid,
    silu,
    sin,
    sqrt,
    square,
    subtract,
    tanh,
    where,
)
from ddpm_np.autograd.ops.linear import linear, matmul
from ddpm_np.autograd.ops.norm import group_norm, group_norm_silu
from ddpm_np.autograd.ops.reduce import mean, sum_
from ddpm_np.autograd.ops.shape import broadcast_to, concat, getitem, permute_dims, reshape, upsample_nearest
from ddpm_np.autograd.tensor import OPS

OPS.concat = lambda arrays, axis=0: concat(*arrays, axis=axis)  # a sequence, and its default axis, as in the array API

__all__ = [
    "OPS", "REGISTRY", "Op", "add", "astype", "attention", "broadcast_to", "clip", "concat", "conv2d", "cos", "divide",
    "dropout", "exp", "expm1", "getitem", "group_norm", "group_norm_silu", "images_together", "kernels", "linear",
    "log", "log1p", "log_ndtr", "matmul", "mean", "multiply", "negative", "op", "permute_dims", "pow_", "reshape",
    "sigmoid", "silu", "sin", "softmax", "sqrt", "square", "subtract", "sum_", "tanh", "upsample_conv2d",
    "upsample_nearest", "where",
]
