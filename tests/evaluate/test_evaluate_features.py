"""Features: pixels and trained classifiers, their names and their files."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from gradient_inputs import generator
from safetensors.numpy import save_file
from scipy import special
from strategies import assert_close

from ddpm_np.autograd.tensor import gradients
from ddpm_np.data import Dataset, digits
from ddpm_np.evaluate import (
    ClassifierFeatures,
    Classifies,
    Pixels,
    Training,
    classifier_features,
    classifiers,
    compare,
    features,
    load_classifier,
    save_classifier,
    train_classifier,
)
from ddpm_np.models import Classifier, ClassifierConfig
from ddpm_np.models.classifier import cross_entropy
from ddpm_np.runs import checkpoint
from ddpm_np.runs.checkpoint import CheckpointError
from ddpm_np.training.adam import Adam
from ddpm_np.training.trainer import TrainingDiverged

FACTS = Training("toy", "0123abcd", 30, 7, 5, 1e-3, 4, 10, 0.9)


@pytest.fixture(scope="module")
def trained():
    """A classifier of the digits."""
    return train_classifier(digits(), steps=100)


def untrained(seed=0, classes=4):
    return ClassifierFeatures(Classifier(ClassifierConfig(8, 1, classes), seed), FACTS)


def toy(n=30, name="toy", classes=3, shape=(8, 8, 1), seed=0):
    rng = np.random.default_rng(seed)
    return Dataset(name, rng.integers(0, 256, (n, *shape), dtype=np.uint8), np.arange(n) % classes)


# Features.

def test_pixel_features_are_the_pixels():
    x = generator("pixels").uniform(-1, 1, (3, 4, 5, 2)).astype(np.float32)
    found = Pixels()(x)
    assert found.dtype == np.float64
    assert np.array_equal(found, x.astype(np.float64).reshape(3, 40))
    assert Pixels().name == "pixels"
    assert not isinstance(Pixels(), Classifies)


def test_classifier_features_are_those_of_its_net():
    made = untrained()
    x = generator("net").uniform(-1, 1, (11, 8, 8, 1))
    alike = x.astype(np.float32)
    assert made(x).dtype == made.probabilities(x).dtype == np.float64
    assert np.array_equal(made(x), made.net.features(alike).data)
    logits = made.net(alike).data.astype(np.float64)
    assert_close(made.probabilities(x), special.softmax(logits, axis=1), 1e-14)
    assert isinstance(made, Classifies)


def test_batch_size_and_workers_change_no_bit(monkeypatch):
    made, x = untrained(), generator("batches").uniform(-1, 1, (11, 8, 8, 1))
    expected = made(x)
    monkeypatch.setattr(features, "_BATCH", 3)
    for workers in (1, 2):
        monkeypatch.setattr(features, "default_workers", lambda workers=workers: workers)
        assert made(x).tobytes() == expected.tobytes()


@pytest.mark.parametrize(("images", "message"), [
    (np.zeros((8, 8, 1)), r"expected images of shape \(N, H, W, C\), got \(8, 8, 1\)"),
    (np.zeros((0, 8, 8, 1)), r"got \(0, 8, 8, 1\)"),
    (np.arange(64).reshape(1, 8, 8, 1), r"images in \[-1, 1\], got numbers from 0 to 63: use a data set's scaled"),
    (np.full((1, 8, 8, 1), -1.1), "got numbers from -1.1 to -1.1"),
    (np.full((1, 8, 8, 1), np.nan), "got numbers from nan to nan")])
def test_arrays_that_are_not_images_are_refused(images, message):
    for made in (Pixels(), untrained()):
        with pytest.raises(ValueError, match=message):
            made(images)


def test_the_name_of_features_states_their_training():
    assert untrained().name == (
        "classifier 1 of toy (data 0123abcd, 30 images, 7 steps of 5, seed 4, 90.00% right of 10 held out, weights "
        f"{untrained().sha256[:12]})")
    names = {untrained().name, untrained(seed=1).name,
             *(ClassifierFeatures(untrained().net, dataclasses.replace(FACTS, **{field.name: value})).name
               for field in dataclasses.fields(FACTS)
               for value in ["other" if field.type == "str" else 0.123])}
    assert len(names) == 2 + len(dataclasses.fields(FACTS))


# Training.

def test_the_digits_are_learned(trained):
    facts = trained.training
    assert facts.accuracy >= 0.95
    assert (facts.dataset, facts.images, facts.held_out, facts.steps) == ("digits", 1438, 359, 100)
    data = digits()
    right = np.argmax(trained.probabilities(data.scaled(slice(None))), axis=1) == data.labels
    assert np.sum(~right) >= round((1 - facts.accuracy) * 359)  # the held out ones are among all
    assert right.mean() >= 0.95


class Watched:
    """A data set that records the places of the images requested."""

    def __init__(self, data):
        self.data, self.asked = data, []
        self.name, self.labels, self.levels, self.shape = data.name, data.labels, data.levels, data.shape

    def __len__(self):
        return len(self.data)

    def scaled(self, index):
        if not isinstance(index, slice):
            self.asked.append(np.asarray(index))
        return self.data.scaled(index)


def test_what_is_held_out_is_never_trained_on():
    data = Watched(toy(43))
    facts = train_classifier(data, steps=8, batch_size=10).training
    *trained_on, tried = data.asked
    assert [len(batch) for batch in trained_on] == [10] * 8
    for epoch in (np.concatenate(trained_on[i : i + 3]) for i in (0, 3)):  # 35 make three whole batches
        assert len(set(epoch)) == 30
    assert trained_on[0].tolist() != trained_on[3].tolist()
    assert len(set(tried)) == len(tried) == 8 == facts.held_out
    assert not set(tried) & set(np.concatenate(trained_on))
    assert facts.images == 35


def test_a_test_split_is_held_out_whole():
    data, test = Watched(toy(30)), toy(23, seed=1)
    made = train_classifier(data, test, steps=3, batch_size=100)  # more than there are: all
    assert all(sorted(batch) == list(range(30)) for batch in data.asked)
    right = np.argmax(made.probabilities(test.scaled(slice(None))), axis=1) == test.labels
    assert made.training.accuracy == right.mean()
    assert (made.training.images, made.training.held_out, made.training.batch_size) == (30, 23, 100)


def test_any_number_of_workers_trains_the_same_bits():
    found = {train_classifier(toy(), steps=4, batch_size=9, workers=workers).sha256 for workers in (1, 2, 3)}
    assert len(found) == 1
    assert train_classifier(toy(), steps=4, batch_size=9, seed=1).sha256 not in found


def test_a_training_step_follows_the_gradient_of_the_mean_loss():
    data = toy(13)
    net = Classifier(ClassifierConfig(8, 1, 3), dtype="float64")
    x, labels = data.scaled(slice(None)).astype(np.float64), data.labels
    loss = cross_entropy(net(x), labels).mean()
    expected = np.concatenate([g.ravel() for g in gradients(loss, net.parameters())])
    adam = Adam(net.parameters(), 1e-3)
    classifiers._step(net, adam, x, labels, workers=2)
    assert_close(adam.flat.grad, expected, 1e-10, scale=np.abs(expected).max())
    assert cross_entropy(net(x), labels).mean().data < loss.data


def test_the_learning_rate_decays_linearly_to_zero(monkeypatch):
    rates = []
    monkeypatch.setattr(classifiers, "_step", lambda net, adam, *rest: rates.append(adam.lr))
    train_classifier(toy(), steps=4, learning_rate=0.4)
    assert_close(rates, [0.4, 0.3, 0.2, 0.1])


def test_untrainable_data_is_refused():
    nothing = dataclasses.replace(toy(), labels=None)
    for call, kind, message in [
        (lambda: train_classifier(nothing), ValueError, "'toy' has no labels: a classifier learns from labels"),
        (lambda: train_classifier(toy(), nothing), ValueError, "'toy' has no labels"),
        (lambda: train_classifier(toy(9)), ValueError, "at least 10 images with labels from 0, 'toy' has 9"),
        (lambda: train_classifier(dataclasses.replace(toy(), labels=np.arange(30) - 1)), ValueError, "the label -1"),
        (lambda: train_classifier(toy(), toy(shape=(8, 8, 3))), ValueError, "its images or labels are of another kind"),
        (lambda: train_classifier(toy(), toy(classes=4)), ValueError, "its images or labels are of another kind"),
        (lambda: train_classifier(toy(shape=(4, 8, 1))), ValueError, "the height in image_size must be at"),
        (lambda: train_classifier(toy(), steps=0), ValueError, "steps must be at least 1, got 0"),
        (lambda: train_classifier(toy(), batch_size=0), ValueError, "batch_size must be at least 1, got 0"),
        (lambda: train_classifier(toy(), learning_rate=np.nan), ValueError, "learning_rate must be positive, got nan"),
    ]:
        with pytest.raises(kind, match=message) as caught:
            call()
        assert "\n" not in str(caught.value)
    with np.errstate(all="ignore"), pytest.raises(TrainingDiverged, match="take a smaller learning_rate"):
        train_classifier(toy(), learning_rate=1e30, steps=9)


def test_figures_tell_noise_from_digits(trained):
    data = digits().scaled(slice(None))
    noise = generator("noise").uniform(-1, 1, (400, 8, 8, 1))
    for made in (trained, Pixels()):
        real, bad = ({figure.name: figure for figure in compare(x, data[800:1200], made, reference_name="digits",
                                                                weights="none")} for x in (data[:400], noise))
        for name in ("FID", "KID"):
            assert bad[name].value > 5 * real[name].value + 10 * real[name].error
        assert min(real["precision"].value, real["recall"].value) > 0.6
    assert bad["precision"].value < 0.05  # by pixels: a net's features of what it has never seen may lie anywhere


# Kept in a file.

def test_a_saved_classifier_round_trips(trained, tmp_path):
    path = tmp_path / "new" / "c.safetensors"
    save_classifier(path, trained)
    again = load_classifier(path)
    assert (again.name, again.sha256, again.training) == (trained.name, trained.sha256, trained.training)
    assert again.net.config == trained.net.config
    x = digits().scaled(slice(9))
    assert again(x).tobytes() == trained(x).tobytes()
    save_classifier(tmp_path / "again", again)
    assert (tmp_path / "again").read_bytes() == path.read_bytes()


def test_a_damaged_file_is_refused_in_one_line(trained, tmp_path):
    path = tmp_path / "c.safetensors"
    save_classifier(path, trained)
    whole = bytearray(path.read_bytes())
    rng = generator("damage")
    damaged = [bytes(whole[:-1]), bytes(whole[: len(whole) // 2]), bytes(whole) + b"\0", b"", b"no file of weights"]
    damaged += [bytes([*whole[:place], whole[place] ^ (1 << rng.integers(8)), *whole[place + 1 :]])
                for place in [0, 9, *rng.integers(len(whole), size=40)]]
    for content in damaged:
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match="delete it, and it is trained again") as caught:
            load_classifier(path)
        assert "\n" not in str(caught.value)


def test_incompatible_classifier_files_are_refused(trained, tmp_path):
    path = tmp_path / "c.safetensors"

    def write(tensors=None, **changed):
        """Write a file whose SHA-256 is right."""
        tensors = {name: np.array(a) for name, a in trained.net.state_dict().items()} if tensors is None else tensors
        form = changed.pop("format", classifiers.FORMAT)
        metadata = {**trained.metadata(), **changed}
        metadata = {key: value for key, value in metadata.items() if value is not None}
        save_file(tensors, path, {**metadata, "format": form, "sha256": checkpoint.digest(metadata, tensors)})

    write()
    assert load_classifier(path).sha256 == trained.sha256
    model, facts = (json.loads(trained.metadata()[key]) for key in ("model", "training"))
    for changed, message in [
        ({"format": checkpoint.FORMAT}, "no classifier of version 1"), ({"version": "2"}, "no classifier of version 1"),
        ({"model": None}, r"save_classifier \('model'\)"), ({"training": "{"}, "not written by"),
        ({"model": "[]"}, "not written by"), ({"model": json.dumps({**model, "classes": 9})}, "not written by"),
        ({"training": json.dumps({**facts, "more": 1})}, "not written by"),
        ({"tensors": {"weight": np.zeros(3)}}, "not written by .*the weights do not belong to this net"),
    ]:
        write(**changed)
        with pytest.raises(CheckpointError, match=message) as caught:
            load_classifier(path)
        assert "\n" not in str(caught.value)
    with pytest.raises(FileNotFoundError, match=r"no classifier at .*nowhere"):
        load_classifier(tmp_path / "nowhere")


def test_a_classifier_is_trained_once_for_its_data(tmp_path, monkeypatch):
    calls = []

    def quickly(dataset, held_out, workers):
        calls.append(held_out)
        return train_classifier(dataset, held_out, steps=2, workers=workers)

    monkeypatch.setattr(classifiers, "train_classifier", quickly)
    monkeypatch.setenv("DDPM_NP_DATA", str(tmp_path))
    data, test = toy(name="folder:some/where"), toy(20, seed=1)
    first = classifier_features(data, test)
    assert classifier_features(data, test).sha256 == first.sha256
    assert calls == [test]
    (path,) = (tmp_path / "classifiers").iterdir()
    assert path.name == (f"folder-some-where-{first.training.data}-{classifiers.fingerprint(test)}"
                         "-v1.safetensors")
    half = dataclasses.replace(data, images=data.images // 2, levels=128)
    others = [toy(seed=2), toy(31), toy(classes=2), toy(shape=(8, 16, 1)), half]
    assert len({classifier_features(other, folder=tmp_path / "b").training.data for other in [data, *others]}) == 6
    assert calls == [test, *[None] * 6]
    assert classifier_features(data).training.held_out == 6  # of its own: another classifier
    assert len(calls) == 8
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match=r"delete it"):
        classifier_features(data, test)
    assert len(calls) == 8
