"""The book as scripts/docs.py built it: whole, and readable without a network. Skipped where it was not built."""

from __future__ import annotations

import re
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from ddpm_np.check import equations  # noqa: F401 - fills the registry
from ddpm_np.check.derivations import relations
from ddpm_np.check.registry import EQUATIONS

OUT = Path(__file__).resolve().parents[2] / "build" / "docs"
PAGES = sorted(path for path in OUT.rglob("*.html") if "_static" not in path.parts)
pytestmark = pytest.mark.skipif(not (OUT / "index.html").exists(), reason="scripts/docs.py has not built the book")
LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "video": "src", "audio": "src",
          "embed": "src", "object": "data", "link": "href", "input": "src"}
REMOTE = re.compile(r"^(?:[a-z]+:)?//", re.IGNORECASE)
OWN_LINKS = {"canonical", "alternate", "author", "license"}  # <link>s that a browser does not load


class Page(HTMLParser):
    """What a page loads, links to, and names."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.links: list[str] = []
        self.ids: set[str] = set()
        self.styles: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        if tag in LOADED and found.get(LOADED[tag]) and not OWN_LINKS & set((found.get("rel") or "").split()):
            self.loads.append(found[LOADED[tag]])
        self.loads += [part.split()[0] for part in (found.get("srcset") or "").split(",") if part.strip()]
        if tag == "a" and found.get("href"):
            self.links.append(found["href"])
        if found.get("id"):
            self.ids.add(found["id"])
        if found.get("style"):
            self.styles.append(found["style"])


@cache
def page(path: Path) -> Page:
    """Return a page, read."""
    return Page(path.read_text("utf-8"))


def written() -> list[Path]:
    """Return the pages that are not of the API and not sources."""
    return [path for path in PAGES if not {"api", "_source"} & set(path.relative_to(OUT).parts)]


def test_no_page_asks_any_host_for_anything():
    remote = {(path.name, url) for path in PAGES for url in page(path).loads if REMOTE.match(url)}
    assert remote == set()
    styles = [text for path in PAGES for text in page(path).styles] + [
        path.read_text("utf-8") for path in OUT.rglob("*.css")]
    for text in styles:
        assert not re.search(r"url\(\s*[\"']?(?:https?:)?//", text)
        assert not re.search(r"@import\s+(?:url\()?[\"']?(?:https?:)?//", text)


def test_no_script_of_ours_asks_a_host():
    """The theme's scripts run on pages; none of them may name a host to load from."""
    for path in OUT.rglob("*.js"):
        text = path.read_text("utf-8")
        assert not re.search(r"(?:fetch|importScripts|import)\(\s*[\"'](?:https?:)?//", text), path.name
        assert not re.search(r"\.src\s*=\s*[\"'](?:https?:)?//", text), path.name


def test_what_is_loaded_exists():
    missing = set()
    for path in PAGES:
        for url in page(path).loads:
            target = path.parent / unquote(urlsplit(url).path)
            if not url.startswith("data:") and not target.exists():
                missing.add((path.relative_to(OUT).as_posix(), url))
    assert missing == set()
    for style in OUT.rglob("*.css"):
        for url in re.findall(r"url\([\"']?([^)\"']+)[\"']?\)", style.read_text("utf-8")):
            if not url.startswith(("data:", "#")):
                assert (style.parent / unquote(urlsplit(url).path)).exists(), f"{style.name}: {url}"


def test_links_within_the_book_lead_somewhere():
    broken = set()
    for path in written():
        for url in page(path).links:
            parts = urlsplit(url)
            if parts.scheme or REMOTE.match(url):
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            anchored = parts.fragment and target.suffix == ".html" and target.exists()
            if not target.exists() or (anchored and unquote(parts.fragment) not in page(target).ids):
                broken.add((path.relative_to(OUT).as_posix(), url))
    assert broken == set()


def test_mathematics_needs_no_script():
    """It is in the page as HTML and MathML, and no page loads a program that would typeset it."""
    for path in PAGES:
        assert not any(re.search(r"(?i)(katex|mathjax).*\.js", url) for url in page(path).loads)
    text = (OUT / "derivations" / "posterior.html").read_text("utf-8")
    assert text.count('class="katex"') > 80
    assert "<math" in text
    assert "katex-error" not in "".join(path.read_text("utf-8") for path in written())


def anchors() -> dict[str, list[Path]]:
    """Return {anchor: the pages that have it}."""
    found: dict[str, list[Path]] = {}
    for path in written():
        for id in page(path).ids:
            found.setdefault(id, []).append(path)
    return found


def made(label: str) -> str:
    """Return the anchor of a label, as docutils makes it."""
    return re.sub(r"[^a-z0-9]+", "-", label.lower()).strip("-")


def test_every_equation_has_one_box():
    found = anchors()
    places = {id: found.get(made(f"equation-{id}"), []) for id in EQUATIONS}
    assert {id: pages for id, pages in places.items() if len(pages) != 1} == {}


def test_every_line_has_one_box():
    found = anchors()
    places = {line.id: found.get(made(f"relation-{line.id}"), []) for line in relations()}
    assert {id: pages for id, pages in places.items() if len(pages) != 1} == {}


def rows_of_the_map() -> list[str]:
    """Return the rows of the map from the paper to tests, as HTML."""
    text = (OUT / "reference" / "map.html").read_text("utf-8")
    body = text[text.index("<tbody>"):text.index("</tbody>")]
    return re.findall(r"<tr.*?</tr>", body, re.DOTALL)


def test_the_map_has_no_hole():
    """Each equation: a link to its box, the paper, its functions' pages, its properties' lines and a verdict."""
    rows = rows_of_the_map()
    assert len(rows) == len(EQUATIONS)
    for entry in EQUATIONS.values():
        row = next(row for row in rows if re.search(rf'#{re.escape(made(f"equation-{entry.id}"))}"', row))
        for name in entry.functions:
            assert name.rpartition(".")[2] in row, f"({entry.id}) lacks {name}"
        for prop in entry.properties:
            assert re.search(rf'href="[^"]*_source/[^"]*#L-\d+"[^>]*>(?:<[^>]*>)*{prop.name}<', row), prop.name
        assert row.count("reference/api/") + row.count('href="api/') >= len(entry.functions)
        assert "PASS" in row


@pytest.mark.parametrize("name", ["derivations/posterior", "reference/map", "index"])
def test_a_phone_is_told_its_width(name):
    assert '<meta name="viewport" content="width=device-width' in (OUT / f"{name}.html").read_text("utf-8")


def test_code_stands_where_it_was_asked_for():
    text = (OUT / "unet" / "index.html").read_text("utf-8")
    assert '<div class="highlight-python' in text
    assert re.search(r'_source/ddpm_np/models/unet\.py\.html#L-\d+', text)
