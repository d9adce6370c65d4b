"""The demonstrations' boxes: their static pictures stand alone in a page, and each has its module and its colours."""

from __future__ import annotations

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

pytest.importorskip("sphinx", reason="docs/requirements.txt is not installed")
from book import demos
from book.svg import COLOURS

DOCS = Path(__file__).resolve().parents[2] / "docs"
NAMES = list(demos.DEMOS)


@pytest.mark.parametrize("name", NAMES)
def test_a_picture_is_svg_that_changes_nothing_else_of_its_page(name):
    svg = demos.static_picture(name)
    root = ElementTree.fromstring(svg)
    tags = {node.tag.rpartition("}")[2] for node in root.iter()}
    assert not tags & {"style", "script", "metadata"}
    ids = [node.get("id") for node in root.iter() if node.get("id")]
    assert len(ids) == len(set(ids))
    assert all(one.startswith(f"{name}-") for one in ids)
    assert set(re.findall(r'url\(#([^)]+)\)|href="#([^"]+)"', svg)) <= {(one, "") for one in ids} | {
        ("", one) for one in ids}


@pytest.mark.parametrize("name", NAMES)
def test_a_picture_has_a_text_and_the_pages_colours(name):
    svg = demos.static_picture(name)
    root = ElementTree.fromstring(svg)
    assert root.get("role") == "img"
    assert re.search(r"\d", root.get("aria-label"))
    assert not any(colour in svg for colour in COLOURS.values())
    assert "#000000" not in svg


@pytest.mark.parametrize("name", NAMES)
def test_a_demonstration_has_its_module_and_its_colours(name):
    module = (DOCS / "_live" / "js" / "demos" / f"{name}.js").read_text("utf-8")
    assert "export function mount(element, session)" in module
    style = (DOCS / "_static" / "demos.css").read_text("utf-8")
    assert all(f".demo-{kind} {{" in style for kind in demos.DEMOS[name].legend)


@pytest.mark.parametrize("name", NAMES)
def test_sliders_begin_where_the_picture_is(name):
    call = demos.DEMOS[name].call or name
    assert list(demos.CALLS[call](**demos.settings(call)))
    assert json.loads(json.dumps(demos.settings(call))) == demos.settings(call)


def test_pictures_are_the_same_in_every_build():
    first = [demos.static_picture(name) for name in NAMES]
    demos.static_picture.cache_clear()
    assert first == [demos.static_picture(name) for name in NAMES]
