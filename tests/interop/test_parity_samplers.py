"""diffusers' schedulers with our noise: a step of DDPM, whole chains, DDIM, the steps they visit, and their faults.

Their timestep is our t − 1. Compared with, never used: where a library is absent, its tests are skipped.
"""

from __future__ import annotations

import inspect
import json
from unittest.mock import patch

import numpy as np
import pytest
from gradient_inputs import generator

from ddpm_np.check.gradients.derivatives import error
from ddpm_np.config import DiffusionConfig
from ddpm_np.diffusion import SCHEDULES as SCHEDULES_BY_NAME
from ddpm_np.diffusion import (
    Reverse,
    ancestral,
    ddim,
    ddim_step,
    p_mean_variance,
    p_sample,
    predict,
    predict_x0,
    respace,
    timesteps,
)
from ddpm_np.interop.keys import SCHEDULER
from ddpm_np.interop.settings import diffusion_config, their_diffusion_config

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install 'ddpm_np[peers]'")
diffusers = pytest.importorskip("diffusers", reason="diffusers is not installed: pip install 'ddpm_np[peers]'")
KarrasDiffusionSchedulers = pytest.importorskip("diffusers.schedulers.scheduling_utils").KarrasDiffusionSchedulers
pytestmark = pytest.mark.peers

SCHEDULES = {
    "linear": {"T": 1000},
    "quadratic": {"T": 1000, "schedule": "quadratic", "beta_start": 0.00085, "beta_end": 0.012},
    "cosine": {"T": 1000, "schedule": "cosine"},
    "sigmoid": {"T": 1000, "schedule": "sigmoid"},
    "given": {"betas": tuple(np.linspace(0.01, 0.3, 40).tolist())},
}
VARIANCES = {"fixed_small": "small", "fixed_small_log": "small", "fixed_large": "large",
             "learned_range": "learned_range"}
SHAPE = (3, 4)  # their channels are axis 1, ours the last: here they are one


def scheduler_of(config, kind="DDPMScheduler", exact=True, **options):
    """Their scheduler by the configuration that we write; if `exact`, with our tables in float64 for theirs."""
    found = getattr(diffusers, kind).from_config({**their_diffusion_config(config), **options})
    if exact:
        schedule = config.build()
        found.betas, found.alphas_cumprod = (torch.from_numpy(table[1:].copy())
                                             for table in (schedule.beta, schedule.alpha_bar))
        found.alphas, found.one = 1 - found.betas, torch.ones((), dtype=torch.float64)
        found.final_alpha_cumprod = found.one
    return found


def their_step(scheduler, output, t, x, noise=None, **options):
    """x_{t−1} and x̂₀ of their step at our t, with that noise (None: it must ask for none)."""
    drawn = {"side_effect": AssertionError} if noise is None else {"return_value": torch.from_numpy(noise)}
    with patch(f"{type(scheduler).__module__}.randn_tensor", **drawn):
        found = scheduler.step(torch.from_numpy(output), t - 1, torch.from_numpy(x), **options)
    return found.prev_sample.numpy(), found.pred_original_sample.numpy()


def says(x, t):
    """A net's output: some smooth function of both."""
    return np.tanh(0.7 * x + np.sin(0.01 * t)[:, None]) + 0.1 * x


def batch(value):
    """The same t for each image."""
    return np.full(SHAPE[0], value)


@pytest.mark.parametrize("variance", VARIANCES)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_step_of_their_scheduler_is_ours(schedule, variance):
    """Whatever the net predicts, clipped or not, at the ends and between."""
    rng = generator("step", schedule)
    for predicts in ("eps", "x0", "v"):
        for clip in (False, True):
            config = DiffusionConfig(**SCHEDULES[schedule], variance=VARIANCES[variance], predicts=predicts,
                                     clip_sample=clip)
            theirs, ours = scheduler_of(config, variance_type=variance), config.build()
            options = {"predicts": predicts, "variance": config.variance, "clip": clip}
            for t in (1, 2, 3, config.T // 2, config.T - 1, config.T):
                outputs = 2 if variance == "learned_range" else 1
                x, noise, output = (rng.standard_normal((SHAPE[0], SHAPE[1] * n)) for n in (1, 1, outputs))

                def net(x, t, output=output):
                    return output

                before, x0 = their_step(theirs, output, t, x, noise if t > 1 else None)
                reverse = Reverse(ours, net, **options)
                assert error(p_sample(reverse, x, batch(t), noise), before) <= 2e-12, (options, t)
                assert error(predict(reverse, x, batch(t)).x0, x0) <= 5e-14, (options, t)


@pytest.mark.parametrize("variance", ["small", "large"])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_step_of_their_scheduler_with_its_own_tables(schedule, variance):
    """In float32 they lose digits: 1 − ᾱ_t is 1e-4 at first, and of that float32 has three."""
    config = DiffusionConfig(**SCHEDULES[schedule], variance=variance, clip_sample=False)
    theirs, ours, rng = scheduler_of(config, exact=False), config.build(), generator("tables", schedule)
    assert error(theirs.betas.numpy(), ours.beta[1:]) <= 3e-7
    assert error(theirs.alphas_cumprod.numpy(), ours.alpha_bar[1:]) <= 1e-6
    for t in (1, 2, config.T // 2, config.T):
        x, noise, output = (rng.standard_normal(SHAPE) for _ in range(3))
        before, _ = their_step(theirs, output, t, x, noise)
        reverse = Reverse(ours, lambda x, t, output=output: output, variance=variance)
        expected = p_sample(reverse, x, batch(t), noise)
        assert error(before, expected) <= 1e-4, t


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_written_schedule_is_read_again(schedule):
    """Through their own configuration, with its defaults."""
    for kind in ("DDPMScheduler", "DDIMScheduler")[: 1 if schedule == "sigmoid" else 2]:  # DDIM's knows no sigmoid
        config = DiffusionConfig(**SCHEDULES[schedule], variance="small", predicts="v", clip_sample=False)
        theirs = scheduler_of(config, kind, exact=False)
        assert diffusion_config({**theirs.config, "_class_name": kind}) == config
        assert theirs.config.timestep_spacing == "leading"  # which has no fault


READ = [  # configurations with a key that is not at its default, and what a newer diffusers calls the same
    ({}, {}), ({"clip_sample": False}, {}), ({"clip_sample": False, "clip_sample_range": 0.2}, {}),
    ({"sample_max_value": 3.0, "dynamic_thresholding_ratio": 0.5}, {}), ({"variance_type": "fixed_small_log"}, {}),
    ({"variance_type": "fixed_large"}, {}), ({"prediction_type": "sample"}, {}), ({"tensor_format": "np"}, {}),
    ({"prediction_type": "v_prediction"}, {}), ({"trained_betas": np.linspace(0.01, 0.3, 30).tolist()}, {}),
    ({"beta_schedule": "scaled_linear", "beta_start": 0.001, "beta_end": 0.3}, {}), ({"beta_schedule": "sigmoid"}, {}),
    ({"beta_schedule": "squaredcos_cap_v2", "beta_start": 0.5}, {}), ({"timestep_spacing": "linspace"}, {}),
    ({"timestep_spacing": "trailing", "steps_offset": 1}, {}), ({"use_karras_sigmas": False, "solver_order": 2}, {}),
    ({"lower_order_final": False, "skip_prk_steps": True, "timestep_values": None}, {}),
    ({"predict_epsilon": False}, {"prediction_type": "sample"}), ({"predict_epsilon": True}, {}),
    ({"clip_predicted_image": False}, {"clip_sample": False}),
]


@pytest.mark.parametrize(("config", "today"), READ, ids=[str(config)[:60] for config, _ in READ])
def test_every_key_that_is_read_has_their_meaning(config, today):
    """A step by their scheduler's configuration is one by ours of the same file; their tables are in float32."""
    config = {"num_train_timesteps": 30, **config}
    theirs, ours = diffusers.DDPMScheduler.from_config({**config, **today}), diffusion_config(config)
    rng, schedule = generator("read", config), ours.build()
    assert error(theirs.betas.numpy(), schedule.beta[1:]) <= 1e-6
    for t in (1, 2, 17, ours.T):
        x, noise, output = (2 * rng.standard_normal(SHAPE) for _ in range(3))
        before, x0 = their_step(theirs, output, t, x, noise)
        reverse = Reverse(schedule, lambda x, t, output=output: output, predicts=ours.predicts, variance=ours.variance,
                          clip=ours.clip_sample)
        assert error(p_sample(reverse, x, batch(t), noise), before) <= 1e-3, t
        assert error(predict(reverse, x, batch(t)).x0, x0) <= 1e-3, t


@pytest.mark.parametrize("clip", [False, True])
@pytest.mark.parametrize("predicts", ["eps", "x0", "v"])
@pytest.mark.parametrize("variance", ["small", "large", "learned_range"])
def test_what_is_written_is_read_the_same_by_both(variance, predicts, clip):
    """For every schedule: each key is one of theirs, their betas are ours, and ours is read again as it was."""
    for name in SCHEDULES_BY_NAME:
        config = DiffusionConfig(name, 12, 0.01, 0.4, variance, predicts, clip)
        written = json.loads(json.dumps(their_diffusion_config(config)))
        theirs, unused = diffusers.DDPMScheduler.from_config(written, return_unused_kwargs=True)
        assert {*unused} == {"_class_name", "_diffusers_version"}
        assert {key: theirs.config[key] for key in written if key[0] != "_"} == {
            key: value for key, value in written.items() if key[0] != "_"}
        assert error(theirs.betas.numpy(), config.build().beta[1:]) <= 1e-6
        found = diffusion_config({**theirs.config, "_class_name": "DDPMScheduler"})
        if written["trained_betas"] is None:
            assert found == config
        assert found == diffusion_config(written)
        assert (found.variance, found.predicts, found.clip_sample) == (variance, predicts, clip)
        assert found.build().alpha_bar.tobytes() == config.build().alpha_bar.tobytes()


def test_keys_of_the_tables_are_theirs():
    """Keys of other schedulers are none of DDPM's and DDIM's; of the values that pass, some are defaults."""
    kinds = [getattr(diffusers, kind.name) for kind in KarrasDiffusionSchedulers if kind.name in dir(diffusers)]
    defaults = {}
    for kind in kinds:
        for name, p in inspect.signature(kind).parameters.items():
            defaults.setdefault(name, []).append(p.default)
    for key, allowed in SCHEDULER.off.items():
        if key != "timestep_values":
            assert any(value in defaults[key] for value in allowed), key
    read = {name for kind in (diffusers.DDPMScheduler, diffusers.DDIMScheduler)
            for name in inspect.signature(kind).parameters}
    assert read == {*SCHEDULER.defaults}
    assert not read & ({*SCHEDULER.off} | {*SCHEDULER.former} | {*SCHEDULER.unread})


# Chains


@pytest.mark.parametrize("variance", ["small", "large"])
@pytest.mark.parametrize("n", [40, 10, 7])
def test_a_chain_of_fewer_steps_is_ours_respaced(n, variance):
    """Their default spacing, whose last step is from t = 1 and has no noise; the first t may be far from T."""
    config = DiffusionConfig(**SCHEDULES["given"], variance=variance)
    theirs = scheduler_of(config, timestep_spacing="leading")
    theirs.set_timesteps(n)
    steps = timesteps(config.T, n, "leading")
    assert (theirs.timesteps + 1).tolist() == steps
    x_T, *noises = generator("chain", n).standard_normal((1 + config.T, *SHAPE))

    short = respace(Reverse(config.build(), says, variance=variance, clip=True), steps)
    chain = ancestral(short, x_T, lambda i: noises[steps[::-1][i - 1] - 1])
    x = x_T
    for t, (_, ours, x0_hat) in zip(steps, chain, strict=True):
        x, x0 = their_step(theirs, says(x, batch(t)), t, x, noises[t - 1] if t > 1 else None)
        assert error(ours, x) <= 1e-13, t
        assert error(x0_hat, x0) <= 1e-13, t


@pytest.mark.parametrize("clip", [False, True])
@pytest.mark.parametrize("predicts", ["eps", "x0", "v"])
@pytest.mark.parametrize("spacing", ["leading", "trailing"])
@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_a_chain_of_their_ddim_is_ours(eta, spacing, predicts, clip):
    """Ten steps of a hundred; where x̂₀ is clipped, theirs has to be told to let ε follow."""
    config = DiffusionConfig(T=100, beta_end=0.1, variance="small", predicts=predicts, clip_sample=clip)
    theirs = scheduler_of(config, "DDIMScheduler", timestep_spacing=spacing)
    theirs.set_timesteps(10)
    steps = timesteps(config.T, 10, spacing)
    assert (theirs.timesteps + 1).tolist() == steps
    x_T, *noises = generator("ddim", spacing, eta).standard_normal((1 + config.T, *SHAPE))
    reverse = Reverse(config.build(), says, predicts, clip=clip)
    chain = ddim(reverse, x_T, steps, lambda t: noises[t - 1], eta=eta)
    x = x_T
    for t, (_, ours, x0_hat) in zip(steps, chain, strict=True):
        x, x0 = their_step(theirs, says(x, batch(t)), t, x, noises[t - 1] if eta else None, eta=eta,
                           use_clipped_model_output=clip)
        assert error(ours, x) <= 1e-13, t
        assert error(x0_hat, x0) <= 1e-13, t


# The steps they visit, and their faults


@pytest.mark.parametrize("kind", ["DDPMScheduler", "DDIMScheduler"])
@pytest.mark.parametrize(("spacing", "lower", "longer"), [
    ("leading", 0, 0), ("trailing", 36, 62), ("linspace", 220, 0)])
def test_timesteps_of_a_shorter_chain_are_ours(kind, spacing, lower, longer):
    """As ours, but for halves, which they round to even and we up; and but for faults of theirs, as follows.

    A chain of one step of "linspace" begins at timestep 0, where hardly any noise is. Of "trailing", one may be longer.
    """
    T, found_lower, found_longer = 1000, 0, 0
    theirs = getattr(diffusers, kind)(T, timestep_spacing=spacing)
    for n in range(2, T + 1):
        theirs.set_timesteps(n)
        ours, found = timesteps(T, n, spacing), (theirs.timesteps + 1).tolist()
        whole, parts = (T, n) if spacing == "trailing" else (T - 1, n - 1)  # step k is whole·(parts − k)/parts, rounded
        different = [k for k in range(n) if ours[k] != found[k]]
        assert all(2 * whole * (parts - k) % (2 * parts) == parts and found[k] == ours[k] - 1 for k in different), n
        assert found[n:] in ([], [0])
        found_lower, found_longer = found_lower + (different != []), found_longer + (len(found) > n)
    assert (found_lower, found_longer) == (lower, longer)
    theirs.set_timesteps(1)
    assert (theirs.timesteps + 1).tolist() == ([1] if spacing == "linspace" else timesteps(T, 1, spacing))
    assert timesteps(T, 1, "linspace") == [T]


def test_trailing_may_end_before_the_first_step():
    """A fault of theirs: 62 steps for 61, the last of them at timestep −1, which is read as T."""
    config = DiffusionConfig(variance="small", clip_sample=False)
    theirs = scheduler_of(config, timestep_spacing="trailing")
    theirs.set_timesteps(61)
    ours = timesteps(config.T, 61, "trailing")
    assert (theirs.timesteps + 1).tolist() == [*ours, 0]
    x, eps = generator("minus one").standard_normal((2, *SHAPE))
    image, _ = their_step(theirs, eps, 0, x)
    assert error(image, predict_x0(config.build(), x, batch(config.T), eps)) <= 1e-12


@pytest.mark.parametrize("variance", ["small", "large"])
def test_trailing_adds_noise_to_the_image(variance):
    """A fault of theirs: the last step, from t > 1 to the image, is noisy; σ² is β of the whole way, or 1e-20."""
    config = DiffusionConfig(**SCHEDULES["given"], variance=variance, clip_sample=False)
    theirs, schedule = scheduler_of(config, timestep_spacing="trailing"), config.build()
    theirs.set_timesteps(5)
    t = int(theirs.timesteps[-1]) + 1
    assert t == 8
    x, noise = generator("last").standard_normal((2, *SHAPE))
    before, x0 = their_step(theirs, says(x, batch(t)), t, x, noise)
    sigma2 = schedule.one_minus_alpha_bar[t] if variance == "large" else 1e-20
    assert error(before - x0, sigma2**0.5 * noise) <= (1e-12 if variance == "large" else 1e-5)

    short = respace(Reverse(schedule, says, variance=variance), timesteps(config.T, 5))
    np.testing.assert_allclose(p_sample(short, x, batch(1), noise), x0, rtol=1e-12)


def test_the_log_of_the_large_variance_is_taken_for_the_variance():
    """A fault of theirs: fixed_large_log is √(ln β_t)."""
    theirs = scheduler_of(DiffusionConfig(clip_sample=False), variance_type="fixed_large_log")
    x, noise = generator("log").standard_normal((2, *SHAPE))
    assert np.isnan(their_step(theirs, says(x, batch(500)), 500, x, noise)[0]).all()


@pytest.mark.parametrize(("spacing", "n"), [("linspace", 10), ("trailing", 7)])
def test_ddim_goes_to_another_step_than_the_next(spacing, n):
    """A fault of theirs: each step goes down by ⌊T/n⌋, whatever the spacing; the next one begins elsewhere."""
    config = DiffusionConfig(variance="small", clip_sample=False)
    theirs, schedule = scheduler_of(config, "DDIMScheduler", timestep_spacing=spacing), config.build()
    theirs.set_timesteps(n)
    t, following = (theirs.timesteps[:2] + 1).tolist()
    assert t - following > config.T // n
    x = generator("elsewhere").standard_normal(SHAPE)
    found, _ = their_step(theirs, says(x, batch(t)), t, x)
    reverse = Reverse(schedule, says)
    assert error(found, ddim_step(reverse, x, batch(t), batch(t - config.T // n))) <= 1e-12
    assert error(found, ddim_step(reverse, x, batch(t), batch(following))) > 1e-3


def test_ddim_keeps_the_noise_of_an_image_that_it_clips():
    """Unless told to use_clipped_model_output, x̂₀ and ε no longer make up x_t."""
    config = DiffusionConfig(variance="small", clip_sample=True)
    theirs, t = scheduler_of(config, "DDIMScheduler"), 900
    theirs.set_timesteps(1000)
    x = generator("clipped").standard_normal(SHAPE)
    eps, schedule = says(x, batch(t)), config.build()
    found, x0 = their_step(theirs, eps, t, x)
    assert np.abs(x0).max() == 1
    kept = schedule.sqrt_alpha_bar[t - 1] * x0 + schedule.sqrt_one_minus_alpha_bar[t - 1] * eps
    assert error(found, kept) <= 1e-12
    assert error(found, ddim_step(Reverse(schedule, says, clip=True), x, batch(t), batch(t - 1))) > 1e-2


def test_at_the_first_step_their_small_variance_is_next_to_nothing():
    """β̃₁ is held at 1e-20, where the authors take β̃₂; no noise is added there, so that no sample shows it."""
    config = DiffusionConfig(variance="small")
    theirs, schedule, x = scheduler_of(config), config.build(), np.zeros(SHAPE)
    assert theirs._get_variance(0).item() == 1e-20
    ours = p_mean_variance(Reverse(schedule, says, variance="small"), x, batch(1))[1]
    np.testing.assert_allclose(ours, schedule.beta_tilde[2])
