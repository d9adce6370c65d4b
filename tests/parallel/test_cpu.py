"""A worker keeps off its parent's CPU, where the others suffice for all workers."""

from __future__ import annotations

import ctypes
import os
import sys

import pytest

from ddpm_np.parallel import cpu
from ddpm_np.parallel.processes import WorkerProcesses

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="CPUs are chosen on Linux")


@pytest.fixture
def affinity(monkeypatch):
    """A system with CPUs 2, 3, 5 and 8 for this process: what was set, in order."""
    chosen = []
    monkeypatch.setattr(os, "sched_getaffinity", lambda thread: {2, 3, 5, 8}, raising=False)
    monkeypatch.setattr(os, "sched_setaffinity", lambda thread, cpus: chosen.append((thread, cpus)), raising=False)
    cpu._allowed.cache_clear()
    yield chosen
    cpu._allowed.cache_clear()


@pytest.mark.parametrize(("number", "processes", "expected"), [
    (3, 1, {2, 5, 8}), (3, 3, {2, 5, 8}), (8, 2, {2, 3, 5}), (4, 4, {2, 3, 5, 8}),
])
def test_the_others_are_allowed(affinity, number, processes, expected):
    cpu.keep_off(number, processes)
    assert affinity == [(0, expected)]


@pytest.mark.parametrize(("number", "processes"), [(3, 4), (4, 5), (-1, 1)])
def test_nothing_is_set_where_the_others_are_too_few_or_the_cpu_is_unknown(affinity, number, processes):
    cpu.keep_off(number, processes)
    assert affinity == []


def test_a_process_with_one_cpu_keeps_it(affinity, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda thread: {2})
    cpu.keep_off(2, 1)
    assert affinity == []


def test_the_next_call_starts_from_all_cpus(affinity, monkeypatch):
    """Not from those that the last call left."""
    cpu.keep_off(2, 1)
    monkeypatch.setattr(os, "sched_getaffinity", lambda thread: {3, 5, 8})
    cpu.keep_off(3, 1)
    assert affinity == [(0, {3, 5, 8}), (0, {2, 5, 8})]


def test_a_system_that_refuses_is_left_alone(affinity, monkeypatch):
    def refuse(thread, cpus):
        affinity.append(cpus)
        raise PermissionError("not allowed")

    monkeypatch.setattr(os, "sched_setaffinity", refuse)
    cpu.keep_off(2, 1)
    assert affinity == [{3, 5, 8}]


@pytest.mark.parametrize("library", [lambda name: object(), lambda name: (_ for _ in ()).throw(OSError)])
def test_a_library_without_sched_getcpu(monkeypatch, library):
    monkeypatch.setattr(ctypes, "CDLL", library)
    cpu._getcpu.cache_clear()
    try:
        assert cpu.current() == -1
    finally:
        cpu._getcpu.cache_clear()


@on_linux
def test_the_current_cpu_is_one_of_those_allowed():
    assert cpu.current() in {-1, *os.sched_getaffinity(0)}


@on_linux
def test_workers_are_off_their_parents_cpu_and_the_parent_stays_where_it_is(monkeypatch):
    """For each message: the parent may have moved."""
    allowed = os.sched_getaffinity(0)
    workers = WorkerProcesses(lambda worker, _: os.sched_getaffinity(0), 1)
    try:
        for number in [*sorted(allowed)[:2], -1]:
            monkeypatch.setattr(cpu, "current", lambda number=number: number)
            workers.send(0, None)
            found = workers.receive(0)
            if len(allowed) == 1:
                assert found == allowed
            elif number >= 0:
                assert found == allowed - {number}
                last = found
            else:
                assert found == last
    finally:
        workers.close()
    assert os.sched_getaffinity(0) == allowed
