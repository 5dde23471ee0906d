"""What became of the archive on each machine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from reconciler.credentials.distribution import Copy
from reconciler.credentials.joining import SET_UP
from reconciler.credentials.members import UNIT
from reconciler.credentials.regeneration.others import Node
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


def nodes_lines(archive: Path, nodes: Sequence[Node]) -> list[str]:
    """What is done on each node that is set up again, and which ones are."""
    return [
        f"on each of these nodes, one after the other: copy {archive}, stop {UNIT}, remove its",
        f"configuration and certificates, and {' '.join(SET_UP)} with the archive's password on its terminal",
        *(f"  {node.label}, at {node.address}{'  (done)' if node.is_done else ''}" for node in nodes),
    ]


def set_up_again_text(cluster: str, archive: Path, nodes: Sequence[Node]) -> str:
    """What setting nodes up again will do."""
    lines = [f"The nodes of the cluster {cluster} are set up again:", "", *(f"  {line}" for line in nodes_lines(archive, nodes)), ""]
    lines += ["Each is cut off from the mesh meanwhile. If this is interrupted, run the same again: it goes on.", ""]
    return "\n".join(visible(line) for line in lines)


def was_set_up_text(labels: Sequence[str], left: Sequence[str]) -> str:
    """What it has done. ``left`` are others that are still to be set up again, by an earlier run."""
    lines = [f"Set up again: {', '.join(labels) or 'nothing'}."]
    lines += [f"Still to be set up again, by an earlier run with another manifest: {', '.join(left)}."] if left else []
    return "".join(f"{visible(line)}\n" for line in lines)
