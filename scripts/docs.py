"""Build the book: ``python3 scripts/docs.py``, into build/docs. Open build/docs/index.html; no page needs a network.

Needs Node.js with npm, which renders the mathematics. Arguments go to Sphinx: ``-E`` reads every page again.
"""

from __future__ import annotations

if __name__ == "__main__":
    import interrupts  # noqa: F401 - first: Ctrl-C is one line from here on

import json
import os
import re
import shutil
import subprocess
import sys
import time

import environment
import live_pack

ROOT = environment.ROOT
BOOK = ROOT / "docs"
OUT = ROOT / "build" / "docs"
WORK = ROOT / "build" / "book"  # what the build keeps between runs: KaTeX, Sphinx's pickles
LOCK = BOOK / "_npm"
NODE_MISSING = ("error: the book needs {name}, which renders its mathematics, and there is none on the PATH: install "
                "Node.js 18 or newer with npm (on Debian and Ubuntu: apt install nodejs npm), then run this again")


def fetch_packages() -> None:
    """Install KaTeX, esbuild and the editor below build/book by the lock file, unless that was done before.

    npm checks the lock file's hashes. KaTeX's style sheet and fonts go to
    build/book/static, from where Sphinx copies them.
    """
    here, done = WORK / "npm", WORK / "npm" / "installed"
    lock = (LOCK / "package-lock.json").read_text("utf-8")
    if done.exists() and done.read_text("utf-8") == lock:
        return
    print("installing KaTeX and the editor", flush=True)
    shutil.rmtree(here, ignore_errors=True)
    shutil.copytree(LOCK, here)
    status, _ = environment.run_apart(
        [shutil.which("npm"), "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"], cwd=here)
    if status:
        sys.exit("error: npm could not install them (its message is above): check the network, then run this again")
    dist, static = here / "node_modules" / "katex", WORK / "static" / "katex"
    shutil.rmtree(static, ignore_errors=True)
    (static / "fonts").mkdir(parents=True)
    for font in (dist / "dist" / "fonts").glob("*.woff2"):
        shutil.copy(font, static / "fonts")
    style = (dist / "dist" / "katex.min.css").read_text("utf-8")
    style = re.sub(r",url\([^)]*\.(?:woff|ttf)\) format\(\"\w+\"\)", "", style)  # every browser of today reads WOFF2
    (static / "katex.min.css").write_text(style, "utf-8")
    shutil.copy(dist / "LICENSE", static)
    done.write_text(lock, "utf-8")


def build_live() -> None:
    """Make the live part, or say why the book is built without it."""
    live = WORK / "static" / "live"
    try:
        sizes = live_pack.build(live)
    except live_pack.Unavailable as error:
        shutil.rmtree(live, ignore_errors=True)
        print(f"the live part of the book is left out: {error}. To have it, set PYODIDE to a folder with the files of "
              "docs/_live/pyodide.sha256", flush=True)
        return
    esbuild = [WORK / "npm" / "node_modules" / ".bin" / "esbuild", "--bundle", "--minify", "--charset=utf8",
               "--log-level=warning", f"--define:PARTS={json.dumps(sizes)}"]
    worker = WORK / "live" / "worker.txt"
    for source, out, *options in (
            ("js/worker/main.js", worker), ("js/entry.js", live / "entry.js"), ("css/all.css", live / "live.css"),
            ("js/page.js", live / "page.js", f"--alias:worker-source={worker}", "--loader:.txt=text")):
        status, _ = environment.run_apart([*esbuild, BOOK / "_live" / source, f"--outfile={out}", *options],
                                          env={**os.environ, "NODE_PATH": str(WORK / "npm" / "node_modules")})
        if status:
            sys.exit(f"error: esbuild could not bundle docs/_live/{source} (its message is above)")


def build(*arguments: str) -> int:
    """Build the pages with warnings as errors; return Sphinx's exit status."""
    return environment.run("-m", "sphinx", "-b", "html", "-W", "--keep-going", "-q", "-d", WORK / "doctrees",
                           *arguments, BOOK, OUT)


def main() -> int:
    for name in ("node", "npm"):
        if shutil.which(name) is None:
            sys.exit(NODE_MISSING.format(name=name))
    asked = subprocess.run([shutil.which("node"), "--version"], capture_output=True, text=True, check=False)
    version = asked.stdout.strip()
    if int(version.lstrip("v").partition(".")[0] or 0) < 18:
        sys.exit(f"error: the book needs Node.js 18 or newer, this is {version}: install a newer one, "
                 "then run this again")
    environment.prepare(requirements=BOOK / "requirements.txt")
    fetch_packages()
    build_live()
    started = time.perf_counter()
    status = build(*sys.argv[1:])
    if status == 0:
        pages = sum(1 for _ in OUT.rglob("*.html"))
        print(f"{pages} pages in {time.perf_counter() - started:.0f} s: open {(OUT / 'index.html').relative_to(ROOT)}")
    return status


if __name__ == "__main__":
    sys.exit(main())
