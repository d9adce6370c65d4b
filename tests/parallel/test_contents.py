"""What is compared by content: all that plain values hold, and all that code of others may store values in."""

from __future__ import annotations

import collections
import functools
import itertools
import random
import threading

import numpy as np
import pytest

from ddpm_np.diffusion import Schedule, simple_loss
from ddpm_np.parallel.contents import NotPlain, held_by, is_own, plain_contents, stored_contents
from ddpm_np.parallel.watch import CallWatch

LOG, TABLE = [], np.zeros(3)


def contents(x):
    plain_contents(x, into := [])
    return into


@pytest.mark.parametrize(("x", "change"), [
    ({"a": [1, (2.0, None)]}, lambda x: x["a"].append(3)), ([1, 2], lambda x: x.reverse()),
    ({"mask": np.zeros(3)}, lambda x: x["mask"].__setitem__(0, 1e-300)),
    ({"mask": np.zeros(3)}, lambda x: x.update(mask=np.zeros(3, np.float32))),
    ({"mask": np.zeros((2, 3))}, lambda x: x.update(mask=np.zeros((3, 2)))), ([True], lambda x: x.__setitem__(0, 1)),
    ([np.float32(1)], lambda x: x.__setitem__(0, np.float64(1))), ({"a": 1}, lambda x: x.update(b=2)),
    (functools.partial(simple_loss, predicts=["eps"]), lambda x: x.keywords.update(predicts=["x0"])),
    (Schedule.from_betas([0.1, 0.2]), lambda x: vars(x).update(beta=x.beta * 2)),
])
def test_a_change_of_plain_contents_is_noticed(x, change):
    before = contents(x)
    assert contents(x) == before
    change(x)
    assert contents(x) != before


@pytest.mark.parametrize("x", [
    lambda: 0, object(), {1}, np.array([None]), [threading.Lock()], functools.partial(np.sum, axis=0), len])
def test_what_is_not_plain_is_refused(x):
    with pytest.raises(NotPlain):
        contents(x)


def test_what_is_of_this_package():
    assert is_own(simple_loss)
    assert is_own(Schedule)
    assert not is_own(contents)
    assert not is_own(np.ndarray)


class Counter:
    made = 0
    __slots__ = ("calls", "seen")

    def __init__(self):
        self.calls, self.seen = 0, {"last": collections.deque([0], 3)}

    def __call__(self):
        self.calls += 1

    def shared(self):
        Counter.made += 1

    def remember(self):
        self.seen["last"].append(self.calls)

    def logged(self):
        LOG.append(1)

    def in_place(self):
        TABLE[1] += 1


def closing_over(cell):
    def call():
        nonlocal cell
        cell = [*cell, 1]

    return call


def drawing(generator):
    return lambda: generator.random() + 1


def counting(counter):
    return lambda: next(counter)


def with_default(cache=[]):  # noqa: B006
    cache.append(1)


def inner():
    return (lambda: [LOG.append(x) for x in (1,)])()


@pytest.mark.parametrize("call", [
    Counter(), Counter().shared, Counter().remember, Counter().logged, Counter().in_place, closing_over([]),
    drawing(np.random.default_rng(0)), drawing(random.Random(0)), counting(itertools.count()), with_default, inner,
    functools.partial(with_default, []), functools.partial(np.put, np.zeros(2), 0, 1.0)])
def test_what_calls_store_is_noticed(call):
    before = stored_contents([call], set())
    assert before is not None
    assert stored_contents([call], set()) == before
    call()
    assert stored_contents([call], set()) != before


def test_contents_that_cannot_be_read_are_none():
    for x in ((i for i in range(3)), threading.Lock(), [object() for _ in range(30_000)]):
        assert stored_contents([lambda x=x: x], set()) is None


def test_objects_hold_items_attributes_and_cells():
    a, b = object(), object()
    for x in ([a, b], {a: b}, {a, b}, collections.deque([a, b]), functools.partial(print, a, key=b),
              closing_over((a, b)), np.array([a, b])):
        below = held_by(x)
        assert {a, b} <= {*below, *(y for z in below if isinstance(z, tuple) for y in z)}
    assert held_by(1) == held_by(np.zeros(2)) == held_by(np) == held_by(Counter) == []


def test_calls_are_made_one_by_one_until_nothing_is_stored():
    watch, state = CallWatch(), [0]

    def code():
        return state

    allowed = []
    for stores in (True, True, False, False):
        with watch.calls([code], set(), 3) as threads:
            allowed.append(threads)
            state[0] += stores
    assert allowed == [1, 1, 1, 3]
    with watch.calls([code], set(), 1) as threads:
        assert threads == 1
    with watch.calls([], set(), 3) as threads:
        assert threads == 3
    with watch.calls([code, code], set(), 3) as threads:  # other code
        assert threads == 1
