"""Open a trained net: a checkpoint, a run, or a diffusers folder."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ddpm_np import diffusion
from ddpm_np.config import Config
from ddpm_np.interop import diffusers
from ddpm_np.models import UNet
from ddpm_np.runs import checkpoint


@dataclass(frozen=True)
class Pretrained:
    """A trained net: `model` with the weights after the last step, `ema` with their average in ``ema.model``.

    `step` is how many there were: 0 of published weights, of which nothing says so. `no_label` is the label that means
    none, of a net that was trained with such a one.
    """

    config: Config
    schedule: diffusion.Schedule
    model: UNet
    ema: Any
    step: int
    no_label: int | None


def load(path: str | Path, *, dtype: str = "float32", backend: str = "numpy",
         say: Callable[[str], Any] = warnings.warn) -> Pretrained:
    """Open a checkpoint, or a folder of published weights.

    Parameters
    ----------
    path
        A checkpoint file; the folder of a run, whose newest checkpoint is taken; or a folder of diffusers' (a pipeline
        or a net), whose weights are both ``model`` and ``ema``.
    dtype, backend
        Of the weights.
    say
        Called with a line for each damaged checkpoint of a folder that is passed over.

    Raises
    ------
    FileNotFoundError, checkpoint.CheckpointError
        If there is none, or it is damaged.
    ValueError
        If a folder of diffusers' is damaged or needs what is not supported, see `interop.diffusers`.
    """
    path = Path(path)
    if diffusers.is_folder(path) and not list(path.glob(checkpoint.PATTERN)):
        net, settings = diffusers.load_pipeline(path, dtype=dtype, backend=backend)
        config = Config.of_net(net.config, settings)
        return Pretrained(config, settings.build(), net, SimpleNamespace(model=net), 0, None)
    if path.is_file() and path.name in diffusers.FILES:
        raise ValueError(f"{path} is a part of a folder of diffusers': name the folder, {path.parent}")
    saved = checkpoint.newest(path, say) if path.is_dir() else checkpoint.read(path)
    nets = {which: UNet(saved.config.model, dtype=dtype, backend=backend, weights=saved.weights(which))
            for which in ("model", "ema")}
    return Pretrained(saved.config, saved.config.diffusion.build(), nets["model"], SimpleNamespace(model=nets["ema"]),
                      saved.step, saved.config.no_label)
