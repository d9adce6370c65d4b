"""What a 3×3 convolution costs on this machine, by a model of a few rates: which way of computing it is fastest.

With n images of ho×wo outputs, C to O channels, and tiles of m×m outputs:

    patches      n·ho·wo·(18·C·O/p + a·C)
    F(m×m, 3×3)  n·ho'·wo'·(2·((m + 2)/m)²·C·O/p + t_m·(C + O)/2) + k_m·C·O

in nanoseconds: p is the products' rate in GFLOP/s, a the cost of laying out an input's patches, t_m that of a number's
transforms, k_m that of a kernel's for a pair of channels; ho' and wo' are rounded up to multiples of m.

The rates are `DEFAULT`, or those that `ddpm-np calibrate` measured on this machine and keeps. They choose among ways
that differ by rounding, so they are read once per process.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
from collections.abc import Iterator
from typing import NamedTuple

from ddpm_np.kernels import rates_file


class Rates(NamedTuple):
    """The rates of a machine.

    Attributes
    ----------
    products : float
        GFLOP/s of a matrix product, one thread.
    patches : float
        Nanoseconds for the patches of an input number.
    tiles_4, tiles_2 : float
        Nanoseconds for the transforms of an input and an output number by F(4×4) and F(2×2).
    kernel_4, kernel_2 : float
        Nanoseconds for the transform of the 3×3 kernel of a pair of channels, and for reading it.
    tiles : int
        Bytes of tiles and products that Winograd's kernels work on at a time.
    """

    products: float = 90.0
    patches: float = 1.5
    tiles_4: float = 3.6
    tiles_2: float = 4.2
    kernel_4: float = 40.0
    kernel_2: float = 18.0
    tiles: int = 3 << 20


DEFAULT = Rates()
LEAST = Rates(0.1, 0.01, 0.01, 0.01, 0.1, 0.1, 1 << 16)  # no machine is outside of these
MOST = Rates(1e5, 1e3, 1e3, 1e3, 1e4, 1e4, 1 << 28)

_chosen: contextvars.ContextVar[Rates | None] = contextvars.ContextVar("rates", default=None)


def rates() -> Rates:
    """Return the rates by which kernels are chosen here: those in use, those kept for this machine, or `DEFAULT`.

    The file is read at the first call.

    Returns
    -------
    Rates
    """
    return _chosen.get() or _kept()


@contextlib.contextmanager
def using(rates: Rates) -> Iterator[None]:
    """Provide a context in which kernels are chosen by the given rates.

    Parameters
    ----------
    rates : Rates
        The rates.

    Yields
    ------
    None
    """
    token = _chosen.set(rates)
    try:
        yield
    finally:
        _chosen.reset(token)


@functools.cache
def _kept() -> Rates:
    try:
        return kept() or DEFAULT
    except rates_file.UnusableError:
        return DEFAULT


def kept() -> Rates | None:
    """Return the rates in the file for this machine.

    Returns
    -------
    Rates or None
        None where there is no file, or where `DDPM_NP_RATES=default` says to ignore it.

    Raises
    ------
    UnusableError
        If the file is damaged, or was written for another processor, BLAS or NumPy, or has numbers out of range.
    """
    numbers = rates_file.read(dict(zip(Rates._fields, zip(LEAST, MOST, strict=True), strict=True)))
    return None if numbers is None else Rates(**numbers)


@functools.cache
def least(n: int, ho: int, wo: int, c: int, o: int, *, kept: bool = False, rates: Rates = DEFAULT) -> int:
    """Return the m of the fastest way: 4, 2, or 0 for patches.

    Parameters
    ----------
    n : int
        Number of images.
    ho, wo : int
        Size of the output.
    c, o : int
        Channels in and out.
    kept : bool
        Whether the weights' transforms are there already.
    rates : Rates
        Of the machine.

    Returns
    -------
    int

    Examples
    --------
    >>> least(16, 28, 28, 32, 32), least(2, 14, 14, 128, 128), least(16, 28, 28, 1, 32)
    (4, 2, 0)
    """
    times = {0: n * ho * wo * (18 * c * o / rates.products + rates.patches * c)}
    for m, tiles, kernel in ((2, rates.tiles_2, rates.kernel_2), (4, rates.tiles_4, rates.kernel_4)):
        pixels = n * (-(-ho // m) * m) * (-(-wo // m) * m)
        multiplications = ((m + 2) / m) ** 2
        times[m] = (pixels * (2 * multiplications * c * o / rates.products + tiles * (c + o) / 2)
                    + (0 if kept else kernel * c * o))
    return min(times, key=times.__getitem__)
