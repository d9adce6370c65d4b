"""Photograph the book's pages as a phone and a desktop show them: ``python3 scripts/look_at_docs.py [page …]``.

The pictures go to build/looks, to be looked at. Needs Chromium on the PATH and a book that scripts/docs.py has built.
Without names it takes all pages but those of the API and of source files.
"""

from __future__ import annotations

if __name__ == "__main__":
    import interrupts  # noqa: F401 - first: Ctrl-C is one line from here on

import shutil
import sys
import tempfile
from pathlib import Path

from environment import run_apart

ROOT = Path(__file__).resolve().parent.parent
BOOK = ROOT / "build" / "docs"
LOOKS = ROOT / "build" / "looks"
WIDTHS = (390, 1200)
HEIGHT = 4000  # pixels; of one page alone, three times as many
NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")


def browser() -> str:
    """Return the path of a Chromium; exit with a line that says what to install if there is none."""
    for name in NAMES:
        found = shutil.which(name)
        if found:
            return found
    sys.exit("error: no Chromium on the PATH: install it (on Debian: apt install chromium), then run this again")


def pages() -> list[str]:
    """Return the names of the pages that people write."""
    names = (path.relative_to(BOOK).with_suffix("").as_posix() for path in sorted(BOOK.rglob("*.html")))
    return [name for name in names if not name.startswith(("reference/api/", "_"))
            and name not in ("genindex", "py-modindex", "search")]


def photograph(chromium: str, page: str, width: int, height: int, picture: Path) -> bool:
    """Take one picture of a page at a width, in a frame of that width: a window may not be as narrow."""
    with tempfile.TemporaryDirectory() as folder:
        frame = Path(folder) / "frame.html"
        url = (BOOK / f"{page}.html").as_uri()
        style = f"border:0;width:{width}px;height:{height}px"
        frame.write_text(f'<body style="margin:0"><iframe src="{url}" style="{style}"></iframe>', "utf-8")
        command = [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
                   "--allow-file-access-from-files", f"--user-data-dir={folder}/profile",
                   f"--window-size={max(width, 500)},{height}",
                   "--virtual-time-budget=3000", f"--screenshot={picture}", frame.as_uri()]
        status, _ = run_apart(command, stdout=-3, stderr=-3)
    return status == 0 and picture.exists()


def main(arguments: list[str]) -> int:
    if not (BOOK / "index.html").exists():
        sys.exit("error: there is no book in build/docs: run python3 scripts/docs.py first")
    chromium, failed = browser(), []
    LOOKS.mkdir(parents=True, exist_ok=True)
    for page in arguments or pages():
        for width in WIDTHS:
            picture = LOOKS / f"{page.replace('/', '.')}-{width}.png"
            if not photograph(chromium, page, width, 3 * HEIGHT if len(arguments) == 1 else HEIGHT, picture):
                failed.append(picture.name)
    print(f"pictures in {LOOKS.relative_to(ROOT)}" + (f"; not taken: {', '.join(failed)}" if failed else ""))
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
