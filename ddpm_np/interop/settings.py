"""Translate configurations from and to diffusers: of the net (UNet2DModel) and of the schedule (DDPMScheduler).

A missing key has diffusers' default, not the paper's. A setting without a counterpart here is refused by name (`keys`):
ignoring it would give a net with other outputs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ddpm_np.arguments import number
from ddpm_np.config import DiffusionConfig, checked
from ddpm_np.interop.keys import SCHEDULER, SCHEDULERS, UNET, VERSION
from ddpm_np.models import UNetConfig

_SCHEDULES = {"linear": "linear", "scaled_linear": "quadratic", "squaredcos_cap_v2": "cosine", "sigmoid": "sigmoid"}
_PREDICTS = {"epsilon": "eps", "sample": "x0", "v_prediction": "v"}
_VARIANCES = {"fixed_small": "small", "fixed_small_log": "small", "fixed_large": "large",
              "learned_range": "learned_range"}
_UNET_NAMES = {  # ours: theirs, of values that are the same in both
    "in_channels": "in_channels", "out_channels": "out_channels", "blocks_per_level": "layers_per_block",
    "dropout": "dropout", "groups": "norm_num_groups", "norm_eps": "norm_eps", "head_dim": "attention_head_dim",
    "num_classes": "num_class_embeds", "flip_sin_to_cos": "flip_sin_to_cos", "freq_shift": "freq_shift",
}
_DIFFUSION_NAMES = {"T": "num_train_timesteps", "beta_start": "beta_start", "beta_end": "beta_end",
                    "betas": "trained_betas", "clip_sample": "clip_sample"}


def unet_config(found: Mapping[str, Any], image_size: int | tuple[int, int] | None = None) -> UNetConfig:
    """Return our configuration of the net that a UNet2DModel's configuration describes.

    Parameters
    ----------
    found : mapping of str to object
        The configuration. Keys that begin with an underscore only record what wrote it.
    image_size : int, (int, int) or None
        A side or (H, W) in place of its ``sample_size``: these nets take any size that their levels can halve.

    Returns
    -------
    UNetConfig
        Our configuration.

    Raises
    ------
    ValueError
        If a setting is not supported here; the message names it.
    """
    if found.get("_class_name", "UNet2DModel") != "UNet2DModel":
        raise ValueError(f"_class_name is {found['_class_name']!r}, expected 'UNet2DModel'")
    theirs = UNET.complete(found)
    widths, down, up = (list(theirs[key]) if isinstance(theirs[key], (list, tuple)) else [] for key in (
        "block_out_channels", "down_block_types", "up_block_types"))
    if not widths or not len(widths) == len(down) == len(up):
        raise ValueError(f"block_out_channels, down_block_types and up_block_types must be lists of one length, got "
                         f"{len(widths)}, {len(down)} and {len(up)}")
    _sizes("block_out_channels", widths)
    attends = [_attends(kind, "Down") for kind in down]
    if attends != [_attends(kind, "Up") for kind in reversed(up)]:
        raise ValueError(f"up_block_types {up} has attention at other levels than down_block_types {down}, which is "
                         "not supported")
    size = theirs["sample_size"] if image_size is None else image_size
    if size is None:
        raise ValueError('sample_size is not given: add the side of the images to config.json ("sample_size": 32), or '
                         "in Python call load_unet(folder, image_size=32)")
    size = tuple(size) if isinstance(size, (list, tuple)) else size
    _sizes("sample_size", sides := size if isinstance(size, tuple) else (size,))
    if theirs["time_embedding_dim"] not in (None, 4 * widths[0]):
        raise ValueError(f"time_embedding_dim {theirs['time_embedding_dim']} is not supported, only 4 times the first "
                         f"of block_out_channels, {4 * widths[0]}")
    same = {ours: theirs[key] for ours, key in _UNET_NAMES.items()}
    return checked(UNetConfig, {
        **same, "image_size": size, "channels": widths[0],
        "channel_multipliers": tuple(width / widths[0] for width in widths),
        "attention_resolutions": tuple(sides[0] // 2**i for i, attend in enumerate(attends) if attend),
        "downsample_padding": "symmetric" if theirs["downsample_padding"] else "asymmetric"}, _UNET_NAMES)


def their_unet_config(config: UNetConfig) -> dict[str, Any]:
    """Return the configuration of the same net as a UNet2DModel.

    Parameters
    ----------
    config : UNetConfig
        Our configuration.

    Returns
    -------
    dict
        The content of diffusers' ``config.json``.

    Raises
    ------
    ValueError
        If diffusers has no such net.
    """
    if config.widths[0] != config.channels:
        raise ValueError(f"channel_multipliers {config.channel_multipliers}: diffusers has no net whose first level is "
                         "wider than its first convolution")
    levels = range(len(config.widths))
    attends = [config.size[0] // 2**i in config.attention_resolutions for i in levels]
    attending = {config.widths[-1], *(c for c, attend in zip(config.widths, attends, strict=True) if attend)}
    head_dims = {c // config.heads_of(c) for c in attending}
    one_head = head_dims == attending
    if len(head_dims) > 1 and not one_head:
        raise ValueError(f"{config.heads} heads on {sorted(attending)} channels: in diffusers, heads have the same "
                         "number of channels at every level; train with head_dim instead")
    return {
        "_class_name": "UNet2DModel", "_diffusers_version": VERSION, **{
            key: values[0] for key, values in UNET.only.items()},
        **{key: getattr(config, ours) for ours, key in _UNET_NAMES.items()},
        "sample_size": config.size[0] if config.size[0] == config.size[1] else list(config.size),
        "out_channels": config.out_channels or config.in_channels, "time_embedding_dim": None,
        "down_block_types": ["AttnDownBlock2D" if attend else "DownBlock2D" for attend in attends],
        "up_block_types": ["AttnUpBlock2D" if attend else "UpBlock2D" for attend in reversed(attends)],
        "block_out_channels": list(config.widths),
        "downsample_padding": ("asymmetric", "symmetric").index(config.downsample_padding),
        "attention_head_dim": None if one_head else head_dims.pop(),
        "num_train_timesteps": None,
    }


def diffusion_config(found: Mapping[str, Any]) -> DiffusionConfig:
    """Return our configuration of the schedule and reverse process that a scheduler's configuration describes.

    The steps of a shorter chain (timestep_spacing, steps_offset) are options of sampling here, and are not translated.

    Parameters
    ----------
    found : mapping of str to object
        The configuration of a DDPMScheduler or DDIMScheduler.

    Returns
    -------
    DiffusionConfig
        Our configuration.

    Raises
    ------
    TypeError, ValueError
        If a setting is not supported here; the message names it.
    """
    kind = found.get("_class_name", "DDPMScheduler")
    if kind not in SCHEDULERS:
        raise ValueError(f"_class_name is {kind!r}, expected one of {', '.join(SCHEDULERS)}")
    theirs = SCHEDULER.complete(found)
    _check_sampling(theirs)
    names = {"beta_schedule": _SCHEDULES, "prediction_type": _PREDICTS, "variance_type": _VARIANCES}
    schedule, predicts, variance = (_counterpart(key, theirs[key], known) for key, known in names.items())
    same = {ours: theirs[key] for ours, key in _DIFFUSION_NAMES.items()}
    config = checked(DiffusionConfig, {**same, "schedule": schedule, "variance": variance, "predicts": predicts},
                     _DIFFUSION_NAMES)
    given = {"num_train_timesteps", "timesteps"} & {*found}
    if given and theirs["num_train_timesteps"] != config.T:  # T is the number of betas
        raise ValueError(f"num_train_timesteps is {theirs['num_train_timesteps']} and trained_betas has {config.T} "
                         "numbers: make them agree")
    return config


def their_diffusion_config(config: DiffusionConfig) -> dict[str, Any]:
    """Return the configuration of the same schedule and reverse process as a DDPMScheduler.

    Parameters
    ----------
    config : DiffusionConfig
        Our configuration.

    Returns
    -------
    dict
        The content of diffusers' ``scheduler_config.json``.

    Raises
    ------
    ValueError
        If diffusers has no such scheduler.

    Notes
    -----
    Shorter chains get "leading" steps: diffusers' "trailing" ones have faults (tests/interop/test_parity_samplers.py).
    """
    schedule = next((theirs for theirs, ours in _SCHEDULES.items() if ours == config.schedule), None)
    given = config.betas is not None or schedule is None
    settings = {"predicts": (_PREDICTS, config.predicts), "variance": (_VARIANCES, config.variance)}
    names = {}
    for what, (known, ours) in settings.items():
        names[what] = next((theirs for theirs, other in known.items() if other == ours), None)
        if names[what] is None:
            raise ValueError(f"{what} {ours!r} has no counterpart in diffusers, which has "
                             f"{', '.join(repr(other) for other in dict.fromkeys(known.values()))}")
    return {
        "_class_name": "DDPMScheduler", "_diffusers_version": VERSION,
        **{key: getattr(config, ours) for ours, key in _DIFFUSION_NAMES.items()},
        "beta_schedule": schedule or "linear", "trained_betas": config.build().beta[1:].tolist() if given else None,
        "variance_type": names["variance"], "prediction_type": names["predicts"], "timestep_spacing": "leading",
    }


def _check_sampling(theirs: Mapping[str, Any]) -> None:
    """Check the settings that are not translated: of shorter chains, and of clipping where there is none."""
    for key in ("clip_sample_range", "dynamic_thresholding_ratio", "sample_max_value", "steps_offset"):
        number(key, theirs[key])
    if theirs["clip_sample"] is not False and theirs["clip_sample_range"] != 1:
        raise ValueError(f"clip_sample_range {theirs['clip_sample_range']!r} is not supported, only 1.0")


def _sizes(key: str, values: Any) -> None:
    """Raise ValueError unless all values are positive ints."""
    if not values or not all(type(value) is int and 0 < value < 2**31 for value in values):
        raise ValueError(f"{key} must be whole numbers from 1 to 2**31 - 1, got {values!r}")


def _attends(kind: Any, way: str) -> bool:
    """Return whether a type of block has attention."""
    if kind not in (f"{way}Block2D", f"Attn{way}Block2D"):
        raise ValueError(f"block type {kind!r} is not supported, only '{way}Block2D' and 'Attn{way}Block2D'")
    return kind.startswith("Attn")


def _counterpart(key: str, value: Any, known: Mapping[str, str]) -> str:
    """Return our name of a value."""
    if not isinstance(value, str) or value not in known:
        raise ValueError(f"{key} {value!r} is not supported, only {', '.join(map(repr, known))}")
    return known[value]
