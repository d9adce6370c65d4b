"""The record behind ``@op``: a forward with its vjp, and what the checker, the docs and the tests ask about it.

An op is written as one function of arrays that returns ``(y, vjp)``. Its positional parameters are the arrays
and, after them, what the array API passes by position (a shape, a dtype, a number); the keyword-only ones are the
rest. ``vjp(g)`` returns one entry for each positional parameter: the gradient, a function of no arguments that
computes it when it is wanted, or None for an input that has none. An op mutates none of its inputs. That definition
is the specification; `Op.kernel` registers fast twins.
"""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ddpm_np import backend
from ddpm_np.autograd.tensor import OPS, Node, Tensor, is_recording
from ddpm_np.backend import of

Forward = Callable[..., tuple[Any, Callable[[Any], tuple]]]

_kernels: contextvars.ContextVar[str] = contextvars.ContextVar("kernels", default="fast")


@contextlib.contextmanager
def kernels(choice: str) -> Iterator[None]:
    """A context in which ops run their ``"fast"`` kernels (the default) or their ``"reference"`` definitions."""
    if choice not in ("fast", "reference"):
        raise ValueError(f"kernels must be 'fast' or 'reference', got {choice!r}")
    token = _kernels.set(choice)
    try:
        yield
    finally:
        _kernels.reset(token)


def chosen_kernels() -> str:
    """Return what `kernels` chose for this context: ``"fast"`` or ``"reference"``."""
    return _kernels.get()


_together: contextvars.ContextVar[bool] = contextvars.ContextVar("images_together", default=False)


@contextlib.contextmanager
def images_together() -> Iterator[None]:
    """A context in which all images of a batch may be multiplied as one matrix: faster, with other last bits."""
    token = _together.set(True)
    try:
        yield
    finally:
        _together.reset(token)


def are_images_together() -> bool:
    """Whether this is such a context."""
    return _together.get()


class Domain(NamedTuple):
    """Where an op is defined and smooth: the open interval (low, high), without the neighbourhood of `kinks`."""

    name: str
    low: float
    high: float
    kinks: tuple[float, ...] = ()


reals = Domain("reals", float("-inf"), float("inf"))
positive = Domain("positive", 0.0, float("inf"))
nonzero = Domain("nonzero", float("-inf"), float("inf"), (0.0,))
above_minus_one = Domain("above -1", -1.0, float("inf"))


class Kernel(NamedTuple):
    """A fast twin of an op on one backend, for the inputs for which `when` is true; some only of images together."""

    forward: Forward
    when: Callable[..., bool]
    saves: tuple[str, ...]
    together: bool


@dataclass(eq=False)
class Op:
    """One op: call it with arrays for an array, or with any Tensor among them for a Tensor.

    Attributes
    ----------
    name : str
        Its name in the Tensor op table.
    define : callable
        The definition: ``define(*arrays, **static) -> (y, vjp)``.
    domain : Domain
        Where its inputs may be for the gradient to exist.
    linear : bool
        Whether it is linear in all its array inputs together, so that ⟨g, op(x)⟩ = ⟨vjp(g), x⟩.
    analytic : bool
        Whether its forward takes complex numbers as the analytic function it is (for the complex step).
    saves : tuple of str
        The arrays and closures that the vjp of the definition keeps alive.
    """

    name: str
    define: Forward
    domain: Domain
    linear: bool
    analytic: bool
    saves: tuple[str, ...]
    kernels: dict[str, list[Kernel]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.__doc__ = self.define.__doc__
        self.__name__ = self.name
        self.__wrapped__ = self.define  # signatures and doctools see the definition

    def __repr__(self) -> str:
        return f"<op {self.name}>"

    def __call__(self, *inputs: Any, **static: Any) -> Any:
        arrays = [x.data if isinstance(x, Tensor) else x for x in inputs]
        y, vjp = self.choose(arrays, static)(*arrays, **static)
        y = backend.asarray(y)
        if not any(isinstance(x, Tensor) for x in inputs):
            return y
        wanted = is_recording() and any(isinstance(x, Tensor) and x.requires_grad for x in inputs)
        return Tensor.from_op(y, Node(self.name, inputs, vjp, y) if wanted else None)

    def choose(self, arrays: list[Any], static: dict[str, Any]) -> Forward:
        """The kernel for these inputs, or the definition."""
        if self.kernels and _kernels.get() == "fast":
            for kernel in reversed(self.kernels.get(of(*arrays).name, ())):
                if (not kernel.together or are_images_together()) and kernel.when(*arrays, **static):
                    return kernel.forward
        return self.define

    def kernel(self, backend_name: str, when: Callable[..., bool] = lambda *arrays, **static: True,
               saves: tuple[str, ...] = (), together: bool = False) -> Callable[[Forward], Forward]:
        """Register the decorated function as this op's fast twin on a backend, where ``when(*inputs)`` holds.

        The twin has the definition's signature and is tested equal to it. Of several that hold, the last one registered
        is chosen: special kernels come after general ones. One whose images' bits depend on their batch says
        `together`: it is chosen inside `images_together` alone.
        """

        def register(forward: Forward) -> Forward:
            self.kernels.setdefault(backend_name, []).append(Kernel(forward, when, tuple(saves), together))
            return forward

        return register


REGISTRY: dict[str, Op] = {}


def op(domain: Domain = reals, *, linear: bool = False, analytic: bool = True,
       saves: tuple[str, ...] = ()) -> Callable[[Forward], Op]:
    """Make the decorated definition an `Op`, enter it in `REGISTRY` and in the Tensor op table.

    A trailing underscore in the function's name is dropped: ``sum_`` is the op ``sum``.
    """

    def record(define: Forward) -> Op:
        name = define.__name__.rstrip("_")
        new = Op(name, define, domain, linear, analytic, tuple(saves))
        REGISTRY[name] = new
        setattr(OPS, name, new)
        return new

    return record
