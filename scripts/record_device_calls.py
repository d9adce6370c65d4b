"""Record what reaches the tests' fake of CuPy: ``python scripts/record_device_calls.py FILE``.

Runs every op, the mathematics, training, every sampler and the commands that take a backend on the fake, and writes
each kind of call to a file of JSON. ``ask_cupy.py`` and ``compile_formulas.py`` read it where CuPy is installed.
"""

from __future__ import annotations

if __name__ == "__main__":
    import interrupts  # noqa: F401 - first: Ctrl-C is one line from here on

import argparse
import json
import sys
import tempfile
import warnings
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]

import fake_cupy  # noqa: E402
from device_calls import computations, name_formulas, recorded  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("file", type=Path, metavar="FILE", help="where to write the record")
    file = parser.parse_args().file
    failed = 0
    with (recorded() as record, fake_cupy.installed(), tempfile.TemporaryDirectory() as folder,
          warnings.catch_warnings(action="ignore")):
        for name, compute in computations(Path(folder)):
            try:
                compute()
            except Exception as error:  # the others are recorded all the same
                failed += 1
                print(f"{name}: {type(error).__name__}: {error}", file=sys.stderr)
        name_formulas(record)
    file.write_text(json.dumps(record.as_json()), encoding="utf-8")
    print(f"recorded on the fake of CuPy: {len(record.dtypes)} combinations of dtypes, {len(record.formulas)} formulas "
          f"in {sum(len(formula['calls']) for formula in record.formulas)} kinds of call")
    if failed:
        print(f"error: {failed} computations failed, see above", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
