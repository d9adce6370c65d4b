"""The maths checker: verify this package's or anyone's implementation equation by equation.

Names are imported at their first use, so that the pytest plugin costs a project without a target nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ddpm_np.check.result import CONVENTION, FAIL, PASS, PRECISION, UNVERIFIED, Report, Result
    from ddpm_np.check.runner import run

__all__ = ["CONVENTION", "FAIL", "PASS", "PRECISION", "UNVERIFIED", "Report", "Result", "run"]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name not in __all__:
        raise AttributeError(f"module 'ddpm_np.check' has no attribute {name!r}")
    return getattr(importlib.import_module("ddpm_np.check.runner" if name == "run" else "ddpm_np.check.result"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
