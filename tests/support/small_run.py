"""A small net with its batches, single parameters with gradients, and the bits that training changes in them."""

from __future__ import annotations

import numpy as np
from gradient_inputs import generator

from ddpm_np.autograd.tensor import Tensor
from ddpm_np.models import UNet, UNetConfig

CONFIG = UNetConfig(8, 1, 8, (1, 2), 1, (4,), groups=4, dropout=0.2)
BETAS = np.linspace(0.01, 0.3, 20)


def net(dtype="float32", dropout=0.2, seed=0):
    """Return a small U-Net whose last layers are not nearly zero."""
    config = UNetConfig(**{**vars(CONFIG), "dropout": dropout})
    model = UNet(config, seed, dtype)
    for i, p in enumerate(model.parameters()):
        if p.ndim > 1:
            p.data = generator("net", i).standard_normal(p.shape) * (p.size / p.shape[-1]) ** -0.5
    return model


def batch(k, n=6, dtype=np.float32):
    return generator("batch", k).uniform(-1, 1, (n, 8, 8, 1)).astype(dtype)


def bits(trainer):
    """Return everything that training changes, as bytes."""
    return [a.tobytes() for a in (trainer.flat.data, trainer.adam.m, trainer.adam.v, trainer.ema.data)]


SHAPES = [(3, 4), (5,), (), (2, 1, 3)]


def leaves(dtype="float64", shapes=SHAPES):
    """Parameters of several shapes."""
    return [Tensor(generator("leaf", i).standard_normal(shape).astype(dtype), requires_grad=True)
            for i, shape in enumerate(shapes)]


def random_gradients(k, shapes=SHAPES, size=1.0):
    """Gradients of several sizes, other ones for each k."""
    rng = generator("gradients", k)
    return [np.asarray(rng.standard_normal(shape) * size * 10.0 ** rng.integers(-3, 3)) for shape in shapes]


def bits_of(adam):
    """All that an update may change."""
    return [array.tobytes() for array in (adam.flat.data, adam.m, adam.v, np.asarray(adam.updates))]


def assert_gradients_close(found, expected, tolerance):
    """Each array within `tolerance` of the largest number in any."""
    largest = max(np.abs(g).max() for g in expected)
    for a, b in zip(found, expected, strict=True):
        assert a.dtype == b.dtype
        assert np.max(np.abs(a - b)) <= tolerance * largest
