"""Time a training step against batch, image size and channels, and compare with the growth of the arithmetic."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Any, NamedTuple

from ddpm_np.bench import pytorch
from ddpm_np.bench.arithmetic import step_flops
from ddpm_np.bench.net_cases import ours
from ddpm_np.bench.nets import Net
from ddpm_np.bench.record import SAME, Result
from ddpm_np.bench.timing import OURS, in_turn, spread
from ddpm_np.models import UNetConfig

AXES = {"batch": (4, 8, 16, 32), "image size": (8, 16, 32, 64), "channels": (32, 64, 96, 128)}
_BASE = {"batch": 8, "image size": 16, "channels": 32}


def net_of(axis: str, size: int) -> Net:
    """Return a small net with one size given: two levels, one block in each, attention in the middle."""
    sizes = {**_BASE, axis: size}
    config = UNetConfig(sizes["image size"], 1, sizes["channels"], (1, 2), 1, ())
    return Net(f"{axis} {size}", config, sizes["batch"], 1)


def measure(axis: str, nets: Sequence[tuple[int, Net]], workers: int, turns: int, **options: Any) -> list[Result]:
    """Time a training step of each net along an axis, ours and PyTorch's, all in turn.

    Parameters
    ----------
    axis : str
        Key of `AXES`.
    nets : sequence of (int, Net)
        The nets with their sizes.
    workers : int
        Threads of each side.
    turns : int
        Timed turns.
    **options
        Options of `in_turn`.

    Returns
    -------
    list of Result
        A result for each size.
    """
    absent = pytorch.why_absent()
    sides: dict[str, Callable[[], Any]] = {}
    with pytorch.threads(workers):
        for size, net in nets:
            sides[f"{OURS} {size}"] = ours("step", net, workers)
            for name, layout in {} if absent else pytorch.LAYOUTS.items():  # type: ignore[union-attr]
                sides[f"{name} {size}"] = pytorch.PyTorchNet(net.config, layout).training(net.images())
        measured = in_turn(sides, turns, **options)
    first = nets[0][1]
    return [
        Result.of_turns("scaling", net.name,
                        measured.of({name.rpartition(" ")[0]: name for name in sides if name.endswith(f" {size}")}),
                        work={"FLOP": step_flops(net)["products"]},
                        facts={"axis": axis, "size": size, **({SAME: first.name} if net is not first else {})},
                        notes=[f"PyTorch was not measured: {absent}"] if absent else [])
        for size, net in nets
    ]


class Growth(NamedTuple):
    """The growth of time along an axis.

    Parameters
    ----------
    axis : str
        Key of `AXES`.
    side : str
        ``"ours"`` or ``"PyTorch"``.
    time : float
        Slope of ln time over ln size.
    arithmetic : float
        Slope of ln arithmetic over ln size.
    largest : float
        The largest ratio of time/arithmetic at one size to that at a smaller size: at most 1 if time grows no faster
        than the arithmetic.
    """

    axis: str
    side: str
    time: float
    arithmetic: float
    largest: float


def slope(xs: Sequence[float], ys: Sequence[float]) -> float:
    """Return the slope of the least-squares line through (ln x, ln y)."""
    u, v = [math.log(x) for x in xs], [math.log(y) for y in ys]
    mean_u, mean_v = sum(u) / len(u), sum(v) / len(v)
    return (sum((a - mean_u) * (b - mean_v) for a, b in zip(u, v, strict=True))
            / sum((a - mean_u) ** 2 for a in u))


def curves(results: Sequence[Result]) -> dict[tuple[str, str], list[tuple[float, float, float]]]:
    """Return (size, median seconds, arithmetic) in order of size by (axis, side), for PyTorch's faster layout."""
    found: dict[tuple[str, str], list[tuple[float, float, float]]] = {}
    for result in sorted(results, key=lambda result: result.facts["size"]):
        for name, side in ((OURS, OURS), ("PyTorch", result.better())):
            if side in result.values:
                point = (result.facts["size"], spread(result.kept[side]).median, result.work["FLOP"])
                found.setdefault((result.facts["axis"], name), []).append(point)
    return found


def growth(results: Sequence[Result]) -> list[Growth]:
    """Return the growth of time beside that of the arithmetic for each axis and side with at least two sizes."""
    found = []
    for (axis, side), points in curves(results).items():
        if len(points) > 1:
            sizes, times, work = zip(*points, strict=True)
            cost = [seconds / flops for seconds, flops in zip(times, work, strict=True)]
            largest = max(after / before for before, after in combinations(cost, 2))
            found.append(Growth(axis, side, slope(sizes, times), slope(sizes, work), largest))
    return found
