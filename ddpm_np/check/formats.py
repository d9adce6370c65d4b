"""Reports as files for other programs: JSON (report.schema.json), JUnit XML and a badge.

Each format takes the reports of one command, several if the target is a library.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from xml.etree import ElementTree

from ddpm_np.check.result import FAIL, UNVERIFIED, Report, Result

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # what XML 1.0 cannot hold
GREEN, RED, GREY, DARK = "#2e7d32", "#c62828", "#616161", "#424242"  # white text on each has a contrast of 5 or more


def as_json(reports: Sequence[Report]) -> str:
    """Return reports as JSON: one as an object, several as the list ``reports`` of an object.

    Parameters
    ----------
    reports : sequence of Report
        The reports.

    Returns
    -------
    str
        As ``report.schema.json`` in this folder says.
    """
    shown = [report.as_dict() for report in reports]
    content = shown[0] if len(shown) == 1 else {"failed": any(r["failed"] for r in shown), "reports": shown}
    return json.dumps(content, ensure_ascii=False, indent=1) + "\n"


def junit(reports: Sequence[Report]) -> str:
    """Return reports as JUnit XML: a suite for each, in it a test case for each equation.

    Parameters
    ----------
    reports : sequence of Report
        The reports.

    Returns
    -------
    str
        FAIL is a failure, with the counterexample; UNVERIFIED is skipped, with what is lacking.
    """
    root = ElementTree.Element("testsuites", _totals(reports))
    for report in reports:
        suite = ElementTree.SubElement(root, "testsuite", {"name": _xml(report.target), **_totals([report])})
        for result in report.results:
            case = ElementTree.SubElement(suite, "testcase", {
                "classname": "ddpm_np", "name": f"{result.equation}: {result.title}", "time": f"{result.seconds:.3f}"})
            if result.verdict == FAIL:
                shown = _xml(explained(result))
                failure = ElementTree.SubElement(case, "failure", {"type": FAIL, "message": shown.partition("\n")[0]})
                failure.text = shown
            elif result.verdict == UNVERIFIED:
                ElementTree.SubElement(case, "skipped", {"type": UNVERIFIED, "message": _xml(result.hint)})
            else:
                properties = ElementTree.SubElement(case, "properties")
                for name, value in said(result):
                    ElementTree.SubElement(properties, "property", {"name": name, "value": _xml(value)})
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(root, "unicode") + "\n"


def explained(result: Result) -> str:
    """Return what a FAIL shows: the counterexample and, if one is known, the likely mistake.

    Parameters
    ----------
    result : Result
        The result.

    Returns
    -------
    str
        One or two lines.
    """
    return "\n".join(text for text in (result.counterexample, result.hint) if text)


def said(result: Result) -> list[tuple[str, str]]:
    """Return what is said of a verdict beside a counterexample, as names and values.

    Parameters
    ----------
    result : Result
        The result.

    Returns
    -------
    list of (str, str)
        The verdict, and if it is right the declarations used and the options that were asked.
    """
    right = result.verdict not in (FAIL, UNVERIFIED)
    return [("verdict", result.verdict),
            *((name, getattr(result, name)) for name in ("hint", "note") if right and getattr(result, name))]


def _totals(reports: Sequence[Report]) -> dict[str, str]:
    return {"tests": str(sum(len(report.results) for report in reports)),
            "failures": str(sum(report.count(FAIL) for report in reports)), "errors": "0",
            "skipped": str(sum(report.count(UNVERIFIED) for report in reports)),
            "time": f"{sum(report.seconds for report in reports):.3f}"}


def _xml(text: str) -> str:
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)


def badge(reports: Sequence[Report]) -> str:
    """Return a badge as SVG: how many of the equations that could be verified hold.

    Parameters
    ----------
    reports : sequence of Report
        The reports.

    Returns
    -------
    str
        "equations 26/26" on green, "24/26" on red, "none verified" on grey.

    Examples
    --------
    >>> from ddpm_np.check import run
    >>> from ddpm_np.check.targets import ddpm_np
    >>> print(badge([run(ddpm_np, ["4", "7"])]).splitlines()[1])
    <title>equations: 2 of the 2 verified hold</title>
    """
    verified = sum(len(report.results) - report.count(UNVERIFIED) for report in reports)
    held = verified - sum(report.count(FAIL) for report in reports)
    value = f"{held}/{verified}" if verified else "none verified"
    colour = GREY if not verified else GREEN if held == verified else RED
    spoken = f"equations: {held} of the {verified} verified hold" if verified else "equations: none could be verified"
    left, right = _width("equations"), _width(value)
    whole = f'width="{left + right}" height="20"'
    return f"""<svg xmlns="http://www.w3.org/2000/svg" {whole} role="img" aria-label="{spoken}">
<title>{spoken}</title>
<clipPath id="round"><rect {whole} rx="3"/></clipPath>
<g clip-path="url(#round)">
<rect width="{left}" height="20" fill="{DARK}"/>
<rect x="{left}" width="{right}" height="20" fill="{colour}"/>
</g>
<g fill="#fff" text-anchor="middle" font-family="Verdana, DejaVu Sans, sans-serif" font-size="11">
<text x="{left / 2:g}" y="14" textLength="{left - 12}">equations</text>
<text x="{left + right / 2:g}" y="14" textLength="{right - 12}">{value}</text>
</g>
</svg>
"""


def _width(text: str) -> int:
    """Return the width of a half of the badge; textLength fits the font that is there to it."""
    return 12 + sum({"/": 5, " ": 4, "i": 3, "f": 4, "r": 5, "t": 4}.get(letter, 7) for letter in text)
