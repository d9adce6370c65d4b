"""Tasks in order, each in a copy of the context, by any number of threads; and one BLAS thread in each."""

from __future__ import annotations

import contextvars
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import threadpoolctl
from gradient_inputs import generator

from ddpm_np.autograd import ops
from ddpm_np.autograd.op import chosen_kernels, kernels
from ddpm_np.autograd.tensor import is_recording, no_grad
from ddpm_np.parallel.threads import contiguous_spans, default_workers, map_in_order, single_threaded_blas

WORKERS = pytest.mark.parametrize("workers", [1, 2, 4])


@WORKERS
def test_results_come_in_order(workers):
    def work(i):
        time.sleep(0.002 * (7 - i))  # later ones are done first
        return i * i

    assert list(map_in_order(work, range(8), workers)) == [i * i for i in range(8)]
    assert list(map_in_order(work, [], workers)) == []


def test_one_result_is_kept_for_no_longer_than_it_takes():
    """With one worker, nothing is computed ahead of its turn."""
    done = []
    results = map_in_order(lambda i: done.append(i) or i, range(3), 1)
    assert next(results) == 0
    assert done == [0]


def test_several_workers_are_several_threads():
    barrier = threading.Barrier(3, timeout=10)
    threads = list(map_in_order(lambda _: barrier.wait() >= 0 and threading.get_ident(), range(3), 3))
    assert len(set(threads)) == 3
    assert threading.get_ident() not in threads


@WORKERS
def test_the_callers_context_holds(workers):
    own = contextvars.ContextVar("own", default="unset")
    own.set("set")
    with no_grad(), kernels("reference"):
        found = list(map_in_order(lambda _: (is_recording(), chosen_kernels(), own.get()), range(4), workers))
    assert found == [(False, "reference", "set")] * 4


@WORKERS
def test_context_variables_set_in_a_task_stay_in_it(workers):
    own = contextvars.ContextVar("own", default=0)

    def work(i):
        seen = own.get()
        own.set(i + 1)
        return seen

    assert list(map_in_order(work, range(5), workers)) == [0] * 5
    assert own.get() == 0


@WORKERS
def test_an_error_is_raised_when_its_turn_comes(workers):
    def work(i):
        if i == 2:
            raise KeyError("task 2")
        return i

    results = map_in_order(work, range(5), workers)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(KeyError, match="task 2"):
        next(results)
    assert list(map_in_order(lambda i: i, range(3), workers)) == [0, 1, 2]  # the threads are there still


def test_nested_calls_do_not_deadlock():
    """In a process of its own, which could wait for ever."""
    code = """
from ddpm_np.parallel.threads import map_in_order
print(*map_in_order(lambda i: sum(map_in_order(lambda j: 10 * i + j, range(3), 2)), range(4), 2))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout.split() == ["3", "33", "63", "93"]


def blas_threads():
    """The number of threads of the BLAS that NumPy uses."""
    pools = [pool for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"]
    return {pool["num_threads"] for pool in pools if len(pools) == 1 or "numpy" in pool["filepath"]}


@WORKERS
def test_blas_has_one_thread_inside_and_what_it_had_outside(workers):
    before = blas_threads()
    assert before, "no BLAS that threadpoolctl knows"
    for found in map_in_order(lambda _: blas_threads(), range(3), workers):
        assert found == {1}
    assert blas_threads() == before
    with pytest.raises(KeyError), single_threaded_blas():
        raise KeyError
    assert blas_threads() == before
    with single_threaded_blas():
        assert blas_threads() == {1}
    assert blas_threads() == before


def test_blas_has_one_thread_until_the_last_has_left():
    """Contexts of two threads that overlap, the first one leaving first."""
    before, entered, leave, left = blas_threads(), threading.Event(), threading.Event(), threading.Event()

    def other():
        with single_threaded_blas():
            entered.set()
            leave.wait(10)
        left.set()

    thread = threading.Thread(target=other)
    with single_threaded_blas():
        thread.start()
        entered.wait(10)
    assert blas_threads() == {1}
    leave.set()
    thread.join()
    assert left.is_set()
    assert blas_threads() == before


def test_blas_has_one_thread_for_callers_that_are_threads():
    before, found = blas_threads(), []
    with single_threaded_blas():
        pass  # the main thread was here first
    thread = threading.Thread(target=lambda: found.extend(map_in_order(lambda _: blas_threads(), range(2), 2)))
    thread.start()
    thread.join()
    assert found == [{1}, {1}]
    assert blas_threads() == before


def test_products_do_not_depend_on_the_workers():
    x = generator("workers").standard_normal((8, 200, 60)).astype(np.float32)
    w = generator("weights").standard_normal((60, 70)).astype(np.float32)
    found = [b"".join(y.tobytes() for y in map_in_order(lambda i: ops.linear(x[i : i + 1], w), range(8), workers))
             for workers in (1, 2, 4)]
    assert found[0] == found[1] == found[2]


def test_spans_are_contiguous_and_nearly_equal():
    for n in range(1, 12):
        for count in range(1, 15):
            spans = contiguous_spans(n, count)
            lengths = [end - first for first, end in spans]
            assert [i for span in spans for i in range(*span)] == list(range(n))
            assert len(spans) == min(n, count)
            assert max(lengths) - min(lengths) <= 1
    assert contiguous_spans(0, 3) == [(0, 0)]


def test_the_default_is_at_least_one():
    assert default_workers() >= 1
