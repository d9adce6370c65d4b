"""The frameworks beside PyTorch that are measured where they are installed.

Each has a module of its own with ``WHAT`` it computes here, ``why_absent()`` and ``side(what, net, workers)``, which is
imported when it is asked for. Nothing else in the package imports them.
"""

from __future__ import annotations

import contextlib
import time
import warnings
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

from ddpm_np.bench import hold
from ddpm_np.bench.nets import Net
from ddpm_np.bench.pytorch import one_line
from ddpm_np.parallel.threads import default_workers

FRAMEWORKS = {"JAX": "jax_net", "ONNX Runtime": "onnx_runtime", "tinygrad": "tinygrad_net"}
_OWN_THREADS = ("JAX",)  # takes a thread for each CPU, whatever is asked for
_ONE_THREAD = ("tinygrad",)
_NOT_HELD = ("ONNX Runtime", "tinygrad")  # take the widest instructions that they find
_LONGEST = 10.0  # seconds of one call, above which a framework is left out of the turns


def sides(what: str, net: Net, workers: int) -> tuple[dict[str, Callable[[], Any]], list[str]]:
    """Return the frameworks' functions to time by name, each called once, and a note for each that is missing.

    Parameters
    ----------
    what : str
        ``"step"`` or ``"forward"``.
    net : Net
        The net.
    workers : int
        Threads, for frameworks that can be told.

    Returns
    -------
    sides : dict
        The functions by name.
    notes : list of str
        Reasons why a framework is missing, and how its threads differ.
    """
    found: dict[str, Callable[[], Any]] = {}
    notes = []
    for name, module in FRAMEWORKS.items():
        framework = import_module(f"ddpm_np.bench.{module}")
        if what not in framework.WHAT:
            continue
        reason = framework.why_absent()
        if reason is None and name in _NOT_HELD and hold.held():
            reason = f"{name} cannot be held to {hold.held()}"
        if reason is None:
            try:
                run = framework.side(what, net, workers)
                run()
                began = time.perf_counter()
                run()
                took = time.perf_counter() - began
                if took > _LONGEST:
                    reason = f"one call takes {took:.1f} s"
                else:
                    found[name] = run
            except Exception as error:  # another library's: note it and measure the rest
                reason = one_line(error)
        if reason is not None:
            notes.append(f"{name} was not measured: {reason}")
        elif name in _OWN_THREADS and workers != default_workers():
            notes.append(f"{name} takes {default_workers()} threads, one for each CPU")
        elif name in _ONE_THREAD and workers > 1:
            notes.append(f"{name} computes in one thread on a CPU")
    return found, notes


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Hide the frameworks' own warnings while the context is open, such as JAX's about our worker processes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
