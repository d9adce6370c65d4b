"""Images as a batch: one t for all of them, a mean or a sum over each, and shapes that must be equal."""

from __future__ import annotations

import fake_cupy
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import assert_close, images, shapes

from ddpm_np import Tensor
from ddpm_np.backend import get_backend, of
from ddpm_np.diffusion.images import mean_over_image, same_shape, sum_over_image, times


@given(shapes(), st.integers(0, 1000), st.sampled_from(["float32", "float64", "complex128"]))
def test_one_t_for_every_image(shape, t, dtype):
    """An int array (N,), whatever the images are: the dtype and shape that `Schedule.at` asks for."""
    x = np.zeros(shape, dtype)
    for like in (x, Tensor(x)):
        got = times(like, t)
        assert isinstance(got, np.ndarray)
        assert got.dtype == np.int64
        assert got.tolist() == [t] * shape[0]


def test_one_t_is_made_on_the_device_of_the_images():
    with fake_cupy.installed():
        xp = get_backend("cupy").xp
        x = xp.zeros((3, 2))
        fake_cupy.counts.reset()
        for like in (x, Tensor(x)):
            assert of(times(like, 7)) is xp
        assert (fake_cupy.counts.transfers, fake_cupy.counts.uploads) == (0, 0)


@given(st.data(), shapes())
def test_a_mean_and_a_sum_over_each_image(data, shape):
    """Over all axes but the first, for images of any rank; of images of one number, that number."""
    x = data.draw(images(shape))
    sums = np.array([sum(image.ravel().tolist()) for image in x])
    size, scale = x[0].size, np.abs(x).reshape(len(x), -1).sum(axis=1)
    assert_close(sum_over_image(x), sums, 1e-14, scale=scale)
    assert_close(mean_over_image(x), sums / size, 1e-14, scale=scale / size)
    for over, weight in ((sum_over_image, 1), (mean_over_image, 1 / size)):
        leaf = Tensor(x, requires_grad=True)
        found = over(leaf)
        assert np.array_equal(found.data, over(x))
        found.backward(np.arange(1.0, len(x) + 1))
        each = weight * np.arange(1.0, len(x) + 1).reshape(-1, *[1] * (x.ndim - 1))
        assert_close(leaf.grad, each + 0 * x, 1e-15)
        assert over(x.astype(np.float32)).dtype == np.float32
        assert np.array_equal(over(x.reshape(len(x), -1)[:, :1]), x.reshape(len(x), -1)[:, 0])


def test_another_shape_is_refused_even_where_it_would_broadcast():
    x = np.zeros((2, 3, 1))
    same_shape("noise", Tensor(x), x)
    for shape in ((2, 1, 1), (1, 3, 1), (3, 1), (2, 3), (2, 3, 1, 1), ()):
        with pytest.raises(ValueError, match=r"expected noise of shape \(2, 3, 1\), got \("):
            same_shape("noise", np.zeros(shape), x)
