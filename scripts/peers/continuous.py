"""Adapters of a rewrite in NumPy, and of code in which t is a fraction of T."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar
from unittest.mock import patch

import numpy as np

from ddpm_np.check.targets.checkouts import load
from ddpm_np.check.targets.noise import asking, drawing, images
from ddpm_np.check.targets.peers import tensor
from peers.adapter import Peer, Steps, chain, each, fitting, keeping, seeded, steps_of, torch

Factory = Callable[[np.ndarray], Any]


def akirusprod(folder: Path) -> Factory:
    """AkiRusProd/numpy-diffusion: its net gets t/T, and a progress bar has the steps of a loop."""
    module = load(folder / "diffusion/diffusion.py", "akirusprod", folder, given={"cupy": {"asnumpy": np.asarray}},
                  replaced=("cupy",))
    schedules = load(folder / "diffusion/schedules.py", "akirusprod_schedules")

    def column(x: np.ndarray) -> np.ndarray:
        return x.reshape(len(x), -1, 1, 1)

    class Adapter(Peer):
        variance = "large"

        def made(self) -> None:
            self.diffusion = self.of(self.betas)

        def of(self, betas: np.ndarray) -> Any:
            """Return their object for a schedule."""
            with patch.object(module, "get_schedule", lambda *args: betas):
                return module.Diffusion(len(betas), 0, 0, None, None, SimpleNamespace())

        def alpha_bar(self) -> np.ndarray:
            return np.concatenate(([1.0], self.diffusion.alphas_cumprod))

        def trained(self, x: np.ndarray) -> list[Any]:
            """Return the arguments with which the net is called in a training step."""
            asked: list[Any] = []
            self.diffusion.model.forward = lambda *args, training: (asked.extend(args), args[0])[1]
            self.diffusion.forward(x)
            return asked

        def q_sample(self, x_0: np.ndarray, t: np.ndarray, noise: np.ndarray) -> np.ndarray:
            with (patch.object(np.random, "randint", lambda *args: t),
                  patch.object(np.random, "normal", lambda size: column(noise))):
                return self.trained(column(x_0))[0].reshape(x_0.shape)

        def draw_t(self, rng: np.random.Generator, n: int) -> np.ndarray:
            with patch.object(np.random, "randint", rng.integers):
                return np.rint(self.trained(np.zeros((n, 1, 1, 1)))[1] * self.T).astype(np.int64)

        def sample(self, model: Any, x_T: np.ndarray, noises: np.ndarray, variance: str = "small",
                   clip: bool = False) -> np.ndarray:
            self.supports(variance, clip)

            def ask(x: np.ndarray, t: np.ndarray, training: bool) -> np.ndarray:
                steps = np.full(len(x), round(float(t[0]) * self.T))
                return column(model(x.reshape(x_T.shape), steps))

            left = [column(z) for z in noises[1:]]
            self.diffusion.model.forward = ask
            with patch.object(np.random, "normal", lambda size: left.pop()), patch.object(
                    module, "tqdm", lambda steps, **shown: steps):
                return self.diffusion.ddpm_denoise_sample(x_t=column(x_T))[0].reshape(x_T.shape)

        def ddim_step(self, model: Any, x_t: np.ndarray, t: np.ndarray, t_prev: np.ndarray, eta: float,
                      noise: np.ndarray) -> np.ndarray:
            """Take the last step of a schedule of three whose ᾱ are 1, that of t_prev and that of t."""
            eps, result, bars = model(x_t, t), np.empty_like(x_t), self.alpha_bar()
            for i in range(len(t)):
                one, before, here = slice(i, i + 1), bars[t_prev[i] + 1], bars[t[i] + 1]
                with np.errstate(all="ignore"):
                    diffusion = self.of(np.array([0.0, 1 - before, 1 - here / before]))
                diffusion.model.forward = lambda *args, training, e=eps[one]: column(e)
                with patch.object(np.random, "normal", lambda size, z=noise[one]: column(z)), patch.object(
                        module, "tqdm", lambda steps, **shown: [2]):
                    found = diffusion.ddim_denoise_sample(x_t=column(x_t[one]), eta=eta)[0]
                result[one] = found.reshape(x_t[one].shape)
            return result

        def schedule(self, name: str, T: int) -> np.ndarray:
            if name not in ("linear", "cosine"):
                raise NotImplementedError(name)
            return schedules.get_schedule(name, 1e-4, 0.02, T)

    return Adapter


def score_sde(folder: Path) -> Factory:
    """yang-song/score_sde_pytorch: the VP process of DDPM, `continuous=False`, ancestral sampling."""
    replaced = ("models", "models.utils", "models.ema", "tensorflow", "tensorflow_gan", "tensorflow_hub")
    library = load(folder / "sde_lib.py", "sde_lib", folder)
    utils = load(
        folder / "models/utils.py", "score_sde_utils", folder, given={"sde_lib": vars(library)}, replaced=("sde_lib",)
    )
    given = {"sde_lib": vars(library), "models.utils": vars(utils), "models": {"utils": utils}}
    sampling, losses = (
        load(folder / f"{name}.py", f"score_sde_{name}", folder, given=given, replaced=(*replaced, "sde_lib"))
        for name in ("sampling", "losses")
    )

    class Adapter(Steps):
        variance = "large"

        def made(self) -> None:
            if self.T < 2:
                raise NotImplementedError("its t is a fraction of N − 1")
            with self.linspace():
                self.sde = library.VPSDE(N=self.T)
            self.net.eval()

        def alpha_bar(self) -> np.ndarray:
            return np.concatenate(([1.0], self.sde.alphas_cumprod.numpy()))

        def loss(self, x: Any, t: Any, z: Any) -> Any:
            """Return their loss with these draws."""
            function = losses.get_ddpm_loss_fn(self.sde, train=False, reduce_mean=True)
            with drawing(z), steps_of(t):
                return function(self.net, x)

        def q_sample(self, x_0: np.ndarray, t: np.ndarray, noise: np.ndarray) -> np.ndarray:
            asked: list[Any] = []
            self.net.answer = keeping(asked, 0)
            self.loss(images(x_0), tensor(t), images(noise))
            return asked[0].numpy().reshape(x_0.shape)

        def simple_loss(self, model: Any, x_0: np.ndarray, t: np.ndarray, noise: np.ndarray) -> np.ndarray:
            self.net.answer = asking(model, x_0[:1].shape)
            return fitting(self.loss, x_0, t, noise)

        def draw_t(self, rng: np.random.Generator, n: int) -> np.ndarray:
            asked: list[Any] = []
            self.net.answer = keeping(asked, 1)
            function = losses.get_ddpm_loss_fn(self.sde, train=False, reduce_mean=True)
            seeded(rng, lambda: function(self.net, torch.zeros(n, 1, 1, 1)))
            return asked[0].numpy()

        def moment(self, t: np.ndarray) -> Any:
            """Return t as their fraction, a quarter of a step later: they round it down."""
            return tensor((t + 0.25) / (self.T - 1))

        def score_from_eps(self, x_t: np.ndarray, t: np.ndarray, eps: np.ndarray) -> np.ndarray:
            self.net.answer = lambda *args: images(eps)
            return utils.get_score_fn(self.sde, self.net)(images(x_t), self.moment(t)).numpy().reshape(x_t.shape)

        def mean_from_eps(self, x_t: np.ndarray, t: np.ndarray, eps: np.ndarray) -> np.ndarray:
            self.net.answer = lambda *args: images(eps)
            predictor = sampling.AncestralSamplingPredictor(self.sde, utils.get_score_fn(self.sde, self.net))
            return predictor.update_fn(images(x_t), self.moment(t))[1].numpy().reshape(x_t.shape)

        p_sample = None  # the noise of the last step is left out by the loop

        def sample(self, model: Any, x_T: np.ndarray, noises: np.ndarray, variance: str = "small",
                   clip: bool = False) -> np.ndarray:
            self.supports(variance, clip)
            self.net.answer = asking(model, x_T.shape)
            sampler = sampling.get_pc_sampler(self.sde, images(x_T).shape, sampling.AncestralSamplingPredictor,
                                              sampling.NoneCorrector, lambda x: x, 0.1, device="cpu")
            with chain(noises, x_T):
                return sampler(self.net)[0].numpy().reshape(x_T.shape)

    return Adapter


def dpm_solver(folder: Path) -> Factory:
    """LuChengTHU/dpm-solver: discrete schedules; a step is its solver of order 1, the last its `denoise_to_zero`."""
    module = load(folder / "dpm_solver_pytorch.py", "dpm_solver")

    class Adapter(Peer):
        conventions: ClassVar[dict[str, Any]] = {"index_base": 0}

        def made(self) -> None:
            self.schedule_of = module.NoiseScheduleVP("discrete", betas=tensor(self.betas), dtype=torch.float64)
            if self.schedule_of.total_N < self.T:
                raise NotImplementedError("it leaves out steps at which the log-SNR is below −5.1")
            self.schedule_of.t_array = torch.linspace(0, 1, self.T + 1, dtype=torch.float64)[1:].reshape(1, -1)

        def moment(self, t: Any) -> Any:
            return torch.atleast_1d(torch.as_tensor((t + 1) / self.T, dtype=torch.float64))

        def solver(self, output: Any, kind: str = "noise") -> Any:
            """Return their solver for a net with this output."""
            wrapped = module.model_wrapper(lambda *args: output, self.schedule_of, model_type=kind)
            return module.DPM_Solver(wrapped, self.schedule_of, algorithm_type="dpmsolver")

        def alpha_bar(self) -> np.ndarray:
            return np.concatenate(([1.0], self.schedule_of.marginal_alpha(self.moment(np.arange(self.T))).numpy() ** 2))

        def q_sample(self, x_0: np.ndarray, t: np.ndarray, noise: np.ndarray) -> np.ndarray:
            return each(lambda step, x, z: self.solver(x).add_noise(x, self.moment(step), z), t, x_0, noise)

        def predict_x0(self, x_t: np.ndarray, t: np.ndarray, eps: np.ndarray) -> np.ndarray:
            return each(lambda step, x, e: self.solver(e).data_prediction_fn(x, self.moment(step)), t, x_t, eps)

        def predict_eps(self, x_t: np.ndarray, t: np.ndarray, x_0: np.ndarray) -> np.ndarray:
            return each(
                lambda step, x, y: self.solver(y, "x_start").noise_prediction_fn(x, self.moment(step)), t, x_t, x_0
            )

        def eps_from_velocity(self, x_t: np.ndarray, t: np.ndarray, v: np.ndarray) -> np.ndarray:
            return each(lambda step, x, v: self.solver(v, "v").noise_prediction_fn(x, self.moment(step)), t, x_t, v)

        def x0_from_velocity(self, x_t: np.ndarray, t: np.ndarray, v: np.ndarray) -> np.ndarray:
            return each(lambda step, x, v: self.solver(v, "v").data_prediction_fn(x, self.moment(step)), t, x_t, v)

        def ddim_step(self, model: Any, x_t: np.ndarray, t: np.ndarray, t_prev: np.ndarray, eta: float,
                      noise: np.ndarray) -> np.ndarray:
            if eta:
                raise NotImplementedError("its solvers are those of an ODE")
            before = iter(t_prev.tolist())

            def one(step: int, e: Any, x: Any) -> Any:
                solver, s = self.solver(e), next(before)
                if s < 0:
                    return solver.denoise_to_zero_fn(x, self.moment(step))
                return solver.dpm_solver_first_update(x, self.moment(step), self.moment(s))

            return each(one, t, model(x_t, t), x_t)

    return Adapter
