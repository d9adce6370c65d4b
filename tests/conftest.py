"""What all tests share: Hypothesis's settings, warnings of other libraries, processes, BLAS threads, SIGINT.

Helpers that tests import are in tests/support; tests/README.md says what each of them is for.
"""

from __future__ import annotations

import os
import signal

import pytest
from hypothesis import settings

from ddpm_np.kernels import rates_file
from ddpm_np.parallel.threads import single_threaded_blas

os.environ[rates_file.VARIABLE] = rates_file.IGNORE  # no test depends on a calibration of the machine that runs it

# What is no test, and would be imported for its doctests: code that tests read as files, and a program that they run.
collect_ignore = ["support/openai_shape.py", "support/shapes", "check/example_repository", "live/native_verdicts.py"]

settings.register_profile("ddpm_np", deadline=None, max_examples=25)
if settings.get_current_profile_name() in ("default", "ci"):  # the mutation tool has loaded its own
    settings.load_profile("ddpm_np")


def pytest_collection_modifyitems(items):
    """Ignore warnings in comparisons with other libraries: they are those libraries' own."""
    for item in items:
        if item.get_closest_marker("peers") is not None:
            item.add_marker(pytest.mark.filterwarnings("ignore"))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config):
    """Run tests on a GPU in one process, since they share its memory; otherwise leave the number to ``-n auto``."""
    return 0 if config.option.markexpr == "gpu" else None


@pytest.fixture
def one_blas_thread():
    """Run a test with one BLAS thread. Where tests run side by side, BLAS threads outnumber processors and spin.

    Not for tests of bits that must not depend on BLAS threads.
    """
    with single_threaded_blas():
        yield


@pytest.fixture
def default_sigint():
    """Restore Python's handler of SIGINT, which a child inherits: a shell's ``&`` starts tests with SIGINT ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
