"""A program that asks questions on its terminal, and the answers to them.

The terminal is made for it, so nobody sees what is typed there and nothing of it is an argument or in the environment. The program has a session of
its own, and the terminal is not its controlling one: when this process dies, no signal ends the program.
"""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from reconciler.model.errors import OutcomeUnknown, Unreachable
from reconciler.model.secret import Secret

MASK: Final = "***"

_PIECE_BYTES: Final = 4096
_INTERVAL_S: Final = 0.1
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_ESCAPES: Final = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def can_be_typed(answer: Secret) -> bool:
    """Whether it is one line: a control character would end it, or do something else to the terminal."""
    return not _CONTROL.search(answer.reveal())


@dataclass(frozen=True, slots=True)
class Question:
    """``words``: a regular expression that the end of a prompt fits, whatever its case."""

    words: str
    answer: Secret | str


@dataclass(frozen=True, slots=True)
class Said:
    """How the program ended, and all that it wrote, without the secrets. ``asked``: how many of the questions it asked."""

    status: int
    text: str
    asked: int


def converse(
    argv: Sequence[str], questions: Sequence[Question], environ: Mapping[str, str], *, held: int | None = None, to_ask_s: float, to_end_s: float
) -> Said:  # fmt: skip
    """Run a program and answer its questions, in this order, each when it is asked.

    ``held`` is a descriptor that it inherits, if there is one. Raises Unreachable when it does not exist or asks nothing for ``to_ask_s``, and was
    ended, and OutcomeUnknown when it does not end within ``to_end_s`` of the last answer; then it is still running.
    """
    ours, theirs = os.openpty()
    try:
        try:
            process = subprocess.Popen(
                argv, stdin=theirs, stdout=theirs, stderr=theirs, env=dict(environ), cwd="/", start_new_session=True,
                pass_fds=() if held is None else (held,),
            )  # fmt: skip
        except OSError as error:
            raise Unreachable(f"{argv[0]} cannot be run: {(error.strerror or str(error)).lower()}") from None
        finally:
            os.close(theirs)
        return _Conversation(process, ours, questions).held_within(argv[0], to_ask_s, to_end_s)
    finally:
        os.close(ours)


class _Conversation:
    def __init__(self, process: subprocess.Popen[bytes], terminal: int, questions: Sequence[Question]) -> None:
        self._process, self._terminal, self._questions = process, terminal, questions
        self._output, self._unanswered, self._asked = b"", b"", 0

    def held_within(self, program: str, to_ask_s: float, to_end_s: float) -> Said:
        for question in self._questions:
            prompt = re.compile(question.words.encode() + rb"[^\r\n]*:\s*$", re.IGNORECASE)
            if not self._read_until(prompt, to_ask_s):
                break
            self._answer(question)
        else:
            self._read_until(None, to_end_s)
        status = self._process.poll()
        if status is None and self._asked < len(self._questions):
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            raise Unreachable(f"{program} did not ask for what it needs within {to_ask_s:g} s, and was ended; it wrote: {self._text() or 'nothing'}")
        if status is None:
            raise OutcomeUnknown(f"{program} did not end within {to_end_s:g} s, and is still running")
        return Said(status, self._text(), self._asked)

    def _answer(self, question: Question) -> None:
        self._asked += 1
        self._unanswered = b""
        text = question.answer.reveal() if isinstance(question.answer, Secret) else question.answer
        # CR: what the key sends; a terminal that is not raw makes a line feed of it
        os.write(self._terminal, text.encode("utf-8", "surrogateescape") + b"\r")

    def _read_until(self, prompt: re.Pattern[bytes] | None, limit_s: float) -> bool:
        """Read what it writes up to a prompt, or to its end; False when there is none. A daemon that it started may keep the terminal open."""
        deadline = time.monotonic() + limit_s
        while prompt is None or not prompt.search(self._unanswered):
            ended = self._process.poll() is not None
            piece = self._piece(0.0 if ended else _INTERVAL_S)
            self._output += piece
            self._unanswered += piece
            if not piece and (ended or time.monotonic() > deadline):
                return False
        return True

    def _piece(self, wait_s: float) -> bytes:
        """What it wrote meanwhile; empty for nothing."""
        ready, _, _ = select.select([self._terminal], [], [], wait_s)
        try:
            return os.read(self._terminal, _PIECE_BYTES) if ready else b""
        except OSError:  # how a terminal tells that nobody has its other side any more
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(wait_s)
            return b""

    def _text(self) -> str:
        text = _ESCAPES.sub("", self._output.decode("utf-8", "replace"))
        for question in self._questions:
            if isinstance(question.answer, Secret):
                text = text.replace(question.answer.reveal(), MASK)
        return "\n".join(line.rstrip() for line in text.replace("\r", "\n").split("\n") if line.strip())
