"""The pictures of samples that a run leaves in its folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from ddpm_np import viz
from ddpm_np.runs.load import TrainedNet
from ddpm_np.runs.sample import NotFiniteError, sample

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


def save_samples(path: Path, net: TrainedNet, seed: int, workers: int | None, at_a_time: int, sampling: Sampling,
                 stopped: Callable[[], bool], say: Callable[[str], Any]) -> None:
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
    at_a_time : int
        Images to draw at once, if they fit into memory. The picture does not depend on it (on a GPU, but for
        rounding).
    sampling : callable
        Called with the number of steps of all images before the first. Returns a context manager that gives a function
        to call after each step with its number of images.
    stopped : callable
        Returns whether the run was told to stop.
    say : callable
        Called with a line if there is no picture, since its images are not finite.
    """
    if stopped():
        return
    with sampling(_IMAGES * net.schedule.T) as advance:
        def on_step(images: int) -> None:
            advance(images)
            if stopped():
                raise _Stopped

        try:
            images = sample(net, _IMAGES, seed=seed, batch_size=at_a_time, workers=workers, on_step=on_step)
        except _Stopped:
            return
        except NotFiniteError as error:
            say(f"no picture is drawn after this step: {error}")
            return
    viz.save_images(path, images)
