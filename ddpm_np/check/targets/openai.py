"""OpenAI's `GaussianDiffusion` (improved-diffusion, guided-diffusion) and what was copied from it, as a target.

The class is the user's, in a checkout. `openai_fork` finds by trying how a copy is called and which conventions it
keeps. The adapter converts arrays and hands over the noise. Images have four axes, (N, C, H, W). The variance at t = 1
is that of ``log_variance``, which their sampler and their bound use. A copy that knows learned ranges only is asked
with v = −1 for the small variance and v = 1 for the large one; at t = 1, where both are β̃₂, with −1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ddpm_np.check.target import Model
from ddpm_np.check.targets.noise import drawing, seeded
from ddpm_np.check.targets.openai_fork import Fork
from ddpm_np.check.targets.peers import array, images, imported, tensor

SCHEDULES = {"linear": ("linear",), "cosine": ("cosine", "squaredcos_cap_v2")}


def targets(where: str) -> dict[str, Callable[[np.ndarray], Any]]:
    """Return the factory of the class in a checkout.

    Parameters
    ----------
    where : str
        PATH[:PACKAGE]: the checkout, or the file, and the package that has gaussian_diffusion.py.

    Returns
    -------
    dict
        The factory by the target's name.

    Raises
    ------
    ValueError
        In one line, if there is no such path, no such class in it, or it cannot be imported.
    ImportError
        In one line, if PyTorch is not installed.
    """
    return {f"openai:{where}": Fork.at(where, OpenAI)}


class OpenAI:
    """The adapter for one schedule.

    Parameters
    ----------
    fork : Fork
        The checkout's class, and how it is called.
    betas : float64 array of shape (T,)
        β₁..β_T.
    """

    def __init__(self, fork: Fork, betas: np.ndarray):
        self._fork, self._betas, self._ask = fork, betas, fork.ask
        self._made: dict[Any, Any] = {}
        self.declare(fork.conventions)

    def declare(self, conventions: dict[str, Any]) -> None:
        """Keep to these conventions."""
        self.conventions = conventions
        self._base = conventions.get("index_base", 1)  # the index of the first step

    def _of(self, variance: str = "small", steps: tuple[int, ...] = ()) -> Any:
        """Return an object of the class for this schedule, or for `steps` of it, which are counted from 0."""
        key = "range" if self._fork.form.learned else variance, steps
        if key not in self._made:
            # A chain of one step makes theirs fail (its variance at t = 2): then another step is put above it.
            betas = np.append(self._betas, 0.5) if len(steps) == 1 else self._betas
            kept = (*steps, len(self._betas)) if len(steps) == 1 else steps
            self._made[key] = self._fork.made(betas, key[0], kept)
        return self._made[key]

    def _net(self, model: Model, shape: tuple[int, ...], variance: str = "small") -> Any:
        """Return a model of arrays as a net of images; one with a learned range says v too."""
        torch: Any = imported("torch", "PyTorch")

        def answer(x: Any, t: Any, *args: Any, **options: Any) -> Any:
            said = tensor(model(x.detach().numpy().reshape(shape), t.numpy())).reshape(x.shape)
            if not self._fork.form.learned:
                return said
            v = torch.where(t == self._base, -1.0, -1.0 if variance == "small" else 1.0).reshape(-1, 1, 1, 1)
            return torch.cat((said, v.to(said.dtype).expand_as(said)), self._fork.axis)

        net: Any = answer
        net.model = None  # where motion-diffusion-model's loss looks for a body
        return net

    def _noisy(self, noises: list[np.ndarray], draws: bool, function: Callable[[], Any]) -> np.ndarray:
        """Return the result of a function that draws these noises; `draws`: it should draw some."""
        def once() -> tuple[np.ndarray, list[Any]]:
            with drawing(*map(images, noises), modules=self._fork.checkout.modules, again=False) as drawn:
                return array(function()), drawn

        found, drawn = once()
        if draws and not drawn and not np.array_equal(found, once()[0]):
            raise NotImplementedError("it draws its noise by a function that is not known")
        return found

    def alpha_bar(self) -> np.ndarray:
        """Return ᾱ_t with the data's 1 in front of their table, which starts at the first step."""
        return np.concatenate(([1.0], array(self._of().alphas_cumprod)))

    def q_sample(self, x_0: np.ndarray, t: np.ndarray, noise: np.ndarray) -> np.ndarray:
        found = self._ask(self._of(), "q_sample", images(x_0), tensor(t), noise=images(noise))
        return array(found).reshape(x_0.shape)

    def q_posterior(self, x_0: np.ndarray, x_t: np.ndarray, t: np.ndarray) -> list[np.ndarray]:
        found = self._ask(self._of(), "q_posterior_mean_variance", images(x_0), images(x_t), tensor(t))
        return [array(part).reshape(x_t.shape) for part in found[:2]]

    def posterior_log_variance_clipped(self, t: np.ndarray) -> np.ndarray:
        x = tensor(np.zeros((len(t), 1, 1, 1)))
        return array(self._ask(self._of(), "q_posterior_mean_variance", x, x, tensor(t))[2]).reshape(t.shape)

    def predict_x0(self, x_t: np.ndarray, t: np.ndarray, eps: np.ndarray) -> np.ndarray:
        found = self._ask(self._of(), "_predict_xstart_from_eps", images(x_t), tensor(t), images(eps))
        return array(found).reshape(x_t.shape)

    def predict_eps(self, x_t: np.ndarray, t: np.ndarray, x_0: np.ndarray) -> np.ndarray:
        found = self._ask(self._of(), "_predict_eps_from_xstart", images(x_t), tensor(t), images(x_0))
        return array(found).reshape(x_t.shape)

    def x0_from_mean(self, x_t: np.ndarray, t: np.ndarray, mean: np.ndarray) -> np.ndarray:
        """Return x̂₀ of μ; beyond the protocol, so t is the paper's."""
        steps = tensor(t - 1 + self._base)
        found = self._ask(self._of(), "_predict_xstart_from_xprev", images(x_t), steps, images(mean))
        return array(found).reshape(x_t.shape)

    def mean_from_eps(self, x_t: np.ndarray, t: np.ndarray, eps: np.ndarray) -> np.ndarray:
        return self.p_mean_variance(lambda *asked: eps, x_t, t)[0]

    def p_mean_variance(self, model: Model, x_t: np.ndarray, t: np.ndarray, variance: str = "small",
                        clip: bool = False) -> list[np.ndarray]:
        net = self._net(model, x_t.shape, variance)
        found = self._ask(self._of(variance), "p_mean_variance", net, images(x_t), tensor(t), clip_denoised=clip)
        mean, sigma2, log, x_0 = (array(found[name]).reshape(x_t.shape)
                                  for name in ("mean", "variance", "log_variance", "pred_xstart"))
        first = (t == self._base).reshape((-1,) + (1,) * (x_t.ndim - 1))
        return [mean, np.where(first, np.exp(log), sigma2), x_0]

    def learned_range_variance(self, v: np.ndarray, t: np.ndarray) -> np.ndarray:
        x = images(v)
        output = imported("torch", "PyTorch").cat((0 * x, x), self._fork.axis)  # the net's output: ε and v
        found = self._ask(self._of("range"), "p_mean_variance", lambda *asked, **options: output, 0 * x, tensor(t),
                          clip_denoised=False)
        return array(found["variance"]).reshape(v.shape)

    def p_sample(self, model: Model, x_t: np.ndarray, t: np.ndarray, noise: np.ndarray, variance: str = "small",
                 clip: bool = False) -> np.ndarray:
        net, x = self._net(model, x_t.shape, variance), images(x_t)
        return self._noisy([noise], bool((t > self._base).any()), lambda: self._ask(
            self._of(variance), "p_sample", net, x, tensor(t), clip_denoised=clip)["sample"]).reshape(x_t.shape)

    def sample(self, model: Model, x_T: np.ndarray, noises: np.ndarray, variance: str = "small",
               clip: bool = False) -> np.ndarray:
        net, x = self._net(model, x_T.shape, variance), images(x_T)
        return self._noisy(list(noises[:0:-1]), True, lambda: self._ask(
            self._of(variance), "p_sample_loop", net, tuple(x.shape), noise=x, clip_denoised=clip)).reshape(x_T.shape)

    def ddim_step(self, model: Model, x_t: np.ndarray, t: np.ndarray, t_prev: np.ndarray, eta: float,
                  noise: np.ndarray) -> np.ndarray:
        """Take the step of each image in a chain respaced to t_prev and t; the net is asked at the step it maps to."""
        result = np.empty_like(x_t)
        for i, (here, then) in enumerate(zip((t - self._base).tolist(), (t_prev - self._base).tolist(), strict=True)):
            one, steps = slice(i, i + 1), (here,) if then < 0 else (then, here)

            def ask(x: np.ndarray, step: np.ndarray, i: int = i) -> np.ndarray:
                whole, at = x_t.copy(), t.copy()
                whole[i], at[i] = x[0], int(step[0])
                return model(whole, at)[i:i + 1]

            net, x = self._net(ask, x_t[one].shape), images(x_t[one])
            place = tensor([len(steps) - 1 + self._base])
            result[one] = self._noisy([noise[one]], bool(eta) and then >= 0, lambda: self._ask(
                self._of("small", steps), "ddim_sample", net, x, place, clip_denoised=False,  # noqa: B023 - called at once
                eta=eta)["sample"]).reshape(x_t[one].shape)
        return result

    def timesteps(self, n: int) -> np.ndarray:
        steps = self._fork.function("space_timesteps")(len(self._betas), [n])
        return np.array(sorted(steps, reverse=True))

    def respace(self, model: Model, steps: list[int]) -> tuple[np.ndarray, np.ndarray, Model]:
        """Return β', ᾱ' and the respaced model; beyond the protocol, so steps are the paper's."""
        made, n = self._of("small", tuple(step - 1 for step in sorted(steps))), len(steps)
        if not hasattr(made, "_wrap_model"):
            raise NotImplementedError("it has no _wrap_model")

        def respaced(x: np.ndarray, i: np.ndarray) -> np.ndarray:
            net = self._net(lambda x, t: model(x, t + 1 - self._base), x.shape)
            said = made._wrap_model(net)(images(x), tensor(i - 1 + self._base))
            return array(said.narrow(self._fork.axis, 0, images(x).shape[self._fork.axis])).reshape(x.shape)

        return array(made.betas)[:n], np.concatenate(([1.0], array(made.alphas_cumprod)[:n])), respaced

    def kl(self, mean1: np.ndarray, logvar1: np.ndarray, mean2: np.ndarray, logvar2: np.ndarray) -> np.ndarray:
        return array(self._fork.function("normal_kl")(*map(tensor, (mean1, logvar1, mean2, logvar2))))

    def decoder_log_likelihood(self, x_0: np.ndarray, mean: np.ndarray, log_scale: np.ndarray) -> np.ndarray:
        return array(self._fork.function("discretized_gaussian_log_likelihood")(
            tensor(x_0), means=tensor(mean), log_scales=tensor(log_scale)))

    def prior_kl(self, x_0: np.ndarray) -> np.ndarray:
        return array(self._ask(self._of(), "_prior_bpd", images(x_0)))

    def vlb_term(self, model: Model, x_0: np.ndarray, x_t: np.ndarray, t: np.ndarray,
                 variance: str = "small") -> np.ndarray:
        return array(self._ask(self._of(variance), "_vb_terms_bpd", self._net(model, x_t.shape, variance), images(x_0),
                               images(x_t), tensor(t), clip_denoised=False)["output"])

    def vlb(self, model: Model, x_0: np.ndarray, noises: np.ndarray, variance: str = "small") -> np.ndarray:
        net, x = self._net(model, x_0.shape, variance), images(x_0)
        return self._noisy(list(noises[:0:-1]), True, lambda: self._ask(
            self._of(variance), "calc_bpd_loop", net, x, clip_denoised=False)["total_bpd"])

    def simple_loss(self, model: Model, x_0: np.ndarray, t: np.ndarray, noise: np.ndarray) -> np.ndarray:
        found = self._ask(self._of(), "training_losses", self._net(model, x_0.shape), images(x_0), tensor(t),
                          noise=images(noise))
        return array(found["mse" if self._fork.form.learned and "mse" in found else "loss"])

    def draw_t(self, rng: np.random.Generator, n: int) -> np.ndarray:
        sampler = self._fork.function("UniformSampler")(self._of())
        return array(seeded(int(rng.integers(2**32)), lambda: sampler.sample(n, "cpu")[0]))

    def draw_noise(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        """Return the noise that ``q_sample`` draws: its x_T of x₀ = 0 in units of that of noise 1."""
        x, last = images(np.zeros(shape)), tensor(np.full(shape[0], len(self._betas) - 1 + self._base))
        unit = self._ask(self._of(), "q_sample", x, last, noise=x + 1)
        drawn = seeded(int(rng.integers(2**32)), lambda: self._ask(self._of(), "q_sample", x, last))
        return array(drawn / unit).reshape(shape)

    def time_embedding(self, t: np.ndarray, dim: int) -> np.ndarray:
        return array(self._fork.function("timestep_embedding")(tensor(t), dim))

    def schedule(self, name: str, T: int) -> np.ndarray:
        for theirs in SCHEDULES.get(name, ()):
            try:
                found = self._fork.function("get_named_beta_schedule")(theirs, T)
            except (KeyError, ValueError, NotImplementedError):
                continue
            if found is not None:
                return array(found)
        raise NotImplementedError(f"it has no schedule {name}")
