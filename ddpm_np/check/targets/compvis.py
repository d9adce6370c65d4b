"""CompVis's latent-diffusion, Stability AI's stablediffusion and their copies as a target: ``compvis:PATH``.

The code is `DDPM` in ldm/models/diffusion/ddpm.py, for ε or v, the sampler `DDIMSampler` in ddim.py and the functions
of ldm/modules/diffusionmodules/util.py. A `DDPM` is made without its net, its constructor being about training; its
tables come from its own `register_schedule`. Their t = 0 is the paper's t = 1, and tables are float32.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from types import SimpleNamespace
from typing import Any, ClassVar
from unittest.mock import patch

import numpy as np

from ddpm_np.check.target import Model
from ddpm_np.check.targets.checkouts import load
from ddpm_np.check.targets.finding import file_in
from ddpm_np.check.targets.noise import asking, images, net
from ddpm_np.check.targets.peers import imported, tensor

PLACE = "ldm/models/diffusion/ddpm.py"
SCHEDULES = {"linear": "sqrt_linear", "cosine": "cosine"}  # their "linear" is linear in √β


class LatentDiffusion:
    """The adapter for one schedule.

    Parameters
    ----------
    betas : float64 array of shape (T,)
        β₁..β_T.
    module : module
        Their ldm.models.diffusion.ddpm.
    """

    conventions: ClassVar[dict[str, Any]] = {
        "index_base": 0, "precision": "float32", "first_variance": "posterior", "embedding": "cos_sin_half"}

    def __init__(self, betas: np.ndarray, module: Any):
        self._module, self.T = module, len(betas)
        if self.T < 2:
            raise NotImplementedError("register_schedule reads the weight of a second step")
        self._betas = betas
        self._util = SimpleNamespace(**module.make_beta_schedule.__globals__)
        self._ddim = module.DDIMSampler.make_schedule.__globals__
        self.diffusion = cache(self._made)  # for each variance and output

    def _made(self, variance: str = "small", output: str = "eps") -> Any:
        """Return a `DDPM`: σ_t² is β̃_t for `v_posterior` 0 and β_t for 1."""
        if output == "v" and not hasattr(self._module.DDPM, "get_v"):
            raise NotImplementedError("this version has no v")
        diffusion = self._module.DDPM.__new__(self._module.DDPM)
        imported("torch", "PyTorch").nn.Module.__init__(diffusion)
        diffusion.__dict__.update(parameterization=output, v_posterior=float(variance == "large"), loss_type="l2",
                                  l_simple_weight=1.0, original_elbo_weight=0.0, log_every_t=self.T)
        diffusion.model = net()
        diffusion.register_schedule(given_betas=self._betas)
        return diffusion

    def _asked(self, model: Model, shape: tuple[int, ...], variance: str = "small") -> Any:
        diffusion = self.diffusion(variance)
        diffusion.model.answer = asking(model, shape)
        return diffusion

    def alpha_bar(self) -> np.ndarray:
        return np.concatenate(([1.0], self.diffusion().alphas_cumprod.numpy()))

    def q_sample(self, x_0: np.ndarray, t: np.ndarray, noise: np.ndarray) -> np.ndarray:
        return self.diffusion().q_sample(tensor(x_0), tensor(t), tensor(noise)).numpy()

    def q_posterior(self, x_0: np.ndarray, x_t: np.ndarray, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        mean, variance, _ = self.diffusion().q_posterior(tensor(x_0), tensor(x_t), tensor(t))
        return mean.numpy(), variance.expand_as(mean).numpy()

    def posterior_log_variance_clipped(self, t: np.ndarray) -> np.ndarray:
        return self.diffusion().posterior_log_variance_clipped[tensor(t)].numpy()

    def predict_x0(self, x_t: np.ndarray, t: np.ndarray, eps: np.ndarray) -> np.ndarray:
        return self.diffusion().predict_start_from_noise(tensor(x_t), tensor(t), tensor(eps)).numpy()

    def mean_from_eps(self, x_t: np.ndarray, t: np.ndarray, eps: np.ndarray) -> np.ndarray:
        return self._asked(lambda x, steps: eps, x_t.shape).p_mean_variance(tensor(x_t), tensor(t), False)[0].numpy()

    def velocity(self, x_0: np.ndarray, t: np.ndarray, noise: np.ndarray) -> np.ndarray:
        return self.diffusion("small", "v").get_v(tensor(x_0), tensor(noise), tensor(t)).numpy()

    def x0_from_velocity(self, x_t: np.ndarray, t: np.ndarray, v: np.ndarray) -> np.ndarray:
        return self.diffusion("small", "v").predict_start_from_z_and_v(tensor(x_t), tensor(t), tensor(v)).numpy()

    def eps_from_velocity(self, x_t: np.ndarray, t: np.ndarray, v: np.ndarray) -> np.ndarray:
        return self.diffusion("small", "v").predict_eps_from_z_and_v(tensor(x_t), tensor(t), tensor(v)).numpy()

    def p_mean_variance(self, model: Model, x_t: np.ndarray, t: np.ndarray, variance: str = "small",
                        clip: bool = False) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the mean; the variance that the noise of a step has; and x̂₀ as it goes into their posterior."""
        diffusion, estimates = self._asked(model, x_t.shape, variance), []

        def posterior(x_start: Any, x_t: Any, t: Any) -> Any:
            estimates.append(x_start)
            return type(diffusion).q_posterior(diffusion, x_start, x_t, t)

        with patch.object(diffusion, "q_posterior", posterior):
            mean = diffusion.p_mean_variance(tensor(x_t), tensor(t), clip)[0].numpy()
        noisy = self.p_sample(model, x_t, t, 0 * x_t + 1, variance, clip)
        return mean, (noisy - mean) ** 2, estimates[0].numpy()

    def p_sample(self, model: Model, x_t: np.ndarray, t: np.ndarray, noise: np.ndarray, variance: str = "small",
                 clip: bool = False) -> np.ndarray:
        with patch.object(self._module, "noise_like", lambda *shape: tensor(noise)):
            return self._asked(model, x_t.shape, variance).p_sample(tensor(x_t), tensor(t), clip_denoised=clip).numpy()

    def sample(self, model: Model, x_T: np.ndarray, noises: np.ndarray, variance: str = "small",
               clip: bool = False) -> np.ndarray:
        """Sample by their loop, which starts with `torch.randn`."""
        diffusion, left = self._asked(model, x_T.shape, variance), [tensor(z) for z in noises[1:]]
        diffusion.clip_denoised = clip
        with (patch.object(self._module, "noise_like", lambda *shape: left.pop()),
              patch.object(self._module, "tqdm", lambda steps, **shown: steps),
              patch.object(imported("torch", "PyTorch"), "randn", lambda *shape, **options: tensor(x_T))):
            return diffusion.p_sample_loop(x_T.shape).numpy()

    def eq12_weight(self, t: np.ndarray, variance: str = "small") -> np.ndarray:
        """Return the weight of L_t; at t = 1 theirs is that of t = 2, as the bound there is another."""
        return self.diffusion(variance).lvlb_weights[tensor(t)].numpy()

    def simple_loss(self, model: Model, x_0: np.ndarray, t: np.ndarray, noise: np.ndarray) -> np.ndarray:
        """Return the loss of each image by itself, since theirs is the mean over a batch."""
        losses = []
        for i in range(len(x_0)):
            one = slice(i, i + 1)
            diffusion = self._asked(model, x_0[one].shape)
            losses.append(float(diffusion.p_losses(images(x_0[one]), tensor(t[one]), images(noise[one]))[0]))
        return np.array(losses)

    def draw_t(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """Draw the t of a training step, from PyTorch's global generator seeded from `rng`."""
        torch, drawn = imported("torch", "PyTorch"), []
        self.diffusion().__dict__["device"] = "cpu"
        with (torch.random.fork_rng(devices=[]),
              patch.object(self.diffusion(), "p_losses", lambda x, t, *rest: drawn.append(t))):
            torch.manual_seed(int(rng.integers(2**63)))
            self.diffusion()(torch.zeros(n, 1, 1, 1))
        return drawn[0].numpy()

    def timesteps(self, n: int) -> np.ndarray:
        return self._util.make_ddim_timesteps("uniform", n, self.T, verbose=False)[::-1].astype(np.int64)

    def ddim_step(self, model: Model, x_t: np.ndarray, t: np.ndarray, t_prev: np.ndarray, eta: float,
                  noise: np.ndarray) -> np.ndarray:
        """Step with their sampler set to a chain in which t_prev comes before t; to the data: a chain of t alone."""
        eps, result = model(x_t, t), np.empty_like(x_t)
        for i in range(len(t)):
            one = slice(i, i + 1)
            chain = [int(s) for s in (t_prev[i], t[i]) if s >= 0]
            sampler, z = self._sampler(chain, eta, images(eps[one])), images(noise[one])
            with patch.dict(self._ddim, noise_like=lambda *shape, z=z: z):
                found = sampler.p_sample_ddim(images(x_t[one]), None, tensor(t[one]), index=len(chain) - 1)[0]
            result[one] = found.numpy().reshape(x_t[one].shape)
        return result

    def _sampler(self, chain: list[int], eta: float, eps: Any) -> Any:
        """Return their sampler with the tables of a chain."""
        tables = {
            name: table for name, table in self.diffusion().named_buffers() if "alphas" in name or name == "betas"
        }
        model = SimpleNamespace(num_timesteps=self.T, device="cpu", parameterization="eps",
                                apply_model=lambda *args: eps, **tables)
        sampler = self._module.DDIMSampler(model)
        sampler.register_buffer = partial(setattr, sampler)  # theirs moves tables to a GPU
        with patch.dict(self._ddim, make_ddim_timesteps=lambda **options: np.array(chain)):
            sampler.make_schedule(len(chain), ddim_eta=eta, verbose=False)
        return sampler

    def schedule(self, name: str, T: int) -> np.ndarray:
        if name not in SCHEDULES:
            raise NotImplementedError(name)
        return np.asarray(self._util.make_beta_schedule(SCHEDULES[name], T))

    def time_embedding(self, t: np.ndarray, dim: int) -> np.ndarray:
        return self._util.timestep_embedding(tensor(t), dim).numpy()


def targets(where: str) -> dict[str, Callable[[np.ndarray], Any]]:
    """Return the factories for a checkout.

    Parameters
    ----------
    where : str
        Path of the checkout, or of its ddpm.py.

    Returns
    -------
    dict
        The factory by name.
    """
    torch = imported("torch", "PyTorch")
    file = file_in(where, PLACE)
    folder = file.parents[3]
    module = load(file, "ldm_ddpm", folder, given={"pytorch_lightning": {"LightningModule": torch.nn.Module}},
                  replaced=("ldm.models.autoencoder", "ldm.modules.ema", "ldm.modules.attention"))
    return {"DDPM": partial(LatentDiffusion, module=module)}
