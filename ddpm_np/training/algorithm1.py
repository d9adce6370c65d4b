"""Algorithm 1 of the paper: the gradient of a batch's loss, in one process.

Every training step draws its t and ε here: `ShardedGradient` calls this function on each shard, in several workers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ddpm_np.autograd import ops
from ddpm_np.autograd.randomness import randomness
from ddpm_np.autograd.recompute import recomputing
from ddpm_np.autograd.tensor import Tensor, gradients
from ddpm_np.backend import Array, Ints, backend_of
from ddpm_np.diffusion.schedule import Schedule
from ddpm_np.nn import Module

Objective = Callable[[Schedule, Any, Array, Ints, Array], Tensor]  # (schedule, model, x_0, t, noise) -> losses (N,)


@ops.images_together()
def gradient_of_batch(model: Module, schedule: Schedule, objective: Objective, x_0: Array, *, seed: int, step: int,
                      labels: Ints | None = None, first: int = 0, batch_size: int | None = None,
                      recompute: bool = False, into: Sequence[Array] | None = None) -> tuple[Array, list[Array]]:
    """Draw t and ε for each image, and differentiate the mean loss: lines 2 to 5 of Algorithm 1.

    t ~ Uniform({1, …, T}), ε ~ N(0, I); then ∇_θ of the mean over the images of objective(x₀, t, ε).

    Checked as: algorithm-1.

    Parameters
    ----------
    model : Module
        ``model(x, t) -> Tensor``, or ``model(x, t, labels)`` if there are labels.
    schedule : Schedule
        β₁..β_T.
    objective : callable
        ``(schedule, model, x_0, t, noise) -> losses``, one for each image, (N,); `simple_loss` in the paper.
    x_0 : array of shape (N, …)
        The images, on the model's device.
    seed, step : int
        Key and counter of the random numbers: of t, ε and dropout.
    labels : int array of shape (N,), optional
        The images' labels.
    first, batch_size : int, optional
        For gradient accumulation: `x_0` are the images from number `first` on of a batch of `batch_size`, and the
        result is their part of the batch's mean loss. An image's draws do not depend on its shard.
    recompute : bool
        Whether the backward pass recomputes activations, to need less memory: see `recomputing`.
    into : sequence of arrays, optional
        Arrays to write the gradients into, one for each parameter.

    Returns
    -------
    loss : array of shape ()
        The mean loss.
    gradients : list of arrays
        Its gradient with respect to each parameter; None, and zeros in `into`, for one that it does not depend on.

    Raises
    ------
    TypeError
        If the objective does not return a Tensor of real numbers.
    ValueError
        If it is not of shape (N,).

    Notes
    -----
    Algorithm 1 of Ho et al. (2020). Verified by ``ddpm-np check --equation algorithm-1``.

    Examples
    --------
    >>> import numpy as np
    >>> from ddpm_np.diffusion import linear_schedule, simple_loss
    >>> from ddpm_np.models import UNet, UNetConfig
    >>> net, x_0 = UNet(UNetConfig.preset("digits")), np.zeros((2, 8, 8, 1), np.float32)
    >>> loss, gradients = gradient_of_batch(net, linear_schedule(1000), simple_loss, x_0, seed=0, step=0)
    >>> [g.shape for g in gradients] == [p.shape for p in net.parameters()]
    True
    """
    backend, n = backend_of(x_0), x_0.shape[0]
    t = backend.integers(seed, "t", step, first, n, 1, schedule.T)  # (n,)
    noise = backend.normal(seed, "noise", step, first, n, x_0.shape[1:], x_0.dtype)  # (n, …)
    net = model if labels is None else lambda x, t: model(x, t, labels)
    with randomness(seed, step, first), recomputing(recompute):
        losses = objective(schedule, net, x_0, t, noise)  # (n,)
    check_losses(losses, n)
    loss = ops.sum_(losses) / (batch_size or n)
    return loss.data, gradients(loss, model.parameters(), into=into)


def check_losses(losses: Any, n: int) -> None:
    """Check what an objective returned: another shape than (N,) would give another loss without a word.

    Parameters
    ----------
    losses : object
        The result.
    n : int
        The number of images N.

    Raises
    ------
    TypeError
        If it is not a Tensor of real numbers.
    ValueError
        If it is not of shape (N,).
    """
    if not isinstance(losses, Tensor):
        raise TypeError(f"the objective must return a Tensor of shape (N,), got {type(losses).__name__}: compute the "
                        "losses from the net's output by ops or arithmetic")
    if "float" not in str(losses.dtype):
        raise TypeError(f"the objective must return real numbers, got dtype {losses.dtype}")
    if tuple(losses.shape) != (n,):
        raise ValueError(f"the objective must return one loss for each image, shape ({n},), got {tuple(losses.shape)}: "
                         "take the mean over all axes but the first")
