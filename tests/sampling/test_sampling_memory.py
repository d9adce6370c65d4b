"""How many images are generated at a time: what is said to be needed is needed, and drawing takes no more."""

from __future__ import annotations

import math
import tracemalloc

import fake_cupy
import numpy as np
import pytest
from device_checks import UNLABELLED, make_unet
from fake_cupy import memory as fake_memory
from small_run import CONFIG, net

from ddpm_np.autograd.tensor import no_grad
from ddpm_np.backend import get_backend
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
    """Figures and the bound pass whole batches. Parts begin at lots of four images, by the images' numbers."""
    monkeypatch.setattr(generator, "predictor",
                        lambda *args, **options: lambda x, t, place: seen.append((place, len(x))) or x * 2)
    x = np.arange(20.0).reshape(20, 1, 1, 1) * np.ones((1, 8, 8, 1))
    for at_a_time, first, parts in ((9, 0, [(0, 8), (8, 8), (16, 4)]), (9, 3, [(3, 5), (8, 8), (16, 7)]),
                                    (1, 18, [(18, 2), *((20 + 4 * i, 4) for i in range(4)), (36, 2)]),
                                    (20, 0, [(0, 20)]), (9, 8, [(8, 8), (16, 8), (24, 4)])):
        seen: list[tuple[int, int]] = []
        reverse = ImageGenerator(net(), workers=1, at_a_time=at_a_time).reverse_of(20, 0, first)
        np.testing.assert_array_equal(reverse.model(x, np.ones(20, np.int64)), 2 * x)
        assert seen == parts, (at_a_time, first)


def test_more_images_than_memory_holds_are_refused_before_any_is_drawn():
    def never(images):
        raise AssertionError("an image was drawn")

    with pytest.raises(MemoryError, match=r"1,000,000,000,000 images take .* GB and .* GB are free: draw fewer"):
        sample(net(), 10**12, on_step=never)


@pytest.fixture
def device():
    """The backend "cupy" on the fake; what was measured before is forgotten."""
    memory._known.clear()
    with fake_cupy.installed():
        yield get_backend("cupy")
    memory._known.clear()


def leave(free):
    """Fill the device's memory up to so many bytes, of which arrays can take seven eighths."""
    pool = fake_memory.memory
    pool.free_all_blocks()
    pool.others = pool.capacity - pool.used_bytes() - math.ceil(free * 8 / 7)


@pytest.mark.parametrize("fitting", [1, 2, 5])
def test_on_a_device_no_more_images_are_evaluated_at_once_than_fit_there(device, fitting):
    """With the same images; what was said is needed, and memory is not met full."""
    model, sampler, seen = make_unet(UNLABELLED, device), Sampler(steps=2), []
    whole = sample(model, 5, sampler=sampler, workers=4)
    leave(memory.device_forward_memory(model).total(fitting, 1) + 8_192)
    made = ImageGenerator(model, workers=4)
    assert made.at_a_time == fitting
    pool = fake_memory.memory
    pool.peak, before = 0, pool.used_bytes()
    few = sample(model, 5, sampler=sampler, on_step=seen.append)
    assert seen == [n for first in range(0, 5, fitting) for n in [min(fitting, 5 - first)] * 2]
    assert pool.peak - before <= memory.device_forward_memory(model).total(fitting, 1) + 8_192
    np.testing.assert_allclose(few, whole, atol=1e-12)


def test_a_device_that_is_full_while_it_samples_evaluates_fewer_images(device):
    model, sampler = make_unet(UNLABELLED, device), Sampler(steps=2)
    whole = sample(model, 8, sampler=sampler)
    made = ImageGenerator(model, at_a_time=8)
    assert made.at_a_time == 8
    leave(memory.device_forward_memory(model).total(3, 1) + 8_192)  # after it was measured
    *_, (_, images, _) = made.chain(sampler, made.noise(0, 0, 8))
    assert np.abs(images._a - whole).max() < 1e-12
    leave(1_000)
    with pytest.raises(MemoryError, match="Out of memory") as caught:
        made.reverse_of(8).model(images, get_backend("cupy").xp.ones(8, dtype="int64"))
    assert caught.value.__notes__[0].startswith("one image at a time does not fit into the device's memory")


def test_a_device_too_small_for_an_image_is_said_in_one_line(device):
    model = make_unet(UNLABELLED, device)
    leave(memory.device_forward_memory(model).total(1, 1) - 512)
    with pytest.raises(MemoryError, match=r"one image of this net needs about .* GB and arrays can take .* GB of "
                                          "the device's memory"):
        ImageGenerator(model)


def test_a_device_is_measured_once_for_each_kind_of_net(device):
    model, other = make_unet(UNLABELLED, device), make_unet(UNLABELLED, device, "float32")
    first = memory.device_forward_memory(model)
    assert memory.device_forward_memory(model) is first
    half = memory.device_forward_memory(other)
    assert half.image < 0.7 * first.image
    assert model.training == make_unet(UNLABELLED, device).training
