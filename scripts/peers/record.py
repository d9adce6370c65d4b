"""The record of a run on every repository, docs/peers/record.json, and the tables of the page that are made from it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from peers.table import REPOSITORIES, Repository

PASS, PRECISION, CONVENTION, FAIL, PART = "pass", "prec", "conv", "FAIL", "part"
VERDICTS = {"PASS": PASS, "PRECISION": PRECISION, "CONVENTION": CONVENTION, "FAIL": FAIL}
GROUPS = {
    "the process and the reverse step": (
        "2", "4", "alpha-bar", "6", "7", "log-variance", "9", "15", "eps", "score", "velocity", "10", "11", "clip",
        "sigma", "learned-range"),
    "samplers": ("algorithm-2", "1", "ddim-12", "ddim-16", "timesteps", "respacing"),
    "training, the bound and schedules": (
        "algorithm-1", "14", "12", "5", "8", "kl", "L_T", "L_0", "13", "linear-schedule", "cosine-schedule",
        "time-embedding"),
}


def asked(repository: Repository, checkouts: Path) -> dict[str, Any]:
    """Run the checker on a repository.

    Parameters
    ----------
    repository : Repository
        The repository.
    checkouts : Path
        The folder of checkouts.

    Returns
    -------
    dict
        The entry of the record: the file's id, and for each target {equation: [verdict, reason]}.
    """
    from ddpm_np.check import run

    targets = {}
    for name, factory in repository.targets(checkouts).items():
        results = {}
        for result in run(factory).results:
            verdict = VERDICTS.get(result.verdict)
            if verdict is None and not (result.cases and math.isfinite(result.error)):
                continue  # not offered
            reason = result.counterexample if verdict == FAIL else result.hint if verdict is None else ""
            if verdict == FAIL and result.hint:
                reason += f"; {result.hint}"
            if result.note:  # it holds for the options that the code has
                verdict, reason = PART, result.note
            results[result.equation] = [verdict or PART, reason]
        targets[short(name)] = results
    blob = repository.blob(checkouts)
    return {"commit": repository.commit, "file": repository.file, "blob": blob, "targets": targets}


def short(name: str) -> str:
    """Return a target's name without a path of this machine."""
    return "" if ":" in name else name


def key(repository: Repository) -> str:
    """Return the name of a repository's entry: its own, with the folder of the file where it has two."""
    twins = [other for other in REPOSITORIES if other.name == repository.name]
    return repository.name if repository is twins[0] else f"{repository.name} ({repository.file.split('/')[-5]})"


def text(record: dict[str, Any]) -> str:
    """Return the record as it is written."""
    return json.dumps(record, ensure_ascii=False, indent=1) + "\n"


def tables(record: dict[str, Any]) -> str:
    """Return the page's tables in Markdown.

    Parameters
    ----------
    record : dict
        {name: entry}.

    Returns
    -------
    str
        A table of the repositories, and one of verdicts for each group of equations.
    """
    entries = {key(repository): repository for repository in REPOSITORIES}
    lines = ["| repository | commit | licence | file | notes |", "|---|---|---|---|---|"]
    for name, repository in entries.items():
        link = f"https://github.com/{repository.name}/tree/{repository.commit}"
        lines.append(f"| [{name}]({link}) | {repository.commit} | "
                     f"{repository.licence or 'none found'} | {repository.file} | {repository.notes} |")
    lines += ["", summary(record)]
    for title, equations in GROUPS.items():
        lines += ["", f"### Verdicts: {title}", "", *_verdicts(record, equations)]
    return "\n".join(lines)


def _verdicts(record: dict[str, Any], equations: Iterable[str]) -> list[str]:
    known = {equation for entry in record.values() for results in entry["targets"].values() for equation in results}
    columns = [equation for equation in equations if equation in known]
    lines = [f"| repository | {' | '.join(columns)} |", f"|---|{'---|' * len(columns)}"]
    for name, entry in record.items():
        for target, results in entry["targets"].items():
            if any(equation in results for equation in columns):
                cells = [results.get(equation, ["·"])[0].replace(FAIL, f"**{FAIL}**") for equation in columns]
                several = f" {target}" if len(entry["targets"]) > 1 else ""
                lines.append(f"| {name}{several} | {' | '.join(cells)} |")
    return lines


def counts(entry: dict[str, Any]) -> tuple[int, int, int]:
    """Return how many equations of an entry hold, hold in part and fail."""
    verdicts = [verdict for results in entry["targets"].values() for verdict, _ in results.values()]
    failed, part = verdicts.count(FAIL), verdicts.count(PART)
    return len(verdicts) - failed - part, part, failed


def summary(record: dict[str, Any]) -> str:
    """Return the sum of all verdicts in a sentence."""
    hold, part, failed = (sum(numbers) for numbers in zip(*map(counts, record.values()), strict=True))
    repositories = len({name.split(" ")[0] for name in record})
    return (f"In all: {repositories} repositories, {hold + part + failed} verdicts, of which {hold} hold, {part} hold "
            f"in part and {failed} are FAIL.")
