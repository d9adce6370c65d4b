"""The U-Net's walk written once for frameworks that are compared with: each brings its own arrays and operations.

Weights have our names and layouts, so a net of ours can be given to a framework, and its output compared.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from ddpm_np.models import UNetConfig

Padding = tuple[tuple[int, int], tuple[int, int]]


class Operations(Protocol):
    """What a framework computes; arrays are its own, images in whatever layout it has."""

    def conv(self, x: Any, w: Any, b: Any, stride: int, padding: Padding) -> Any:
        """Convolve images with a kernel (kh, kw, C, O)."""

    def dense(self, x: Any, w: Any, b: Any) -> Any:
        """Return x W + b on the last axis, W (in, out)."""

    def norm(self, x: Any, scale: Any, bias: Any, groups: int, eps: float) -> Any:
        """Normalise images by groups of channels."""

    def silu(self, x: Any) -> Any:
        """Return x·σ(x)."""

    def shifted(self, x: Any, row: Any) -> Any:
        """Add a row (N, C) to every pixel of images."""

    def rows(self, x: Any) -> Any:
        """Return images as (N, H·W, C)."""

    def images(self, rows: Any, like: Any) -> Any:
        """Return rows (N, H·W, C) as images of the shape of `like`."""

    def attend(self, q: Any, k: Any, v: Any) -> Any:
        """Return the softmax of q kᵀ/√C over keys, times v: (N, L, C) each."""

    def doubled(self, x: Any) -> Any:
        """Repeat each pixel twice along both sides."""

    def joined(self, x: Any, y: Any) -> Any:
        """Concatenate the channels of two images."""

    def dropped(self, x: Any) -> Any:
        """Apply dropout, if this is training."""

    def waves(self, t: Any, omega: np.ndarray) -> Any:
        """Return [sin(t ω), cos(t ω)]: (N, 2·len(ω))."""


def check(config: UNetConfig) -> None:
    """Raise `ValueError` for a net that the walk has no line for."""
    if config.heads != 1 or config.head_dim or config.num_classes is not None or config.flip_sin_to_cos:
        raise ValueError("the nets of the benchmark have one head, no labels and the paper's time embedding")


def forward(ops: Operations, config: UNetConfig, p: Mapping[str, Any], x: Any, t: Any) -> Any:
    """Return ε_θ(x, t), as `models.UNet` computes it.

    Parameters
    ----------
    ops : Operations
        The framework.
    config : UNetConfig
        Configuration of the net.
    p : mapping of str to array
        Weights by our names, in our layouts, as the framework's arrays.
    x : array
        Images, in the framework's layout.
    t : array of shape (N,)
        The paper's t, as floating-point numbers.

    Returns
    -------
    array
        Images like `x`.
    """
    groups, eps, last = config.groups, config.norm_eps, len(config.widths) - 1
    before = 0 if config.downsample_padding == "asymmetric" else 1

    def conv(name: str, h: Any, stride: int = 1, padding: Padding | None = None) -> Any:
        half = p[f"{name}.weight"].shape[0] // 2
        return ops.conv(h, p[f"{name}.weight"], p[f"{name}.bias"], stride, padding or ((half, half), (half, half)))

    def dense(name: str, h: Any) -> Any:
        return ops.dense(h, p[f"{name}.weight"], p[f"{name}.bias"])

    def norm(name: str, h: Any) -> Any:
        return ops.norm(h, p[f"{name}.weight"], p[f"{name}.bias"], groups, eps)

    def block(name: str, h: Any) -> Any:
        y = conv(f"{name}.conv1", ops.silu(norm(f"{name}.norm1", h)))
        y = ops.shifted(y, dense(f"{name}.time_emb_proj", temb))
        y = conv(f"{name}.conv2", ops.dropped(ops.silu(norm(f"{name}.norm2", y))))
        return y + (conv(f"{name}.conv_shortcut", h) if f"{name}.conv_shortcut.weight" in p else h)

    def attention(name: str, h: Any) -> Any:
        rows = ops.rows(norm(f"{name}.group_norm", h))
        q, k, v = (dense(f"{name}.to_{part}", rows) for part in "qkv")
        return h + ops.images(dense(f"{name}.to_out.0", ops.attend(q, k, v)), h)

    def in_level(level: str, j: int, h: Any) -> Any:
        h = block(f"{level}.resnets.{j}", h)
        return attention(f"{level}.attentions.{j}", h) if f"{level}.attentions.{j}.to_q.weight" in p else h

    half = config.channels // 2
    omega = np.exp(np.arange(half) * (-math.log(10000.0) / (half - config.freq_shift)))
    temb = dense("time_embedding.linear_1", ops.waves(t - 1, omega))
    temb = ops.silu(dense("time_embedding.linear_2", ops.silu(temb)))  # the input of every block's dense layer

    h = conv("conv_in", x)
    skips = [h]
    for i in range(last + 1):
        for j in range(config.blocks_per_level):
            h = in_level(f"down_blocks.{i}", j, h)
            skips.append(h)
        if i < last:
            h = conv(f"down_blocks.{i}.downsamplers.0.conv", h, 2, ((before, 1), (before, 1)))
            skips.append(h)
    h = attention("mid_block.attentions.0", block("mid_block.resnets.0", h))
    h = block("mid_block.resnets.1", h)
    for i in range(last + 1):
        for j in range(config.blocks_per_level + 1):
            h = in_level(f"up_blocks.{i}", j, ops.joined(h, skips.pop()))
        if i < last:
            h = conv(f"up_blocks.{i}.upsamplers.0.conv", ops.doubled(h))
    return conv("conv_out", ops.silu(norm("conv_norm_out", h)))
