"""What the tape keeps alive, and that contexts and threads do not disturb each other."""

from __future__ import annotations

import contextvars
import gc
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from gradient_inputs import generator, leaf, own_op

from ddpm_np import Tensor, no_grad
from ddpm_np.autograd import ops
from ddpm_np.autograd.tensor import gradients, is_recording

# Memory


def test_arrays_that_no_vjp_needs_are_freed_after_the_forward_pass():
    x = leaf(1000)
    gc.disable()
    try:
        y = x + 1  # addition captures nothing
        alive = weakref.ref(y.data)
        z = y + 1
        del y
        assert alive() is None
        z.backward(np.ones(1000))
    finally:
        gc.enable()


def test_the_backward_pass_frees_the_graph_as_it_goes():
    """By the time the first op is reached again, all that the later ones saved is gone; without the collector."""
    refs, found = [], []

    def first(a):
        def vjp(g):
            found.append([ref() is None for ref in refs])
            return (g,)
        return a + 0, vjp

    x = leaf(1000)
    y = own_op("first", first)(x)
    refs.append(weakref.ref(y.data))
    for i in range(6):
        y = ops.sin(y) if i % 2 else y * x  # which both save their input, and the latter's gradients are thunks
        refs.append(weakref.ref(y.data))
    loss = y.sum()
    del y
    gc.disable()
    try:
        assert not any(ref() is None for ref in refs[:-1])
        loss.backward()
    finally:
        gc.enable()
    assert found == [[True] * 7]


def test_a_dropped_graph_needs_no_garbage_collector():
    gc.disable()
    try:
        x = leaf(10)
        z = x * 2
        alive, y = weakref.ref(z.data), ops.sin(z)  # which saves z
        del z
        assert alive() is not None
        del y
        assert alive() is None
    finally:
        gc.enable()


# Contexts and threads


def test_no_grad_applies_only_within_its_context():
    x = leaf(2)
    with no_grad():
        assert not (x * 2).requires_grad
        with no_grad():
            pass
        assert not is_recording()
        assert not contextvars.copy_context().run(lambda: (x * 2).requires_grad)  # a worker's context
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(lambda: (x * 2).requires_grad).result()  # another thread's own
    assert (x * 2).requires_grad
    with pytest.raises(KeyError), no_grad():
        raise KeyError
    assert is_recording()


def test_no_grad_in_a_thread_does_not_affect_other_threads():
    inside, leave = threading.Event(), threading.Event()

    def other():
        with no_grad():
            inside.set()
            leave.wait(10)

    thread = threading.Thread(target=other)
    thread.start()
    inside.wait(10)
    assert is_recording()
    leave.set()
    thread.join()


def test_threads_may_compute_gradients_of_the_same_leaves():
    w = leaf(20, 20, name="w")

    def work(i):
        x = generator("thread", i).standard_normal((5, 20))
        y = Tensor(x)
        for _ in range(10):
            y = ops.tanh(y @ w)
        return gradients(y, [w], x)[0]

    expected = [work(i) for i in range(8)]
    with ThreadPoolExecutor(4) as pool:
        for a, b in zip(pool.map(work, range(8)), expected, strict=True):
            np.testing.assert_array_equal(a, b)
    assert w.grad is None
