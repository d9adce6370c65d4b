"""The commands that pages show: each parses, and the page of the command line has each of them."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from ddpm_np.cli.parser import COMMANDS, build_parser

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", *(page for page in (ROOT / "docs").rglob("*.md") if "api" not in page.parts)])
BLOCK = re.compile(r"^(`{3,})([^\n]*)\n(.*?)^\1$", re.MULTILINE | re.DOTALL)


def shown() -> list[tuple[str, str]]:
    """Return the commands in blocks of pages: (page, command)."""
    found = []
    for page in PAGES:
        for _, language, block in BLOCK.findall(page.read_text("utf-8")):
            if language in ("", "text", "bash", "sh", "console"):
                lines = (line for line in block.splitlines() if line.startswith("ddpm-np "))
                found += [(page.relative_to(ROOT).as_posix(), line) for line in lines]
    return found


@pytest.mark.parametrize(("page", "command"), shown())
def test_a_command_that_a_page_shows_parses(page, command):
    words = shlex.split(command, comments=True)[1:]
    if words[0] not in ("--help", "--version"):
        assert build_parser().parse_args(words).command == words[0]


def test_there_are_such_commands():
    assert len(shown()) > 40
    assert {page for page, _ in shown()} >= {"README.md", "docs/train/own.md", "docs/train/gpu.md"}


def test_the_page_of_the_command_line_has_every_command():
    text = (ROOT / "docs" / "reference" / "commands.md").read_text("utf-8")
    assert re.findall(r"^## (\w+)$", text, re.MULTILINE) == list(COMMANDS)
    assert re.findall(r'^shown\("(\w+)"\)$', text, re.MULTILINE) == list(COMMANDS)
