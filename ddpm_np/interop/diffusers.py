"""Load and save diffusers folders: a net (UNet2DModel), and a pipeline, which is a net with its schedule.

Parameters have the same names in both libraries, in other layouts: in diffusers, convolutions are (C_out, C_in, kh, kw)
and dense weights (out, in). A loaded net is transposed views of the file: nothing is read until it is used, and nothing
in a folder is executed.

Examples
--------
>>> from ddpm_np.interop import diffusers
>>> net = diffusers.load_unet("ddpm-cifar10-32")               # doctest: +SKIP
>>> diffusers.save_unet(net, "mine")                           # doctest: +SKIP
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ddpm_np.backend import Array
from ddpm_np.config import Config, DiffusionConfig
from ddpm_np.interop import tensors
from ddpm_np.interop.keys import VERSION, check_pipeline
from ddpm_np.interop.settings import diffusion_config, their_diffusion_config, their_unet_config, unet_config
from ddpm_np.interop.tensors import read_json
from ddpm_np.models import UNet
from ddpm_np.nn import host_state
from ddpm_np.storage import safetensors_pieces, write_atomically

_OLD_NAMES = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}  # of attention, in old files
_LABELS = "class_embedding"  # (num_classes, D) in both; in diffusers, the weight of a layer of this name
FILES = ("model_index.json", "config.json", "scheduler_config.json", tensors.NAME, tensors.INDEX)


def load_unet(folder: str | Path, *, dtype: str = "float32", backend: Any = "numpy",
              image_size: int | tuple[int, int] | None = None) -> UNet:
    """Load a net from a folder written by diffusers' UNet2DModel.save_pretrained, or one like it.

    Parameters
    ----------
    folder : str or Path
        A folder with ``config.json`` and ``diffusion_pytorch_model.safetensors``, or several such files and their
        index.
    dtype : {"float32", "float64"}
        Dtype of the weights. On the CPU and in the file's own dtype, they are views of the file, which is read as it is
        used. Writes to them do not change the file.
    backend : {"numpy", "cupy"} or Backend
        Backend of the weights.
    image_size : int, (int, int) or None
        A side or (H, W), in place of the configuration's ``sample_size``.

    Returns
    -------
    UNet
        The net.

    Raises
    ------
    FileNotFoundError
        If a file is missing.
    ValueError
        If a file is damaged or a pickle, if the weights do not belong to the configuration, or if the configuration
        needs something that is not supported here. The message is one line that names it.
    """
    folder = Path(folder)
    if dtype not in ("float32", "float64"):
        raise ValueError(f"dtype must be 'float32' or 'float64', got {dtype!r}")
    with _about(folder / "config.json"):
        config = unet_config(read_json(folder / "config.json"), image_size)
    weights: dict[str, np.ndarray] = {}
    with _about(folder):
        for theirs, array in tensors.open_folder(folder).items():
            name = _our_name(theirs)
            if name in weights:
                raise ValueError(f"{name} occurs twice, by an old name and by its new one: get the file again")
            weights[name] = _our_layout(name, array)
        return UNet(config, dtype=dtype, backend=backend, weights=weights)


def save_unet(model: UNet, folder: str | Path) -> None:
    """Save a net as a folder that diffusers' UNet2DModel.from_pretrained opens.

    Parameters
    ----------
    model : UNet
        The net.
    folder : str or Path
        The folder; made if it does not exist. Weights in it are replaced.

    Raises
    ------
    TypeError
        If `model` is not a UNet, or its weights are of another dtype than float32 and float64.
    ValueError
        If diffusers has no net of this shape.
    """
    if not isinstance(model, UNet):
        raise TypeError(f"expected a UNet, got {type(model).__name__}: give the .model or .ema.model of what load "
                        "returns")
    folder = Path(folder)
    settings = their_unet_config(model.config)
    for name, parameter in model.named_parameters():
        if str(parameter.data.dtype) not in ("float32", "float64"):
            raise TypeError(f"{name} is of dtype {parameter.data.dtype}: only float32 and float64 are exported")
    theirs = {f"{name}.weight" if name == _LABELS else name: _their_layout(name, array)
              for name, array in host_state(model).items()}
    write_atomically(folder / tensors.NAME, safetensors_pieces(theirs, {"format": "pt"}))
    _write_json(folder / "config.json", settings)
    (folder / tensors.INDEX).unlink(missing_ok=True)  # an old index would be read before the new file


def load_pipeline(folder: str | Path, *, dtype: str = "float32", backend: Any = "numpy",
                  ) -> tuple[UNet, DiffusionConfig]:
    """Load a net and its schedule from the folder of a pipeline, or of a net alone.

    The parts of a pipeline are in folders of their own, ``unet`` and ``scheduler``, or all in one, as in the first ones
    published.

    Parameters
    ----------
    folder : str or Path
        The folder.
    dtype, backend : optional
        As in `load_unet`.

    Returns
    -------
    net : UNet
        The net.
    diffusion : DiffusionConfig
        The schedule and the options of the reverse process. For a net alone, the paper's; with variance
        ``"learned_range"`` if the net has twice as many outputs as inputs.

    Raises
    ------
    FileNotFoundError
        If a file is missing.
    ValueError
        As in `load_unet`; and if the schedule is not supported here or does not go with the net.
    """
    folder = Path(folder)
    if not (folder / "model_index.json").is_file() and not (folder / "unet").is_dir():
        net = load_unet(folder, dtype=dtype, backend=backend)
        learned = net.config.out_channels == 2 * net.config.in_channels
        return net, DiffusionConfig(variance="learned_range" if learned else "large")
    with _about(folder / "model_index.json"):
        check_pipeline(read_json(folder / "model_index.json"))
    unet, scheduler = (folder / part if (folder / part).is_dir() else folder for part in ("unet", "scheduler"))
    settings = scheduler / "scheduler_config.json"
    with _about(settings):
        diffusion = diffusion_config(read_json(settings))
        diffusion.build()  # raises if the numbers are not a schedule
    net = load_unet(unet, dtype=dtype, backend=backend)
    with _about(folder):
        Config.of_net(net.config, diffusion)  # raises if they do not go together
    return net, diffusion


def save_pipeline(model: UNet, diffusion: DiffusionConfig, folder: str | Path) -> None:
    """Save a net and its schedule as a folder that diffusers' DDPMPipeline.from_pretrained opens.

    Parameters
    ----------
    model : UNet
        The net.
    diffusion : DiffusionConfig
        Its schedule and the options of the reverse process.
    folder : str or Path
        The folder; made if it does not exist.

    Raises
    ------
    TypeError
        If `model` is not a UNet.
    ValueError
        If diffusers has no such net or schedule.
    """
    folder = Path(folder)
    their_unet_config(model.config)  # raises before anything is written
    scheduler = their_diffusion_config(diffusion)
    save_unet(model, folder / "unet")
    _write_json(folder / "scheduler" / "scheduler_config.json", scheduler)
    _write_json(folder / "model_index.json", {
        "_class_name": "DDPMPipeline", "_diffusers_version": VERSION,
        "scheduler": ["diffusers", "DDPMScheduler"], "unet": ["diffusers", "UNet2DModel"]})


def is_folder(path: str | Path) -> bool:
    """Return whether a path looks like a folder that `load_pipeline` opens.

    Parameters
    ----------
    path : str or Path
        The path, which need not exist.

    Returns
    -------
    bool
        True if it is a folder with one of a pipeline's or net's files.
    """
    return (Path(path) / "unet").is_dir() or any((Path(path) / name).is_file() for name in FILES)


@contextlib.contextmanager
def _about(path: Path) -> Iterator[None]:
    """Put a file's name before the message of any error about values raised in this context."""
    try:
        yield
    except (ValueError, TypeError, ArithmeticError) as error:
        named = re.match(rf"{re.escape(str(path))}[/: ]", str(error))
        raise ValueError(str(error) if named else f"{path}: {error}") from error


def _our_name(name: str) -> str:
    """Return our name of a parameter; old files have other names for the parts of attention."""
    if name == f"{_LABELS}.weight":
        return _LABELS
    layer, _, kind = name.rpartition(".")
    block, _, part = layer.rpartition(".")
    return f"{block}.{_OLD_NAMES[part]}.{kind}" if ".attentions." in layer and part in _OLD_NAMES else name


def _our_layout(name: str, array: np.ndarray) -> np.ndarray:
    """Return a view: (out, in, kh, kw) -> (kh, kw, in, out);   (out, in) -> (in, out)."""
    if array.ndim == 4:
        return array.transpose(2, 3, 1, 0)
    return array.T if array.ndim == 2 and name != _LABELS else array


def _their_layout(name: str, array: Array) -> Array:
    """Return a view: (kh, kw, in, out) -> (out, in, kh, kw);   (in, out) -> (out, in)."""
    if array.ndim == 4:
        return array.transpose(3, 2, 0, 1)
    return array.T if array.ndim == 2 and name != _LABELS else array


def _write_json(path: Path, settings: dict[str, Any]) -> None:
    """Write an object as JSON, atomically."""
    write_atomically(path, [json.dumps(settings, indent=2, sort_keys=True).encode() + b"\n"])
