"""Print the verdicts on this package as JSON: with random cases, without, and with mistakes planted; no SciPy."""

import contextlib
import hashlib
import json
import sys
import time

import numpy as np
from mistakes import ours

from ddpm_np.backend import get_backend
from ddpm_np.check import run
from ddpm_np.check.targets import ddpm_np

PLANTED = 10  # of the catalogue, evenly


def summary(report):
    """Return the verdict and the number of cases of each equation."""
    return {result.equation: (result.verdict, result.cases) for result in report.results}


found = {"plain": summary(run(ddpm_np, examples=0)), "imported": sorted(
    {name.partition(".")[0] for name in sys.modules} & {"hypothesis", "matplotlib", "scipy", "sympy", "safetensors"})}
started = time.perf_counter()
again = run(ddpm_np, examples=0)
found["seconds"] = time.perf_counter() - started, max(result.seconds for result in again.results)
found["random"] = summary(run(ddpm_np))
for change in ours.MISTAKES[:: len(ours.MISTAKES) // PLANTED]:
    with contextlib.suppress(ModuleNotFoundError), ours.planted(change):
        report = run(ddpm_np, examples=0)
        found[str(change)] = sorted(result.equation for result in report.results if result.verdict == "FAIL")
words = get_backend().random(2**64 - 1, "t", 2**40, 2**33, 3, (5,))
found["words"] = hashlib.sha256(np.ascontiguousarray(words).astype("<u8").tobytes()).hexdigest()
found["integers"] = get_backend().integers(7, "t", 0, 0, 100, 1, 2**40).tolist()
print(json.dumps(found, ensure_ascii=True))
