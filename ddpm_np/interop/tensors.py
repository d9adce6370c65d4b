"""Weights as diffusers lays them on a disk: one safetensors file or several with an index, opened without reading them.

A file is mapped into memory: its tensors are views of it, and the system reads a page when a number of it is first
used. What is written to them stays in this process. A file that is cut short while it is mapped ends the process, as
the system has it; one that is replaced, as `save_unet` does, does not. Nothing is ever unpickled.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

NAME = "diffusion_pytorch_model.safetensors"
INDEX = f"{NAME}.index.json"
_DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}
_PICKLES = (b"PK", b"\x80")  # how PyTorch's own files begin, new and old


def open_folder(folder: Path) -> dict[str, np.ndarray]:
    """The tensors of a net's folder by name, in the file's layout and its dtype (of bfloat16: float32).

    Raises
    ------
    FileNotFoundError
        If a file is missing.
    ValueError
        If one is a pickle, damaged, or not what the index says.
    """
    index = folder / INDEX
    if not index.is_file():
        if (folder / NAME).is_file():
            return open_file(folder / NAME)
        for other in sorted(folder.glob("*.bin")):
            raise ValueError(f"{other} is a pickle, which may run code when it is opened: get {NAME} instead, or have "
                             "diffusers' save_pretrained write it")
        raise FileNotFoundError(f"{folder} has no {NAME} and no {INDEX}: is it the folder of a net?")
    places = read_json(index).get("weight_map")
    if not isinstance(places, dict) or not all(isinstance(name, str) for name in places.values()):
        raise ValueError(f"{index} has no weight_map of tensors to files: get the file again")
    found: dict[str, np.ndarray] = {}
    for name in sorted(set(places.values())):
        if Path(name).name != name:
            raise ValueError(f"{index} names {name!r}, which is no file beside it")
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder / name} is missing, and {INDEX} names it")
        held = open_file(folder / name)
        wrong = sorted(held.keys() ^ {tensor for tensor, place in places.items() if place == name})
        if wrong:
            raise ValueError(f"{folder / name} and {INDEX} differ in {wrong[0]!r}: get both again")
        found |= held
    return found


def open_file(path: Path) -> dict[str, np.ndarray]:
    """The tensors of a safetensors file: views of the mapped file, but for those that no view can show."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy"):
            pass  # the library has seen that the header is one, and that the file ends where it says
    except (SafetensorError, OSError, ValueError) as error:
        with open(path, "rb") as file:
            if file.read(2).startswith(_PICKLES):
                raise ValueError(f"{path} is a pickle by its first bytes, whatever its name: it may run code when it "
                                 "is opened; get the safetensors file") from error
        raise ValueError(f"{path} is not a whole safetensors file ({error}): get it again") from error
    numbers = np.memmap(path, np.uint8, mode="c")
    start = 8 + int.from_bytes(numbers[:8].tobytes(), "little")
    header = json.loads(numbers[8:start].tobytes())
    header.pop("__metadata__", None)
    return {name: _view(np.asarray(numbers), start, entry, f"{path}: {name}") for name, entry in header.items()}


def _view(numbers: np.ndarray, start: int, entry: dict[str, Any], what: str) -> np.ndarray:
    """A tensor of a mapped file."""
    if entry["dtype"] not in _DTYPES:
        raise ValueError(f"{what} is of dtype {entry['dtype']}, expected one of {', '.join(_DTYPES)}")
    first, end = entry["data_offsets"]
    if math.prod(entry["shape"]) == 0:
        raise ValueError(f"{what} has shape {entry['shape']}, and no numbers: get the file again")
    flat = numbers[start + first : start + end].view(_DTYPES[entry["dtype"]])
    if entry["dtype"] == "BF16":  # the upper half of a float32
        flat = (flat.astype(np.uint32) << 16).view(np.float32)
    return (flat if flat.flags.aligned else flat.copy()).reshape(entry["shape"])


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it holds something else.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing")
    try:
        found = json.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not JSON ({error}): get it again") from error
    if not isinstance(found, dict):
        raise ValueError(f"{path} holds {type(found).__name__}, expected an object of keys and values")
    return found
