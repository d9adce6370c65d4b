"""What a 3×3 convolution costs on this machine, by a model of a few rates: which way of computing it is fastest.

With n images of ho×wo outputs, C to O channels, and tiles of m×m outputs (m = 1 stands for patches):

    patches      n·ho·wo·(18·C·O/p + a·C)
    F(m×m, 3×3)  n·ho'·wo'·(2·((m + 2)/m)²·C·O/p + t_m·(C + O)/2) + k_m·C·O

in nanoseconds: p is the products' rate in GFLOP/s, a the cost of laying out an input's patches, t_m that of a number's
transforms, k_m that of a weight's; ho' and wo' are rounded up to multiples of m.
"""

from __future__ import annotations

import functools
from typing import NamedTuple


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
        Nanoseconds for the transform of a weight, and for reading it.
    """

    products: float = 90.0
    patches: float = 1.5
    tiles_4: float = 3.6
    tiles_2: float = 4.2
    kernel_4: float = 40.0
    kernel_2: float = 18.0


DEFAULT = Rates()


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
    >>> least(16, 28, 28, 32, 32), least(2, 8, 8, 512, 256), least(16, 28, 28, 1, 32)
    (4, 2, 0)
    """
    times = {0: n * ho * wo * (18 * c * o / rates.products + rates.patches * c)}
    for m, tiles, kernel in ((2, rates.tiles_2, rates.kernel_2), (4, rates.tiles_4, rates.kernel_4)):
        pixels = n * (-(-ho // m) * m) * (-(-wo // m) * m)
        multiplications = ((m + 2) / m) ** 2
        times[m] = (pixels * (2 * multiplications * c * o / rates.products + tiles * (c + o) / 2)
                    + (0 if kept else kernel * c * o))
    return min(times, key=times.__getitem__)
