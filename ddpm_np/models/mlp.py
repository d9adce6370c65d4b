"""A small dense net for points of a few numbers, such as the 2-D toys."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ddpm_np.autograd import ops
from ddpm_np.autograd.tensor import Tensor
from ddpm_np.backend import of
from ddpm_np.models.unet import time_embedding
from ddpm_np.nn import Linear, Module


@dataclass(frozen=True)
class MLPConfig:
    """The shape of a dense net.

    Parameters
    ----------
    dim
        D, the numbers of a point.
    width
        Of every hidden layer.
    depth
        Hidden layers.
    outputs
        Numbers of the output; None for D, 2·D where the net also says a variance.
    time_dim
        Of the embedding of t that every hidden layer sees: even, at least 4.
    input_scale
        Of the first layer's initial variance, in units of the fan-average 2/(D + width). With 1 its inputs would be so
        small that SiLU is nearly straight, and a net begun as a straight line takes long to learn a curve.
    """

    dim: int = 2
    width: int = 64
    depth: int = 4
    outputs: int | None = None
    time_dim: int = 32
    input_scale: float = 100.0

    def __post_init__(self) -> None:
        for name in ("dim", "width", "depth", "outputs"):
            count = getattr(self, name)
            if count is not None and count < 1:
                raise ValueError(f"{name} must be at least 1, got {count}")
        if self.time_dim % 2 or self.time_dim < 4:
            raise ValueError(f"time_dim must be even and at least 4, got {self.time_dim}")
        if not self.input_scale > 0:
            raise ValueError(f"input_scale must be positive, got {self.input_scale}")


class Layer(Module):
    """SiLU(dense(h) + dense(embedding of t))."""

    def __init__(self, d_in: int, config: MLPConfig, scale: float = 1.0):
        self.linear = Linear(d_in, config.width, scale)
        self.time_emb_proj = Linear(config.time_dim, config.width)

    def __call__(self, h: Any, embedding: Any) -> Tensor:
        return ops.silu(self.linear(h) + self.time_emb_proj(embedding))


class MLP(Module):
    """ε_θ(x, t) of points: hidden layers that each see t, then a dense layer that begins next to zero.

    A point's result is the same bits in any batch. `MLPConfig`'s sizes are those that learned a swiss roll best in ten
    seconds: a fourth layer helps more than twice the width.

    Parameters
    ----------
    config
        Its shape.
    seed, dtype, backend
        First weights (fan-average uniform).

    Examples
    --------
    >>> import numpy as np
    >>> model = MLP(MLPConfig(dim=2, outputs=4))
    >>> model(np.zeros((3, 2), np.float32), np.array([1, 2, 100])).shape
    (3, 4)
    """

    def __init__(self, config: MLPConfig, seed: int = 0, dtype: str = "float32", backend: Any = "numpy"):
        self.config = config
        self.layers = [Layer(config.dim, config, config.input_scale),
                       *(Layer(config.width, config) for _ in range(config.depth - 1))]
        self.out = Linear(config.width, config.outputs or config.dim, scale=1e-10)
        self.initialise(seed, dtype, backend)

    def __call__(self, x: Any, t: Any) -> Tensor:
        """The prediction for a batch.

        Parameters
        ----------
        x
            Array or Tensor (N, D), of the parameters' dtype.
        t
            Int array (N,), 1..T, on x's device.

        Returns
        -------
        Tensor (N, outputs)
        """
        h = x if isinstance(x, Tensor) else Tensor(x)
        if tuple(h.shape[1:]) != (self.config.dim,):
            raise ValueError(f"expected points of shape (N, {self.config.dim}), got {tuple(h.shape)}")
        embedding = self.embed(h, t)  # (N, time_dim)
        for layer in self.layers:
            h = layer(h, embedding)  # (N, width)
        return self.out(h)

    def embed(self, x: Tensor, t: Any) -> Any:
        """The embedding of t, as the U-Net's: `time_embedding` of t − 1, in the parameters' dtype; (N, time_dim)."""
        if tuple(t.shape) != (x.shape[0],):
            raise ValueError(f"expected one t a point, shape ({x.shape[0]},), got {tuple(t.shape)}")
        return of(t).astype(time_embedding(t - 1, self.config.time_dim), self.out.bias.dtype)
