"""Checkpoints against everything that can happen to a disk, a process and a file."""

from __future__ import annotations

import builtins
import contextlib
import dataclasses
import errno
import json
import os
import random
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from ddpm_np import storage
from ddpm_np.config import Config
from ddpm_np.models import UNet, UNetConfig
from ddpm_np.runs import checkpoint, history
from ddpm_np.runs.checkpoint import CheckpointError
from ddpm_np.training.trainer import Trainer

DAMAGED = int(os.environ.get("DDPM_NP_DAMAGED", "500"))  # files; more are tried by hand, see docs/design


def tiny():
    """A configuration and a trainer of a few thousand parameters, after one step."""
    config = dataclasses.replace(Config.preset("digits"), model=UNetConfig(8, 1, 4, (1,), 1, (), groups=2))
    trainer = Trainer(UNet(config.model), config.diffusion.build(), lr=1e-3, warmup=0, ema=0.9, workers=1)
    trainer.step(np.zeros((2, 8, 8, 1), np.float32))
    return config, trainer


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    """The bytes of a checkpoint."""
    config, trainer = tiny()
    path = tmp_path_factory.mktemp("one") / "c.safetensors"
    checkpoint.save(path, trainer, config, loss=0.5)
    return path.read_bytes()


def same(a, b):
    return (a.config, a.step, a.updates, a.unlogged, a.tensors.keys()) == (
        b.config, b.step, b.updates, b.unlogged, b.tensors.keys()) and all(
        np.array_equal(a.tensors[name], b.tensors[name]) for name in a.tensors)


class Killed(BaseException):
    """The process ends here: nothing that would have come later may happen."""


class Disk:
    """A disk whose k-th call fails in one way; afterwards, if the process was killed, no call has an effect."""

    def __init__(self, monkeypatch, fail_at, how):
        self.calls, self.fail_at, self.how, self.dead = 0, fail_at, how, False
        for name in ("replace", "open", "fsync", "close"):
            monkeypatch.setattr(os, name, self.guarded(getattr(os, name)))
        monkeypatch.setattr(Path, "unlink", self.guarded(Path.unlink, counted=False))
        opening = self.guarded(builtins.open)
        monkeypatch.setattr(storage, "open", lambda *args: self.File(self, opening(*args)), raising=False)

    def guarded(self, call, counted=True):
        def guard(*args, **kwargs):
            if self.dead:
                raise Killed
            if counted:
                self.calls += 1
                if self.calls == self.fail_at:
                    self.fail()
            return call(*args, **kwargs)

        return guard

    def fail(self):
        if self.how == "kill":
            self.dead = True
            raise Killed
        raise OSError(errno.EIO if self.how == "io" else errno.ENOSPC, os.strerror(errno.ENOSPC))

    class File:
        """A file whose writes go to the disk at once, may be short, and fail as the disk does."""

        def __init__(self, disk, file):
            self.disk, self.file = disk, file

        def write(self, data):
            def write(data):
                self.file.write(data)
                self.file.flush()

            if self.disk.how == "short" and self.disk.calls + 1 == self.disk.fail_at:
                write(bytes(data)[: len(data) // 2])
            self.disk.guarded(write)(data)

        def flush(self):
            self.disk.guarded(self.file.flush)()

        def fileno(self):
            return self.file.fileno()

        def __enter__(self):
            return self

        def __exit__(self, *error):
            self.file.close()


@pytest.mark.parametrize("older", [True, False])
@pytest.mark.parametrize("how", ["kill", "no space", "io", "short"])
def test_whichever_call_of_a_save_fails_the_old_or_the_new_one_is_there(tmp_path, how, older):
    config, trainer = tiny()
    states, outcomes, k = {}, set(), 0
    for step in (1, 2):
        path = tmp_path / f"state{step}"
        checkpoint.save(path, trainer, config)
        states[step] = checkpoint.read(path)
        trainer.step(np.ones((2, 8, 8, 1), np.float32))
    trainer_2 = Trainer(UNet(config.model), config.diffusion.build(), workers=1)
    checkpoint.restore(trainer_2, states[2])
    while True:
        k += 1
        folder = tmp_path / f"run{k}"
        folder.mkdir()
        if older:
            (folder / "checkpoint-00000001.safetensors").write_bytes((tmp_path / "state1").read_bytes())
        with pytest.MonkeyPatch.context() as patch:
            disk = Disk(patch, k, how)
            with contextlib.suppress(OSError, Killed):
                checkpoint.save(history.path_of(folder, 2), trainer_2, config)
        if disk.calls < k:
            break  # the save makes fewer calls than that
        try:
            found = history.newest(folder)
        except FileNotFoundError:
            assert not older
            outcomes.add(0)
            continue
        assert same(found, states[found.step])
        outcomes.add(found.step)
        if how != "kill":
            assert not list(folder.glob(".*")), "a failed save leaves nothing behind"
        history.keep_last(folder, 3, history.path_of(folder, found.step))
        assert not list(folder.glob(".*")), "the next one clears up after a kill"
    assert k > 20  # one a tensor, and flush, sync, rename, sync of the folder
    assert outcomes == ({1, 2} if older else {0, 2})


def test_damaged_files_are_refused_or_equal(content, tmp_path):
    """Flipped bits, cuts, spliced and repeated blocks, random headers."""
    path, chance = tmp_path / "c.safetensors", random.Random(0)
    path.write_bytes(content)
    original = checkpoint.read(path)
    refused = 0
    for _ in range(DAMAGED):
        data = bytearray(content)
        a, b = sorted(chance.randrange(len(data)) for _ in range(2))
        match chance.randrange(6):
            case 0:
                data[a] ^= 1 << chance.randrange(8)
            case 1:
                del data[a:]
            case 2:
                data[a:b] = os.urandom(b - a)
            case 3:
                c = chance.randrange(len(data))
                data[c : c + b - a] = data[a:b]
            case 4:
                data[chance.randrange(600)] = chance.randrange(256)
            case 5:
                del data[a:b]
        path.write_bytes(data)
        try:
            found = checkpoint.read(path)
        except CheckpointError as error:
            refused += 1
            message = str(error)
            assert "\n" not in message
        else:
            assert same(found, original)
    assert refused > 0.8 * DAMAGED


def header_of(content):
    length = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def packed(header, body):
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + body


def hostile(content):
    """Files that lie."""
    header, body = header_of(content)
    name = next(key for key in header if key != "__metadata__")
    yield "a header longer than any file", (2**63).to_bytes(8, "little") + content[8:]
    yield "a header of a gigabyte", (2**30).to_bytes(8, "little") + content[8:]
    yield "no bytes", b""
    for key, value in (("shape", [2**40]), ("shape", [-1]), ("dtype", "F64"), ("dtype", "object"),
                       ("data_offsets", [0, 2**60]), ("data_offsets", [8, 4])):
        yield f"{key} {value}", packed({**header, name: {**header[name], key: value}}, body)
    yield "no metadata", packed({k: v for k, v in header.items() if k != "__metadata__"}, body)
    for key, value in (("step", "7"), ("config", "{}"), ("format", "another"), ("sha256", "0" * 64)):
        yield f"{key} altered", packed({**header, "__metadata__": {**header["__metadata__"], key: value}}, body)
    yield "a pickle", b"\x80\x04cos\nsystem\n(S'true'\ntR."
    yield "deep nesting", packed(header, b"")[:8] + b"[" * 100_000


def test_hostile_files_are_refused_in_a_line_and_little_memory(content, tmp_path):
    path = tmp_path / "c.safetensors"
    for what, data in hostile(content):
        path.write_bytes(data)
        tracemalloc.start()
        with pytest.raises(CheckpointError) as error:
            checkpoint.read(path)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert "\n" not in str(error.value), what
        assert peak < 2 * max(len(data), 200_000), what


def rewritten(content):
    """Files whose headers say the same, or nearly the same, in another way."""
    header, body = header_of(content)
    first, second = [key for key in header if key != "__metadata__"][:2]
    text = json.dumps(header)
    meta = json.dumps(header["__metadata__"])

    def with_text(text, body=body):
        return len(text.encode()).to_bytes(8, "little") + text.encode() + body

    yield "other white space", with_text(json.dumps(header, indent=3))
    yield "another order", with_text(json.dumps(dict(reversed(header.items()))))
    yield "another order of the metadata", with_text(
        json.dumps({**header, "__metadata__": dict(reversed(header["__metadata__"].items()))}))
    yield "bytes behind the end", with_text(text, body + b"12345678")
    yield "bytes missing at the end", with_text(text, body[:-8])
    yield "a tensor named twice", with_text(
        f'{text[:-1]}, {json.dumps(second)}: {json.dumps({**header[second], "dtype": "I32"})}}}')
    yield "metadata twice", with_text(f'{{"__metadata__": {{"format": "another"}}, {text[1:]}')
    yield "a key of the metadata twice", with_text(text.replace(meta, f'{{"step": "7", {meta[1:]}'))
    yield "a key of the metadata twice, behind", with_text(text.replace(meta, f'{meta[:-1]}, "step": "7"}}'))
    yield "another key in the metadata", with_text(text.replace(meta, f'{{"more": "1", {meta[1:]}'))
    yield "two tensors that overlap", packed(
        {**header, second: {**header[second], "data_offsets": header[first]["data_offsets"]}}, body)
    yield "two tensors exchanged", packed({first if k == second else second if k == first else k: v
                                           for k, v in header.items()}, body)
    yield "the metadata of another run", packed(
        {**header, "__metadata__": {**header["__metadata__"], "config": header["__metadata__"]["config"].replace(
            '"seed": 0', '"seed": 1')}}, body)


def test_a_rewritten_header_reads_the_same_or_is_refused(content, tmp_path):
    path, outcomes = tmp_path / "c.safetensors", {}
    path.write_bytes(content)
    original = checkpoint.read(path)
    for what, data in rewritten(content):
        assert data != content, what
        path.write_bytes(data)
        try:
            found = checkpoint.read(path)
        except CheckpointError:
            outcomes[what] = "refused"
        else:
            outcomes[what] = "same"
            assert same(found, original), what
    assert [what for what, outcome in outcomes.items() if outcome == "same"] == [
        "other white space", "another order", "another order of the metadata",
        "a key of the metadata twice"]  # the last one counts, and that is the right one


def test_two_checkpoints_spliced_are_refused(content, tmp_path):
    config, trainer = tiny()
    trainer.step(np.ones((2, 8, 8, 1), np.float32))
    path = tmp_path / "c.safetensors"
    checkpoint.save(path, trainer, config, loss=0.5)
    other = path.read_bytes()
    assert len(other) == len(content)
    half = len(content) // 2
    for data in (content[:half] + other[half:], other[:half] + content[half:]):
        path.write_bytes(data)
        with pytest.raises(CheckpointError, match="SHA-256"):
            checkpoint.read(path)


def test_a_whole_file_that_is_not_ours_is_refused(content, tmp_path):
    """Its checksum is right, for whoever wrote it can compute one."""
    path = tmp_path / "c.safetensors"
    path.write_bytes(content)
    saved = checkpoint.read(path)
    _, trainer = tiny()
    smaller = dataclasses.replace(saved, tensors=dict(list(saved.tensors.items())[1:]))
    with pytest.raises(CheckpointError, match="not those of the net"):
        checkpoint.restore(trainer, smaller)


@pytest.mark.parametrize("change", [
    {"channels": 2**20}, {"blocks_per_level": 10**12}, {"channel_multipliers": (1,) * 3}, {"num_classes": 2**40},
])
def test_a_file_that_describes_a_larger_net_than_it_holds_costs_nothing(content, change, tmp_path):
    """Its checksum is right too; nothing of the net is made before the shapes are found to be others."""
    path = tmp_path / "c.safetensors"
    path.write_bytes(content)
    saved = checkpoint.read(path)
    model = dataclasses.replace(saved.config.model, **change)
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"do not belong to|expected shape"):
        UNet(model, weights=saved.weights("ema"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2 * len(content)


def test_keep_last_keeps_the_best_checkpoint_too(tmp_path):
    config, trainer = tiny()
    for step, loss in ((1, 0.5), (2, 0.1), (3, 0.4), (4, 0.3), (5, 0.2)):
        trainer.steps = step
        checkpoint.save(history.path_of(tmp_path, step), trainer, config, loss)
    history.keep_last(tmp_path, 2, history.path_of(tmp_path, 5))
    assert sorted(int(path.name[11:19]) for path in tmp_path.glob("*")) == [2, 4, 5]


@pytest.mark.skipif(os.name == "nt", reason="another kind of permissions")
def test_an_unwritable_path_is_an_error_and_leaves_nothing(tmp_path):
    config, trainer = tiny()
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"Not a directory|File exists"):
        checkpoint.save(tmp_path / "file" / "c.safetensors", trainer, config)
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="directory"):
        checkpoint.save(tmp_path / "folder", trainer, config)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


def test_parameters_that_were_frozen_go_on_bit_for_bit(tmp_path):
    """Frozen before a checkpoint, in it and unfrozen after: the count of a parameter's own updates is saved."""
    config, trainer = tiny()
    plain = tmp_path / "plain.safetensors"
    checkpoint.save(plain, trainer, config)
    assert checkpoint.read(plain).counts == {}
    x = [np.random.default_rng(k).uniform(-1, 1, (2, 8, 8, 1)).astype(np.float32) for k in range(6)]
    frozen = trainer.model.conv_in.parameters()
    for p in frozen:
        p.requires_grad = False
    trainer.step(x[0]), trainer.step(x[1])
    checkpoint.save(tmp_path / "frozen.safetensors", trainer, config)
    saved = checkpoint.read(tmp_path / "frozen.safetensors")
    assert saved.counts == {"conv_in.weight": 1, "conv_in.bias": 1}
    assert saved.updates == 3
    _, resumed = tiny()
    checkpoint.restore(resumed, saved)
    for it in (trainer, resumed):
        for k, batch in enumerate(x[2:]):
            for p in it.model.conv_in.parameters():
                p.requires_grad = k > 1
            it.step(batch)
    for a, b in zip((trainer.flat.data, trainer.adam.m, trainer.adam.v, trainer.ema.data),
                    (resumed.flat.data, resumed.adam.m, resumed.adam.v, resumed.ema.data), strict=True):
        assert a.tobytes() == b.tobytes()
    assert [int(n) for n in resumed.adam.counts_by_parameter()] == [int(n) for n in trainer.adam.counts_by_parameter()]
    checkpoint.save(tmp_path / "a.safetensors", trainer, config)
    checkpoint.save(tmp_path / "b.safetensors", resumed, config)
    assert checkpoint.read(tmp_path / "a.safetensors").counts == checkpoint.read(tmp_path / "b.safetensors").counts
