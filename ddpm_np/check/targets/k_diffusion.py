"""k-diffusion as a target: ``k-diffusion:PATH``.

Its coordinate is σ: x̂ = x/√ᾱ has the data's scale and noise of standard deviation σ = √((1 − ᾱ)/ᾱ). So ᾱ = 1/(1 + σ²)
and x = x̂/√(1 + σ²), by which the adapter converts; all else is the library's: `DiscreteEpsDDPMDenoiser` and
`VDenoiser` in external.py, the steps of sampling.py. Its Euler step is DDIM's with η = 0, its ancestral step DDIM's
with any η. Steps between two noise levels have no integer t, so timesteps are not asked. Tables are as precise as those
handed over.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, partial
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np

from ddpm_np.check.target import Model
from ddpm_np.check.targets.checkouts import package
from ddpm_np.check.targets.finding import file_in
from ddpm_np.check.targets.noise import asking, images, net
from ddpm_np.check.targets.peers import by_step, tensor


class Denoisers:
    """The adapter for one schedule.

    Parameters
    ----------
    betas : float64 array of shape (T,)
        β₁..β_T.
    modules : SimpleNamespace
        Their modules external and sampling.
    """

    conventions: ClassVar[dict[str, Any]] = {"index_base": 0, "first_variance": "posterior"}

    def __init__(self, betas: np.ndarray, modules: SimpleNamespace):
        self._external, self._sampling = modules.external, modules.sampling
        self.net, self.T = net(), len(betas)
        self.denoiser = self._external.DiscreteEpsDDPMDenoiser(self.net, tensor(np.cumprod(1 - betas)), quantize=True)
        self.sigmas = self.denoiser.get_sigmas().numpy()[::-1].copy()  # (T + 1,) from the data's 0

    @cached_property
    def by_velocity(self) -> Any:
        """The denoiser of a net that predicts v."""
        return self._external.VDenoiser(self.net)

    def _sigma(self, t: np.ndarray) -> Any:
        return tensor(self.sigmas[t + 1])

    def _scaled(self, x: np.ndarray, t: np.ndarray) -> Any:
        """Convert x_t to x̂."""
        return tensor(x * np.sqrt(1 + self.sigmas[t + 1] ** 2).reshape(-1, *(1,) * (x.ndim - 1)))

    def _unscaled(self, x: Any, t: np.ndarray) -> np.ndarray:
        """Convert x̂ to x_t; the t of the data is −1."""
        return x.numpy() / np.sqrt(1 + self.sigmas[t + 1] ** 2).reshape(-1, *(1,) * (x.ndim - 1))

    def alpha_bar(self) -> np.ndarray:
        return 1 / (1 + self.sigmas**2)

    def q_sample(self, x_0: np.ndarray, t: np.ndarray, noise: np.ndarray) -> np.ndarray:
        """Return what the net gets in the loss, which is x_t."""
        asked: list[Any] = []

        def answer(x: Any, steps: Any) -> Any:
            asked.append(x)
            return x

        self.net.answer = answer
        self.denoiser.loss(images(x_0), images(noise), self._sigma(t))
        return asked[0].numpy().reshape(x_0.shape)

    def predict_x0(self, x_t: np.ndarray, t: np.ndarray, eps: np.ndarray) -> np.ndarray:
        self.net.answer = lambda x, steps: tensor(eps)
        return self.denoiser(self._scaled(x_t, t), self._sigma(t)).numpy()

    def predict_eps(self, x_t: np.ndarray, t: np.ndarray, x_0: np.ndarray) -> np.ndarray:
        """Return the direction of their probability-flow equation, dx̂/dσ = ε."""
        return self._sampling.to_d(self._scaled(x_t, t), self._sigma(t), tensor(x_0)).numpy()

    def velocity(self, x_0: np.ndarray, t: np.ndarray, noise: np.ndarray) -> np.ndarray:
        """Return the target v of a loss that is (output − v)², from an output of 0 and one of 1, element by element."""
        x, z = (tensor(a.reshape(-1, 1)) for a in (x_0, noise))
        sigma = self._sigma(np.repeat(t, x_0[0].size))
        losses = []
        for output in (0, 1):
            self.net.answer = lambda x, steps, output=output: 0 * x + output
            losses.append(self.by_velocity.loss(x, z, sigma).numpy())
        return ((1 + losses[0] - losses[1]) / 2).reshape(x_0.shape)

    def x0_from_velocity(self, x_t: np.ndarray, t: np.ndarray, v: np.ndarray) -> np.ndarray:
        self.net.answer = lambda x, steps: tensor(v)
        return self.by_velocity(self._scaled(x_t, t), self._sigma(t)).numpy()

    def eps_from_velocity(self, x_t: np.ndarray, t: np.ndarray, v: np.ndarray) -> np.ndarray:
        return self.predict_eps(x_t, t, self.x0_from_velocity(x_t, t, v))

    def simple_loss(self, model: Model, x_0: np.ndarray, t: np.ndarray, noise: np.ndarray) -> np.ndarray:
        self.net.answer = asking(model, x_0.shape)
        return self.denoiser.loss(images(x_0), images(noise), self._sigma(t)).numpy()

    def ddim_step(self, model: Model, x_t: np.ndarray, t: np.ndarray, t_prev: np.ndarray, eta: float,
                  noise: np.ndarray) -> np.ndarray:
        """Step by `sample_euler`, or for η > 0 by `sample_euler_ancestral`, over the two noise levels."""
        eps, result = model(x_t, t), np.empty_like(x_t)
        for pair, here in by_step(t * (self.T + 1) + t_prev + 1):
            step, before = divmod(pair, self.T + 1)
            levels = tensor(self.sigmas[[step + 1, before]])
            self.net.answer = lambda x, steps, e=eps[here]: tensor(e)
            x, z = self._scaled(x_t[here], t[here]), tensor(noise[here])
            if eta:
                x = self._sampling.sample_euler_ancestral(self.denoiser, x, levels, eta=eta, disable=True,
                                                          noise_sampler=lambda *between, z=z: z)
            else:
                x = self._sampling.sample_euler(self.denoiser, x, levels, disable=True)
            result[here] = self._unscaled(x, t_prev[here])
        return result

    def p_sample(self, model: Model, x_t: np.ndarray, t: np.ndarray, noise: np.ndarray, variance: str = "small",
                 clip: bool = False) -> np.ndarray:
        if variance != "small" or clip:
            raise NotImplementedError("an ancestral step has β̃_t, and x̂₀ is not clipped")
        return self.ddim_step(model, x_t, t, t - 1, 1.0, noise)

    def mean_from_eps(self, x_t: np.ndarray, t: np.ndarray, eps: np.ndarray) -> np.ndarray:
        return self.p_sample(lambda x, steps: eps, x_t, t, 0 * x_t)

    def p_mean_variance(self, model: Model, x_t: np.ndarray, t: np.ndarray, variance: str = "small",
                        clip: bool = False) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        mean = self.p_sample(model, x_t, t, 0 * x_t, variance, clip)
        noisy = self.p_sample(model, x_t, t, 0 * x_t + 1, variance, clip)
        return mean, (noisy - mean) ** 2, self.predict_x0(x_t, t, model(x_t, t))

    def sample(self, model: Model, x_T: np.ndarray, noises: np.ndarray, variance: str = "small",
               clip: bool = False) -> np.ndarray:
        """Sample over all their noise levels, from √ᾱ_T⁻¹ x_T."""
        if variance != "small" or clip:
            raise NotImplementedError("an ancestral step has β̃_t, and x̂₀ is not clipped")
        self.net.answer = asking(model, x_T.shape)
        left = [tensor(z) for z in noises[1:]]
        start = self._scaled(x_T, np.full(len(x_T), self.T - 1))
        return self._sampling.sample_euler_ancestral(self.denoiser, start, self.denoiser.get_sigmas(), disable=True,
                                                     noise_sampler=lambda *between: left.pop()).numpy()


def targets(where: str) -> dict[str, Callable[[np.ndarray], Any]]:
    """Return the factories for a checkout.

    Parameters
    ----------
    where : str
        Path of the checkout, or of its external.py.

    Returns
    -------
    dict
        The factory by name.
    """
    folder = file_in(where, "k_diffusion/external.py").parent
    sampling, external = package(folder, "k_diffusion", ("sampling", "external"))
    return {"denoisers": partial(Denoisers, modules=SimpleNamespace(sampling=sampling, external=external))}
