"""Mistakes in this package's gradients; each breaks the gradient checks that it names.

A line is (what it is, the right text, the wrong text, the results that must FAIL, how often the text occurs if not
once). A place is a function below `ddpm_np`: an op's definition, a kernel, a method.
"""

from __future__ import annotations
import __future__

import ast
from collections.abc import Iterator
from contextlib import contextmanager
from types import FunctionType

from ddpm_np.check.code import named
from mistakes import Change, changes, source_of
from mistakes.gradients_kernels import KERNELS
from mistakes.gradients_nets import LAYERS, LOSSES, OPTIMISER, TAPE
from mistakes.gradients_ops import ELEMENTWISE, MATRICES, NORMS, SHAPES

MISTAKES = changes({**ELEMENTWISE, **MATRICES, **NORMS, **SHAPES, **KERNELS, **TAPE, **LAYERS, **LOSSES, **OPTIMISER})

# What looks different and is right: none of it may FAIL.

REWRITES = changes({
    "autograd.ops.elementwise.silu": [
        ("σ taken out", "g * (s + x * s * (1 - s))", "g * s * (1 + x * (1 - s))", "grad-silu grad-unet"),
    ],
    "autograd.ops.elementwise.sigmoid": [("s − s²", "g * s * (1 - s)", "g * (s - s * s)", "grad-sigmoid")],
    "autograd.ops.elementwise.divide": [("by b²", "-g * y / b", "-g * y * b / (b * b)", "grad-divide grad-tape")],
    "autograd.ops.elementwise.tanh": [("(1 − y)(1 + y)", "1 - y * y", "(1 - y) * (1 + y)", "grad-tanh")],
    "autograd.ops.elementwise.add": [("copies", "(g, g)", "(g.copy(), lambda: g.copy())", "grad-add grad-tape")],
    "autograd.ops.attention.attention": [
        ("queries and keys each by D^¼", "xp.matmul(q, xp.matrix_transpose(k)) * scale",
         "xp.matmul(q * scale**0.5, xp.matrix_transpose(k * scale**0.5))",
         "grad-attention grad-layer-attention grad-unet"),
        ("the scale on the gradient of the softmax's input",
         "through_softmax(xp.matmul(g, xp.matrix_transpose(v)), p) * scale",
         "through_softmax(xp.matmul(g, xp.matrix_transpose(v)) * scale, p)", "grad-attention grad-layer-attention"),
    ],
    "autograd.ops.attention.softmax_of": [
        ("another shift", "xp.max(real, axis=-1, keepdims=True)", "xp.max(real, axis=-1, keepdims=True) - 1",
         "grad-softmax grad-attention"),
    ],
    "autograd.ops.norm.group_norm": [
        ("divided, not multiplied by the inverse", "x_hat = centred * inverse",
         "x_hat = centred / xp.sqrt(variance + eps)",
         "grad-group_norm grad-unet"),
        ("the sum first", "(u - along_m - along_v)", "(u - (along_m + along_v))",
         "grad-group_norm grad-group_norm_silu"),
    ],
    "autograd.ops.conv.conv2d": [
        ("the sum from the last tap to the first", "for p, q in taps))", "for p, q in taps[::-1]))", "grad-conv2d"),
    ],
    "kernels.numpy_conv._gx_by_taps": [
        ("columns first", "for p in range(kh):\n        for q in range(kw):",
         "for q in range(kw):\n        for p in range(kh):",
         "grad-conv2d grad-layer-downsample"),
    ],
    "kernels.numpy_norm._over_group": [
        ("small groups as large ones", "if c // groups <= 4", "if False", "grad-group_norm grad-group_norm_silu"),
        ("large groups as small ones", "if c // groups <= 4", "if True", "grad-group_norm grad-group_norm_silu"),
        ("one channel a group as any number", "if c == groups", "if False", "grad-group_norm grad-group_norm_silu"),
    ],
    "kernels.numpy_runs.pixels_in_a_run": [
        ("one pixel to a run", "if pixels < 64 or channels > 128", "if True", "grad-group_norm grad-group_norm_silu"),
        ("of few pixels and many channels too", "if pixels < 64 or channels > 128", "if False",
         "grad-group_norm grad-group_norm_silu"),
    ],
    "kernels.numpy_runs.long_runs": [
        ("NumPy's own buffers", "run >= RUN", "False", "grad-group_norm grad-conv2d"),
        ("no buffers anywhere", "run >= RUN", "True", "grad-group_norm grad-conv2d"),
    ],
    "kernels.numpy_runs.pixel_sums": [
        ("NumPy's sum", "np.matmul(_ones(x.shape[1], x.dtype), x)", "x.sum(axis=1, keepdims=True)",
         "grad-group_norm grad-conv2d grad-linear grad-unet"),
    ],
    "autograd.tape.undo_broadcasting": [
        ("never by a product", "if axes and", "if False and", "grad-tape grad-multiply grad-unet"),
        ("the last axes by a product too", " and axes[-1] < g.ndim - 1", "", "grad-tape grad-multiply grad-unet"),
    ],
    "autograd.tape._accumulate": [
        ("never in place", "total += g\n    return total", "return backend.asarray(total + g)", "grad-tape grad-unet"),
    ],
    "nn.layers.Attention.__call__": [
        ("the residual sum the other way round", "x + ops.reshape(self.to_out[0](y), (n, height, width, c))",
         "ops.reshape(self.to_out[0](y), (n, height, width, c)) + x", "grad-layer-attention grad-unet"),
    ],
    "diffusion.loss.simple_loss": [
        ("ε_θ − ε", "target(schedule, x_0, x_t, t, noise, predicts) - output",
         "output - target(schedule, x_0, x_t, t, noise, predicts)", "grad-loss"),
    ],
    "training.adam.adam_step": [
        ("ε̂ = ε·√(1 − β₂ᵏ) in the second form", "lr * m_hat / (of(v_hat).sqrt(v_hat) + eps)",
         "lr * ((1 - b2**k) ** 0.5 / (1 - b1**k)) * m / (of(v).sqrt(v) + eps * (1 - b2**k) ** 0.5)", "adam"),
    ],
    "training.fused_update.fused_update": [
        ("m̂ and v̂ by themselves", "step * m_block / (xp.sqrt(v_block) * root + eps)",
         "(step * m_block) / (xp.sqrt(v_block * (root * root)) + eps)", "adam"),
        ("m + (1 − β₁)(g − m)", "m_block *= keep_m\n        m_block += add_m * g", "m_block += add_m * (g - m_block)",
         "adam"),
    ],
    "training.ema.EMA.move": [
        ("d·θ̄ + (1 − d)·θ", "average += share * (self.source.data[block] - average)",
         "average[...] = (1 - share) * average + share * self.source.data[block]", "ema"),
    ],
})


@contextmanager
def planted(change: Change) -> Iterator[None]:
    """Plant a mistake in a function's code; decorators, which would register it again, are left out."""
    function = named(change.place)
    tree = ast.parse(change.applied(source_of(function)))
    tree.body[0].decorator_list.clear()
    names = dict(function.__globals__)
    exec(compile(tree, f"<{change}>", "exec", __future__.annotations.compiler_flag, True), names)
    right, function.__code__ = function.__code__, names[function.__name__].__code__
    forget(function)
    try:
        yield
    finally:
        function.__code__ = right
        forget(function)


def forget(function: FunctionType) -> None:
    """Empty the caches of the function's module, which hold results of other code."""
    for value in function.__globals__.values():
        if hasattr(value, "cache_clear"):
            value.cache_clear()
