"""Downloads from a local server: resuming, checksums, plain errors."""

from __future__ import annotations

import hashlib
import http.server
import threading

import pytest

from ddpm_np.data import DataError
from ddpm_np.data.download import RemoteFile, fetch
from ddpm_np.data.published import cache

CONTENT = bytes(range(256)) * 4000


@pytest.fixture
def server():
    """A server of CONTENT, cut after 600,000 bytes under /cut and altered under /other, and the requests it got."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            wanted = self.headers.get("Range")
            asked.append((self.path, wanted))
            content = CONTENT[::-1] if self.path == "/other" else CONTENT
            start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and self.path != "/whole" else 0
            body = content[start:]
            if self.path == "/broken":  # no answer in HTTP
                self.wfile.write(b"HTTP/1.1 2000000000000000 what\r\n\r\n")
                return
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: 600_000 - start] if self.path == "/cut" else body)

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}", asked
        running.shutdown()
        thread.join()


def remote(*urls):
    return RemoteFile("data.gz", urls, len(CONTENT), f"md5:{hashlib.md5(CONTENT).hexdigest()}")


def test_a_file_is_downloaded_once(server, tmp_path):
    url, asked = server
    for _ in range(2):
        assert fetch(remote(f"{url}/file"), tmp_path / "a b").read_bytes() == CONTENT
    assert asked == [("/file", None)]
    assert [path.name for path in (tmp_path / "a b").iterdir()] == ["data.gz"]


def test_an_interrupted_download_resumes(server, tmp_path):
    url, asked = server
    with pytest.raises(DataError, match="--data-dir"):
        fetch(remote(f"{url}/cut"), tmp_path)
    assert (tmp_path / "data.gz.part").stat().st_size == 600_000
    assert fetch(remote(f"{url}/file"), tmp_path).read_bytes() == CONTENT
    assert asked[-1] == ("/file", "bytes=600000-")


def test_a_server_without_ranges_sends_all_again(server, tmp_path):
    url, _ = server
    (tmp_path / "data.gz.part").write_bytes(CONTENT[:1000])
    assert fetch(remote(f"{url}/whole"), tmp_path).read_bytes() == CONTENT


def test_a_wrong_checksum_is_discarded_and_the_next_server_tried(server, tmp_path):
    url, _ = server
    with pytest.raises(DataError, match="does not have the checksum"):
        fetch(remote(f"{url}/other"), tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert fetch(remote(f"{url}/other", f"{url}/file"), tmp_path).read_bytes() == CONTENT


def test_an_unreachable_server_is_one_plain_error(tmp_path):
    with pytest.raises(DataError, match=r"data\.gz could not be downloaded .*put it into"):
        fetch(remote("http://127.0.0.1:9/file"), tmp_path)


def test_an_answer_that_is_not_http_is_one_plain_error(server, tmp_path):
    with pytest.raises(DataError, match=r"data\.gz could not be downloaded .*put it into") as error:
        fetch(remote(f"{server[0]}/broken"), tmp_path)
    assert str(error.value).isprintable()


def test_an_empty_variable_names_no_cache(monkeypatch, tmp_path):
    for home in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(home, str(tmp_path))
    monkeypatch.setenv("DDPM_NP_DATA", "")
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    assert cache() == tmp_path / ".cache" / "ddpm_np"
    monkeypatch.setenv("DDPM_NP_DATA", "~/sets")
    assert cache() == tmp_path / "sets"
