"""Time whole nets beside those of PyTorch and other frameworks: the forward pass, a training step, sampling."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ddpm_np.backend import get_backend, to_host
from ddpm_np.bench import frameworks, pytorch
from ddpm_np.bench.arithmetic import forward_flops, rates, step_flops
from ddpm_np.bench.nets import Net
from ddpm_np.bench.record import SAME, Result
from ddpm_np.bench.timing import OURS, calls_for, in_turn
from ddpm_np.cuda import current_device
from ddpm_np.diffusion import linear_schedule
from ddpm_np.models import UNet
from ddpm_np.runs.sample import sample
from ddpm_np.sampling import Sampler
from ddpm_np.sampling.predictor import predictor
from ddpm_np.training.trainer import Trainer

_STRETCH = 0.5  # seconds of one side's turn: consecutive calls find the cache as in training


def trainer_of(net: Net, shards: int, workers: int, backend: str = "numpy") -> Trainer:
    """Return a trainer of our net with the paper's settings."""
    return Trainer(UNet(net.config, backend=backend), linear_schedule(1000), shards=shards, workers=workers)


_APART = "ours, each image's bits those of any batch"


def ours(what: str, net: Net, workers: int, *, together: bool = True, backend: str = "numpy") -> Callable[[], Any]:
    """Return our "forward", "step" or "sample" as a function; `together` (of `predictor`) applies to "forward".

    The function copies a number of its result to the host: a GPU is waited for.
    """
    device = get_backend(backend)
    if what == "step":
        trainer, x_0 = trainer_of(net, workers if backend == "numpy" else 1, workers, backend), net.images()
        return lambda: to_host(trainer.step(x_0)["loss"])
    model = UNet(net.config, backend=backend)
    if what == "forward":
        eps = predictor(model, workers=workers, fixed=True, together=together)
        x, t = device.to_device(net.images()), device.to_device(net.times())
        return lambda: to_host(eps(x, t)[0, 0, 0, :1])
    return lambda: sample(model, net.batch, sampler=Sampler(steps=net.sampling), workers=workers)


def theirs(what: str, net: Net, compiled: bool, backend: str = "numpy",
           ) -> tuple[dict[str, Callable[[], Any]], list[str]]:
    """Return PyTorch's versions of the same by name, and notes for the reader."""
    run_of: dict[str, Callable[[pytorch.PyTorchNet], Callable[[], Any]]] = {
        "step": lambda side: side.training(net.images()),
        "forward": lambda side: side.forward(net.images(), net.times()),
        "sample": lambda side: side.sampling(net.batch, net.sampling),
    }
    device = "cpu" if backend == "numpy" else f"cuda:{current_device() or 0}"
    return pytorch.sides(net.config, run_of[what], compiled, device)


def compare(what: str, net: Net, workers: int, turns: int, *, compiled: bool = False, backend: str = "numpy",
            part: str | None = None, **options: Any) -> list[Result]:
    """Time our net, PyTorch's and those of the other frameworks in turn.

    Parameters
    ----------
    what : str
        ``"forward"``, ``"step"`` or ``"sample"``.
    net : Net
        The net.
    workers : int
        Threads of each side.
    turns : int
        Timed turns.
    compiled : bool
        Time torch.compile too.
    backend : str
        ``"numpy"``, or ``"cupy"``: our side and PyTorch's on the GPU, alone.
    part : str or None
        Another part of the benchmark than `what` that the results belong to, beside PyTorch alone.
    **options
        Options of `in_turn`.

    Returns
    -------
    list of Result
        The times; for ``"forward"`` also those of a forward pass whose bits do not depend on the batch.
    """
    name = {"step": f"training step, batch {net.batch}", "forward": f"forward pass, batch {net.batch}",
            "sample": f"{net.batch} images in {net.sampling} steps"}[what]
    with pytorch.threads(workers), frameworks.quiet():
        others, notes = theirs(what, net, compiled, backend)
        mine = {OURS: ours(what, net, workers, backend=backend)}
        if what == "forward" and backend == "numpy":  # a GPU promises no such bits
            mine[_APART] = ours(what, net, workers, together=False)
        calls = dict.fromkeys((*mine, *others), calls_for(mine[OURS], _STRETCH))
        if backend == "numpy" and not part:
            further, missing = frameworks.sides(what, net, workers)
            others, notes = {**others, **further}, [*notes, *missing]
            calls |= {name: calls_for(run, _STRETCH) for name, run in further.items()}
        measured = in_turn({**mine, **others}, turns, calls=calls, **options)
    found = {name: measured.of({side: side for side in (OURS, *others)})}
    if _APART in mine:
        found[f"{name}, an image's bits those of any batch"] = measured.of(
            {OURS: _APART, **{side: side for side in others if side.startswith("PyTorch")}})
    return [Result.of_turns(part or what, title, times, net=net.name, work=_work(what, net), notes=notes,
                            facts={} if title == name else {SAME: name}) for title, times in found.items()]


def _work(what: str, net: Net) -> dict[str, float]:
    """Return the operations and images of one run."""
    if what == "step":
        flops = step_flops(net)
    else:
        passes = net.batch * (net.sampling if what == "sample" else 1)
        flops = {name: float(passes * each) for name, each in forward_flops(net.config).items()}
    return {"FLOP": flops["products"], "FLOP of convolutions": flops["convolutions"], "images": float(net.batch)}


def arithmetic(net: Net, workers: int, turns: int, **options: Any) -> list[Result]:
    """Measure GFLOP/s of a training step's convolutions over its whole time, beside the machine's sgemm, in turn."""
    work = _work("step", net)
    found = rates(ours("step", net, workers), work["FLOP of convolutions"], workers, turns, **options)
    return [Result.of_turns("arithmetic", f"training step, batch {net.batch}", found, unit="GFLOP/s", net=net.name,
                            work=work)]
