"""Which checkpoints are kept, and which of a folder's checkpoints is opened, whatever else bears such a name."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from test_checkpoint import tiny

from ddpm_np import load
from ddpm_np.config import Config
from ddpm_np.runs import Run, checkpoint, history
from ddpm_np.runs.checkpoint import CheckpointError
from ddpm_np.runs.history import path_of


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A folder with the checkpoints of steps 1 to 6; that of step 2 has the least loss."""
    folder = tmp_path_factory.mktemp("saved")
    config, trainer = tiny()
    for step, loss in enumerate((0.9, 0.1, 0.8, 0.7, 0.6, 0.5), start=1):
        trainer.steps = step
        checkpoint.save(path_of(folder, step), trainer, config, loss)
    return folder


@pytest.fixture
def folder(saved, tmp_path):
    shutil.copytree(saved, tmp_path / "run")
    return tmp_path / "run"


def save(path, loss=0.9):
    config, trainer = tiny()
    trainer.steps = int(path.name[11:-12])
    checkpoint.save(path, trainer, config, loss)


def steps(folder):
    return sorted(int(path.name[11:19]) for path in folder.iterdir())


def damage(path, how):
    content = path.read_bytes() if path.exists() else b""
    path.unlink(missing_ok=True)
    if how == "cut":
        path.write_bytes(content[:-1])
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "folder":
        path.mkdir()
    elif how == "link":
        path.symlink_to("/nowhere/else")
    elif how == "flipped":
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    elif how == "pipe":
        os.mkfifo(path)


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("how", ["cut", "empty", "folder", "link", "pipe"])
def test_what_cannot_be_read_takes_no_place_and_what_was_saved_stays(folder, how, count):
    """Damage above and below the new checkpoint, as of a machine that lost its power."""
    for step in (5, 4, 7, 99):
        damage(path_of(folder, step), how)
    history.keep_last(folder, count, path_of(folder, 6))
    readable = [2, 6] if count == 1 else [2, 3, 6]
    gone = {4, 5} if how in ("cut", "empty") else set()  # files of lower steps
    assert steps(folder) == sorted({*readable, 4, 5, 7, 99} - gone)
    assert history.newest(folder).step == 6


def test_a_checkpoint_known_to_be_damaged_takes_no_place(folder):
    damage(path_of(folder, 5), "flipped")  # its header and its size are right
    passed = []
    damage(path_of(folder, 6), "cut")
    assert history.newest(folder, passed=passed.append).step == 4
    assert passed == [path_of(folder, 6), path_of(folder, 5)]
    save(path_of(folder, 7))
    history.keep_last(folder, 2, path_of(folder, 7), passed)
    assert steps(folder) == [2, 4, 7]


def test_numbers_order_checkpoints_and_other_names_are_left_alone(folder):
    """Nine digits come after eight; checkpoint-best is a copy of the user's own."""
    for step in (99_999_999, 100_000_000):
        save(path_of(folder, step))
    shutil.copy(path_of(folder, 1), folder / "checkpoint-best.safetensors")
    assert history.newest(folder).step == 100_000_000
    history.keep_last(folder, 1, path_of(folder, 100_000_000))
    assert sorted(path.name for path in folder.iterdir()) == [
        path_of(folder, 2).name, path_of(folder, 100_000_000).name, "checkpoint-best.safetensors"]


def test_a_copy_under_a_higher_step_is_not_the_newest(folder):
    said = []
    shutil.copy(path_of(folder, 3), path_of(folder, 50))
    assert history.newest(folder, said.append).step == 6
    assert said == [f"{path_of(folder, 50)} is the checkpoint of step 3: rename it to {path_of('', 3)}"]
    history.keep_last(folder, 1, path_of(folder, 6))
    assert steps(folder) == [2, 6, 50]


@pytest.mark.parametrize(("how", "words"), [
    ("cut", "is not a whole"), ("folder", r"cannot be read \(it is a folder\)"), ("flipped", "has changed since"),
    ("link", r"cannot be read \(it is a link to nothing\)"), ("pipe", r"cannot be read \(no checkpoint at")])
def test_what_cannot_be_read_is_passed_over_and_said(folder, how, words):
    damage(path_of(folder, 6), how)
    with pytest.warns(UserWarning, match=f"checkpoint-00000006.safetensors {words}"):
        assert load(folder).step == 5
    for step in range(1, 6):
        damage(path_of(folder, step), how)
    with pytest.raises(CheckpointError, match="none of the 6 checkpoints"):
        history.newest(folder)


def test_a_checkpoint_without_permission_is_passed_over_and_stays(folder, monkeypatch):
    """root may read everything, so the operating system is asked to refuse."""
    def refuse(path, *arguments):
        if Path(path) == path_of(folder, 5):
            raise PermissionError(13, os.strerror(13), str(path))
        return open(path, *arguments)

    monkeypatch.setattr(checkpoint, "open", refuse, raising=False)
    path_of(folder, 6).unlink()
    said = []
    assert history.newest(folder, said.append).step == 4
    assert said == [f"{path_of(folder, 5)} cannot be read ({os.strerror(13)}): use another checkpoint"]
    save(path_of(folder, 7))
    history.keep_last(folder, 1, path_of(folder, 7))
    assert steps(folder) == [2, 5, 7]


def test_nothing_is_deleted_if_what_was_saved_cannot_be_read(folder):
    said = []
    damage(path_of(folder, 6), "cut")
    history.keep_last(folder, 1, path_of(folder, 6), say=said.append)
    assert steps(folder) == [1, 2, 3, 4, 5, 6]
    assert len(said) == 1
    assert said[0].startswith(f"{path_of(folder, 6)} was written but cannot be read, so older checkpoints are not")


def test_a_reader_beside_a_run_that_keeps_one_finds_the_next(folder, monkeypatch):
    """Each checkpoint that is listed is deleted before it is read, until the last one."""
    spare = folder.parent / "spare"
    folder.rename(spare)
    folder.mkdir()
    shutil.copy(path_of(spare, 1), folder)
    read, said = checkpoint.read, []

    def late(path):
        step = int(Path(path).name[11:19])
        if step < 6:
            shutil.copy(path_of(spare, step + 1), folder)
            Path(path).unlink()
        return read(path)

    monkeypatch.setattr(history, "read", late)
    assert history.newest(folder, said.append).step == 6
    assert len(said) == 5
    assert all(line.endswith("was deleted by a training run before it was read") for line in said)


def test_a_file_that_cannot_be_deleted_is_said_and_ends_nothing(folder, monkeypatch):
    def refuse(self, missing_ok=False):
        raise PermissionError(13, os.strerror(13), str(self))

    monkeypatch.setattr(Path, "unlink", refuse)
    (folder / ".loss.png.00aa00aa.tmp").write_bytes(b"")
    said = []
    history.keep_last(folder, 3, path_of(folder, 6), say=said.append)
    assert [line.partition(" ")[0] for line in said] == [
        f"{folder / '.loss.png.00aa00aa.tmp'},", str(path_of(folder, 3)), str(path_of(folder, 1))]
    assert all(f"cannot be deleted ({os.strerror(13)}): delete it yourself" in line for line in said)


def test_a_resumed_run_passes_its_damaged_checkpoints_and_keeps_its_own(tmp_path):
    """keep=1, damaged checkpoints of higher and of lower numbers: what was just written is there after each save."""
    values = ["T=4", "channels=8", "groups=4", "model.attention_resolutions=[]", "steps=4", "batch_size=4", "ema=0.5",
              "log_every=1", "save_every=1", "sample_every=1000", "keep=1"]
    with Run.start(Config.preset("digits").with_values(values), tmp_path, workers=1) as run:
        for record in run:
            assert path_of(tmp_path, record.step).exists()
    for step in (90, 91):
        path_of(tmp_path, step).write_bytes(b"cut")
    (tmp_path / ".samples-000004.png.12345678.tmp").write_bytes(b"of a killed process")
    said = []
    with Run.resume(tmp_path, lambda saved: saved.replace(steps=8), workers=1, say=said.append) as run:
        assert not list(tmp_path.glob("*.tmp"))
        for record in run:
            assert checkpoint.read(path_of(tmp_path, record.step)).step == record.step
    assert [line.partition(": ")[0] for line in said] == ["skipped", "skipped"]
    assert load(tmp_path, say=said.append).step == 8
    assert {8, 90, 91} <= {int(path.name[11:19]) for path in tmp_path.glob(history.PATTERN)}
