"""Time single ops beside PyTorch's, at shapes that occur in the three nets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ddpm_np.autograd import ops
from ddpm_np.autograd.tensor import Tensor, gradients
from ddpm_np.bench import pytorch
from ddpm_np.bench.arithmetic import flops_of
from ddpm_np.bench.nets import Net
from ddpm_np.bench.record import Result
from ddpm_np.bench.timing import EAGER, OURS, calls_for, in_turn
from ddpm_np.parallel.threads import contiguous_spans, map_in_order


@dataclass(frozen=True)
class Case:
    """An op with the shapes of its inputs.

    Parameters
    ----------
    op : str
        Name of the op.
    batched : tuple of shapes
        Shapes of the inputs whose first axis is the batch.
    shared : tuple of shapes
        Shapes of the weights.
    options : dict
        The op's static options.
    """

    op: str
    batched: tuple[tuple[int, ...], ...]
    shared: tuple[tuple[int, ...], ...] = ()
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Name in tables."""
        x = "×".join(map(str, self.batched[0]))
        if self.op == "conv2d":
            kh, kw, _, o = self.shared[0]
            stride = f" stride {self.options['stride']}" if self.options["stride"] > 1 else ""
            return f"conv2d {kh}×{kw}{stride}, {x} → {o}"
        return f"{self.op}, {x}" + (f" → {self.shared[0][1]}" if self.op == "linear" else "")

    def arrays(self) -> list[np.ndarray]:
        """Return random inputs, the same at each call."""
        rng = np.random.default_rng(0)
        return [rng.standard_normal(shape, dtype=np.float32) for shape in (*self.batched, *self.shared)]


def conv(x: tuple[int, int, int, int], o: int, kernel: int = 3, stride: int = 1) -> Case:
    """Return a convolution as the nets have it: with stride 2, padding on the right and below only."""
    half = kernel // 2
    sides = (half, half) if stride == 1 else (0, half)
    return Case("conv2d", (x,), ((kernel, kernel, x[3], o), (o,)), {"stride": stride, "padding": (sides, sides)})


def norm(x: tuple[int, int, int, int], groups: int, silu: bool = True) -> Case:
    """Return a group normalisation, with or without SiLU."""
    return Case("group_norm_silu" if silu else "group_norm", (x,), ((x[3],), (x[3],)),
                {"groups": groups, "eps": 1e-6})


def cases(net: Net) -> list[Case]:
    """Return the ops of a net with at least two levels, with attention at one of them."""
    n, size, c = net.batch, net.config.size[0], net.config.channels
    widths = net.config.widths
    half, wide, groups = size // 2, widths[1], net.config.groups
    found = [conv((n, size, size, c), c), conv((n, half, half, wide), wide), conv((n, half, half, 2 * wide), wide),
             conv((n, size, size, 2 * c), c, kernel=1), conv((n, size, size, c), c, stride=2)]
    for level in range(2, len(widths)):
        side = size >> level
        found.append(conv((n, side, side, widths[level]), widths[level]))
    rows = (n, net.config.attention_resolutions[0] ** 2, widths[-1])
    return [
        *found, norm((n, size, size, c), groups), norm((n, half, half, wide), groups),
        norm((n, half, half, wide), groups, silu=False),
        Case("attention", (rows, rows, rows)), Case("linear", (rows,), ((rows[2], rows[2]), (rows[2],))),
        Case("upsample_conv2d", ((n, half, half, wide),), ((3, 3, wide, wide), (wide,))),
        Case("silu", ((n, 4 * c),)), Case("add", ((n, size, size, c), (n, size, size, c))),
    ]


def ours(case: Case, arrays: list[np.ndarray], workers: int, cotangent: np.ndarray | None) -> Callable[[], Any]:
    """Return our side as a function that works as in training.

    Each worker (here a thread) takes several whole images; gradients of weights are summed.
    """
    op, count = getattr(ops, case.op), len(case.batched)
    batched, shared = arrays[:count], arrays[count:]
    pieces = contiguous_spans(batched[0].shape[0], workers)
    weights = [Tensor(w, requires_grad=True) for w in shared]

    def forward(piece: tuple[int, int]) -> Any:
        return op(*(x[slice(*piece)] for x in batched), *shared, **case.options)

    def with_gradients(piece: tuple[int, int]) -> list[Any]:
        leaves = [Tensor(x[slice(*piece)], requires_grad=True) for x in batched]
        y = op(*leaves, *weights, **case.options)
        return gradients(y, [*leaves, *weights], cotangent[slice(*piece)])  # type: ignore[index]

    def run() -> None:
        total: list[Any] = []
        with ops.images_together():
            for found in map_in_order(forward if cotangent is None else with_gradients, pieces, workers):
                if cotangent is not None:
                    parts = found[count:]
                    total = [a + b for a, b in zip(total, parts, strict=True)] if total else parts

    return run


def measure(net: Net, case: Case, workers: int, turns: int, **options: Any) -> list[Result]:
    """Time an op's forward, and its forward with all gradients, beside PyTorch's in each memory layout."""
    arrays = case.arrays()
    result = getattr(ops, case.op)(*arrays, **case.options)
    cotangent = np.random.default_rng(1).standard_normal(result.shape, dtype=np.float32)
    flops = float(flops_of(case.op, arrays, result))
    absent = pytorch.why_absent()
    names = EAGER if arrays[0].ndim == 4 else EAGER[:1]
    found = []
    for kind, g, factor in (("forward", None, 1), ("with gradients", cotangent, 3)):
        sides = {OURS: ours(case, arrays, workers, g)}
        with pytorch.threads(workers):
            if not absent:
                sides |= {name: pytorch.operation(case.op, pytorch.LAYOUTS[name], arrays, case.options, g)
                          for name in names}
            measured = in_turn(sides, turns, calls=calls_for(sides[OURS]), **options)
        found.append(Result.of_turns("ops", f"{case.name}, {kind}", measured, net=net.name,
                                     work={"FLOP": factor * flops} if flops else {},
                                     notes=[f"PyTorch was not measured: {absent}"] if absent else []))
    return found
