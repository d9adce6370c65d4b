"""A run as an object: the same bytes as the command line's, however it is stopped, left or interrupted and resumed."""

from __future__ import annotations

import contextlib
import json
import shutil

import numpy as np
import pytest
from PIL import Image

from ddpm_np import load, sample, viz
from ddpm_np.cli import main
from ddpm_np.config import Config
from ddpm_np.diffusion import simple_loss
from ddpm_np.interop import diffusers
from ddpm_np.runs import Run, TrainedNet, import_run
from ddpm_np.runs.checkpoint import CheckpointError, read
from ddpm_np.runs.history import path_of
from ddpm_np.runs.metrics import MetricsLog, read_metrics
from ddpm_np.runs.sample import NotFiniteError
from ddpm_np.training.trainer import Record, TrainingDiverged

VALUES = ["T=5", "beta_end=0.6", "channels=8", "groups=4", "model.dropout=0.1", "steps=12", "batch_size=4", "seed=3",
          "warmup=2", "ema=0.5", "log_every=2", "save_every=4", "sample_every=6", "keep=9", "flip=true"]
LAST = "checkpoint-00000012.safetensors"


def small(*values):
    """The configuration of a run of twelve steps that takes a second."""
    return Config.preset("digits").with_values([*VALUES, *values])


def start(folder, *values, **options):
    return Run.start(small(*values), folder, workers=1, **options)


def logged(folder):
    """The records in a folder, without the speed."""
    return [{k: v for k, v in record.items() if k != "images_per_second"}
            for record in read_metrics(folder / "metrics.jsonl")]


def pictures_and_checkpoints(folder):
    """{name: bytes} of what the same run writes alike."""
    return {path.name: path.read_bytes() for path in folder.iterdir()
            if path.name.startswith(("checkpoint-", "samples-"))}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of the run without a break, by the command line."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    sets = [word for value in VALUES for word in ("--set", value)]
    assert main(["train", *sets, "--workers", "2", "--quiet", "--out", str(folder)]) == 0
    return folder


@pytest.fixture(autouse=True)
def _no_plots(monkeypatch):
    """An empty loss.png: Matplotlib would take most of the time here. `whole` has a real one."""
    monkeypatch.setattr(viz, "plot_loss", lambda path, records: path.touch())


def assert_ends_as(whole, folder):
    """Whether a run in pieces ended as the whole one: the last checkpoint and all records."""
    assert (folder / LAST).read_bytes() == (whole / LAST).read_bytes()
    assert logged(folder) == logged(whole)


# ------------------------------------------------------------------------------------------- start, iterate, resume

def test_a_run_from_python_writes_what_the_command_line_writes(whole, tmp_path):
    run = start(tmp_path / "run")
    assert (run.step, [path.name for path in (tmp_path / "run").iterdir()]) == (0, [".lock"])
    records = list(run)
    assert [record.step for record in records] == [2, 4, 6, 8, 10, 12]
    assert all(isinstance(record, Record) for record in records)
    assert run.step == 12
    found = pictures_and_checkpoints(tmp_path / "run")
    assert sorted(found) == ["checkpoint-00000004.safetensors", "checkpoint-00000008.safetensors", LAST,
                             "samples-000006.png", "samples-000012.png"]
    assert found == pictures_and_checkpoints(whole)
    assert logged(tmp_path / "run") == logged(whole)
    assert {path.name for path in whole.iterdir()} == {path.name for path in (tmp_path / "run").iterdir()}
    assert list(run) == []  # nothing is left to do
    assert "step 12 of 12" in repr(run)


def test_a_record_is_yielded_after_it_was_logged_and_its_checkpoint_saved(tmp_path):
    for record in start(tmp_path / "run"):
        assert logged(tmp_path / "run")[-1]["step"] == record.step
        assert path_of(tmp_path / "run", record.step).exists() == (record.step % 4 == 0)
        assert (tmp_path / "run" / f"samples-{record.step:06d}.png").exists() == (record.step % 6 == 0)


@pytest.mark.parametrize("at", [1, 4, 7])
def test_a_run_stopped_from_on_step_saves_that_step_and_is_resumed(whole, tmp_path, at):
    run = start(tmp_path / "run")
    taken = []

    def on_step(step):
        taken.append(step)
        if step == at:
            run.stop()

    records = list(run.train(on_step))
    assert taken == list(range(1, at + 1))
    assert records[-1].step == run.step == at
    assert path_of(tmp_path / "run", at).exists()
    assert not (tmp_path / "run" / f"samples-{at:06d}.png").exists()  # stopped: no grid is drawn
    again = Run.resume(tmp_path / "run", workers=2)
    assert again.step == at
    list(again)
    assert_ends_as(whole, tmp_path / "run")


def test_a_run_stopped_from_the_loop_ends_after_one_more_step_and_iterates_on(whole, tmp_path):
    run, steps = start(tmp_path / "run"), []
    for record in run:
        steps.append(record.step)
        if record.step == 6:
            run.stop()
    assert steps == [2, 4, 6, 7]
    assert path_of(tmp_path / "run", 7).exists()
    assert [record.step for record in run] == [8, 10, 12]
    assert_ends_as(whole, tmp_path / "run")


def test_a_break_loses_the_steps_since_the_last_checkpoint(whole, tmp_path):
    for record in start(tmp_path / "run"):
        if record.step == 6:
            break
    run = Run.resume(tmp_path / "run", workers=1)
    assert run.step == 4
    assert [record.step for record in run] == [6, 8, 10, 12]
    assert_ends_as(whole, tmp_path / "run")


def test_a_break_and_a_save_lose_nothing(whole, tmp_path):
    run = start(tmp_path / "run")
    for record in run:
        if record.step == 6:
            break
    assert run.save() == path_of(tmp_path / "run", 6)
    again = Run.resume(tmp_path / "run", workers=1)
    assert again.step == 6
    content = path_of(tmp_path / "run", 6).read_bytes()
    assert again.save().read_bytes() == content  # before a step is taken: the same, the logged loss included
    list(again)
    assert_ends_as(whole, tmp_path / "run")


def test_iteration_continues_after_a_break(whole, tmp_path):
    run, steps = start(tmp_path / "run"), []
    while run.step < 12:
        for record in run:
            steps.append(record.step)
            break
    assert steps == [2, 4, 6, 8, 10, 12]
    assert pictures_and_checkpoints(tmp_path / "run") == pictures_and_checkpoints(whole)
    assert_ends_as(whole, tmp_path / "run")


# --------------------------------------------------------------------------------------------------- interruptions

def interrupted_in_step(run, at, error):
    """Make the run's objective raise in a step."""
    steps = iter(range(1, at + 1))

    def objective(*arguments, **options):
        if next(steps) == at:
            raise error
        return simple_loss(*arguments, **options)

    run.trainer.objective = objective
    run.trainer.shards = 1  # one call of the objective a step


def test_an_interrupt_within_a_step_leaves_a_folder_to_resume(whole, tmp_path):
    run = start(tmp_path / "run")
    interrupted_in_step(run, 7, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        list(run)
    before = pictures_and_checkpoints(tmp_path / "run")
    assert sorted(before) == ["checkpoint-00000004.safetensors", "samples-000006.png"]
    for use in (run.save, lambda: list(run)):
        with pytest.raises(RuntimeError, match=r"ended within a step.*Run\.resume"):
            use()
    assert pictures_and_checkpoints(tmp_path / "run") == before


def test_an_interrupted_run_resumes_to_the_same_bytes(whole, tmp_path):
    run = start(tmp_path / "run")

    def on_step(step):
        if step == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(run.train(on_step))
    list(Run.resume(tmp_path / "run", workers=1))
    assert_ends_as(whole, tmp_path / "run")


def test_an_interrupt_in_the_loops_body_leaves_a_whole_run(whole, tmp_path):
    run = start(tmp_path / "run")

    def loop():
        for record in run:
            if record.step == 6:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        loop()
    assert run.save() == path_of(tmp_path / "run", 6)
    list(run)
    assert_ends_as(whole, tmp_path / "run")


def test_numbers_that_are_not_finite_are_not_saved(tmp_path):
    run = start(tmp_path / "run")
    assert [next(iter(run)).step for _ in range(2)] == [2, 4]
    run.trainer.objective = lambda *arguments: simple_loss(*arguments) * np.float32(np.nan)
    with pytest.raises(TrainingDiverged, match="between steps 5 and 6"):
        list(run)
    with pytest.raises(RuntimeError, match="not finite"):
        run.save()
    assert Run.resume(tmp_path / "run", workers=1).step == 4


@pytest.mark.parametrize("at", ["the first step of a grid", "the last step of a grid"])
def test_a_stop_while_samples_are_drawn_leaves_the_picture_out(whole, tmp_path, at):
    run, seen = start(tmp_path / "run"), []

    @contextlib.contextmanager
    def sampling(steps):
        def after_step(images):
            seen.append(images)
            if len(seen) == 1 if at == "the first step of a grid" else sum(seen) == steps:
                run.stop()

        yield after_step

    assert [record.step for record in run.train(sampling=sampling)] == [2, 4, 6, 7]
    assert sum(seen) == (2 if at == "the first step of a grid" else 64 * 5)  # two images at a time, as a step takes
    assert not list((tmp_path / "run").glob("samples-*"))
    list(Run.resume(tmp_path / "run", workers=1))
    assert_ends_as(whole, tmp_path / "run")


def test_progress_is_called_at_every_step(tmp_path):
    steps, grids = [], []

    @contextlib.contextmanager
    def sampling(count):
        grids.append([count])
        yield grids[-1].append

    list(start(tmp_path / "run").train(steps.append, sampling))
    assert steps == list(range(1, 13))
    assert grids == 2 * [[64 * 5, *64 // 2 * 5 * [2]]]  # two images at a time, as a step takes


# ------------------------------------------------------------------------------------------------- what is refused

def test_a_run_is_not_overwritten(whole):
    before = {path: path.stat().st_mtime_ns for path in whole.iterdir()}
    with pytest.raises(ValueError, match=r"already holds a run: resume it \(--resume, or Run\.resume in Python\)"):
        start(whole)
    assert {path: path.stat().st_mtime_ns for path in whole.iterdir()} == before


@pytest.mark.parametrize("kind", ["missing", "empty", "a file"])
def test_a_folder_without_a_run_is_named(tmp_path, kind):
    folder = tmp_path / "folder"
    if kind == "empty":
        folder.mkdir()
    elif kind == "a file":
        folder.write_text("")
    with pytest.raises(FileNotFoundError, match=r"no checkpoint in .*folder: train one"):
        Run.resume(folder)
    if kind == "a file":
        with pytest.raises(OSError, match=r"File exists|[Nn]ot a directory"):
            start(folder)


def test_another_configuration_is_refused_or_overridden(whole, tmp_path):
    (tmp_path / LAST).write_bytes((whole / LAST).read_bytes())
    with pytest.raises(ValueError, match=r"training\.seed: 3 -> 4\): resume it without these changes, or allow them"):
        Run.resume(tmp_path, lambda saved: saved.replace(seed=4))
    run = Run.resume(tmp_path, lambda saved: saved.replace(seed=4, steps=13), override=True, workers=1)
    assert [record.step for record in run] == [13]
    assert read(path_of(tmp_path, 13)).config.training.seed == 4


def test_more_steps_need_no_override(whole, tmp_path):
    (tmp_path / LAST).write_bytes((whole / LAST).read_bytes())
    run = Run.resume(tmp_path, lambda saved: saved.replace(steps=14), workers=1)
    assert [record.step for record in run] == [14]


@pytest.mark.parametrize(("values", "words"), [
    (["dataset='nothing'"], "no data set is called 'nothing'"), (["in_channels=3"], "the net takes"),
    (["num_classes=10"], r"has labels up to 9, so 10 classes, .* the unconditional one: --set model\.num_classes=11"),
])
def test_incompatible_settings_are_refused_before_anything_is_written(tmp_path, values, words):
    with pytest.raises(ValueError, match=words):
        start(tmp_path / "run", *values)
    assert not (tmp_path / "run").exists()


# -------------------------------------------------------------------------------------------------------- warnings

def test_warnings_go_to_the_callback_or_are_python_warnings(whole, tmp_path, capsys):
    said = []
    Run.start(small("steps=200", "ema=0.9999"), tmp_path / "one", workers=9, say=said.append)
    assert len(said) == 3
    assert said[0].startswith("with T=5 and these β, ᾱ_T is 0.13: x_T still shows the image")
    assert said[1].startswith("with ema=0.9999 the average after 200 steps is still 98% initial weights")
    assert said[2].startswith("9 workers, but a step has only 2 shards")
    with pytest.warns(UserWarning, match="9 workers"):
        Run.start(small(), tmp_path / "two", workers=9)
    (tmp_path / LAST).write_bytes((whole / LAST).read_bytes())
    (tmp_path / "checkpoint-00000013.safetensors").write_bytes(b"cut")
    said.clear()
    assert Run.resume(tmp_path, workers=1, say=said.append).step == 12
    assert len(said) == 1
    assert said[0].startswith(f"skipped: {tmp_path / 'checkpoint-00000013.safetensors'} is not a whole")
    (tmp_path / LAST).write_bytes(b"cut")
    with pytest.raises(CheckpointError, match="none of the 2 checkpoints"):
        Run.resume(tmp_path, workers=1, say=said.append)
    assert capsys.readouterr() == ("", "")  # the library prints nothing


# --------------------------------------------------------------------------------------------------------- samples

def test_samples_are_those_of_the_saved_run(whole, tmp_path):
    run = Run.resume(whole, workers=1)
    images = run.sample(3, seed=5)
    assert images.shape == (3, 8, 8, 1)
    assert images.tobytes() == sample(load(whole), 3, seed=5).tobytes()
    assert run.sample(3, seed=5, weights="model").tobytes() == sample(load(whole), 3, seed=5, weights="model").tobytes()
    assert images.tobytes() != run.sample(3, seed=5, weights="model").tobytes()


def test_sampling_within_the_loop_changes_nothing(whole, tmp_path):
    run = start(tmp_path / "run")
    drawn = [run.sample(1).tobytes() for record in run]
    assert len(set(drawn)) == 6
    assert pictures_and_checkpoints(tmp_path / "run") == pictures_and_checkpoints(whole)


def test_the_grid_is_drawn_as_the_configuration_says(tmp_path):
    """With its variance and its clip, as `sample` draws from the saved run."""
    pictures = {}
    for clip in ("true", "false"):
        folder = tmp_path / clip
        list(start(folder, "steps=2", "learning_rate=0.05", f"clip_sample={clip}"))
        pictures[clip] = (folder / "samples-000002.png").read_bytes()
        viz.save_images(tmp_path / "own.png", sample(load(folder), 64, seed=3))
        assert (tmp_path / "own.png").read_bytes() == pictures[clip]
    assert pictures["true"] != pictures["false"]


def test_the_net_of_a_run_is_what_load_returns(whole):
    net, saved = Run.resume(whole, workers=1).net, load(whole)
    assert isinstance(net, TrainedNet)
    assert isinstance(saved, TrainedNet)
    assert (net.config, net.step, net.no_label) == (saved.config, saved.step, saved.no_label)
    for ours, theirs in ((net.model, saved.model), (net.ema.model, saved.ema.model)):
        assert all(np.array_equal(a, b) for a, b in zip(ours.state_dict().values(), theirs.state_dict().values(),
                                                        strict=True))


# ------------------------------------------------------------------------------------------- metrics and published

def test_the_log_is_cut_at_the_resumed_step(tmp_path):
    path = tmp_path / "metrics.jsonl"
    with MetricsLog(path, 0, 2) as log:
        for step in (2, 4, 6, 7):
            log.write(Record(step, 0.5, 1.0, 1e-3, 10.0))
    assert [record["step"] for record in log.records] == [2, 4, 6, 7]
    with MetricsLog(path, 4, 2) as log:
        assert [record["step"] for record in log.records] == [2, 4]
        log.write(Record(6, 0.25, 1.0, 1e-3, 10.0))
    assert [(record["step"], record["loss"]) for record in read_metrics(path)] == [(2, 0.5), (4, 0.5), (6, 0.25)]
    assert json.loads(path.read_text().splitlines()[0]).keys() == set(Record.__dataclass_fields__)


*WHOLE, NEXT = [json.dumps({"step": step, "loss": 0.5, "grad_norm": 1.0, "learning_rate": 1e-3,
                            "images_per_second": 10.0}) for step in (2, 4, 6, 8)]


@pytest.mark.parametrize(("tail", "damaged"), [
    ("", False), (NEXT, False),  # the last line break alone is missing: a brace ends the record
    (NEXT.replace("{", '{"more": 1, '), False),  # of a later version
    (WHOLE[0], True), (WHOLE[2], True),  # of another process that wrote into the same file
    (NEXT.replace("0.5", "NaN"), True), (NEXT.replace(": 8", ": 8.5"), True), ("[" * 100_000, True),
    (WHOLE[0][:-1], True), (WHOLE[0][:20], True), ('"', True), ("[1, 2]", True), ("3.5", True), ("{}", True),
    ('{"step": 8}', True), (WHOLE[0].replace("0.5", "true"), True), ("\0" * 4096, True),
    (WHOLE[0][:30] + "\0" * 100, True),
    (WHOLE[0][:20] + "\n" + WHOLE[0], True),  # what follows a damaged line is left out too
], ids=range(19))
def test_a_torn_log_is_read_as_far_as_it_is_whole(tail, damaged, tmp_path):
    path, said = tmp_path / "metrics.jsonl", []
    path.write_text("\n".join([*WHOLE, tail]))
    found = read_metrics(path, said.append)
    assert [record["step"] for record in found] == ([2, 4, 6] if damaged or not tail else [2, 4, 6, 8])
    assert len(said) == damaged
    assert all("damaged from line 4 on" in line and "first 3 records are used" in line for line in said)
    with MetricsLog(path, 4, 2, said.append) as log:
        assert [record["step"] for record in log.records][:2] == [2, 4]
        log.write(Record(6, 0.25, 1.0, 1e-3, 10.0))
    assert read_metrics(path, pytest.fail)[-1]["loss"] == 0.25
    assert path.read_bytes().endswith(b"}\n")


def test_a_log_with_bytes_that_are_no_text_is_cut_there(tmp_path):
    path, said = tmp_path / "metrics.jsonl", []
    path.write_bytes(WHOLE[0].encode() + b"\n" + b"\xff\xfe" + WHOLE[1].encode() + b"\n")
    assert [record["step"] for record in read_metrics(path, said.append)] == [2]
    assert len(said) == 1


def test_a_run_resumes_and_starts_beside_a_torn_log(whole, tmp_path):
    """The end is the same as without the damage, and the damage is said in one line."""
    folder, said = tmp_path / "run", []
    shutil.copytree(whole, folder)
    (folder / "metrics.jsonl").write_bytes((whole / "metrics.jsonl").read_bytes()[:-7] + b"\0" * 7)
    run = Run.resume(folder, lambda saved: saved.replace(steps=saved.training.steps + 2), workers=1, say=said.append)
    steps = [record.step for record in run]
    assert steps[-1] == run.config.training.steps
    assert len([line for line in said if "is damaged from line" in line]) == 1
    for checkpoint_file in folder.glob("*.safetensors"):
        checkpoint_file.unlink()
    (folder / "metrics.jsonl").write_text('{"step": 1, "lo')
    again = Run.start(run.config, folder, workers=1, say=lambda line: None)
    assert [record.step for record in again][-1] == run.config.training.steps


def test_published_weights_are_trained_further(whole, tmp_path):
    diffusers.save_pipeline(load(whole).ema.model, small().diffusion, tmp_path / "published")
    recipe = ["steps=2", "batch_size=4", "log_every=1", "save_every=2", "sample_every=2"]
    import_run(tmp_path / "published", tmp_path / "run", "digits", lambda config: config.with_values(recipe))
    run = Run.resume(tmp_path / "run", workers=1, say=pytest.fail)
    assert run.step == 0
    np.testing.assert_allclose(run.sample(2), sample(load(tmp_path / "published"), 2), atol=1e-4)
    assert [record.step for record in run] == [1, 2]


# ------------------------------------------------------------------------- what cannot be sampled from, and other data

@pytest.mark.parametrize(("values", "refused"), [
    (["schedule=jsd"], True), (["schedule=jsd", "predicts=v"], False), (["schedule=jsd", "predicts=x0"], False),
    (["beta_start=0.9999", "beta_end=0.9999", "T=200"], True),  # ᾱ_T is below the smallest number
])
def test_a_net_that_could_not_be_sampled_from_is_refused_before_the_first_step(tmp_path, values, refused):
    with pytest.raises(ValueError, match="could not be sampled from") if refused else contextlib.nullcontext():
        run = start(tmp_path / "run", *values, "steps=2")
    if not refused:
        list(run)
        assert np.isfinite(run.sample(1)).all()


def test_records_are_whole_multiples(tmp_path):
    """save_every and sample_every are rounded up, and this is said."""
    said = []
    run = start(tmp_path / "run", "log_every=5", "save_every=7", "sample_every=11", "steps=10", say=said.append)
    assert said == ["sample_every=11 is not a multiple of log_every=5, so it is rounded up to 15",
                    "save_every=7 is not a multiple of log_every=5, so it is rounded up to 10"]
    assert (run.config.training.save_every, run.config.training.sample_every) == (10, 15)
    list(run)
    again = lambda saved: small("log_every=5", "save_every=7", "sample_every=11", "steps=10")  # noqa: E731
    assert Run.resume(tmp_path / "run", again, workers=1, say=said.append).step == 10  # the same values, no override


@pytest.fixture
def pictures(tmp_path, monkeypatch):
    """A file of images in the current folder."""
    monkeypatch.chdir(tmp_path)
    images = np.random.default_rng(0).integers(0, 256, (9, 8, 8), np.uint8)
    np.savez("a.npz", images=images)
    return images


def test_a_run_is_resumed_and_evaluated_from_another_folder(pictures, tmp_path, monkeypatch, capsys):
    """The place of its data is kept as an absolute path."""
    list(start("run", "dataset=a.npz", "steps=4"))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    run = Run.resume("../run", lambda saved: saved.replace(steps=6), workers=1)
    assert run.config.training.dataset == str(tmp_path / "a.npz")
    list(run)
    assert main(["evaluate", "../run", "--images", "3", "--quiet"]) == 0
    assert main(["plot", "neighbours", "../run", "--steps", "1", "--quiet"]) == 0
    shutil.move(tmp_path / "a.npz", tmp_path / "b.npz")
    capsys.readouterr()
    assert main(["evaluate", "../run", "--images", "3", "--quiet", "--dataset", "../b.npz"]) == 0
    assert "3 images of b.npz" in capsys.readouterr().out
    assert Run.resume("../run", lambda saved: saved.replace(dataset="../b.npz"), workers=1).step == 6  # the same data


@pytest.mark.parametrize("change", ["size", "content"])
def test_a_run_is_not_resumed_on_other_data(pictures, change):
    list(start("run", "dataset=a.npz", "steps=4"))
    np.savez("a.npz", images=pictures[:7] if change == "size" else pictures[::-1])
    words = "9 images then, 7 now" if change == "size" else "other images, again 9"
    with pytest.raises(ValueError, match=rf"'a.npz' is not what this run was trained on \({words}\)"):
        Run.resume("run", workers=1)
    assert Run.resume("run", workers=1, override=True).step == 4


def test_other_files_in_a_folder_are_other_data(pictures, tmp_path):
    (tmp_path / "photos").mkdir()
    for i, image in enumerate(pictures):
        Image.fromarray(image).save(tmp_path / "photos" / f"{i}.png")
    list(start("run", "dataset=folder:photos", "steps=4"))
    assert Run.resume("run", workers=1).dataset.name == f"folder:{tmp_path / 'photos'}"
    (tmp_path / "photos" / "3.png").unlink()
    with pytest.raises(ValueError, match="9 images then, 8 now"):
        Run.resume("run", workers=1)


def test_images_that_are_not_finite_do_not_end_a_run(tmp_path, monkeypatch):
    """The picture is left out, and this is said."""
    def overflow(*args, **options):
        raise NotFiniteError("the images are not finite numbers: check the weights and settings")

    said = []
    monkeypatch.setattr("ddpm_np.runs.pictures.sample", overflow)
    assert [record.step for record in start(tmp_path / "run", say=said.append)][-1] == 12
    assert said == 2 * ["no picture is drawn after this step: the images are not finite numbers: check the weights and "
                        "settings"]
