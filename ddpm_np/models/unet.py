"""The paper's U-Net (Ho et al. 2020, appendix B), on (N, H, W, C) images.

Parameters have the names of published weights (diffusers' UNet2DModel), so that a name means the same tensor there and
here. The layouts are ours: convolutions (kh, kw, C_in, C_out), dense (in, out).
"""

from __future__ import annotations

import math
from typing import Any

from ddpm_np.autograd import ops
from ddpm_np.autograd.recompute import recomputed
from ddpm_np.autograd.tensor import Tensor
from ddpm_np.backend import Array, Backend, Ints, of
from ddpm_np.models.inputs import batch, one_int_each
from ddpm_np.models.unet_config import UNetConfig
from ddpm_np.nn import Attention, Conv2d, Dropout, GroupNorm, Linear, Module, Parameter, fan_average_uniform


def time_embedding(t: Ints, dim: int, *, flip_sin_to_cos: bool = False, freq_shift: float = 1) -> Array:
    """[sin(t ω), cos(t ω)] with ω_i = exp(−i·ln 10⁴/(half − freq_shift)), half = dim/2.

    It embeds the numbers as they are given: nothing is subtracted from t.

    Checked as: time-embedding.

    Parameters
    ----------
    t : array of shape (N,)
    dim : int
        Even, at least 4.
    flip_sin_to_cos : bool
        Whether the cosines come first; in the paper's code the sines do.
    freq_shift : float
        1 in the paper's code.

    Returns
    -------
    float64 array of shape (N, dim)

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
    """Dense, SiLU, dense on the embedding of t: (N, dim) -> (N, d_out).

    Parameters
    ----------
    dim, d_out : int
    """

    def __init__(self, dim: int, d_out: int) -> None:
        self.linear_1 = Linear(dim, d_out)
        self.linear_2 = Linear(d_out, d_out)

    def __call__(self, embedding: Array) -> Tensor:
        return self.linear_2(ops.silu(self.linear_1(embedding)))


class ResidualBlock(Module):
    """x + conv(dropout(SiLU(norm(conv(SiLU(norm(x))) + dense(temb))))): (N, H, W, c_in) -> (N, H, W, c_out).

    Where the channels differ, a 1×1 convolution of x takes the place of x in the sum. `temb`, the embedding of t after
    SiLU, is (N, d_time).

    Parameters
    ----------
    c_in, c_out, d_time : int
    config : UNetConfig
        For the groups and ε of the normalisations, and the dropout.
    """

    def __init__(self, c_in: int, c_out: int, d_time: int, config: UNetConfig) -> None:
        self.norm1 = GroupNorm(c_in, config.groups, config.norm_eps, silu=True)
        self.conv1 = Conv2d(c_in, c_out)
        self.time_emb_proj = Linear(d_time, c_out)
        self.norm2 = GroupNorm(c_out, config.groups, config.norm_eps, silu=True)
        self.dropout = Dropout(config.dropout)
        self.conv2 = Conv2d(c_out, c_out, scale=1e-10)
        self.conv_shortcut = Conv2d(c_in, c_out, kernel=1) if c_in != c_out else None

    @recomputed
    def __call__(self, x: Array, temb: Tensor) -> Tensor:
        h = self.conv1(self.norm1(x))  # (N, H, W, c_out)
        h = h + ops.reshape(self.time_emb_proj(temb), (x.shape[0], 1, 1, h.shape[3]))
        h = self.conv2(self.dropout(self.norm2(h)))
        return h + (self.conv_shortcut(x) if self.conv_shortcut else x)


class Downsample(Module):
    """Half the side: a 3×3 convolution of stride 2.

    Parameters
    ----------
    channels : int
    padding : str
        ``"asymmetric"`` or ``"symmetric"``, as in `UNetConfig`.
    """

    def __init__(self, channels: int, padding: str) -> None:
        before = 0 if padding == "asymmetric" else 1
        self.conv = Conv2d(channels, channels, stride=2, padding=((before, 1), (before, 1)))

    def __call__(self, x: Array) -> Tensor:
        return self.conv(x)


class Upsample(Module):
    """Twice the side: each pixel repeated, then a 3×3 convolution.

    Parameters
    ----------
    channels : int
    """

    def __init__(self, channels: int) -> None:
        self.conv = Conv2d(channels, channels)

    def __call__(self, x: Array) -> Tensor:
        return ops.upsample_conv2d(x, self.conv.weight, self.conv.bias)


class Level(Module):
    """The blocks of one resolution on the way down or up, each followed by attention if the level has attention.

    Parameters
    ----------
    blocks : list of tuple of int
        The channels (c_in, c_out) of each block.
    d_time : int
    attention : bool
    config : UNetConfig
    """

    def __init__(self, blocks: list[tuple[int, int]], d_time: int, attention: bool, config: UNetConfig) -> None:
        self.resnets = [ResidualBlock(c_in, c_out, d_time, config) for c_in, c_out in blocks]
        self.attentions = [Attention(c, config.groups, config.norm_eps, config.heads_of(c))
                           for _, c in blocks if attention]
        self.downsamplers: list[Downsample] = []  # at most one; published names have an index
        self.upsamplers: list[Upsample] = []

    @recomputed
    def block(self, i: int, x: Array, temb: Tensor) -> Tensor:
        """Run block i and its attention, together one segment of recomputation.

        Parameters
        ----------
        i : int
        x : array or Tensor of shape (N, H, W, c_in)
        temb : Tensor of shape (N, d_time)

        Returns
        -------
        Tensor of shape (N, H, W, c_out)
        """
        h = self.resnets[i](x, temb)
        return self.attentions[i](h) if self.attentions else h


class MiddleAttention(Attention):
    """The attention of the middle, outside any `Level.block`: a segment of recomputation of its own."""

    __call__ = recomputed(Attention.__call__)


class UNet(Module):
    """ε_θ(x, t): a net that predicts the noise in x_t, or another target that it is trained for, at the paper's t.

    Parameters
    ----------
    config : UNetConfig
        Its shape.
    seed : int
        The seed of the first weights: fan-average uniform, almost zero in the last layer of each residual branch.
    dtype : str
        The dtype of the weights.
    backend : str or Backend
        Where the weights live.
    weights : dict of str to array, optional
        Weights by name, as `state_dict` gives them, in place of first weights. They are checked before any array is
        made.

    Raises
    ------
    ValueError
        If `weights` are those of another net.

    Examples
    --------
    >>> import numpy as np
    >>> model = UNet(UNetConfig.preset("digits"))
    >>> model(np.zeros((2, 8, 8, 1), np.float32), np.array([1, 200])).shape
    (2, 8, 8, 1)
    """

    def __init__(self, config: UNetConfig, seed: int = 0, dtype: str = "float32", backend: str | Backend = "numpy",
                 weights: dict[str, Array] | None = None) -> None:
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

        skips, c = [config.channels], config.channels  # the channels of each skip from the way down
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

    def __call__(self, x: Array, t: Ints, y: Ints | None = None) -> Tensor:
        """Return the prediction for a batch.

        Parameters
        ----------
        x : array or Tensor of shape (N, H, W, C)
            Of the parameters' dtype.
        t : int array of shape (N,), or int
            1..T, on x's device; an int is the step of every image.
        y : int array of shape (N,), or int, optional
            Labels 0..num_classes − 1, for a net with `num_classes`.

        Returns
        -------
        Tensor of shape (N, H, W, out_channels)

        Raises
        ------
        TypeError
            If x is not of floating-point numbers, or t or y not of ints.
        ValueError
            If a shape does not fit the configuration, labels are missing or not wanted, or a t or a label is out of
            range (which is checked on NumPy only, to avoid a device sync).
        """
        x = batch(x, (*self.config.size, self.config.in_channels))
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

    def embed(self, x: Tensor, t: Ints, y: Ints | None) -> Tensor:
        """Return SiLU of the embedding of t and the label, the input of every block's dense layer.

        Parameters
        ----------
        x : Tensor of shape (N, H, W, C)
        t : int array of shape (N,), or int
        y : int array of shape (N,), int or None

        Returns
        -------
        Tensor of shape (N, 4·channels)

        Raises
        ------
        TypeError
            If t or y are not ints.
        ValueError
            If t or y do not fit x or the configuration.
        """
        config, xp = self.config, of(x.data)
        t = one_int_each("t", t, x.data, 1)
        embedding = time_embedding(
            t - 1,  # published networks were trained with 0..T−1: only a net's `embed` shifts t
            config.channels, flip_sin_to_cos=config.flip_sin_to_cos, freq_shift=config.freq_shift,
        )
        temb = self.time_embedding(xp.astype(embedding, self.conv_in.bias.dtype))
        if (y is None) != (config.num_classes is None):
            raise ValueError(f"this net has num_classes={config.num_classes}: "
                             + ("it takes no labels y" if config.num_classes is None else "give labels y, (N,) ints"))
        if y is not None and config.num_classes is not None:
            y = one_int_each("y", y, x.data, 0, config.num_classes - 1)
            one_hot = y[:, None] == xp.arange(config.num_classes)  # (N, K)
            temb = temb + ops.linear(xp.astype(one_hot, temb.dtype), self.class_embedding, None)
        return ops.silu(temb)
