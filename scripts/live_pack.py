"""Pack Python for the live pages: Pyodide, NumPy, what the checker needs, and the package, as scripts of one folder.

scripts/docs.py calls it. Pyodide's files come from the folder that PYODIDE names, or from its own release; each is
verified by the hashes in docs/_live/pyodide.sha256. The pack is made of classic scripts, since a page that was opened
as a file can load nothing else.
"""

from __future__ import annotations

import base64
import email
import gzip
import hashlib
import io
import json
import os
import re
import shutil
import sys
import urllib.request
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import environment

ROOT = environment.ROOT
LIVE = ROOT / "docs" / "_live"
EXERCISE = ROOT / "docs" / "exercise"
WORK = ROOT / "build" / "book" / "live"
RELEASE = "https://cdn.jsdelivr.net/pyodide/v0.27.7/full/"  # core and NumPy; Pyodide's documentation gives this address
PART = 1_500_000  # bytes of a part of the pack, a multiple of 3, as base64 needs
CORE = ("pyodide.js", "pyodide.asm.js", "pyodide.asm.wasm", "pyodide-lock.json")
# Left out: tests, headers, type stubs, what builds extensions, plugins of frameworks, the codecs of other alphabets.
UNUSED = re.compile(
    r"(^|/)(tests?|idlelib|lib2to3|tkinter|turtledemo|ensurepip|venv|pydoc_data|sqlite3|f2py|_pyinstaller|include|"
    r"__pycache__|[^/]*\.dist-info|bench|cli)/|\.(pyi|pxd|h|a|c|cpp)$"
    r"|^hypothesis/extra/(?!__init__|numpy|array_api|_array_helpers)"
    r"|^encodings/(cp|iso|mac_|koi|big5|euc|gb|hz|shift|johab|ptcp|tis|hp_|kz)[^/]*$")


class Unavailable(Exception):
    """Pyodide's files cannot be had; the message says why."""


def wanted() -> dict[str, str]:
    """Return the SHA-256 of each of Pyodide's files, by name."""
    lines = (LIVE / "pyodide.sha256").read_text("utf-8").splitlines()
    return {name: digest for digest, name in (line.split() for line in lines)}


def verified(path: Path, name: str, digest: str) -> Path:
    """Return the path; Unavailable if the file has another content."""
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != digest:
        raise Unavailable(f"{path} is not Pyodide's {name}: its SHA-256 is {found[:12]}…, expected {digest[:12]}…")
    return path


def pyodide(release: str = RELEASE) -> Path:
    """Return a folder with Pyodide's files, all verified: the one that PYODIDE names, or one that is filled now."""
    given = os.environ.get("PYODIDE")
    folder = Path(given) if given else WORK / "pyodide"
    for name, digest in wanted().items():
        path = folder / name
        if not path.exists():
            if given:
                raise Unavailable(f"there is no {name} in {given}, the folder that PYODIDE names")
            path.parent.mkdir(parents=True, exist_ok=True)
            fetch(name, path, release)
        verified(path, name, digest)
    return folder


def fetch(name: str, path: Path, release: str) -> None:
    """Download a file: Pyodide's own from its release, wheels that every Python can use with pip."""
    print(f"fetching {path.name}", flush=True)
    if name.endswith("-none-any.whl"):
        package, version = path.name.split("-")[:2]
        status, _ = environment.run_apart(
            [environment.python(), "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
             "--only-binary=:all:", "--dest", path.parent, f"{package}=={version}"])
        if status or not path.exists():
            raise Unavailable(f"pip could not download {package} {version}")
        return
    try:
        with urllib.request.urlopen(release + path.name, timeout=60) as answer:
            content = answer.read()
    except OSError as error:
        raise Unavailable(f"Pyodide's release could not be fetched: {error}") from None
    path.write_bytes(content)


def unpack(files: Path, tree: Path) -> None:
    """Lay out the standard library and all packages as files, without what no page can need."""
    sources = {"stdlib": [files / "core" / "python_stdlib.zip"], "site": sorted((files / "wheels").glob("*.whl"))}
    named = {Path(name).name for name in wanted()}
    for folder, archives in sources.items():
        for archive in archives:
            if archive.name not in named:
                continue
            with zipfile.ZipFile(archive) as content:
                for name in content.namelist():
                    if not name.endswith("/") and not UNUSED.search(name):
                        write(tree / folder / name, content.read(name))
    site = tree / "site"
    for root, place in ((ROOT / "ddpm_np", site / "ddpm_np"), (LIVE / "python" / "ddpm_live", site / "ddpm_live"),
                        (EXERCISE, site / "ddpm_live" / "exercise")):
        for path in sorted(root.rglob("*")):
            name = path.relative_to(root)
            if path.is_file() and path.suffix in (".py", ".toml", ".gz") and not UNUSED.search(name.as_posix()):
                write(place / name, path.read_bytes())
    status, _ = environment.run_apart([environment.python(), LIVE / "weights.py", site])
    if status:
        sys.exit("error: the trained net could not be packed (the message is above)")


def write(path: Path, content: bytes) -> None:
    """Write a file and the folders that it lies in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def files_below(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the names and contents of all files of a folder, in order."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield path.relative_to(folder).as_posix(), path.read_bytes()


def listed(files: Iterable[tuple[str, bytes]]) -> bytes:
    """Return files one after another behind an index, as docs/_live/js/worker/unpack.js reads them."""
    kept = list(files)
    index = json.dumps([[name, len(content)] for name, content in kept]).encode()
    return b"".join([len(index).to_bytes(4, "little"), index, *(content for _, content in kept)])


def stored(folder: Path) -> bytes:
    """Return a ZIP file of a folder without compression: the pack is compressed as a whole."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as archive:
        for name, data in files_below(folder):
            archive.writestr(zipfile.ZipInfo(name), data)
    return content.getvalue()


def licences(files: Path) -> str:
    """Return a line for each program in the pack: its version, its licence, and where its source is."""
    lines = ["Pyodide 0.27.7: MPL-2.0; https://github.com/pyodide/pyodide",
             "Python 3.12.7: PSF-2.0; https://github.com/python/cpython"]
    for wheel in sorted((files / "wheels").glob("*.whl")):
        if f"wheels/{wheel.name}" not in wanted():
            continue
        with zipfile.ZipFile(wheel) as content:
            name = next(name for name in content.namelist() if name.endswith(".dist-info/METADATA"))
            about = email.message_from_bytes(content.read(name))
        kinds = [line.rpartition(" :: ")[2] for line in about.get_all("Classifier", []) if line.startswith("License")]
        links = dict(line.lower().split(", ", 1) for line in about.get_all("Project-URL", []))
        known = [links[kind] for kind in ("source", "source code", "repository", "homepage") if kind in links]
        source = about["Home-page"] or next(iter(known), "")
        licence = about["License-Expression"] or ", ".join(kinds) or "see its source"
        lines.append(f"{about['Name']} {about['Version']}: {licence}; {source}".rstrip("; "))
    return "\n".join(["The live pages run these programs, unchanged but for files that no page needs:", *lines, ""])


def state(files: Path) -> str:
    """Return a digest of everything that the pack depends on."""
    found = hashlib.sha256((LIVE / "pyodide.sha256").read_bytes())
    for path in [Path(__file__), LIVE / "compile.mjs", *sorted((ROOT / "ddpm_np").rglob("*")),
                 *sorted((LIVE / "python").rglob("*.py")), *sorted(EXERCISE.rglob("*.py")), LIVE / "weights.py"]:
        if path.is_file() and "__pycache__" not in path.parts:
            found.update(path.relative_to(ROOT).as_posix().encode() + path.read_bytes())
    return found.hexdigest()


def build(out: Path) -> list[int]:
    """Write the pack into a folder, unless the same one is there: part-01.js, …; return their sizes.

    Raises
    ------
    Unavailable
        If Pyodide's files cannot be had.
    """
    files = pyodide()
    now, done = state(files), WORK / "state"
    if done.exists() and done.read_text() == now and out.exists():
        return sizes_in(out)
    print("packing Python for the live pages", flush=True)
    shutil.rmtree(out, ignore_errors=True)
    tree = WORK / "tree"
    shutil.rmtree(tree, ignore_errors=True)
    unpack(files, tree)
    status, _ = environment.run_apart([shutil.which("node") or "node", LIVE / "compile.mjs", files / "core", tree])
    if status:
        sys.exit("error: Pyodide could not compile the packages (its message is above)")
    content = [(name, (files / "core" / name).read_bytes()) for name in CORE]
    content += [("python_stdlib.zip", stored(tree / "stdlib")), ("site.bin", listed(files_below(tree / "site")))]
    packed = gzip.compress(listed(content), 9, mtime=0)
    out.mkdir(parents=True)
    for number, at in enumerate(range(0, len(packed), PART), 1):
        text = f'DDPM_LIVE.part("{base64.b64encode(packed[at : at + PART]).decode()}");\n'
        (out / f"part-{number:02}.js").write_text(text, "ascii")
    (out / "licences.txt").write_text(licences(files), "utf-8")
    done.write_text(now)
    sizes = sizes_in(out)
    print(f"{sum(sizes) / 1e6:.1f} MB in {len(sizes)} parts", flush=True)
    return sizes


def sizes_in(out: Path) -> list[int]:
    """Return the sizes of a pack's parts."""
    return [path.stat().st_size for path in sorted(out.glob("part-*.js"))]

