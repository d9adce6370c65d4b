"""The pictures of samples that a run leaves in its folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from ddpm_np import viz
from ddpm_np.runs.load import TrainedNet
from ddpm_np.runs.sample import sample

Sampling = Callable[[int], AbstractContextManager[Callable[[int], Any]]]
_IMAGES = 64


class _Stopped(Exception):
    """The run was told to stop while its samples were drawn."""


@contextmanager
def unwatched(steps: int) -> Iterator[Callable[[int], Any]]:
    """Show no progress of sampling: the default `Sampling`.

    Parameters
    ----------
    steps : int
        Steps of the sampler; not used.

    Yields
    ------
    callable
        Does nothing.
    """
    yield lambda images: None


def save_samples(path: Path, net: TrainedNet, seed: int, workers: int | None, sampling: Sampling,
                 stopped: Callable[[], bool]) -> None:
    """Save a picture of 64 samples, unless the run is told to stop before they are drawn.

    Parameters
    ----------
    path : Path
        The PNG file.
    net : TrainedNet
        The net; samples are drawn from the average of its weights.
    seed : int
        Seed of the samples.
    workers : int or None
        CPUs to use; None for all.
    sampling : callable
        Called with the number of steps before the first. Returns a context manager that gives a function to call after
        each step.
    stopped : callable
        Returns whether the run was told to stop.
    """
    if stopped():
        return
    with sampling(net.schedule.T) as advance:
        def on_step(images: int) -> None:
            advance(images)
            if stopped():
                raise _Stopped

        try:
            images = sample(net, _IMAGES, seed=seed, batch_size=_IMAGES, workers=workers, on_step=on_step)
        except _Stopped:
            return
    viz.save_images(path, images)
