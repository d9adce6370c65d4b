"""Whole nets beside theirs: the forward pass, a training step, sampling."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ddpm_np.bench import pytorch
from ddpm_np.bench.arithmetic import forward_flops, rates, step_flops
from ddpm_np.bench.nets import Net
from ddpm_np.bench.record import Result
from ddpm_np.bench.timing import OURS, calls_for, in_turn
from ddpm_np.diffusion import linear_schedule
from ddpm_np.models import UNet
from ddpm_np.runs.sample import sample
from ddpm_np.sampling import Sampler
from ddpm_np.sampling.predictor import predictor
from ddpm_np.training.trainer import Trainer

_STRETCH = 0.5  # seconds a side at a time: calls follow one another as in training, in a cache that is their own


def trainer_of(net: Net, shards: int, workers: int) -> Trainer:
    """What trains a net of ours, all as the paper has it."""
    return Trainer(UNet(net.config), linear_schedule(1000), shards=shards, workers=workers)


_APART = "ours, each image's bits those of any batch"


def ours(what: str, net: Net, workers: int, *, together: bool = True) -> Callable[[], Any]:
    """Our side of "forward", "step" or "sample", to be called; `together` as in `predictor`, of "forward" alone."""
    if what == "step":
        trainer, x_0 = trainer_of(net, workers, workers), net.images()
        return lambda: trainer.step(x_0)
    model = UNet(net.config)
    if what == "forward":
        eps = predictor(model, workers=workers, fixed=True, together=together)
        x, t = net.images(), net.times()
        return lambda: eps(x, t)
    return lambda: sample(model, net.batch, sampler=Sampler(steps=net.sampling), workers=workers)


def theirs(what: str, net: Net, compiled: bool) -> tuple[dict[str, Callable[[], Any]], list[str]]:
    """Their sides of the same, and notes."""
    run_of: dict[str, Callable[[pytorch.Theirs], Callable[[], Any]]] = {
        "step": lambda side: side.training(net.images()),
        "forward": lambda side: side.forward(net.images(), net.times()),
        "sample": lambda side: side.sampling(net.batch, net.sampling),
    }
    return pytorch.sides(net.config, run_of[what], compiled)


def compare(what: str, net: Net, workers: int, turns: int, *, compiled: bool = False, **options: Any,
            ) -> list[Result]:
    """Ours beside theirs in turn.

    Parameters
    ----------
    what
        ``"forward"``, ``"step"`` or ``"sample"``.
    options
        Those of `in_turn`.
    """
    name = {"step": f"training step, batch {net.batch}", "forward": f"forward pass, batch {net.batch}",
            "sample": f"{net.batch} images in {net.sampling} steps"}[what]
    with pytorch.threads(workers):
        others, notes = theirs(what, net, compiled)
        mine = {OURS: ours(what, net, workers)}
        if what == "forward":
            mine[_APART] = ours(what, net, workers, together=False)
        times = in_turn({**mine, **others}, turns, calls=calls_for(mine[OURS], _STRETCH), **options)
    apart = times.pop(_APART, None)
    found = {name: times} if apart is None else {name: times, f"{name}, an image's bits those of any batch": {
        **times, OURS: apart}}
    return [Result(what, name, "s", each, net.name, _work(what, net), notes=notes) for name, each in found.items()]


def _work(what: str, net: Net) -> dict[str, float]:
    """The arithmetic of one run."""
    if what == "step":
        flops = step_flops(net)
    else:
        passes = net.batch * (net.sampling if what == "sample" else 1)
        flops = {name: float(passes * each) for name, each in forward_flops(net.config).items()}
    return {"FLOP": flops["products"], "FLOP of convolutions": flops["convolutions"], "images": float(net.batch)}


def arithmetic(net: Net, workers: int, turns: int, **options: Any) -> list[Result]:
    """GFLOP/s of the convolutions of a training step, all of its time counted, beside the machine's sgemm, in turn."""
    work = _work("step", net)
    found = rates(ours("step", net, workers), work["FLOP of convolutions"], workers, turns, **options)
    return [Result("arithmetic", f"training step, batch {net.batch}", "GFLOP/s", found, net.name, work)]
