"""What became of the archive on each machine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from reconciler.credentials.distribution import Copy
from reconciler.report.characters import visible

FORMAT_VERSION: Final = 1

_WORDS: Final = {"written": "written", "same": "has it already", "would be written": "would be written", "failed": "failed"}


def copies_document(archive: str, path: str, copies: Sequence[Copy]) -> dict[str, Any]:
    """For programs."""
    hosts = [{"host": copy.host, "result": copy.result, "why": copy.why} for copy in copies]
    return {"format_version": FORMAT_VERSION, "archive": archive, "path": path, "hosts": hosts}


def copies_text(copies: Sequence[Copy]) -> str:
    """A line for each machine."""
    lines = (f"{copy.host}: {_WORDS[copy.result]}{f': {copy.why}' if copy.why else ''}" for copy in copies)
    return "".join(f"{visible(line)}\n" for line in lines)
