"""Denoising diffusion, to be filled in: replace each `raise NotImplementedError` by the equation above it.

The gaps are in the folder chapters, a file for each chapter, in the order of the imports below. Check as you go, from
this folder:

    ddpm-np check --target diffusion.py:Diffusion

An equation is UNVERIFIED until you write its functions. Then it is PASS if it is right, and FAIL if it is wrong, with
the smallest numbers that show it. `--equation 4` checks one equation alone.

t counts from 1 to T, as in the paper (Ho et al. 2020). x is an array (N, …): N images of any shape. t is an array (N,)
of ints: each image has its own. `self.column(table, t, x)` looks up each image's entry of a table, shaped so that it
multiplies x; given.py has the other helpers. `model(x_t, t)` predicts the noise in x_t.
"""

from chapters.forward import Forward  # noqa: I001 - the order of the chapters
from chapters.posterior import Posterior
from chapters.noise import Noise
from chapters.reverse import Reverse
from chapters.training import Training
from chapters.predictions import Predictions
from chapters.bound import Bound
from chapters.mismatch import Mismatch
from chapters.appendix_a import AppendixA
from chapters.ddim import DDIM
from chapters.sampling import Sampling
from chapters.objectives import Objectives
from chapters.schedules import Schedules
from chapters.compression import Compression
from chapters.affine import AffineBound
from chapters.gaussian import Gaussian
from chapters.mixture import Mixture
from given import Given


class Diffusion(
    Forward, Posterior, Noise, Reverse, Training, Predictions, Bound, Mismatch, AppendixA, DDIM,
    Sampling, Objectives, Schedules, Compression, AffineBound, Gaussian, Mixture, Given,
):
    """The mathematics of a schedule β₁..β_T."""
