"""Training runs: start, resume and iterate over one (`Run`), its checkpoints and metrics, and opening trained nets.

Examples
--------
>>> from ddpm_np.config import Config
>>> from ddpm_np.runs import Run
>>> run = Run.start(Config.preset("digits"), "runs/digits")    # doctest: +SKIP
>>> for record in run:                                         # doctest: +SKIP
...     print(record.step, record.loss)
>>> images = run.sample(16)                                    # doctest: +SKIP
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ddpm_np.runs.load import TrainedNet, load

if TYPE_CHECKING:
    from ddpm_np.runs.published import import_run
    from ddpm_np.runs.run import Run

__all__ = ["Run", "TrainedNet", "import_run", "load"]

_LAZY = {"Run": "ddpm_np.runs.run", "import_run": "ddpm_np.runs.published"}  # need data sets; opening a net does not


def __getattr__(name: str) -> Any:
    """Import the other public names when they are first used."""
    if name not in _LAZY:
        raise AttributeError(f"module 'ddpm_np.runs' has no attribute {name!r}")
    return getattr(importlib.import_module(_LAZY[name]), name)
