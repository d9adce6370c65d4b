"""The readers of a run's folder and of diffusers' folders as cases for `damage`."""

from __future__ import annotations

import dataclasses
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from damage import Case
from gradient_inputs import generator

from ddpm_np.cli.evaluate import read_evaluation
from ddpm_np.config import Config, DiffusionConfig
from ddpm_np.evaluate import load_classifier, save_classifier
from ddpm_np.evaluate.features import ClassifierFeatures, Training
from ddpm_np.evaluate.likelihood import Curve, Likelihood
from ddpm_np.interop import diffusers
from ddpm_np.models import Classifier, ClassifierConfig, UNet, UNetConfig
from ddpm_np.runs import checkpoint, weights
from ddpm_np.runs.metrics import read_metrics
from ddpm_np.storage import digest
from ddpm_np.training.trainer import Record, Trainer

TINY = UNetConfig(8, 1, 4, (1,), 1, (), groups=2)


def run_cases(folder: Path) -> dict[str, Case]:
    """Return the cases of all readers of runs; they read in the given folder."""
    return {**_checkpoint_cases(folder), **_log_cases(folder), **_diffusers_cases(folder)}


def _written(path: Path, read: Callable[[Path], Any], what: Path | None = None) -> Callable[[bytes], Any]:
    """Return a function that writes bytes to a path and reads that, or `what`."""
    def reader(content: bytes) -> Any:
        path.write_bytes(content)
        return read(what or path)

    return reader


def _checkpoint_cases(folder: Path) -> dict[str, Case]:
    config = dataclasses.replace(Config.preset("digits"), model=TINY)
    trainer = Trainer(UNet(config.model), config.diffusion.build(), lr=1e-3, warmup=0, ema=0.9, workers=1)
    trainer.step(np.zeros((2, 8, 8, 1), np.float32))
    path = folder / "checkpoint-00000001.safetensors"
    checkpoint.save(path, trainer, config, loss=0.5)
    saved = checkpoint.read(path)
    content = path.read_bytes()
    metadata = _header(content)["__metadata__"]
    del metadata["sha256"]

    def pack(inside: bytes) -> bytes:
        """Return a checkpoint whose metadata are these, as JSON, and whose SHA-256 is right."""
        try:
            changed = {str(key): str(value) for key, value in json.loads(inside).items()}
        except (ValueError, AttributeError, RecursionError):
            changed = {**metadata, "config": inside.decode("utf-8", "replace")}
        changed["sha256"] = digest({k: v for k, v in changed.items() if k != "sha256"}, saved.tensors)
        return _with_header(content, {**_header(content), "__metadata__": changed})

    kept = weights.Weights(config, 1, weights.halved(saved.weights("ema")), "MIT", "zeros", {"share": 0.5})
    weights.save(folder / "kept.safetensors", kept)
    net = ClassifierFeatures(Classifier(ClassifierConfig(8, 1, 4)), Training("toy", "0", 30, 7, 5, 1e-3, 4, 10, 0.9))
    save_classifier(folder / "classifier.safetensors", net)
    return {
        "checkpoint": Case(content, _written(path, _of_checkpoint), (checkpoint.CheckpointError,), True,
                           json.dumps(metadata).encode(), pack),
        "weights": Case((folder / "kept.safetensors").read_bytes(), _written(folder / "kept.safetensors", _of_weights),
                        (checkpoint.CheckpointError,), True),
        "classifier": Case((folder / "classifier.safetensors").read_bytes(),
                           _written(folder / "classifier.safetensors", lambda path: load_classifier(path).name),
                           (checkpoint.CheckpointError,), True),
    }


def _of_checkpoint(path: Path) -> Any:
    saved = checkpoint.read(path)
    return (saved.config, saved.step, saved.updates, saved.unlogged, saved.loss,
            {name: (array.dtype, array.shape, array.tobytes()) for name, array in saved.tensors.items()})


def _of_weights(path: Path) -> Any:
    kept = weights.read(path)
    return (kept.config, kept.step, kept.licence, kept.credit, kept.figures,
            {name: (array.dtype, array.shape, array.tobytes()) for name, array in kept.tensors.items()})


def _header(content: bytes) -> dict[str, Any]:
    length = struct.unpack("<Q", content[:8])[0]
    return json.loads(content[8 : 8 + length])


def _with_header(content: bytes, header: dict[str, Any]) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + content[8 + struct.unpack("<Q", content[:8])[0]:]


def _log_cases(folder: Path) -> dict[str, Case]:
    lines = [json.dumps(dataclasses.asdict(Record(step, 1 / step, 0.1 + step, 1e-3, 50.5))) for step in (2, 4, 6, 8)]
    curve = Curve((0.5, 0.25, 0.125), (0.875, 0.375, 0.125), (1.5, 2.5, 100.0), 0.01)
    result = Likelihood("digits", "train", 3, 17, 2, "small", "ema", 5, curve, curve)
    return {
        "metrics.jsonl": Case("".join(f"{line}\n" for line in lines).encode(),
                              _written(folder / "metrics.jsonl", _of_log), ()),
        "evaluation.json": Case(json.dumps({"bits": result.to_dict()}, indent=1).encode(),
                                _written(folder / "evaluation.json", _of_evaluation), (ValueError,)),
    }


def _of_log(path: Path) -> Any:
    """Return the records, which are whole lines in order, however the file is damaged."""
    said: list[str] = []
    records = read_metrics(path, said.append)
    steps = [record["step"] for record in records]
    assert steps == sorted(set(steps))
    assert all(np.isfinite(list(record.values())).all() for record in records)
    assert len(said) <= 1
    assert all(line.isprintable() for line in said)
    return records


def _of_evaluation(path: Path) -> Any:
    found = read_evaluation(path)
    return str(Likelihood.from_dict(found["bits"])) if "bits" in found else None


def _diffusers_cases(folder: Path) -> dict[str, Case]:
    net = UNet(TINY)
    rng = generator("damaged")
    for p in net.parameters():
        p.data = rng.standard_normal(p.shape)
    cases = {}
    for part in ("model_index.json", "unet/config.json", "scheduler/scheduler_config.json",
                 "unet/diffusion_pytorch_model.safetensors"):
        place = folder / part.replace("/", " ")
        diffusers.save_pipeline(net, DiffusionConfig(T=20, beta_end=0.3), place)
        cases[f"diffusers {Path(part).name}"] = Case(
            (place / part).read_bytes(), _written(place / part, _of_pipeline, place), (ValueError, FileNotFoundError))
    return cases


def _of_pipeline(folder: Path) -> Any:
    net, diffusion = diffusers.load_pipeline(folder)
    return net.config, diffusion, {name: np.asarray(value).tobytes() for name, value in net.state_dict().items()}
