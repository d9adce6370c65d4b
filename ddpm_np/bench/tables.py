"""Format results as tables, for the terminal and in Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ddpm_np.bench.machine import class_of
from ddpm_np.bench.record import SAME, Record, Result
from ddpm_np.bench.scaling import growth
from ddpm_np.bench.timing import COMPILED, EAGER, OURS, QUIET, spread
from ddpm_np.storage import write_atomically

TITLES = {
    "arithmetic": "Convolutions of a training step beside sgemm (2,048³, float32)",
    "ops": "Single ops",
    "forward": "Forward pass of the U-Net (evaluation, no gradient)",
    "step": "Training step (draws, forward, backward, clip, Adam, EMA)",
    "sample": "Sampling (Algorithm 2)",
    "batches": "Forward pass by batch",
    "data": "Data loading (an epoch, flips)",
    "memory": "Peak memory of a training run, in a process of its own",
    "profile": "A training step by op",
    "scaling": "Time against size",
}
_RATES = {"ops": "GFLOP/s", "forward": "GFLOP/s", "step": "GFLOP/s", "sample": "images/s", "data": "images/s",
          "scaling": "GFLOP/s", "batches": "ms an image"}
_WHOSE = {side: side.replace("PyTorch ", "PyTorch, ") for side in (*EAGER, COMPILED)}
START, END = "<!-- tables: written by scripts/bench.py -->", "<!-- end of tables -->"


def header(what: str) -> list[str]:
    """Return the column names of one part of the benchmark."""
    if what == "arithmetic":
        return ["net", "what", "GFLOP/s", "sgemm", "one thread", "of sgemm", "quartiles", "range"]
    if what == "profile":
        return ["net", "op", "calls", "forward", "backward", "share", "GFLOP/s"]
    rate = _RATES.get(what)
    columns = ["net", "what", "ours", "theirs", "whose", "ratio", "quartiles", "range"]
    return [*columns, f"{rate}, ours", f"{rate}, theirs"] if rate else columns


def rows(result: Result) -> list[list[str]]:
    """Return a result's rows of cells, in the columns of `header`."""
    net = result.net or ""
    if result.what == "profile":
        return [[net, row["op"], str(row["calls"]), f"{row['forward ms']:.2f} ms", f"{row['backward ms']:.2f} ms",
                 f"{row['share']:.1%}", f"{row['GFLOP/s']:.0f}" if "GFLOP/s" in row else ""]
                for row in result.facts["rows"]]
    if result.what == "arithmetic":
        all_of_them, single = (side for side in result.values if side != OURS)
        return [[net, result.name, *(f"{spread(result.kept[side]).median:.0f}" for side in
                                     (OURS, all_of_them, single)), *_spread(result.ratios([all_of_them]))]]
    return [[net, result.name, *_compared(result, result.better(), result.ratios())],
            *([net, result.name, *_compared(result, side, result.ratios([side]))] for side in result.others())]


def turns_of(results: Sequence[Result]) -> list[str]:
    """Return a sentence on the turns dropped from results, and one on the load in those that count."""
    found = []
    dropped = [out for result in results if SAME not in result.facts for out in result.turns.get("dropped", ())]
    if any(dropped):
        found.append(f"{sum(dropped)} of {len(dropped)} turns were dropped, in which other processes kept more than "
                     f"{QUIET} CPUs busy.")
    load, steal = ([each for result in results for each in result.busy(part)] for part in ("load", "steal"))
    if load:
        stolen = f"; up to {max(steal):.2f} of them other guests of the hypervisor" if any(steal) else ""
        found.append(f"Other work on the machine: {min(load):.1f} to {max(load):.1f} CPUs{stolen}.")
    return found


def _compared(result: Result, side: str | None, ratios: Sequence[float]) -> list[str]:
    """Return the cells of a comparison: both medians, whose the other is, the ratio, and rates if work is counted."""
    mine = spread(result.kept[OURS]).median
    their = None if side is None else spread(result.kept[side]).median
    cells = [quantity(mine, result.unit), "absent" if their is None else quantity(their, result.unit),
             _WHOSE.get(side or "", side or "PyTorch"), *_spread(ratios)]
    rate = _RATES.get(result.what)
    if rate is None:
        return cells
    work = result.work.get("FLOP", 0) / 1e9 if rate == "GFLOP/s" else result.work.get("images")
    if not work:
        return [*cells, "", ""]
    return [*cells, *("" if seconds is None else number(1e3 * seconds / work if rate == "ms an image" else
                                                        work / seconds) for seconds in (mine, their))]


def _spread(ratios: Sequence[float]) -> list[str]:
    if not ratios:
        return ["", "", ""]
    found = spread(ratios)
    return [f"{found.median:.2f}", f"{found.quarter:.2f} to {found.three_quarters:.2f}",
            f"{found.low:.2f} to {found.high:.2f}"]


def number(value: float) -> str:
    """Format a number with three digits, or with all digits before the point.

    >>> number(0.0123456), number(1.5), number(12345.6)
    ('0.0123', '1.50', '12,346')
    """
    digits = 0 if value >= 100 else 1 if value >= 10 else 2 if value >= 1 else 4
    return f"{value:,.{digits}f}"


def quantity(value: float, unit: str) -> str:
    """Format a number with its unit, seconds as s, ms or µs.

    >>> quantity(0.00123, "s"), quantity(512.3, "MiB")
    ('1.23 ms', '512 MiB')
    """
    if unit != "s":
        return f"{number(value)} {unit}"
    for least, factor, name in ((1, 1, "s"), (1e-3, 1e3, "ms")):
        if value >= least:
            return f"{number(value * factor)} {name}"
    return f"{number(value * 1e6)} µs"


def growth_rows(results: Sequence[Result]) -> list[list[str]]:
    """Return the rows of the growth of time and arithmetic, in the columns of `GROWTH`."""
    return [[row.axis, row.side, f"{row.time:.2f}", f"{row.arithmetic:.2f}", f"{row.largest:.2f}"]
            for row in growth(results)]


GROWTH = ["size", "side", "slope of time", "slope of arithmetic", "largest growth of time/arithmetic"]


def aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    """Join cells into columns of at least these widths, the first two left-aligned, the others right-aligned."""
    found = [cell.ljust(width) if i < 2 else cell.rjust(width)
             for i, (cell, width) in enumerate(zip(cells, widths, strict=True))]
    return "  ".join(found).rstrip()


def widths(what: str) -> list[int]:
    """Return the widths of a terminal's columns, fixed before the rows are known."""
    return [max(len(name), 22 if i == 0 or name == "whose" else 58 if i == 1 else 9 if i < 6 else 12)
            for i, name in enumerate(header(what))]


def _table(head: Sequence[str], body: Sequence[Sequence[str]]) -> list[str]:
    """Return a Markdown table without the columns that are empty in every row."""
    kept = [i for i in range(len(head)) if any(row[i] for row in body)]
    return [f"| {' | '.join(row[i] for i in kept)} |" for row in (head, ["---"] * len(head), *body)]


def markdown(record: Record, level: int = 2) -> str:
    """Format all tables of a record in Markdown, with the machine that each part was measured on and when.

    Parameters
    ----------
    record : Record
        The record.
    level : int
        Level of the tables' headings.

    Returns
    -------
    str
        The text.
    """
    lines = [_measured(record)]
    if not record.complete:
        lines.append("\nThis run was stopped before it had measured everything.")
    for what, title in TITLES.items():
        for run in (record, *record.earlier):
            results = run.of(what)
            if not results:
                continue
            lines += ["", f"{'#' * level} {title}", ""]
            if run is not record:
                lines += [_measured(run), ""]
            lines += _table(header(what), [row for result in results for row in rows(result)])
            if what == "scaling":
                lines += ["", *_table(GROWTH, growth_rows(results))]
            lines += [f"\n{note}" for note in dict.fromkeys(note for result in results for note in result.notes)]
            lines += [f"\n{line}" for line in turns_of(results)]
    return "\n".join(lines) + "\n"


def page(folder: str | Path) -> str:
    """Format a folder's records in Markdown, a section for each class of machine, with its plot if it has one.

    Parameters
    ----------
    folder : str or Path
        Where ``record-CLASS.json`` and ``cost-CLASS.png`` are.

    Returns
    -------
    str
        The text.
    """
    parts = []
    for path in sorted(Path(folder).glob("record-*.json")):
        record, plot = Record.load(path), path.with_name(f"{path.stem.replace('record', 'cost', 1)}.png")
        text = markdown(record, 3)
        if plot.exists():
            head = f"### {TITLES['scaling']}\n\n"
            text = text.replace(head, f"{head}![Time of a training step, and of a GFLOP]({plot.name})\n\n")
        parts.append(f"## {class_of(record.machine)}\n\nAll raw times: [{path.name}]({path.name}).\n\n{text}")
    return "\n".join(parts)


def _measured(record: Record) -> str:
    return f"Measured on {record.date}: {describe(record.machine)}. {_how(record.settings)}"


def describe(machine: dict[str, Any]) -> str:
    """Describe a machine in one line."""
    caches = ", ".join(f"{level} {size}" for level, size in machine.get("caches", {}).items())
    parts = [f"{machine.get('cpus')} CPUs {machine.get('cpu', '')}".strip(), caches,
             f"{machine['memory GiB']} GiB" if "memory GiB" in machine else "", machine.get("gpu", ""),
             machine.get("system", ""),
             f"Python {machine.get('python')}",
             *(f"{name} {machine[name]}" for name in ("numpy", "torch", "diffusers", "jax", "onnxruntime", "tinygrad")
               if name in machine),
             f"BLAS {machine.get('blas')}",
             *(f"{name} with {simd}" for name, simd in machine.get("simd", {}).items() if simd),
             f"held to {machine['held']}" if "held" in machine else ""]
    return "; ".join(part for part in parts if part)


def _how(settings: dict[str, Any]) -> str:
    return f"{settings.get('workers')} threads each, up to {settings.get('repeats')} turns."


def refresh(page: str | Path, text: str) -> None:
    """Write text into a Markdown page between its two marker lines.

    Raises `ValueError` if the page lacks them.
    """
    path = Path(page)
    whole = path.read_text(encoding="utf-8")
    if START not in whole or END not in whole:
        raise ValueError(f"{page}: expected the lines {START} and {END}: put them where the tables go")
    head, tail = whole.partition(START)[0], whole.partition(END)[2]
    write_atomically(path, [f"{head}{START}\n\n{text}\n{END}{tail}".encode()])
