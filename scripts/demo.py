"""Train on the handwritten digits in the package, then sample new ones: ``python3 scripts/demo.py``.

It needs Python ≥ 3.11 and a network to install the dependencies, and takes a few minutes on two cores. The pictures
are in runs/demo. After Ctrl-C the same command resumes the run.
"""

from __future__ import annotations

if __name__ == "__main__":
    import interrupts  # noqa: F401 - first: Ctrl-C is one line from here on

import sys

import environment


def main() -> int:
    environment.prepare()
    begun = any((environment.ROOT / "runs" / "demo").glob("checkpoint-*.safetensors"))
    start = ("--resume",) if begun else ("--preset", "digits")
    status = environment.run("-m", "ddpm_np", "train", *start, "--out", "runs/demo", *sys.argv[1:])
    if status:
        return status
    status = environment.run("-m", "ddpm_np", "sample", "runs/demo", "-n", "100", "--out", "runs/demo/digits.png")
    if not status:
        print("\nLook at runs/demo/digits.png: 100 digits that nobody wrote, drawn by the net just trained.\n"
              "The loss is in runs/demo/loss.png. More digits: .venv/bin/ddpm-np sample runs/demo --seed 1")
    return status


if __name__ == "__main__":
    sys.exit(main())
