"""Gaussian data and affine models that the tests of the oracles draw, and expectations by quadrature."""

from __future__ import annotations

from itertools import product

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from strategies import any_schedule

from ddpm_np.diffusion import Reverse, sample_with
from ddpm_np.diffusion.oracle import Gaussian

NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(4)  # exact to degree 7
WEIGHTS = WEIGHTS / WEIGHTS.sum()


def expect(f, dims):
    """E f(z₁, …, z_dims) over independent standard normals, exact where f is a polynomial of degree 7 or less."""
    points = np.array(list(product(range(len(NODES)), repeat=dims))).T  # (dims, 4^dims)
    return np.sum(f(*NODES[points]) * WEIGHTS[points].prod(axis=0))


def variances(least):
    return st.floats(max(least, 1e-4), 4) | st.sampled_from([1.0, least])


@st.composite
def gaussians(draw, least=0.0, scalar=False):
    """Draw Gaussian data of a few dimensions on an arbitrary schedule."""
    schedule = draw(any_schedule(12, 1e-6)).schedule
    dims = () if scalar else draw(st.sampled_from([(), (2,), (2, 1, 3)]))
    mean = draw(hnp.arrays(np.float64, dims, elements=st.integers(-8, 8).map(lambda i: i / 4)))
    return Gaussian(schedule, mean, draw(hnp.arrays(np.float64, dims, elements=variances(least))))


@st.composite
def tables(draw, T, low, high):
    """Draw a table (T + 1,) whose row 0 must not be used."""
    return np.array([np.nan, *draw(st.lists(st.floats(low, high), min_size=T, max_size=T))])


def everywhere(data, first=1, seed=0):
    """Return images at every t from `first`, where q(x_t) has mass and somewhat outside."""
    t = np.arange(first, data.schedule.T + 1)
    return 2 * np.random.default_rng(seed).standard_normal((len(t), *data.mean.shape)), t


def chain(data, model, sigma2):
    """Return mean and variance of x₀ of Algorithm 2, by its responses to no noise and to each unit of it."""
    T, dims = data.schedule.T, data.mean.shape
    x_T, noises = np.zeros((T + 1, *dims)), np.zeros((T + 1, T + 1, *dims))  # image 0: nothing; 1: x_T; t: z_t
    x_T[1] = 1
    for t in range(2, T + 1):
        noises[t, t] = 1
    end = sample_with(Reverse(data.schedule, model, variance=sigma2), x_T, noises)
    return end[0], np.sum((end[1:] - end[0]) ** 2, axis=0)
