"""What `Run` checks before it starts: data and net, the schedule, the average's decay, the number of workers.

Whether a step fits in memory is `training.memory`'s, and `training.device_memory`'s on a GPU.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from ddpm_np.config import Config, TrainingConfig
from ddpm_np.data import Images
from ddpm_np.memory import free_memory
from ddpm_np.parallel.threads import default_workers
from ddpm_np.training.device_memory import check_device_memory
from ddpm_np.training.trainer import Trainer

_MOST_SIGNAL = 0.05  # of ᾱ_T: the paper's is 4e-5
_MOST_CLASSES = 100_000  # ImageNet's whole tree has 22,000


def check_data(dataset: Images, config: Config) -> None:
    """Check that a net can be trained on a data set.

    Parameters
    ----------
    dataset : Images
        The data set.
    config : Config
        The run.

    Raises
    ------
    ValueError
        If the images have another shape than the net's; or if a net with labels meets data without, or has another
        number of classes than one per label and the unconditional class; or if a label is above 100,000.
    """
    expected = (*config.model.size, config.model.in_channels)
    if dataset.shape != expected:
        raise ValueError(f"the images of {dataset.name!r} are {dataset.shape}, the net takes {expected}: choose the "
                         "preset that goes with the data set")
    if config.no_label is None:
        return
    if dataset.labels is None:
        raise ValueError(f"{dataset.name!r} has no labels and the net needs them: leave model.num_classes out")
    largest = int(dataset.labels.max())
    if largest >= _MOST_CLASSES:
        raise ValueError(f"{dataset.name!r} has the label {largest:,}, and the net needs one class for each label from "
                         f"0 up to it, at most {_MOST_CLASSES:,}: number the labels anew, "
                         "np.unique(labels, return_inverse=True)[1]")
    if config.no_label != largest + 1:
        raise ValueError(f"{dataset.name!r} has labels up to {largest}, so {largest + 1} classes, and the net needs "
                         f"one class more, the unconditional one: --set model.num_classes={largest + 2}")


def check_same_data(saved: Mapping[str, Any], now: Mapping[str, Any], dataset: Images) -> None:
    """Check that a run is resumed on the data that it was trained on.

    Parameters
    ----------
    saved, now : mapping
        The `data.identity` of the data before and now; nothing is checked if the former is empty.
    dataset : Images
        The data now, for the message.

    Raises
    ------
    ValueError
        If they differ.
    """
    if saved and dict(saved) != dict(now):
        before, after = saved.get("images"), now["images"]
        change = f"{before:,} images then, {after:,} now" if before != after else f"other images, again {after:,}"
        raise ValueError(f"{dataset.name!r} is not what this run was trained on ({change}): name the same data with "
                         "--dataset, or go on with these (--override, or override=True in Python)")


def empty_classes(dataset: Images, config: Config) -> str | None:
    """Return a warning if a net with labels gets no image of a class: it will not learn that class.

    Parameters
    ----------
    dataset : Images
        The data set, whose labels `check_data` has accepted.
    config : Config
        The run.

    Returns
    -------
    str or None
        The warning, with the first such class.
    """
    if config.no_label is None or dataset.labels is None:
        return None
    present = set(dataset.labels.tolist())
    missing = [label for label in range(config.no_label) if label not in present]
    if not missing:
        return None
    return (f"{dataset.name!r} has no image of {len(missing):,} of {config.no_label:,} classes, the first of which is "
            f"{missing[0]}: the net will not learn them")


def check_schedule(config: Config) -> None:
    """Check that a net can be sampled from once it is trained.

    Parameters
    ----------
    config : Config
        The run.

    Raises
    ------
    ValueError
        If the net predicts ε and ᾱ_T is 0. x_T is then pure noise and tells nothing of x₀: x̂₀ of (15) would be 0/0.
    """
    schedule, predicts = config.diffusion.build(), config.diffusion.predicts
    if predicts == "eps" and not schedule.sqrt_alpha_bar[-1] > 0:
        raise ValueError("this schedule ends at ᾱ_T = 0, where ε̂ says nothing of the image, so a net that predicts ε "
                         "could not be sampled from: --set predicts=v, or a schedule that ends above 0")


def check_fits_device(trainer: Trainer, config: Config) -> None:
    """Check that a run's steps fit into its GPU's memory, measured there; the first step need not measure them again.

    Parameters
    ----------
    trainer : Trainer
        The run's, whose net is on the GPU.
    config : Config
        The run.

    Raises
    ------
    MemoryError
        If not even one image of a batch at a time fits; the message has settings that do.
    """
    xp, size = trainer.backend.xp, config.training.batch_size
    images = xp.zeros((min(2, size), *config.model.size, config.model.in_channels), dtype=trainer.flat.data.dtype)
    labels = None if config.no_label is None else xp.zeros(len(images), dtype=xp.int64)
    check_device_memory(partial(trainer.step_memory, images, labels), size, free_memory(trainer.backend) or 0,
                        config.training.recompute)


def short_schedule(config: Config) -> str | None:
    """Return a warning if the schedule leaves much of the image in x_T, so that sampling starts from something else.

    Runs of fewer than 100 steps get no warning: nobody expects samples from them.

    Parameters
    ----------
    config : Config
        The run.

    Returns
    -------
    str or None
        The warning, with values that fit the number of steps if the schedule is linear.
    """
    left = float(config.diffusion.build().alpha_bar[-1])
    if left <= _MOST_SIGNAL or config.training.steps < 100:
        return None
    advice = "give more steps (T) or larger β"
    if config.diffusion.betas is None and config.diffusion.schedule == "linear":
        larger = dataclasses.replace(config.diffusion, beta_end=float(f"{min(0.999, 14 / config.diffusion.T):.2g}"))
        if larger.build().alpha_bar[-1] <= _MOST_SIGNAL:
            advice = f"--set beta_end={larger.beta_end:g} leaves {larger.build().alpha_bar[-1]:.2g}"
    return (f"with T={config.diffusion.T} and these β, ᾱ_T is {left:.2g}: x_T still shows the image, but sampling "
            f"starts from pure noise, and samples will be poor: {advice}")


def whole_records(config: Config, say: Callable[[str], Any]) -> Config:
    """Round `sample_every` and `save_every` up to multiples of `log_every`: a run saves and draws at its records.

    Parameters
    ----------
    config : Config
        The run.
    say : callable
        Called with a line for each value that is rounded.

    Returns
    -------
    Config
        With the rounded values.
    """
    settings, changed = config.training, {}
    for name in ("sample_every", "save_every"):
        given = getattr(settings, name)
        if given % settings.log_every:
            changed[name] = settings.log_every * math.ceil(given / settings.log_every)
            say(f"{name}={given} is not a multiple of log_every={settings.log_every}, so it is rounded up to "
                f"{changed[name]}")
    return config.replace(**changed)


def slow_average(settings: TrainingConfig) -> str | None:
    """Return a warning if the average of the weights is too slow for the run's length.

    Such an average still holds much of the initial weights at the end, and samples from it are noisy. Runs of fewer
    than 100 steps get no warning: nobody expects samples from them.

    Parameters
    ----------
    settings : TrainingConfig
        `steps` and `ema` are used.

    Returns
    -------
    str or None
        The warning, with a decay that fits the run.
    """
    kept = settings.ema**settings.steps
    if kept <= 0.01 or settings.steps < 100:
        return None
    fitting = 1 - 10 / settings.steps
    return (f"with ema={settings.ema} the average after {settings.steps:,} steps is still {kept:.0%} initial weights, "
            f"and samples will be noisy: --set ema={fitting:.4g} forgets them")


def idle_workers(workers: int | None, shards: int, backend: str = "numpy") -> str | None:
    """Return a warning if more workers are given than a step has shards.

    Parameters
    ----------
    workers : int or None
        As given; None for one per CPU.
    shards : int
        Parts into which a batch is cut.
    backend : {"numpy", "cupy"}
        Where the run computes.

    Returns
    -------
    str or None
        The warning, with a number of shards that gives each worker something to do.
    """
    if workers is None or workers <= shards or backend != "numpy":
        return None
    return (f"{workers} workers, but a step has only {shards} shards for them, so {workers - shards} will be idle: "
            f"--set shards={workers} gives each of them work")


def usable_workers(workers: int | None, shards: int, backend: str = "numpy") -> int:
    """Return the number of workers that a step can use: at most one per shard, and 1 on a GPU.

    Parameters
    ----------
    workers : int or None
        As given; None for one per CPU.
    shards : int
        Parts into which a batch is cut.
    backend : {"numpy", "cupy"}
        Where the run computes.

    Returns
    -------
    int
        The number of workers. Numbers below 1 are returned as they are, for `Trainer` to refuse.
    """
    if backend != "numpy":
        return 1
    return min(default_workers() if workers is None else workers, shards)
