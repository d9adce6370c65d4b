"""One namespace for every array: NumPy on the CPU, CuPy on the GPU.

Functions of this package begin with ``xp = of(x)`` and compute through ``xp``; there is no global current
backend. What has to leave the device leaves through `to_host`, and nowhere else. Random numbers come from a
counter, so that a shard of a batch, a batch position, a resumed run and another backend all see the same words.
"""

from __future__ import annotations

import importlib
import math
from types import ModuleType
from typing import Any

import numpy as np

from ddpm_np.philox import philox, philox_key

Array = Any  # an array of NumPy or CuPy, or a Tensor; images are (N, …)
Ints = Any  # an int array (N,): the paper's t, one an image

_SPECIAL = ("log_ndtr", "ndtri")  # what the mathematics needs beyond the array API standard


class BackendError(ValueError):
    """A backend that is unknown, or that this machine cannot run."""


class Namespace:
    """An array module with the few extras that the mathematics needs.

    Parameters
    ----------
    name
        ``"numpy"``, ``"cupy"`` or the module's name; kernels are registered by it.
    module
        The array module; every attribute that is not an extra is looked up there.
    special
        The module that has `log_ndtr` (ln Φ) and `ndtri` (Φ⁻¹), or None where there is none.
    """

    def __init__(self, name: str, module: Any, special: str | None = None):
        self.name = name
        self.module = module
        self._special = special

    def __getattr__(self, attribute: str) -> Any:
        if attribute in _SPECIAL and self._special is not None:
            value = getattr(importlib.import_module(self._special), attribute)
        else:
            value = getattr(self.module, attribute)
        setattr(self, attribute, value)  # the next look-up finds it without coming here
        return value

    @staticmethod
    def stop_gradient(x: Any) -> Any:
        """The identity: an array carries no gradient. The Tensor table's own version cuts the tape."""
        return x

    def __repr__(self) -> str:
        return f"<namespace {self.name}>"


_NUMPY = Namespace("numpy", np, "scipy.special")
_SPACES: dict[type, Namespace] = {np.ndarray: _NUMPY}
_SCALARS = (int, float, complex, bool, type(None))


def _space_of(x: Any) -> Namespace | None:
    """The namespace of one operand; None for a Python scalar, which goes along with any."""
    kind = type(x)
    if kind in _SPACES:
        return _SPACES[kind]
    if isinstance(x, _SCALARS) and not isinstance(x, np.generic):
        return None
    if isinstance(x, (np.ndarray, np.generic)):
        space = _NUMPY
    elif kind.__module__.partition(".")[0] == "cupy":
        return get_backend("cupy").xp  # not kept by type: tests put a strict fake in CuPy's place
    elif hasattr(x, "__array_namespace__"):
        module = x.__array_namespace__()
        space = module if isinstance(module, Namespace) else Namespace(module.__name__, module)
    else:
        raise TypeError(f"expected an array or a Tensor, got {kind.__name__}: convert it with numpy.asarray first")
    _SPACES[kind] = space
    return space


def of(*xs: Any) -> Namespace:
    """The namespace to compute in: NumPy, CuPy, the Tensor op table, or what ``__array_namespace__`` says.

    A Tensor among arrays wins, since an op of arrays and Tensors is a Tensor; Python scalars go along with
    anything, and alone they mean NumPy.

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
    """The array that a Tensor holds; an array as it is.

    >>> import numpy as np
    >>> plain(np.ones(2))
    array([1., 1.])
    """
    return x.data if of(x).name == "tensor" else x


class Backend:
    """Where arrays live: `xp` to compute with, ways in and out, and random numbers.

    Get one with `get_backend`. All methods that make arrays make them on this backend's device.
    """

    def __init__(self, xp: Namespace):
        self.xp = xp
        self.name = xp.name

    def __repr__(self) -> str:
        return f"<backend {self.name}>"

    def to_device(self, x: Any, dtype: Any = None) -> Any:
        """`x` (a host array, a list or an array of this backend) on this device, in `dtype` if given."""
        return self.xp.asarray(x, dtype=dtype)

    def random(self, seed: int, purpose: str, step: int, first: int, n: int, shape: tuple[int, ...]) -> Any:
        """Random words for the images `first` .. `first + n - 1`: a function of its arguments alone.

        Philox 4×64-10 (Salmon et al. 2011) with key (`seed`, hash of `purpose`) and counter
        (image · blocks + block, `step`, 0, 0): image i owns a fixed range of counters.

        Returns
        -------
        uint64 array (n, *shape)
            The same words on every backend.
        """
        key = philox_key(seed, purpose)
        for name, value in (("step", step), ("first", first), ("n", n), *(("shape", size) for size in shape)):
            if not (isinstance(value, (int, np.integer)) and 0 <= value < 2**64):
                raise ValueError(f"{name} must be an int from 0 to 2**64 - 1, got {value!r}")
        step, first, n = int(step), int(first), int(n)  # a NumPy int would make the counters floating numbers
        count = math.prod(map(int, shape))
        blocks = -(-count // 4)  # a Philox block is four words
        if (first + n) * blocks > 2**64:
            raise ValueError(f"first={first} is too large: images of {count} numbers end at {2**64 // blocks}")
        if self.name == "numpy":
            counter = (((step << 64) + first * blocks) - 1) % (1 << 256)  # NumPy adds 1 before it draws
            bits = np.random.Philox(counter=counter, key=np.array(key, dtype=np.uint64))
            words = bits.random_raw(n * blocks * 4)  # (n·blocks·4,)
        else:
            words = philox(self.xp, key, step, first * blocks, n * blocks)  # (n·blocks·4,)
        return self.xp.reshape(self.xp.reshape(words, (n, blocks * 4))[:, :count], (n, *shape))

    def uniform(self, seed: int, purpose: str, step: int, first: int, n: int, shape: tuple[int, ...],
                dtype: Any = "float64") -> Any:
        """Uniform numbers in the open interval (0, 1): (k + ½)·2⁻ᵇ, k the word's upper b bits; (n, *shape).

        b is 52, and 23 for float32: one more, and the largest number would round to 1.
        """
        xp, bits = self.xp, 23 if "float32" in str(dtype) else 52
        words = self.random(seed, purpose, step, first, n, shape)
        u = (xp.astype(words >> (64 - bits), xp.float64) + 0.5) * 2.0**-bits  # (n, *shape)
        return xp.astype(u, dtype_of(xp, dtype), copy=False)

    def bernoulli(self, seed: int, purpose: str, step: int, first: int, n: int, shape: tuple[int, ...],
                  p: float) -> Any:
        """True with probability p, to 2⁻³²: two to a random word, the lower half first; (n, *shape) bool."""
        xp, count = self.xp, math.prod(map(int, shape))
        words = self.random(seed, purpose, step, first, n, (-(-count // 2),))  # (n, ⌈count/2⌉)
        if self.name == "numpy":
            halves = words.astype("<u8", copy=False).view("<u4")  # (n, 2·⌈count/2⌉)
        else:
            halves = xp.reshape(xp.stack([words & 0xFFFFFFFF, words >> 32], axis=-1), (n, 2 * words.shape[1]))
        threshold = round(p * 2**32)
        if threshold == 2**32:
            return xp.ones((n, *shape), dtype=xp.bool)
        return xp.reshape(halves[:, :count] < threshold, (n, *shape))

    def normal(self, seed: int, purpose: str, step: int, first: int, n: int, shape: tuple[int, ...],
               dtype: Any = "float64") -> Any:
        """Standard normal numbers by the inverse CDF, Φ⁻¹(u), of `uniform`; (n, *shape)."""
        xp = self.xp
        z = xp.ndtri(self.uniform(seed, purpose, step, first, n, shape))  # (n, *shape)
        return xp.astype(z, dtype_of(xp, dtype), copy=False)

    def integers(self, seed: int, purpose: str, step: int, first: int, n: int, low: int, high: int) -> Any:
        """Integers uniform on {low, …, high}, both ends included; (n,) int64."""
        xp = self.xp
        if not 0 <= high - low < 2**52:
            raise ValueError(f"integers are drawn from low to high, both included: got low={low}, high={high}")
        u = self.uniform(seed, purpose, step, first, n, ())  # (n,) in (0, 1)
        return xp.astype(xp.floor(u * (high - low + 1)), xp.int64) + low


def dtype_of(xp: Namespace, dtype: Any) -> Any:
    """The namespace's own dtype object for a name such as ``"float32"``; dtype objects pass through."""
    return getattr(xp, dtype) if isinstance(dtype, str) else dtype


_BACKENDS: dict[str, Backend] = {"numpy": Backend(_NUMPY)}


def get_backend(name: str | Backend = "numpy") -> Backend:
    """The backend ``"numpy"`` or ``"cupy"``.

    Raises
    ------
    BackendError
        For another name, or where CuPy or a GPU is absent.

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
        _BACKENDS[name] = Backend(Namespace("cupy", _import_cupy(), "cupyx.scipy.special"))
    return _BACKENDS[name]


def _import_cupy() -> ModuleType:
    try:
        cupy = importlib.import_module("cupy")
    except ImportError as error:
        raise BackendError(
            "backend 'cupy' needs CuPy, which is not installed: pip install 'ddpm_np[cuda12]' (or [cuda13])"
        ) from error
    try:
        cupy.cuda.runtime.getDeviceCount()
    except Exception as error:  # CuPy's own error types exist only once its CUDA modules load
        raise BackendError(f"backend 'cupy' needs an NVIDIA GPU: {error}; use --backend numpy") from error
    return cupy


def backend_of(x: Any) -> Backend:
    """The backend whose device holds the array `x`."""
    return get_backend(of(x).name)


def to_host(x: Any) -> np.ndarray:
    """A NumPy array with the contents of `x` (an array of any backend, or a Tensor): the one way back."""
    data = plain(x) if hasattr(x, "__array_namespace__") else x  # a list has none
    if isinstance(data, np.ndarray):
        return data
    if type(data).__module__.partition(".")[0] == "cupy":
        return get_backend("cupy").xp.asnumpy(data)
    return np.asarray(data)


def freeze(x: Any) -> Any:
    """`x` made read-only where the backend knows such a thing (NumPy; CuPy has no such flag)."""
    if isinstance(x, np.ndarray):
        x.setflags(write=False)
    return x


def asarray(x: Any) -> Any:
    """`x` itself, except that NumPy's scalars, which its reductions return, become 0-d arrays."""
    return np.asarray(x) if isinstance(x, np.generic) else x


def real_dtype(x: Any) -> Any:
    """The real dtype of the floating or complex array (or Tensor) `x`: complex128 gives float64."""
    data = plain(x)
    return of(data).real(data).dtype if "complex" in str(data.dtype) else data.dtype


def is_floating(x: Any) -> bool:
    """Whether the array's elements are real or complex floating numbers."""
    return any(word in str(x.dtype) for word in ("float", "complex"))
