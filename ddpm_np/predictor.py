"""Nets for samplers: a trained net as ε_θ(x, t), arrays in and arrays out."""

from __future__ import annotations

from typing import Any

from ddpm_np.backend import freeze, of
from ddpm_np.diffusion.reverse import Predictor
from ddpm_np.nn import Module
from ddpm_np.tensor import Tensor, no_grad
from ddpm_np.workers import cut, default_workers, map_in_order


def predictor(model: Any, weights: str = "ema", workers: int | None = None) -> Predictor:
    """ε_θ(x, t) of a net: evaluation mode, no tape, arrays in and out.

    Parameters
    ----------
    model
        A Module, whose own weights are used; or what holds a net and its average as ``.model`` and ``.ema.model``
        (a Trainer).
    weights
        ``"ema"`` (the average) or ``"model"`` (as trained last), for what holds both.
    workers
        Threads among which the images of a batch are divided, on the CPU; None for one a CPU. An image's result is
        the same bits with any number of them, and in any batch.

    Returns
    -------
    callable
        (x (N, …), t (N,)) -> (N, …), on x's backend; for a net with labels (x, t, y (N,)). It sees the weights as they
        are when it is called.
    """
    if weights not in ("ema", "model"):
        raise ValueError(f"weights must be 'ema' or 'model', got {weights!r}")
    if not isinstance(model, Module):
        model = model.ema.model if weights == "ema" else model.model
    net = model.clone(lambda p: Tensor(freeze(p.data[...]))).eval()  # views of the same arrays

    def eps(x: Any, t: Any, y: Any = None) -> Any:
        xp = of(x)
        threads = (workers or default_workers()) if xp.name == "numpy" else 1

        def part(piece: tuple[int, int]) -> Any:
            first, end = piece
            labels = () if y is None else (y[first:end],)
            with no_grad():
                return net(x[first:end], t[first:end], *labels).data

        parts = list(map_in_order(part, cut(x.shape[0], threads), threads))
        return xp.concat(parts, axis=0) if len(parts) > 1 else parts[0]

    return eps
