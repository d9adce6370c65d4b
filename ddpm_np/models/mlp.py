"""A small dense net for points of few dimensions, such as the 2-D toys."""

from __future__ import annotations

from dataclasses import dataclass

from ddpm_np import arguments
from ddpm_np.autograd import ops
from ddpm_np.autograd.tensor import Tensor
from ddpm_np.backend import Array, Backend, Ints, of
from ddpm_np.models.inputs import batch, one_int_each
from ddpm_np.models.unet import time_embedding
from ddpm_np.nn import Linear, Module


@dataclass(frozen=True)
class MLPConfig:
    """The shape of a dense net.

    Attributes
    ----------
    dim : int
        D, the dimensions of a point.
    width : int
        The width of every hidden layer.
    depth : int
        The number of hidden layers.
    outputs : int, optional
        The width of the output; None for D. A learned variance takes 2·D.
    time_dim : int
        The size of the embedding of t, an input of every hidden layer: even, at least 4.
    input_scale : float
        The initial variance of the first layer, in units of the fan-average 2/(D + width). With 1 its outputs would be
        so small that SiLU is nearly linear on them, and a net that begins as a linear function takes long to learn a
        curve.

    Raises
    ------
    ValueError
        If a value is out of range.
    """

    dim: int = 2
    width: int = 64
    depth: int = 4
    outputs: int | None = None
    time_dim: int = 32
    input_scale: float = 100.0

    def __post_init__(self) -> None:
        for name in ("dim", "width", "depth", "outputs"):
            if getattr(self, name) is not None:
                arguments.count(name, getattr(self, name))
        arguments.count("time_dim", self.time_dim)
        if self.time_dim % 2 or self.time_dim < 4:
            raise ValueError(f"time_dim must be even and at least 4, got {self.time_dim}")
        arguments.number("input_scale", self.input_scale, above=0)


class Layer(Module):
    """SiLU(dense(h) + dense(embedding of t)): (N, d_in) -> (N, width).

    Parameters
    ----------
    d_in : int
    config : MLPConfig
    scale : float
        A factor of the variance of the first weights; see `fan_average_uniform`.
    """

    def __init__(self, d_in: int, config: MLPConfig, scale: float = 1.0) -> None:
        self.linear = Linear(d_in, config.width, scale)
        self.time_emb_proj = Linear(config.time_dim, config.width)

    def __call__(self, h: Array, embedding: Array) -> Tensor:
        return ops.silu(self.linear(h) + self.time_emb_proj(embedding))


class MLP(Module):
    """ε_θ(x, t) of points: hidden layers that each see t, then a dense layer that begins almost at zero.

    On the CPU, a point's result has the same bits in any batch. The default sizes are those that learned a swiss roll
    best in ten seconds: a fourth layer helped more than twice the width.

    Parameters
    ----------
    config : MLPConfig
        Its shape.
    seed : int
        The seed of the first weights (fan-average uniform).
    dtype : str
        The dtype of the weights.
    backend : str or Backend
        Where the weights live.

    Examples
    --------
    >>> import numpy as np
    >>> model = MLP(MLPConfig(dim=2, outputs=4))
    >>> model(np.zeros((3, 2), np.float32), np.array([1, 2, 100])).shape
    (3, 4)
    """

    def __init__(self, config: MLPConfig, seed: int = 0, dtype: str = "float32",
                 backend: str | Backend = "numpy") -> None:
        self.config = config
        self.layers = [Layer(config.dim, config, config.input_scale),
                       *(Layer(config.width, config) for _ in range(config.depth - 1))]
        self.out = Linear(config.width, config.outputs or config.dim, scale=1e-10)
        self.initialise(seed, dtype, backend)

    def __call__(self, x: Array, t: Ints) -> Tensor:
        """Return the prediction for a batch.

        Parameters
        ----------
        x : array or Tensor of shape (N, D)
            Of the parameters' dtype.
        t : int array of shape (N,), or int
            1..T, on x's device; an int is the step of every point.

        Returns
        -------
        Tensor of shape (N, outputs)

        Raises
        ------
        TypeError
            If x is not of floating-point numbers, or t not of ints.
        ValueError
            If a shape is another one, or a t is below 1 (which is checked on NumPy only, to avoid a device sync).
        """
        h = batch(x, (self.config.dim,), "points")
        embedding = self.embed(h, t)  # (N, time_dim)
        for layer in self.layers:
            h = layer(h, embedding)  # (N, width)
        return self.out(h)

    def embed(self, x: Tensor, t: Ints) -> Array:
        """Return the embedding of t as in the U-Net: `time_embedding` of t − 1, in the parameters' dtype.

        Parameters
        ----------
        x : Tensor of shape (N, D)
        t : int array of shape (N,), or int

        Returns
        -------
        array of shape (N, time_dim)

        Raises
        ------
        TypeError
            If t is not of ints.
        ValueError
            If there is not one t for each point, or a t is below 1.
        """
        t = one_int_each("t", t, x.data, 1, what="point")
        return of(t).astype(time_embedding(t - 1, self.config.time_dim), self.out.bias.dtype)
