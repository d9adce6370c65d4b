"""The keys of diffusers' configurations, from the first version to 0.42.1, and the values that have a counterpart here.

A key is known or it is refused: an unknown one could change the net's output, whatever its value. Three groups have no
counterpart here and are known: keys that the class has never computed with; keys of other schedulers at their defaults,
which diffusers keeps when it makes one scheduler from another's configuration; and former names, which are translated.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

VERSION = "0.42.1"  # of diffusers, with which the written folders were tested
_LEFT_OUT = "_use_default_values"  # names keys whose values diffusers replaces by its defaults


@dataclass(frozen=True)
class Keys:
    """The keys of one class.

    Attributes
    ----------
    defaults : dict
        Keys with the class's defaults in `VERSION`.
    only : dict
        Keys that have a counterpart here for these values only.
    former : dict
        Former names: the name today, and the value today by the value then (None: the same).
    off : dict
        Keys without a counterpart, with the values that change nothing.
    unread : tuple of str
        Keys that the class does not compute with: they change nothing, whatever their value.
    """

    defaults: Mapping[str, Any]
    only: Mapping[str, tuple[Any, ...]]
    former: Mapping[str, tuple[str, Mapping[Any, Any] | None]] = field(default_factory=dict)
    off: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    unread: tuple[str, ...] = ()

    def complete(self, found: Mapping[str, Any]) -> dict[str, Any]:
        """Return a configuration's values by today's keys, with defaults for those that it lacks.

        Parameters
        ----------
        found : mapping of str to object
            The configuration. Keys that begin with an underscore record what wrote it.

        Returns
        -------
        dict
            A value for each of `defaults`.

        Raises
        ------
        ValueError
            If a key is unknown, if a value has no counterpart here, or if a former name contradicts today's.
        """
        given: dict[str, Any] = {}
        left_out = found.get(_LEFT_OUT) or []
        if not isinstance(left_out, (list, tuple)):
            raise ValueError(f"{_LEFT_OUT} must be a list of keys, got {left_out!r}")
        found = {key: value for key, value in found.items() if key not in left_out and not key.startswith("_")}
        for key, value in found.items():
            if key in self.defaults:
                _supported(key, value, self.only.get(key))
                given[key] = value
            elif key in self.off:
                _supported(key, value, self.off[key])
            elif key not in self.former and key not in self.unread:
                raise ValueError(f"{key!r} is an unknown key, of value {value!r}, which may change what the net "
                                 "computes: remove it if it does not")
        for key in found:
            if key in self.former:
                self._translate(key, found[key], given)
        return {**self.defaults, **given}

    def _translate(self, key: str, value: Any, given: dict[str, Any]) -> None:
        """Add the value of a key by its former name."""
        name, values = self.former[key]
        if values is not None:
            _supported(key, value, tuple(values))
            value = values[value]
        _supported(key, value, self.only.get(name))
        if name in given and not _same(value, given[name]):
            raise ValueError(f"{key}, the former name of {name}, says {value!r}, and {name} says {given[name]!r}: "
                             "remove the wrong one")
        given[name] = value


UNET = Keys(
    defaults={
        "sample_size": None, "in_channels": 3, "out_channels": 3, "center_input_sample": False,
        "time_embedding_type": "positional", "time_embedding_dim": None, "freq_shift": 0, "flip_sin_to_cos": True,
        "down_block_types": ("DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"),
        "mid_block_type": "UNetMidBlock2D",
        "up_block_types": ("AttnUpBlock2D", "AttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
        "block_out_channels": (224, 448, 672, 896), "layers_per_block": 2, "mid_block_scale_factor": 1,
        "downsample_padding": 1, "downsample_type": "conv", "upsample_type": "conv", "dropout": 0.0, "act_fn": "silu",
        "attention_head_dim": 8, "norm_num_groups": 32, "attn_norm_num_groups": None, "norm_eps": 1e-5,
        "resnet_time_scale_shift": "default", "add_attention": True, "class_embed_type": None, "num_class_embeds": None,
        "num_train_timesteps": None,  # of a learned embedding of time, which is not supported
    },
    only={
        "center_input_sample": (False,), "time_embedding_type": ("positional",), "mid_block_type": ("UNetMidBlock2D",),
        "mid_block_scale_factor": (1,), "downsample_type": ("conv",), "upsample_type": ("conv",),
        "act_fn": ("silu", "swish"), "attn_norm_num_groups": (None,), "resnet_time_scale_shift": ("default",),
        "add_attention": (True,), "class_embed_type": (None,), "downsample_padding": (0, 1),
    },
    unread=("decay", "min_decay", "optimization_step", "update_after_step", "use_ema_warmup", "inv_gamma", "power",
            "collected_params"),  # of training.EMAModel, which writes them beside the averaged weights
)

SCHEDULER = Keys(
    defaults={
        "num_train_timesteps": 1000, "beta_start": 1e-4, "beta_end": 0.02, "beta_schedule": "linear",
        "trained_betas": None, "variance_type": "fixed_small", "clip_sample": True, "prediction_type": "epsilon",
        "thresholding": False, "dynamic_thresholding_ratio": 0.995, "clip_sample_range": 1.0, "sample_max_value": 1.0,
        "timestep_spacing": "leading", "steps_offset": 0, "rescale_betas_zero_snr": False, "set_alpha_to_one": True,
    },
    only={
        "thresholding": (False,), "rescale_betas_zero_snr": (False,), "set_alpha_to_one": (True,),
        "timestep_spacing": ("leading", "linspace", "trailing"),
    },
    former={
        "timesteps": ("num_train_timesteps", None),  # 0.0.2 to 0.0.4
        "clip_predicted_image": ("clip_sample", None),  # 0.0.3, 0.0.4
        "predict_epsilon": ("prediction_type", {True: "epsilon", False: "sample"}),  # 0.8; ignored since 0.13
    },
    off={
        "timestep_values": (None,),  # 0.0.3 to 0.3
        # of PNDM, LMS, Euler, Heun, DPM-Solver, DEIS, UniPC and EDM
        "algorithm_type": ("dpmsolver++", "dpmsolver", "deis"), "disable_corrector": ([],), "euler_at_final": (False,),
        "final_sigmas_type": ("zero",), "flow_shift": (1.0,), "interpolation_type": ("linear",),
        "lambda_min_clipped": (float("-inf"),), "lower_order_final": (True, False), "predict_x0": (True,),
        "rho": (7.0,), "shift_terminal": (None,), "sigma_data": (0.5,), "sigma_max": (None,), "sigma_min": (None,),
        "sigma_schedule": ("karras",), "skip_prk_steps": (False, True), "solver_order": (2,), "solver_p": (None,),
        "solver_type": ("midpoint", "logrho", "bh2"), "time_shift_type": ("exponential",),
        "timestep_type": ("discrete",), "use_beta_sigmas": (False,), "use_dynamic_shifting": (False,),
        "use_exponential_sigmas": (False,), "use_flow_sigmas": (False,), "use_karras_sigmas": (False,),
        "use_lu_lambdas": (False,),
    },
    unread=("tensor_format",),  # 0.0.3 to 0.3: the library of the arrays
)

PIPELINES = ("DDPMPipeline", "DDIMPipeline")
SCHEDULERS = ("DDPMScheduler", "DDIMScheduler")
_PARTS = {"unet": ("UNet2DModel",), "scheduler": SCHEDULERS}


def check_pipeline(found: Mapping[str, Any]) -> None:
    """Check a pipeline's ``model_index.json``.

    Parameters
    ----------
    found : mapping of str to object
        Its content: the pipeline's class, and for each part a library and a class.

    Raises
    ------
    ValueError
        If the pipeline, a part or a part's class has no counterpart here.
    """
    kind = found.get("_class_name")
    if kind not in PIPELINES:
        raise ValueError(f"_class_name is {kind!r}, expected one of {', '.join(PIPELINES)}")
    for part, value in found.items():
        if part.startswith("_"):
            continue
        if part not in _PARTS:
            raise ValueError(f"{part!r} is an unknown part of a pipeline, expected only {' and '.join(_PARTS)}")
        if value not in [["diffusers", name] for name in _PARTS[part]]:
            raise ValueError(f"{part} is {value!r}, expected ['diffusers', {' or '.join(map(repr, _PARTS[part]))}]")


def _supported(key: str, value: Any, allowed: tuple[Any, ...] | None) -> None:
    """Raise ValueError if a value is none of those allowed; None allows all."""
    if allowed is not None and not any(_same(value, known) for known in allowed):
        raise ValueError(f"{key} {value!r} is not supported, only {' or '.join(map(repr, allowed))}")


def _same(a: Any, b: Any) -> bool:
    """Return whether two values from JSON are equal; 1 and true are not."""
    return isinstance(a, bool) == isinstance(b, bool) and bool(a == b)
