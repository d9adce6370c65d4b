"""The paper's U-Net (Ho et al. 2020, appendix B), on (N, H, W, C) images.

Parameters carry the names that published weights use (diffusers' UNet2DModel), so that a name means the same
tensor there and here; the layouts are ours: convolutions (kh, kw, C_in, C_out), dense (in, out).
"""

from __future__ import annotations

import math
from typing import Any

from ddpm_np.autograd import ops
from ddpm_np.autograd.recompute import recomputed
from ddpm_np.autograd.tensor import Tensor
from ddpm_np.backend import of
from ddpm_np.models.unet_config import UNetConfig
from ddpm_np.nn import (
    Attention,
    Conv2d,
    Dropout,
    GroupNorm,
    Linear,
    Module,
    Parameter,
    fan_average_uniform,
)


def time_embedding(t: Any, dim: int, *, flip_sin_to_cos: bool = False, freq_shift: float = 1) -> Any:
    """[sin(t ω), cos(t ω)], ω_i = exp(−i·ln 10⁴/(half − freq_shift)), half = dim/2: (N,) -> (N, dim).

    Sines first, as in the paper's code (cosines first if `flip_sin_to_cos`). Embeds the numbers given.

    Checked as: time-embedding.

    Raises
    ------
    ValueError
        If `dim` is odd or below 4 (with half = 1, the last frequency is 0/0).

    Examples
    --------
    >>> import numpy as np
    >>> time_embedding(np.array([0.0]), 4)
    array([[0., 0., 1., 1.]])
    """
    if dim % 2 or dim < 4:
        raise ValueError(f"the time embedding's dim must be even and at least 4, got {dim}")
    xp = of(t)
    t = xp.astype(t, xp.float64, copy=False)
    half = dim // 2
    omega = xp.exp(xp.arange(half, dtype=xp.float64) * (-math.log(10000.0) / (half - freq_shift)))  # (half,)
    angle = t[:, None] * omega  # (N, half)
    parts = (xp.cos(angle), xp.sin(angle)) if flip_sin_to_cos else (xp.sin(angle), xp.cos(angle))
    return xp.concat(parts, axis=1)  # (N, dim)


class TimeEmbedding(Module):
    """Dense, SiLU, dense on the embedding of t."""

    def __init__(self, dim: int, d_out: int):
        self.linear_1 = Linear(dim, d_out)
        self.linear_2 = Linear(d_out, d_out)

    def __call__(self, embedding: Any) -> Tensor:
        return self.linear_2(ops.silu(self.linear_1(embedding)))


class ResidualBlock(Module):
    """x + conv(dropout(SiLU(norm(conv(SiLU(norm(x))) + dense(SiLU(temb)))))), a 1×1 shortcut where channels differ."""

    def __init__(self, c_in: int, c_out: int, d_time: int, config: UNetConfig):
        self.norm1 = GroupNorm(c_in, config.groups, config.norm_eps, silu=True)
        self.conv1 = Conv2d(c_in, c_out)
        self.time_emb_proj = Linear(d_time, c_out)
        self.norm2 = GroupNorm(c_out, config.groups, config.norm_eps, silu=True)
        self.dropout = Dropout(config.dropout)
        self.conv2 = Conv2d(c_out, c_out, scale=1e-10)
        self.conv_shortcut = Conv2d(c_in, c_out, kernel=1) if c_in != c_out else None

    @recomputed
    def __call__(self, x: Any, temb: Tensor) -> Tensor:
        h = self.conv1(self.norm1(x))  # (N, H, W, c_out)
        h = h + ops.reshape(self.time_emb_proj(temb), (x.shape[0], 1, 1, h.shape[3]))
        h = self.conv2(self.dropout(self.norm2(h)))
        return h + (self.conv_shortcut(x) if self.conv_shortcut else x)


class Downsample(Module):
    """Half the side: a 3×3 convolution of stride 2."""

    def __init__(self, channels: int, padding: str):
        before = 0 if padding == "asymmetric" else 1
        self.conv = Conv2d(channels, channels, stride=2, padding=((before, 1), (before, 1)))

    def __call__(self, x: Any) -> Tensor:
        return self.conv(x)


class Upsample(Module):
    """Twice the side: each pixel repeated, then a 3×3 convolution."""

    def __init__(self, channels: int):
        self.conv = Conv2d(channels, channels)

    def __call__(self, x: Any) -> Tensor:
        return ops.upsample_conv2d(x, self.conv.weight, self.conv.bias)


class Level(Module):
    """The blocks of one resolution, on the way down or up, each followed by attention where the level has it."""

    def __init__(self, blocks: list[tuple[int, int]], d_time: int, attention: bool, config: UNetConfig):
        self.resnets = [ResidualBlock(c_in, c_out, d_time, config) for c_in, c_out in blocks]
        self.attentions = [Attention(c, config.groups, config.norm_eps, config.heads_of(c))
                           for _, c in blocks if attention]
        self.downsamplers: list[Downsample] = []  # none or one
        self.upsamplers: list[Upsample] = []

    @recomputed
    def block(self, i: int, x: Any, temb: Tensor) -> Tensor:
        """Block i, with its attention: a segment that may be `recomputed`, and the block within it a part of it."""
        h = self.resnets[i](x, temb)
        return self.attentions[i](h) if self.attentions else h


class MiddleAttention(Attention):
    """The attention of the middle, which `Level.block` does not call: a segment of its own."""

    __call__ = recomputed(Attention.__call__)


class UNet(Module):
    """ε_θ(x, t): predicts the noise in x_t, or what else it is trained for, at the paper's t.

    Parameters
    ----------
    config
        Its shape.
    seed, dtype, backend
        First weights (fan-average uniform; next to zero in the last layer of each residual branch).
    weights
        The weights by name instead, as `state_dict` gives them; nothing larger than they are is ever made.

    Examples
    --------
    >>> import numpy as np
    >>> model = UNet(UNetConfig.preset("digits"))
    >>> model(np.zeros((2, 8, 8, 1), np.float32), np.array([1, 200])).shape
    (2, 8, 8, 1)
    """

    def __init__(self, config: UNetConfig, seed: int = 0, dtype: str = "float32", backend: Any = "numpy",
                 weights: dict[str, Any] | None = None):
        self.config = config
        count = config.blocks_per_level * len(config.channel_multipliers)
        if weights is not None and count > len(weights):
            raise ValueError(f"{len(weights)} weights do not belong to a net of {count:,} blocks: build it from the "
                             "configuration that they were saved with")
        widths = config.widths
        attends = [config.size[0] // 2**i in config.attention_resolutions for i in range(len(widths))]
        d_time, last = 4 * config.channels, len(widths) - 1

        self.conv_in = Conv2d(config.in_channels, config.channels)
        self.time_embedding = TimeEmbedding(config.channels, d_time)
        if config.num_classes is not None:
            self.class_embedding = Parameter((config.num_classes, d_time), fan_average_uniform(d_time, d_time))

        skips, c = [config.channels], config.channels  # channels of what the way down pushes
        self.down_blocks: list[Any] = []
        for i, width in enumerate(widths):
            blocks = [(c if j == 0 else width, width) for j in range(config.blocks_per_level)]
            level = Level(blocks, d_time, attends[i], config)
            skips += [width] * config.blocks_per_level
            if i < last:
                level.downsamplers = [Downsample(width, config.downsample_padding)]
                skips.append(width)
            self.down_blocks.append(level)
            c = width

        self.mid_block = Level([(c, c), (c, c)], d_time, False, config)
        self.mid_block.attentions = [MiddleAttention(c, config.groups, config.norm_eps, config.heads_of(c))]

        self.up_blocks: list[Any] = []
        for i in reversed(range(len(widths))):
            blocks = []
            for _ in range(config.blocks_per_level + 1):
                blocks.append((c + skips.pop(), widths[i]))
                c = widths[i]
            level = Level(blocks, d_time, attends[i], config)
            if i > 0:
                level.upsamplers = [Upsample(c)]
            self.up_blocks.append(level)

        self.conv_norm_out = GroupNorm(c, config.groups, config.norm_eps, silu=True)
        self.conv_out = Conv2d(c, config.out_channels or config.in_channels, scale=1e-10)
        if weights is None:
            self.initialise(seed, dtype, backend)
        else:
            self.fill(weights, dtype, backend)

    def __call__(self, x: Any, t: Any, y: Any = None) -> Tensor:
        """The prediction for a batch.

        Parameters
        ----------
        x
            Array or Tensor (N, H, W, C), of the parameters' dtype.
        t
            Int array (N,), 1..T, on x's device.
        y
            Int array (N,) of labels 0..num_classes − 1, for a net with `num_classes`.

        Returns
        -------
        Tensor (N, H, W, out_channels)
        """
        x = x if isinstance(x, Tensor) else Tensor(x)
        expected = (*self.config.size, self.config.in_channels)
        if tuple(x.shape[1:]) != expected:
            raise ValueError(f"expected images of shape (N, {', '.join(map(str, expected))}), got {tuple(x.shape)}")
        temb = self.embed(x, t, y)  # (N, 4·channels)

        h = self.conv_in(x)
        skips = [h]
        for level in self.down_blocks:
            for i in range(len(level.resnets)):
                h = level.block(i, h, temb)
                skips.append(h)
            if level.downsamplers:
                h = level.downsamplers[0](h)
                skips.append(h)

        h = self.mid_block.resnets[0](h, temb)
        h = self.mid_block.attentions[0](h)
        h = self.mid_block.resnets[1](h, temb)

        for level in self.up_blocks:
            for i in range(len(level.resnets)):
                h = level.block(i, ops.concat(h, skips.pop(), axis=3), temb)
            if level.upsamplers:
                h = level.upsamplers[0](h)

        return self.conv_out(self.conv_norm_out(h))

    def embed(self, x: Tensor, t: Any, y: Any) -> Tensor:
        """SiLU of the embedding of t and the label, which every block's dense layer sees: (N, 4·channels)."""
        config, xp = self.config, of(x.data)
        if tuple(t.shape) != (x.shape[0],):
            raise ValueError(f"expected one t an image, shape ({x.shape[0]},), got {tuple(t.shape)}")
        embedding = time_embedding(
            t - 1,  # published networks were trained with 0..T−1: only a net's `embed` shifts t
            config.channels, flip_sin_to_cos=config.flip_sin_to_cos, freq_shift=config.freq_shift,
        )
        temb = self.time_embedding(xp.astype(embedding, self.conv_in.bias.dtype))
        if (y is None) != (config.num_classes is None):
            raise ValueError(f"this net has num_classes={config.num_classes}: "
                             + ("it takes no labels y" if config.num_classes is None else "give labels y, (N,) ints"))
        if y is not None and config.num_classes is not None:
            if xp.name == "numpy" and y.size and not (y.min() >= 0 and y.max() < config.num_classes):
                raise ValueError(f"labels must be from 0 to {config.num_classes - 1}, got {y.min()} to {y.max()}")
            one_hot = y[:, None] == xp.arange(config.num_classes)  # (N, K)
            temb = temb + ops.linear(xp.astype(one_hot, temb.dtype), self.class_embedding, None)
        return ops.silu(temb)
