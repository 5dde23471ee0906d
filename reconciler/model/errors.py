"""The errors, and the exit code of each.

ReconcilerError                 1
├── ManifestError               1   carries diagnostics, one per mistake
├── SystemFault                 1   a live system could not be asked or refused
│   ├── Unreachable             1
│   ├── AccessDenied            1
│   ├── Rejected                1   the system says the request is wrong
│   ├── AlreadyExists           1   made by somebody else meanwhile
│   ├── LostRace                1   a conditional write found another revision
│   ├── OutcomeUnknown          1   the connection was lost after sending: read again, never write again
│   └── PartlyDone              1   of several steps some were done: to be gone on with, or done again
├── Incomplete                  3
│   └── LockLost                3
├── Locked                      4
├── Refused                     5
└── Interrupted               130

Inside an apply a SystemFault fails one change and is reported with it (exit 3); elsewhere it ends the run.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from reconciler.model.diagnostic import Diagnostic


class ReconcilerError(Exception):
    """Something a person must know: one line that says what, and what to do."""

    exit_code: ClassVar[int] = 1


class ManifestError(ReconcilerError):
    """The manifest is wrong; every mistake at once.

    ``sound`` is the part of it that can be looked at further (a ``LoadedManifest``), so that what only the kinds know is said in the same run.
    """

    def __init__(self, diagnostics: Sequence[Diagnostic], sound: object = None) -> None:
        super().__init__("\n".join(str(d) for d in diagnostics))
        self.diagnostics = tuple(diagnostics)
        self.sound = sound


class SystemFault(ReconcilerError):
    """A live system did not do what was asked."""


class Unreachable(SystemFault):
    """It could not be reached, or did not answer in time; nothing was changed by this request."""


class AccessDenied(SystemFault):
    """It refused for want of rights, or did not know the credentials."""


class Rejected(SystemFault):
    """It says that the request is wrong; asking again would not help."""


class AlreadyExists(SystemFault):
    """What was to be created exists."""


class LostRace(SystemFault):
    """A conditional write found that somebody else had written first."""


class OutcomeUnknown(SystemFault):
    """The connection was lost after a write had been sent."""


class PartlyDone(SystemFault):
    """Some steps of a write were done, and what is there now is ours."""


class Incomplete(ReconcilerError):
    """Some changes were not made."""

    exit_code = 3


class LockLost(Incomplete):
    """The lock was lost while applying."""


class Locked(ReconcilerError):
    """Another run holds the lock."""

    exit_code = 4


class Refused(ReconcilerError):
    """It could be done, but must not be done without consent."""

    exit_code = 5


class Interrupted(ReconcilerError):
    """SIGINT or SIGTERM."""

    exit_code = 130
