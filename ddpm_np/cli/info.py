"""Show versions, backends, presets, data sets and trained nets."""

from __future__ import annotations

import argparse

EXAMPLES = """example:
  ddpm-np info
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare no arguments: ``ddpm-np info`` has none."""


def run(args: argparse.Namespace) -> int:
    """Print a table."""
    import platform
    from importlib.metadata import PackageNotFoundError, version

    from threadpoolctl import threadpool_info

    from ddpm_np import __version__, cuda, presets, trained
    from ddpm_np.cli.messages import line_of
    from ddpm_np.data import names
    from ddpm_np.parallel.threads import default_workers

    def installed(name: str) -> str:
        try:
            return version(name)
        except PackageNotFoundError:
            return "not installed"

    import numpy  # noqa: F401 - loads the BLAS that threadpool_info describes

    rows = [("ddpm_np", __version__), ("python", f"{platform.python_version()} on {platform.machine()}")]
    rows += [(name, installed(name)) for name in ("numpy", "scipy", "matplotlib", "safetensors")]
    libraries = [library for library in threadpool_info() if library["user_api"] == "blas"]
    rows += [("blas", f"{library['internal_api']} {library['version']}") for library in libraries]
    rows += [("backend numpy", f"{default_workers()} CPUs"), ("kernels", _rates())]
    try:
        rows.append(("backend cupy", cuda.describe(cuda.open_cupy())))
    except Exception as error:  # whatever is wrong with a GPU, the rest of the table is true
        rows.append(("backend cupy", f"not available: {line_of(error)}"))
    rows += [("presets", ", ".join(presets.names())), ("data sets", ", ".join([*names(), "folder:PATH", "FILE.npz"]))]
    rows += [("trained nets", f"{name}: {_described(name)}") for name in trained.names()]
    for name, value in rows:
        print(f"{name:15} {value}")
    return 0


def _rates() -> str:
    """Return by which rates kernels are chosen, and why."""
    import os

    from ddpm_np.kernels import costs, rates_file

    try:
        rates = costs.kept()
    except rates_file.UnusableError as error:
        return f"chosen by default rates: {error}: run ddpm-np calibrate"
    if rates_file.is_ignored():
        return f"chosen by default rates: {rates_file.VARIABLE} is {rates_file.IGNORE}"
    given = os.environ.get(rates_file.VARIABLE)
    wrong = f"; {rates_file.VARIABLE} is {given!r}, expected {rates_file.IGNORE}: unset it" if given else ""
    if rates is None:
        return f"chosen by default rates: measure this machine's with ddpm-np calibrate{wrong}"
    return f"chosen by rates measured here: {rates_file.path(rates_file.key())}{wrong}"


def _described(name: str) -> str:
    """Return a line about a trained net of the package."""
    import math

    from ddpm_np import trained
    from ddpm_np.runs import weights

    kept = weights.read(trained.path_of(name))
    numbers = sum(math.prod(array.shape) for array in kept.tensors.values())
    labels = "" if kept.config.no_label is None else f", labels 0 to {kept.config.no_label - 1}"
    return f"{'×'.join(map(str, kept.config.model.size))}{labels}, {numbers:,} parameters, {kept.step:,} steps"
