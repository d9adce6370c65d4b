"""The paper's figures: shared latents, interpolations, nearest neighbours."""

from __future__ import annotations

import numpy as np
import pytest
from random_net import SCHEDULE, net

from ddpm_np import diffusion
from ddpm_np.data import digits
from ddpm_np.evaluate import paper_figures
from ddpm_np.sampling import ImageGenerator


@pytest.fixture(scope="module")
def model():
    return net()


def test_shared_latents_continue_one_chain(model):
    generator = ImageGenerator(model, schedule=SCHEDULE, clip=False)
    depths, images = paper_figures.shared_latents(generator, parts=3, each=4)
    assert depths == [4, 8, 12]
    assert images.shape == (3, 5, 8, 8, 1)
    noise = generator.noise(0, 0, 1)
    chain = {t: x for t, x, _ in diffusion.ancestral(generator.reverse_of(1), noise.x_T(SCHEDULE), noise.at_step)}
    assert np.array_equal(images[0, 0], np.clip(chain[4][0], -1, 1))
    assert np.array_equal(images[2, 0], np.clip(noise.x_T(SCHEDULE)[0], -1, 1))
    spread = images[:, 1:].std(axis=1).mean(axis=(1, 2, 3))
    assert len({image.tobytes() for image in images[0, 1:]}) == 4
    assert spread[0] < spread[2]


def test_interpolations_end_in_the_images(model):
    generator, (x, y) = ImageGenerator(model, schedule=SCHEDULE), digits().scaled([0, 1])
    depths, images = paper_figures.interpolations(generator, x, y, parts=2, columns=5, steps=6)
    assert depths == [0, 3, 6]
    assert images.shape == (3, 7, 8, 8, 1)
    assert all(np.array_equal(row[0], x) and np.array_equal(row[-1], y) for row in images)
    assert np.allclose(images[0, 1:-1], [(1 - s) * x + s * y for s in np.linspace(0, 1, 5)], atol=1e-6)


@pytest.mark.parametrize("T", range(1, 6))
def test_figures_of_a_chain_shorter_than_their_rows(model, T):
    """Rows at the depths that exist, each once, with images of their own."""
    generator = ImageGenerator(model, schedule=diffusion.linear_schedule(T), clip=False)
    x, y = digits().scaled([0, 1])
    for steps in range(1, T + 1):
        expected = sorted({round(steps * i / 4) for i in range(5)})
        depths, images = paper_figures.shared_latents(generator, each=3, steps=steps)
        assert depths == expected[1:]
        assert images.shape == (len(depths), 4, 8, 8, 1)
        assert len({image.tobytes() for row in images for image in row}) > len(depths)
        depths, images = paper_figures.interpolations(generator, x, y, columns=3, steps=steps)
        assert depths == expected
        assert images.shape == (len(depths), 5, 8, 8, 1)
        assert np.isfinite(images).all()


def test_nearest_images_equal_a_search_over_all_images():
    data = digits()
    images = data.scaled([5, 700]) + np.float32(0.01)
    near = paper_figures.nearest(images, data, count=4, block=500)
    everything = data.scaled(slice(None)).reshape(1797, -1).astype(np.float64)
    square = ((images.reshape(2, 1, -1) - everything) ** 2).sum(-1)
    assert np.array_equal(near, np.argsort(square, axis=1, kind="stable")[:, :4])
    assert near[:, 0].tolist() == [5, 700]
    by_sum = paper_figures.nearest(images, data, count=2,
                                   features=lambda x: x.reshape(len(x), -1).sum(1, keepdims=True))
    sums = everything.sum(1)
    assert np.array_equal(by_sum[0], np.argsort((images[0].sum() - sums) ** 2, kind="stable")[:2])
