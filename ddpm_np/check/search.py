"""Hypothesis's part in a run: the random cases of a property, and the search for its worst and its smallest failure."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Any

import hypothesis
from hypothesis import HealthCheck, Phase

from ddpm_np import cuda
from ddpm_np.check.calls import Missing, Wrong, described
from ddpm_np.check.comparison import TOLERANCE, Check, Failed, attempt

SHRINK_SECONDS = 0.15  # time limit of the search for a smaller counterexample


class _Enough(BaseException):
    """Ends Hypothesis's search for a smaller counterexample; not an Exception, or Hypothesis would count a failure."""


def _settings(examples: int, *phases: Phase) -> hypothesis.settings:
    """Return settings under which Hypothesis neither stores nor prints failures: they go into the report."""
    return hypothesis.settings(max_examples=examples, database=None, deadline=None, report_multiple_bugs=False,
                               suppress_health_check=list(HealthCheck), phases=phases, print_blob=False,
                               verbosity=hypothesis.Verbosity.quiet)


@functools.lru_cache(maxsize=64)
def shared(draws: Any, seed: int, examples: int) -> list[Any]:
    """Return a few random cases, cached for all properties with the same strategy: drawing costs more than checking."""
    found: list[Any] = []

    @_settings(examples, Phase.generate)
    @hypothesis.seed(seed)
    @hypothesis.given(draws)
    def collect(drawn: Any) -> None:
        found.append(drawn)

    collect()
    return found


def worst(test: Callable[[Check, Any], None], draws: Any, check: Check, seed: int, examples: int,
          known: Exception | None = None) -> None:
    """Search with Hypothesis for the worst case; raise the smallest failure found in the time limit, or `known`."""
    found = [] if known is None else [known]
    gpu_failed: list[Exception] = []
    stop = 0.0

    @_settings(examples, Phase.generate, Phase.target, Phase.shrink)
    @hypothesis.seed(seed)
    @hypothesis.given(draws)
    def search(drawn: Any) -> None:
        nonlocal stop
        if stop and time.perf_counter() > stop:
            raise _Enough
        check.latest = 0.0
        try:
            attempt(test, check, drawn, count=not found)
            hypothesis.target(min(check.latest / TOLERANCE, 1.0))
        except (Failed, Wrong) as error:
            stop = stop or time.perf_counter() + SHRINK_SECONDS
            found.append(error)
            raise
        except Exception as error:
            if cuda.explain(error):
                gpu_failed.append(error)
                raise _Enough from error
            raise

    try:
        search()
    except (_Enough, Failed, Wrong):
        pass
    except Missing:
        raise
    except Exception as error:  # Hypothesis's own: the target's results differ between equal calls
        if not found:
            raise Wrong(described(error)) from error
    if gpu_failed:
        raise gpu_failed[0]
    if found:
        raise found[-1]
