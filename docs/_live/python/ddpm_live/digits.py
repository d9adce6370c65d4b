"""Digits drawn by the trained net of the package, step by step."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np

from ddpm_live.calls import Items, call
from ddpm_live.line import in_one_line
from ddpm_np import arguments
from ddpm_np.config import Config
from ddpm_np.data import to_levels
from ddpm_np.runs.load import TrainedNet, load, net_of
from ddpm_np.runs.weights import Weights
from ddpm_np.sampling import ImageGenerator, Sampler

FOLDER = Path(__file__).with_name("weights")  # in the page's pack: docs/_live/weights.py has written it
MOST = 16  # digits at once: a step of 16 takes a laptop 0.2 s, with guidance 0.4 s
SAMPLERS = ("ddim", "ddpm")


@call
@in_one_line
def draw_digits(count: int = 8, steps: int = 20, label: int | None = None, guidance: float = 0.0, eta: float = 0.0,
                seed: int = 0, sampler: str = "ddim") -> Items:
    """Draw digits; the same as ``ddpm-np sample digits`` draws from the same seed.

    Parameters
    ----------
    count : int
        How many.
    steps : int
        Steps of the chain, 1 to T = 100.
    label : int or None
        The digit, 0 to 9; None: any.
    guidance : float
        The weight w of classifier-free guidance, at least 0.
    eta : float
        DDIM's η, 0 to 1.
    seed : int
        Seed of the noise.
    sampler : {"ddim", "ddpm"}
        The chain; "ddpm" is Algorithm 2.

    Yields
    ------
    dict
        At first ``t`` = T, with ``x``, the noise, and ``size`` [height, width] and ``visits``, the steps to be visited.
        Then after each step ``t``, where the chain has come, ``x``, the images x_t there, ``x0``, the estimates x̂₀ from
        which they were drawn, and ``seen``, the step at which the net was asked for these. Images are bytes 0..255, a
        list for each. The last ``x`` are the digits.

    Raises
    ------
    Trouble
        If an argument is out of range, or the images are not finite.
    """
    arguments.count("count", count, 1, MOST, "more would take long")
    arguments.one_of("sampler", sampler, SAMPLERS)
    arguments.number("guidance", guidance, least=0)
    arguments.number("eta", eta, least=0, most=1)
    arguments.seed(seed)
    if label is not None:
        arguments.count("label", label, 0, 9, "or leave it out")
    generator = ImageGenerator(net(), workers=1, labels=label, guidance=guidance)
    chosen = Sampler(sampler, steps, eta=eta)
    visits = chosen.visits(generator.schedule.T)
    noise = generator.noise(seed, 0, count)
    yield {"t": visits[0], "x": levels(noise.x_T(generator.schedule)), "size": generator.shape[:2], "visits": visits}
    for seen, t, (_, x, x0) in zip(visits, [*visits[1:], 0], generator.chain(chosen, noise), strict=True):
        yield {"t": t, "x": levels(x), "x0": levels(x0), "seen": seen}


def levels(images: np.ndarray) -> np.ndarray:
    """Return images (N, H, W, 1) as bytes (N, H·W)."""
    return to_levels(images).reshape(len(images), -1)


@cache
def net() -> TrainedNet:
    """Return the trained net: from the page's pack, or else, in tests and when the book is built, from the package."""
    return net_of(unpacked(FOLDER)) if FOLDER.is_dir() else load("digits")


def unpacked(folder: Path) -> Weights:
    """Return the weights that docs/_live/weights.py has packed into a folder."""
    about = json.loads((folder / "digits.json").read_text("utf-8"))
    numbers = np.load(folder / "digits.npy")
    tensors, end = {}, 0
    for name, shape in about["shapes"].items():
        start, end = end, end + int(np.prod(shape))
        tensors[name] = numbers[start:end].reshape(shape)
    return Weights(Config.from_dict(about["config"]), about["step"], tensors, about["licence"], about["credit"], {})
