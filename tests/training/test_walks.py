"""How far it is from a training step to the parameters, for someone who reads along."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path

import numpy as np
from small_run import BETAS, batch, net

import ddpm_np
from ddpm_np.autograd.op import kernels
from ddpm_np.diffusion import Schedule
from ddpm_np.training.trainer import Trainer

PACKAGE = Path(ddpm_np.__file__).parent
BESIDE = ("arguments", "autograd", "backend", "diffusion", "models", "nn", "philox")
# the net, its loss, its tape, the arrays, and checks of arguments


def frames_to_the_parameters(trainer, *arguments):
    """(module, function) of each call of our own from `Trainer.step` on, until the parameters change.

    Not followed are forward and backward of the net, and the layer of arrays and random numbers.
    """
    before, found, changed = trainer.flat.data.copy(), [], False
    start = inspect.unwrap(Trainer.step).__code__

    def watch(frame, event, _):
        nonlocal changed
        file = Path(frame.f_code.co_filename)
        if event != "call" or changed or not file.is_relative_to(PACKAGE):
            return
        parts = file.relative_to(PACKAGE).with_suffix("").parts
        if parts[0] in BESIDE or not (found or frame.f_code is start):
            return
        changed = not np.array_equal(trainer.flat.data, before)
        if not changed:
            found.append((".".join(parts), frame.f_code.co_qualname))

    sys.setprofile(watch)
    try:
        trainer.step(*arguments)
    finally:
        sys.setprofile(None)
    assert not np.array_equal(trainer.flat.data, before)
    return found


def test_the_plain_path_of_a_step_is_short():
    """One worker, one shard, no fast kernels."""
    trainer = Trainer(net(), Schedule.from_betas(BETAS), shards=1, workers=1, warmup=0)
    with kernels("reference"):
        frames = frames_to_the_parameters(trainer, batch(0))
    assert frames[0] == ("training.trainer", "Trainer.step")
    assert ("training.algorithm1", "gradient_of_batch") in frames
    assert frames[-1] == ("training.adam", "adam_step")
    assert len(frames) <= 13, frames
    assert len({module for module, _ in frames}) <= 4, frames
