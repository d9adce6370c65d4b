"""Say what was taken for what, and how sure it is."""

from __future__ import annotations

from ddpm_np.check.find.calling import ASKED, LAST
from ddpm_np.check.find.found import Finding, Taken, option

LAYOUT = {"any": "", "NCHW": "images as (N, C, H, W)", "flat": "vectors (N, D)"}
TIME = {"batch": "", "one by one": "t a number", "equal": "equal t in a batch", "alone": "one image at a time",
        "alone, a tensor": "one image at a time, t an array without axes", "column": "t as (N, 1)"}
HOW = {"numbers": "by its numbers", "name": "by its name: its numbers differ",
       "integers": "by its name; it gives integers",
       "parameter": "by a class that is given the steps to keep",
       "configuration": "by the configuration"}


def lines(finding: Finding) -> list[str]:
    """Return the lines of the report.

    Parameters
    ----------
    finding : Finding
        What was found.

    Returns
    -------
    list of str
        A line for each method, note and question.
    """
    found = [f"found in {finding.name}:"]
    subjects = {id(taken.subject): taken.subject for taken in finding.taken.values()}
    found += [f"  {subject.name}: {subject.way}" for subject in subjects.values()]
    found += [f"  {_taken(taken)}" for taken in finding.taken.values()]
    if not finding.taken:
        found.append("  nothing that could be asked")
    found += [f"note: {note}" for note in dict.fromkeys(finding.notes)]
    for answer, question in finding.questions:
        found += [f"question: {question}", *(f"    {line}" for line in answer.splitlines())]
    return found


def _taken(taken: Taken) -> str:
    r = taken.reading
    details = [HOW[taken.how]]
    if taken.kind == "table":
        what = f"the table {r.function}"
    elif taken.kind == "maker":
        what = r.function
    else:
        what = f"{r.function}({', '.join(f'{name} = {kind}' if name != kind else name for name, kind in r.given)})"
        if "t" in r.kinds or "model" in taken.method or taken.method in ("p_sample", "sample"):
            details.append(f"index base {r.base}")
        details += [LAYOUT[r.layout], TIME[r.time]]
        if "noise" not in r.kinds and taken.method in ("q_sample", "p_sample", "simple_loss"):
            details.append("its random numbers handed over")
        details += [f"{part} is {_key(key)}" for part, key in r.parts.items()
                    if part in ("value", "x0", "variance", "log_variance") and key != ()]
        if r.combinations:
            details.append(" and ".join(option(variance, clip) for variance, clip in r.combinations))
        if r.doubled:
            details.append("its net has a second half, for the variance")
    return f"{taken.subject.name}: {what} -> {taken.method}; {'; '.join(filter(None, details))}"


def _key(key: object) -> str:
    if key in (ASKED, LAST):
        return str(key)
    return "".join(f"[{part!r}]" for part in key) if isinstance(key, tuple) else str(key)
