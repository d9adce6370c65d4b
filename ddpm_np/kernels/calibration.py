"""Measure the rates of `costs.Rates` on this machine, and how well they choose: for ``ddpm-np calibrate``.

Every time is the median of several turns, in which everything is called in turn: once for the caches, once timed; in
float32, with one BLAS thread, on the clock of this thread. Patches are what `by_patches` takes beside products of the
same pieces. Products at Winograd's places run at other rates for other shapes (70 to 108 GFLOP/s on one machine), so
the tiles' rates are what `convolve` takes beside its products at the one rate of the model, which then gives the times
that were measured.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Hashable, Mapping
from typing import Any, NamedTuple

import numpy as np

from ddpm_np.autograd.op import images_together
from ddpm_np.kernels import costs
from ddpm_np.kernels.costs import LEAST, MOST, Rates
from ddpm_np.kernels.numpy_conv import by_patches, chunks
from ddpm_np.kernels.numpy_winograd import F2, F4, convolve, kernel_places
from ddpm_np.parallel.heap import keep_memory
from ddpm_np.parallel.threads import single_threaded_blas

Calls = dict[Hashable, Callable[[], Any]]
Timer = Callable[[Calls, float], Mapping[Hashable, float]]  # calls by key, and seconds -> nanoseconds of a call by key

WITHIN = 1.15  # of the fastest way's time: a choice up to which is a good one
_SCHEMES = {4: F4, 2: F2}
_AROUND = ((1, 1), (1, 1))
_LEAST_TURNS = 5
_SIZES = tuple(n << 20 for n in (1, 2, 3, 4, 6, 8))  # of `tiles`
_CLEARLY = 0.97  # of the time by the size there is: another size is taken if it needs less


class Shape(NamedTuple):
    """A 3×3 convolution: n images of size×size, c to o channels."""

    n: int
    size: int
    c: int
    o: int


class Product(NamedTuple):
    """A stack of products of matrices, (rows, inner) @ (inner, columns)."""

    stack: int
    rows: int
    inner: int
    columns: int

    @property
    def operations(self) -> int:
        """Multiplications and additions."""
        return 2 * self.stack * self.rows * self.inner * self.columns


PRODUCTS = (Product(1, 784, 64, 64), Product(1, 1568, 288, 32), Product(36, 147, 64, 64), Product(16, 196, 128, 128))
PATCHES = (Shape(8, 28, 32, 32), Shape(16, 14, 64, 64), Shape(28, 8, 64, 64))
TILES = (Shape(12, 28, 32, 32), Shape(12, 14, 64, 64), Shape(16, 8, 128, 128))
KERNELS = ((64, 64), (256, 256))
LOTS = Shape(16, 28, 32, 32)
CHECKED = (Shape(64, 8, 64, 64), Shape(2, 8, 256, 256), Shape(16, 14, 64, 64), Shape(2, 14, 128, 128),
           Shape(16, 28, 32, 32), Shape(2, 32, 128, 128))


class Choice(NamedTuple):
    """What was chosen for a shape, by numbers as `costs.least` returns them: 4, 2, or 0 for patches.

    Attributes
    ----------
    shape : Shape
    chosen : int
        By the rates that are checked.
    by_default : int
        By `costs.DEFAULT`.
    times : dict
        Nanoseconds of each way.
    """

    shape: Shape
    chosen: int
    by_default: int
    times: dict[int, float]

    def ratio(self, m: int | None = None) -> float:
        """Return a way's time over that of the fastest; None: the chosen way's."""
        return self.times[self.chosen if m is None else m] / min(self.times.values())


def in_turn(calls: Calls, seconds: float, clock: Callable[[], float] | None = None) -> dict[Hashable, float]:
    """Return the median time of each call, in nanoseconds, of at least five turns.

    Parameters
    ----------
    calls : dict
        Functions by key.
    seconds : float
        Time after which no further turn begins.
    clock : callable or None
        Returns seconds; None: the clock of this thread, where it is fine enough.

    Returns
    -------
    dict
    """
    clock = clock or _clock()
    taken: dict[Hashable, list[float]] = {name: [] for name in calls}
    start = clock()
    while len(next(iter(taken.values()))) < _LEAST_TURNS or clock() - start < seconds:
        for name, call in calls.items():
            call()
            before = clock()
            call()
            taken[name].append(clock() - before)
    return {name: 1e9 * statistics.median(times) for name, times in taken.items()}


def _clock() -> Callable[[], float]:
    """Return the thread's clock, or on systems where it ticks in milliseconds that of the wall."""
    return time.thread_time if time.get_clock_info("thread_time").resolution < 1e-5 else time.perf_counter


def measure(seconds: float = 2.0, timer: Timer = in_turn) -> Rates:
    """Measure the rates of this machine.

    Parameters
    ----------
    seconds : float
        How long, nearly.
    timer : callable
        As `in_turn`.

    Returns
    -------
    Rates
        Each within `costs.LEAST` and `costs.MOST`.
    """
    pieces = {shape: _of_patches(shape) for shape in PATCHES}
    with costs.using(costs.DEFAULT):
        times = _timed({
            **{product: _multiply(product) for product in (*PRODUCTS, *(product for _, product in pieces.values()))},
            **{("patches", shape): _by_patches(shape) for shape in PATCHES},
            **{("tiles", m, shape): _convolve(m, shape) for m in _SCHEMES for shape in TILES},
            **{("kernel", m, c, o): _kernel(m, c, o) for m in _SCHEMES for c, o in KERNELS},
            **{("lot", size): _in_lots(size) for size in _SIZES},
        }, seconds, timer)
    products = statistics.median(product.operations / times[product] for product in PRODUCTS)

    def patches(shape: Shape) -> float:
        count, product = pieces[shape]
        return (times["patches", shape] - count * times[product]) / (shape.n * shape.size**2 * shape.c)

    def tiles(m: int, shape: Shape) -> float:
        outputs = shape.n * (-(-shape.size // m) * m) ** 2  # of all tiles
        beside = times["tiles", m, shape] / outputs - 2 * ((m + 2) / m) ** 2 * shape.c * shape.o / products
        return beside / ((shape.c + shape.o) / 2)

    def kernel(m: int) -> float:
        return statistics.mean(times["kernel", m, c, o] / (c * o) for c, o in KERNELS)

    measured = Rates(
        products, statistics.median(map(patches, PATCHES)),
        tiles_4=statistics.median(tiles(4, shape) for shape in TILES),
        tiles_2=statistics.median(tiles(2, shape) for shape in TILES),
        kernel_4=kernel(4), kernel_2=kernel(2), tiles=_best_size({size: times["lot", size] for size in _SIZES}))
    return Rates(**{name: min(max(number, getattr(LEAST, name)), getattr(MOST, name))
                    for name, number in measured._asdict().items()})


def check(rates: Rates, seconds: float = 1.0, timer: Timer = in_turn) -> list[Choice]:
    """Measure every way for a few shapes, beside the one that is chosen by some rates.

    Parameters
    ----------
    rates : Rates
        The rates.
    seconds : float
        How long, nearly.
    timer : callable
        As `in_turn`.

    Returns
    -------
    list of Choice
        One for each of `CHECKED`.
    """
    with costs.using(rates):
        times = _timed({(m, shape): _whole(m, shape) for shape in CHECKED for m in (0, 2, 4)}, seconds, timer)

    def least(shape: Shape, by: Rates) -> int:
        return costs.least(shape.n, shape.size, shape.size, shape.c, shape.o, rates=by)

    return [Choice(shape, least(shape, rates), least(shape, costs.DEFAULT), {m: times[m, shape] for m in (0, 2, 4)})
            for shape in CHECKED]


def _timed(calls: Calls, seconds: float, timer: Timer) -> Mapping[Hashable, float]:
    keep_memory()
    with single_threaded_blas(), images_together():
        return timer(calls, seconds)


def _best_size(times: Mapping[int, float]) -> int:
    """Return the size with the least time; that of `DEFAULT`, unless another's is clearly less."""
    best = min(times, key=times.__getitem__)
    usual = costs.DEFAULT.tiles
    return best if times[best] < _CLEARLY * times[usual] else usual


def _of_patches(shape: Shape) -> tuple[int, Product]:
    """Return into how many pieces `by_patches` cuts the images, which it divides evenly, and a piece's product."""
    count = len(list(chunks(shape.n, 4 * shape.size**2 * 9 * shape.c)))
    return count, Product(1, shape.n * shape.size**2 // count, 9 * shape.c, shape.o)


def _numbers(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape, np.float32)


def _inputs(shape: Shape) -> tuple[np.ndarray, np.ndarray]:
    return _numbers(shape.n, shape.size, shape.size, shape.c), _numbers(3, 3, shape.c, shape.o)


def _multiply(product: Product) -> Callable[[], Any]:
    stack, rows, inner, columns = product
    a, b, out = _numbers(stack, rows, inner), _numbers(stack, inner, columns), _numbers(stack, rows, columns)
    return lambda: np.matmul(a, b, out=out)


def _by_patches(shape: Shape) -> Callable[[], Any]:
    x, w = _inputs(shape)
    return lambda: by_patches(x, w, padding=_AROUND)


def _convolve(m: int, shape: Shape) -> Callable[[], Any]:
    x, w = _inputs(shape)
    places = kernel_places(w, _SCHEMES[m].to_places)
    return lambda: convolve(_SCHEMES[m], x, places, _AROUND, shape.size, shape.size)


def _kernel(m: int, c: int, o: int) -> Callable[[], Any]:
    """The transform of a kernel, and its reading, by products with a single row."""
    w, row = _numbers(3, 3, c, o), _numbers((m + 2) ** 2, 1, c)
    return lambda: np.matmul(row, kernel_places(w, _SCHEMES[m].to_places))


def _in_lots(size: int) -> Callable[[], Any]:
    convolution = _convolve(4, LOTS)
    rates = costs.DEFAULT._replace(tiles=size)

    def call() -> None:
        with costs.using(rates):
            convolution()

    return call


def _whole(m: int, shape: Shape) -> Callable[[], Any]:
    """The way m, as `costs.least` numbers them, with the kernel's transform."""
    if m == 0:
        return _by_patches(shape)
    x, w = _inputs(shape)
    scheme = _SCHEMES[m]
    return lambda: convolve(scheme, x, kernel_places(w, scheme.to_places), _AROUND, shape.size, shape.size)
