"""Nets for samplers: a trained net as ε_θ(x, t), arrays in and arrays out."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

from ddpm_np.autograd.ops import images_together
from ddpm_np.autograd.tensor import Tensor, no_grad
from ddpm_np.backend import freeze, of
from ddpm_np.diffusion.reverse import Denoiser
from ddpm_np.nn import Module
from ddpm_np.parallel.processes import Team, can_fork, is_shared
from ddpm_np.parallel.threads import cut, default_workers, map_in_order


def predictor(model: Any, weights: str = "ema", workers: int | None = None, *, fixed: bool = False,
              together: bool = False) -> Denoiser:
    """ε_θ(x, t) of a net: evaluation mode, no tape, arrays in and out.

    Parameters
    ----------
    model
        A Module, whose own weights are used; or what holds a net and its average as ``.model`` and ``.ema.model``
        (a Trainer).
    weights
        ``"ema"`` (the average) or ``"model"`` (as trained last), for what holds both.
    workers
        Among how many the images of a batch are divided, on the CPU; None for one a CPU. An image's result is the same
        bits with any number of them, and in any batch, but for `together`. Where the system allows, those after the
        first are processes (`crew`): for a Trainer's weights, which are shared with them, and for those that are
        `fixed`; else threads.
    fixed
        A promise that the weights do not change while this is in use.
    together
        Whether all images of a worker may be multiplied as one matrix: faster for small ones, but an image's last bits
        then depend on those beside it.

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
    net = model.clone(lambda p: Tensor(freeze(_laid_out(p.data) if fixed else p.data[...]))).eval()

    apart = can_fork() and (fixed or all(is_shared(p.data) for p in net.parameters()))
    team = Team()

    def part(task: tuple[Any, ...]) -> Any:
        with no_grad(), images_together() if together else nullcontext():
            return net(*task).data

    def eps(x: Any, t: Any, y: Any = None) -> Any:
        xp = of(x)
        count = (workers or default_workers()) if xp.name == "numpy" else 1
        inputs = (x, t) if y is None else (x, t, y)
        tasks = [tuple(array[first:end] for array in inputs) for first, end in cut(x.shape[0], count)]
        parts = team.run(part, tasks, []) if apart and len(tasks) > 1 else list(map_in_order(part, tasks, count))
        return xp.concat(parts, axis=0) if len(parts) > 1 else parts[0]

    return eps


def _laid_out(array: Any) -> Any:
    """A view of a parameter's array, or a copy in the order that kernels want: a convolution's of another library."""
    if of(array).name == "numpy" and array.ndim == 4 and not array.flags.c_contiguous:
        return array.copy(order="C")
    return array[...]
