"""The benchmark's bookkeeping: turns, ratios, FLOPs, records and tables. No test asserts a speed."""

from __future__ import annotations

import itertools
import json
import os
import platform
import subprocess
import sys
import types
from pathlib import Path

import fake_cupy
import numpy as np
import pytest

from ddpm_np import bench
from ddpm_np.autograd import ops
from ddpm_np.autograd.op import Op
from ddpm_np.autograd.tensor import Tensor
from ddpm_np.bench import (
    arithmetic,
    frameworks,
    measured_process,
    net_cases,
    op_cases,
    other_load,
    peak,
    plots,
    profile,
    pytorch,
    scaling,
    tables,
    timing,
)
from ddpm_np.bench.instrument import Stopwatch, instrumented
from ddpm_np.bench.record import BUSY, Record, Result
from ddpm_np.bench.timing import COMPILED, EAGER, OURS, WARM, in_turn, ratios
from ddpm_np.cli import main
from ddpm_np.models import UNet, UNetConfig
from ddpm_np.nn import count_parameters
from ddpm_np.philox import RandomNumbers

ROOT = Path(__file__).parents[2]
TINY = bench.Net("tiny", UNetConfig(4, 1, 4, (1, 2), 1, (2,), dropout=0.1, groups=2), 4, 2)


@pytest.fixture(autouse=True)
def short_turns(monkeypatch):
    """Turns of a hundredth of a second without pauses: no test depends on what is measured."""
    monkeypatch.setattr(net_cases, "_STRETCH", 0.01)
    monkeypatch.setattr(timing, "_PAUSE", 0.0)
    monkeypatch.setattr(timing, "QUIET", 1e9)  # however busy the machine of the tests is
    monkeypatch.setattr(frameworks, "FRAMEWORKS", {})  # these are tested on their own


@pytest.fixture
def without_torch(monkeypatch):
    """As if PyTorch were not installed."""
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setitem(sys.modules, "diffusers", None)


@pytest.fixture
def tiny(monkeypatch, without_torch):
    """The command restricted to one tiny net."""
    for key in list(bench.NETS):
        monkeypatch.delitem(bench.NETS, key)
    monkeypatch.setitem(bench.NETS, "8", TINY)


def result(**values):
    return Result("step", "a step", "s", {OURS: [1.0, 2.0, 3.0], **values}, "net", {"FLOP": 6e9, "images": 4.0})


# ---------------------------------------------------------------------------------------------------------- timing

def test_sides_alternate_and_warm_up_turns_are_dropped():
    now, calls = itertools.count(), []
    times = in_turn({"a": lambda: calls.append("a"), "b": lambda: (calls.append("b"), next(now))}, 3, calls=2,
                    clock=lambda: float(next(now))).times
    assert calls == list("aabb") * (3 + WARM)
    assert times == {"a": [0.5] * 3, "b": [1.5] * 3}  # a call of b takes one more tick; two calls a run


def test_no_turn_starts_after_the_time_limit_but_three_are_always_taken():
    now, turns = itertools.count(), []
    times = in_turn({"a": lambda: None}, 50, seconds=1, on_turn=lambda: turns.append(1), clock=lambda: next(now)).times
    assert len(times["a"]) == 3
    assert len(turns) == 3 + WARM


def test_ratios_compare_neighbouring_turns_with_the_faster_layout():
    found = result(**{EAGER[0]: [2.0, 1.0, 6.0], EAGER[1]: [4.0, 4.0, 3.0], COMPILED: [0.5, 0.5, 0.5]})
    assert found.ratios() == [0.5, 2.0, 1.0]
    assert found.ratios([COMPILED]) == [2.0, 4.0, 6.0]
    assert found.better() == EAGER[0]  # medians 2 and 4
    summary = found.summary()
    assert summary["ratio"] == {"median": 1.0, "low": 0.5, "quarter": 0.75, "three_quarters": 1.5, "high": 2.0,
                                "count": 3}
    assert summary["ratio to PyTorch compiled"]["median"] == 4.0
    assert summary["medians"][OURS] == 2.0
    assert ratios({OURS: [1.0]}, OURS, EAGER) == []
    assert "ratio" not in result().summary()


# ------------------------------------------------------------------------------------------------------ arithmetic

def test_flops_of_ops_counted_by_hand():
    x, w = np.zeros((2, 8, 8, 3)), np.zeros((3, 3, 3, 5))
    y = ops.conv2d(x, w, stride=2, padding=((0, 1), (0, 1)))
    assert arithmetic.flops_of("conv2d", [x, w], y) == 2 * (2 * 4 * 4) * 9 * 3 * 5
    q, v = np.zeros((2, 6, 4)), np.zeros((2, 5, 7))
    k = np.zeros((2, 5, 4))
    assert arithmetic.flops_of("attention", [q, k, v], ops.attention(q, k, v)) == 2 * 2 * 6 * 5 * (4 + 7)
    a, b = np.zeros((3, 4, 5)), np.zeros((3, 5, 6))
    assert arithmetic.flops_of("matmul", [a, b], a @ b) == 2 * 3 * 4 * 5 * 6
    assert arithmetic.flops_of("silu", [x], x) == 0


def test_flops_of_a_net_counted_by_hand():
    """One level of 4 channels at 4×4 with one block: every product of the forward pass, written out."""
    pixels, c, wide = 16, 4, 16
    conv = 9 * (1 * c + c * c + c * c + 2 * (c * c + c * c)  # in; the block down; two in the middle
                + 2 * (2 * c * c + c * c) + c * 1)  # two up, which see a skip too; out
    shortcuts = 2 * (2 * c * c)
    attention = 4 * c * c + 2 * pixels * c  # the four dense layers; QKᵀ and PV
    dense = c * wide + wide * wide + 5 * wide * c  # of t, and into each of five blocks
    found = arithmetic.forward_flops(UNetConfig(4, 1, c, (1,), 1, (), groups=2))
    assert found["convolutions"] == 2 * pixels * (conv + shortcuts)
    assert found["products"] == 2 * (pixels * (conv + shortcuts + attention) + dense)
    net = bench.Net("", UNetConfig(4, 1, c, (1,), 1, (), groups=2), 7, 1)
    assert arithmetic.step_flops(net)["products"] == 3 * 7 * found["products"]


# -------------------------------------------------------------------------------------------------- instrument, profile

def untouched():
    drawing = [getattr(RandomNumbers, name).__qualname__ for name in ("random", "normal", "integers")]
    return Op.choose.__qualname__ == "Op.choose" and drawing == [
        "RandomNumbers.random", "RandomNumbers.normal", "RandomNumbers.integers"]


def test_instrumentation_is_removed_even_after_an_error():
    def fail():
        with instrumented(Stopwatch()):
            assert not untouched()
            raise KeyError("x")

    with pytest.raises(KeyError):
        fail()
    assert untouched()


def test_watched_ops_give_the_same_bits_and_are_timed_by_key():
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((2, 5, 5, 3)), rng.standard_normal((3, 3, 3, 4))

    def compute():
        a, b = Tensor(x, requires_grad=True), Tensor(w, requires_grad=True)
        ops.sum_(ops.square(ops.conv2d(a, b))).backward()
        return a.grad, b.grad

    stopwatch = Stopwatch()
    with instrumented(stopwatch, profile.label):
        watched = compute()
    for got, expected in zip(watched, compute(), strict=True):
        assert np.array_equal(got, expected)
    assert set(stopwatch.seconds) == {(op, way) for op in ("conv2d 3×3, 5×5, 3 → 4", "square", "sum")
                                      for way in ("forward", "backward")}


def test_nested_time_is_counted_only_once():
    now = iter([0.0, 1.0, 2.0, 5.0, 10.0])  # made; outer from 1; inner from 2 to 5; outer to 10
    stopwatch = Stopwatch(lambda: next(now))
    stopwatch.add("outer", lambda: stopwatch.add("inner", lambda: None))
    assert stopwatch.seconds == {"inner": 3.0, "outer": 6.0}


def test_a_profile_accounts_for_the_step():
    (found,) = profile.measure(TINY, workers=2, turns=3)
    rows = {row["op"]: row for row in found.facts["rows"]}
    assert sum(row["share"] for row in rows.values()) == pytest.approx(1, abs=0.2)  # a sum of medians
    own = {profile.REST, profile.TAIL, profile.DRAWS}
    assert own < set(rows)
    assert sum(row["share"] for op, row in rows.items() if op not in own) > 0.3
    assert rows["conv2d 3×3, 4×4, 1 → 4"]["calls"] == 2  # a shard each
    assert all(row["GFLOP/s"] > 0 for op, row in rows.items() if op.startswith("conv2d"))
    assert untouched()


# ----------------------------------------------------------------------------------------------------------- record

def test_a_record_round_trips_through_json(tmp_path):
    record = Record({"workers": 2, "repeats": 3}, results=[result(**{EAGER[0]: [2.0, 4.0, 6.0]})], complete=True)
    record.save(tmp_path / "r.json")
    assert Record.load(tmp_path / "r.json") == record
    text = (tmp_path / "r.json").read_text("utf-8")
    assert '"ours": [1.0, 2.0, 3.0]' in text  # on one line
    assert json.loads(text)["results"][0]["summary"]["ratio"]["median"] == 0.5
    (tmp_path / "old.json").write_text('{"schema": 0}')
    with pytest.raises(ValueError, match="schema 1, got 0: measure again"):
        Record.load(tmp_path / "old.json")


def test_a_record_does_not_name_the_host():
    described = json.dumps(Record({}).to_json())
    assert platform.node() not in described
    assert {"cpu", "cpus", "system", "python", "numpy", "blas"} <= set(Record({}).machine)


def test_markdown_tables_of_a_record():
    record = Record({"workers": 2, "repeats": 3}, complete=True, results=[
        result(**{EAGER[0]: [2.0, 4.0, 6.0]}), result()])
    record.results[0].facts[BUSY] = 0.5
    text = bench.markdown(record)
    assert "| net | a step | 2.00 s | 4.00 s | PyTorch, contiguous | 0.50 | 0.50 to 0.50 | 0.50 to 0.50 |" in text
    assert "| 3.00 | 1.50 |" in text
    assert "| net | a step | 2.00 s | absent |" in text
    assert "Other work on the machine: 0.5 to 0.5 CPUs." in text
    assert "stopped" not in text
    columns = {line.count("|") for line in text.splitlines() if line.startswith("|")}
    assert len(columns) == 1  # every row has the header's
    record.complete = False
    assert "stopped" in bench.markdown(record)


def test_the_page_shows_the_records():
    folder = ROOT / "docs" / "bench"
    paths = sorted(folder.glob("record-*.json"))
    assert [path.stem for path in paths] == [f"record-{bench.class_key(Record.load(path).machine)}" for path in paths]
    shown = (folder / "README.md").read_text("utf-8").partition(tables.START)[2].partition(tables.END)[0].strip()
    assert shown == bench.page(folder).strip(), "write the page's tables again: python scripts/bench.py --tables"


def test_tables_go_between_the_marks_of_a_page(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"before\n{tables.START}\nold\n{tables.END}\nafter\n", encoding="utf-8")
    record = Record({}, results=[result()], complete=True)
    bench.refresh(page, bench.markdown(record))
    bench.refresh(page, bench.markdown(record))
    text = page.read_text("utf-8")
    assert text == f"before\n{tables.START}\n\n{bench.markdown(record)}\n{tables.END}\nafter\n"
    page.write_text("no marks")
    with pytest.raises(ValueError, match="put them where the tables go"):
        bench.refresh(page, "tables")


# ----------------------------------------------------------------------------------------------- what there is to do

def test_without_torch_only_our_side_is_measured(without_torch):
    assert "PyTorch is not installed: pip install" in pytorch.why_absent()
    settings = bench.Settings(("step", "forward", "sample", "ops"), repeats=1, workers=2)
    for task in bench.plan(settings, {"tiny": TINY})[:5]:
        for found in task.measure():
            assert [side for side in found.values if side.startswith("PyTorch")] == []
            assert len(found.values[OURS]) == 1
            assert min(found.values[OURS]) > 0
            (row,) = tables.rows(found)
            assert "absent" in row
            assert "not installed" in found.notes[0]


def test_a_step_is_compared_with_sgemm():
    (found,) = net_cases.arithmetic(TINY, workers=2, turns=1)
    assert list(found.values) == ["sgemm, 2 threads", "sgemm, one thread", OURS]
    (row,) = tables.rows(found)
    assert len(row) == len(tables.header("arithmetic"))
    assert float(row[5]) == pytest.approx(found.values[OURS][0] / found.values["sgemm, 2 threads"][0], abs=0.006)


def test_every_part_is_planned_and_its_turns_are_counted(without_torch):
    settings = bench.Settings(bench.WHAT, repeats=4)
    tasks = bench.plan(settings)
    assert list(dict.fromkeys(task.what for task in tasks)) == list(bench.WHAT)
    assert set(tables.TITLES) == set(bench.WHAT)
    titles = [task.title for task in tasks]
    assert [title for title in titles if title.startswith("batches")] == [
        f"batches, 8×8×1, 32 channels, batch {batch}" for batch in (16, 64, 250, 500)]
    assert len([title for title in titles if title.startswith("sample, 8×8×1")]) == 2  # 64 images, and 500
    turns = []
    (task,) = (task for task in bench.plan(bench.Settings(("forward",), repeats=4), {"tiny": TINY}))
    task.run(on_turn=lambda: turns.append(1))
    assert len(turns) == task.turns == 4 + WARM


def test_shapes_of_ops_are_those_of_the_net():
    seen = set()

    def see(key, name, arrays, y):
        seen.add(key)

    for net in (bench.NETS["8"], bench.NETS["28"]):
        seen.clear()
        with instrumented(None, profile.label, see):
            UNet(net.config).eval()(net.images()[:1], net.times()[:1])
        for case in op_cases.cases(net):
            arrays = case.arrays()
            assert profile.label(case.op, arrays, case.options) in seen, case.name


@pytest.mark.parametrize("bad", [["--what", "steps"], ["--net", "9"], ["--what", ""],
                                 ["--net", "28", "--what", "batches"], ["--json", "no/such/folder/b.json"]])
def test_bad_arguments_are_one_line(bad, capsys):
    assert main(["bench", *bad]) == 2
    out, error = capsys.readouterr()
    assert out == ""
    assert error.count("\n") == 1
    assert error.startswith("ddpm-np: error: ")
    assert (bad[1] or "nothing") in error


def test_the_command_prints_tables_and_writes_json(tiny, tmp_path, capsys):
    path = tmp_path / "b.json"
    assert main(["bench", "--what", "step,profile", "--repeats", "2", "--workers", "1", "--json", str(path),
                 "--quiet"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"{bench.class_of(Record({}).machine)}\n")
    assert "training step, batch 4" in out
    assert "absent" in out
    record = Record.load(path)
    assert record.complete
    assert [found.what for found in record.results] == ["step", "profile"]
    assert record.settings["repeats"] == 2


def test_whole_nets_on_a_device(tiny, tmp_path, capsys):
    """Each timed call ends with the wait for one number."""
    path = tmp_path / "b.json"
    with fake_cupy.installed("plain"):
        for what in bench.ON_DEVICE:
            run = net_cases.ours(what, TINY, 1, backend="cupy")
            run()
            fake_cupy.counts.reset()
            run()
            assert fake_cupy.counts.transfers == 1
        assert main(["bench", "--backend", "cupy", "--repeats", "1", "--json", str(path), "--quiet"]) == 0
    out = capsys.readouterr().out
    assert "training step, batch 4" in out
    assert "Fake GPU" in out
    record = Record.load(path)
    assert record.complete
    assert [found.what for found in record.results] == list(bench.ON_DEVICE)
    assert record.settings["backend"] == "cupy"
    with fake_cupy.installed():
        assert main(["bench", "--backend", "cupy", "--what", "step,profile"]) == 2
    assert "profile measures the CPU alone: with --backend cupy choose some of step, forward" in capsys.readouterr().err


def test_pytorch_without_cuda_is_not_measured_on_a_device(monkeypatch):
    absent = types.SimpleNamespace(cuda=types.SimpleNamespace(is_available=lambda: False))
    monkeypatch.setattr(pytorch, "why_absent", lambda: None)
    monkeypatch.setattr(pytorch, "imported", lambda name, of: absent)
    found, (note,) = pytorch.sides(TINY.config, lambda net: net, False, "cuda:0")
    assert found == {}
    assert "finds no GPU" in note


def test_what_was_measured_before_ctrl_c_is_kept(tiny, tmp_path, capsys, monkeypatch):
    def interrupted(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(profile, "measure", interrupted)
    path = tmp_path / "b.json"
    assert main(["bench", "--what", "forward,profile", "--repeats", "1", "--json", str(path), "--quiet"]) == 130
    record = Record.load(path)
    assert not record.complete
    assert [found.what for found in record.results] == ["forward", "forward"]


# ------------------------------------------------------------------------------------------- growth, memory, others

def test_growth_of_known_times():
    """Time ∝ size and arithmetic ∝ size², so that time/arithmetic falls; then the reverse."""
    def results(power):
        return [Result("scaling", "", "s", {OURS: [float(n)] * 2}, work={"FLOP": float(n) ** power},
                       facts={"axis": "batch", "size": n}) for n in (4, 1, 2)]

    (row,) = scaling.growth(results(2))
    assert row[:2] == ("batch", OURS)
    assert row[2:] == pytest.approx((1, 2, 0.5))
    (row,) = scaling.growth(results(0.5))
    assert row[2:] == pytest.approx((1, 0.5, 2))


def test_scaling_and_its_plot(without_torch, tmp_path):
    nets = [(n, bench.Net(f"batch {n}", TINY.config, n, 1)) for n in (1, 2)]
    found = scaling.measure("batch", nets, workers=1, turns=1)
    assert [each.name for each in found] == ["batch 1", "batch 2"]
    assert found[1].work["FLOP"] == 2 * found[0].work["FLOP"]
    plots.plot_cost(tmp_path / "cost.png", found)
    assert (tmp_path / "cost.png").stat().st_size > 5000
    with pytest.raises(ValueError, match="measure --what scaling first"):
        plots.plot_cost(tmp_path / "none.png", [])


def test_peak_memory_is_measured_in_a_separate_process(without_torch):
    whole_of, *above = peak.measure(TINY, workers=1, turns=1, steps=1)
    assert 20 < whole_of.values[OURS][0] < 1000  # MiB: an interpreter with NumPy, and next to nothing
    assert all(0 <= each.values[OURS][0] < whole_of.values[OURS][0] for each in above)


def test_an_error_in_the_measured_process_is_reported():
    with pytest.raises(ChildProcessError, match=r"'ours' ended before it was done: ValueError: .*'many'"):
        peak.peak_of(OURS, TINY, "many", 1)


def test_encoded_nets_round_trip():
    for net in bench.NETS.values():
        assert measured_process.decode(measured_process.encode(net)) == net


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="this system keeps no such account")
def test_memory_of_child_processes_is_counted():
    before = peak.shared_size(os.getpid())
    code = "import sys, time; x = bytearray(50 << 20); print(flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        assert process.pid in other_load.process_tree(os.getpid())
        assert peak.shared_size(os.getpid()) - before > 50 << 20


def test_processor_time_of_other_processes(monkeypatch, tmp_path):
    """A fake /proc with this process, its child, its grandchild and a stranger; 10 seconds pass."""
    ticks, own = os.sysconf("SC_CLK_TCK"), os.getpid()

    def put(busy, *processes):
        stolen = busy // 10
        text = f"cpu  {(busy - stolen) * ticks} 0 0 999999 999999 0 0 {stolen * ticks} 0 0\ncpu0 1 1\n"
        (tmp_path / "stat").write_text(text)
        for pid, parent, seconds in processes:
            (tmp_path / str(pid)).mkdir(exist_ok=True)
            (tmp_path / str(pid) / "stat").write_text(f"{pid} (a name) S {parent} {'0 ' * 9} {seconds * ticks} 0 0 0 0")

    monkeypatch.setattr(other_load, "PROC", tmp_path)
    now = iter([0.0, 10.0, 10.0, 20.0])
    monkeypatch.setattr(other_load, "monotonic", lambda: next(now))
    family = (own + 1, own, 2), (own + 2, own + 1, 3)
    put(100, (own, 1, 20), *family, (own + 3, 1, 50))
    assert sorted(other_load.process_tree(own)) == [own, own + 1, own + 2]
    with other_load.OtherLoad() as others:
        put(120, (own, 1, 27), *family, (own + 3, 1, 63))  # 20 s of processor time: 7 of them are this process's
    assert others.cpus == pytest.approx(1.3)
    assert others.steal == pytest.approx(0.2)
    assert others.seconds == 10
    (tmp_path / "stat").unlink()
    with other_load.OtherLoad() as others:
        pass
    assert others.cpus is None
    assert others.steal is None


# ------------------------------------------------------------------------------------------------------------ peers

@pytest.mark.peers
@pytest.mark.parametrize("key", list(bench.NETS))
def test_both_nets_have_the_same_number_of_parameters(key):
    pytest.importorskip("diffusers")
    config = bench.NETS[key].config
    theirs = sum(p.numel() for p in pytorch.build(config).parameters())
    assert theirs == count_parameters(UNet(config))[0]


@pytest.mark.peers
def test_both_sides_are_measured():
    pytest.importorskip("diffusers")
    settings = bench.Settings(("step", "forward", "sample", "ops"), repeats=1, workers=2)
    for task in bench.plan(settings, {"tiny": TINY})[:4]:
        for found in task.measure():
            assert found.notes == []
            assert EAGER[0] in found.values
            assert found.ratios()[0] > 0


@pytest.mark.peers
def test_ops_of_both_sides_compute_the_same():
    torch = pytest.importorskip("torch")
    for case in op_cases.cases(TINY):
        arrays = case.arrays()
        y = getattr(ops, case.op)(*arrays, **case.options)
        for layout in pytorch.LAYOUTS.values():
            found = pytorch.operation(case.op, layout, arrays, case.options, None)()
            found = (found.permute(0, 2, 3, 1) if found.ndim == 4 else found).numpy()
            assert np.abs(found - y).max() < 1e-4, case.name
            g = np.ones_like(y)
            assert len(pytorch.operation(case.op, layout, arrays, case.options, g)()) == len(arrays)
    assert torch.get_num_threads() >= 1


@pytest.mark.peers
def test_a_failing_torch_compile_is_one_line(monkeypatch):
    torch = pytest.importorskip("torch")
    pytest.importorskip("diffusers")

    def no_compiler(net):
        def call(*args):
            raise RuntimeError("no C++ compiler\nand much more")
        return call

    monkeypatch.setattr(torch, "compile", no_compiler)
    found, apart = net_cases.compare("forward", TINY, 1, 1, compiled=True)
    assert apart.values[EAGER[0]] == found.values[EAGER[0]]
    assert apart.values[OURS] != found.values[OURS]
    assert found.notes == ["torch.compile does not work here: RuntimeError: no C++ compiler"]
    assert COMPILED not in found.values
