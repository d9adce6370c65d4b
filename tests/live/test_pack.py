"""The pack: files by their hashes, from a folder or a release, and what it says where they cannot be had."""

from __future__ import annotations

import functools
import hashlib
import http.server
import json
import sys
import threading
import zipfile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
import live_pack


@pytest.fixture
def release(tmp_path, monkeypatch):
    """A release of two files on this machine, in the place of Pyodide's; returns its folder and its address."""
    folder = tmp_path / "release"
    folder.mkdir()
    wanted = {}
    for name, content in (("core/pyodide.js", b"script"), ("wheels/numpy-2-cp312-cp312-wasm32.whl", b"wheel")):
        (folder / Path(name).name).write_bytes(content)
        wanted[name] = hashlib.sha256(content).hexdigest()
    monkeypatch.setattr(live_pack, "wanted", lambda: wanted)
    monkeypatch.setattr(live_pack, "WORK", tmp_path / "work")
    monkeypatch.delenv("PYODIDE", raising=False)
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    handler.log_message = lambda *_: None
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield folder, f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def test_files_are_fetched_from_the_release_once(release):
    folder, address = release
    found = live_pack.pyodide(address)
    assert (found / "core" / "pyodide.js").read_bytes() == b"script"
    assert (found / "wheels" / "numpy-2-cp312-cp312-wasm32.whl").read_bytes() == b"wheel"
    (folder / "pyodide.js").unlink()
    assert live_pack.pyodide(address) == found


def test_a_file_with_another_content_is_refused(release):
    folder, address = release
    (folder / "pyodide.js").write_bytes(b"another")
    with pytest.raises(live_pack.Unavailable, match=r"is not Pyodide's core/pyodide.js: its SHA-256 is"):
        live_pack.pyodide(address)


def test_a_release_that_cannot_be_reached_is_said_in_one_line(release):
    folder, address = release
    (folder / "pyodide.js").unlink()
    with pytest.raises(live_pack.Unavailable, match=r"^Pyodide's release could not be fetched: .*404"):
        live_pack.pyodide(address)
    with pytest.raises(live_pack.Unavailable, match=r"^Pyodide's release could not be fetched: "):
        live_pack.pyodide("http://127.0.0.1:9/")


def test_a_folder_that_is_named_must_have_all_files(release, tmp_path, monkeypatch):
    _, address = release
    monkeypatch.setenv("PYODIDE", str(tmp_path))
    with pytest.raises(live_pack.Unavailable, match=r"^there is no core/pyodide.js in .*, the folder that PYODIDE"):
        live_pack.pyodide(address)


def test_files_stand_behind_an_index():
    packed = live_pack.listed([("a/b.py", b"one"), ("ü.txt", b""), ("c", b"three")])
    length = int.from_bytes(packed[:4], "little")
    index = json.loads(packed[4 : 4 + length])
    assert index == [["a/b.py", 3], ["ü.txt", 0], ["c", 5]]
    assert packed[4 + length :] == b"onethree"


def test_a_folder_is_stored_without_compression_in_order(tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "x.pyc").write_bytes(b"x" * 100)
    (tmp_path / "a.pyc").write_bytes(b"a")
    (tmp_path / "out.zip").write_bytes(live_pack.stored(tmp_path))
    with zipfile.ZipFile(tmp_path / "out.zip") as archive:
        assert archive.namelist() == ["a.pyc", "b/x.pyc"]
        assert {entry.compress_type for entry in archive.infolist()} == {zipfile.ZIP_STORED}


@pytest.mark.parametrize(("name", "left_out"), [
    ("numpy/_core/tests/test_x.py", True), ("numpy/_core/numeric.py", False), ("encodings/cp1252.py", True),
    ("encodings/utf_8.py", False), ("hypothesis/extra/numpy.py", False), ("hypothesis/extra/django/_impl.py", True),
    ("cli/main.py", True), ("check/runner.py", False), ("numpy-2.0.2.dist-info/METADATA", True),
    ("numpy/testing/__init__.py", False), ("numpy/_core/include/numpy/x.h", True),
])
def test_what_no_page_needs_is_left_out(name, left_out):
    assert bool(live_pack.UNUSED.search(name)) == left_out


def test_parts_are_whole_bytes_of_base64():
    assert live_pack.PART % 3 == 0
