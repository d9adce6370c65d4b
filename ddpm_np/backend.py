"""One namespace for every array: NumPy on the CPU, CuPy on the GPU.

Functions of this package begin with ``xp = of(x)`` and compute through ``xp``; there is no global current backend.
Arrays leave the device through `to_host` alone. Random numbers come from a counter, so a shard of a batch, a position
in a batch, a resumed run and another backend all see the same words.
"""

from __future__ import annotations

import functools
import importlib
import itertools
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import numpy as np

from ddpm_np import cuda
from ddpm_np.cuda import BackendError
from ddpm_np.philox import RandomNumbers

Array = Any  # an array of NumPy or CuPy, or a Tensor; images are (N, …)
Ints = Any  # an int array (N,): the paper's t, one per image

_SPECIAL = ("erfcx", "log_ndtr", "ndtri")  # what the mathematics needs beyond the array API standard


class Namespace:
    """An array module with the few extras that the mathematics needs.

    Parameters
    ----------
    name : str
        ``"numpy"``, ``"cupy"`` or the module's name. Kernels are registered by it.
    module : module
        The array module. Every attribute but the extras is looked up there.
    *special : str
        Names of modules with `log_ndtr` (ln Φ), `ndtri` (Φ⁻¹) and `erfcx` (exp(z²)·erfc(z)): the first that is
        installed is used.
    """

    def __init__(self, name: str, module: Any, *special: str) -> None:
        self.name = name
        self.module = module
        self._special = special

    def __getattr__(self, attribute: str) -> Any:
        if attribute in _SPECIAL and self._special:
            value = getattr(_first_installed(self._special), attribute)
        else:
            value = getattr(self.module, attribute)
        setattr(self, attribute, value)  # the next look-up finds it without coming here
        return value

    @staticmethod
    def stop_gradient(x: Array) -> Array:
        """Return `x`: an array carries no gradient. For Tensors, the op table's own version cuts the tape.

        Parameters
        ----------
        x : array

        Returns
        -------
        array
        """
        return x

    def __repr__(self) -> str:
        return f"<namespace {self.name}>"

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy and pickle by name, since a module can be neither copied nor pickled."""
        return _namespace_of, (self.name, self.module.__name__, *self._special)


def _namespace_of(name: str, module: str, *special: str) -> Namespace:
    """Return the namespace of a name, that of a backend if it is one."""
    if name in _BACKENDS or name == "cupy":
        return get_backend(name).xp
    return Namespace(name, importlib.import_module(module), *special)


def _first_installed(modules: Sequence[str]) -> ModuleType:
    """Import the first of some modules whose library is installed."""
    for name in modules[:-1]:
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{name}.".startswith(f"{error.name}."):
                raise  # the library is there, and lacks something that it needs
    return importlib.import_module(modules[-1])


class NumPy(Namespace):
    """NumPy, with the functions whose behaviour depends on the platform or on NumPy's version."""

    def __init__(self) -> None:
        super().__init__("numpy", np, "scipy.special", "ddpm_np.special")

    @staticmethod
    def take(x: np.ndarray, indices: Any, axis: int | None = None) -> np.ndarray:
        """Return the elements of `x` at int indices of any width: `np.take` refuses int64 on a 32-bit platform.

        Parameters
        ----------
        x : array
        indices : int array
        axis : int, optional

        Returns
        -------
        array
        """
        return np.take(x, np.asarray(indices).astype(np.intp, casting="same_kind", copy=False), axis=axis)

    @staticmethod
    def astype(x: Any, dtype: Any, copy: bool = True) -> Any:
        """Return an array or a NumPy scalar in another dtype: `np.astype` of NumPy 2.0 takes no scalar.

        Parameters
        ----------
        x : array or NumPy scalar
        dtype : dtype
        copy : bool
            Whether an array of this dtype is copied too.

        Returns
        -------
        array or NumPy scalar
        """
        return x.astype(dtype, copy=copy)


_NUMPY: Namespace = NumPy()
_SPACES: dict[type, Namespace] = {np.ndarray: _NUMPY}
_SCALARS = (int, float, complex, bool, type(None))


def _space_of(x: Any) -> Namespace | None:
    """Return the namespace of one operand, or None for a Python scalar, which any namespace takes."""
    kind = type(x)
    if kind in _SPACES:
        return _SPACES[kind]
    if isinstance(x, _SCALARS) and not isinstance(x, np.generic):
        return None
    if isinstance(x, (np.ndarray, np.generic)):
        space: Namespace = _NUMPY
    elif kind.__module__.partition(".")[0] == "cupy":
        return get_backend("cupy").xp  # not kept by type: tests put a strict fake in CuPy's place
    elif hasattr(x, "__array_namespace__"):
        module = x.__array_namespace__()
        space = module if isinstance(module, Namespace) else Namespace(module.__name__, module)
    else:
        raise TypeError(f"expected an array or a Tensor, got {_kind(kind)}: {_conversion(kind)} first")
    _SPACES[kind] = space
    return space


def _kind(kind: type) -> str:
    """Return a type's name for a message, with its library's where it is not Python's own."""
    library = kind.__module__.partition(".")[0]
    return kind.__name__ if library == "builtins" else f"{library}.{kind.__name__}"


def _conversion(kind: type) -> str:
    """Return how to make an array of a value of some type, for a message."""
    torch = kind.__module__.partition(".")[0] == "torch"
    return "convert it with .detach().cpu().numpy()" if torch else "convert it with numpy.asarray"


def of(*xs: Any) -> Namespace:
    """Return the namespace to compute in: NumPy, CuPy, the Tensor op table, or what ``__array_namespace__`` gives.

    A Tensor among arrays decides, since an op of arrays and Tensors gives a Tensor. Python scalars fit any namespace;
    alone they mean NumPy.

    Parameters
    ----------
    *xs : array, Tensor or number
        The operands.

    Returns
    -------
    Namespace

    Raises
    ------
    TypeError
        If an operand is none of these, such as a list.

    Examples
    --------
    >>> import numpy as np
    >>> of(np.zeros(3)).name
    'numpy'
    """
    found = None
    for x in xs:
        space = _space_of(x)
        if space is None or space is found:
            continue
        if space.name == "tensor":
            return space
        if found is None or found is _NUMPY:
            found = space
    return found or _NUMPY


def plain(x: Array) -> Array:
    """Return the array that a Tensor holds, or an array as it is.

    Parameters
    ----------
    x : array or Tensor

    Returns
    -------
    array

    Examples
    --------
    >>> import numpy as np
    >>> plain(np.ones(2))
    array([1., 1.])
    """
    return x.data if of(x).name == "tensor" else x


class Backend(RandomNumbers):
    """A device with its namespace `xp`, transfers to it, and random numbers on it. Get one with `get_backend`.

    Parameters
    ----------
    xp : Namespace
        The namespace whose arrays live on the device.
    """

    def __init__(self, xp: Namespace) -> None:
        self.xp = xp
        self.name = xp.name

    def __repr__(self) -> str:
        return f"<backend {self.name}>"

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy and pickle by name: there is one backend of each."""
        return get_backend, (self.name,)

    def to_device(self, x: Any, dtype: Any = None) -> Array:
        """Return `x` as an array on this device.

        Parameters
        ----------
        x : host array, list, or array of this backend
        dtype : dtype, optional
            The dtype to convert to; by default x keeps its own.

        Returns
        -------
        array
        """
        return self.xp.asarray(x, dtype=dtype)

    def to_device_together(self, xs: Sequence[Array]) -> list[Array]:
        """Return arrays on this device; those on the host are copied at once.

        Parameters
        ----------
        xs : sequence of host arrays and arrays of this backend

        Returns
        -------
        list of arrays
            Those that were on the device already are the same.

        Examples
        --------
        >>> import numpy as np
        >>> get_backend("numpy").to_device_together([np.zeros(2)])
        [array([0., 0.])]
        """
        there = self.name == "numpy"
        return _copied_together(xs, lambda x: isinstance(x, np.ndarray) and not there, self.to_device)


def place_of(xp: Namespace) -> tuple[str, int | None]:
    """Return where arrays are made: the key under which copies of host tables are kept.

    Parameters
    ----------
    xp : Namespace

    Returns
    -------
    name : str
        The namespace's.
    device : int or None
        The number of the GPU that this thread uses; None on the CPU.

    Examples
    --------
    >>> place_of(get_backend("numpy").xp)
    ('numpy', None)
    """
    return xp.name, cuda.current_device() if xp.name == "cupy" else None


def dtype_of(xp: Namespace, dtype: Any) -> Any:
    """Return the namespace's own dtype object for a name such as ``"float32"``; a dtype object is returned as it is.

    Parameters
    ----------
    xp : Namespace
    dtype : str or dtype

    Returns
    -------
    dtype
    """
    return getattr(xp, dtype) if isinstance(dtype, str) else dtype


@functools.lru_cache(maxsize=64, typed=True)  # dtypes of two libraries can be equal and have different names
def dtype_name(dtype: Any) -> str:
    """Return the name of a dtype of any library; NumPy takes ten times as long to make the text.

    Parameters
    ----------
    dtype : dtype

    Returns
    -------
    str

    Examples
    --------
    >>> import numpy as np
    >>> dtype_name(np.zeros(2).dtype)
    'float64'
    """
    return str(dtype)


_BACKENDS: dict[str, Backend] = {"numpy": Backend(_NUMPY)}


def get_backend(name: str | Backend = "numpy") -> Backend:
    """Return a backend by its name.

    Parameters
    ----------
    name : str or Backend
        ``"numpy"`` or ``"cupy"``; a Backend is returned as it is.

    Returns
    -------
    Backend

    Raises
    ------
    BackendError
        If the name is another one, or if CuPy or a GPU is absent or does not work: one line with the reason.

    Examples
    --------
    >>> get_backend("numpy").normal(seed=0, purpose="noise", step=1, first=0, n=2, shape=(3,)).shape
    (2, 3)
    """
    if isinstance(name, Backend):
        return name
    if name not in _BACKENDS:
        if name != "cupy":
            raise BackendError(f"backend must be 'numpy' or 'cupy', got {name!r}")
        return _cupy_backend(cuda.open_cupy())
    return _BACKENDS[name]


def use_device(number: int, name: str = "device") -> Backend:
    """Have this thread compute on one of several GPUs, and return the backend "cupy".

    By default it computes on GPU 0. CUDA keeps the choice by thread: this package's worker threads follow the thread
    that they work for, a thread of your own calls this function itself. Arrays stay on the GPU where they were made.

    Parameters
    ----------
    number : int
        The GPU's number, from 0, among those that CUDA_VISIBLE_DEVICES leaves visible.
    name : str
        What the number is called in errors.

    Returns
    -------
    Backend

    Raises
    ------
    BackendError
        If there is no such GPU, or as in `get_backend`.

    Examples
    --------
    Train on the second GPU::

        model = UNet(config, backend=use_device(1))
    """
    return _cupy_backend(cuda.open_cupy(number, name))


def _cupy_backend(cupy: ModuleType) -> Backend:
    """Return the one backend of CuPy."""
    if "cupy" not in _BACKENDS:
        _BACKENDS["cupy"] = Backend(Namespace("cupy", cupy, "cupyx.scipy.special"))
    return _BACKENDS["cupy"]


def backend_of(x: Array) -> Backend:
    """Return the backend whose device holds an array.

    Parameters
    ----------
    x : array

    Returns
    -------
    Backend
    """
    return get_backend(of(x).name)


def to_host(x: Any) -> np.ndarray:
    """Return the contents of `x` as a NumPy array: the only way from a device to the host.

    Parameters
    ----------
    x : array of any backend, Tensor, list or number

    Returns
    -------
    numpy.ndarray
        `x` itself where it is one already.
    """
    data = plain(x) if hasattr(x, "__array_namespace__") else x  # a list has none
    if isinstance(data, np.ndarray):
        return data
    if _is_cupy(data):
        return get_backend("cupy").xp.asnumpy(data)
    return np.asarray(data)


def to_host_together(xs: Sequence[Array]) -> list[np.ndarray]:
    """Return the contents of arrays as NumPy arrays; those on a device are copied at once, since each copy waits.

    Parameters
    ----------
    xs : sequence of arrays

    Returns
    -------
    list of numpy.ndarray
        In C order if they were on a device; else the arrays themselves.

    Examples
    --------
    >>> import numpy as np
    >>> to_host_together([np.zeros(2), np.ones((1, 2))])
    [array([0., 0.]), array([[1., 1.]])]
    """
    return _copied_together([x if _is_cupy(x) else to_host(x) for x in xs], _is_cupy, to_host)


def _copied_together(xs: Sequence[Any], chosen: Callable[[Any], bool], copy: Callable[[Array], Array]) -> list[Any]:
    """Return `xs`, of which the chosen arrays are copied: those of one dtype end to end, by one call of `copy`."""
    copied, groups = list(xs), dict[str, list[int]]()
    for i, x in enumerate(xs):
        if chosen(x):
            groups.setdefault(str(x.dtype), []).append(i)
    for group in groups.values():
        xp = of(xs[group[0]])
        whole = copy(xp.concat([xp.reshape(xs[i], (-1,)) for i in group]))  # (P,)
        ends = itertools.accumulate((xs[i].size for i in group), initial=0)
        for i, (first, end) in zip(group, itertools.pairwise(ends), strict=True):
            copied[i] = of(whole).reshape(whole[first:end], xs[i].shape)
    return copied


def _is_cupy(x: Any) -> bool:
    return type(x).__module__.partition(".")[0] == "cupy"


def freeze(x: Array) -> Array:
    """Make `x` read-only where its library can (NumPy; CuPy has no such flag), and return it.

    Parameters
    ----------
    x : array

    Returns
    -------
    array
    """
    if isinstance(x, np.ndarray):
        x.setflags(write=False)
    return x


def asarray(x: Array) -> Array:
    """Return a NumPy scalar, such as a reduction gives, as a 0-d array; any other `x` as it is.

    Parameters
    ----------
    x : array or NumPy scalar

    Returns
    -------
    array
    """
    return np.asarray(x) if isinstance(x, np.generic) else x


def real_dtype(x: Array) -> Any:
    """Return the real dtype of a floating or complex array: complex128 gives float64.

    Parameters
    ----------
    x : array or Tensor

    Returns
    -------
    dtype
    """
    data = plain(x)
    return of(data).real(data).dtype if "complex" in dtype_name(data.dtype) else data.dtype


def is_floating(x: Array) -> bool:
    """Return whether the elements of `x` are real or complex floating-point numbers.

    Parameters
    ----------
    x : array or Tensor

    Returns
    -------
    bool
    """
    return any(word in dtype_name(x.dtype) for word in ("float", "complex"))
