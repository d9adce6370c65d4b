"""What kernels compute of weights alone is kept while it may be used again, up to a limit, and nowhere else."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
from gradient_inputs import generator

from ddpm_np.kernels import fixed
from ddpm_np.kernels.fixed import FixedWeights, kept
from ddpm_np.parallel.threads import map_in_order


class Weights(np.ndarray):
    """An array that can be referred to weakly."""


def weights(size=4):
    """Return some weights."""
    return np.arange(size, dtype=float).view(Weights)


def doubled(calls, w):
    """Return a function that computes 2w and counts its calls."""
    return lambda: calls.append(1) or 2 * w


def test_an_array_is_computed_once_and_found_again():
    w, calls = weights(), []
    with FixedWeights().in_use():
        first = kept(w, "double", doubled(calls, w))
        assert kept(w, "double", doubled(calls, w)) is first
    np.testing.assert_array_equal(first, 2 * w)
    assert len(calls) == 1


def test_other_weights_and_other_names_have_arrays_of_their_own():
    """By identity: equal weights may be changed apart."""
    w, same, calls = weights(), weights(), []
    with FixedWeights().in_use():
        found = [kept(a, name, doubled(calls, a)) for a in (w, same) for name in ("double", 2)]
    assert len(calls) == len({id(a) for a in found}) == 4


def test_nothing_is_kept_outside_of_the_context():
    w, calls, store = weights(), [], FixedWeights()
    for _ in range(2):
        kept(w, "double", doubled(calls, w))
    with store.in_use():
        kept(w, "double", doubled(calls, w))
    kept(w, "double", doubled(calls, w))
    assert len(calls) == 4
    with pytest.raises(KeyError), store.in_use():
        raise KeyError
    kept(w, "double", doubled(calls, w))
    assert len(calls) == 5
    with store.in_use():
        kept(w, "double", doubled(calls, w))
    assert len(calls) == 5


def test_stores_within_stores_and_in_threads():
    w, calls, outer, inner = weights(), [], FixedWeights(), FixedWeights()
    with outer.in_use():
        first = kept(w, "double", doubled(calls, w))
        with inner.in_use():
            assert kept(w, "double", doubled(calls, w)) is not first
        found = list(map_in_order(lambda _: kept(w, "double", doubled(calls, w)), range(4), 2))
    assert all(array is first for array in found)
    assert len(calls) == 2


def test_arrays_beyond_the_limit_are_computed_each_time(monkeypatch):
    """An array that fits is kept after one that did not."""
    monkeypatch.setattr(fixed, "_MOST", 100)
    store, computed = FixedWeights(), []
    with store.in_use():
        for size, times in ((6, 1), (7, 2), (13, 2), (6, 1), (1, 2)):  # of 8 bytes: 48 of 100, and 96
            w, calls = weights(size), []
            for _ in range(2):
                kept(w, "double", doubled(calls, w))
            computed.append(len(calls))
            assert computed[-1] == times, size
            assert store.bytes == sum(array.nbytes for _, array in store.arrays.values()) <= 100
    assert store.bytes == 96


def test_weights_live_as_long_as_what_is_kept_of_them():
    """Else another array could come to their id, and get their numbers."""
    store, w = FixedWeights(), weights()
    alive = weakref.ref(w)
    with store.in_use():
        kept(w, "double", lambda: np.zeros(4))
    del w
    gc.collect()
    assert alive() is not None
    with store.in_use():
        for _ in range(100):
            other = generator("other").standard_normal(4)
            np.testing.assert_array_equal(kept(other, "double", lambda a=other: 2 * a), 2 * other)
    del store
    gc.collect()
    assert alive() is None
