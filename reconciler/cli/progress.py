"""What an apply is doing: one line on a terminal, log lines elsewhere when asked for, and a memory of it should the run break off."""

from __future__ import annotations

import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from reconciler.cli.logs import Log
from reconciler.cli.options import Output
from reconciler.cli.streams import PROGRAM, is_terminal, say
from reconciler.model.address import Address
from reconciler.model.change import Change
from reconciler.model.outcome import ChangeOutcome, Outcome, Status
from reconciler.report.characters import encodable, visible

if TYPE_CHECKING:
    from reconciler.engine.operations import Progress

_ERASE: Final = "\r\x1b[K"
_PERIOD_S: Final = 0.1
_UNKNOWN: Final = "not known to have been made before the run broke off"


class StatusLine:
    """One line at the bottom of the terminal, over and over; nothing at all where standard error is no terminal, or where logs go to it."""

    def __init__(self, *, wanted: bool) -> None:
        self._wanted = wanted
        self._stream = sys.stderr if wanted and is_terminal(sys.stderr) else None
        self._lock = threading.Lock()
        self._written = 0.0
        self._visible = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.clear()

    def show(self, text: str, *, at_once: bool = False) -> None:
        """Replace the line; not more often than a person can read, unless ``at_once``."""
        if self._stream is None:
            return
        with self._lock:
            now = time.monotonic()
            if at_once or now - self._written >= _PERIOD_S:
                self._written = now
                self._visible = True
                width = shutil.get_terminal_size().columns - 1
                self._write(_ERASE + visible(text)[:width])

    def tell(self, text: str) -> None:
        """The same for what must be known in any case: without a terminal it is a line like others."""
        if self._stream is not None:
            self.show(text, at_once=True)
        elif self._wanted:
            say(f"{PROGRAM}: {text}")

    def clear(self) -> None:
        """Take the line away."""
        with self._lock:
            if self._visible:
                self._visible = False
                self._write(_ERASE)

    def _write(self, text: str) -> None:
        if self._stream is None:
            return
        try:
            self._stream.write(encodable(text, self._stream.encoding))
            self._stream.flush()
        except (OSError, ValueError):
            self._stream = None


def status_line(output: Output) -> StatusLine:
    """The line of a run, unless its log is shown in the same place."""
    return StatusLine(wanted=not output.verbose)


class Watch:
    """Follows the changes of one apply; called by whichever thread makes them. ``tell`` is told each stage as well."""

    def __init__(self, line: StatusLine, log: Log, tell: Callable[[Progress], None] = lambda _: None) -> None:
        self._line = line
        self._log = log
        self._tell = tell
        self._lock = threading.Lock()
        self._planned: tuple[Change, ...] = ()
        self._ended: dict[Address, ChangeOutcome] = {}

    def begin(self, changes: Iterable[Change]) -> None:
        """These changes are about to be made."""
        self._planned = tuple(changes)
        self._line.show(f"Applying: {len(self._planned)} to do…", at_once=True)

    def __call__(self, progress: Progress) -> None:
        """One change has reached a stage."""
        self._tell(progress)
        change, action = progress.change, str(progress.change.action)
        if progress.stage == "started":
            self._log.debug("started", address=str(change.address), action=action)
            return
        if progress.stage == "waiting":
            self._wait(progress)
            return
        result = ChangeOutcome(change, Status(progress.stage), progress.why, progress.seconds)
        with self._lock:
            self._ended[change.address] = result
            results = tuple(self._ended.values())
        if result.status is Status.APPLIED:
            self._log.info("applied", address=str(change.address), action=action, seconds=round(progress.seconds, 3))
        else:
            self._log.warning(str(result.status), address=str(change.address), action=action, why=progress.why)
        self._line.show(_summary(results, len(self._planned), change))

    def _wait(self, progress: Progress) -> None:
        # a pipeline that stands still must say why
        self._log.info("waiting", address=str(progress.change.address), why=progress.why)
        self._line.tell(f"waiting for {progress.change.address}: {progress.why}")

    def so_far(self, why: str) -> Outcome:
        """What is known of a run that broke off for the reason ``why``."""
        rest = [ChangeOutcome(c, Status.NOT_ATTEMPTED, _UNKNOWN) for c in self._planned if c.address not in self._ended]
        return Outcome((*self._ended.values(), *rest), stopped=why)


def _summary(results: tuple[ChangeOutcome, ...], planned: int, last: Change) -> str:
    failed = sum(result.status is not Status.APPLIED for result in results)
    trouble = f", {failed} not applied" if failed else ""
    return f"{len(results) - failed}/{planned} applied{trouble}: {last.address}"
