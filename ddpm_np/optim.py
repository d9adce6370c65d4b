"""Adam, warm-up, the clip of the gradient's global norm, and the moving average of the weights.

Everything that follows from the step number is computed on the parameters' device, and an update whose gradient
is not finite leaves every number as it was: by a device flag, so that no step waits for the device.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from ddpm_np.backend import asarray, of
from ddpm_np.crew import shared
from ddpm_np.nn import Module
from ddpm_np.tensor import Tensor

_BLOCK = 1 << 15  # numbers a pass over a flat array takes at a time on a CPU: a few such blocks fit its cache


class Flat:
    """The parameters of a net laid end to end in one array, and a second one for their gradients.

    Each parameter's data becomes a view of its part, so that the optimiser's passes run over one array. Get one with
    `Flat.of`: the same parameters have one Flat, whoever asks. On the CPU worker processes share both arrays, and all
    others from `buffer`: a forked process would keep a copy of any other one as soon as it is written.

    Parameters
    ----------
    parameters
        Leaf Tensors of one dtype and backend.
    """

    @classmethod
    def of(cls, parameters: Sequence[Tensor]) -> Flat:
        """The Flat of these parameters, made if there is none yet."""
        parameters = list(parameters)
        flat = parameters[0].flat if parameters else None
        if flat is not None and [id(p) for p in flat.parameters] == [id(p) for p in parameters]:
            return flat
        if any(p.flat is not None for p in parameters):
            raise ValueError("some of these parameters are optimised together with others already: "
                             "give Adam and EMA the same parameters in the same order")
        return cls(parameters)

    def __init__(self, parameters: Sequence[Tensor]):
        self.parameters = list(parameters)
        if not self.parameters:
            raise ValueError("there are no parameters to optimise")
        if len({str(p.dtype) for p in self.parameters}) > 1:
            raise TypeError("the parameters have several dtypes: build the net in one")
        self.xp = of(self.parameters[0].data)
        self.data = self.buffer()  # (P,)
        for p, view in zip(self.parameters, self.views(self.data), strict=True):
            view[...] = p.data
        self.grad = self.buffer()  # (P,)
        for p, view in zip(self.parameters, self.views(self.data), strict=True):
            p._data, p.flat = view, self

    def buffer(self) -> Any:
        """Zeros (P,) as the parameters are; on the CPU, in memory shared with worker processes."""
        size, dtype = sum(p.size for p in self.parameters), self.parameters[0].dtype
        return shared(size, dtype) if self.xp.name == "numpy" else self.xp.zeros(size, dtype=dtype)

    def views(self, flat: Any) -> Iterator[Any]:
        """The part of each parameter in a flat array, in its shape."""
        start = 0
        for p in self.parameters:
            yield self.xp.reshape(flat[start : start + p.size], p.shape)
            start += p.size

    def add(self, gradients: Sequence[Any], first: bool) -> None:
        """Add a list of gradients (None for 0), one a parameter, to `grad`; the `first` list is copied in."""
        for part, g in zip(self.views(self.grad), gradients, strict=True):
            if first:
                part[...] = 0 if g is None else g
            elif g is not None:
                part[...] += g

    def gather(self) -> None:
        """Copy each parameter's `.grad` into `grad`."""
        self.add([p.grad for p in self.parameters], first=True)


def blocks(flat: Any) -> Iterator[slice]:
    """Slices that cover a flat array: a few for a CPU's cache, one on a device."""
    size = flat.shape[0]
    length = _BLOCK if of(flat).name == "numpy" else max(size, 1)
    for start in range(0, size, length):
        yield slice(start, start + length)


Span = tuple[int, int]  # (first, end) of some blocks of a flat array


def in_span(flat: Any, work: Callable[[slice], Any], span: Span | None = None) -> list[Any]:
    """``work(block)`` of each block of a span of a flat array, or of all, in order."""
    return [work(block) for block in list(blocks(flat))[slice(*(span or (None,)))]]


def squares(flat: Any, parts: Sequence[Any] = (), span: Span | None = None) -> list[Any]:
    """Σ g² of each block of a flat array, to which `parts` are added first, in order: 0-d float64 arrays."""
    xp = of(flat)

    def of_block(block: slice) -> Any:
        total = flat[block]
        for part in parts:
            total += part[block]
        return xp.astype(xp.sum(xp.square(total)), xp.float64)

    return in_span(flat, of_block, span)


def global_norm(sums: Sequence[Any]) -> Any:
    """√Σ g² of a flat array from the `squares` of its blocks: a 0-d float64 array."""
    xp = of(sums[0])
    return asarray(xp.sqrt(xp.sum(xp.stack(sums))))


def clip_scale(norm: Any, max_norm: float | None, dtype: Any) -> tuple[Any, Any]:
    """What brings a gradient of a norm to a norm of at most `max_norm`: min(1, max_norm/(norm + 1e-6)).

    Returns
    -------
    scale, ok : 0-d arrays
        1 where there is no `max_norm` or the norm is not finite; and whether it is finite.
    """
    xp = of(norm)
    ok = asarray(xp.isfinite(norm))
    scale = xp.ones_like(norm) if max_norm is None else xp.clip(max_norm / (norm + 1e-6), None, 1.0)
    return xp.astype(xp.where(ok, scale, xp.ones_like(norm)), dtype), ok


def clip_flat(flat: Any, max_norm: float | None) -> tuple[Any, Any]:
    """Scale a flat gradient in place to a norm of at most `max_norm`; a gradient that is not finite becomes 0.

    Returns
    -------
    norm, ok : 0-d arrays
        The norm before (float64), and whether it was finite.
    """
    xp = of(flat)
    norm = global_norm(squares(flat))
    scale, ok = clip_scale(norm, max_norm, flat.dtype)
    for block in blocks(flat):
        part = flat[block]
        if xp.name != "numpy" or not ok:  # on the host the flag is at hand, and this pass seldom needed
            part[...] = xp.where(ok, part, xp.zeros_like(part))
        part *= scale
    return norm, ok


def clip_grad_norm(parameters: Sequence[Tensor], max_norm: float) -> Any:
    """Scale all `.grad` in place by min(1, max_norm/(‖g‖ + 1e-6)), ‖g‖ the norm over all of them together.

    Parameters
    ----------
    parameters
        Leaf Tensors; those without a gradient are passed over.
    max_norm
        Positive.

    Returns
    -------
    0-d array
        ‖g‖ before scaling. If it is not finite, all gradients become 0 (Pascanu et al. 2013; PyTorch's 1e-6).
    """
    if not max_norm > 0:
        raise ValueError(f"max_norm must be positive, got {max_norm}")
    having = [p for p in parameters if p.grad is not None]
    if not having:
        raise ValueError("no parameter has a gradient: call backward first")
    xp = of(having[0].data)
    flat = xp.concat([xp.reshape(p.grad, (-1,)) for p in having])  # (P,)
    norm, _ = clip_flat(flat, max_norm)
    start = 0
    for p in having:
        p.grad[...] = xp.reshape(flat[start : start + p.size], p.shape)
        start += p.size
    return norm


class Update(NamedTuple):
    """The numbers of one update, 0-d arrays: see `Adam.update`."""

    ok: Any
    scale: Any
    keep_m: Any
    keep_v: Any
    add_m: Any
    add_v: Any
    step: Any
    root: Any
    share: Any


class Adam:
    """Adam, Kingma & Ba (2015), Algorithm 1: θ ← θ − η_k·m̂/(√v̂ + ε).

    m ← β₁m + (1 − β₁)g, v ← β₂v + (1 − β₂)g², m̂ = m/(1 − β₁ᵏ), v̂ = v/(1 − β₂ᵏ), k the update's number from 1.
    Warm-up: η_k = lr·min((k − 1)/warmup, 1), so that the first update has rate 0 (the authors read the step before
    they increment it).

    Parameters
    ----------
    parameters
        Leaf Tensors.
    lr, betas, eps
        η, (β₁, β₂), ε.
    warmup
        Updates until the full rate; 0 for none.

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
        if not (0 <= betas[0] < 1 and 0 <= betas[1] < 1):
            raise ValueError(f"betas must both be in [0, 1), got {betas}")
        if lr < 0 or eps < 0 or warmup < 0:
            raise ValueError(f"lr, eps and warmup must not be negative, got {lr}, {eps}, {warmup}")
        self.flat = Flat.of(parameters)
        xp = self.flat.xp
        self.lr, self.betas, self.eps, self.warmup = lr, betas, eps, warmup
        self.m, self.v = self.flat.buffer(), self.flat.buffer()  # (P,), (P,)
        self.updates = xp.zeros((), dtype=xp.float64)  # how many there have been: on the device

    def rate(self) -> Any:
        """η of the next update, a 0-d float64 array."""
        xp = self.flat.xp
        full = self.lr * xp.ones_like(self.updates)
        return full if self.warmup == 0 else full * xp.clip(self.updates / self.warmup, None, 1.0)

    def step(self) -> None:
        """One update from each parameter's `.grad`; the parameters change in place."""
        self.flat.gather()
        self.update(asarray(self.flat.xp.isfinite(global_norm(squares(self.flat.grad)))))

    def update(self, ok: Any, scale: Any = None, ema: EMA | None = None,
               spread: Callable[[Update], Any] | None = None) -> None:
        """One update from `flat.grad`, and one of the average, in one pass.

        Parameters
        ----------
        ok
            A 0-d flag; if it is false, nothing changes.
        scale
            Of the gradient: a 0-d array in the parameters' dtype, None for 1.
        ema
            The average to move after the parameters.
        spread
            Has several workers `apply` the update, each to a span of blocks; None: this thread does, to all.
        """
        xp = self.flat.xp
        (b1, b2), k, dtype = self.betas, self.updates + 1, self.flat.data.dtype
        zero = xp.zeros_like(k)

        def number(x: Any, otherwise: Any) -> Any:
            """x where the update counts, else what leaves everything as it was; in the parameters' dtype."""
            return xp.astype(xp.where(ok, x, otherwise), dtype)

        # η·m̂/(√v̂ + ε) = step·m/(√v·root + ε): two numbers carry both corrections
        new = Update(ok, scale, number(b1 + zero, 1 + zero), number(b2 + zero, 1 + zero), number(1 - b1 + zero, zero),
                     number(1 - b2 + zero, zero), number(self.rate() / (1 - b1**k), zero),
                     number(1 / xp.sqrt(1 - b2**k), zero), None if ema is None else ema.share(ok))
        if spread is None:
            self.apply(new, ema)
        else:
            spread(new)
        self.updates = self.updates + xp.where(ok, 1 + zero, zero)

    def apply(self, new: Update, ema: EMA | None, span: Span | None = None) -> None:
        """An update of a span of blocks of the parameters and of their average, or of all."""
        xp, flat = self.flat.xp, self.flat
        ok, scale, keep_m, keep_v, add_m, add_v, step, root, share = new

        def update_block(block: slice) -> None:
            p, g, m, v = flat.data[block], flat.grad[block], self.m[block], self.v[block]
            if xp.name != "numpy" or not ok:  # on the host the flag is at hand, and this pass seldom needed
                g = xp.where(ok, g, xp.zeros_like(g))
            if scale is not None:
                g = g * scale
            m *= keep_m
            m += add_m * g
            v *= keep_v
            v += add_v * (g * g)
            p -= step * m / (xp.sqrt(v) * root + self.eps)
            if ema is not None:
                ema.move(block, share)

        in_span(flat.data, update_block, span)


class EMA:
    """The exponential moving average of a net's weights, itself a net: ``ema.model``.

    θ̄ ← d·θ̄ + (1 − d)·θ after each update, from θ̄ = θ; no debias; weights only (Ho et al. 2020, appendix B).

    Parameters
    ----------
    model
        The net that is trained.
    decay
        d; a short run needs a smaller one than the paper's 0.9999, of which 2,000 updates leave 82 % of the start.
    """

    def __init__(self, model: Module, decay: float = 0.9999):
        if not 0 <= decay <= 1:
            raise ValueError(f"decay must be in [0, 1], got {decay}")
        self.decay = decay
        self.source = Flat.of(model.parameters())
        self.data = self.source.buffer()  # (P,)
        self.data[...] = self.source.data
        views = self.source.views(self.data)
        self.model = model.clone(lambda p: Tensor(next(views))).eval()

    def share(self, ok: Any = True) -> Any:
        """1 − d; 0 where the 0-d flag `ok` is false."""
        share = 1 - self.decay
        xp = self.source.xp
        return share * ok if isinstance(ok, bool) else xp.astype(xp.where(ok, share, 0.0), self.data.dtype)

    def move(self, block: slice, share: Any) -> None:
        """Move a block of the average towards the weights."""
        average = self.data[block]
        average += share * (self.source.data[block] - average)

    def update(self, ok: Any = True) -> None:
        """Move the average towards the weights, unless the 0-d flag `ok` is false."""
        share = self.share(ok)
        for block in blocks(self.data):
            self.move(block, share)
