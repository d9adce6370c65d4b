"""EDM, by Karras et al., as a target: ``edm:PATH``.

Its coordinate is σ: x̂ = x/√ᾱ has the data's scale and noise of standard deviation σ = √((1 − ᾱ)/ᾱ). So ᾱ = 1/(1 + σ²)
and x = x̂/√(1 + σ²), by which the adapter converts. Their code has no table of ᾱ for given β; what can be asked are the
losses and the preconditioners, by which a net for ε or v becomes a denoiser, and the Euler step of their sampler, which
is DDIM's. Preconditioners compute in float32.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any, ClassVar
from unittest.mock import patch

import numpy as np

from ddpm_np.check.target import Model
from ddpm_np.check.targets.checkouts import load
from ddpm_np.check.targets.finding import file_in
from ddpm_np.check.targets.noise import asking, drawing, images, net
from ddpm_np.check.targets.peers import tensor


class Preconditioned:
    """The adapter for one schedule.

    Parameters
    ----------
    betas : float64 array of shape (T,)
        β₁..β_T.
    modules : SimpleNamespace
        Their modules networks, loss and generate.
    """

    conventions: ClassVar[dict[str, Any]] = {"index_base": 0, "precision": "float32"}

    def __init__(self, betas: np.ndarray, modules: SimpleNamespace):
        self._modules, self.net = modules, net()
        alpha_bar = np.exp(np.cumsum(np.log1p(-betas)))
        self.sigmas = np.concatenate(([0.0], np.sqrt((1 - alpha_bar) / alpha_bar)))

    def _column(self, t: np.ndarray) -> Any:
        return tensor(self.sigmas[t + 1]).reshape(-1, 1, 1, 1)

    def _denoised(self, kind: str, x_t: np.ndarray, t: np.ndarray, output: np.ndarray, **options: Any) -> np.ndarray:
        """Return the denoiser's x̂₀ for a net with this output."""
        self.net.answer = lambda x, noise: images(output).float()
        with patch.dict(vars(self._modules.networks), Net=lambda **shape: self.net):
            precond = getattr(self._modules.networks, kind)(1, 1, model_type="Net", **options)
        sigma = self._column(t)
        return precond(images(x_t) * (1 + sigma**2).sqrt(), sigma).numpy().reshape(x_t.shape)

    def q_sample(self, x_0: np.ndarray, t: np.ndarray, noise: np.ndarray) -> np.ndarray:
        """Return what the denoiser gets in `EDMLoss`, with the draws of ln σ and of the noise handed over."""
        loss, sigma, asked = self._modules.loss.EDMLoss(), self._column(t), []

        def denoiser(x: Any, sigma: Any, *rest: Any, **more: Any) -> Any:
            asked.append(x)
            return x

        with drawing((sigma.log() - loss.P_mean) / loss.P_std, images(noise)):
            loss(denoiser, images(x_0))
        return (asked[0] / (1 + sigma**2).sqrt()).numpy().reshape(x_0.shape)

    def predict_x0(self, x_t: np.ndarray, t: np.ndarray, eps: np.ndarray) -> np.ndarray:
        """Return x̂₀ of `VPPrecond`, whose net predicts ε."""
        return self._denoised("VPPrecond", x_t, t, eps)

    def x0_from_velocity(self, x_t: np.ndarray, t: np.ndarray, v: np.ndarray) -> np.ndarray:
        """Return x̂₀ of `EDMPrecond` for data of variance 1, whose net predicts −v."""
        return self._denoised("EDMPrecond", x_t, t, -v, sigma_data=1.0)

    def simple_loss(self, model: Model, x_0: np.ndarray, t: np.ndarray, noise: np.ndarray) -> np.ndarray:
        """Return `VPLoss`, whose weight 1/σ² makes the error of x̂₀ that of ε."""
        loss, sigma, ask = self._modules.loss.VPLoss(), self._column(t), asking(model, x_0.shape)
        with drawing(images(noise)), patch.object(loss, "sigma", lambda u: sigma):
            scale = (1 + sigma**2).sqrt()
            found = loss(lambda x, s, *rest, **more: x - s * ask(x / scale, tensor(t)), images(x_0), None)
        return found.reshape(len(x_0), -1).mean(1).numpy()

    def ddim_step(self, model: Model, x_t: np.ndarray, t: np.ndarray, t_prev: np.ndarray, eta: float,
                  noise: np.ndarray) -> np.ndarray:
        """Step with the Euler solver of their `ablation_sampler`, in σ.

        The sampler goes from the greatest noise level to the least and to 0. Between two levels, x̂ at the lower one is
        what the denoiser gets there. To the data, a first step at which the denoiser leaves x̂ as it is comes before.
        """
        if eta:
            raise NotImplementedError("their noise is added before a step, not after it")
        eps, result = model(x_t, t), np.empty_like(x_t)
        for i in range(len(t)):
            one, (sigma, before) = slice(i, i + 1), self.sigmas[[t[i] + 1, t_prev[i] + 1]]
            x = images(x_t[one]) * np.sqrt(1 + sigma**2)
            found = self._euler(x, sigma, before, images(eps[one]))
            result[one] = found.numpy().reshape(x_t[one].shape) / np.sqrt(1 + before**2)
        return result

    def _euler(self, x: Any, sigma: float, before: float, eps: Any) -> Any:
        asked: list[Any] = []

        def denoiser(x: Any, level: Any, *rest: Any) -> Any:
            asked.append(x)
            return x - level * eps if np.isclose(float(level), sigma, rtol=1e-9) else x

        denoiser.sigma_min, denoiser.sigma_max = 0.0, np.inf  # type: ignore[attr-defined]
        denoiser.round_sigma = lambda sigmas: sigmas  # type: ignore[attr-defined]
        top, low = (sigma, before) if before else (2 * sigma, sigma)
        end = self._modules.generate.ablation_sampler(denoiser, x / top, num_steps=2, sigma_min=low, sigma_max=top,
                                                      solver="euler", discretization="edm")
        return asked[1] if before else end

    def schedule(self, name: str, T: int) -> np.ndarray:
        """Return β of the noise levels of `iDDPMPrecond`."""
        if name != "cosine":
            raise NotImplementedError(name)
        with patch.dict(vars(self._modules.networks), Net=lambda **shape: self.net):
            levels = self._modules.networks.iDDPMPrecond(1, 1, M=T, model_type="Net").u.double().numpy()[::-1]
        return 1 - (1 + levels[:-1] ** 2) / (1 + levels[1:] ** 2)


def targets(where: str) -> dict[str, Callable[[np.ndarray], Any]]:
    """Return the factories for a checkout.

    Parameters
    ----------
    where : str
        Path of the checkout, or of its generate.py.

    Returns
    -------
    dict
        The factory by name.
    """
    folder = file_in(where, "generate.py").parent
    found = SimpleNamespace(**{file.rpartition("/")[2]: load(
        folder / f"{file}.py", f"edm_{file[-4:]}", folder, replaced=("torch_utils.persistence",))
        for file in ("training/networks", "training/loss", "generate")})
    return {"preconditioners": partial(Preconditioned, modules=found)}
