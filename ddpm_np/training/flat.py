"""A net's parameters laid end to end in one array, and passes over it block by block."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ddpm_np.autograd.tensor import Tensor
from ddpm_np.backend import asarray, of
from ddpm_np.parallel.processes import shared

_BLOCK = 1 << 15  # numbers a pass over a flat array takes at a time on a CPU: a few such blocks fit its cache

Span = tuple[int, int]  # (first, end) of some blocks of a flat array


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
