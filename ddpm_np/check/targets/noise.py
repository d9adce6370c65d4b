"""Hand a checker's noise, net and seeds over to somebody's code for PyTorch, within one call of it."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from types import ModuleType
from typing import Any
from unittest.mock import patch

import numpy as np

from ddpm_np.check.targets.peers import imported, tensor


def _no_answer(x: Any, t: Any) -> Any:
    raise NotImplementedError("the net was asked before it had an answer")


def net() -> Any:
    """Return a module without weights whose output is what its attribute `answer` returns for (x, t).

    Returns
    -------
    torch.nn.Module
        The net.
    """
    torch = imported("torch", "PyTorch")

    class Net(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.answer: Callable[..., Any] = _no_answer

        def forward(self, x: Any, t: Any = None, *rest: Any, **options: Any) -> Any:
            return self.answer(x, t)

    return Net()


def asking(model: Callable[[np.ndarray, np.ndarray], np.ndarray], shape: tuple[int, ...]) -> Callable[..., Any]:
    """Wrap a checker's model for PyTorch: tensors of any layout in and out, one t for each image.

    Parameters
    ----------
    model : callable
        (x_t, t) -> ε, on arrays.
    shape : tuple of int
        Shape of x_t for the checker.

    Returns
    -------
    callable
        (x_t, t) -> ε, on tensors.
    """

    def ask(x: Any, t: Any, *rest: Any, **options: Any) -> Any:
        steps = np.broadcast_to(np.asarray(t.detach()).reshape(-1), shape[:1])
        return tensor(model(x.detach().double().numpy().reshape(shape), steps)).reshape(x.shape)

    return ask


def images(array: np.ndarray) -> Any:
    """Convert an array (N, …) to a tensor (N, C, 1, 1), which code for images takes."""
    return tensor(array.reshape(len(array), -1, 1, 1))


@contextmanager
def drawing(*noises: Any, modules: Iterable[ModuleType] = (), again: bool = True) -> Iterator[list[Any]]:
    """Hand out noises in place of PyTorch's ``randn_like`` and ``randn``, one a call; yield the list of those drawn.

    Parameters
    ----------
    *noises : tensor
        The noises, in the order in which they are drawn, each in the shape of the tensor that ``randn_like`` is given.
    modules : iterable of module
        Modules that may have imported these functions by name.
    again : bool
        Whether the last noise is drawn again by further calls; if not, they raise NotImplementedError.
    """
    torch: Any = imported("torch", "PyTorch")
    left, drawn = list(noises), []

    def draw(like: Any = None, *rest: Any, **options: Any) -> Any:
        if not left:
            raise NotImplementedError("it draws noise more than once a step")
        noise = left[0] if again and len(left) == 1 else left.pop(0)
        drawn.append(noise)
        return noise.reshape(like.shape).clone() if hasattr(like, "shape") else noise.clone()

    with ExitStack() as patches:
        for name in ("randn_like", "randn"):
            function = getattr(torch, name)
            for module in [torch, *modules]:
                if vars(module).get(name) is function:
                    patches.enter_context(patch.object(module, name, draw))
        yield drawn


def seeded(seed: int, function: Callable[[], Any]) -> Any:
    """Call a function with the global generators of torch and NumPy seeded, and put their states back.

    Parameters
    ----------
    seed : int
        The seed, below 2³².
    function : callable
        () -> the result.

    Returns
    -------
    object
        The result.
    """
    torch: Any = importlib.import_module("torch")
    state = np.random.get_state()  # noqa: NPY002 - theirs is the global generator
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            np.random.seed(seed)  # noqa: NPY002
            return function()
    finally:
        np.random.set_state(state)  # noqa: NPY002
