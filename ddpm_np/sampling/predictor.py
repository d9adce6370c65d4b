"""Wrap a trained net as a plain function ε_θ(x, t) of arrays."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

from ddpm_np import arguments
from ddpm_np.autograd.ops import images_together
from ddpm_np.autograd.tensor import Tensor, no_grad
from ddpm_np.backend import Array, Ints, freeze, of, plain
from ddpm_np.diffusion.reverse import Denoiser
from ddpm_np.kernels import costs
from ddpm_np.kernels.fixed import FixedWeights
from ddpm_np.models.inputs import one_int_each
from ddpm_np.nn import Module, module_contents
from ddpm_np.parallel.processes import WorkerPool, can_fork, is_shared
from ddpm_np.parallel.threads import contiguous_spans, default_workers, map_in_order
from ddpm_np.parallel.watch import CallWatch


def predictor(model: Any, weights: str = "ema", workers: int | None = None, *, fixed: bool = False,
              together: bool | int = False) -> Denoiser:
    """Return a net as a plain function ε_θ(x, t): evaluation mode, no tape, arrays in and out.

    Parameters
    ----------
    model : Module, Trainer or what `load` returns
        A Module, whose own weights are used; or an object with a net as ``.model`` and its average as ``.ema.model``.
    weights : str
        ``"ema"`` (the average) or ``"model"`` (after the last step), for an object that has both.
    workers : int or None
        Number of workers that the images of a batch are divided among, on the CPU; None for one per CPU. An image's
        result is the same bits with any number of workers and in any batch, unless `together`; on a GPU, the same up to
        rounding. Where the system allows, the workers after the first are processes, for nets of this package whose
        weights a Trainer shares with them or are `fixed`; else they are threads.
    fixed : bool
        A promise that the net, its weights and its settings, does not change while the function is in use. What kernels
        compute of the weights alone is then kept, up to 256 MiB in each worker, and kernels are chosen for that: last
        bits differ from those without.
    together : bool or int
        Whether all images of a worker may be multiplied as one matrix. That is faster for small images, but an image's
        last bits then depend on the images beside it. With an int k, k images are, on the CPU: those at the places 0
        to k − 1, k to 2k − 1, and so on. The function's argument `place`, 0 by default, says where the first image of
        a batch stands; lots that are not full are filled. An image's bits then depend on its place modulo k alone.

    Returns
    -------
    callable
        ``eps(x, t)`` with x of shape (N, …) and t of shape (N,), or an int, on x's backend; ``eps(x, t, y)`` for a net
        with labels. It uses the weights as they are when it is called.

    Raises
    ------
    ValueError
        If `weights` is neither, or `workers` or `together` is a number below 1.

    Examples
    --------
    >>> import numpy as np
    >>> from ddpm_np.models import UNet, UNetConfig
    >>> eps = predictor(UNet(UNetConfig.preset("digits")))
    >>> eps(np.zeros((2, 8, 8, 1), np.float32), np.array([1, 1000])).shape
    (2, 8, 8, 1)
    """
    arguments.one_of("weights", weights, ("ema", "model"))
    if workers is not None:
        arguments.count("workers", workers)
    if not isinstance(together, bool):
        arguments.count("together", together)
    if not isinstance(model, Module):
        model = model.ema.model if weights == "ema" else model.model
    return Predictor(model, workers, fixed, together)


class Predictor:
    """A net as a plain function; made by `predictor`.

    A copy, by `copy` or `pickle`, is one of a copy of the net.

    Parameters
    ----------
    source : Module
        The net.
    workers : int or None
    fixed : bool
    together : bool or int
        As in `predictor`.

    Raises
    ------
    TypeError
        If the net returns neither a Tensor nor an array.
    ValueError
        If it returns another number of results than there are images.
    """

    def __init__(self, source: Module, workers: int | None, fixed: bool, together: bool | int):
        self.source, self.workers, self.fixed, self.together = source, workers, fixed, together
        self._open()

    @property
    def lot(self) -> int:
        """Number of images in one matrix.

        Returns
        -------
        int
            0: all of a worker's.
        """
        return 0 if self.together is True else int(self.together) or 1

    def _open(self) -> None:
        """Make the net that is called: the source's, with views of its weights that nobody can write to."""
        self.net = self.source.clone(
            lambda p: Tensor(freeze(_laid_out(p.data) if self.fixed else p.data[...]))).eval()
        self.pool, self.watch = WorkerPool(), CallWatch()
        self.kept = FixedWeights() if self.fixed else None
        self.forked: list[Any] = []  # what the workers were forked with: of a fixed net, for good

    def __copy__(self) -> Predictor:
        return Predictor(self.source, self.workers, self.fixed, self.together)

    def __getstate__(self) -> tuple[Any, ...]:
        return self.source, self.workers, self.fixed, self.together

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.source, self.workers, self.fixed, self.together = state

    def __getattr__(self, name: str) -> Any:
        if name not in ("net", "pool", "watch", "kept", "forked"):
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        self._open()  # after a copy, when the weights of the source are where they will stay
        return vars(self)[name]

    def __call__(self, x: Array, t: Ints, y: Ints | None = None, *, place: int = 0) -> Array:
        """Return the net's prediction for a batch.

        Parameters
        ----------
        x : array of shape (N, …)
        t : int array of shape (N,)
        y : int array of shape (N,), optional
            Labels.
        place : int
            Where the first image stands, for an int `together`.

        Returns
        -------
        array of shape (N, …)
        """
        xp = of(x)
        t = one_int_each("t", t, x, 1)
        n = x.shape[0]
        inputs = (x, t) if y is None else (x, t, y)
        lot = self.lot if xp.name == "numpy" and n else 1
        before = place % max(lot, 1)
        if lot < 2 or (before == 0 and n % lot == 0):
            return self._predictions(inputs, max(lot, 1))
        whole = xp.arange(-before, -(-(before + n) // lot) * lot - before)  # of full lots
        index = xp.clip(whole, 0, n - 1)
        return self._predictions(tuple(array[index] for array in inputs), lot)[before : before + n]

    def _predictions(self, inputs: tuple[Array, ...], lot: int) -> Array:
        """Return the predictions for a batch, divided among the workers in whole lots."""
        xp, n = of(inputs[0]), inputs[0].shape[0]
        count = (self.workers or default_workers()) if xp.name == "numpy" else 1
        tasks = [tuple(array[first * lot : end * lot] for array in inputs)
                 for first, end in contiguous_spans(n // lot, count)]
        if len(tasks) == 1:
            return next(map_in_order(self._part, tasks))
        forks = can_fork()
        contents, others, labels = (self.forked, [], {}) if self.fixed and self.forked and forks else self._contents()
        if contents is None or not forks:
            with self.watch.calls(others, labels.keys() - {id(x) for x in others}, len(tasks)) as threads:
                return xp.concat(list(map_in_order(self._part, tasks, threads)), axis=0)
        self.forked = contents
        costs.rates()  # read before the fork, so that all processes choose the same kernels
        self.pool.fork(self._part, len(tasks) - 1, [], contents)
        return xp.concat(self.pool.map(self._part, tasks), axis=0)

    def _contents(self) -> tuple[list[Any] | None, list[Any], dict[int, Any]]:
        """Return what workers have to be forked with, or None; what threads have to watch; and the known objects."""
        parameters = self.net.parameters()
        labels: dict[int, Any] = {id(p): i for i, p in enumerate(parameters)}
        contents, others = module_contents(self.net, labels)
        shared = self.fixed or all(is_shared(p.data) for p in parameters)
        return contents if shared else None, others, labels

    def _part(self, task: tuple[Array, ...]) -> Array:
        """Return the prediction for some images."""
        with (no_grad(), images_together(self.lot),
              self.kept.in_use() if self.kept else nullcontext()):
            y = self.net(*task)
        if not hasattr(y, "__array_namespace__"):
            raise TypeError(f"the net must return a Tensor, got {type(y).__name__}")
        if y.ndim == 0 or y.shape[0] != task[0].shape[0]:
            raise ValueError(f"the net must return one prediction for each image, shape ({task[0].shape[0]}, …), got "
                             f"{tuple(y.shape)}")
        return plain(y)


def _laid_out(array: Array) -> Array:
    """Return a view of a parameter's array, or a C-ordered copy of a convolution kernel from another library."""
    if of(array).name == "numpy" and array.ndim == 4 and not array.flags.c_contiguous:
        return array.copy(order="C")
    return array[...]
