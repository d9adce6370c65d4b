"""A training run as an object: start one, resume one, iterate over its records, sample from it."""

from __future__ import annotations

import math
import warnings
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ddpm_np import viz
from ddpm_np.backend import get_backend
from ddpm_np.config import Config, differences
from ddpm_np.data import Batches, Prefetched, identity, located, open_dataset
from ddpm_np.memory import free_memory
from ddpm_np.models import UNet
from ddpm_np.runs import checkpoint, history
from ddpm_np.runs.checks import (
    check_data,
    check_fits_device,
    check_same_data,
    check_schedule,
    empty_classes,
    idle_workers,
    short_schedule,
    slow_average,
    usable_workers,
    whole_records,
)
from ddpm_np.runs.load import TrainedNet
from ddpm_np.runs.lock import FolderLock, taken
from ddpm_np.runs.metrics import MetricsLog
from ddpm_np.runs.pictures import Sampling, save_samples, unwatched
from ddpm_np.runs.sample import sample
from ddpm_np.storage import remove_leftovers
from ddpm_np.training.memory import check_memory
from ddpm_np.training.trainer import Record, Trainer

Say = Callable[[str], Any]


class Run:
    """A training run and its folder. Make one with `Run.start` or `Run.resume`, and iterate over it to train.

    The folder holds ``metrics.jsonl`` (one record every `log_every` steps), ``checkpoint-STEP.safetensors`` every
    `save_every` steps and at the end (the last `keep`, and the best), and every `sample_every` steps ``loss.png`` and
    ``samples-STEP.png``; see `TrainingConfig`.

    A checkpoint is the whole state of a run. A run that is stopped, killed or interrupted and then resumed ends with
    the same bytes as one without the break.

    One run at a time writes in a folder. Another process that starts or resumes a run there is refused until this one
    has trained to its end, is closed (`close`, or a ``with`` block), is garbage-collected or its process has ended. In
    the same process, a new run takes the folder over, and this one can then write no more. Reading is always possible.

    Parameters
    ----------
    config : Config
        The configuration.
    folder : str or Path
        The run's folder; made if it does not exist.
    saved : Checkpoint or None
        The state to go on from; None starts at step 0.
    data_dir : str, Path or None
        Folder with the data set's files; None downloads them once.
    backend : {"numpy", "cupy"}
        Where to compute.
    workers : int or None
        CPUs to use, at most one per shard; None for all. The result is the same bits with any number. On a GPU neither
        workers nor `TrainingConfig.shards` count: it takes as many images of a batch at a time as fit its memory.
    say : callable
        Called with each warning, a line of text; a damaged checkpoint that is skipped is one.
    lock : FolderLock
        The lock of the folder.
    override : bool
        Whether other data than those of the saved state are allowed.

    Attributes
    ----------
    config : Config
        The configuration.
    folder : Path
        The run's folder.
    dataset : Images
        The data set.
    trainer : Trainer
        The net, its average and Adam's moments, as they are now.

    Raises
    ------
    ValueError
        If the data do not fit the net, or a setting is out of range.
    MemoryError
        If a step does not fit in memory; the message has settings that do.

    Examples
    --------
    >>> import tempfile
    >>> config = Config.preset("digits").with_values(["T=4", "channels=8", "steps=3", "batch_size=8", "log_every=1",
    ...                                               "save_every=2", "sample_every=3"])
    >>> folder = tempfile.TemporaryDirectory()
    >>> run = Run.start(config, folder.name, workers=1)
    >>> [record.step for record in run]
    [1, 2, 3]
    >>> sorted(path.name for path in run.folder.glob("*.safetensors"))
    ['checkpoint-00000002.safetensors', 'checkpoint-00000003.safetensors']
    >>> run.sample(2).shape
    (2, 8, 8, 1)
    >>> with Run.resume(folder.name, lambda saved: saved.replace(steps=5), workers=1) as run:
    ...     [record.step for record in run]
    [4, 5]
    >>> folder.cleanup()
    """

    def __init__(self, config: Config, folder: str | Path, saved: checkpoint.Checkpoint | None, *,
                 data_dir: str | Path | None, backend: str, workers: int | None, say: Say, lock: FolderLock,
                 override: bool = False):
        check_schedule(config)
        settings = config.training
        self.config, self.folder, self._say, self._lock = config, Path(folder), say, lock
        self.dataset = open_dataset(settings.dataset, data_dir=data_dir,
                                    shape=(*config.model.size, config.model.in_channels), say=say)
        check_data(self.dataset, config)
        self._data = identity(self.dataset)
        if saved is not None and not override:
            check_same_data(saved.data, self._data, self.dataset)
        for warning in (empty_classes(self.dataset, config), short_schedule(config), slow_average(settings),
                        idle_workers(workers, settings.shards, backend)):
            if warning is not None:
                say(warning)
        workers = usable_workers(workers, settings.shards, backend)
        if backend == "numpy":
            check_memory(config.model, settings.batch_size, settings.shards, workers,
                         free_memory(get_backend(backend)), settings.recompute)
        self._batches: Any = Prefetched(Batches(self.dataset, settings.batch_size, settings.seed, settings.flip))
        self._model = UNet(config.model, seed=settings.seed, backend=backend)
        self.trainer = Trainer(
            self._model, config.diffusion.build(), config.objective(self.dataset.levels), lr=settings.learning_rate,
            warmup=settings.warmup, clip=settings.clip, ema=settings.ema, seed=settings.seed, shards=settings.shards,
            workers=workers, no_label=config.no_label, label_dropout=settings.label_dropout,
            recompute=settings.recompute)
        if saved is not None:
            checkpoint.restore(self.trainer, saved)
        if backend != "numpy":
            check_fits_device(self.trainer, config)
        self._loss = float("inf") if saved is None else saved.loss  # the last logged one
        self._stop = False  # whether to end after this step
        self._in_step = False  # whether a step has begun and not ended: the weights may be half updated
        self._ended: set[Path] | None = None  # the checkpoints when the lock was released after the last step
        self._damaged: set[Path] = set()  # checkpoints that were skipped
        weakref.finalize(self, lock.release)
        remove_leftovers(self.folder, say=say)

    @classmethod
    def start(cls, config: Config, folder: str | Path, *, data_dir: str | Path | None = None, backend: str = "numpy",
              workers: int | None = None, say: Say = warnings.warn) -> Run:
        """Start a new run.

        Parameters
        ----------
        config : Config
            The configuration, such as ``Config.preset("digits").replace(steps=200)``.
        folder : str or Path
            A folder without checkpoints.
        data_dir, backend, workers, say : optional
            As in `Run`.

        Returns
        -------
        Run
            At step 0. Iterate over it to train.

        Raises
        ------
        ValueError
            If the folder already holds a run, which is never overwritten, or if another run writes there. And as in
            `Run`.
        """
        with taken(folder, say) as lock:
            if history.holds_run(folder):
                raise ValueError(f"{folder} already holds a run: resume it (--resume, or Run.resume in Python), or "
                                 "name another folder (--out)")
            return cls(_settled(config, say), folder, None, data_dir=data_dir, backend=backend, workers=workers,
                       say=say, lock=lock)

    @classmethod
    def resume(cls, folder: str | Path, change: Callable[[Config], Config] = lambda saved: saved, *,
               override: bool = False, data_dir: str | Path | None = None, backend: str = "numpy",
               workers: int | None = None, say: Say = warnings.warn) -> Run:
        """Resume a run from its newest checkpoint that is not damaged; it continues bit for bit.

        On a GPU it continues up to rounding.

        Parameters
        ----------
        folder : str or Path
            The run's folder.
        change : callable
            Returns the configuration to go on with, given the saved one; by default the same. The number of steps may
            change freely: ``Run.resume(folder, lambda saved: saved.replace(steps=2000))``.
        override : bool
            Whether other values and the data may change as well. The result then differs from that of the original run.
        data_dir, backend, workers, say : optional
            As in `Run`. They may differ from those that the run was started with.

        Returns
        -------
        Run
            At the checkpoint's step.

        Raises
        ------
        FileNotFoundError
            If the folder has no checkpoint.
        CheckpointError
            If all checkpoints are damaged.
        ValueError
            If the configuration was changed without `override`, or if another run writes there. And as in `Run`.
        """
        if not Path(folder).is_dir():
            raise checkpoint.no_checkpoint("in", folder)
        with taken(folder, say) as lock:
            damaged: set[Path] = set()
            saved = history.newest(folder, lambda error: say(f"skipped: {error}"), damaged.add)
            config = _settled(change(saved.config), say)
            changed = differences(saved.config, config)
            if saved.data:  # the data themselves are compared; their place may change
                changed = [line for line in changed if not line.startswith("training.dataset:")]
            if changed and not override:
                raise ValueError(f"the run in {folder} was started with another configuration ({'; '.join(changed)}): "
                                 "resume it without these changes, or allow them (--override, or override=True in "
                                 "Python)")
            run = cls(config, folder, saved, data_dir=data_dir, backend=backend, workers=workers, say=say, lock=lock,
                      override=override)
            run._damaged = damaged
            return run

    def __repr__(self) -> str:
        return f"<Run {str(self.folder)!r}, step {self.step:,} of {self.config.training.steps:,}>"

    @property
    def step(self) -> int:
        """Return the number of training steps taken.

        Returns
        -------
        int
            The number of steps; the next one has this number.
        """
        return self.trainer.steps

    @property
    def net(self) -> TrainedNet:
        """Return the net as `load` would, with the weights and their average as they are now (shared, not copied).

        Returns
        -------
        TrainedNet
            The net, its average and its configuration.
        """
        return TrainedNet(self.config, self.trainer.schedule, self._model, self.trainer.ema, self.step,
                          self.config.no_label)

    def __iter__(self) -> Iterator[Record]:
        """Train: the same as `train` without callbacks."""
        return self.train()

    def train(self, on_step: Callable[[int], Any] = lambda step: None, sampling: Sampling = unwatched,
              ) -> Iterator[Record]:
        """Take the steps that are left; save checkpoints, metrics and pictures as configured.

        A record is yielded after it was logged and after the checkpoint and pictures of its step were saved. A
        ``break`` ends training there and saves nothing: steps since the last checkpoint are lost unless `save` is
        called. Iterating again goes on from where the loop ended. The same holds for an exception in the loop's body.

        An exception within a step, such as KeyboardInterrupt, may leave the weights half updated, so that they can no
        longer be saved. The folder is intact: go on with ``Run.resume(folder)``. To end a run from a signal handler,
        call `stop`.

        Parameters
        ----------
        on_step : callable
            Called after each training step with its number.
        sampling : callable
            Called with the number of steps before a sample grid is drawn. Returns a context manager that gives a
            function to call after each of these steps.

        Yields
        ------
        Record
            Step, loss, gradient norm, learning rate and images per second, every `log_every` steps and at the end.

        Raises
        ------
        TrainingDiverged
            If a loss or gradient was not finite. The last checkpoint is from before it.
        RuntimeError
            If the run is closed, or another one of this process has taken the folder over.
        """
        settings = self.config.training
        self._check_between_steps()
        if self.step >= settings.steps:
            return
        self._hold()
        self._lock.busy = True
        try:
            with MetricsLog(self.folder / "metrics.jsonl", self.step, settings.log_every, self._say) as log:
                for record in self._records(on_step):
                    log.write(record)
                    self._loss = record.loss
                    last = record.step == settings.steps or self._stop
                    if record.step % settings.save_every == 0 or last:
                        log.sync()
                        self.save()
                    if record.step % settings.sample_every == 0 or last:
                        viz.plot_loss(self.folder / "loss.png", log.records)
                        save_samples(self.folder / f"samples-{record.step:06d}.png", self.net, settings.seed,
                                     self.trainer.workers, self._at_a_time(), sampling, lambda: self._stop,
                                     self._say)
                    self._lock.busy = False
                    yield record
                    self._hold()
                    self._lock.busy = True
            if self.step >= settings.steps:
                self._ended = set(history.listed(self.folder))
                self._lock.release()
        finally:
            self._stop = self._lock.busy = False

    def _at_a_time(self) -> int:
        """Return the images that a step holds at once: drawing as many needs less memory than the step."""
        settings, workers = self.config.training, self.trainer.workers or 1
        if self.trainer.backend.name != "numpy":
            return settings.batch_size  # fewer, where these do not fit: see `sampling.memory`
        return min(workers, settings.shards) * math.ceil(settings.batch_size / settings.shards)

    def _records(self, on_step: Callable[[int], Any]) -> Iterator[Record]:
        """Yield the trainer's records, and note whether an exception came from within a step."""
        def after_step(step: int) -> bool:
            on_step(step)
            return self._stop

        self._check_between_steps()
        settings = self.config.training
        records = self.trainer.run(self._batches, settings.steps, settings.log_every, after_step)
        while True:
            self._in_step = True
            record = next(records, None)
            self._in_step = False
            if record is None:
                return
            yield record

    def stop(self) -> None:
        """End training after the step that is under way, or after the next one if none is.

        A checkpoint is saved and the last record is yielded. May be called from the loop's body, from `on_step`, from
        a signal handler or from another thread. A sample grid that is being drawn is abandoned.
        """
        self._stop = True

    def save(self) -> Path:
        """Save a checkpoint of the present step, and delete those that `TrainingConfig.keep` does not keep.

        Returns
        -------
        Path
            The checkpoint.

        Raises
        ------
        RuntimeError
            If the last step was interrupted or diverged; the last checkpoint is from before it. And as in `train`.
        OSError
            If it cannot be written. Older checkpoints are still there.
        """
        self._check_between_steps()
        self._hold()
        path, busy = history.path_of(self.folder, self.step), self._lock.busy
        self._lock.busy = True
        try:
            checkpoint.save(path, self.trainer, self.config, self._loss, self._data)
            self._damaged.discard(path)
            history.keep_last(self.folder, self.config.training.keep, path, self._damaged, self._say)
        finally:
            self._lock.busy = busy
        return path

    def close(self) -> None:
        """Release the folder's lock: others may train there, and this run can write no more. It can still sample."""
        self._ended = None
        self._lock.release()

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *error: Any) -> None:
        self.close()

    def _hold(self) -> None:
        """Raise RuntimeError if this run may no longer write; take the lock again if training has ended."""
        if self._lock.held:
            return
        if self._ended is not None:
            self._lock.take(self._say)
            self._lock.confirm()
            if self._ended >= set(history.listed(self.folder)):
                return
            self.close()
        raise RuntimeError(f"this run no longer writes in {self.folder}: it was closed, or another one went on there: "
                           f"go on with Run.resume({str(self.folder)!r})")

    def _check_between_steps(self) -> None:
        """Raise RuntimeError if a step was begun and not ended."""
        if self._in_step:
            raise RuntimeError("training ended within a step, by an exception or by numbers that are not finite: go "
                               f"on from the last checkpoint with Run.resume({str(self.folder)!r})")

    def sample(self, n: int, **options: Any) -> np.ndarray:
        """Sample images from the average of the weights, as it is now.

        Parameters
        ----------
        n : int
            Number of images.
        **options
            As in `ddpm_np.sample`: `seed`, `sampler`, `labels`, `guidance`, `weights` and others.

        Returns
        -------
        array (n, H, W, C)
            In [−1, 1], float32.
        """
        return sample(self.net, n, **{"workers": self.trainer.workers, **options})


def _settled(config: Config, say: Say) -> Config:
    """Return a configuration as a run keeps it: the data's place absolute, records at whole multiples."""
    return whole_records(config.replace(dataset=located(config.training.dataset)), say)
