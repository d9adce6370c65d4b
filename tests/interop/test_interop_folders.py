"""Folders of diffusers' from the front: those that are damaged, pipelines, the command line.

What diffusers itself makes of them is in test_parity.py.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from diffusers_folders import CONFIGS, SMALL, a_net, a_pipeline, changed, differing, net_of, rewritten, sharded  # noqa: F401
from safetensors.numpy import save_file

import ddpm_np
from ddpm_np.cli import main
from ddpm_np.config import Config, DiffusionConfig
from ddpm_np.data import to_levels
from ddpm_np.diffusion import linear_schedule
from ddpm_np.interop import diffusers
from ddpm_np.interop.tensors import NAME
from ddpm_np.models import UNet
from ddpm_np.runs import checkpoint
from ddpm_np.runs.sample import progressive_predictions
from ddpm_np.sampling import Sampler, memory
from ddpm_np.training.trainer import Trainer


class Trap:
    """Unpickled, it would leave a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def pickled(folder, name):
    import pickle

    (folder / name).write_bytes(pickle.dumps({"conv_in.weight": Trap(folder / "executed")}))


def only_a_pickle(folder):
    (folder / NAME).unlink()
    pickled(folder, "diffusion_pytorch_model.bin")


def renamed(folder, name):
    (folder / NAME).rename(folder / name)


def repeated(folder, key):
    """Give a key of the configuration twice."""
    text = (folder / "config.json").read_text("utf-8")
    (folder / "config.json").write_text(text.replace("{", f'{{"{key}": 1, ', 1), "utf-8")


def cut(folder, length):
    data = (folder / NAME).read_bytes()
    (folder / NAME).write_bytes(data[:length])


def in_two(folder, change):
    index, places = sharded(folder)
    change(index, places)


BAD = {
    "no settings": (lambda f: (f / "config.json").unlink(), "config.json is missing"),
    "no weights": (lambda f: (f / NAME).unlink(), f"has no {NAME}"),
    "a pickle alone": (only_a_pickle, "diffusion_pytorch_model.bin is a pickle"),
    "half precision beside no plain file": (lambda f: renamed(f, "diffusion_pytorch_model.fp16.safetensors"),
                                            "fp16.safetensors is a variant of the weights, such as half"),
    "half precision in parts": (lambda f: (in_two(f, lambda i, p: i.rename(f / f"{NAME}.index.fp16.json")),
                                           [p.rename(str(p).replace("model-", "model.fp16-"))
                                            for p in f.glob("*-of-*")]), "is the index of a variant, such as half"),
    "parts without their index": (lambda f: in_two(f, lambda i, p: i.unlink()), "is one part of several whose index"),
    "another library's file": (lambda f: renamed(f, "model.safetensors"), "is not a UNet2DModel's file"),
    **{f"only {end}": (lambda f, end=end: renamed(f, f"diffusion_pytorch_model{end}"), f"model{end} is {what}")
       for end, what in {".ckpt": "a pickle", ".msgpack": "the weights of a Flax net", ".onnx": "an ONNX graph",
                         ".h5": "the weights of a TensorFlow net", ".gguf": "a quantised file"}.items()},
    "a key twice": (lambda f: repeated(f, "norm_eps"), "gives the key 'norm_eps' twice: remove one"),
    "a pickle under another name": (lambda f: pickled(f, NAME), "is a pickle by its first bytes"),
    "a zip of pickles": (lambda f: (f / NAME).write_bytes(b"PK\x03\x04" + b"x" * 99), "is a pickle by its first bytes"),
    "cut": (lambda f: cut(f, -5), "is not a whole safetensors file"),
    "cut in its header": (lambda f: cut(f, 100), "is not a whole safetensors file"),
    "empty": (lambda f: cut(f, 0), "is not a whole safetensors file"),
    "no JSON": (lambda f: (f / "config.json").write_text("{"), "config.json is not JSON"),
    "JSON of a list": (lambda f: (f / "config.json").write_text("[1]"), "config.json holds list"),
    "a wrong shape": (lambda f: rewritten(f, lambda w: w.update({"conv_in.bias": np.ones(9, "f4")})),
                      "conv_in.bias: expected shape (8,), got (9,)"),
    "an unknown key": (lambda f: rewritten(f, lambda w: w.update(extra=np.ones(1, "f4"))), "1 unknown ['extra']"),
    "a key missing": (lambda f: rewritten(f, lambda w: w.pop("conv_in.bias")), "1 missing ['conv_in.bias']"),
    "a name twice": (lambda f: rewritten(f, lambda w: w.update({
        "mid_block.attentions.0.query.bias": np.ones(16, "f4")})), "by an old name and by its new one"),
    "no numbers": (lambda f: rewritten(f, lambda w: w.update({"conv_in.bias": np.ones((0, 3), "f4")})),
                   "conv_in.bias has shape [0, 3]"),
    "a wrong dtype": (lambda f: rewritten(f, lambda w: w.update({"conv_in.bias": np.ones(8, "i8")})),
                      "conv_in.bias is of dtype I64"),
    "another net's": (lambda f: changed(f / "config.json", layers_per_block=2), "missing"),
    "a net of more blocks than weights": (lambda f: changed(f / "config.json", layers_per_block=10**6),
                                          "2,000,000 blocks"),
    "an index without a map": (lambda f: in_two(f, lambda i, p: i.write_text("{}")), "has no weight_map"),
    "an index out of the folder": (lambda f: in_two(f, lambda i, p: i.write_text(json.dumps(
        {"weight_map": dict.fromkeys(p, "../w.safetensors")}))), "'../w.safetensors'"),
    "a part missing": (lambda f: in_two(f, lambda i, p: (f / p["conv_in.bias"]).unlink()), "is missing, and"),
    "a part that is another": (lambda f: in_two(f, lambda i, p: save_file(
        {"conv_in.bias": np.ones(8, "f4")}, f / p["conv_in.bias"])), "differ in"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_folder_is_one_line_and_runs_nothing(folder, name, capsys):
    spoil, words = BAD[name]
    spoil(folder)
    with pytest.raises((ValueError, FileNotFoundError)) as found:
        diffusers.load_unet(folder)
    assert words in str(found.value)
    assert str(folder) in str(found.value)
    assert main(["sample", str(folder), "-n", "1", "--out", str(folder / "s.png"), "--quiet"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert words in error or name == "no settings"  # without which it is no folder of diffusers'
    assert not (folder / "executed").exists()


@pytest.mark.parametrize(("spoil", "words"), [
    (lambda f: (f / "scheduler" / "scheduler_config.json").unlink(), "scheduler_config.json is missing"),
    (lambda f: changed(f / "model_index.json", _class_name="StableDiffusionPipeline"), "StableDiffusionPipeline"),
    (lambda f: (f / "unet" / "config.json").unlink(), "config.json is missing"),
    (lambda f: (f / "model_index.json").write_text("no"), "is not JSON"),
    (lambda f: changed(f / "model_index.json", scheduler=["diffusers", "PNDMScheduler"]), "scheduler is"),
    (lambda f: changed(f / "model_index.json", unet=["mine", "UNet2DModel"]), "unet is ['mine', 'UNet2DModel']"),
    (lambda f: changed(f / "model_index.json", vae=["diffusers", "AutoencoderKL"]), "'vae' is an unknown part"),
    (lambda f: changed(f / "model_index.json", _class_name=["DDPMPipeline"]), "_class_name is ['DDPMPipeline']"),
])
def test_a_bad_pipeline_is_one_line(pipeline, spoil, words):
    spoil(pipeline)
    with pytest.raises((ValueError, FileNotFoundError)) as found:
        ddpm_np.load(pipeline)
    assert words in str(found.value)
    assert "\n" not in str(found.value)


def test_a_byte_order_mark_is_passed_over(folder):
    text = (folder / "config.json").read_text("utf-8")
    (folder / "config.json").write_text(text, "utf-8-sig")
    assert differing(diffusers.load_unet(folder), net_of(SMALL)) == []


def test_other_mistakes_are_named(folder, pipeline, tmp_path):
    """A part of a folder, one that is not whole, arguments of the wrong kind."""
    for name in ("config.json", NAME):
        with pytest.raises(ValueError, match="name the folder"):
            ddpm_np.load(folder / name)
    (pipeline / "model_index.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"model_index\.json is missing"):
        ddpm_np.load(pipeline)
    with pytest.raises(FileNotFoundError, match="or name a folder of published weights"):
        ddpm_np.load(tmp_path / "nothing")
    with pytest.raises(TypeError, match="expected a UNet, got TrainedNet"):
        diffusers.save_unet(ddpm_np.load(folder), tmp_path / "out")
    with pytest.raises(ValueError, match="dtype must be"):
        diffusers.load_unet(folder, dtype="float16")
    with pytest.raises(TypeError, match="float16: only"):
        diffusers.save_unet(UNet(SMALL, dtype="float16"), tmp_path / "out")


# -------------------------------------------------------------------------------------------- pipelines, from the front

def test_a_pipeline_is_loaded_and_sampled(pipeline):
    net, diffusion = diffusers.load_pipeline(pipeline)
    found = ddpm_np.load(pipeline)
    assert diffusion == found.config.diffusion == DiffusionConfig(T=20, beta_end=0.3)
    assert found.schedule.T == 20
    assert found.step == 0
    assert differing(found.model, net) == differing(net, net_of(CONFIGS["digits"])) == []
    images = ddpm_np.sample(pipeline, 3, workers=1)
    own = ddpm_np.sample(net_of(CONFIGS["digits"]), 3, schedule=diffusion.build(), variance="large", workers=2)
    np.testing.assert_allclose(images, own, atol=1e-5)
    assert images.tobytes() == ddpm_np.sample(pipeline, 3, workers=2).tobytes()


def test_all_in_one_folder_as_first_published(pipeline, tmp_path):
    flat = tmp_path / "flat"
    flat.mkdir()
    for path in pipeline.rglob("*.*"):
        path.rename(flat / path.name)
    assert differing(diffusers.load_pipeline(flat)[0], net_of(CONFIGS["digits"])) == []
    assert diffusers.load_pipeline(flat)[1].T == 20


def test_a_net_alone_has_the_papers_schedule(folder, tmp_path):
    """Of twice as many outputs, with a variance of its own; a schedule that does not go with the net is named."""
    found = ddpm_np.load(folder)
    assert found.schedule.alpha_bar.tobytes() == linear_schedule(1000).alpha_bar.tobytes()
    assert found.config.diffusion.variance == "large"
    net = net_of(dataclasses.replace(SMALL, out_channels=4))
    diffusers.save_pipeline(net, DiffusionConfig(variance="learned_range"), tmp_path / "two")
    for path in (tmp_path / "two", tmp_path / "two" / "unet"):
        assert ddpm_np.load(path).config.diffusion.variance == "learned_range"
    diffusers.save_unet(net_of(SMALL), tmp_path / "two" / "unet")
    with pytest.raises(ValueError, match="two: a net of 2 channels"):
        ddpm_np.load(tmp_path / "two")


def test_labels_of_a_published_net_are_all_labels(tmp_path):
    """None of them means "no label", as the last of a net that is trained here does."""
    net, sampler = net_of(dataclasses.replace(CONFIGS["labels"], out_channels=2)), Sampler(steps=2)
    diffusers.save_unet(net, tmp_path)
    last = ddpm_np.sample(tmp_path, 1, labels=2, sampler=sampler)
    assert last.tobytes() != ddpm_np.sample(tmp_path, 1, labels=0, sampler=sampler).tobytes()
    with pytest.raises(ValueError, match="from 0 to 2, got 3"):
        ddpm_np.sample(tmp_path, 1, labels=3, sampler=sampler)
    for options in ({}, {"labels": 1, "guidance": 0.5}):
        with pytest.raises(ValueError, match="pass a label from 0 to 2 and no guidance"):
            ddpm_np.sample(tmp_path, 1, sampler=sampler, **options)
    assert main(["import", str(tmp_path), "--out", str(tmp_path / "run")]) == 2


def test_many_large_images_are_drawn_a_few_at_a_time(monkeypatch):
    """And are the same."""
    model, sampler = net_of(CONFIGS["digits"]), Sampler(steps=3)
    images, seen = ddpm_np.sample(model, 5, sampler=sampler), progressive_predictions(model, 5, sampler=sampler)
    monkeypatch.setattr(memory, "_NUMBERS", 2 * 8 * 8 * 32)
    assert memory.images_at_a_time(model.config) == 2
    counts = []
    assert ddpm_np.sample(model, 5, sampler=sampler, on_step=counts.append).tobytes() == images.tobytes()
    assert progressive_predictions(model, 5, sampler=sampler, on_step=counts.append).tobytes() == seen.tobytes()
    assert counts == 2 * [2, 2, 2, 2, 2, 2, 1, 1, 1]


def test_non_finite_images_are_reported(pipeline, tmp_path, capsys):
    rewritten(pipeline / "unet", lambda w: w.update({"conv_out.bias": np.full(1, np.nan, "f4")}))
    assert main(["sample", str(pipeline), "-n", "1", "--quiet", "--out", str(tmp_path / "s.png")]) == 1
    assert capsys.readouterr().err.startswith("ddpm-np: stopped: the images are not finite numbers")
    assert not (tmp_path / "s.png").exists()


def test_commands_that_need_the_data_set_are_refused(pipeline, tmp_path, capsys):
    for command in (["evaluate"], ["plot", "neighbours"]):
        assert main([*command, str(pipeline)]) == 2
        assert "import them with ddpm-np import --dataset first" in capsys.readouterr().err
    assert not (pipeline / "evaluation.json").exists()
    assert main(["import", str(pipeline), "--out", str(pipeline)]) == 2
    assert "is a diffusers folder" in capsys.readouterr().err
    assert main(["import", str(pipeline), "--out", str(tmp_path / "run"), "--dataset", "mnits"]) == 2
    assert "no data set is called 'mnits'" in capsys.readouterr().err


def test_a_runs_checkpoints_come_first(pipeline, tmp_path):
    """Where some lie in a folder with files of diffusers'."""
    assert main(["import", str(pipeline), "--out", str(tmp_path / "run"), "--preset", "digits"]) == 0
    for path in (tmp_path / "run").iterdir():
        path.rename(pipeline / path.name)
    assert ddpm_np.load(pipeline).config.training.dataset == "digits"


def test_no_key_is_in_two_tables():
    """`--set` names a key alone."""
    tables = Config.preset("digits").to_dict().values()
    assert len({key for table in tables for key in table}) == sum(len(table) for table in tables)


def test_clipping_follows_the_scheduler_configuration(pipeline):
    clipped, free = ddpm_np.sample(pipeline, 2), ddpm_np.sample(pipeline, 2, clip=False)
    changed(pipeline / "scheduler" / "scheduler_config.json", clip_sample=False)
    assert ddpm_np.sample(pipeline, 2).tobytes() == free.tobytes() != clipped.tobytes()
    assert ddpm_np.sample(pipeline, 2, clip=True).tobytes() == clipped.tobytes()


def test_the_command_line(pipeline, tmp_path, capsys):
    """A folder sampled; imported, trained on, exported, and sampled again: the same images where the net is the same.
    """
    def images(path, *options):
        out = tmp_path / "images.npz"
        assert main(["sample", str(path), "-n", "2", "--out", str(out), "--quiet", *options]) == 0
        return np.load(out)["images"]

    before, run, out = images(pipeline), tmp_path / "run", tmp_path / "out"
    assert "2 images from " in capsys.readouterr().out
    assert before.tobytes() == to_levels(ddpm_np.sample(pipeline, 2)).tobytes()
    imports = ["import", str(pipeline), "--out", str(run), "--preset", "digits", "--set", "steps=2", "--set",
               "batch_size=4", "--set", "log_every=1", "--set", "sample_every=2", "--set", "save_every=2"]
    assert main([*imports, "--set", "model.channels=64"]) == 2
    assert "model and diffusion are fixed by" in capsys.readouterr().err
    assert main(imports) == 0
    assert "train it with: ddpm-np train --resume" in capsys.readouterr().out
    assert main(imports) == 2
    assert "already holds a run" in capsys.readouterr().err
    np.testing.assert_allclose(images(run), before, atol=1)
    export = ["export", str(run), "--out", str(out)]
    assert main(export) == 0
    assert differing(diffusers.load_pipeline(out)[0], diffusers.load_pipeline(pipeline)[0]) == []
    assert main(export) == 2
    assert "already exists" in capsys.readouterr().err
    assert main(["train", "--resume", "--out", str(run), "--quiet", "--workers", "1"]) == 0
    trained = ddpm_np.load(run)
    assert trained.step == 2
    assert differing(trained.model, diffusers.load_unet(out / "unet"))
    assert main(["export", str(run), "--weights", "model", "--out", str(tmp_path / "last")]) == 0
    assert differing(trained.model, diffusers.load_unet(tmp_path / "last" / "unet")) == []


def test_a_checkpoint_of_a_run_with_other_keys_than_now(tmp_path):
    """A configuration written before some keys were there has their defaults."""
    config = Config.preset("digits")
    tables = config.to_dict()
    for table, key in (("diffusion", "betas"), ("diffusion", "clip_sample"), ("model", "head_dim")):
        del tables[table][key]
    assert Config.from_dict(tables) == config
    path = tmp_path / "checkpoint-00000000.safetensors"
    checkpoint.save(path, Trainer(UNet(config.model), config.diffusion.build()), config)
    assert ddpm_np.load(path).config == config
