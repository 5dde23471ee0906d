"""Scripts of the POSIX shell, run on this machine or on another, and what becomes of their failures.

A script needs a shell, coreutils and getent. It gets its parameters as arguments, which everybody can see, and anything secret on its standard input.
It says what is wrong in one line on its standard error, ``reconciler: KIND: what``, with a KIND of :data:`FAULTS`, and ends with any status but 0;
the last line that a program printed counts where it says nothing itself.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from reconciler.model.errors import AccessDenied, AlreadyExists, LostRace, OutcomeUnknown, Rejected, SystemFault, Unreachable
from reconciler.systems.dialogue import Question, Said, converse

FAULTS: Final[Mapping[str, type[SystemFault]]] = {
    "denied": AccessDenied,
    "rejected": Rejected,
    "exists": AlreadyExists,
    "lost": LostRace,
    "unknown": OutcomeUnknown,
}
TIMEOUT_S: Final = 60.0
PREAMBLE: Final = """LC_ALL=C PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin; export LC_ALL PATH
fault() { printf 'reconciler: %s: %s\\n' "$1" "$2" >&2; exit 9; }
"""
"""Before every script: programs speak English, administrators' programs are found, and ``fault KIND WORDS`` ends it."""

MACHINE_ID_FILES: Final = ("/etc/machine-id", "/var/lib/dbus/machine-id")
_MACHINE_ID: Final = re.compile(r"[0-9a-f]{32}", re.ASCII)
_MARK: Final = "reconciler: "


@dataclass(frozen=True, slots=True)
class Completed:
    """A script that ended: its exit status, what it printed, and what it said on standard error."""

    status: int
    output: bytes
    error: str


class Shell(Protocol):
    """Something that runs scripts."""

    @property
    def identity(self) -> str:
        """What the machine's file of its machine-id holds; empty when there is none."""
        ...

    def run(self, script: str, arguments: Sequence[str] = (), stdin: bytes = b"", *, timeout_s: float = TIMEOUT_S, writes: bool = True) -> Completed:
        """Run ``script`` to its end. Raises Unreachable when it was not, or for one that ``writes`` OutcomeUnknown."""
        ...

    def converse(self, script: str, arguments: Sequence[str], questions: Sequence[Question], *, to_ask_s: float, to_end_s: float) -> Said:
        """Run ``script`` on a terminal and answer its questions (:func:`~reconciler.systems.dialogue.converse`)."""
        ...

    def close(self) -> None:
        """End the connection."""
        ...


class LocalShell:
    """The shell of this machine."""

    def __init__(self, machine_id_files: Sequence[str] = MACHINE_ID_FILES) -> None:
        self._machine_id_files = machine_id_files

    @property
    def identity(self) -> str:
        """What the first of the files holds that holds a machine-id."""
        for file in self._machine_id_files:
            with suppress(OSError):
                text = Path(file).read_text(encoding="ascii", errors="replace").strip()
                if _MACHINE_ID.fullmatch(text):
                    return text
        return ""

    def run(self, script: str, arguments: Sequence[str] = (), stdin: bytes = b"", *, timeout_s: float = TIMEOUT_S, writes: bool = True) -> Completed:
        """Run ``script`` with nothing of our environment but the PATH; a Ctrl-C on the terminal does not reach it."""
        environ = {"PATH": os.environ.get("PATH", os.defpath)}
        try:
            done = subprocess.run(
                ["sh", "-c", PREAMBLE + script, "reconciler", *arguments], input=stdin, capture_output=True, timeout=timeout_s, check=False,
                env=environ, start_new_session=True,
            )  # fmt: skip
        except FileNotFoundError:
            raise Unreachable("this machine has no sh, the POSIX shell") from None
        except subprocess.TimeoutExpired:
            raise (OutcomeUnknown if writes else Unreachable)(f"a command did not end within {timeout_s:g} s") from None
        return Completed(done.returncode, done.stdout, done.stderr.decode("utf-8", "replace"))

    def converse(self, script: str, arguments: Sequence[str], questions: Sequence[Question], *, to_ask_s: float, to_end_s: float) -> Said:
        """Run ``script`` on a terminal of its own, with nothing of our environment but the PATH."""
        environ = {"PATH": os.environ.get("PATH", os.defpath), "TERM": "dumb"}
        return converse(["sh", "-c", PREAMBLE + script, "reconciler", *arguments], questions, environ, to_ask_s=to_ask_s, to_end_s=to_end_s)

    def close(self) -> None:
        """Nothing is open."""


def demand_identity(host: str, shell: Shell) -> str:
    """The machine-id of a host. Raises Unreachable when it has none."""
    identity = shell.identity
    if not _MACHINE_ID.fullmatch(identity):
        where = " or ".join(MACHINE_ID_FILES)
        raise Unreachable(f"host {host} has no machine-id in {where}, by which its files are remembered: systemd-machine-id-setup makes one")
    return identity


def printed(host: str, done: Completed) -> bytes:
    """What a script printed. Raises the SystemFault that it ended with, naming the host."""
    if done.status == 0:
        return done.output
    lines = [line for line in done.error.splitlines() if line.strip()]
    fault = next((line for line in lines if line.startswith(_MARK)), None)
    if fault is not None:
        kind, _, words = fault.removeprefix(_MARK).partition(": ")
        raise FAULTS.get(kind, Rejected)(f"{host}: {words}")
    words = lines[-1].strip() if lines else f"a command ended with status {done.status} and said nothing"
    raise (AccessDenied if _is_denial(words) else Rejected)(f"{host}: {words}")


def said(host: str, conversation: Said) -> str:
    """What a script wrote on its terminal. Raises the SystemFault that it ended with, as :func:`printed`."""
    printed(host, Completed(conversation.status, b"", conversation.text))
    return conversation.text


def _is_denial(words: str) -> bool:
    return any(sign in words for sign in ("Permission denied", "Operation not permitted", "Access denied", "authentication required"))
