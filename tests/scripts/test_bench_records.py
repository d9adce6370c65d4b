"""scripts/bench.py keeps a record for each class of machine, part by part."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from ddpm_np.bench import Record, Result, tables
from ddpm_np.bench.timing import OURS

SCRIPT = Path(__file__).parents[2] / "scripts" / "bench.py"
HASWELL = {"cpu": "old", "cpus": 2, "blas": "openblas 0.3.31 Haswell"}  # a record from before NumPy was asked
WIDE = {"cpu": "new", "cpus": 2, "blas": "openblas 0.3.31 SkylakeX", "simd": {"NumPy": "AVX-512", "PyTorch": "AVX512"}}
HELD = {"cpu": "new", "cpus": 2, "blas": "openblas 0.3.31 Haswell", "simd": {"NumPy": "AVX2"}, "held": "avx2"}


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("bench_script", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "README.md").write_text(f"before\n{tables.START}\n{tables.END}\nafter\n", "utf-8")
    return tmp_path


def record(machine, date, complete=True, **seconds):
    results = [Result(what, f"a {what}", "s", {OURS: [each], "PyTorch contiguous": [1.0]}, "net",
                      {"FLOP": 1e9, "images": 4.0}) for what, each in seconds.items()]
    return Record({"workers": 2, "repeats": 9}, machine, date, results, complete)


def test_each_class_has_its_record_and_its_section(script, folder):
    for machine, date in ((HASWELL, "2026-01-01"), (WIDE, "2026-01-02")):
        script.keep(record(machine, date, step=2.0), folder)
    assert script.main(["--tables"], folder) == 0
    assert sorted(path.name for path in folder.glob("*.json")) == ["record-avx2.json", "record-avx512.json"]
    text = (folder / "README.md").read_text("utf-8")
    assert text.index("## AVX2 (Haswell kernels)") < text.index("Measured on 2026-01-01: 2 CPUs old") < text.index(
        "## AVX-512 (SkylakeX kernels)") < text.index("Measured on 2026-01-02: 2 CPUs new")
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")


def test_parts_that_were_not_measured_again_keep_their_date_and_machine(script, folder):
    script.keep(record(HASWELL, "2026-01-01", step=2.0, forward=3.0, ops=4.0), folder)
    script.keep(record(HELD, "2026-01-02", step=5.0, forward=6.0), folder)
    path = script.keep(record(HELD, "2026-01-03", step=7.0), folder)
    kept = Record.load(path)
    assert [(run.date, [each.what for each in run.results]) for run in (kept, *kept.earlier)] == [
        ("2026-01-03", ["step"]), ("2026-01-02", ["forward"]), ("2026-01-01", ["ops"])]
    assert script.main(["--tables"], folder) == 0
    text = (folder / "README.md").read_text("utf-8")
    step, forward, ops = (text.index(f"### {tables.TITLES[what]}") for what in ("step", "forward", "ops"))
    assert ops < text.index("Measured on 2026-01-01: 2 CPUs old") < forward < text.index("2026-01-02") < step
    assert "held to avx2" in text[:ops]  # the head of the section is the last run's
    assert text[step:].count("Measured on") == 0
    assert "7.00 s" in text[step:]


def test_a_stopped_run_replaces_only_what_it_finished(script, folder):
    script.keep(record(WIDE, "2026-01-01", step=2.0, forward=3.0), folder)
    path = script.keep(record(WIDE, "2026-01-02", complete=False, step=5.0, forward=6.0), folder)
    kept = Record.load(path)
    assert kept.every("step")[0].values[OURS] == [5.0]
    assert kept.every("forward")[0].values[OURS] == [3.0]
    assert kept.complete
    before = path.read_bytes()
    script.keep(record(WIDE, "2026-01-03", complete=False, step=9.0), folder)
    assert path.read_bytes() == before
    script.keep(record(HELD, "2026-01-03", complete=False, step=9.0), folder)
    assert not (folder / "record-avx2.json").exists()


def test_the_command_measures_into_its_own_class(script, folder, monkeypatch, capsys):
    given = []

    def measure(arguments):
        given.append(arguments)
        record(HELD, "2026-01-02", step=2.0).save(arguments[-1])
        return 0

    monkeypatch.setattr(script, "ddpm_np", measure)
    assert script.main(["--hold", "avx2", "--what", "step"], folder) == 0
    assert given[0][:-1] == ["bench", "--hold", "avx2", "--what", "step", "--json"]
    assert "## AVX2 (Haswell kernels)" in (folder / "README.md").read_text("utf-8")
    assert script.main(["--repeats", "3"], folder) == 0
    assert given[1][:5] == ["bench", "--what", "all", "--repeats", "3"]
    assert script.main(["--tables"], folder) == 0
    assert len(given) == 2


def test_a_run_that_was_stopped_or_refused(script, folder, monkeypatch, capsys):
    """What SIGTERM leaves is kept, and the page shows it; after bad arguments nothing changes."""
    def stopped(arguments):
        record(WIDE, "2026-01-02", complete=False, step=2.0, forward=3.0).save(arguments[-1])
        return 143

    before = (folder / "README.md").read_text("utf-8")
    monkeypatch.setattr(script, "ddpm_np", lambda arguments: 2)
    assert script.main(["--what", "nothing"], folder) == 2
    assert (folder / "README.md").read_text("utf-8") == before
    monkeypatch.setattr(script, "ddpm_np", stopped)
    assert script.main([], folder) == 143
    assert "### Training step" in (folder / "README.md").read_text("utf-8")
    assert capsys.readouterr().err == ""


def test_tables_of_no_record(script, folder, capsys):
    assert script.main(["--tables"], folder) == 2
    assert "there is no record yet: leave --tables out" in capsys.readouterr().err


def test_scaling_is_plotted_for_its_class(script, folder):
    results = [Result("scaling", f"batch {n}", "s", {OURS: [float(n)]}, None, {"FLOP": float(n)},
                      {"axis": "batch", "size": n}) for n in (1, 2)]
    script.keep(Record({}, WIDE, "2026-01-01", results, True), folder)
    assert script.main(["--tables"], folder) == 0
    assert (folder / "cost-avx512.png").stat().st_size > 5000
    assert "(cost-avx512.png)" in (folder / "README.md").read_text("utf-8")
