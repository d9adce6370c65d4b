"""What the exercise gives: the schedule, and small helpers about the shapes of arrays."""

from __future__ import annotations

import math

import numpy as np


class Given:
    """The tables of a schedule β₁..β_T, and helpers."""

    def __init__(self, betas):
        self.T = len(betas)
        self.beta = np.concatenate(([0.0], betas))  # (T+1,): β₀ = 0, so that self.beta[t] is β_t

    @staticmethod
    def as_column(values, x):
        """Return numbers (N,) as a column (N, 1, …) that multiplies x (N, …)."""
        return values.reshape(-1, *[1] * (x.ndim - 1))

    @staticmethod
    def column(table, t, x):
        """Return the entries t of a table (T+1,) as a column (N, 1, …) that multiplies x (N, …)."""
        return Given.as_column(table[t], x)

    @staticmethod
    def at(t, x):
        """Return the step t, one number, for every image of x: an int array (N,)."""
        return np.full(len(x), t)

    @staticmethod
    def mean_over_image(x):
        """Return the mean over each image's dimensions, (N, …) -> (N,)."""
        return x.reshape(len(x), -1).mean(axis=1)

    @staticmethod
    def sum_over_image(x):
        """Return the sum over each image's dimensions, (N, …) -> (N,)."""
        return x.reshape(len(x), -1).sum(axis=1)

    @staticmethod
    def split(output, x):
        """Return a net's output (N, …, 2C) at x (N, …, C) as two of x's shape, or the output and None if it is one."""
        return (output, None) if output.shape == x.shape else tuple(np.split(output, 2, axis=-1))

    @staticmethod
    def erfc(z):
        """Return 1 − erf(z) of each element, precise where it is tiny."""
        return np.vectorize(math.erfc, otypes=[float])(z)
