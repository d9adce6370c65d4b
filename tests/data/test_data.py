"""The digits, the scaling of images to [−1, 1], and the order and flips of batches."""

from __future__ import annotations

import hashlib
import threading
from importlib import resources

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from strategies import FALSE_ALARM

from ddpm_np.data import Batches, DataError, Dataset, Prefetched, digits, open_dataset, to_levels


@pytest.fixture(scope="module")
def real():
    return open_dataset("digits")


def numbered(n, labels=True):
    """Return n images of 2×3 that show their number and orientation: rows (i, 1, 2) and (3, 4, 5)."""
    images = np.zeros((n, 2, 3, 1), np.uint8)
    images[...] = np.arange(6).reshape(2, 3, 1)
    images[:, 0, 0, 0] = 100 + np.arange(n)
    return Dataset("numbered", images, np.arange(n) if labels else None)


# The digits.

def test_the_digits_file_is_scikit_learns_byte_for_byte():
    """The SHA-256 of scikit-learn's digits.csv.gz."""
    packed = (resources.files("ddpm_np.data") / "digits.csv.gz").read_bytes()
    assert hashlib.sha256(packed).hexdigest() == "09f66e6debdee2cd2b5ae59e0d6abbb73fc2b0e0185d2e1957e9ebb51e23aa22"


def test_shapes_levels_and_labels_of_the_digits(real):
    assert len(real) == 1797
    assert real.images.shape == (1797, 8, 8, 1)
    assert real.images.dtype == np.uint8
    assert real.shape == (8, 8, 1)
    assert (real.images.min(), real.images.max(), real.levels) == (0, 16, 17)
    assert np.bincount(real.labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert real.labels.dtype == np.int64
    # The first image, a 0: rows from the top, columns from the left.
    assert real.labels[0] == 0
    assert real.images[0, :, :, 0].tolist() == [
        [0, 0, 5, 13, 9, 1, 0, 0], [0, 0, 13, 15, 10, 15, 5, 0], [0, 3, 15, 2, 0, 11, 8, 0], [0, 4, 12, 0, 0, 8, 8, 0],
        [0, 5, 8, 0, 0, 9, 8, 0], [0, 4, 11, 0, 1, 12, 7, 0], [0, 2, 14, 5, 10, 12, 0, 0], [0, 0, 6, 13, 10, 0, 0, 0]]


def test_unknown_data_set_names_are_refused():
    assert np.array_equal(open_dataset("digits").images, digits().images)
    with pytest.raises(ValueError, match="no data set is called 'digit': did you mean 'digits'"):
        open_dataset("digit")
    with pytest.raises(ValueError, match=r"no data set is called 'zebra': there are .*digits"):
        open_dataset("zebra")


# The scale.

@pytest.mark.parametrize("levels", [2, 17, 256])
def test_scaling_every_level_round_trips(levels):
    images = np.arange(levels, dtype=np.uint8).reshape(-1, 1, 1, 1)
    x = Dataset("all", images, None, levels).scaled(slice(None))
    assert x.dtype == np.float32
    assert x.shape == images.shape
    assert (x[0, 0, 0, 0], x[-1, 0, 0, 0]) == (-1, 1)
    assert np.abs(x.ravel() - np.linspace(-1, 1, levels)).max() < 2e-7
    back = to_levels(x, levels)
    assert back.dtype == np.uint8
    assert np.array_equal(back, images)
    step = 2 / (levels - 1)
    assert np.array_equal(to_levels(x + 0.49 * step, levels), images)  # to the nearest
    assert np.array_equal(to_levels(x - 0.49 * step, levels), images)


def test_to_levels_clips_values_out_of_range():
    assert to_levels(np.array([-7.0, -1.0, 0.0, 1.0, 1.01, 300.0])).tolist() == [0, 0, 128, 255, 255, 255]
    assert to_levels([[0.999, -0.999]], levels=17).tolist() == [[16, 0]]


def test_scaling_the_digits_round_trips(real):
    x = real.scaled(np.arange(1797))
    assert (x.min(), x.max()) == (-1, 1)
    assert np.array_equal(to_levels(x, real.levels), real.images)


# The order.

@given(n=st.integers(1, 12), size=st.integers(1, 30), seed=st.integers(0, 2**64 - 1), data=st.data())
def test_every_epoch_sees_every_image_once(n, size, seed, data):
    """For B that divides N, that does not, and that exceeds N; a batch does not depend on earlier requests."""
    batches = Batches(numbered(n), size, seed)
    count = -(-3 * n // size) + 1
    places = np.concatenate([batches.indices(k) for k in range(count)])
    assert all(len(batches.indices(k)) == size for k in range(count))
    for epoch in range(3):
        assert sorted(places[epoch * n:(epoch + 1) * n]) == list(range(n))
    k = data.draw(st.integers(0, count - 1))
    alone = Batches(numbered(n), size, seed)
    assert np.array_equal(alone.indices(k), places[k * size:(k + 1) * size])
    for k in data.draw(st.permutations(range(count))):
        assert np.array_equal(alone.indices(k), places[k * size:(k + 1) * size])


def test_the_order_depends_on_the_seed_and_the_epoch():
    orders = {tuple(Batches(numbered(30), 30, seed).indices(epoch)) for seed in range(4) for epoch in range(4)}
    assert len(orders) == 16
    assert tuple(range(30)) not in orders
    small = np.concatenate([Batches(numbered(30), 7, 2).indices(k) for k in range(5)])[:30]
    assert np.array_equal(small, Batches(numbered(30), 30, 2).indices(0))  # but not on the batch size


def test_every_order_is_as_likely_as_any_other():
    """The six orders of three images over 3,000 epochs, each count against its binomial distribution."""
    orders = [tuple(Batches(numbered(3), 3, seed=5).indices(epoch)) for epoch in range(3000)]
    counts = [orders.count(order) for order in set(orders)]
    assert len(counts) == 6
    low, high = stats.binom.ppf([FALSE_ALARM / 12, 1 - FALSE_ALARM / 12], 3000, 1 / 6)
    assert low <= min(counts) <= max(counts) <= high


def test_images_come_with_their_labels(real):
    batches = Batches(real, 100, seed=1)
    x_0, labels = batches[17]  # laid across the end of the first epoch
    index = batches.indices(17)
    assert x_0.dtype == np.float32
    assert np.array_equal(x_0, real.scaled(index))
    assert np.array_equal(labels, real.labels[index])
    assert Batches(numbered(4, labels=False), 3)[0][1] is None


# The flips.

def orientations(dataset, size, seed, batches):
    """Return (k, place) -> (image, whether it was mirrored); fail if it was changed in another way."""
    source = Batches(dataset, size, seed, flip=True)
    plain = dataset.scaled(slice(None))
    found = []
    for k in range(batches):
        x_0, labels = source[k]
        index = source.indices(k)
        assert np.array_equal(labels, index)
        assert np.array_equal(index, Batches(dataset, size, seed).indices(k))  # flips leave the order alone
        mirrored = np.all(x_0 == plain[index][:, :, ::-1], axis=(1, 2, 3))
        assert np.all(mirrored | np.all(x_0 == plain[index], axis=(1, 2, 3)))
        found.append(np.stack([index, mirrored], axis=1))
    return np.stack(found)  # (batches, size, 2)


def test_flips_mirror_left_to_right_about_half_of_the_images():
    found = orientations(numbered(10), 25, seed=3, batches=200)
    flips = found[..., 1]
    n = flips.size
    low, high = stats.binom.ppf([FALSE_ALARM / 2, 1 - FALSE_ALARM / 2], n, 0.5)
    assert low <= flips.sum() <= high
    for agree in (flips[:, 1:] == flips[:, :-1], flips[1:] == flips[:-1]):  # neighbours and batches on their own
        low, high = stats.binom.ppf([FALSE_ALARM / 2, 1 - FALSE_ALARM / 2], agree.size, 0.5)
        assert low <= agree.sum() <= high
    for image in range(10):  # anew in every epoch: every image is seen both ways
        assert set(flips[found[..., 0] == image]) == {0, 1}
    assert np.array_equal(found, orientations(numbered(10), 25, seed=3, batches=200))
    assert not np.array_equal(found[..., 1], orientations(numbered(10), 25, seed=4, batches=200)[..., 1])


def test_images_are_not_flipped_by_default(real):
    plain = Batches(real, 50)[3][0]
    assert np.array_equal(plain, real.scaled(Batches(real, 50).indices(3)))
    assert not np.array_equal(plain, Batches(real, 50, flip=True)[3][0])


def test_batches_do_not_modify_the_data_set():
    dataset = numbered(5)
    keep = dataset.images.copy()
    x_0, _ = Batches(dataset, 8, flip=True)[0]
    x_0[...] = 7
    assert np.array_equal(dataset.images, keep)


def test_invalid_batch_arguments_are_refused():
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        Batches(numbered(3), 0)
    with pytest.raises(ValueError, match="'numbered' has no images"):
        Batches(numbered(0), 2)
    with pytest.raises(ValueError, match="seed must be an int from 0"):
        Batches(numbered(3), 2, seed=-1)[0]
    with pytest.raises(ValueError, match="got -1"):
        Batches(numbered(3), 2)[-1]


def test_the_next_batch_is_read_ahead():
    asked, started = [], threading.Event()

    class Slow:
        def __getitem__(self, k):
            asked.append((k, threading.current_thread().name))
            if k == 4:
                started.set()
            if k == 9:
                raise DataError("batch 9 is damaged")
            return k * k

    prefetched = Prefetched(Slow())
    assert prefetched[3] == 9
    assert started.wait(10)  # nobody has asked for it
    assert [prefetched[k] for k in (4, 5, 6, 2, 3)] == [16, 25, 36, 4, 9]  # and a jump goes where it should
    assert asked[0][1] == threading.current_thread().name
    assert all(name.startswith("prefetch") for k, name in asked if k in (4, 5, 6))
    assert prefetched[8] == 64
    with pytest.raises(DataError, match="batch 9 is damaged"):
        prefetched[9]
