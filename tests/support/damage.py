"""Damage to files: bytes flipped, cut, spliced, numbers rewritten; and what a reader makes of it.

`scripts/fuzz.py` and the tests use the same `Case`s. A case is a valid file and a function that reads it. It needs
nothing else, so that any reader can have one: see `damaged_data.py`.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

SAME, REFUSED, DIFFERS = "same result", "refused in a line", "another result"
ALTERED, FOREIGN = "altered and accepted", "another error"
ALLOWED = {SAME, REFUSED, DIFFERS}
OUTCOMES = (SAME, REFUSED, DIFFERS, ALTERED, FOREIGN)


@dataclass(frozen=True)
class Case:
    """A reader and a valid file.

    Attributes
    ----------
    content : bytes
        The valid file.
    read : callable
        Reads the bytes of a file; returns a value that `==` compares.
    errors : tuple of types
        The errors that a damaged file may end in.
    checksum : bool
        Whether the format has a checksum, so that damage must be found.
    inside : bytes or None
        What is inside a compressed or checked file, for changes of which the checksum does not tell.
    pack : callable or None
        Makes a whole file of such changed bytes, with the right checksum.
    """

    content: bytes
    read: Callable[[bytes], Any]
    errors: tuple[type[BaseException], ...]
    checksum: bool = False
    inside: bytes | None = None
    pack: Callable[[bytes], bytes] | None = None


def damaged(case: Case, chance: random.Random) -> tuple[bytes, bool]:
    """Return a damaged file, and whether a reader may accept it as another one."""
    if case.pack is not None and case.inside is not None and chance.random() < 0.4:
        return case.pack(damage(case.inside, chance)), True
    return damage(case.content, chance), not case.checksum


def damage(content: bytes, chance: random.Random) -> bytes:
    """Return bytes that differ from the content in one to three ways."""
    data = content
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        data = chance.choice(_WAYS)(data or b"\0", chance)
    return data


def outcome(case: Case, whole: Any, data: bytes, may_differ: bool) -> tuple[str, str]:
    """Read a damaged file; return the kind of outcome and the error's text."""
    try:
        found = case.read(data)
    except case.errors as error:
        text = str(error)
        return (REFUSED, text) if _is_one_line(text) else (FOREIGN, f"not a line: {text!r}")
    except Exception as error:
        return FOREIGN, f"{type(error).__name__}: {error}"
    if found == whole:
        return SAME, ""
    return (DIFFERS, "") if may_differ else (ALTERED, "the checksum is wrong, but the file was read")


@dataclass(frozen=True)
class Tried:
    """One damaged file: its number, its bytes, the outcome, the error's text, and the seconds that reading it took."""

    number: int
    data: bytes
    kind: str
    text: str
    seconds: float


def fuzz(case: Case, name: str, inputs: int, seed: int = 0,
         read: Callable[..., tuple[str, str]] = outcome) -> Iterator[Tried]:
    """Yield what comes of damaged files; the same files for the same name and seed."""
    whole = case.read(case.content)
    for i in range(inputs):
        data, may_differ = damaged(case, random.Random(f"{seed}/{name}/{i}"))
        start = time.perf_counter()
        kind, text = read(case, whole, data, may_differ)
        yield Tried(i, data, kind, text, time.perf_counter() - start)


def _is_one_line(text: str) -> bool:
    return 0 < len(text) < 1000 and text.isprintable()


def _place(data: bytes, chance: random.Random) -> int:
    """Return a position: half of them in the first 64 bytes, where headers are."""
    return chance.randrange(min(len(data), 64) if chance.random() < 0.5 else len(data))


def _flip(data: bytes, chance: random.Random) -> bytes:
    i = _place(data, chance)
    return data[:i] + bytes([data[i] ^ 1 << chance.randrange(8)]) + data[i + 1:]


def _byte(data: bytes, chance: random.Random) -> bytes:
    i = _place(data, chance)
    return data[:i] + bytes([chance.choice((0, 1, 127, 128, 255, chance.randrange(256)))]) + data[i + 1:]


def _cut(data: bytes, chance: random.Random) -> bytes:
    return data[:_place(data, chance)]


def _noise(data: bytes, chance: random.Random) -> bytes:
    i, n = _place(data, chance), chance.randrange(1, 40)
    return data[:i] + chance.randbytes(n) + data[i + n:]


def _leave_out(data: bytes, chance: random.Random) -> bytes:
    i = _place(data, chance)
    return data[:i] + data[i + chance.randrange(1, 2 + len(data) // 2):]


def _splice(data: bytes, chance: random.Random) -> bytes:
    i, j, n = _place(data, chance), _place(data, chance), chance.randrange(1, 1 + len(data))
    return data[:i] + data[j:j + n] + data[i + (n if chance.random() < 0.5 else 0):]


def _append(data: bytes, chance: random.Random) -> bytes:
    return data + (data if chance.random() < 0.5 else chance.randbytes(chance.randrange(1, 40)))


def _number(data: bytes, chance: random.Random) -> bytes:
    """Write a number that a header may hold, of 2, 4 or 8 bytes in either order."""
    i, n = _place(data, chance), chance.choice((2, 4, 8))
    near = int.from_bytes(data[i:i + n], "little") + chance.choice((-1, 1))
    end = 256**n
    value = chance.choice((0, 1, near, end // 2 - 1, end // 2, end - 1, 1 << chance.randrange(8 * n)))
    return data[:i] + (value % end).to_bytes(n, chance.choice(("little", "big"))) + data[i + n:]


def _digits(data: bytes, chance: random.Random) -> bytes:
    """Write another number for one in decimal digits, as in headers of text."""
    places = [match.span() for match in re.finditer(rb"\d+", data[:400])]
    if not places:
        return _number(data, chance)
    a, b = chance.choice(places)
    number = chance.choice((b"0", b"-1", b"1", b"7", b"99999", b"2147483648", b"9" * 19, b"9" * 40, b"1e9", b"(" * 300))
    return data[:a] + number + data[b:]


_WAYS = (_flip, _byte, _cut, _noise, _leave_out, _splice, _append, _number, _digits)
