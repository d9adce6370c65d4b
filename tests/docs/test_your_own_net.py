"""The code blocks of docs/your-own-net.md run as they are, one after another."""

from __future__ import annotations

import re
import sys
import types
from pathlib import Path

import ddpm_np

PAGE = (Path(ddpm_np.__file__).parent.parent / "docs" / "your-own-net.md").read_text("utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_the_blocks_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    module = types.ModuleType("your_own_net")
    monkeypatch.setitem(sys.modules, "your_own_net", module)  # by which pickles find the classes
    for block in BLOCKS:
        exec(compile(block, "docs/your-own-net.md", "exec"), vars(module))
    losses = [float(line.rpartition(" ")[2]) for line in capsys.readouterr().out.splitlines()]
    assert len(losses) == 3
    assert losses[1] < losses[0]
    assert module.images.shape == (4, 8, 8, 1)
    assert (tmp_path / "images.png").stat().st_size > 100
    assert len(BLOCKS) == 8
