"""Folders in diffusers' format, written without diffusers."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from gradient_inputs import generator
from safetensors.numpy import load_file, save_file

from ddpm_np.config import DiffusionConfig
from ddpm_np.interop import diffusers
from ddpm_np.interop.tensors import NAME
from ddpm_np.models import UNet, UNetConfig

SMALL = UNetConfig(8, 2, 8, (1, 2), 1, (4,), groups=4, head_dim=4)
CONFIGS = {
    "digits": UNetConfig.preset("digits"), "small": SMALL,
    "labels": dataclasses.replace(SMALL, num_classes=3, out_channels=4, head_dim=None),
    "not square": UNetConfig((8, 12), 1, 16, (1, 1.5), 2, (8, 4), groups=8, norm_eps=1e-5,
                             downsample_padding="symmetric", flip_sin_to_cos=True, freq_shift=0, head_dim=8),
    "one level": UNetConfig((7, 5), 1, 8, (1,), 1, (), groups=4),
}


def net_of(config, dtype="float32"):
    """Return a net with random weights; some weights of a new net are nearly zero."""
    net, rng = UNet(config, dtype=dtype), generator("interop", config)
    for p in net.parameters():
        p.data = rng.standard_normal(p.shape)
    return net


def differing(a, b):
    """Return the names of parameters that are not the same bits."""
    ours, theirs = a.state_dict(), b.state_dict()
    assert ours.keys() == theirs.keys()
    return [name for name in ours if np.asarray(ours[name]).tobytes() != np.asarray(theirs[name]).tobytes()]


@pytest.fixture(name="folder")
def a_net(tmp_path):
    """The folder of a net."""
    diffusers.save_unet(net_of(SMALL), tmp_path / "net")
    return tmp_path / "net"


@pytest.fixture(name="pipeline")
def a_pipeline(tmp_path):
    """The folder of a pipeline with a short schedule."""
    diffusers.save_pipeline(net_of(CONFIGS["digits"]), DiffusionConfig(T=20, beta_end=0.3), tmp_path / "pipeline")
    return tmp_path / "pipeline"


def changed(path, **values):
    """Change values of a JSON file; None removes a key."""
    found = json.loads(path.read_text("utf-8"))
    path.write_text(json.dumps({k: v for k, v in {**found, **values}.items() if v != "absent"}), "utf-8")


def sharded(folder):
    """Split the weights into two files with an index."""
    tensors = load_file(folder / NAME)
    (folder / NAME).unlink()
    names, places = sorted(tensors), {}
    for i in (0, 1):
        place = f"diffusion_pytorch_model-0000{i + 1}-of-00002.safetensors"
        save_file({name: tensors[name] for name in names[i::2]}, folder / place)
        places |= dict.fromkeys(names[i::2], place)
    index = folder / f"{NAME}.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": places}))
    return index, places


def rewritten(folder, change):
    tensors = load_file(folder / NAME)
    change(tensors)
    save_file(tensors, folder / NAME)
