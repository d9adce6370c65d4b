"""The report as text: a line for each equation, and below each FAIL its counterexample."""

from __future__ import annotations

import math

from ddpm_np.check.result import CONVENTION, FAIL, PASS, PRECISION, UNVERIFIED, VERDICTS, Report, Result

_COLOURS = {PASS: "32", FAIL: "1;31", PRECISION: "33", CONVENTION: "36", UNVERIFIED: "2"}
HEADER = f"{'equation':25} {'verdict':10} {'worst error':>11} {'tolerance':>9} {'cases':>5} {'time':>8}  what it is"


def line(result: Result, colour: bool = False) -> str:
    """Format a result as a row of the table, with counterexample and hint below it.

    Parameters
    ----------
    result : Result
        The result.
    colour : bool
        Colour the verdict with terminal codes.

    Returns
    -------
    str
        One to three lines.
    """
    verdict = f"{result.verdict:10}"
    if colour:
        verdict = f"\x1b[{_COLOURS[result.verdict]}m{verdict}\x1b[0m"
    error = "" if math.isnan(result.error) else f"{result.error:.1e}"
    tolerance = f"{result.tolerance:.0e}" if error else ""
    row = (f"{result.equation:25} {verdict} {error:>11} {tolerance:>9} {result.cases or '':>5} "
           f"{1000 * result.seconds:5.0f} ms  {result.title}")
    below = [result.counterexample, result.hint, result.note]
    return "\n".join([row, *(f"    {text}" for text in below if text)])


def summary(report: Report) -> str:
    """Format the number of each verdict, and the time.

    Parameters
    ----------
    report : Report
        The report.

    Returns
    -------
    str
        One line.
    """
    counts = ", ".join(f"{report.count(verdict)} {verdict}" for verdict in VERDICTS if report.count(verdict))
    return f"{report.target}: {counts or 'nothing checked'}; {report.seconds:.1f} s, seed {report.seed}"


def table(report: Report, colour: bool = False) -> str:
    """Format the whole report.

    Parameters
    ----------
    report : Report
        The report.
    colour : bool
        Colour the verdicts with terminal codes.

    Returns
    -------
    str
        The table and the summary.

    Examples
    --------
    >>> from ddpm_np.check import run
    >>> from ddpm_np.check.targets import ddpm_np
    >>> print(table(run(ddpm_np, ["4"])))  # doctest: +ELLIPSIS
    equation                  verdict    worst error tolerance cases     time  what it is
    4                         PASS           ...     1e-09 ... ms  x_t from x₀
    ...
    """
    return "\n".join([HEADER, *(line(result, colour) for result in report.results), "", summary(report)])
