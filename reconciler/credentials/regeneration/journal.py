"""What a run has done, in a file beside the archive, so that the next one goes on. No secret is in it."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final, Literal

from reconciler.credentials.opening import read_bounded
from reconciler.credentials.regeneration.leadership import Cluster
from reconciler.credentials.sources import digest_of
from reconciler.model.errors import Locked, ReconcilerError
from reconciler.systems.host import LocalHost

Way = Literal["whole", "acl-only"]
Step = Literal["reset", "stop", "remove", "set-up begun", "set-up", "bootstrap", "prove"]

_FORMAT: Final = 1
_MODE: Final = "0600"
_LARGEST_BYTES: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class Journal:
    """``archive_before`` is the digest of the archive that there was, as it lay there, encrypted; empty for none. ``done``: names of steps.

    ``index`` is what Consul wants to see in the reset file, once it was asked.
    """

    way: Way
    cluster: str
    trust_domain: str
    leader: str
    servers: int
    archive_before: str
    done: tuple[Step, ...] = ()
    index: int = 0


def path_of(archive: Path) -> Path:
    """Where the journal of a run lies that makes this archive."""
    return archive.with_name(f"{archive.name}.regenerating")


def begun(archive: Path, way: Way, cluster: Cluster) -> Journal:
    """The journal of a run that has done nothing yet; nothing is written."""
    return Journal(way, cluster.name, cluster.trust_domain, cluster.leader.host, cluster.servers, digest(archive))


def read(archive: Path, way: Way) -> Journal | None:
    """The journal of an interrupted run, None when there was none. Raises ReconcilerError for one of the other way, or that cannot be read."""
    path = path_of(archive)
    if not os.path.lexists(path):
        return None
    begin_anew = f"if nothing of that run is wanted any more, remove {path}"
    try:
        document = json.loads(read_bounded(path, _LARGEST_BYTES, "the journal of an interrupted run"))
        if document.pop("format") != _FORMAT:
            raise ValueError
        found = Journal(**{**document, "done": tuple(document["done"])})
    except (ValueError, TypeError, KeyError, AttributeError):
        raise ReconcilerError(f"{path} is no journal that this version has written: {begin_anew}") from None
    if found.way != way:
        option = "with" if found.way == "acl-only" else "without"
        raise ReconcilerError(f"an interrupted run is to be finished first, {option} --acl-only: run it again like that; {begin_anew}")
    return found


def noted(archive: Path, journal: Journal, *done: Step) -> Journal:
    """The journal with these steps added, on disk."""
    return rewritten(archive, journal, (*journal.done, *done))


def rewritten(archive: Path, journal: Journal, done: tuple[Step, ...]) -> Journal:
    """The journal with exactly these steps, on disk."""
    return _written(archive, replace(journal, done=done))


def _written(archive: Path, now: Journal) -> Journal:
    content = json.dumps({"format": _FORMAT, **asdict(now)}, indent=1) + "\n"
    LocalHost().write(str(path_of(archive)), content.encode(), owner=None, group=None, mode=_MODE)
    return now


def ended(archive: Path) -> None:
    """Remove the journal: there is nothing to go on with."""
    LocalHost().remove(str(path_of(archive)))


def digest(archive: Path) -> str:
    """By which a file that was written anew is told from the one before; empty when there is none."""
    try:
        return digest_of(archive.read_bytes())
    except FileNotFoundError:
        return ""


@contextmanager
def alone(archive: Path) -> Iterator[int]:
    """Nobody else makes this archive meanwhile; the descriptor that says so, for a child to inherit. Raises Locked, ReconcilerError for no folder."""
    try:
        folder = os.open(archive.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        raise ReconcilerError(f"the folder {archive.parent} does not exist: create it, or give another ARCHIVE") from None
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            what = "another run, or the set-up that an interrupted one started, is still at work on"
            raise Locked(f"{what} {archive.parent}: wait until it has ended, and run the same again") from None
        yield folder
    finally:
        os.close(folder)
