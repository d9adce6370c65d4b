"""What reaches the fake of CuPy when the package runs on it: ufuncs, sums and formulas, with their operands' dtypes.

`recorded` collects the calls, `computations` makes them. ``scripts/ask_cupy.py`` and ``scripts/compile_formulas.py``
put them to CuPy itself, which decides dtypes and writes kernels without a GPU.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import device_checks as checks
import numpy as np
from diffusion_calls import CALLS
from fake_cupy import array, formulas, functions, ufuncs
from formulas_in_c import package_formulas

from ddpm_np import cli
from ddpm_np.autograd import ops
from ddpm_np.backend import Backend, get_backend
from ddpm_np.formulas import Formula, _elementwise, _reduction
from ddpm_np.sampling.samplers import SAMPLERS
from ddpm_np.training.fused_update import fused_update

LOOSE = 1e-2  # calls are collected here; tests/backend/test_device.py holds the values
SUMS = {"sum", "prod", "max", "min", "amax", "amin", "all", "any"}  # those whose dtype CuPy looks up in a table


def operand(x: Any) -> list[str]:
    """Return what decides an operand's part in the choice of a dtype: ["array", dtype], ["int", ""], …"""
    if isinstance(x, array.ndarray):
        return ["array", str(x.dtype)]
    if isinstance(x, np.generic):
        return ["number", str(x.dtype)]
    return ["large int" if type(x) is int and x >= 2**63 else type(x).__name__, ""]


class Record:
    """Calls that reached the fake, each kind of call once.

    Attributes
    ----------
    dtypes : list of dict
        Ufuncs and sums: function, operands, dtype=, out=, and what the fake computed in (`takes`) and gave (`gives`).
    formulas : list of dict
        Kernels: CuPy's class, the arguments it was made with, the constant's name, and the kinds of calls.
    """

    def __init__(self) -> None:
        self.dtypes: list[dict[str, Any]] = []
        self.formulas: list[dict[str, Any]] = []

    def add(self, calls: list[dict[str, Any]], call: dict[str, Any]) -> None:
        """Enter a call unless there is one like it."""
        if call not in calls:
            calls.append(call)

    def as_json(self) -> dict[str, Any]:
        """Return the record as JSON can hold it."""
        return {"dtypes": self.dtypes, "formulas": self.formulas}


@contextlib.contextmanager
def recorded() -> Iterator[Record]:
    """A context in which calls of the fake are recorded."""
    record, undo = Record(), contextlib.ExitStack()
    with undo:
        for watch in (_watch_ufuncs, _watch_sums, _watch_formulas):
            watch(record, undo)
        yield record


def _replace(undo: contextlib.ExitStack, owner: Any, name: str, make: Callable[[Any], Any]) -> None:
    """Put ``make(original)`` in a name's place until the context ends."""
    original = getattr(owner, name)
    setattr(owner, name, make(original))
    undo.callback(setattr, owner, name, original)


def _watch_ufuncs(record: Record, undo: contextlib.ExitStack) -> None:
    loops: list[Any] = []

    def watch_loop(original: Any) -> Any:
        def find_loop(*args: Any) -> Any:
            loops[:] = [original(*args)]
            return loops[0]

        return find_loop

    def watch_call(original: Any) -> Any:
        def call(name: str, *args: Any, out: Any = None, dtype: Any = None, casting: str = "same_kind") -> Any:
            result = original(name, *args, out=out, dtype=dtype, casting=casting)
            loop = loops[0]
            if len(args) > len(loop.inputs):
                args, out = args[: len(loop.inputs)], args[len(loop.inputs)]
            into = out[0] if isinstance(out, tuple) else out
            record.add(record.dtypes, {
                "function": name, "operands": [operand(x) for x in args],
                "dtype": None if dtype is None else str(np.dtype(dtype)),
                "out": None if into is None else str(into.dtype), "casting": casting,
                "takes": [str(t) for t in loop.inputs], "gives": [str(t) for t in loop.outputs]})
            return result

        return call

    _replace(undo, ufuncs, "find_loop", watch_loop)
    _replace(undo, ufuncs, "call", watch_call)


def _watch_sums(record: Record, undo: contextlib.ExitStack) -> None:
    def watch(original: Any) -> Any:
        def call_numpy(function: Any, args: tuple, kwargs: dict[str, Any]) -> Any:
            result = original(function, args, dict(kwargs))
            if function.__name__ in SUMS:
                dtype = kwargs.get("dtype")
                record.add(record.dtypes, {
                    "function": function.__name__, "operands": [operand(args[0])],
                    "dtype": None if dtype is None else str(np.dtype(dtype)), "out": None, "casting": "same_kind",
                    "takes": None, "gives": [str(result.dtype)]})  # the fake looks up no loop
            return result

        return call_numpy

    _replace(undo, functions, "call_numpy", watch)


def _watch_formulas(record: Record, undo: contextlib.ExitStack) -> None:
    def watch_init(original: Any) -> Any:
        def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
            original(self, *args, **kwargs)
            self.recorded = {"class": type(self).__name__, "arguments": list(args), "options": kwargs, "constant": None,
                             "calls": []}
            record.formulas.append(self.recorded)

        return __init__

    def watch_call(original: Any) -> Any:
        def __call__(self: Any, *args: Any, **kwargs: Any) -> Any:
            result, n = original(self, *args, **kwargs), len(self.inputs)
            outputs = list(args[n:]) + [x for x in [kwargs.get("out")] if x is not None]
            gives = result if isinstance(result, tuple) else (result,)
            record.add(self.recorded["calls"], {
                "operands": [operand(x) for x in args[:n]], "outputs": [str(x.dtype) for x in outputs],
                "gives": [str(x.dtype) for x in gives]})
            return result

        return __call__

    for kind in (formulas.ElementwiseKernel, formulas.ReductionKernel):
        _replace(undo, kind, "__init__", watch_init)
        _replace(undo, kind, "__call__", watch_call)


def name_formulas(record: Record) -> None:
    """Enter each recorded kernel's constant. One that was never called is entered without calls."""
    xp = get_backend("cupy").xp
    for name, formula in package_formulas().items():
        kernel = (_elementwise if isinstance(formula, Formula) else _reduction)(xp, formula)
        kernel.recorded["constant"] = name


def computations(folder: Path) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Yield what runs on the fake: ops, mathematics, training, every sampler, and the commands that take a backend.

    Parameters
    ----------
    folder : Path
        For a run, its samples and its plots.
    """
    device = get_backend("cupy")
    for kernels in ("reference", "fast"):
        for name in sorted(ops.REGISTRY):
            yield f"{name}, {kernels}", lambda name=name, kernels=kernels: checks.check_op(name, device, LOOSE, kernels)
        for dtype in ("float64", "float32"):
            yield f"training in {dtype}, {kernels}", lambda dtype=dtype, kernels=kernels: checks.check_training(
                device, 1, kernels, steps=2, dtype=dtype)
        yield f"U-Net, {kernels}", lambda kernels=kernels: checks.check_unet(checks.TINY, device, LOOSE, kernels)
        yield f"sampler, {kernels}", lambda kernels=kernels: checks.check_sampler(device, LOOSE, kernels)
    for name in sorted(checks.COMPLEX):
        yield f"{name} of complex numbers", lambda name=name: checks.check_complex_forward(name, device, LOOSE)
    for name in sorted(CALLS):
        yield name, lambda name=name: checks.check_mathematics(name, device, LOOSE)
    for dtype in ("float64", "float32"):
        yield f"updates of some parameters in {dtype}", lambda dtype=dtype: update_some(device, dtype)
    yield "random numbers", lambda: checks.check_random(device)
    yield "a step that is not finite", lambda: checks.check_non_finite_step(device)
    for command in commands(folder):
        yield "ddpm-np " + " ".join(command), lambda command=command: _run(command)


def update_some(device: Backend, dtype: str) -> None:
    """Update some parameters alone, then others with the moving average of all."""
    trainer = checks.make_trainer(device, dtype=dtype)
    trainer.step(checks.batch(0))
    adam, ok = trainer.adam, device.to_device(True)
    adam.update(ok, still=(0,))
    fused_update(trainer.flat, adam.m, adam.v, adam.factors(ok, None, trainer.ema, still=(1,)), trainer.ema)


def commands(folder: Path) -> Iterator[list[str]]:
    """Yield commands: a labelled run with guidance, the samplers, evaluation, plots, the checker in both precisions."""
    run, picture = str(folder / "run"), ["--out", str(folder / "picture.png")]
    settings = ("model.channels=8", "model.groups=4", "model.dropout=0.3", "model.num_classes=11", "diffusion.T=5",
                "ema=0.5", "log_every=1")
    common = ["--backend", "cupy", "--quiet"]
    yield ["train", "--preset", "digits", "--steps", "3", "--batch-size", "5", "--out", run, *common,
           *(word for setting in settings for word in ("--set", setting))]
    for sampler in SAMPLERS:
        yield ["sample", run, "-n", "3", "--sampler", sampler, "--steps", "2", *picture, *common]
    yield ["sample", run, "-n", "3", "--label", "3", "--guidance", "1", *picture, *common]
    yield ["sample", run, "-n", "3", "--sampler", "ddim", "--steps", "2", "--eta", "0.5", *picture, *common]
    yield ["sample", run, "-n", "3", "--progressive", "--steps", "3", *picture, *common]
    yield ["evaluate", run, "--images", "3", *common]
    for plot in ("progressive", "latents", "interpolation", "neighbours"):
        yield ["plot", plot, run, *picture, *common]
    for dtype in ("float64", "float32"):
        yield ["check", "--examples", "0", "--dtype", dtype, "--backend", "cupy"]


def _run(command: list[str]) -> None:
    """Run a command whose output is shown only where it fails."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        status = cli.main(command)
    if status:
        raise RuntimeError(f"exit status {status}\n{printed.getvalue()}")
