"""Mistakes in the independent implementation, most of them seen in public code; each breaks its equations.

A line is (what it is, the right text, the wrong text, the equations that must FAIL, how often the text occurs if not
once), under the method of `Reference` where the text stands.
"""

from __future__ import annotations

from mistakes import changes
from mistakes.reference_bound import BOUND, DRAWS
from mistakes.reference_chains import REVERSE
from mistakes.reference_process import FORWARD, POSTERIOR, PREDICTED, TABLES

GROUPS = (TABLES, FORWARD, POSTERIOR, PREDICTED, REVERSE, BOUND, DRAWS)
MISTAKES = [change for group in GROUPS for change in changes(group)]
