"""Forked children: they have what the parent imported, and nothing that they do comes back but what they say."""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any

TIMEOUT, CRASH = "timeout", "crash"


class Child:
    """A process that computes ``work()`` and says the answer in JSON.

    Parameters
    ----------
    work
        What it does.
    seconds
        After which it is killed, with all that it started.
    memory
        Bytes of address space.
    """

    def __init__(self, work: Callable[[], Any], seconds: float, memory: int):
        sys.stdout.flush()
        sys.stderr.flush()
        self.out, answer = os.pipe()
        self.pid, self.said = os.fork(), b""
        if self.pid == 0:
            _be_the_child(work, answer, memory)
        os.close(answer)
        self.started = time.perf_counter()
        self.deadline = self.started + seconds

    def read(self) -> bool:
        """Take what it says; whether that was the end."""
        said = os.read(self.out, 1 << 16)
        self.said += said
        return not said

    def end(self) -> None:
        """Kill it and what it started, and take it off the list of processes."""
        if self.out < 0:
            return
        for kill in (os.killpg, os.kill):  # the group is there once the child has made it
            try:
                kill(self.pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        os.waitpid(self.pid, 0)
        os.close(self.out)
        self.out = -1

    def answer(self) -> Any:
        """What it said; [CRASH, why] where that is no answer."""
        said = json.loads(self.said) if self.said else {"error": "it ended without a word"}
        return said["answer"] if "answer" in said else [CRASH, said["error"]]


def _be_the_child(work: Callable[[], Any], answer: int, memory: int) -> None:
    """Never returns."""
    try:
        os.setsid()  # Ctrl-C is the parent's
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
        nothing = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(nothing, stream)
        try:
            told = {"answer": work()}
        except BaseException as error:
            told = {"error": "".join(traceback.format_exception(error)[-3:])}
        said = json.dumps(told).encode()
        while said:
            said = said[os.write(answer, said):]
    finally:
        os._exit(0)


def finished(children: list[Child]) -> Iterator[tuple[Child, Any]]:
    """Wait until some children are through; each is ended, and comes with its answer,
    [CRASH, why] or [TIMEOUT, ""]."""
    while True:
        left = max(0.0, min(child.deadline for child in children) - time.perf_counter())
        ready, _, _ = select.select([child.out for child in children], [], [], left)
        ended = [child for child in children if child.out in ready and child.read()]
        late = [child for child in children if child not in ended and child.deadline < time.perf_counter()]
        for child in ended + late:
            child.end()
            yield child, child.answer() if child in ended else [TIMEOUT, ""]
        if ended or late:
            return
