"""When a request may be sent again, and after how long (the matrix of docs/facts.md: Consul 11)."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Final

_REPEATABLE_WRITES: Final = re.compile(
    r"/v1/internal/acl/authorize"  # asks, changes nothing
    r"|/v1/acl/(policy|role|token)/[^/]+"  # replaces an object by its ID
    r"|/v1/session/(renew|destroy)/[^/]+"
)


def is_repeatable(method: str, path: str) -> bool:
    """Whether doing a request twice leaves the same as doing it once, so that it may be sent again when its answer was lost.

    Not so: what creates something under a name or an ID that Consul chooses, a conditional write (its own success would look like a lost race),
    and a transaction (unless it only reads, which its body tells). Deleting is, with ``cas`` too: what is gone answers ``true``.
    """
    return method in ("GET", "DELETE") or _REPEATABLE_WRITES.fullmatch(path) is not None


class Trouble(Enum):
    """What became of a request that was not answered, or not by Consul's leader."""

    REFUSED = "nothing could be sent"
    BUSY = "Consul says that it did nothing, and may later"
    LOST = "sent, and the connection was lost"
    SILENT = "sent, and no answer in time"
    FINAL = "answered"


_REFUSED_FOR_S: Final = 1.0
_REFUSED_AFTER_AN_ANSWER_FOR_S: Final = 10.0
"""An agent that answered before is being restarted; one that never did is most likely not there, and a person waits."""

_BUSY_FOR_S: Final = 20.0
"""An election takes up to 11.5 s with Consul's default raft_multiplier, and each try is held by the server for 7 s."""

_LOST_FOR_S: Final = 10.0
_LOST_AT_MOST: Final = 3
_PAUSES_S: Final = (0.1, 0.2, 0.4, 0.8, 1.6)


class Patience:
    """How long to go on with one request. ``limit_s`` bounds all of it, where given; ``answered`` says whether the agent ever answered."""

    def __init__(self, *, answered: bool, limit_s: float | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began = clock()
        self._limit_s = limit_s
        self._lost = 0
        self._tries = 0
        self._for_s = {
            Trouble.REFUSED: _REFUSED_AFTER_AN_ANSWER_FOR_S if answered else _REFUSED_FOR_S,
            Trouble.BUSY: _BUSY_FOR_S,
            Trouble.LOST: _LOST_FOR_S,
        }

    def pause_s(self, trouble: Trouble, pauses: Sequence[float] = _PAUSES_S) -> float | None:
        """How many seconds to wait before the next try, or None to give up."""
        if trouble not in self._for_s:
            return None
        self._lost += trouble is Trouble.LOST
        pause = pauses[min(self._tries, len(pauses) - 1)] * random.uniform(0.8, 1.2)  # noqa: S311  # spreads the tries of many clients
        self._tries += 1
        allowed = min(self._for_s[trouble], self._limit_s if self._limit_s is not None else self._for_s[trouble])
        if self._lost >= _LOST_AT_MOST or self._clock() - self._began + pause > allowed:
            return None
        return pause
