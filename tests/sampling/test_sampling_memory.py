"""How many images are generated at a time: what is said to be needed is needed, and drawing takes no more."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from small_run import CONFIG, net

from ddpm_np.autograd.tensor import no_grad
from ddpm_np.models import UNetConfig
from ddpm_np.runs.sample import sample
from ddpm_np.sampling import ImageGenerator, Sampler, generator, memory

WIDE = UNetConfig(16, 1, 16, (1, 2), 1, (8,), groups=4)


@pytest.mark.parametrize("config", [CONFIG, WIDE])
@pytest.mark.parametrize("images", [1, 2, 3, 6, 20, 60])
def test_a_forward_pass_takes_no_more_memory_than_is_said(config, images):
    """And not much less, for numbers of images that were not measured."""
    from ddpm_np.models import UNet

    model, x, t = UNet(config).eval(), np.zeros((images, *config.size, 1), np.float32), np.ones(images, np.int64)
    said = memory.forward_memory(config).total(images, 1)
    tracemalloc.start()
    try:
        with no_grad():
            model(x, t)
        took = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert took <= 1.05 * said < 3 * took


def test_as_many_images_are_drawn_as_fit():
    one = memory.forward_memory(CONFIG)
    for n in (1, 2, 7, 31):
        assert memory.images_at_a_time(CONFIG, 1, one.total(n, 1)) == n
        assert memory.images_at_a_time(CONFIG, 1, one.total(n + 1, 1) - 1) == n
    assert memory.images_at_a_time(CONFIG, 1, 10**12) == memory.images_at_a_time(CONFIG, 1, None) == 250
    with pytest.raises(MemoryError, match=r"one image of this net needs about .* GB and .* GB are free"):
        memory.images_at_a_time(CONFIG, 1, one.total(1, 1) - 1)


@pytest.mark.parametrize("batch_size", [None, 5])
def test_no_more_images_are_evaluated_at_once_than_fit(monkeypatch, batch_size):
    """Whatever the batch size, and with the same images."""
    model, sampler, seen = net(), Sampler(steps=2), []
    whole = sample(model, 5, sampler=sampler)
    monkeypatch.setattr(generator, "free_memory", lambda backend: memory.forward_memory(CONFIG).total(2, 1))
    made = ImageGenerator(model, workers=1, at_a_time=batch_size)
    assert made.at_a_time == 2
    few = sample(model, 5, sampler=sampler, batch_size=batch_size, workers=1, on_step=seen.append)
    assert seen == [2, 2, 2, 2, 1, 1]
    assert few.tobytes() == whole.tobytes()


def test_a_batch_of_more_images_than_fit_is_evaluated_in_parts(monkeypatch):
    """Figures and the bound pass whole batches."""
    monkeypatch.setattr(generator, "predictor", lambda *args, **options: lambda x, t: seen.append(len(x)) or x * 2)
    seen: list[int] = []
    reverse = ImageGenerator(net(), workers=1, at_a_time=3).reverse_of(8)
    x = np.arange(8.0).reshape(8, 1, 1, 1) * np.ones((1, 8, 8, 1))
    np.testing.assert_array_equal(reverse.model(x, np.ones(8, np.int64)), 2 * x)
    assert seen == [3, 3, 2]


def test_more_images_than_memory_holds_are_refused_before_any_is_drawn():
    def never(images):
        raise AssertionError("an image was drawn")

    with pytest.raises(MemoryError, match=r"1,000,000,000,000 images take .* GB and .* GB are free: draw fewer"):
        sample(net(), 10**12, on_step=never)
