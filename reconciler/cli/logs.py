"""Logs, for who asks for them with ``-v`` or ``--log-file``. They carry what the callers pass: addresses, actions, seconds; never values."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Mapping, MutableMapping
from datetime import UTC, datetime
from typing import Any, Final, TextIO

from reconciler.cli.options import Output
from reconciler.model.errors import ReconcilerError
from reconciler.report.characters import visible

_DEBUG: Final = 10
_INFO: Final = 20


class Log:
    """Passes events on to standard error, to a file, to both, or to nobody. Calls are those of structlog: ``log.info("applied", address=…)``."""

    def __init__(self, sinks: tuple[Any, ...] = (), files: tuple[TextIO, ...] = ()) -> None:
        self._sinks = sinks
        self._files = files
        self._lock = threading.Lock()

    def __bool__(self) -> bool:
        return bool(self._sinks)

    def debug(self, event: str, **fields: Any) -> None:
        """Something that only helps to find a mistake, such as one request."""
        self._pass("debug", event, fields)

    def of_a_system(self, event: str, fields: Mapping[str, Any]) -> None:
        """:meth:`debug` in the form in which the systems report what they ask."""
        self._pass("debug", event, dict(fields))

    def info(self, event: str, **fields: Any) -> None:
        """Something that was done."""
        self._pass("info", event, fields)

    def warning(self, event: str, **fields: Any) -> None:
        """Something that should not be so."""
        self._pass("warning", event, fields)

    def close(self) -> None:
        """Close the file."""
        for file in self._files:
            file.close()

    def _pass(self, level: str, event: str, fields: dict[str, Any]) -> None:
        # One time for all and one order, so that the file and the screen can be matched line by line.
        with self._lock:
            timestamp = datetime.now(UTC).isoformat(timespec="milliseconds")
            for sink in self._sinks:
                getattr(sink, level)(event, timestamp=timestamp, **fields)


def open_log(output: Output) -> Log:
    """The log that was asked for. Raises ReconcilerError when its file cannot be written."""
    if not output.verbose and output.log_file is None:
        return Log()
    level = _DEBUG if output.verbose > 1 else _INFO
    file = None
    if output.log_file is not None:
        try:
            descriptor = os.open(output.log_file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        except OSError as error:
            raise ReconcilerError(f"--log-file {output.log_file}: {error.strerror}") from None
        file = os.fdopen(descriptor, "a", encoding="utf-8", errors="backslashreplace")
    streams = ([sys.stderr] if output.verbose and sys.stderr is not None else []) + ([file] if file else [])
    return Log(tuple(_sink(stream, output.log_format, level) for stream in streams), (file,) if file else ())


def _sink(stream: TextIO, log_format: str, level: int) -> Any:
    import structlog  # imported late: it takes 0.1 s, and most runs log nothing

    renderer = structlog.processors.JSONRenderer(sort_keys=True) if log_format == "json" else _as_text
    return structlog.wrap_logger(
        structlog.PrintLogger(stream),
        processors=[structlog.processors.add_log_level, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=True,
    )


def _as_text(logger: Any, method: str, event: MutableMapping[str, Any]) -> str:  # noqa: ARG001  # structlog's signature
    first = f"{event.pop('timestamp')} {event.pop('level'):7} {event.pop('event')}"
    return visible(" ".join([first, *(f"{key}={value}" for key, value in event.items())]))
