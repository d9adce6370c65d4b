"""A net's parameters end to end in one array, and passes over it block by block."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any
from weakref import WeakValueDictionary

from ddpm_np.autograd.tensor import Tensor
from ddpm_np.backend import Array, asarray, of
from ddpm_np.parallel.processes import shared_zeros

_BLOCK = 1 << 15  # elements that a pass over a flat array takes at a time on a CPU: a few such blocks fit its cache

Span = tuple[int, int]  # (first, end) of some blocks of a flat array


class Flat:
    """The parameters of a net end to end in one array, and a second array for their gradient.

    Each parameter's data becomes a view of its part, so that the optimiser's passes run over one array. Use `Flat.of`,
    by which the same parameters share one Flat. On the CPU worker processes share both arrays, and all others from
    `buffer`: of any other array a forked process would get a copy as soon as it is written to.

    Parameters
    ----------
    parameters : sequence of Tensors
        Leaves of one dtype and backend.

    Attributes
    ----------
    parameters : list of Tensors
        The parameters.
    data, grad : arrays of shape (P,)
        Their data and their gradient.
    gradients : list of arrays
        Views of `grad`, one for each parameter, in its shape.

    Raises
    ------
    ValueError
        If there are no parameters.
    TypeError
        If they have several dtypes.
    """

    @classmethod
    def of(cls, parameters: Sequence[Tensor]) -> Flat:
        """Return the Flat of these parameters; make it if it does not exist yet.

        Parameters
        ----------
        parameters : sequence of Tensors
            Leaves of one dtype and backend.

        Returns
        -------
        Flat
            The same object for the same parameters, as long as somebody holds it.

        Raises
        ------
        ValueError
            If some of them belong to another Flat.
        """
        parameters = unique(parameters)
        owners = [_flats.get(id(p)) for p in parameters]
        flat = owners[0] if owners else None
        if flat is not None and [id(p) for p in flat.parameters] == [id(p) for p in parameters]:
            return flat
        if any(owner is not None for owner in owners):
            raise ValueError("some of these parameters are optimised together with others already: "
                             "give Adam and EMA the same parameters in the same order")
        return cls(parameters)

    def __init__(self, parameters: Sequence[Tensor]):
        self.parameters = unique(parameters)
        if not self.parameters:
            raise ValueError("there are no parameters to optimise")
        if len({str(p.dtype) for p in self.parameters}) > 1:
            raise TypeError("the parameters have several dtypes: build the net in one")
        self.xp = of(self.parameters[0].data)
        self.data = self.buffer()  # (P,)
        for p, view in zip(self.parameters, self.views(self.data), strict=True):
            view[...] = p.data
        self.grad = self.buffer()  # (P,)
        self.gradients = list(self.views(self.grad))
        for p, view in zip(self.parameters, self.views(self.data), strict=True):
            p._data, _flats[id(p)] = view, self

    def buffer(self) -> Array:
        """Return zeros of the parameters' dtype, on their device; on the CPU, shared with worker processes.

        Returns
        -------
        array of shape (P,)
            Zeros.
        """
        size, dtype = sum(p.size for p in self.parameters), self.parameters[0].dtype
        return shared_zeros(size, dtype) if self.xp.name == "numpy" else self.xp.zeros(size, dtype=dtype)

    def views(self, flat: Array) -> Iterator[Array]:
        """Yield each parameter's part of a flat array, in the parameter's shape.

        Parameters
        ----------
        flat : array of shape (P,)
            An array from `buffer`, or a copy of one on the host.

        Yields
        ------
        array
            A view.
        """
        for p, (first, end) in zip(self.parameters, self.spans(), strict=True):
            yield of(flat).reshape(flat[first:end], p.shape)

    def spans(self) -> list[Span]:
        """Return where each parameter lies in a flat array.

        Returns
        -------
        list of (int, int)
            (first, end) of each parameter.
        """
        return list(itertools.pairwise(itertools.accumulate((p.size for p in self.parameters), initial=0)))

    def add(self, gradients: Sequence[Array | None], first: bool) -> None:
        """Add gradients to `grad`.

        Parameters
        ----------
        gradients : sequence of arrays
            One for each parameter; None for 0.
        first : bool
            Whether these are the first of a sum: `grad` is overwritten.
        """
        for part, g in zip(self.gradients, gradients, strict=True):
            if first:
                part[...] = 0 if g is None else g
            elif g is not None:
                part[...] += g

    def gather(self) -> set[int]:
        """Copy each parameter's `.grad` into `grad`.

        Returns
        -------
        set of int
            The numbers of the parameters that have none, or do not require one.
        """
        gradients = [p.grad if p.requires_grad else None for p in self.parameters]
        self.add(gradients, first=True)
        return {i for i, g in enumerate(gradients) if g is None}

    def __copy__(self) -> Flat:
        """Return a deep copy: a parameter is a view of one Flat."""
        return copy.deepcopy(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (self.parameters, self.grad)


def _restored(parameters: list[Tensor], grad: Array) -> Flat:
    flat = Flat(parameters)
    flat.grad[...] = grad
    return flat


def unique(parameters: Iterable[Tensor]) -> list[Tensor]:
    """Return the parameters in their order, each once.

    Parameters
    ----------
    parameters : iterable of Tensors
        Some may come twice: a net may use one in two places.

    Returns
    -------
    list of Tensors
        By identity.
    """
    return list({id(p): p for p in parameters}.values())


_flats: WeakValueDictionary[int, Flat] = WeakValueDictionary()  # by id of each parameter, which its Flat keeps alive


def blocks(flat: Array) -> Iterator[slice]:
    """Yield slices that cover a flat array: blocks for a CPU's cache, one slice on a device.

    Parameters
    ----------
    flat : array of shape (P,)
        The array.

    Yields
    ------
    slice
        The next block.
    """
    size = flat.shape[0]
    length = _BLOCK if of(flat).name == "numpy" else max(size, 1)
    for start in range(0, size, length):
        yield slice(start, start + length)


def map_blocks(flat: Array, work: Callable[[slice], Any], span: Span | None = None) -> list[Any]:
    """Map a function over the blocks of a flat array, in order.

    Parameters
    ----------
    flat : array of shape (P,)
        The array.
    work : callable
        Function of a block's slice.
    span : (int, int), optional
        (first, end) of the blocks to take; all if not given.

    Returns
    -------
    list
        The results.
    """
    return [work(block) for block in list(blocks(flat))[slice(*(span or (None,)))]]


def accumulate(flat: Array, addends: Sequence[Array], span: Span | None = None, squares: bool = True) -> list[Array]:
    """Add arrays to a flat array in place, and return Σ g² of each block of the sum, all in one pass.

    Parameters
    ----------
    flat : array of shape (P,)
        The array that is added to.
    addends : sequence of arrays of shape (P,)
        Added in order; may be empty.
    span : (int, int), optional
        (first, end) of the blocks to take; all if not given.
    squares : bool
        Whether Σ g² is wanted; a sum that goes on does not need it.

    Returns
    -------
    list of float64 arrays of shape ()
        One for each block; empty without `squares`.
    """
    xp = of(flat)

    def of_block(block: slice) -> Array | None:
        total = flat[block]
        for addend in addends:
            total += addend[block]
        return xp.astype(xp.sum(xp.square(total)), xp.float64) if squares else None

    sums = map_blocks(flat, of_block, span) if addends or squares else []
    return sums if squares else []


def norm_from_squares(sums: Sequence[Array]) -> Array:
    """Return √Σ g² of a flat array from the sums of squares of its blocks.

    Parameters
    ----------
    sums : sequence of arrays of shape ()
        Those of all blocks, from `accumulate`.

    Returns
    -------
    float64 array of shape ()
        The norm.
    """
    xp = of(sums[0])
    return asarray(xp.sqrt(xp.sum(xp.stack(sums))))


def norm_by_blocks(flat: Array) -> Array:
    """Return the norm of a flat array, √Σ g², added up block by block: the fast twin of `global_norm`.

    Parameters
    ----------
    flat : array of shape (P,)
        The array.

    Returns
    -------
    float64 array of shape ()
        The norm.
    """
    return norm_from_squares(accumulate(flat, ()))
