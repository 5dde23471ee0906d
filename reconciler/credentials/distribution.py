"""The archive on other machines, as it lies here, encrypted: what the documents do with scp."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, Literal

from reconciler.credentials.members import differs, put_archive
from reconciler.model.errors import ReconcilerError
from reconciler.systems.host import Host

_AT_A_TIME: Final = 8

Result = Literal["written", "same", "would be written", "failed"]


@dataclass(frozen=True, slots=True)
class Copy:
    """What became of one machine. ``why``: what differed there, or what failed; empty for ``same``."""

    host: str
    result: Result
    why: str = ""


def distribute(hosts: Sequence[Host], sealed: bytes, path: str, *, dry_run: bool) -> list[Copy]:
    """Put the archive at ``path`` on each machine where it differs, in the order of ``hosts``. One that fails does not keep it from the others."""
    if not hosts:
        return []
    with ThreadPoolExecutor(min(_AT_A_TIME, len(hosts))) as pool:
        return list(pool.map(lambda host: _copied(host, sealed, path, dry_run=dry_run), hosts))


def _copied(host: Host, sealed: bytes, path: str, *, dry_run: bool) -> Copy:
    try:
        seen = host.read([path]).get(path)
        why = differs(seen, sealed)
        if not why:
            return Copy(host.name, "same")
        if not dry_run:
            put_archive(host, sealed, path, seen=seen)
        return Copy(host.name, "would be written" if dry_run else "written", why)
    except ReconcilerError as fault:
        return Copy(host.name, "failed", str(fault))
