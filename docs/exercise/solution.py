"""A solution of the exercise in diffusion.py. Try it yourself first."""

from solutions.forward import Forward  # noqa: I001 - the order of the chapters
from solutions.posterior import Posterior
from solutions.noise import Noise
from solutions.reverse import Reverse
from solutions.training import Training
from solutions.predictions import Predictions
from solutions.bound import Bound
from solutions.mismatch import Mismatch
from solutions.appendix_a import AppendixA
from solutions.ddim import DDIM
from solutions.sampling import Sampling
from solutions.objectives import Objectives
from solutions.schedules import Schedules
from solutions.compression import Compression
from solutions.affine import AffineBound
from solutions.gaussian import Gaussian
from solutions.mixture import Mixture
from given import Given


class Diffusion(
    Forward, Posterior, Noise, Reverse, Training, Predictions, Bound, Mismatch, AppendixA, DDIM,
    Sampling, Objectives, Schedules, Compression, AffineBound, Gaussian, Mixture, Given,
):
    """The mathematics of a schedule β₁..β_T."""
