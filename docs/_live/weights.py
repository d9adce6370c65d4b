"""The trained digits net for the pages' pack, in which no library reads safetensors.

``python docs/_live/weights.py FOLDER``: FOLDER is that of the pack's packages.
"""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import numpy as np

from ddpm_np import trained
from ddpm_np.runs import weights

FOLDER = "ddpm_live/weights"  # where ddpm_live/digits.py looks for them


def weights_for_page(path: str | Path) -> dict[str, bytes]:
    """Return the files that stand for a file of weights in a page, by their names below the folder of packages.

    One file has all numbers in a row, as float16; the other, JSON, has the tensors' names and shapes in the same order,
    the configuration, the step, the licence and the credit. The file of weights is verified by its SHA-256 first.
    """
    kept = weights.read(path)
    numbers = io.BytesIO()
    np.save(numbers, np.concatenate([tensor.ravel() for tensor in kept.tensors.values()]))
    about = {"config": kept.config.to_dict(), "step": kept.step, "licence": kept.licence, "credit": kept.credit,
             "shapes": {name: tensor.shape for name, tensor in kept.tensors.items()}}
    return {f"{FOLDER}/digits.npy": numbers.getvalue(),
            f"{FOLDER}/digits.json": json.dumps(about, separators=(",", ":")).encode()}


if __name__ == "__main__":
    for name, content in weights_for_page(trained.path_of("digits")).items():
        place = Path(sys.argv[1], name)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
