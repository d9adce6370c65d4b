"""The paper's own code, hojonathanho/diffusion, as a target: ``authors:PATH``.

The code is `GaussianDiffusion2` in diffusion_tf/diffusion_utils_2.py, with utils.py and nn.py. It is written for
TensorFlow 1, of whose functions NumPy does the work here (`tensorflow_as_numpy`), in float64. Images are (N, H, W, C),
and their t = 0 is the paper's t = 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache, partial
from types import SimpleNamespace
from typing import Any, ClassVar
from unittest.mock import patch

import numpy as np

from ddpm_np.check.target import Model
from ddpm_np.check.targets.checkouts import package
from ddpm_np.check.targets.finding import file_in
from ddpm_np.check.targets.tensorflow_as_numpy import Tensor, tensor, tensorflow


def images(array: np.ndarray) -> Tensor:
    """Convert an array (N, …) to a tensor (N, H, 1, 1)."""
    return tensor(array.reshape(len(array), -1, 1, 1))


def asking(model: Model, shape: tuple[int, ...]) -> Callable[[Tensor, Tensor], Tensor]:
    """Wrap a checker's model for tensors (N, H, 1, 1)."""
    return lambda x, t: images(model(np.asarray(x).reshape(shape), np.asarray(t)))


def handed_over(*arrays: np.ndarray) -> Callable[..., Tensor]:
    """Return a function that draws these arrays in turn."""
    left = iter(arrays)
    return lambda shape, dtype=None: images(next(left))


class Authors:
    """The adapter for one schedule.

    Parameters
    ----------
    betas : float64 array of shape (T,)
        β₁..β_T.
    modules : SimpleNamespace
        Their modules diffusion_utils_2, utils and nn.
    """

    conventions: ClassVar[dict[str, Any]] = {"index_base": 0}

    def __init__(self, betas: np.ndarray, modules: SimpleNamespace):
        self._betas, self._modules, self.T = betas, modules, len(betas)
        if self.T < 2:
            raise NotImplementedError("their tables begin with the variance of a second step")
        self.diffusion = cache(self._diffusion)  # for each variance

    def _diffusion(self, variance: str = "small") -> Any:
        return self._modules.diffusion_utils_2.GaussianDiffusion2(
            betas=self._betas, model_mean_type="eps", model_var_type=f"fixed{variance}", loss_type="mse")

    def alpha_bar(self) -> np.ndarray:
        return np.concatenate(([1.0], self.diffusion().alphas_cumprod))

    def q_sample(self, x_0: np.ndarray, t: np.ndarray, noise: np.ndarray) -> np.ndarray:
        return np.asarray(self.diffusion().q_sample(tensor(x_0), tensor(t), tensor(noise)))

    def q_posterior(self, x_0: np.ndarray, x_t: np.ndarray, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        mean, variance, _ = self.diffusion().q_posterior_mean_variance(tensor(x_0), tensor(x_t), tensor(t))
        return np.asarray(mean), np.broadcast_to(np.asarray(variance), x_t.shape).copy()

    def posterior_log_variance_clipped(self, t: np.ndarray) -> np.ndarray:
        return self.diffusion().posterior_log_variance_clipped[t]

    def predict_x0(self, x_t: np.ndarray, t: np.ndarray, eps: np.ndarray) -> np.ndarray:
        return np.asarray(self.diffusion()._predict_xstart_from_eps(tensor(x_t), tensor(t), tensor(eps)))

    def mean_from_eps(self, x_t: np.ndarray, t: np.ndarray, eps: np.ndarray) -> np.ndarray:
        return self.p_mean_variance(lambda x, steps: eps, x_t, t)[0]

    def p_mean_variance(self, model: Model, x_t: np.ndarray, t: np.ndarray, variance: str = "small",
                        clip: bool = False) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return mean, variance and x̂₀; the variance is that of their log-variance, which their step uses."""
        mean, _, log_variance, x0 = self.diffusion(variance).p_mean_variance(
            asking(model, x_t.shape), x=images(x_t), t=tensor(t), clip_denoised=clip, return_pred_xstart=True)
        mean, sigma2, x0 = (np.asarray(a).reshape(x_t.shape) for a in (mean, np.exp(log_variance), x0))
        return mean, sigma2, x0

    def p_sample(self, model: Model, x_t: np.ndarray, t: np.ndarray, noise: np.ndarray, variance: str = "small",
                 clip: bool = False) -> np.ndarray:
        found = self.diffusion(variance).p_sample(
            asking(model, x_t.shape), x=images(x_t), t=tensor(t), noise_fn=handed_over(noise), clip_denoised=clip,
            return_pred_xstart=False)
        return np.asarray(found).reshape(x_t.shape)

    def sample(self, model: Model, x_T: np.ndarray, noises: np.ndarray, variance: str = "small",
               clip: bool = False) -> np.ndarray:
        if not clip:
            raise NotImplementedError("their loop clips x̂₀")
        found = self.diffusion(variance).p_sample_loop(
            asking(model, x_T.shape), shape=images(x_T).shape, noise_fn=handed_over(x_T, *noises[:0:-1]))
        return np.asarray(found).reshape(x_T.shape)

    def vlb_term(self, model: Model, x_0: np.ndarray, x_t: np.ndarray, t: np.ndarray,
                 variance: str = "small") -> np.ndarray:
        return np.asarray(self.diffusion(variance)._vb_terms_bpd(
            asking(model, x_t.shape), images(x_0), images(x_t), tensor(t), clip_denoised=False,
            return_pred_xstart=False))

    def vlb(self, model: Model, x_0: np.ndarray, noises: np.ndarray, variance: str = "small") -> np.ndarray:
        diffusion = self.diffusion(variance)
        with patch.object(self._modules.diffusion_utils_2.tf, "random_normal", handed_over(*noises[:0:-1])):
            return np.asarray(diffusion.calc_bpd_loop(asking(model, x_0.shape), images(x_0), clip_denoised=False)[0])

    def prior_kl(self, x_0: np.ndarray) -> np.ndarray:
        return np.asarray(self.diffusion()._prior_bpd(images(x_0)))

    def simple_loss(self, model: Model, x_0: np.ndarray, t: np.ndarray, noise: np.ndarray) -> np.ndarray:
        return np.asarray(self.diffusion().training_losses(asking(model, x_0.shape), images(x_0), tensor(t),
                                                           images(noise)))

    def kl(self, mean1: np.ndarray, logvar1: np.ndarray, mean2: np.ndarray, logvar2: np.ndarray) -> np.ndarray:
        return np.asarray(self._modules.diffusion_utils_2.normal_kl(*map(tensor, (mean1, logvar1, mean2, logvar2))))

    def decoder_log_likelihood(self, x_0: np.ndarray, mean: np.ndarray, log_scale: np.ndarray) -> np.ndarray:
        return np.asarray(self._modules.utils.discretized_gaussian_log_likelihood(
            tensor(x_0), means=tensor(mean), log_scales=tensor(log_scale)))

    def time_embedding(self, t: np.ndarray, dim: int) -> np.ndarray:
        return np.asarray(self._modules.nn.get_timestep_embedding(tensor(t), dim))

    def schedule(self, name: str, T: int) -> np.ndarray:
        if name != "linear":
            raise NotImplementedError(name)
        return self._modules.diffusion_utils_2.get_beta_schedule(
            "linear", beta_start=1e-4, beta_end=0.02, num_diffusion_timesteps=T)


def targets(where: str) -> dict[str, Callable[[np.ndarray], Any]]:
    """Return the factories for a checkout.

    Parameters
    ----------
    where : str
        Path of the checkout, or of its diffusion_utils_2.py.

    Returns
    -------
    dict
        The factory by name.
    """
    names: Iterable[str] = ("diffusion_utils_2", "utils", "nn")
    folder = file_in(where, "diffusion_tf/diffusion_utils_2.py").parent
    found = package(folder, "diffusion_tf", names, given={"tensorflow.compat.v1": tensorflow()},
                    replaced=("tensorflow", "tensorflow.compat", "tensorflow.compat.v1"))
    return {"GaussianDiffusion2": partial(Authors, modules=SimpleNamespace(**dict(zip(names, found, strict=True))))}
