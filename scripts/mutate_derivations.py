"""Slip a sign, factor, root or index in every line of the derivations: ``python scripts/mutate_derivations.py``.

Prints the slips that survive, and how many of each kind are found. docs/design/derivations.md argues each survivor to
be equivalent; exits with 1 if there are others. Arguments are ids of derivations or lines; none: all.
"""

from __future__ import annotations

if __name__ == "__main__":
    import interrupts  # noqa: F401 - first: Ctrl-C is one line from here on

import sys
import time
from collections import Counter
from pathlib import Path

from ddpm_np.check.derivations import mutants, relations

ARGUED = Path(__file__).resolve().parent.parent / "docs" / "design" / "derivations.md"


def main() -> int:
    started, made, refused = time.perf_counter(), Counter(), 0
    survivors = []
    for relation in relations(sys.argv[1:] or None):
        for mutant in mutants(relation):
            made[mutant.kind] += 1
            why = mutant.refutation()
            refused += why.startswith("no proof")
            if not why:
                survivors.append(mutant)
    argued = ARGUED.read_text(encoding="utf-8")
    unknown = [mutant for mutant in survivors
               if f"`{mutant.relation.id}` ({mutant.kind})" not in argued]
    for mutant in survivors:
        print(f"survives{', and is not argued equivalent' if mutant in unknown else ''}: {mutant}")
    total = sum(made.values())
    print(", ".join(f"{kind} {count}" for kind, count in made.most_common()))
    share = 100 - 100 * len(survivors) / max(1, total)
    print(f"{total} slips: {total - len(survivors)} found ({share:.2f} %), of which {refused} have no proof "
          f"rather than a counterexample; {time.perf_counter() - started:.1f} s")
    return int(bool(unknown))


if __name__ == "__main__":
    sys.exit(main())
