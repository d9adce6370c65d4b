"""What the adapters of single repositories have in common.

An adapter is a function of a checkout's folder that returns a factory, betas -> an object with methods of the checker's
protocol. It offers a method only where the repository's own code computes the result: the adapter converts arrays and
hands over the schedule and the noise, and has no formula of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar
from unittest.mock import patch

import numpy as np

from ddpm_np.check.target import Model
from ddpm_np.check.targets.noise import drawing, images, net
from ddpm_np.check.targets.peers import imported, tensor

torch = imported("torch", "PyTorch")


class Peer:
    """The common part of the adapters, for one schedule: t = 0 is the paper's t = 1, tables are float32."""

    conventions: ClassVar[dict[str, Any]] = {
        "index_base": 0, "precision": "float32", "first_variance": "posterior"}
    variance = "small"  # the variance of its steps
    clips: ClassVar[tuple[bool, ...]] = (False,)  # what `clip` can be

    def __init__(self, betas: np.ndarray):
        self.betas, self.T, self.net = betas, len(betas), net()
        self.made()

    def made(self) -> None:
        """Make the repository's object for `betas`."""
        raise NotImplementedError

    def linspace(self) -> Any:
        """Return a context in which `torch.linspace` gives this schedule: theirs are linear."""
        return patch.object(torch, "linspace", lambda *args, **options: tensor(self.betas))

    def supports(self, variance: str, clip: bool) -> None:
        """Raise NotImplementedError for an option that the repository does not have."""
        if variance != self.variance or clip not in self.clips:
            clips = " and x̂₀ clipped" if self.clips == (True,) else "" if True in self.clips else " and x̂₀ not clipped"
            raise NotImplementedError(f"its steps have the {self.variance} variance{clips}")


class Steps(Peer):
    """Adapters of code with a reverse step: `step` returns x_{t−1} from ε, and perhaps x̂₀."""

    def step(self, eps: np.ndarray, t: np.ndarray, x: np.ndarray, z: np.ndarray, variance: str,
             clip: bool) -> np.ndarray:
        """Return x_{t−1} for the output ε and the noise z."""
        raise NotImplementedError

    def mean_from_eps(self, x_t: np.ndarray, t: np.ndarray, eps: np.ndarray) -> np.ndarray:
        if False not in self.clips:
            raise NotImplementedError("x̂₀ is always clipped")
        return self.step(eps, t, x_t, 0 * x_t, self.variance, False)

    def p_sample(self, model: Model, x_t: np.ndarray, t: np.ndarray, noise: np.ndarray, variance: str = "small",
                 clip: bool = False) -> np.ndarray:
        self.supports(variance, clip)
        return self.step(model(x_t, t), t, x_t, noise, variance, clip)


def estimated(peer: Any, model: Model, x_t: np.ndarray, t: np.ndarray, variance: str, clip: bool,
              estimate: Callable[[np.ndarray], np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return mean and variance of a step, read off its results for noise 0 and 1, and an x̂₀ of the repository's own."""
    eps = model(x_t, t)
    mean = peer.step(eps, t, x_t, 0 * x_t, variance, clip)
    return mean, (peer.step(eps, t, x_t, 0 * x_t + 1, variance, clip) - mean) ** 2, estimate(eps)


def each(function: Callable[..., Any], t: np.ndarray, *arrays: np.ndarray) -> np.ndarray:
    """Call a function that has one t for a batch for each image by itself: (t, tensors (1, C, 1, 1)) -> a tensor."""
    results = []
    for i, step in enumerate(t.tolist()):
        found = function(step, *(images(a[i : i + 1]) for a in arrays))
        results.append(found.detach().numpy().reshape(arrays[0][i].shape))
    return np.array(results)


def chain(noises: np.ndarray, *first: np.ndarray) -> Any:
    """Return a context in which PyTorch draws `first` and then z_T, z_{T−1}, …, as images."""
    return drawing(*map(images, (*first, *noises[:0:-1])))


def seeded(rng: np.random.Generator, train: Callable[[], Any]) -> None:
    """Call a training step with PyTorch's global generator seeded from `rng`."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(rng.integers(2**63)))
        train()


def steps_of(t: np.ndarray) -> Any:
    """Return a context in which `torch.randint` draws these t."""
    return patch.object(torch, "randint", lambda *args, **options: tensor(t))


def keeping(kept: list[Any], index: int) -> Callable[..., Any]:
    """Return an answer of a net that keeps an argument of each call, and is its x."""
    return lambda *args: (kept.append(args[index]), args[0])[1]


def fitting(loss: Callable[[Any, Any, Any], Any], x_0: np.ndarray, t: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Return a loss that is a mean over a batch for each image by itself."""
    ones = [slice(i, i + 1) for i in range(len(t))]
    return np.array([float(loss(images(x_0[one]), tensor(t[one]), images(noise[one]))) for one in ones])
