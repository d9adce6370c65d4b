"""diffusers' folders, in and out: a net (UNet2DModel), and a pipeline, which is a net with its schedule.

The names of the parameters are the same there and here; the layouts are not: theirs are convolutions (C_out, C_in, kh,
kw) and dense (out, in). A net that is opened here is views of the file, turned; nothing is read until it is used, and
nothing in a folder is executed.

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

from ddpm_np.config import Config, DiffusionConfig
from ddpm_np.interop import tensors
from ddpm_np.interop.settings import VERSION, diffusion_config, their_diffusion_config, their_unet_config, unet_config
from ddpm_np.interop.tensors import read_json
from ddpm_np.models import UNet
from ddpm_np.storage import safetensors_pieces, write_atomically

_OLD_NAMES = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}  # of attention, once
_LABELS = "class_embedding"  # (num_classes, D) in both; theirs is a layer, whose weight it is
_PIPELINES = ("DDPMPipeline", "DDIMPipeline")
FILES = ("model_index.json", "config.json", "scheduler_config.json", tensors.NAME, tensors.INDEX)


def load_unet(folder: str | Path, *, dtype: str = "float32", backend: Any = "numpy",
              image_size: int | tuple[int, int] | None = None) -> UNet:
    """The net in a folder that diffusers' UNet2DModel.save_pretrained wrote, or one like it.

    Parameters
    ----------
    folder
        With ``config.json`` and ``diffusion_pytorch_model.safetensors``, or several such files and their index.
    dtype, backend
        Of the weights. In the file's own dtype on the CPU they are views of the file, which is read as it is used;
        what is written to them is not written to it.
    image_size
        A side or (H, W), in place of the configuration's ``sample_size``.

    Raises
    ------
    FileNotFoundError, ValueError
        If a file is missing, damaged or a pickle, if the weights are not those of the configuration, or if that needs
        what is not supported; in one line that names it.
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
                raise ValueError(f"{name} is there by an old name and by its new one: which of them counts?")
            weights[name] = _our_layout(name, array)
        return UNet(config, dtype=dtype, backend=backend, weights=weights)


def save_unet(model: UNet, folder: str | Path) -> None:
    """Write a net as a folder that diffusers' UNet2DModel.from_pretrained opens.

    Raises
    ------
    ValueError
        If diffusers has no net of that shape.
    """
    if not isinstance(model, UNet):
        raise TypeError(f"expected a UNet, got {type(model).__name__}: of what load returns, its .model or .ema.model")
    folder = Path(folder)
    settings = their_unet_config(model.config)
    theirs = {f"{name}.weight" if name == _LABELS else name: _their_layout(name, p.data)
              for name, p in model.named_parameters()}
    write_atomically(folder / tensors.NAME, safetensors_pieces(theirs, {"format": "pt"}))
    _write_json(folder / "config.json", settings)
    (folder / tensors.INDEX).unlink(missing_ok=True)  # of weights that were there before: it would be read first


def load_pipeline(folder: str | Path, *, dtype: str = "float32", backend: Any = "numpy",
                  ) -> tuple[UNet, DiffusionConfig]:
    """The net of a pipeline's folder, and its schedule; of a net's folder, the net and the paper's schedule.

    A net of twice as many outputs as inputs says its variance too: without a schedule, in a learned range. A pipeline's
    parts lie in folders of their own, ``unet`` and ``scheduler``, or all in one, as in the first that were
    published.

    Raises
    ------
    FileNotFoundError, ValueError
        As in `load_unet`.
    """
    folder = Path(folder)
    if not (folder / "model_index.json").is_file() and not (folder / "unet").is_dir():
        net = load_unet(folder, dtype=dtype, backend=backend)
        learned = net.config.out_channels == 2 * net.config.in_channels
        return net, DiffusionConfig(variance="learned_range" if learned else "large")
    with _about(folder / "model_index.json"):
        kind = read_json(folder / "model_index.json").get("_class_name")
        if kind not in _PIPELINES:
            raise ValueError(f"_class_name is {kind!r}, expected one of {', '.join(_PIPELINES)}")
    unet, scheduler = (folder / part if (folder / part).is_dir() else folder for part in ("unet", "scheduler"))
    settings = scheduler / "scheduler_config.json"
    with _about(settings):
        diffusion = diffusion_config(read_json(settings))
        diffusion.build()  # raises for numbers that are no schedule
    net = load_unet(unet, dtype=dtype, backend=backend)
    with _about(folder):
        Config.of_net(net.config, diffusion)  # raises where they do not go together
    return net, diffusion


def save_pipeline(model: UNet, diffusion: DiffusionConfig, folder: str | Path) -> None:
    """Write a net and its schedule as a folder that diffusers' DDPMPipeline.from_pretrained opens.

    Raises
    ------
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
    """Whether a path is a folder that `load_pipeline` may open."""
    return (Path(path) / "unet").is_dir() or any((Path(path) / name).is_file() for name in FILES)


@contextlib.contextmanager
def _about(path: Path) -> Iterator[None]:
    """A context whose errors about values name a file."""
    try:
        yield
    except (ValueError, TypeError, ArithmeticError) as error:
        named = re.match(rf"{re.escape(str(path))}[/: ]", str(error))
        raise ValueError(str(error) if named else f"{path}: {error}") from error


def _our_name(name: str) -> str:
    """A parameter's name here: attention's parts were once called otherwise."""
    if name == f"{_LABELS}.weight":
        return _LABELS
    layer, _, kind = name.rpartition(".")
    block, _, part = layer.rpartition(".")
    return f"{block}.{_OLD_NAMES[part]}.{kind}" if ".attentions." in layer and part in _OLD_NAMES else name


def _our_layout(name: str, array: np.ndarray) -> np.ndarray:
    """(out, in, kh, kw) -> (kh, kw, in, out);   (out, in) -> (in, out): views."""
    if array.ndim == 4:
        return array.transpose(2, 3, 1, 0)
    return array.T if array.ndim == 2 and name != _LABELS else array


def _their_layout(name: str, array: Any) -> Any:
    """(kh, kw, in, out) -> (out, in, kh, kw);   (in, out) -> (out, in): views."""
    if array.ndim == 4:
        return array.transpose(3, 2, 0, 1)
    return array.T if array.ndim == 2 and name != _LABELS else array


def _write_json(path: Path, settings: dict[str, Any]) -> None:
    write_atomically(path, [json.dumps(settings, indent=2, sort_keys=True).encode() + b"\n"])
