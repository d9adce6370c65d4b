"""Turns that other processes disturbed are dropped: by fake loads and clocks."""

from __future__ import annotations

import dataclasses
import itertools
import sys

import pytest

from ddpm_np import bench
from ddpm_np.bench import net_cases, tables, timing
from ddpm_np.bench.record import SAME, Record, Result
from ddpm_np.bench.timing import MORE, OURS, WARM, Turns, in_turn
from ddpm_np.cli import main
from ddpm_np.models import UNetConfig


class Loads:
    """Contexts that measure the given loads, one after the other; the last one again and again."""

    def __init__(self, *loads, steal=0.0, seconds=1.0):
        self.loads, self.steal, self.seconds, self.opened = loads, steal, seconds, 0

    def __call__(self):
        return self

    def __enter__(self):
        self.cpus = self.loads[min(self.opened, len(self.loads) - 1)]
        self.opened += 1
        return self

    def __exit__(self, *error):
        pass


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr(timing, "_PAUSE", 0.0)


def measured(loads, turns=4, *, tick=1.0, **options):
    """Take turns of one side by a clock that passes `tick` seconds at each reading."""
    now = itertools.count()
    return in_turn({OURS: lambda: None}, turns, clock=lambda: tick * next(now), load=loads, **options)


def test_quiet_turns_are_all_kept_and_no_more_are_taken():
    told = []
    turns = measured(Loads(0.0, 0.1, 0.2), on_turn=lambda: told.append(1))
    assert turns.load == [0.0, 0.1, 0.2, 0.2]
    assert turns.dropped == [False] * 4
    assert turns.notes == []
    assert len(told) == WARM + 4


def test_a_disturbed_turn_is_dropped_and_another_taken_in_its_place():
    told = []
    turns = measured(Loads(0.0, 0.5, 0.1, 0.9, 0.0), on_turn=lambda: told.append(1))
    assert turns.load == [0.0, 0.5, 0.1, 0.9, 0.0, 0.0]
    assert turns.dropped == [False, True, False, True, False, False]
    assert turns.notes == []
    assert len(told) == WARM + 4
    assert len(turns.times[OURS]) == 6


def test_the_quietest_turns_are_kept_with_a_note_where_too_few_are_quiet():
    turns = measured(Loads(0.9, 0.4, 0.1, 0.8, 0.7, 0.5, 0.6, 1.0))
    assert len(turns.load) == MORE * 4
    assert [load for load, out in zip(turns.load, turns.dropped, strict=True) if not out] == [0.4, 0.1, 0.5]
    (note,) = turns.notes
    assert "only 1 of 8 turns were quiet: the 3 quietest count, with up to 0.5 CPUs busy" in note


def test_three_quiet_turns_are_enough_once_no_more_may_be_taken():
    turns = measured(Loads(0.0, 0.0, 0.0, 0.3))
    assert turns.dropped == [False] * 3 + [True] * 5
    assert turns.notes == []


def test_short_turns_are_judged_together():
    """A turn of a tenth of a second: five of them are one reading of the load."""
    loads = Loads(0.0, 0.4, 0.1, seconds=0.5)
    turns = measured(loads, 10, tick=0.1 / 3)  # a turn reads the clock twice, and its warm-up around it
    assert turns.load == [0.0] * 5 + [0.4] * 5 + [0.1] * 5
    assert turns.dropped == [False] * 5 + [True] * 5 + [False] * 5
    assert loads.opened == 3


def test_a_measurement_too_short_to_be_judged_is_kept():
    turns = measured(Loads(1.5, seconds=0.1), 2)
    assert turns.dropped == turns.load == []
    assert len(turns.times[OURS]) == 2


def test_no_load_is_known_where_the_system_does_not_report_it():
    turns = measured(Loads(None), 2)
    assert turns == Turns({OURS: [1.0, 1.0]})


def test_a_time_limit_ends_a_disturbed_measurement_too():
    turns = measured(Loads(0.9), 50, seconds=3.0)
    assert len(turns.load) == 3  # twice the limit has passed
    assert turns.dropped == [False] * 3
    assert "only 0 of 3" in turns.notes[0]
    assert len(measured(Loads(0.0), 50, seconds=3.0).load) == 3


def test_calls_can_differ_by_side():
    calls, now = [], itertools.count()
    turns = in_turn({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, 1, calls={"a": 1, "b": 4},
                    clock=lambda: float(next(now)), load=Loads(0.0))
    assert calls == list("abbbb") * (1 + WARM)
    assert turns.times == {"a": [1.0], "b": [0.25]}


def result():
    turns = Turns({OURS: [1.0, 9.0, 3.0], "PyTorch contiguous": [2.0, 3.0, 2.0], "JAX": [4.0, 1.0, 6.0]},
                  [0.0, 0.7, 0.1], [0.0, 0.5, 0.05], [False, True, False], ["a note"])
    return Result.of_turns("step", "a step", turns, net="a net", notes=["another"])


def test_a_dropped_turn_counts_nowhere_but_stays_in_the_record(tmp_path):
    found = result()
    assert found.values[OURS] == [1.0, 9.0, 3.0]
    assert found.kept[OURS] == [1.0, 3.0]
    assert found.ratios() == [0.5, 1.5]
    assert found.ratios(["JAX"]) == [0.25, 0.5]
    assert found.others() == ["JAX"]
    assert found.summary()["medians"][OURS] == 2.0
    assert found.summary()["ratio to JAX"]["median"] == 0.375
    assert found.busy() == [0.0, 0.1]
    assert found.notes == ["another", "a net, a step: a note"]
    Record({}, results=[found], complete=True).save(tmp_path / "r.json")
    assert Record.load(tmp_path / "r.json").results == [found]
    assert '"dropped": [false, true, false]' in (tmp_path / "r.json").read_text("utf-8")


def test_tables_say_how_many_turns_were_dropped_and_what_the_hypervisor_took():
    assert tables.turns_of([result()]) == [
        "1 of 3 turns were dropped, in which other processes kept more than 0.2 CPUs busy.",
        "Other work on the machine: 0.0 to 0.1 CPUs; up to 0.05 of them other guests of the hypervisor."]
    again = dataclasses.replace(result(), facts={SAME: "a step"})
    assert tables.turns_of([result(), again])[0].startswith("1 of 3 turns")
    first, second = tables.rows(result())
    assert first[3:6] == ["2.00 s", "PyTorch, contiguous", "1.00"]
    assert second[3:6] == ["5.00 s", "JAX", "0.38"]


def test_some_sides_of_turns_keep_the_account():
    turns = Turns({"ours 1": [1.0], "ours 2": [2.0]}, [0.1], [0.0], [False], ["a note"])
    assert turns.of({OURS: "ours 2"}) == Turns({OURS: [2.0]}, [0.1], [0.0], [False], ["a note"])


def test_the_command_says_what_it_dropped(monkeypatch, capsys):
    tiny = bench.Net("tiny", UNetConfig(4, 1, 4, (1, 2), 1, (2,), groups=2), 4, 2)
    monkeypatch.setitem(bench.NETS, "8", tiny)
    monkeypatch.setitem(in_turn.__kwdefaults__, "load", Loads(0.0, 0.9, 0.0))
    monkeypatch.setattr(net_cases, "_STRETCH", 0.01)
    monkeypatch.setattr(timing, "_JUDGED", 1e-9)  # each turn has a reading of its own
    for module in ("torch", "diffusers", "jax", "tinygrad"):
        monkeypatch.setitem(sys.modules, module, None)
    assert main(["bench", "--what", "step", "--net", "8", "--repeats", "2", "--workers", "1", "--quiet"]) == 0
    out = capsys.readouterr().out
    assert "1 of 3 turns were dropped, in which other processes kept more than 0.2 CPUs busy." in out
    assert "JAX was not measured: JAX is not installed" in out
