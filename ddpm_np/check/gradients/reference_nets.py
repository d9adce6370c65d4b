"""Independent forwards of the nets in plain NumPy, with which the real ones are compared.

Weights have the published names, such as `w["down_blocks.0.resnets.1.conv1.weight"]`; convolutions are
(kh, kw, C_in, C_out), dense layers (in, out). Nothing here calls `ddpm_np.autograd.ops`, `nn` or `models`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ddpm_np.check.gradients.reference_ops import attend, convolution, dense, normalisation, repeated, silu

ONE = ((1, 1), (1, 1))

Weights = dict[str, np.ndarray]


def embedded(t: Any, dim: int, flip: bool = False, shift: float = 1) -> np.ndarray:
    """Return sin and cos of (t − 1)·10⁴^(−i/(dim/2 − shift)); t − 1 because published nets count t from 0."""
    half = dim // 2
    angles = [[(int(s) - 1) * 10000.0 ** (-i / (half - shift)) for i in range(half)] for s in t]
    sines, cosines = ([[f(a) for a in row] for row in angles] for f in (math.sin, math.cos))
    return np.concatenate((cosines, sines) if flip else (sines, cosines), axis=1)


def conv(w: Weights, name: str, x: np.ndarray, stride: int = 1, padding: Any = ONE) -> np.ndarray:
    """Apply the convolution of the given name."""
    return convolution(x, w[f"{name}.weight"], w[f"{name}.bias"], stride=stride, padding=padding)


def linear(w: Weights, name: str, x: np.ndarray) -> np.ndarray:
    """Apply the dense layer of the given name."""
    return dense(x, w[f"{name}.weight"], w[f"{name}.bias"])


def norm(w: Weights, name: str, x: np.ndarray, groups: int, eps: float) -> np.ndarray:
    """Apply the group normalisation of the given name."""
    return normalisation(x, w[f"{name}.weight"], w[f"{name}.bias"], groups=groups, eps=eps)


def attention(w: Weights, name: str, x: np.ndarray, groups: int, eps: float, heads: int) -> np.ndarray:
    """Return x + W_out·attention over all positions of the normalised x, head by head."""
    n, height, width, c = x.shape
    h = norm(w, f"{name}group_norm", x, groups, eps).reshape(n, height * width, c)
    q, k, v = (np.split(linear(w, f"{name}to_{which}", h), heads, axis=2) for which in "qkv")
    y = np.concatenate([attend(*each) for each in zip(q, k, v, strict=True)], axis=2)
    return x + linear(w, f"{name}to_out.0", y).reshape(x.shape)


def residual(w: Weights, name: str, x: np.ndarray, activated: np.ndarray, groups: int, eps: float,
             mask: Any = 1.0) -> np.ndarray:
    """Apply a residual block; `activated` is SiLU of t's embedding, `mask` the factor of dropout."""
    h = conv(w, f"{name}conv1", silu(norm(w, f"{name}norm1", x, groups, eps)))
    h = h + linear(w, f"{name}time_emb_proj", activated)[:, None, None, :]
    h = conv(w, f"{name}conv2", mask * silu(norm(w, f"{name}norm2", h, groups, eps)))
    shortcut = f"{name}conv_shortcut"
    return h + (conv(w, shortcut, x, padding=((0, 0), (0, 0))) if f"{shortcut}.weight" in w else x)


def downsample(w: Weights, name: str, x: np.ndarray, padding: str) -> np.ndarray:
    """Halve height and width, padding on the right and bottom only or on all sides."""
    before = {"asymmetric": 0, "symmetric": 1}[padding]
    return conv(w, f"{name}conv", x, 2, ((before, 1), (before, 1)))


def upsample(w: Weights, name: str, x: np.ndarray) -> np.ndarray:
    """Double height and width."""
    return conv(w, f"{name}conv", repeated(x))


def time_mlp(w: Weights, name: str, embedding: np.ndarray) -> np.ndarray:
    """Apply dense, SiLU, dense."""
    return linear(w, f"{name}linear_2", silu(linear(w, f"{name}linear_1", embedding)))


def unet(config: Any, w: Weights, x: np.ndarray, t: np.ndarray, y: np.ndarray | None = None) -> np.ndarray:
    """Apply the whole U-Net in evaluation mode (Ho et al. 2020, appendix B), from a UNetConfig and weights."""
    groups, eps, levels = config.groups, config.norm_eps, len(config.channel_multipliers)
    embedding = embedded(t, config.channels, config.flip_sin_to_cos, config.freq_shift)
    temb = time_mlp(w, "time_embedding.", embedding)
    activated = silu(temb if y is None else temb + w["class_embedding"][y])

    def block(name: str, j: int, h: np.ndarray) -> np.ndarray:
        h = residual(w, f"{name}resnets.{j}.", h, activated, groups, eps)
        if h.shape[1] not in config.attention_resolutions:
            return h
        return attention(w, f"{name}attentions.{j}.", h, groups, eps, config.heads_of(h.shape[3]))

    h = conv(w, "conv_in", x)
    skips = [h]
    for i in range(levels):
        for j in range(config.blocks_per_level):
            h = block(f"down_blocks.{i}.", j, h)
            skips.append(h)
        if i < levels - 1:
            h = downsample(w, f"down_blocks.{i}.downsamplers.0.", h, config.downsample_padding)
            skips.append(h)

    h = residual(w, "mid_block.resnets.0.", h, activated, groups, eps)
    h = attention(w, "mid_block.attentions.0.", h, groups, eps, config.heads_of(h.shape[3]))
    h = residual(w, "mid_block.resnets.1.", h, activated, groups, eps)

    for i in range(levels):
        for j in range(config.blocks_per_level + 1):
            h = block(f"up_blocks.{i}.", j, np.concatenate((h, skips.pop()), axis=3))
        if i < levels - 1:
            h = upsample(w, f"up_blocks.{i}.upsamplers.0.", h)
    return conv(w, "conv_out", silu(norm(w, "conv_norm_out", h, groups, eps)))


def unet_shapes(config: Any) -> dict[str, tuple[int, ...]]:
    """Return the shape of every weight of the U-Net by name."""
    found: dict[str, tuple[int, ...]] = {}
    widths, d_time = config.widths, 4 * config.channels
    skips, c, last = [config.channels], config.channels, len(config.channel_multipliers) - 1

    def add(name: str, *shape: int) -> None:
        found[f"{name}.weight"], found[f"{name}.bias"] = shape, shape[-1:]

    def block(name: str, j: int, c_in: int, c_out: int, attends: bool) -> None:
        block = f"{name}.resnets.{j}"
        add(f"{block}.norm1", c_in)
        add(f"{block}.conv1", 3, 3, c_in, c_out)
        add(f"{block}.time_emb_proj", d_time, c_out)
        add(f"{block}.norm2", c_out)
        add(f"{block}.conv2", 3, 3, c_out, c_out)
        if c_in != c_out:
            add(f"{block}.conv_shortcut", 1, 1, c_in, c_out)
        if attends:
            add(f"{name}.attentions.{j}.group_norm", c_out)
            for layer in ("to_q", "to_k", "to_v", "to_out.0"):
                add(f"{name}.attentions.{j}.{layer}", c_out, c_out)

    add("conv_in", 3, 3, config.in_channels, c)
    add("time_embedding.linear_1", c, d_time)
    add("time_embedding.linear_2", d_time, d_time)
    if config.num_classes is not None:
        found["class_embedding"] = (config.num_classes, d_time)
    attends = [config.size[0] / 2**i in config.attention_resolutions for i in range(last + 1)]
    for i, width in enumerate(widths):
        for j in range(config.blocks_per_level):
            block(f"down_blocks.{i}", j, c, width, attends[i])
            c = width
            skips.append(c)
        if i < last:
            add(f"down_blocks.{i}.downsamplers.0.conv", 3, 3, c, c)
            skips.append(c)
    block("mid_block", 0, c, c, True)
    block("mid_block", 1, c, c, False)
    for i, width in enumerate(widths[::-1]):
        for j in range(config.blocks_per_level + 1):
            block(f"up_blocks.{i}", j, c + skips.pop(), width, attends[last - i])
            c = width
        if i < last:
            add(f"up_blocks.{i}.upsamplers.0.conv", 3, 3, c, c)
    add("conv_norm_out", c)
    add("conv_out", 3, 3, c, config.out_channels or config.in_channels)
    return found


def mlp(config: Any, w: Weights, x: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Apply the dense net, from an MLPConfig and weights."""
    embedding = embedded(t, config.time_dim)
    for i in range(config.depth):
        x = silu(linear(w, f"layers.{i}.linear", x) + linear(w, f"layers.{i}.time_emb_proj", embedding))
    return linear(w, "out", x)


def classifier(config: Any, w: Weights, x: np.ndarray) -> np.ndarray:
    """Return the classifier's logits, from a ClassifierConfig and weights; all blocks but the first and last stride."""
    last = len(config.widths) - 1
    for i in range(last + 1):
        x = conv(w, f"blocks.{i}.conv", x, 1 if i in (0, last) else 2)
        x = silu(norm(w, f"blocks.{i}.norm", x, config.groups, config.norm_eps))
    return linear(w, "classify", x.mean(axis=(1, 2)))
