"""The time of a training step against batch, image size and channels, beside the arithmetic."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Any, NamedTuple

from ddpm_np.bench import pytorch
from ddpm_np.bench.arithmetic import step_flops
from ddpm_np.bench.net_cases import ours
from ddpm_np.bench.nets import Net
from ddpm_np.bench.record import Result
from ddpm_np.bench.timing import OURS, in_turn, spread
from ddpm_np.models import UNetConfig

AXES = {"batch": (4, 8, 16, 32), "image size": (8, 16, 32, 64), "channels": (32, 64, 96, 128)}
_BASE = {"batch": 8, "image size": 16, "channels": 32}


def net_of(axis: str, size: int) -> Net:
    """A small net, one of whose sizes is given: two levels, one block a level, attention in the middle."""
    sizes = {**_BASE, axis: size}
    config = UNetConfig(sizes["image size"], 1, sizes["channels"], (1, 2), 1, ())
    return Net(f"{axis} {size}", config, sizes["batch"], 1)


def measure(axis: str, nets: Sequence[tuple[int, Net]], workers: int, turns: int, **options: Any) -> list[Result]:
    """A training step of each net of an axis, ours and theirs, all of them in turn.

    Parameters
    ----------
    nets
        (size, net) pairs.
    """
    absent = pytorch.why_absent()
    sides: dict[str, Callable[[], Any]] = {}
    with pytorch.threads(workers):
        for size, net in nets:
            sides[f"{OURS} {size}"] = ours("step", net, workers)
            for name, layout in {} if absent else pytorch.LAYOUTS.items():  # type: ignore[union-attr]
                sides[f"{name} {size}"] = pytorch.Theirs(net.config, layout).training(net.images())
        times = in_turn(sides, turns, **options)
    return [
        Result("scaling", net.name, "s",
               {name.rpartition(" ")[0]: found for name, found in times.items() if name.endswith(f" {size}")},
               work={"FLOP": step_flops(net)["products"]}, facts={"axis": axis, "size": size},
               notes=[f"PyTorch's side is absent: {absent}"] if absent else [])
        for size, net in nets
    ]


class Growth(NamedTuple):
    """How time grows along an axis.

    Attributes
    ----------
    axis : str
    side : str
    time, arithmetic : float
        Slopes of their logarithms over that of the size.
    largest : float
        The greatest (time/arithmetic of a larger size)/(of a smaller one): 1 where time grows no faster.
    """

    axis: str
    side: str
    time: float
    arithmetic: float
    largest: float


def slope(xs: Sequence[float], ys: Sequence[float]) -> float:
    """Of the line of least squares through (ln x, ln y)."""
    u, v = [math.log(x) for x in xs], [math.log(y) for y in ys]
    mean_u, mean_v = sum(u) / len(u), sum(v) / len(v)
    return (sum((a - mean_u) * (b - mean_v) for a, b in zip(u, v, strict=True))
            / sum((a - mean_u) ** 2 for a in u))


def curves(results: Sequence[Result]) -> dict[tuple[str, str], list[tuple[float, float, float]]]:
    """(axis, side) to (size, median seconds, arithmetic) in order of size; of theirs the better layout."""
    found: dict[tuple[str, str], list[tuple[float, float, float]]] = {}
    for result in sorted(results, key=lambda result: result.facts["size"]):
        for name, side in ((OURS, OURS), ("PyTorch", result.better())):
            if side in result.values:
                point = (result.facts["size"], spread(result.values[side]).median, result.work["FLOP"])
                found.setdefault((result.facts["axis"], name), []).append(point)
    return found


def growth(results: Sequence[Result]) -> list[Growth]:
    """How time grows beside the arithmetic, a row for each axis and side with two sizes or more."""
    found = []
    for (axis, side), points in curves(results).items():
        if len(points) > 1:
            sizes, times, work = zip(*points, strict=True)
            cost = [seconds / flops for seconds, flops in zip(times, work, strict=True)]
            largest = max(after / before for before, after in combinations(cost, 2))
            found.append(Growth(axis, side, slope(sizes, times), slope(sizes, work), largest))
    return found
