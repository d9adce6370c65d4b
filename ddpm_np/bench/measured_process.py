"""Train in a process whose memory another process measures.

``python -m ddpm_np.bench.measured_process SIDE NET STEPS WORKERS``

The process imports what its side needs, prints "ready", waits for a line, trains, prints its peak memory in bytes by
the system's account, and waits to be ended.
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
    """Encode a net as a command-line argument."""
    return json.dumps(dataclasses.asdict(net))


def decode(text: str) -> Net:
    """Decode the net from a command-line argument."""
    found = json.loads(text)
    return Net(**{**found, "config": UNetConfig(**found["config"])})


def prepared(side: str, net: Net, workers: int) -> Callable[[], Any]:
    """Import what a side needs; return a function that builds the net and returns its training step."""
    if side == OURS:
        from ddpm_np.bench import net_cases

        return lambda: net_cases.ours("step", net, workers)
    from ddpm_np.bench import pytorch

    torch, diffusers = pytorch.imported("torch", "PyTorch"), pytorch.imported("diffusers", "diffusers")
    torch.set_num_threads(workers)
    _ = diffusers.UNet2DModel  # its modules are imported at the first access
    return lambda: pytorch.PyTorchNet(net.config, pytorch.LAYOUTS[side]).training(net.images())


def main(side: str, net: str, steps: str, workers: str) -> None:
    """Run the protocol of this module; the arguments are the command line's."""
    make = prepared(side, decode(net), int(workers))
    print("ready", flush=True)
    sys.stdin.readline()
    step = make()
    for _ in range(int(steps)):
        step()
    print(_most(), flush=True)
    sys.stdin.readline()  # stays alive until its memory has been read a last time


def _most() -> int:
    """Return the peak memory of this process plus its children's, in bytes; 0 if the system keeps no account."""
    try:
        import resource
    except ImportError:  # Windows
        return 0
    each = [resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each) * (1 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    main(*sys.argv[1:])
