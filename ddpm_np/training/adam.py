"""Adam, with warm-up.

`adam_step` is the definition; `fused_update` is its fast twin, which `Adam` runs unless `kernels("reference")` is
chosen. All that follows from the step number is computed on the parameters' device, and a gradient that is not finite
leaves every number unchanged by a flag on the device, so that no step waits for it.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from ddpm_np import arguments
from ddpm_np.autograd.op import chosen_kernels
from ddpm_np.autograd.tensor import Tensor
from ddpm_np.backend import Array, asarray, of
from ddpm_np.training.ema import EMA
from ddpm_np.training.flat import Flat, norm_by_blocks
from ddpm_np.training.fused_update import Update, fused_factors, fused_update


def adam_step(theta: Array, g: Array, m: Array, v: Array, k: int | Array, lr: float | Array,
              betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8) -> tuple[Array, Array, Array]:
    """Make one update by Adam: θ ← θ − η·m̂/(√v̂ + ε).

    Parameters
    ----------
    theta, g, m, v : arrays of one shape
        Parameters, their gradient, and the moving averages of the gradient and of its square (zeros at first).
    k : int or array of shape ()
        The update's number, from 1.
    lr : float or array of shape ()
        The learning rate η.
    betas : (float, float)
        β₁ and β₂.
    eps : float
        ε.

    Returns
    -------
    theta, m, v : arrays
        After the update, in the dtype of `theta`.

    Notes
    -----
    Algorithm 1 of Kingma & Ba (2015). Verified by ``ddpm-np check --equation adam``.

    Examples
    --------
    >>> import numpy as np
    >>> theta, zero = np.array([1.0, 1.0]), np.zeros(2)
    >>> adam_step(theta, np.array([3.0, -0.5]), zero, zero, k=1, lr=0.1)[0].round(6)
    array([0.9, 1.1])
    """
    b1, b2 = betas
    m = b1 * m + (1 - b1) * g
    v = b2 * v + (1 - b2) * g**2
    m_hat = m / (1 - b1**k)
    v_hat = v / (1 - b2**k)
    new = theta - lr * m_hat / (of(v_hat).sqrt(v_hat) + eps)
    return of(new).astype(new, theta.dtype), m, v


class Adam:
    """Adam on a net's parameters, which it changes in place.

    m ← β₁m + (1 − β₁)g, v ← β₂v + (1 − β₂)g², m̂ = m/(1 − β₁ᵏ), v̂ = v/(1 − β₂ᵏ), θ ← θ − η_k·m̂/(√v̂ + ε), with k the
    update's number from 1. Warm-up: η_k = lr·min((k − 1)/warmup, 1), so that the first update has rate 0, as in the
    authors' code, which reads the step before it increments it.

    A parameter without a gradient is left alone, with its moments, as in PyTorch; so is one whose `requires_grad` is
    False. The k of the bias corrections counts a parameter's own updates, that of the warm-up all updates.

    Parameters
    ----------
    parameters : sequence of Tensors
        Leaves of one dtype. Their data become views of one array, ``flat.data``. One that comes twice
        is optimised once.
    lr : float
        η.
    betas : (float, float)
        β₁ and β₂.
    eps : float
        ε.
    warmup : int
        Updates until the full rate; 0: no warm-up.

    Attributes
    ----------
    flat : Flat
        The parameters and their gradient, end to end.
    m, v : arrays of shape (P,)
        The moving averages of the gradient and of its square.
    updates : float64 array of shape ()
        The number of updates made, on the device.
    groups : list of int
        For each parameter, which of `counts` is its own; those of one group have been updated together.
    counts : list of float64 arrays of shape ()
        The number of updates of the parameters of each group, on the device.

    Raises
    ------
    ValueError
        If an option is out of range, there are no parameters, or some are optimised together with others already.
    TypeError
        If the parameters have several dtypes.

    Notes
    -----
    Kingma & Ba (2015), Algorithm 1. Verified by ``ddpm-np check --equation adam``.

    Examples
    --------
    >>> p = Tensor([1.0], requires_grad=True)
    >>> adam = Adam([p], lr=0.1)
    >>> (p * p).sum().backward()
    >>> adam.step()
    >>> p.data
    array([0.9], dtype=float32)
    """

    def __init__(self, parameters: Sequence[Tensor], lr: float = 2e-4, betas: tuple[float, float] = (0.9, 0.999),
                 eps: float = 1e-8, warmup: int = 0):
        for name, beta in zip(("β₁", "β₂"), betas, strict=True):
            arguments.number(name, beta, least=0, below=1)
        for name, number in (("lr", lr), ("eps", eps)):
            arguments.number(name, number, least=0)
        arguments.count("warmup", warmup, 0)
        self.flat = Flat.of(parameters)
        xp = self.flat.xp
        self.lr, self.betas, self.eps, self.warmup = lr, betas, eps, warmup
        self.m, self.v = self.flat.buffer(), self.flat.buffer()  # (P,), (P,)
        self.updates = xp.zeros((), dtype=xp.float64)
        self.groups, self.counts = [0] * len(self.flat.parameters), [self.updates]

    def rate(self) -> Array:
        """Return the learning rate η of the next update.

        Returns
        -------
        float64 array of shape ()
            On the parameters' device.
        """
        xp = self.flat.xp
        full = self.lr * xp.ones_like(self.updates)
        return full if self.warmup == 0 else full * xp.clip(self.updates / self.warmup, None, 1.0)

    def step(self) -> None:
        """Make one update of each parameter that has a `.grad`; none if a gradient is not finite."""
        still = self.flat.gather()
        if len(still) < len(self.flat.parameters):
            self.update(asarray(self.flat.xp.isfinite(norm_by_blocks(self.flat.grad))), still=still)

    def update(self, ok: Array, scale: Array | None = None, still: Collection[int] = ()) -> None:
        """Make one update from ``flat.grad``.

        Parameters
        ----------
        ok : bool array of shape ()
            If false, nothing changes.
        scale : array of shape (), optional
            Factor on the gradient, in the parameters' dtype.
        still : collection of int
            The parameters that have no gradient, by their numbers; they are left alone.
        """
        if chosen_kernels() == "reference":
            xp, flat = self.flat.xp, self.flat
            for part, group in self._parts(still):
                theta, g, m, v = flat.data[part], flat.grad[part], self.m[part], self.v[part]
                g = xp.where(ok, g if scale is None else g * scale, xp.zeros_like(g))
                new = adam_step(theta, g, m, v, self.counts[group] + 1, self.rate(), self.betas, self.eps)
                for array, updated in zip((theta, m, v), new, strict=True):
                    array[...] = xp.where(ok, updated, array)
        else:
            fused_update(self.flat, self.m, self.v, self.factors(ok, scale, still=still))
        self.count(ok, still)

    def _parts(self, still: Collection[int]) -> Iterator[tuple[slice, int]]:
        """Yield (part of the flat arrays, its group) of the parameters to be updated, as few as there can be."""
        if not still and len(self.counts) == 1:
            yield slice(0, self.flat.data.shape[0]), 0
            return
        parts: list[Any] = []  # [first, end, group]
        for i, (first, end) in enumerate(self.flat.spans()):
            if i in still:
                continue
            if parts and parts[-1][1:] == [first, self.groups[i]]:
                parts[-1][1] = end
            else:
                parts.append([first, end, self.groups[i]])
        yield from ((slice(first, end), group) for first, end, group in parts)

    def factors(self, ok: Array, scale: Array | None, ema: EMA | None = None, still: Collection[int] = ()) -> Update:
        """Return the factors of the next update for `fused_update`.

        Parameters
        ----------
        ok : bool array of shape ()
            Whether the update counts.
        scale : array of shape () or None
            Factor on the gradient.
        ema : EMA, optional
            A moving average to be updated in the same pass.
        still : collection of int
            As in `update`.

        Returns
        -------
        Update
            Numbers on the device.
        """
        rate, dtype = self.rate(), self.flat.data.dtype
        parts = list(self._parts(still))
        of_group = {group: fused_factors(ok, scale, self.counts[group] + 1, rate, self.betas, self.eps, dtype)
                    for group in dict.fromkeys(group for _, group in parts)}
        return Update(tuple((part.start, part.stop, of_group[group]) for part, group in parts),
                      None if ema is None else ema.share(ok))

    def count(self, ok: Array, still: Collection[int] = ()) -> None:
        """Count an update.

        Parameters
        ----------
        ok : bool array of shape ()
            Whether it was made.
        still : collection of int
            As in `update`.
        """
        xp = self.flat.xp
        made = xp.where(ok, xp.ones_like(self.updates), xp.zeros_like(self.updates))
        self.updates = self.updates + made
        for group, count in enumerate(list(self.counts)):
            left = [i for i in still if self.groups[i] == group]
            if left and len(left) == self.groups.count(group):
                continue
            if left:  # they keep their count, as a group of their own
                for i in left:
                    self.groups[i] = len(self.counts)
                self.counts.append(count)
            self.counts[group] = count + made

    def counts_by_parameter(self) -> list[Array]:
        """Return how many updates each parameter has had.

        Returns
        -------
        list of float64 arrays of shape ()
            On the parameters' device.
        """
        return [self.counts[group] for group in self.groups]

    def set_counts(self, updates: int, own: dict[int, int]) -> None:
        """Set the numbers of updates, those of a checkpoint.

        Parameters
        ----------
        updates : int
            All updates.
        own : dict of int to int
            {parameter's number: its own updates}, of those that have had fewer.
        """
        xp = self.flat.xp
        numbers = [updates, *sorted(set(own.values()) - {updates})]
        self.counts = [xp.full((), float(number), dtype=xp.float64) for number in numbers]
        self.groups = [numbers.index(own.get(i, updates)) for i in range(len(self.groups))]
        self.updates = self.counts[0]

    def __copy__(self) -> Adam:
        """Return a deep copy, since one that shared some arrays would be neither the same nor another."""
        return copy.deepcopy(self)

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        for name in ("m", "v"):  # in memory that worker processes share
            buffer = self.flat.buffer()
            buffer[...] = state[name]
            setattr(self, name, buffer)
