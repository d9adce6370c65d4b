"""Measure what this machine's BLAS and memory are good at, and choose kernels by it from then on.

It takes a few seconds of one CPU, best on a machine without other work, and writes a file to the user's cache folder.
Kernels differ by rounding. So a run that is resumed after a calibration, and images that are sampled after it, differ
in their last bits from those before; that is why only this command calibrates. With DDPM_NP_RATES=default in the
environment the file is ignored.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ddpm_np.kernels.calibration import Choice
    from ddpm_np.kernels.costs import Rates

EXAMPLES = """examples:
  ddpm-np calibrate              measure, print, and keep the rates
  ddpm-np calibrate --dry-run    measure and print
  ddpm-np calibrate --forget     go back to the default rates
"""

_UNITS = {
    "products": "GFLOP/s of a matrix product", "patches": "ns for the patches of an input number",
    "tiles_4": "ns for the transforms of a number by F(4×4)", "tiles_2": "the same by F(2×2)",
    "kernel_4": "ns for the transform of a pair's 3×3 kernel by F(4×4)", "kernel_2": "the same by F(2×2)",
    "tiles": "MiB of tiles at a time",
}
_WAYS = {0: "patches", 2: "F(2×2)", 4: "F(4×4)"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    either = parser.add_mutually_exclusive_group()
    either.add_argument("--dry-run", action="store_true", help="measure and print, and write nothing")
    either.add_argument("--forget", action="store_true", help="remove the file for this machine, and measure nothing")


def run(args: argparse.Namespace) -> int:
    """Measure, print and write."""
    from ddpm_np.cli.outputs import check_output
    from ddpm_np.kernels import calibration, costs, rates_file

    key = rates_file.key()
    file = rates_file.path(key)
    if args.forget:
        print(f"{file}: {'removed' if file.exists() else 'there is no such file, and nothing to forget'}")
        file.unlink(missing_ok=True)
        return 0
    if not args.dry_run:
        check_output(file, folder=False)
    try:
        old = costs.kept()
    except rates_file.UnusableError as error:
        old = None
        print(f"{error}: it is not used")
    print("measuring for three seconds", file=sys.stderr)
    new = calibration.measure(2.0)
    choices = calibration.check(new, 1.0)
    print(", ".join([key["cpu"], key["simd"], key["blas"], f"numpy {key['numpy']}"]) + "\n")
    print("\n".join(_rates_table(old, new)) + "\n")
    print("\n".join(_choices_table(choices)) + "\n")
    print(_verdict(choices))
    if not args.dry_run:
        rates_file.write(new._asdict())
        print(f"{file}\nfrom now on kernels are chosen by these rates: results differ from earlier ones by rounding")
        if rates_file.is_ignored():
            print(f"not where {rates_file.VARIABLE} is {rates_file.IGNORE}, as it is here: unset it")
    return 0


def _rates_table(old: Rates | None, new: Rates) -> list[str]:
    """Return the rows of rates: default, kept before if there are such, new."""
    from ddpm_np.kernels.costs import DEFAULT

    columns = {"default": DEFAULT, **({} if old is None else {"before": old}), "new": new}
    rows = [f"{'':10}" + "".join(f"{name:>10}" for name in columns)]
    for name, unit in _UNITS.items():
        numbers = (getattr(rates, name) / (1 << 20 if name == "tiles" else 1) for rates in columns.values())
        rows.append(f"{name:10}" + "".join(f"{number:10.1f}" for number in numbers) + f"  {unit}")
    return rows


def _choices_table(choices: Sequence[Choice]) -> list[str]:
    """Return the rows of shapes: each way's time, and the chosen way with its time over that of the fastest."""
    rows = [f"{'images':>6} {'size':>6} {'channels':>10} " + "".join(f"{way:>12}" for way in _WAYS.values())
            + f"  {'by the new rates':18}by the default ones"]
    for choice in choices:
        n, size, c, o = choice.shape
        times = "".join(f"{choice.times[m] / 1e6:9.2f} ms" for m in _WAYS)
        rows.append(f"{n:6} {f'{size}×{size}':>6} {f'{c} to {o}':>10} {times}  "
                    f"{f'{_WAYS[choice.chosen]}, {choice.ratio():.2f}':18}"
                    f"{_WAYS[choice.by_default]}, {choice.ratio(choice.by_default):.2f}")
    return rows


def _verdict(choices: Sequence[Choice]) -> str:
    """Return a line on how good the choices are."""
    from ddpm_np.kernels.calibration import WITHIN

    good = sum(choice.ratio() <= WITHIN for choice in choices)
    line = f"the chosen way takes at most {WITHIN:.2f} of the fastest one's time for {good} of {len(choices)} shapes"
    return line if good == len(choices) else f"{line}: measure again when the machine has no other work"
