"""Ctrl-C and SIGTERM in a script: one line and no traceback, whenever they come. To be imported first.

Standard library only. It sets up the process's handlers as ``ddpm_np.cli.stopping`` does for the commands.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(1, str(Path(__file__).resolve().parent.parent))  # the package, which may not be installed yet

from ddpm_np.cli import stopping


def _tell(kind, error, traceback):  # type: ignore[no-untyped-def]
    if issubclass(kind, KeyboardInterrupt):
        stopping.leave(*stopping.explain(error))
    sys.__excepthook__(kind, error, traceback)


sys.excepthook = _tell
stopping.handle_signals()
