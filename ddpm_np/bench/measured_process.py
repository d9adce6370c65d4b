"""A training run in a process whose memory is measured.

``python -m ddpm_np.bench.measured_process SIDE NET STEPS WORKERS``

It imports what its side needs, says "ready", waits for a line, trains, prints the most memory it had by its own
account, in bytes, and waits for its end.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable
from typing import Any

from ddpm_np.bench.nets import Net
from ddpm_np.bench.timing import OURS
from ddpm_np.models import UNetConfig


def encode(net: Net) -> str:
    """A net as an argument."""
    return json.dumps(dataclasses.asdict(net))


def decode(text: str) -> Net:
    """The net of an argument."""
    found = json.loads(text)
    return Net(**{**found, "config": UNetConfig(**found["config"])})


def prepared(side: str, net: Net, workers: int) -> Callable[[], Any]:
    """Everything imported; a call makes the net, and what that returns takes a step."""
    if side == OURS:
        from ddpm_np.bench import net_cases

        return lambda: net_cases.ours("step", net, workers)
    from ddpm_np.bench import pytorch

    torch, diffusers = pytorch.imported("torch", "PyTorch"), pytorch.imported("diffusers", "diffusers")
    torch.set_num_threads(workers)
    _ = diffusers.UNet2DModel  # its modules come when they are first asked for
    return lambda: pytorch.Theirs(net.config, pytorch.LAYOUTS[side]).training(net.images())


def main(side: str, net: str, steps: str, workers: str) -> None:
    make = prepared(side, decode(net), int(workers))
    print("ready", flush=True)
    sys.stdin.readline()
    step = make()
    for _ in range(int(steps)):
        step()
    print(_most(), flush=True)
    sys.stdin.readline()  # alive until its memory has been read a last time


def _most() -> int:
    """The most memory this process and its children had at a time, by the system's account; 0 where it keeps none."""
    try:
        import resource
    except ImportError:  # Windows
        return 0
    each = [resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each) * (1 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    main(*sys.argv[1:])
