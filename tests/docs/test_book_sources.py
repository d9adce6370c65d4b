"""The book's pages as they are written: what they show, and what they leave to the registry. Needs no build."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from ddpm_np.check import equations  # noqa: F401 - fills the registry
from ddpm_np.check.derivations import book, relations
from ddpm_np.check.registry import EQUATIONS

ROOT = Path(__file__).resolve().parents[2]
BOOK = ROOT / "docs"
sys.path.insert(0, str(BOOK / "_ext"))
from book import places  # noqa: E402 - it is on the path now

PAGES = places.pages()
FORMULA = re.compile(r"^\s*\$\$|^[`:]{3,}\{math\}|\\begin\{(equation|align|gather)|\\\[", re.MULTILINE)


@pytest.mark.parametrize("page", PAGES)
def test_no_page_has_a_formula_of_its_own(page):
    """Displayed mathematics comes from the registry or from a derivation, by a directive."""
    assert not FORMULA.search(places.FENCED.sub("", places.text_of(page)))


@pytest.mark.parametrize("text", ["$$\nx\n$$\n", "```{math}\nx\n```\n", ":::{math} x\n", "\\[x\\]", "\\begin{align}"])
def test_a_displayed_formula_is_recognised(text):
    assert FORMULA.search(f"Words.\n\n{text}")


def test_no_equation_is_shown_twice():
    assert {key: pages for key, pages in places.shown().items() if key[0] == "equation" and len(pages) > 1} == {}


def test_what_pages_show_exists():
    assert {id for kind, id in places.shown() if kind == "equation"} <= set(EQUATIONS)
    assert {id for kind, id in places.shown() if kind == "derivation"} <= set(book())


def test_every_equation_has_a_place():
    """A page shows it by name, or one of the two catalogues does, which show what no page shows."""
    catalogues = re.findall(r"\{rest-of-equations\} (\w+)", "".join(map(places.text_of, PAGES)))
    assert sorted(catalogues) == ["beyond", "paper"]
    assert {str(number) for number in range(1, 27)} <= set(EQUATIONS)


def test_each_line_of_a_derivation_is_shown_once():
    """A page that takes a derivation apart shows the rest of its lines too, and none twice."""
    for id, names in places.named_lines().items():
        if not names:
            continue
        assert len(set(names)) == len(names), id
        known = {relation.id.partition(".")[2] for relation in relations([id])}
        assert set(names) <= known
        text = "".join(places.text_of(page) for page in places.shown()["derivation", id])
        rest = re.search(rf"\{{derivation\}} {id}\n:lines: rest\n", text)
        assert rest or set(names) == known, f"{id} lacks {sorted(known - set(names))}: end with :lines: rest"


def test_every_page_stands_in_the_contents():
    """The contents of a page are relative to it; the design's pages and the reference's are listed too."""
    listed = {"index"}
    for page in PAGES:
        folder = (BOOK / f"{page}.md").parent
        for block in re.findall(r"^```\{toctree\}\n(.*?)^```", places.text_of(page), re.MULTILINE | re.DOTALL):
            for name in (line.strip() for line in block.splitlines()):
                found = [path.with_suffix("") for path in folder.glob(f"{name}.md")] if "*" in name else [folder / name]
                if name and not name.startswith(":"):
                    listed |= {path.resolve().relative_to(BOOK).as_posix() for path in found}
    assert set(PAGES) <= listed


def test_versions_are_exact():
    lines = [line for line in (BOOK / "requirements.txt").read_text("utf-8").splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[a-z-]+==[\d.]+", line) for line in lines)
    package = json.loads((BOOK / "_npm" / "package.json").read_text("utf-8"))
    lock = json.loads((BOOK / "_npm" / "package-lock.json").read_text("utf-8"))
    for name, version in package["dependencies"].items():
        assert lock["packages"][f"node_modules/{name}"]["version"] == version
    for name, entry in lock["packages"].items():
        assert not name or entry["integrity"].startswith("sha512-")
        assert "resolved" not in entry  # a registry's host
