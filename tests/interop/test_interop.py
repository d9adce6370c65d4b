"""Folders of diffusers', written and opened without it: layouts, names, settings, pipelines, the command line.

What diffusers itself makes of them is in test_parity.py.
"""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from diffusers_folders import CONFIGS, SMALL, a_net, a_pipeline, changed, differing, net_of, rewritten, sharded  # noqa: F401
from safetensors.numpy import load_file, save_file

from ddpm_np.config import Config, DiffusionConfig
from ddpm_np.interop import diffusers
from ddpm_np.interop.settings import diffusion_config, their_diffusion_config, their_unet_config, unet_config
from ddpm_np.interop.tensors import NAME
from ddpm_np.models import UNet, UNetConfig

# What the configuration of google/ddpm-cifar10-32 says, and that of its scheduler.
PUBLISHED = {
    "_class_name": "UNet2DModel", "_diffusers_version": "0.0.4", "act_fn": "silu", "attention_head_dim": None,
    "block_out_channels": [128, 256, 256, 256], "center_input_sample": False,
    "down_block_types": ["DownBlock2D", "AttnDownBlock2D", "DownBlock2D", "DownBlock2D"], "downsample_padding": 0,
    "flip_sin_to_cos": False, "freq_shift": 1, "in_channels": 3, "layers_per_block": 2, "mid_block_scale_factor": 1,
    "norm_eps": 1e-6, "norm_num_groups": 32, "out_channels": 3, "sample_size": 32, "time_embedding_type": "positional",
    "up_block_types": ["UpBlock2D", "UpBlock2D", "AttnUpBlock2D", "UpBlock2D"],
}
SCHEDULER = {"_class_name": "DDPMScheduler", "_diffusers_version": "0.1.1", "beta_end": 0.02, "beta_schedule": "linear",
             "beta_start": 0.0001, "clip_sample": True, "num_train_timesteps": 1000, "trained_betas": None,
             "variance_type": "fixed_large"}


# ----------------------------------------------------------------------------------------------------------- weights

@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", CONFIGS)
def test_save_and_load_round_trip(name, dtype, tmp_path):
    net = net_of(CONFIGS[name], dtype)
    diffusers.save_unet(net, tmp_path)
    found = diffusers.load_unet(tmp_path, dtype=dtype)
    assert dataclasses.replace(found.config, head_dim=None, heads=1) == dataclasses.replace(
        net.config, head_dim=None, heads=1, out_channels=net.config.out_channels or net.config.in_channels)
    assert differing(net, found) == []
    x, t = np.ones((1, *net.config.size, net.config.in_channels), dtype), np.array([3])
    y = None if net.config.num_classes is None else np.array([1])
    np.testing.assert_allclose(found.eval()(x, t, y).data, net.eval()(x, t, y).data, rtol=2e-5,
                               atol=2e-5 * np.abs(net(x, t, y).data).max())


def test_layouts_and_names_are_theirs(folder):
    net, found = net_of(SMALL), load_file(folder / NAME)
    own = net.state_dict()
    assert found.keys() == own.keys()
    np.testing.assert_array_equal(found["conv_in.weight"][5, 1, 2, 0], own["conv_in.weight"][2, 0, 1, 5])
    np.testing.assert_array_equal(found["time_embedding.linear_1.weight"], own["time_embedding.linear_1.weight"].T)
    np.testing.assert_array_equal(found["conv_out.bias"], own["conv_out.bias"])
    assert found["down_blocks.1.resnets.0.conv_shortcut.weight"].shape == (16, 8, 1, 1)


def test_the_embedding_of_labels_is_a_layers_weight(tmp_path):
    net = net_of(CONFIGS["labels"])
    diffusers.save_unet(net, tmp_path)
    np.testing.assert_array_equal(load_file(tmp_path / NAME)["class_embedding.weight"], net.class_embedding.data)


def test_a_net_is_views_of_its_file(folder):
    """Which stays as it is, whatever is written to them."""
    net, before = diffusers.load_unet(folder), (folder / NAME).read_bytes()
    for p in net.parameters():
        base = p.data
        while isinstance(base.base, np.ndarray):
            base = base.base
        assert isinstance(base, np.memmap)
        p.data = np.zeros(p.shape)
    assert not np.abs(net.conv_in.weight.data).any()
    assert (folder / NAME).read_bytes() == before
    assert differing(diffusers.load_unet(folder), net_of(SMALL)) == []


def test_a_net_saved_over_its_own_file(folder):
    net = diffusers.load_unet(folder)
    net.conv_in.bias.data = np.arange(8)
    diffusers.save_unet(net, folder)
    assert differing(net, net_of(SMALL)) == ["conv_in.bias"]
    assert differing(net, diffusers.load_unet(folder)) == []


def test_old_names_of_attention(folder):
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    tensors = load_file(folder / NAME)
    renamed = {}
    for name, array in tensors.items():
        part = next((new for new in old if f".{new}." in name), None)
        renamed[name.replace(f".{part}.", f".{old[part]}.") if part else name] = array
    assert len(renamed.keys() - tensors.keys()) == 8 * 4
    save_file(renamed, folder / NAME)
    assert differing(diffusers.load_unet(folder), net_of(SMALL)) == []


def test_sharded_files_take_precedence_and_are_replaced_on_save(folder):
    """Which are read before one that lies beside them, as diffusers does; what is saved there is in their place."""
    rewritten(folder, lambda w: w.update({"conv_in.bias": np.full(8, 7, "f4")}))
    seven = (folder / NAME).read_bytes()
    rewritten(folder, lambda w: w.update({"conv_in.bias": np.array(net_of(SMALL).conv_in.bias.data)}))
    sharded(folder)
    (folder / NAME).write_bytes(seven)
    net = diffusers.load_unet(folder)
    assert differing(net, net_of(SMALL)) == []
    net.conv_in.bias.data = np.arange(8)
    diffusers.save_unet(net, folder)
    assert differing(diffusers.load_unet(folder), net) == []


def test_no_file_is_taken_for_a_pickle_for_the_length_of_its_header(folder):
    """A header of 128 bytes more than a multiple of 256 begins with 0x80, as pickles do; one of 0x4b50 with "PK"."""
    tensors, first = load_file(folder / NAME), set()
    for length in [*range(0, 264, 8), None]:
        size = int.from_bytes((folder / NAME).read_bytes()[:8], "little")
        more = (0x4B50 - size) % 2**16 if length is None else length
        save_file(tensors, folder / NAME, {"more": "x" * more})
        if length is None:
            size = int.from_bytes((folder / NAME).read_bytes()[:8], "little")
            save_file(tensors, folder / NAME, {"more": "x" * ((more + 0x4B50 - size) % 2**16)})
        first.add((folder / NAME).read_bytes()[:2])
        assert differing(diffusers.load_unet(folder), net_of(SMALL)) == []
    assert b"PK" in first
    assert any(begin[:1] == b"\x80" for begin in first)


@pytest.mark.parametrize(("kind", "error"), [("F64", 0), ("F16", 2**-11), ("BF16", 2**-7)])
def test_other_dtypes(folder, kind, error):
    """Numbers rounded to those of 11 bits, or cut to those of 8."""
    tensors = load_file(folder / NAME)
    if kind == "BF16":
        pieces, header, end = [], {}, 0
        for name, array in tensors.items():
            data = (array.view(np.uint32) >> 16).astype("<u2").tobytes()
            header[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": [end, end + len(data)]}
            end += len(data)
            pieces.append(data)
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8 + 3)  # the numbers begin at an odd place: none is a view
        (folder / NAME).write_bytes(len(text).to_bytes(8, "little") + text + b"".join(pieces))
    else:
        save_file({name: array.astype({"F64": "f8", "F16": "f2"}[kind]) for name, array in tensors.items()},
                  folder / NAME)
    net, expected = diffusers.load_unet(folder), net_of(SMALL).state_dict()
    for name, p in net.named_parameters():
        assert p.data.dtype == np.float32
        np.testing.assert_allclose(p.data, expected[name], rtol=error, atol=2**-25 if kind == "F16" else 0)


def test_a_large_net_opens_at_once_and_is_not_held_twice(tmp_path):
    """The 256² net, 113,673,219 parameters, of a file of zeros that takes no room: in under a second, and what a
    sampler then holds of its own is one copy.
    """
    if not Path("/proc/self/smaps_rollup").exists():
        pytest.skip("this system does not say what memory is a process's own")
    config = UNetConfig.preset("ho256")
    header, end = {}, 0
    for name, shape in shapes_of(config).items():
        size = 4 * int(np.prod(shape))
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(tmp_path / NAME, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + end)
    (tmp_path / "config.json").write_text(json.dumps(their_unet_config(config)))
    program = f"""
import time
from ddpm_np.interop import diffusers
from ddpm_np.sampling.predictor import predictor
def own():
    text = open("/proc/self/smaps_rollup").read()
    return 1024 * int(next(line for line in text.splitlines() if line.startswith("Private_Dirty")).split()[1])
before, start = own(), time.perf_counter()
net = diffusers.load_unet({str(tmp_path)!r})
seconds, opened = time.perf_counter() - start, own() - before
eps = predictor(net, workers=1, fixed=True)
print(sum(p.size for p in net.parameters()), seconds, opened, own() - before)
"""
    count, seconds, opened, sampling = map(float, subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout.split())
    assert 4 * count == end
    assert count == 113_673_219
    assert seconds < 1
    assert opened < 0.05 * end
    assert sampling < 1.05 * end


def shapes_of(config):
    """Their shapes of a net's parameters; with no numbers made."""
    class Empty(UNet):
        def initialise(self, *args, **options):
            return self

    return {name: (part.shape[3], part.shape[2], *part.shape[:2]) if len(part.shape) == 4 else part.shape[::-1]
            for name, part in Empty(config)._named()}


# ---------------------------------------------------------------------------------------------------------- settings

def test_the_published_configuration_is_the_papers_net():
    found = unet_config(PUBLISHED)
    assert dataclasses.replace(found, dropout=0.1, out_channels=None) == UNetConfig.preset("cifar10")
    theirs = their_unet_config(found)
    assert {key: theirs[key] for key in PUBLISHED if not key.startswith("_")} == {
        key: value for key, value in PUBLISHED.items() if not key.startswith("_")}
    assert diffusion_config(SCHEDULER) == Config.preset("cifar10").diffusion


def test_missing_keys_take_the_librarys_defaults():
    found = unet_config({"sample_size": 32})
    assert found == UNetConfig(32, 3, 224, (1, 2, 3, 4), 2, (16, 8, 4), out_channels=3, norm_eps=1e-5, head_dim=8,
                               downsample_padding="symmetric", flip_sin_to_cos=True, freq_shift=0)
    assert [found.heads_of(width) for width in found.widths] == [28, 56, 84, 112]
    assert diffusion_config({}) == DiffusionConfig(variance="small")
    assert unet_config({}, (16, 24)).size == (16, 24)


@pytest.mark.parametrize(("changes", "words"), [
    ({"act_fn": "mish"}, "act_fn 'mish'"), ({"down_block_types": ["SkipDownBlock2D"] * 4}, "SkipDownBlock2D"),
    ({"resnet_time_scale_shift": "scale_shift"}, "scale_shift"), ({"add_attention": False}, "add_attention"),
    ({"center_input_sample": True}, "center_input_sample"), ({"time_embedding_type": "fourier"}, "fourier"),
    ({"downsample_type": "resnet"}, "downsample_type"), ({"mid_block_type": None}, "mid_block_type"),
    ({"class_embed_type": "timestep"}, "class_embed_type"), ({"downsample_padding": 2}, "downsample_padding 2"),
    ({"attn_norm_num_groups": 8}, "attn_norm_num_groups 8"), ({"new_key": 3}, "'new_key'"),
    ({"time_embedding_dim": 64}, "time_embedding_dim 64"), ({"sample_size": None}, "add the side of"),
    ({"up_block_types": ["UpBlock2D"] * 4}, "up_block_types"), ({"block_out_channels": [128, 256]}, "one length"),
    ({"block_out_channels": [128, "256", 256, 256]}, "block_out_channels must be whole"),
    ({"block_out_channels": 128}, "lists of one length"), ({"in_channels": "3"}, "in_channels must be"),
    ({"sample_size": 33}, "multiple of 8"), ({"sample_size": "32"}, "sample_size must be"),
    ({"attention_head_dim": 7}, "heads of 7"), ({"norm_num_groups": 33}, "33 groups"),
    ({"layers_per_block": [2, 2, 2, 2]}, "layers_per_block must be"), ({"dropout": 2}, "dropout"),
    ({"_class_name": "UNet2DConditionModel"}, "UNet2DConditionModel"), ({"freq_shift": 64}, "freq_shift must not be"),
    ({"freq_shift": 10**400}, "freq_shift must be number"), ({"in_channels": 10**400}, "in_channels must be from"),
    ({"block_out_channels": [128, 256, 256, 10**400]}, "from 1 to 2**31"), ({"norm_eps": -1.0}, "norm_eps"),
    ({"norm_eps": float("nan")}, "norm_eps must be number"), ({"freq_shift": float("inf")}, "freq_shift must be"),
    ({"downsample_padding": True}, "downsample_padding True"), ({"mid_block_type": {}}, "mid_block_type {}"),
    ({"block_out_channels": [True, 2, 2, 2]}, "block_out_channels must be whole"),
    ({"sample_size": [32, 32, 32]}, "must be one side"),
])
def test_a_net_that_is_not_supported_is_named(changes, words, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({**PUBLISHED, **changes}))
    with pytest.raises(ValueError, match=r"config\.json: ") as found:
        diffusers.load_unet(tmp_path)
    assert words in str(found.value)
    assert "\n" not in str(found.value)


@pytest.mark.parametrize("value", [None, False, 0, "", [], True, 3])
def test_an_unknown_key_is_refused_whatever_its_value(value):
    for read, known in ((unet_config, PUBLISHED), (diffusion_config, SCHEDULER)):
        with pytest.raises(ValueError, match=r"'new_key' is an unknown key, .* remove it if it does not"):
            read({**known, "new_key": value})


@pytest.mark.parametrize("keys", [
    {"tensor_format": "pt", "timestep_values": None}, {"use_karras_sigmas": False, "skip_prk_steps": True},
    {"lambda_min_clipped": float("-inf"), "solver_order": 2, "final_sigmas_type": "zero"},
    {"sample_max_value": 3.0, "dynamic_thresholding_ratio": 0.5}, {"timestep_spacing": "trailing", "steps_offset": 1},
    {"timesteps": 1000}, {"clip_predicted_image": True}, {"predict_epsilon": True},
    {"predict_epsilon": True, "prediction_type": "epsilon"}, {"_name_or_path": "x"}, {"_use_default_values": []},
    {"_use_default_values": ["beta_end", "prediction_type"], "beta_end": 0.5, "prediction_type": "sample"},
])
def test_known_keys_that_change_nothing_in_a_schedule(keys):
    assert diffusion_config({**SCHEDULER, **keys}) == diffusion_config(SCHEDULER)


def test_known_keys_that_change_nothing_in_a_net():
    """What diffusers' EMAModel writes beside its weights; T, which only a learned embedding of time needs."""
    average = {"decay": 0.9999, "min_decay": 0.0, "optimization_step": 7, "update_after_step": 0, "power": 0.75,
               "use_ema_warmup": True, "inv_gamma": 1.0, "collected_params": None, "num_train_timesteps": 1000}
    assert unet_config({**PUBLISHED, **average}) == unet_config(PUBLISHED)


@pytest.mark.parametrize(("changes", "expected"), [
    ({"predict_epsilon": False}, {"predicts": "x0"}),
    ({"predict_epsilon": False, "prediction_type": "sample"}, {"predicts": "x0"}),
    ({"clip_predicted_image": False}, {"clip_sample": False}),
    ({"timesteps": 50}, {"T": 50}),
    ({"clip_sample": False, "clip_sample_range": 2.0}, {"clip_sample": False}),
    ({"variance_type": "fixed_small_log"}, {"variance": "small"}),
])
def test_former_names_of_keys_have_their_meaning(changes, expected):
    published = {key: value for key, value in SCHEDULER.items() if key not in ("num_train_timesteps", "clip_sample")}
    assert diffusion_config({**published, **changes}) == dataclasses.replace(diffusion_config(published), **expected)


@pytest.mark.parametrize(("config", "words"), [
    (UNetConfig(8, 1, 8, (2, 4), 1, (4,), groups=4), "wider than its first"),
    (UNetConfig(8, 1, 8, (1, 2), 1, (8,), groups=4, heads=2), "2 heads on [8, 16]"),
])
def test_a_net_that_diffusers_has_not_is_named(config, words, tmp_path):
    with pytest.raises(ValueError, match=re.escape(words)):
        diffusers.save_unet(UNet(config), tmp_path / "net")
    assert not (tmp_path / "net").exists()


def test_attention_heads_round_trip():
    """As channels a head, where they are the same at every level."""
    def head_dim(**options):
        return their_unet_config(UNetConfig(8, 1, 8, (1, 2), 1, **{"groups": 4, **options}))["attention_head_dim"]

    assert head_dim(attention_resolutions=(8, 4)) is None
    assert head_dim(attention_resolutions=(4,), heads=4) == 4
    assert head_dim(attention_resolutions=(8, 4), head_dim=8) == 8
    assert head_dim(attention_resolutions=(), head_dim=16) is None


@pytest.mark.parametrize("config", [
    DiffusionConfig(), DiffusionConfig("cosine", 50, variance="small", predicts="v"), DiffusionConfig("sigmoid", 7),
    DiffusionConfig("quadratic", 9, 1e-3, 0.3, clip_sample=False), DiffusionConfig(betas=(0.1, 0.2, 0.5)),
    DiffusionConfig(predicts="x0", variance="learned_range"),
], ids=str)
def test_schedules_round_trip(config):
    assert diffusion_config(json.loads(json.dumps(their_diffusion_config(config)))) == config


def test_a_schedule_without_a_name_there_goes_as_numbers():
    config = DiffusionConfig("warmup10", 40)
    found = diffusion_config(their_diffusion_config(config))
    assert found.betas == tuple(config.build().beta[1:])
    assert found.build().alpha_bar.tobytes() == config.build().alpha_bar.tobytes()


@pytest.mark.parametrize(("changes", "words"), [
    ({"_class_name": "PNDMScheduler"}, "PNDMScheduler"), ({"variance_type": "fixed_large_log"}, "fixed_large_log"),
    ({"prediction_type": "flow"}, "prediction_type 'flow'"), ({"thresholding": True}, "thresholding"),
    ({"rescale_betas_zero_snr": True}, "rescale_betas_zero_snr"), ({"beta_schedule": "laplace"}, "laplace"),
    ({"clip_sample_range": 2.0}, "clip_sample_range 2.0"), ({"num_train_timesteps": "many"}, "num_train_timesteps"),
    ({"trained_betas": [0.1, "x"]}, "trained_betas must be"), ({"unheard_of": 1}, "unheard_of"),
    ({"trained_betas": [0.1, 10**400]}, "trained_betas must be"), ({"trained_betas": []}, "betas is empty"),
    ({"beta_end": float("nan")}, "beta_end must be"), ({"beta_end": 1.5}, "strictly between 0 and 1"),
    ({"num_train_timesteps": -3}, "T must be from 1 to 1,000,000, got -3"), ({"beta_schedule": {}}, "beta_schedule {}"),
    ({"variance_type": []}, "variance_type []"),
    ({"predict_epsilon": False}, "predict_epsilon, the former name of prediction_type, says 'sample', and"),
    ({"predict_epsilon": False, "prediction_type": "v_prediction"}, "says 'v_prediction': remove the wrong one"),
    ({"predict_epsilon": 0}, "predict_epsilon 0 is not supported, only True or False"),
    ({"predict_epsilon": "false"}, "predict_epsilon 'false' is not"), ({"timesteps": 30}, "train_timesteps says 20"),
    ({"clip_predicted_image": False}, "clip_sample says True"), ({"beta_start": "0.0001"}, "beta_start must be number"),
    ({"beta_start": True}, "beta_start must be number"), ({"beta_start": None}, "beta_start must be number"),
    ({"clip_sample": 1}, "clip_sample must be true or false"), ({"thresholding": 0}, "thresholding 0"),
    ({"trained_betas": [0.1, True]}, "trained_betas must be"), ({"trained_betas": 0.1}, "trained_betas must be"),
    ({"trained_betas": [0.1, 0.2]}, "num_train_timesteps is 20 and trained_betas has 2 numbers"),
    ({"num_train_timesteps": 20.0}, "num_train_timesteps must be"), ({"sample_max_value": "1"}, "sample_max_value"),
    ({"dynamic_thresholding_ratio": float("nan")}, "dynamic_thresholding_ratio must be a finite number"),
    ({"clip_sample_range": None}, "clip_sample_range must be"), ({"timestep_spacing": "karras"}, "timestep_spacing '"),
    ({"steps_offset": [1]}, "steps_offset must be"), ({"use_karras_sigmas": True}, "use_karras_sigmas True is not"),
    ({"timestep_values": [1]}, "timestep_values [1]"), ({"_class_name": ["DDPMScheduler"]}, "_class_name is ['DDPM"),
    ({"_use_default_values": "beta_end"}, "_use_default_values must be a list of keys"),
])
def test_a_schedule_that_is_not_supported_is_named(pipeline, changes, words):
    changed(pipeline / "scheduler" / "scheduler_config.json", **changes)
    with pytest.raises(ValueError, match=r"scheduler_config\.json: ") as found:
        diffusers.load_pipeline(pipeline)
    assert words in str(found.value)


@pytest.mark.parametrize("config", [DiffusionConfig(predicts="mean"), DiffusionConfig(variance="learned")])
def test_a_schedule_that_diffusers_has_not_is_named(config, tmp_path):
    with pytest.raises(ValueError, match="has no counterpart in diffusers"):
        diffusers.save_pipeline(net_of(SMALL), config, tmp_path / "out")
    assert not (tmp_path / "out").exists()
