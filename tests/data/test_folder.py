"""Folders of images: which files are used, which classes they have, and what is said about the rest."""

from __future__ import annotations

import os
import sys
import warnings

import numpy as np
import pytest
from PIL import Image

from ddpm_np.data import DataError, ImageFolder, open_dataset

SHAPE = (8, 8, 1)


@pytest.fixture
def said():
    return []


def picture(path, level=100):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (8, 8), level).save(path)


def labels_by_level(dataset):
    """Return {level of an image: its label}."""
    return dict(zip(dataset.raw(slice(None))[:, 0, 0, 0].tolist(), dataset.labels.tolist(), strict=True))


def test_a_linked_class_folder_is_a_class(tmp_path, said):
    for level, name in enumerate(("a", "c")):
        picture(tmp_path / "set" / name / "x.png", 50 * level)
    picture(tmp_path / "elsewhere" / "deep" / "x.png", 200)
    (tmp_path / "set" / "b").symlink_to(tmp_path / "elsewhere")
    dataset = ImageFolder(tmp_path / "set", SHAPE, say=said.append)
    assert labels_by_level(dataset) == {0: 0, 200: 1, 50: 2}
    assert said == []


@pytest.mark.parametrize("target", [".", "..", "../b", "../b/deep", "loop"])
def test_loops_of_links_come_to_an_end(tmp_path, said, target):
    for name in ("a", "b"):
        picture(tmp_path / name / "deep" / "x.png", 10 if name == "a" else 20)
    (tmp_path / "a" / "loop").symlink_to(target)
    (tmp_path / "b" / "back").symlink_to("../a")
    dataset = ImageFolder(tmp_path, SHAPE, say=said.append)
    assert set(dataset.labels.tolist()) == {0, 1}
    assert len(dataset) <= 4
    assert len(said) == 1


def test_links_between_all_classes_take_no_longer_than_their_folders(tmp_path, said):
    """Without a bound, the paths through n folders that link to one another are n! in number."""
    for i in range(12):
        picture(tmp_path / f"{i:02}" / "x.png", i)
        for j in range(12):
            (tmp_path / f"{i:02}" / f"to {j:02}").symlink_to(f"../{j:02}")
    dataset = ImageFolder(tmp_path, SHAPE, say=said.append)
    assert np.bincount(dataset.labels).tolist() == [12] * 12  # each class has its own image and those it links to


def test_what_is_not_used_is_counted_and_said(tmp_path, said):
    picture(tmp_path / "a" / "x.PNG")
    picture(tmp_path / "a" / ".hidden.png")
    for name in ("a/notes.txt", "a/more.txt", "a/noext", "b/film.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    (tmp_path / "a" / "broken.png").symlink_to("nowhere")
    (tmp_path / "a" / "circle.png").symlink_to("circle.png")
    dataset = ImageFolder(tmp_path, SHAPE, say=said.append)
    assert len(dataset) == 1
    assert dataset.unused == {".txt": 2, "without a suffix": 1, ".mp4": 1, "hidden files or folders": 1,
                              "broken links or special files": 2, "folders without an image": 1}
    [line] = said
    assert line.startswith(f"folder:{tmp_path}: images used: 1; not used: ")
    assert ".txt 2" in line
    assert "folders without an image 1" in line
    with pytest.raises(DataError, match=r"b has no images \(of the \d+ suffixes .*; it holds \.mp4 1"):
        ImageFolder(tmp_path / "b", SHAPE, say=said.append)


def test_kinds_beyond_eight_are_added_up(tmp_path, said):
    picture(tmp_path / "x.png")
    for i in range(12):
        (tmp_path / f"x.k{i}").write_text("x")
    ImageFolder(tmp_path, SHAPE, say=said.append)
    assert said[0].endswith(".k4 1, .k5 1, others 4")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_named_pipe_is_not_opened(tmp_path, said):
    picture(tmp_path / "x.png")
    os.mkfifo(tmp_path / "y.png")
    assert len(ImageFolder(tmp_path, SHAPE, say=said.append)) == 1
    assert said[0].endswith("not used: broken links or special files 1")


def test_images_beside_class_folders_cost_the_labels_and_that_is_said(tmp_path, said):
    picture(tmp_path / "a" / "x.png")
    picture(tmp_path / "y.png")
    assert ImageFolder(tmp_path, SHAPE, say=said.append).labels is None
    assert said == [f"folder:{tmp_path}: 1 of 2 images lie in no sub-folder, so there are no labels"]


@pytest.mark.parametrize("suffix", [".jfif", ".jpe", ".pnm", ".tga", ".TGA", ".Jpg"])
def test_suffixes_of_any_case_are_read(tmp_path, suffix):
    Image.new("L", (8, 8), 90).save(tmp_path / f"a{suffix}")
    assert abs(int(open_dataset(f"folder:{tmp_path}", shape=SHAPE).raw([0])[0, 0, 0, 0]) - 90) <= 1


def test_the_home_folder_is_expanded_and_no_folder_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    picture(tmp_path / "set" / "x.png")
    np.savez(tmp_path / "a.NPZ.npz", images=np.zeros((2, 8, 8), np.uint8))
    assert len(open_dataset("folder:~/set", shape=SHAPE)) == 1
    assert len(open_dataset("~/a.NPZ.npz")) == 2
    monkeypatch.chdir(tmp_path / "set")
    assert len(open_dataset("folder:.", shape=SHAPE)) == 1
    for name in ("folder:", "folder: "):
        with pytest.raises(DataError, match=r"names no folder .*variable that is not set"):
            open_dataset(name, shape=SHAPE)
    with pytest.raises(DataError, match="data_dir is empty"):
        open_dataset("mnist", data_dir="")
    with pytest.raises(DataError, match="there is no folder ~nobody-here"):
        open_dataset("folder:~nobody-here/x", shape=SHAPE)


@pytest.mark.skipif(sys.platform == "win32" or not hasattr(os, "geteuid") or os.geteuid() == 0,
                    reason="whoever may list every folder cannot be refused one")
def test_a_folder_that_cannot_be_listed_is_refused(tmp_path):
    picture(tmp_path / "a" / "x.png")
    picture(tmp_path / "b" / "x.png")
    (tmp_path / "b").chmod(0)
    try:
        with pytest.raises(DataError, match=r"b cannot be listed .Permission denied.: its images would be missing"):
            ImageFolder(tmp_path, SHAPE)
    finally:
        (tmp_path / "b").chmod(0o700)


def test_a_warning_is_the_default(tmp_path):
    picture(tmp_path / "x.png")
    (tmp_path / "y.txt").write_text("x")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        open_dataset(f"folder:{tmp_path}", shape=SHAPE)
    assert [str(warning.message) for warning in caught] == [
        f"folder:{tmp_path}: images used: 1; not used: .txt 1"]
