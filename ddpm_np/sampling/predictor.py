"""Wrap a trained net as a plain function ε_θ(x, t) of arrays."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

from ddpm_np import arguments
from ddpm_np.autograd.ops import images_together
from ddpm_np.autograd.tensor import Tensor, no_grad
from ddpm_np.backend import Array, Ints, freeze, of
from ddpm_np.diffusion.reverse import Denoiser
from ddpm_np.models.inputs import one_int_each
from ddpm_np.nn import Module
from ddpm_np.parallel.processes import WorkerPool, can_fork, is_shared
from ddpm_np.parallel.threads import contiguous_spans, default_workers, map_in_order


def predictor(model: Any, weights: str = "ema", workers: int | None = None, *, fixed: bool = False,
              together: bool = False) -> Denoiser:
    """Return a net as a plain function ε_θ(x, t): evaluation mode, no tape, arrays in and out.

    Parameters
    ----------
    model : Module, Trainer or what `load` returns
        A Module, whose own weights are used; or an object with a net as ``.model`` and its average as ``.ema.model``.
    weights : str
        ``"ema"`` (the average) or ``"model"`` (after the last step), for an object that has both.
    workers : int or None
        Number of workers that the images of a batch are divided among, on the CPU; None for one per CPU. An image's
        result is the same bits with any number of workers and in any batch, unless `together`. Where the system allows,
        the workers after the first are processes, for weights that a Trainer shares with them or that are `fixed`; else
        they are threads.
    fixed : bool
        A promise that the weights do not change while the function is in use.
    together : bool
        Whether all images of a worker may be multiplied as one matrix. That is faster for small images, but an image's
        last bits then depend on the images beside it.

    Returns
    -------
    callable
        ``eps(x, t)`` with x of shape (N, …) and t of shape (N,), or an int, on x's backend; ``eps(x, t, y)`` for a net
        with labels. It uses the weights as they are when it is called.

    Raises
    ------
    ValueError
        If `weights` is neither.

    Examples
    --------
    >>> import numpy as np
    >>> from ddpm_np.models import UNet, UNetConfig
    >>> eps = predictor(UNet(UNetConfig.preset("digits")))
    >>> eps(np.zeros((2, 8, 8, 1), np.float32), np.array([1, 1000])).shape
    (2, 8, 8, 1)
    """
    arguments.one_of("weights", weights, ("ema", "model"))
    if workers is not None:
        arguments.count("workers", workers)
    if not isinstance(model, Module):
        model = model.ema.model if weights == "ema" else model.model
    net = model.clone(lambda p: Tensor(freeze(_laid_out(p.data) if fixed else p.data[...]))).eval()

    apart = can_fork() and (fixed or all(is_shared(p.data) for p in net.parameters()))
    pool = WorkerPool()

    def part(task: tuple[Array, ...]) -> Array:
        with no_grad(), images_together() if together else nullcontext():
            return net(*task).data

    def eps(x: Array, t: Ints, y: Ints | None = None) -> Array:
        xp = of(x)
        t = one_int_each("t", t, x, 1)
        count = (workers or default_workers()) if xp.name == "numpy" else 1
        inputs = (x, t) if y is None else (x, t, y)
        tasks = [tuple(array[first:end] for array in inputs) for first, end in contiguous_spans(x.shape[0], count)]
        if apart and len(tasks) > 1:
            pool.fork(part, len(tasks) - 1, [])
            parts = pool.map(part, tasks)
        else:
            parts = list(map_in_order(part, tasks, count))
        return xp.concat(parts, axis=0) if len(parts) > 1 else parts[0]

    return eps


def _laid_out(array: Array) -> Array:
    """Return a view of a parameter's array, or a C-ordered copy of a convolution kernel from another library."""
    if of(array).name == "numpy" and array.ndim == 4 and not array.flags.c_contiguous:
        return array.copy(order="C")
    return array[...]
