"""Standard streams on which printing never fails: in any encoding, closed, on a closed pipe, on a full disk.

The results of a command are its files and its exit status. Neither depends on what could be printed.
"""

from __future__ import annotations

import contextlib
import os
import sys
import unicodedata
from collections.abc import Callable, Iterator
from typing import Any, cast

READER_GONE = 141  # the status of a Unix tool that SIGPIPE ends: 128 and the signal's number
_ASCII = {  # signs without a decomposition that reads well
    "±": "+-", "∓": "-+", "·": "*", "×": "x", "−": "-", "–": "-", "…": "...", "‖": "||", "½": "1/2", "¼": "1/4",
    "°": "deg", "←": "<-", "→": "->", "≤": "<=", "≥": ">=", "≠": "!=", "√": "sqrt ", "∞": "inf", "∂": "d", "∇": "grad ",
    "∫": "int ", "∅": "{}", "⊙": "*", "⟨": "<", "⟩": ">", "Ɛ": "E",
    "\u0302": "_hat", "\u0303": "_tilde", "\u0304": "_bar",
}
_MARKS = {"<super": "^", "<sub": "_"}


class ReaderGoneError(Exception):
    """The program that reads what a command prints has closed the pipe."""


def transliterated(text: str, encoding: str) -> str:
    """Return a text in the characters of an encoding: a Greek letter by its name, others in ASCII or as escapes.

    >>> transliterated("x̂₀, ᾱ_t, σ² ≤ 10⁻¹⁵", "ascii")
    'x_hat_0, alpha_bar_t, sigma^2 <= 10^-15'
    >>> transliterated("β̃ × 0.5: über, 수", "cp1252")
    'beta_tilde × 0.5: über, \\\\uc218'
    """
    found, last = [], ""
    for character in text:
        mark, shown = _fitting(character, encoding)
        found.append(shown if mark == last else mark + shown)
        last = mark
    return "".join(found)


def _fitting(character: str, encoding: str) -> tuple[str, str]:
    """Return the mark of an index or exponent, and a character's transliteration."""
    with contextlib.suppress(UnicodeEncodeError):
        character.encode(encoding)
        return "", character
    if character in _ASCII:
        return "", _ASCII[character]
    kind, _, codes = unicodedata.decomposition(character).rpartition("> ")
    greek, _, name = unicodedata.name(character, "").partition(" LETTER ")
    if greek in ("GREEK SMALL", "GREEK CAPITAL") and name.isalpha():
        name = name.replace("LAMDA", "LAMBDA")
        return "", name.lower() if greek == "GREEK SMALL" else name.capitalize()
    if codes and (kind or greek.startswith("GREEK")):
        return _MARKS.get(kind, ""), "".join(_fitting(chr(int(code, 16)), encoding)[1] for code in codes.split())
    return "", character.encode("ascii", "backslashreplace").decode()


class Stream:
    """A text stream on which no method fails, neither by the encoding nor by the system.

    Characters that the encoding lacks are transliterated. After an error of the system, nothing is written any more.

    Parameters
    ----------
    stream : text stream
        The stream to write to.
    name : str
        Its name, for the message.
    on_loss : callable
        Called once with a line of text if something could not be written, unless the pipe was closed.
    """

    def __init__(self, stream: Any, name: str, on_loss: Callable[[str], Any] = lambda line: None):
        self._stream, self._name, self._on_loss, self._lost = stream, name, on_loss, False
        self.ends_with_reader = False  # whether a closed pipe raises ReaderGoneError, in place of being passed over

    def write(self, text: str) -> int:
        """Write a text."""
        encoding = getattr(self._stream, "encoding", None)
        if not text.isascii() and encoding:
            try:
                text.encode(encoding)
            except UnicodeEncodeError:
                text = transliterated(text, encoding)
        self._try(self._stream.write, text)
        return len(text)

    def writelines(self, lines: Any) -> None:
        """Write several texts."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Flush the stream."""
        self._try(self._stream.flush)

    def isatty(self) -> bool:
        """Return whether this is a terminal."""
        return not self._stream.closed and self._stream.isatty()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _try(self, method: Callable[..., Any], *arguments: Any) -> None:
        if self._lost or self._stream.closed:
            return
        try:
            method(*arguments)
        except OSError as error:
            self._lose(error)
        except RuntimeError as error:  # the handler of a signal prints while this stream is being written to
            if "reentrant" not in str(error):
                raise

    def _lose(self, error: OSError) -> None:
        """Write no more, and let the interpreter flush what is left to nowhere when it ends."""
        self._lost = True
        with contextlib.suppress(OSError, ValueError):
            descriptor, nowhere = self._stream.fileno(), os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, descriptor)
            os.close(nowhere)
        if not isinstance(error, BrokenPipeError):
            self._on_loss(f"{self._name}: {error.strerror or error}: not everything could be printed")
        elif self.ends_with_reader:
            raise ReaderGoneError


def open_closed_descriptors() -> None:
    """Open those of the descriptors 0, 1 and 2 that are closed, or a file that is opened later would be one of them."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number


@contextlib.contextmanager
def safe_streams() -> Iterator[Stream]:
    """Print through `Stream` inside a context, and print the warnings of libraries as single lines.

    Yields
    ------
    Stream
        Standard output.
    """
    import logging
    import warnings

    matplotlib = logging.getLogger("matplotlib")
    level = matplotlib.level
    with open(os.devnull, "w", encoding="utf-8") as nowhere, warnings.catch_warnings():
        err = Stream(nowhere if sys.stderr is None else sys.stderr, "standard error")

        def say(line: str) -> None:
            print(f"ddpm-np: {line}", file=cast(Any, err))

        def warn(message: Warning | str, *_: Any, **__: Any) -> None:
            say(f"warning: {' '.join(str(message).split())}")

        out = Stream(nowhere if sys.stdout is None else sys.stdout, "standard output", say)
        warnings.showwarning = warn
        matplotlib.setLevel(logging.ERROR)  # without a home folder it uses a temporary one, and logs so
        try:
            with contextlib.redirect_stdout(cast(Any, out)), contextlib.redirect_stderr(cast(Any, err)):
                yield out
        finally:
            out.ends_with_reader = False
            out.flush()
            err.flush()
            matplotlib.setLevel(level)
