"""Every count, size and seed of the public functions: what is out of range is refused in one wording.

`CALLS` has a call of each public function with such an argument; `test_no_argument_is_forgotten` finds the others.
"""

from __future__ import annotations

import importlib
import inspect
import re
import tempfile
from pathlib import Path

import numpy as np
import pytest
from diffusion_calls import model
from small_run import CONFIG, net

from ddpm_np import diffusion
from ddpm_np.backend import get_backend
from ddpm_np.config import DiffusionConfig, TrainingConfig
from ddpm_np.data import Batches, Dataset, digits, to_levels
from ddpm_np.evaluate import Pixels, compare, fid, floor, inception_score, kid, precision_recall, train_classifier
from ddpm_np.models import MLP, Classifier, ClassifierConfig, MLPConfig, UNet, UNetConfig
from ddpm_np.nn import Attention, Conv2d, GroupNorm, Linear
from ddpm_np.runs.sample import progressive_predictions, sample
from ddpm_np.sampling import ImageGenerator, ImageNoise, Sampler, predictor
from ddpm_np.toys import TOYS, Settings, mixture, moons, swiss_roll, toy_schedule, train_stepwise
from ddpm_np.training import EMA, Adam, Trainer, gradient_of_batch
from ddpm_np.viz import grid, plot_forward, plot_rate_distortion, save_images

X, T = np.zeros((2, 8, 8, 1), np.float32), 4
TIMES = np.array([1, 3])
SCHEDULE = diffusion.linear_schedule(T)
REVERSE = diffusion.Reverse(SCHEDULE, model)
FEW = np.random.default_rng(0).uniform(-1, 1, (40, 8, 8, 1)).astype(np.float32)
POINTS = np.random.default_rng(0).standard_normal((40, 3))
NUMPY = get_backend("numpy")


def last(chain):
    """Run a chain to its end."""
    return list(chain)[-1]


def call(function, *given, **options):
    """Return a function of the options that are tried, which replace those given."""
    return lambda **tried: function(*given, **{**options, **tried})


def in_a_folder(function, name, *given, **options):
    """The same for a function that writes a file, into a folder that is deleted."""
    def write(**tried):
        with tempfile.TemporaryDirectory() as folder:
            function(Path(folder, name), *given, **{**options, **tried})

    return write


def two_outputs(x, t):
    return np.concatenate([x, x], axis=-1)


def noise_at(t, *rest):
    return X


SEED, COUNT, INDEX, FRACTION, POSITIVE = "seed", "count", "index", "fraction", "positive"
CALLS = {
    "sample": (call(sample, net(), n=1, sampler=Sampler(steps=1)), {
        "n": COUNT, "seed": SEED, "first": INDEX, "batch_size": COUNT, "workers": COUNT}),
    "progressive_predictions": (call(progressive_predictions, net(), n=1, sampler=Sampler(steps=1)), {
        "n": COUNT, "places": COUNT, "seed": SEED}),
    "ImageGenerator": (call(ImageGenerator, net()), {"workers": COUNT, "at_a_time": COUNT}),
    "ImageNoise": (lambda **tried: ImageNoise(NUMPY, **{"seed": 0, "first": 0, "n": 2, **tried}, shape=(8, 8, 1))
                   .at_step(1), {"seed": SEED, "first": INDEX, "n": INDEX}),
    "Sampler": (call(Sampler), {"steps": COUNT}),
    "Sampler's chain": (lambda **tried: last(Sampler("langevin", **tried).chain(
        REVERSE, ImageNoise(NUMPY, 0, 0, 2, (8, 8, 1)))), {"per_level": COUNT, "size": POSITIVE}),
    "ddim": (lambda **tried: last(Sampler("ddim", **tried).chain(
        REVERSE, ImageNoise(NUMPY, 0, 0, 2, (8, 8, 1)))), {"eta": FRACTION}),
    "predictor": (call(predictor, net()), {"workers": COUNT}),
    "Trainer": (call(Trainer, net(), SCHEDULE), {
        "lr": "at least 0", "eps": "at least 0", "warmup": INDEX, "clip": POSITIVE, "ema": FRACTION, "seed": SEED,
        "shards": COUNT, "workers": COUNT, "label_dropout": FRACTION}),
    "Adam": (call(Adam, net().parameters()), {"lr": "at least 0", "eps": "at least 0", "warmup": INDEX}),
    "EMA": (call(EMA, net()), {"decay": FRACTION}),
    "gradient_of_batch": (call(gradient_of_batch, net(), SCHEDULE, diffusion.simple_loss, X, seed=0, step=0), {
        "seed": SEED, "step": INDEX, "first": INDEX}),
    "UNet": (call(UNet, CONFIG), {"seed": SEED}),
    "UNetConfig": (call(UNetConfig, image_size=8, in_channels=1, channels=8, channel_multipliers=(1,),
                        blocks_per_level=1, attention_resolutions=(), groups=1), {
        "in_channels": COUNT, "channels": COUNT, "blocks_per_level": COUNT, "groups": COUNT, "out_channels": COUNT,
        "heads": COUNT, "num_classes": COUNT, "head_dim": COUNT, "norm_eps": "at least 0", "image_size": COUNT}),
    "MLPConfig": (call(MLPConfig), {
        "dim": COUNT, "width": COUNT, "depth": COUNT, "outputs": COUNT, "time_dim": COUNT, "input_scale": POSITIVE}),
    "MLP": (call(MLP, MLPConfig(width=4, depth=1)), {"seed": SEED}),
    "ClassifierConfig": (call(ClassifierConfig, image_size=8, in_channels=1, classes=10), {
        "in_channels": COUNT, "classes": COUNT, "channels": COUNT, "features": COUNT, "groups": COUNT}),
    "Classifier": (call(Classifier, ClassifierConfig(8, 1, 2)), {"seed": SEED}),
    "Linear": (call(Linear, d_in=2, d_out=2), {"d_in": COUNT, "d_out": COUNT}),
    "Conv2d": (call(Conv2d, c_in=2, c_out=2), {"c_in": COUNT, "c_out": COUNT, "kernel": COUNT, "stride": COUNT}),
    "GroupNorm": (call(GroupNorm, channels=4, groups=2, eps=1e-6), {"channels": COUNT, "groups": COUNT}),
    "Attention": (call(Attention, channels=4, groups=2, eps=1e-6), {
        "channels": COUNT, "groups": COUNT, "heads": COUNT}),
    "DiffusionConfig": (call(DiffusionConfig), {"T": COUNT}),
    "TrainingConfig": (call(TrainingConfig, "digits", steps=1), {
        **dict.fromkeys(("steps", "batch_size", "shards", "log_every", "sample_every", "save_every", "keep"), COUNT),
        "warmup": INDEX, "seed": SEED, "learning_rate": "at least 0", "clip": POSITIVE, "ema": FRACTION,
        "label_dropout": FRACTION}),
    "Batches": (call(Batches, digits(), size=2), {"size": COUNT, "seed": SEED}),
    "to_levels": (call(to_levels, FEW), {"levels": COUNT}),
    "Dataset": (call(Dataset, "a", np.zeros((2, 8, 8, 1), np.uint8), None), {"levels": COUNT}),
    "timesteps": (call(diffusion.timesteps, T=10, n=2), {"T": COUNT, "n": COUNT}),
    **{f"{name}_schedule": (call(getattr(diffusion, f"{name}_schedule"), T=4), {"T": COUNT}) for name in (
        "constant", "cosine", "jsd", "linear", "quadratic", "sigmoid", "warmup10", "warmup50")},
    "named_schedule": (call(diffusion.named_schedule, "linear", T=4), {"T": COUNT}),
    "draw": (lambda **tried: last(diffusion.draw(REVERSE, **{"n": 2, "shape": (8, 8, 1), **tried})), {
        "n": INDEX, "seed": SEED, "first": INDEX}),
    "first_noise": (call(diffusion.first_noise, NUMPY, schedule=SCHEDULE, seed=0, first=0, n=2, shape=(3,)), {
        "seed": SEED, "first": INDEX, "n": INDEX}),
    "step_noise": (lambda **tried: diffusion.step_noise(
        NUMPY, **{"seed": 0, "first": 0, "n": 2, **tried}, shape=(3,))(1), {
        "seed": SEED, "first": INDEX, "n": INDEX}),
    "ancestral": (lambda **tried: last(diffusion.ancestral(REVERSE, X, noise_at, **tried)), {"start": INDEX}),
    "ddim_invert": (lambda **tried: last(diffusion.ddim_invert(REVERSE, X, [2, 1], **tried)), {"iterations": COUNT}),
    "inpaint": (lambda **tried: last(diffusion.inpaint(REVERSE, X, X == 0, X, noise_at, **tried)), {"repeats": COUNT}),
    "decoder": (call(diffusion.decoder_log_likelihood, X, X, X), {"levels": COUNT}),
    "distortion": (call(diffusion.distortion, X, X), {"levels": COUNT}),
    "compare": (call(compare, FEW, FEW, Pixels(), reference_name="a", weights="none"), {"seed": SEED}),
    "floor": (call(floor, digits(), digits(), Pixels(), images=30), {"images": COUNT, "seed": SEED}),
    "train_classifier": (call(train_classifier, digits(), steps=1), {
        "steps": COUNT, "batch_size": COUNT, "learning_rate": POSITIVE, "seed": SEED, "workers": COUNT}),
    "fid": (call(fid, POINTS, POINTS, np.random.default_rng(0)), {"resamples": COUNT}),
    "kid": (call(kid, POINTS, POINTS, np.random.default_rng(0), subset_size=4), {"subset_size": COUNT}),
    "inception_score": (call(inception_score, np.full((40, 4), 0.25), np.random.default_rng(0)), {"splits": COUNT}),
    "precision_recall": (call(precision_recall, POINTS, POINTS), {"k": COUNT}),
    "train_stepwise": (lambda **tried: next(train_stepwise(TOYS["moons"], Settings(steps=1, batch=1), **tried)),
                       {"every": COUNT}),
    "Settings": (call(Settings), {"steps": COUNT, "batch": COUNT, "T": COUNT, "seed": SEED, "lr": POSITIVE,
                                  "ema": FRACTION}),
    "toy_schedule": (call(toy_schedule), {"T": COUNT}),
    **{function.__name__: (call(function, n=2, seed=0), {"n": INDEX, "seed": SEED})
       for function in (mixture, moons, swiss_roll)},
    "grid": (call(grid, FEW), {"columns": COUNT, "gap": INDEX}),
    "save_images": (in_a_folder(save_images, "a.png", FEW), {"columns": COUNT, "size": COUNT}),
    "plot_forward": (in_a_folder(plot_forward, "a.png", SCHEDULE, digits()), {
        "rows": COUNT, "columns": COUNT, "seed": SEED}),
    "plot_rate_distortion": (in_a_folder(plot_rate_distortion, "a.png", [3, 2, 1.0, 0.5, 0], [0, 0.1, 0.2, 0.3, 0.4],
                                         levels=17, title="a"), {"levels": COUNT}),
    "min_snr_weight": (call(diffusion.min_snr_weight, SCHEDULE, TIMES, X), {"gamma": POSITIVE}),
    "p2_weight": (call(diffusion.p2_weight, SCHEDULE, TIMES, X), {"k": POSITIVE, "gamma": "at least 0"}),
    "edm_preconditioning": (call(diffusion.edm_preconditioning, X * 0 + 1), {"sigma_data": POSITIVE}),
    "hybrid_loss": (call(diffusion.hybrid_loss, SCHEDULE, two_outputs, X, TIMES, X), {"weight": "at least 0"}),
    "ddim_sigma": (call(diffusion.ddim_sigma, SCHEDULE, TIMES, TIMES - 1, x=X, eta=0.5), {"eta": FRACTION}),
}
WRONG = {
    SEED: (-1, 2**64, 1.5, "1", True, np.nan), COUNT: (0, -1, 1.5, "3", True, 2**70),
    INDEX: (-1, 1.5, "3", True, 2**70),
    FRACTION: (-0.1, 1.1, np.nan, "1", True), POSITIVE: (0, -1.0, np.nan, "1", True), "at least 0": (-1, np.inf, "1"),
}
# not counts: results, not arguments; or checked by their own tests
EXEMPT = {
    "Received", "TrainedNet", "Estimate", "Figure", "Training", "Report", "Result", "Gaussian", "Trajectory", "Run",
    "langevin_step", "guided", "bound_loss", "vlb", "vlb_term", "vlb_terms", "send", "ddim_step", "interpolate",
    "annealed_langevin", "respace", "decoder_log_likelihood", "adam_step", "clip_grad_norm", "classifier_features",
    "Dropout", "fan_average_uniform", "ones", "zeros", "Toy", "images_at_a_time", "plot_bound", "ImageFolder",
    "judge", "run",
}


@pytest.mark.parametrize(("name", "argument", "value"), [
    pytest.param(name, argument, value, id=f"{name}-{argument}={value!r}")
    for name, (_, arguments) in CALLS.items() for argument, kind in arguments.items() for value in WRONG[kind]])
def test_what_is_out_of_range_is_refused_in_one_wording(name, argument, value):
    with pytest.raises((ValueError, TypeError)) as caught:
        CALLS[name][0](**{argument: value})
    said = str(caught.value)
    assert "\n" not in said
    assert re.search(r" must (each |both )?be | is also the size of ", said), said


@pytest.mark.parametrize("name", CALLS)
def test_the_calls_are_right_otherwise(name):
    """Or a refusal would show nothing."""
    CALLS[name][0]()


def test_no_argument_is_forgotten():
    """Every public function or class with an int or a float among its arguments has a call above, or is exempt."""
    missing = set()
    for package in ("", ".diffusion", ".sampling", ".runs", ".evaluate", ".training", ".toys", ".data", ".config",
                    ".models", ".nn", ".viz"):
        module = importlib.import_module(f"ddpm_np{package}")
        for name in module.__all__:
            thing = getattr(module, name)
            if not callable(thing) or isinstance(thing, (dict, tuple)) or not hasattr(thing, "__module__"):
                continue
            try:
                parameters = inspect.signature(thing).parameters.values()
            except (ValueError, TypeError):
                continue
            if any(re.search(r"\b(int|float)\b", str(p.annotation)) and not re.search("tuple|dict|Callable",
                                                                                      str(p.annotation))
                   for p in parameters) and name not in CALLS and name not in EXEMPT:
                missing.add(name)
    assert not missing
