"""The record behind ``@op``: a definition with its vjp, and its properties for the checker, the docs and the tests.

An op is defined by one function of arrays that returns ``(y, vjp)``. Its positional parameters are the arrays, followed
by what the array API passes by position (a shape, a dtype, a number); all other parameters are keyword-only. ``vjp(g)``
returns one entry for each positional parameter: the gradient, a function of no arguments that computes it when it is
wanted, or None for an input that has none. An op mutates none of its inputs. The definition is the specification;
`Op.kernel` registers fast twins.
"""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from ddpm_np import backend
from ddpm_np.autograd.tape import Node, Vjp, Writes
from ddpm_np.autograd.tensor import OPS, Tensor, edge_of, is_recording
from ddpm_np.backend import Array, of

Forward = tuple[Array, Vjp]  # what the definition of an op, or a kernel, returns: y and its vjp
Definition = Callable[..., Forward]

_kernels: contextvars.ContextVar[str] = contextvars.ContextVar("kernels", default="fast")


@contextlib.contextmanager
def kernels(choice: str) -> Iterator[None]:
    """Provide a context in which ops run their fast kernels (as they do by default) or their definitions.

    Parameters
    ----------
    choice : str
        ``"fast"`` or ``"reference"``.

    Raises
    ------
    ValueError
        If `choice` is neither.
    """
    if choice not in ("fast", "reference"):
        raise ValueError(f"kernels must be 'fast' or 'reference', got {choice!r}")
    token = _kernels.set(choice)
    try:
        yield
    finally:
        _kernels.reset(token)


def chosen_kernels() -> str:
    """Return what `kernels` chose for this context.

    Returns
    -------
    str
        ``"fast"`` or ``"reference"``.
    """
    return _kernels.get()


_in_one: contextvars.ContextVar[int] = contextvars.ContextVar("images_in_one_matrix", default=1)  # 0: all


@contextlib.contextmanager
def images_together(lot: int = 0) -> Iterator[None]:
    """Provide a context in which images of a batch may be multiplied as one matrix, which is faster.

    Parameters
    ----------
    lot : int
        How many: the first `lot` images of the batch, the next, and so on. An image's bits are then a function of its
        place in its lot, and of no other image. By default all are: an image's last bits then depend on its batch.

    Yields
    ------
    None
    """
    token = _in_one.set(lot)
    try:
        yield
    finally:
        _in_one.reset(token)


def images_in_one(n: int) -> int:
    """Return how many of n images are multiplied as one matrix: n, the lot of `images_together`, or 1.

    Parameters
    ----------
    n : int
        The batch.

    Returns
    -------
    int
        1 where n is no multiple of the lot.
    """
    lot = _in_one.get() or max(n, 1)
    return lot if n % lot == 0 else 1


def are_images_together() -> bool:
    """Return whether all images of a batch may be multiplied as one matrix.

    Returns
    -------
    bool
    """
    return _in_one.get() == 0


class Domain(NamedTuple):
    """Where an op is defined and smooth: the open interval (low, high) without neighbourhoods of the `kinks`.

    Attributes
    ----------
    name : str
    low, high : float
    kinks : tuple of float
    """

    name: str
    low: float
    high: float
    kinks: tuple[float, ...] = ()


reals = Domain("reals", float("-inf"), float("inf"))
positive = Domain("positive", 0.0, float("inf"))
nonzero = Domain("nonzero", float("-inf"), float("inf"), (0.0,))
above_minus_one = Domain("above -1", -1.0, float("inf"))


class Kernel(NamedTuple):
    """A fast twin of an op on one backend.

    Attributes
    ----------
    forward : callable
        The twin: the definition's signature and results.
    when : callable
        ``when(*arrays, **static)`` is whether it takes these inputs.
    saves : tuple of str
        The arrays and closures that its vjp keeps alive.
    """

    forward: Definition
    when: Callable[..., bool]
    saves: tuple[str, ...]


class Op:
    """One op: called with arrays it returns an array, with a Tensor among them a Tensor.

    Parameters
    ----------
    name : str
        Its name in the Tensor op table.
    define : callable
        The definition: ``define(*arrays, **static) -> (y, vjp)``.
    domain : Domain
        Where the gradient exists.
    linear : bool
        Whether it is linear in all its array inputs together, so that ⟨g, op(x)⟩ = ⟨vjp(g), x⟩.
    analytic : bool
        Whether its forward is an analytic function of complex inputs, so that the complex step applies.
    saves : tuple of str
        The arrays and closures that the vjp of the definition keeps alive.

    Attributes
    ----------
    kernels : dict
        The fast twins for each backend, in the order of their registration.
    """

    def __init__(self, name: str, define: Definition, domain: Domain, linear: bool, analytic: bool,
                 saves: tuple[str, ...]) -> None:
        self.name, self.define, self.domain = name, define, domain
        self.linear, self.analytic, self.saves = linear, analytic, saves
        self.kernels: dict[str, list[Kernel]] = {}
        self.operands = _operands(define)
        self.__doc__, self.__name__ = define.__doc__, name
        self.__wrapped__ = define  # signatures and doctools see the definition

    def __repr__(self) -> str:
        return f"<op {self.name}>"

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy and pickle by name: there is one op of each."""
        return _op_called, (self.name,)

    def __call__(self, *inputs: Any, **static: Any) -> Any:
        arrays = [x.data if isinstance(x, Tensor) else x for x in inputs]
        of(*arrays[: self.operands])  # raises unless all are arrays or numbers
        try:
            y, vjp = self.choose(arrays, static)(*arrays, **static)
        except ValueError as error:  # an array library's own may name neither the op nor the shapes
            raise ValueError(f"{self._with_shapes(arrays, str(error))}: {str(error).strip()}") from error
        y = backend.asarray(y)
        tensors = [x for x in inputs if isinstance(x, Tensor)]
        if not tensors:
            return y
        writes = _writes(y, tensors) if self.linear else [0]  # only linear ops return views
        if not is_recording() or not any(x.requires_grad for x in tensors):
            return Tensor.from_op(y, None, writes)
        captured = [] if self.linear else [x.writes for x in tensors] + [writes]  # a linear vjp needs no numbers
        return Tensor.from_op(y, Node(self.name, map(edge_of, inputs), vjp, y, captured), writes)

    def _with_shapes(self, arrays: Sequence[Any], message: str) -> str:
        """Return the op's name for an error, with its operands' shapes unless the message has them."""
        shapes = [str(tuple(x.shape)) for x in arrays[: self.operands] if hasattr(x, "shape")]
        return self.name if all(shape in message for shape in shapes) else f"{self.name} of {', '.join(shapes)}"

    def choose(self, arrays: Sequence[Any], static: dict[str, Any]) -> Definition:
        """Return the kernel for these inputs, or the definition where no kernel takes them.

        Parameters
        ----------
        arrays : sequence
            The positional inputs, with arrays in place of Tensors.
        static : dict
            The keyword-only inputs.

        Returns
        -------
        callable
            With the definition's signature and results.
        """
        if self.kernels and _kernels.get() == "fast":
            for kernel in reversed(self.kernels.get(of(*arrays).name, ())):
                if kernel.when(*arrays, **static):
                    return kernel.forward
        return self.define

    def kernel(self, backend_name: str, when: Callable[..., bool] = lambda *arrays, **static: True,
               saves: tuple[str, ...] = ()) -> Callable[[Definition], Definition]:
        """Register the decorated function as this op's fast twin on a backend.

        The twin has the definition's signature and is tested equal to it. Of several that take the same inputs, the one
        registered last is chosen: special kernels come after general ones.

        Parameters
        ----------
        backend_name : str
            The backend's name, such as ``"numpy"``.
        when : callable
            ``when(*arrays, **static)`` is whether the twin takes these inputs; by default it takes all.
        saves : tuple of str
            The arrays and closures that its vjp keeps alive.

        Returns
        -------
        callable
            The decorator, which returns the function as it is.
        """

        def register(forward: Definition) -> Definition:
            self.kernels.setdefault(backend_name, []).append(Kernel(forward, when, tuple(saves)))
            return forward

        return register


def _operands(define: Definition) -> int | None:
    """Return how many of a definition's first parameters are arrays by their annotations; None for all."""
    arrays = ["Array" in str(kind) for name, kind in define.__annotations__.items() if name != "return"]
    takes_any_number = bool(define.__code__.co_flags & 0x04)  # *xs
    return None if takes_any_number else (*arrays, False).index(False)


def _writes(y: Array, tensors: Sequence[Tensor]) -> Writes:
    """Return the count of assignments to an op's result: that of the input whose memory it shares, or a new one."""
    base = getattr(y, "base", None)
    for x in tensors:
        if x.data is y or (base is not None and (x.data is base or getattr(x.data, "base", None) is base)):
            return x.writes
    return [0]


REGISTRY: dict[str, Op] = {}


def _op_called(name: str) -> Op:
    return getattr(OPS, name)  # fills the registry, unless it has been filled before


def op(domain: Domain = reals, *, linear: bool = False, analytic: bool = True,
       saves: tuple[str, ...] = ()) -> Callable[[Definition], Op]:
    """Make the decorated definition an `Op` and enter it in `REGISTRY` and in the Tensor op table.

    A trailing underscore in the function's name is dropped: ``sum_`` is the op ``sum``.

    Parameters
    ----------
    domain : Domain
        Where the gradient exists.
    linear, analytic, saves : as the parameters of `Op`

    Returns
    -------
    callable
        The decorator.

    Examples
    --------
    An op with its derivative, called with a Tensor::

        @op(saves=("x",))
        def cube(x: Array) -> Forward:
            return x * x * x, lambda g: (g * (3 * x * x),)

        x = Tensor([2.0], requires_grad=True)
        cube(x).backward()  # x.grad is [12.]
    """

    def record(define: Definition) -> Op:
        name = define.__name__.rstrip("_")
        new = Op(name, define, domain, linear, analytic, tuple(saves))
        REGISTRY[name] = new
        setattr(OPS, name, new)
        return new

    return record
