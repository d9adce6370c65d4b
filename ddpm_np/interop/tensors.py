"""Open the weights of a diffusers folder: one safetensors file, or several with an index.

Files are mapped into memory: tensors are views of them, and the system reads a page when one of its numbers is first
used. Writes to the tensors stay in this process. If a mapped file is truncated, the system ends the process; replacing
the file, as `save_unet` does, is safe. Nothing is ever unpickled.
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
_SAVE = f"open it with UNet2DModel.from_pretrained in diffusers and write it with save_pretrained, as {NAME}"
_PICKLE = f"a pickle, which may run code when it is opened: get {NAME} instead, or {_SAVE}"
_OTHERS = {  # what may be in a folder in place of the weights, the first that is there
    "diffusion_pytorch_model-*-of-*.safetensors": f"one part of several whose index {INDEX} is missing: get it as well",
    f"{NAME}.index.*.json": f"the index of a variant, such as half precision, in several parts: get {INDEX} and "
                             "its parts, or convert it with UNet2DModel.from_pretrained(…, variant=…).save_pretrained",
    "diffusion_pytorch_model.*.safetensors": f"a variant of the weights, such as half precision: get {NAME}, or rename "
                                             "this file to it (float16 becomes float32 exactly)",
    "*.safetensors": f"not a UNet2DModel's file, which is called {NAME}: name the folder of a net",
    **dict.fromkeys(("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl"), _PICKLE),
    "*.msgpack": f"the weights of a Flax net, not {NAME}: convert it with an older diffusers (from_flax=True)",
    "*.onnx": f"an ONNX graph, not {NAME}: get the weights that it was made from",
    "*.h5": f"the weights of a TensorFlow net, not {NAME}: get those of PyTorch",
    "*.gguf": f"a quantised file, not {NAME}: get the weights that it was made from",
}
_PICKLES = (b"PK", b"\x80")  # first bytes of PyTorch's own files, new and old


def open_folder(folder: Path) -> dict[str, np.ndarray]:
    """Open the tensors of a net's folder.

    Parameters
    ----------
    folder : Path
        The folder.

    Returns
    -------
    dict of str to array
        By name, in the file's layout and dtype; bfloat16 becomes float32.

    Raises
    ------
    FileNotFoundError
        If a file is missing.
    ValueError
        If a file is a pickle, is damaged, or does not agree with the index.
    """
    index = folder / INDEX
    if not index.is_file():
        if (folder / NAME).is_file():
            return open_file(folder / NAME)
        raise _without_weights(folder)
    places = read_json(index).get("weight_map")
    if not isinstance(places, dict) or not all(isinstance(name, str) for name in places.values()):
        raise ValueError(f"{index} has no weight_map of tensors to files: get the file again")
    found: dict[str, np.ndarray] = {}
    for name in sorted(set(places.values())):
        if Path(name).name != name:
            raise ValueError(f"{index} names {name!r}, which is not in the same folder: get the file again")
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder / name} is missing, and {INDEX} refers to it: get it as well")
        held = open_file(folder / name)
        wrong = sorted(held.keys() ^ {tensor for tensor, place in places.items() if place == name})
        if wrong:
            raise ValueError(f"{folder / name} and {INDEX} differ in {wrong[0]!r}: get both again")
        found |= held
    return found


def open_file(path: Path) -> dict[str, np.ndarray]:
    """Map a safetensors file into memory.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    dict of str to array
        Views of the file; copies of tensors of bfloat16, and of those that are not aligned.

    Raises
    ------
    ValueError
        If the file is a pickle or is damaged.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy"):
            pass  # the library has checked the header, and that the file ends where the header says
    except (SafetensorError, OSError, ValueError) as error:
        with open(path, "rb") as file:
            if file.read(2).startswith(_PICKLES):
                raise ValueError(f"{path} is a pickle by its first bytes, despite its name, and may run code when "
                                 "it is opened: get the safetensors file") from error
        raise ValueError(f"{path} is not a whole safetensors file ({error}): get it again") from error
    numbers = np.memmap(path, np.uint8, mode="c")
    start = 8 + int.from_bytes(numbers[:8].tobytes(), "little")
    header = json.loads(numbers[8:start].tobytes())
    header.pop("__metadata__", None)
    return {name: _view(np.asarray(numbers), start, entry, f"{path}: {name}") for name, entry in header.items()}


def _without_weights(folder: Path) -> Exception:
    """Return the error for a folder without the weights' file: what is there instead, and how to convert it."""
    for pattern, what in _OTHERS.items():
        for other in sorted(folder.glob(pattern)):
            return ValueError(f"{other} is {what}")
    return FileNotFoundError(f"{folder} has no {NAME} and no {INDEX}: name the folder of a net")


def _view(numbers: np.ndarray, start: int, entry: dict[str, Any], what: str) -> np.ndarray:
    """Return a tensor of a mapped file."""
    if entry["dtype"] not in _DTYPES:
        raise ValueError(f"{what} is of dtype {entry['dtype']}, expected one of {', '.join(_DTYPES)}")
    first, end = entry["data_offsets"]
    if math.prod(entry["shape"]) == 0:
        raise ValueError(f"{what} has shape {entry['shape']}, which holds no numbers: get the file again")
    flat = numbers[start + first : start + end].view(_DTYPES[entry["dtype"]])
    if entry["dtype"] == "BF16":  # the upper half of a float32
        flat = (flat.astype(np.uint32) << 16).view(np.float32)
    return (flat if flat.flags.aligned else flat.copy()).reshape(entry["shape"])


def read_json(path: Path) -> dict[str, Any]:
    """Read the object in a JSON file.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    dict
        The object.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is not JSON, gives a key twice, or holds something other than an object.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing")
    try:
        found = json.loads(path.read_text("utf-8-sig"), object_pairs_hook=_without_repetition)
    except _Repeated as error:
        raise ValueError(f"{path} gives the key {str(error)!r} twice: remove one") from error
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not JSON ({error}): get it again") from error
    if not isinstance(found, dict):
        raise ValueError(f"{path} holds {type(found).__name__}, expected an object of keys and values")
    return found


class _Repeated(Exception):
    """A key that an object of JSON gives twice."""


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object as a dict; raise `_Repeated` if a key occurs twice."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise _Repeated(key)
        found[key] = value
    return found
